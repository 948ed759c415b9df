"""Served accounts for the NetSuite tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.connectors.netsuite.account import Driver, sandbox_of, serve, world

# An RSA key takes a while to make; only the sign-in tests need one.
QUICK_KEY = {"algorithm": "ES256"}


@pytest.fixture(params=["acme", "globex"])
async def driver(request: pytest.FixtureRequest) -> AsyncIterator[Driver]:
    """An admin's driver over one tenant's account, small enough to read in no time."""
    sandbox = sandbox_of(world(request.param), switches=QUICK_KEY)
    async with serve(sandbox.app) as http:
        yield Driver(http, sandbox)


@pytest.fixture
async def acme() -> AsyncIterator[Driver]:
    """An admin's driver over the first tenant's account."""
    sandbox = sandbox_of(world("acme"), switches=QUICK_KEY)
    async with serve(sandbox.app) as http:
        yield Driver(http, sandbox)
