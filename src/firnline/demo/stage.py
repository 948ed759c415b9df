"""Sets the demo up: sandboxes in child processes, an application, both tenants in the cache.

Takes a `DemoPlan`; the demo command and the benchmarks receive a `Stage`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from firnline.app import App, opened
from firnline.clock import Clock, SystemClock
from firnline.demo.home import demo_home, demo_settings
from firnline.demo.preparing import Reports, prepare
from firnline.demo.progress import bars
from firnline.demo.question import PROJECT
from firnline.sandbox.process import SpawnedFleet, spawned
from firnline.sandbox.seed import STYLES
from firnline.sandbox.serving import ServePlan

TENANTS = tuple(STYLES)


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """How large, how slow and where. `public_url` is where GraphiQL will be served."""

    home: Path
    scale: float = 1.0
    latency_ms: tuple[int, int] = (200, 800)
    limits: bool = False
    seed: int = 7
    keep: bool = False
    public_url: str = "http://127.0.0.1:8080"


@dataclass(frozen=True, slots=True)
class Stage:
    """A filled application beside the sandboxes. `started` is on the application's clock."""

    app: App
    fleet: SpawnedFleet
    reports: Reports
    started: float
    sandboxes_s: float

    @property
    def elapsed_s(self) -> float:
        """Return the seconds since the start."""
        return self.app.clock.monotonic() - self.started

    async def synced(self) -> Mapping[str, Mapping[str, Mapping[str, int]]]:
        """Return the cached records: tenant -> connection -> object -> count."""
        counts: dict[str, dict[str, dict[str, int]]] = {}
        for (tenant, connection), report in self.reports.items():
            database = await self.app.database(tenant)
            counts.setdefault(tenant, {})[connection] = {
                one.object: await asyncio.to_thread(database.count, connection, one.object)
                for one in report.objects
            }
        return counts


@asynccontextmanager
async def stage(
    plan: DemoPlan, console: Console, *, clock: Clock | None = None
) -> AsyncIterator[Stage]:
    """Give the prepared stage; when the context ends, the sandboxes have ended, too.

    Raises DemoHomeError, SandboxStartError and what connecting, discovering and syncing raise.
    """
    clock = clock or SystemClock()
    started = clock.monotonic()
    serve = ServePlan(
        tenants=TENANTS,
        now=clock.now(),
        scale=plan.scale,
        seed=plan.seed,
        latency_ms=plan.latency_ms,
        limits=plan.limits,
        state_file=plan.home / "sandbox.json",
    )
    async with AsyncExitStack() as stack:
        stack.enter_context(demo_home(plan.home, keep=plan.keep))
        with console.status("Starting the sandboxes"):
            fleet = await stack.enter_async_context(spawned(serve, directory=plan.home))
        sandboxes_s = clock.monotonic() - started
        settings = demo_settings(
            plan.home, fleet.routes, public_url=plan.public_url, limits=plan.limits
        )
        app = await stack.enter_async_context(opened(PROJECT, settings, clock=clock))
        with bars(console, await fleet.counts()) as watcher:
            reports = await prepare(app, fleet, watcher=watcher, full=plan.keep)
        yield Stage(app, fleet, reports, started, sandboxes_s)
