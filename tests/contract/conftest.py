"""Every registered connector, facing its sandbox over HTTP. Nothing here knows a provider."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime

import pytest
from tests.contract.engine import Account

from firnline.connectors.protocol import Connector
from firnline.connectors.registry import connector_folders, load_connector
from firnline.sandbox.seed import company
from firnline.sandbox.server import running
from firnline.sandbox.world import Company

NOW = datetime(2026, 11, 22, 16, 0, tzinfo=UTC)
TENANTS = ("acme", "globex", "initech")
PROVIDERS = tuple(sorted(connector_folders()))

OpenAccount = Callable[[Company], AbstractAsyncContextManager[Account]]


@pytest.fixture(params=PROVIDERS)
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def connector(provider: str) -> Connector:
    return load_connector(provider)


@pytest.fixture(params=TENANTS)
def tenant(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def world(tenant: str) -> Company:
    return company(tenant, scale=0.02, now=NOW)


@pytest.fixture
def open_account(provider: str) -> OpenAccount:
    """Return what serves a company's account at the provider for a while."""

    @asynccontextmanager
    async def opened(whose: Company) -> AsyncIterator[Account]:
        async with running([whose], providers=[provider]) as fleet:
            server = fleet.server(provider, whose.tenant)
            async with Account.connected(server, whose) as account:
                yield account

    return opened


@pytest.fixture
async def account(open_account: OpenAccount, world: Company) -> AsyncIterator[Account]:
    async with open_account(world) as opened:
        yield opened
