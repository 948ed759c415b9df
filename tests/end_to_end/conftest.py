"""Both demo tenants, connected and synced from their sandboxes over HTTP, once per session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest_asyncio

import firnline.demo
from firnline.app import App, opened
from firnline.sandbox.protocol import SandboxOptions
from firnline.sandbox.seed import company
from firnline.sandbox.server import Fleet, running
from firnline.sandbox.signin import connect
from firnline.sandbox.world import Company
from firnline.settings import Settings

NOW = datetime.now(UTC).replace(microsecond=0)  # providers check tokens against the real time
TENANTS = ("acme", "globex")
PROJECT = Path(firnline.demo.__file__).parent / "project"
SCALE = 0.04


@dataclass(frozen=True)
class Synced:
    """An application over synced tenants, beside the sandboxes that it was synced from."""

    app: App
    fleet: Fleet
    worlds: dict[str, Company]


async def connect_all(app: App, fleet: Fleet, tenant: str) -> None:
    """Connect every system of a tenant through its real OAuth flow."""
    spec = app.tenant(tenant)
    for name, connection in spec.connections.items():
        server = fleet.server(connection.provider, tenant)
        email = server.sandbox.integration_email
        await connect(app.connections, spec, name, client=server.sandbox.client, email=email)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def synced(tmp_path_factory) -> AsyncIterator[Synced]:
    """Give the synced world."""
    home = tmp_path_factory.mktemp("home")
    worlds = {tenant: company(tenant, scale=SCALE, now=NOW) for tenant in TENANTS}
    options = SandboxOptions(seed=7, now=NOW, limits=False)
    async with running(list(worlds.values()), options=options) as fleet:
        settings = Settings(home=home, routes=fleet.routes, duckdb_threads=1)
        async with opened(PROJECT, settings) as app:
            for tenant in TENANTS:
                await connect_all(app, fleet, tenant)
            reports = await asyncio.gather(*(app.sync(tenant) for tenant in TENANTS))
            assert all(report.ok for report in reports), reports
            yield Synced(app, fleet, worlds)
