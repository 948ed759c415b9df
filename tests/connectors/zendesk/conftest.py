"""Two seeded tenants' Zendesk accounts behind real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from tests.connectors.zendesk.account import open_account
from tests.connectors.zendesk.driver import Engine

from firnline.connectors.protocol import Connector
from firnline.connectors.registry import load_connector
from firnline.sandbox.server import listening


@pytest.fixture(params=["acme", "globex"])
def tenant(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def sandbox(tenant: str) -> Any:
    return open_account(tenant)


@pytest.fixture
async def url(sandbox: Any) -> AsyncIterator[str]:
    async with listening(sandbox.app) as served:
        yield served


@pytest.fixture
async def http(url: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=url, trust_env=False) as client:
        yield client


@pytest.fixture
def connector() -> Connector:
    return load_connector("zendesk")


@pytest.fixture
def engine(connector: Connector, http: httpx2.AsyncClient, sandbox: Any) -> Engine:
    return Engine(connector, http, sandbox.token_for(sandbox.integration_email))
