"""Every registered connector, facing its sandbox over HTTP. Nothing here knows a provider.

`account` lives as long as a module's tests of one provider and tenant, which only read from it;
tests that change records open accounts of their own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from tests.contract.engine import Account

from firnline.catalog.model import Catalog
from firnline.connectors.protocol import Connector
from firnline.connectors.registry import connector_folders, load_connector
from firnline.sandbox.protocol import SandboxOptions
from firnline.sandbox.seed import company
from firnline.sandbox.server import running
from firnline.sandbox.world import Company

NOW = datetime(2026, 11, 22, 16, 0, tzinfo=UTC)
TENANTS = ("acme", "globex", "initech")
PROVIDERS = tuple(sorted(connector_folders()))

OpenAccount = Callable[[Company], AbstractAsyncContextManager[Account]]


@pytest.fixture(scope="module", params=PROVIDERS)
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def connector(provider: str) -> Connector:
    return load_connector(provider)


@pytest.fixture(scope="module", params=TENANTS)
def tenant(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def world(tenant: str) -> Company:
    return company(tenant, scale=0.02, now=NOW)


@pytest.fixture(scope="module")
def open_account(provider: str) -> OpenAccount:
    """Return what serves a company's account at the provider for a while."""

    @asynccontextmanager
    async def opened(whose: Company) -> AsyncIterator[Account]:
        # Small pages make many calls; the vendors' rate limits have tests of their own.
        options = SandboxOptions(seed=whose.seed, now=whose.now, limits=False)
        async with running([whose], providers=[provider], options=options) as fleet:
            server = fleet.server(provider, whose.tenant)
            async with Account.connected(server, whose) as account:
                yield account

    return opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def account(open_account: OpenAccount, world: Company) -> AsyncIterator[Account]:
    async with open_account(world) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def catalog(account: Account) -> Catalog:
    return await account.discover()
