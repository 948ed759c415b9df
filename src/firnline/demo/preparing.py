"""Brings both tenants from nothing to a filled cache: connect, discover, sync, system by system.

Takes an opened application and the sandboxes; tells a `Watcher` what happens, gives the reports.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from firnline.app import App
from firnline.errors import FirnlineError
from firnline.sandbox.process import SpawnedFleet
from firnline.sandbox.signin import connect
from firnline.sync.report import SyncProgress, SyncReport

Reports = Mapping[tuple[str, str], SyncReport]  # by tenant and connection


class DemoSyncError(FirnlineError):
    """An object of a demo tenant could not be read."""

    code = "demo_sync"


class Watcher(Protocol):
    """Is told how far each system of each tenant is."""

    def step(self, tenant: str, connection: str, doing: str) -> None:
        """Say what is being done with one system."""
        ...

    def read(self, tenant: str, progress: SyncProgress) -> None:
        """Say how far one object is."""
        ...

    def done(self, tenant: str, connection: str, report: SyncReport) -> None:
        """Say that one system is in the cache."""
        ...


async def prepare(
    app: App, fleet: SpawnedFleet, *, watcher: Watcher, full: bool = False
) -> Reports:
    """Connect, discover and sync every system of every tenant, all at the same time.

    Each system goes on alone: nobody waits for the slowest to be connected. Raises what the steps
    raise, and DemoSyncError.
    """
    places = [(tenant, name) for tenant in fleet.people for name in app.tenant(tenant).connections]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = {
                place: group.create_task(_system(app, fleet, *place, watcher=watcher, full=full))
                for place in places
            }
    except* FirnlineError as failed:
        raise _first(failed) from None
    return {place: task.result() for place, task in tasks.items()}


async def _system(
    app: App, fleet: SpawnedFleet, tenant: str, name: str, *, watcher: Watcher, full: bool
) -> SyncReport:
    spec = app.tenant(tenant)
    server = fleet.server(spec.connections[name].provider, tenant)
    watcher.step(tenant, name, "connecting")
    await connect(app.connections, spec, name, client=server.client, email=server.integration_email)
    watcher.step(tenant, name, "discovering")
    (await app.discover(tenant, [name])).raise_first()
    watcher.step(tenant, name, "syncing")
    report = await app.sync(
        tenant, [name], full=full, on_progress=lambda told: watcher.read(tenant, told)
    )
    for one in report.failed:
        assert one.trouble is not None
        raise DemoSyncError(
            f"{one.connection}.{one.object} of {tenant} could not be read: {one.trouble.message}",
            hint=one.trouble.hint,
        )
    watcher.done(tenant, name, report)
    return report


def _first(failed: BaseExceptionGroup[BaseException]) -> BaseException:
    first = failed.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
