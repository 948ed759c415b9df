"""Processes of their own that call a connection, stopped at a chosen point of a renewal.

Forked from one server that has imported everything, so that many cost little.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from tests.connections.conftest import SPEC

from firnline.clock import SystemClock
from firnline.connections import Connections
from firnline.connections.flows import Flows
from firnline.connections.renewals import Renewals
from firnline.connectors.protocol import Response
from firnline.errors import FirnlineError
from firnline.settings import Settings
from firnline.spec.model import TenantSpec
from firnline.state.leases import Leases
from firnline.transport import Transport
from firnline.transport.call import OutboundCall

PROVIDERS = Path(__file__).parent / "providers"
# Where a process stands still in a renewal, to be killed there.
STOPS: Mapping[str, tuple[type, str]] = {
    "the lease is held": (Renewals, "_note_beginning"),
    "the beginning is noted": (Flows, "renew"),
    "the answer has come": (Renewals, "_stored"),
    "the answer is stored": (Leases, "release"),
}


@dataclass(frozen=True)
class Job:
    """What a process does: ask so many times at once who it is, after it was told to go."""

    home: Path
    routes: Mapping[str, str]
    spec: TenantSpec = SPEC
    name: str = "clips"
    connectors: str = str(PROVIDERS)
    calls: int = 1
    stop: str = ""
    deadline_s: float = 20.0


@dataclass(frozen=True)
class Done:
    """What became of a process's calls, and how often it asked for a token."""

    outcomes: list[str]
    token_calls: int


@dataclass
class Worker:
    """One process under way."""

    process: ForkServerProcess
    pipe: Connection = field(repr=False)

    async def told(self, timeout_s: float = 60.0) -> Any:
        """Return the next that the process says."""
        if not await asyncio.to_thread(self.pipe.poll, timeout_s):
            raise TimeoutError("the process says nothing")
        return self.pipe.recv()

    def go(self) -> None:
        """Let it begin."""
        self.pipe.send("go")

    async def kill(self) -> None:
        """End it with SIGKILL."""
        self.process.kill()
        await asyncio.to_thread(self.process.join)
        self.pipe.close()

    async def done(self) -> Done:
        """Wait for its end; return what came of it."""
        done = await self.told()
        assert isinstance(done, Done)
        await asyncio.to_thread(self.process.join)
        self.pipe.close()
        return done


async def started(job: Job) -> Worker:
    """Return a process that has opened the connection and waits to be told to go."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    here, there = context.Pipe()
    process = context.Process(target=_work, args=(job, there), daemon=True)
    await asyncio.to_thread(process.start)
    there.close()
    worker = Worker(process, here)
    assert await worker.told() == "ready"
    return worker


def _work(job: Job, pipe: Connection) -> None:
    if job.connectors:
        os.environ["FIRNLINE_CONNECTORS"] = job.connectors
    else:
        os.environ.pop("FIRNLINE_CONNECTORS", None)
    if job.stop:
        place, name = STOPS[job.stop]
        setattr(place, name, _standing_still(job.stop, pipe))
    asyncio.run(_calls(job, pipe))


def _standing_still(stop: str, pipe: Connection) -> Any:
    async def stand(*_arguments: object, **_named: object) -> None:
        pipe.send(stop)
        await asyncio.Event().wait()

    return stand


async def _calls(job: Job, pipe: Connection) -> None:
    settings = Settings(home=job.home, routes=dict(job.routes), provider_deadline_s=job.deadline_s)
    token_calls: list[str] = []
    send = Transport.send

    async def counted(self: Transport, call: OutboundCall, *, deadline_s: float) -> Response:
        if call.target == "token":
            token_calls.append(call.method)
        return await send(self, call, deadline_s=deadline_s)

    Transport.send = counted  # type: ignore[method-assign]
    async with Connections.open(settings, clock=SystemClock()) as connections:
        pipe.send("ready")
        await asyncio.to_thread(pipe.recv)
        channel = await connections.channel("acme", job.spec, job.name)

        async def call() -> str:
            try:
                await channel.run(channel.connector.identify(channel.settings))
                return "answered"
            except FirnlineError as error:
                return error.code

        outcomes = await asyncio.gather(*(call() for _ in range(job.calls)))
        pipe.send(Done(list(outcomes), len(token_calls)))
