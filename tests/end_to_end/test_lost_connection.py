"""A customer revokes access: data stays readable and is called stale, and coming back costs little.

Real sandboxes over HTTP, the whole application; nothing here waits for anything but the network.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from firnline.access.principal import Principal
from firnline.app import App, opened
from firnline.sandbox.protocol import SandboxOptions
from firnline.sandbox.seed import company
from firnline.sandbox.server import Fleet, SandboxServer, running
from firnline.sandbox.signin import connect
from firnline.settings import Settings
from firnline.sync.report import SyncReport

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROJECT = Path(__file__).parent / "verifying"
NOW = datetime.now(UTC).replace(microsecond=0)  # providers check tokens against the real time
TENANT = "acme"
LISTS = {"crm": "accounts", "desk": "tickets", "erp": "customers"}
OBJECTS = {"crm": "Account", "desk": "tickets", "erp": "customer"}


@dataclass
class Office:
    """An application over a synced tenant, beside the sandboxes that it was synced from."""

    app: App
    fleet: Fleet
    asker: Principal

    def server(self, connection: str) -> SandboxServer:
        return self.fleet.server(self.app.tenant(TENANT).connections[connection].provider, TENANT)

    async def connect(self, connection: str) -> None:
        sandbox: Any = self.server(connection).sandbox
        if sandbox.provider == "netsuite":
            sandbox.map_certificate(sandbox.integration_email)
        await connect(
            *(self.app.connections, self.app.tenant(TENANT), connection),
            client=sandbox.client,
            email=sandbox.integration_email,
        )

    def revoke(self, connection: str) -> None:
        """End the connection's authorisation at the provider, as its administrator does."""
        sandbox: Any = self.server(connection).sandbox
        if sandbox.provider == "netsuite":  # its tokens are asked for anew with the certificate
            sandbox.withdraw_certificate(sandbox.integration_email)
        else:
            sandbox.revoke(sandbox.integration_email)

    async def ask(self, connection: str) -> tuple[int, dict[str, Any]]:
        """Return how many records the asker sees, and how fresh they are."""
        answer = await self.app.ask(self.asker, f"{{ {LISTS[connection]} {{ totalCount }} }}")
        assert not answer.errors
        fresh = answer.extensions["freshness"][f"{connection}.{OBJECTS[connection]}"]
        return answer.data[LISTS[connection]]["totalCount"], fresh

    async def sync(self, connection: str) -> SyncReport:
        return await self.app.sync(TENANT, [connection])


@asynccontextmanager
async def standing(app: App) -> AsyncIterator[None]:
    """Follow the states of connections, as a server does."""
    following = asyncio.create_task(app.standings.keep_current())
    try:
        yield
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def office(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    world = company(TENANT, scale=0.01, now=NOW)
    options = SandboxOptions(seed=7, now=NOW, limits=False)
    async with running([world], options=options) as fleet:
        settings = Settings(home=tmp_path_factory.mktemp("home"), routes=fleet.routes)
        async with opened(PROJECT, settings) as app, standing(app):
            everyone = fleet.sandbox("salesforce", TENANT).integration_email
            office = Office(app, fleet, Principal(TENANT, everyone.casefold()))
            for connection in LISTS:
                await office.connect(connection)
            report = await app.sync(TENANT)
            assert report.ok, report
            yield office


async def until_told(office: Office, connection: str, *, stale: bool) -> dict[str, Any]:
    """Return what answers say of a connection's data once they say that it is stale, or not."""
    async with asyncio.timeout(20):
        while True:
            _, fresh = await office.ask(connection)
            if ("stale" in fresh) == stale:
                return fresh
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("connection", sorted(LISTS))
async def test_revoked_connection_stays_readable_is_stale_and_resumes_where_it_was(
    office: Office, connection: str
) -> None:
    count, fresh = await office.ask(connection)
    assert "stale" not in fresh
    before = await office.sync(connection)
    assert not any(each.is_full for each in before.objects if each.object == OBJECTS[connection])
    synced_at = (await office.ask(connection))[1]["syncedAt"]

    office.revoke(connection)
    lost = await office.sync(connection)
    assert {each.trouble.code for each in lost.objects if each.trouble} == {"needs_reconnect"}, (
        lost.as_dict()
    )

    told = await until_told(office, connection, stale=True)
    assert told["stale"]["connection"] == "needs_reconnect"
    assert told["syncedAt"] == synced_at, "no younger than the last whole read"
    assert (await office.ask(connection))[0] == count

    others = [name for name in LISTS if name != connection]
    assert not any(["stale" in (await office.ask(name))[1] for name in others])
    assert (await office.app.sync(TENANT, others)).ok

    await office.connect(connection)
    again = await office.sync(connection)
    assert again.ok, again.as_dict()
    full = {each.object for each in again.objects if each.is_full}
    assert full == {each.object for each in before.objects if each.is_full}, "no new backfill"
    assert "stale" not in await until_told(office, connection, stale=False)


async def test_paused_sync_does_not_ask_the_provider(office: Office) -> None:
    connection = "desk"
    office.revoke(connection)
    await office.sync(connection)
    calls = office.server(connection).line.calls

    with pytest.raises(Exception, match="connected again"):
        await office.sync(connection)
    both = await office.app.sync(TENANT, [connection, "erp"])

    assert office.server(connection).line.calls == calls
    assert both.closed[connection].code == "needs_reconnect"
    assert all(each.trouble is None for each in both.objects)
    await office.connect(connection)
