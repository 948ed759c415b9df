"""One small org per tenant, behind a real port, and a driver that reads it as the integration."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from httpx2 import AsyncClient
from tests.connectors.salesforce.driver import NOW, Driver

from firnline.clock import SystemClock
from firnline.connectors.registry import load_connector
from firnline.sandbox.protocol import SandboxOptions
from firnline.sandbox.seed import company
from firnline.sandbox.server import serving


@dataclass
class World:
    sandbox: Any
    http: AsyncClient
    driver: Driver
    url: str

    def as_(self, email: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.sandbox.token_for(email)}"}

    async def query(self, soql: str, email: str = "", resource: str = "query") -> Any:
        answer = await self.http.get(
            f"/services/data/v66.0/{resource}",
            params={"q": soql},
            headers=self.as_(email or self.sandbox.integration_email),
        )
        return answer.json()


async def _world(tenant: str, **options: Any) -> AsyncIterator[World]:
    drawn = company(tenant, seed=7, scale=0.03, now=NOW)
    chosen = SandboxOptions(seed=7, now=NOW, **options)
    async with (
        serving("salesforce", drawn, chosen, clock=SystemClock()) as server,
        AsyncClient(base_url=server.url) as http,
    ):
        sandbox: Any = server.sandbox
        token = sandbox.token_for(sandbox.integration_email)
        driver = Driver(load_connector("salesforce"), http, token, sandbox.settings)
        yield World(sandbox, http, driver, server.url)


@pytest.fixture(params=["acme", "globex"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async for found in _world(request.param):
        yield found


@pytest.fixture
async def acme(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async for found in _world("acme", **getattr(request, "param", {})):
        yield found


@pytest.fixture
async def globex() -> AsyncIterator[World]:
    async for found in _world("globex"):
        yield found
