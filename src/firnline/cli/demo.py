"""`firnline demo`: the whole product at work on two sandbox tenants."""

from __future__ import annotations

import asyncio
import signal
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from firnline.cli.running import AsJson, print_json, run
from firnline.cli.sandbox import latency_range
from firnline.demo import printing
from firnline.demo.serving import serve_demo
from firnline.demo.show import show
from firnline.demo.stage import DemoPlan, stage
from firnline.errors import UsageError
from firnline.sandbox.seed import SCALE_MAX, ScaleError
from firnline.web.server import address_of, open_socket

_TERMINATED = 128 + signal.SIGTERM


class DemoOptionsError(UsageError):
    """The options of `firnline demo` do not fit together."""

    code = "demo_options"


def demo(
    once: Annotated[bool, typer.Option("--once", help="End after the answers.")] = False,
    scale: Annotated[float, typer.Option(help="Size; 1 has about 2,000 accounts a tenant.")] = 1.0,
    latency: Annotated[str, typer.Option(help="Delay of every provider call in ms.")] = "200-800",
    limits: Annotated[
        bool, typer.Option("--limits", help="Keep the vendors' rate limits: takes minutes.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Another seed is another world.")] = 7,
    home: Annotated[
        Path, typer.Option(help="Where state and caches of the demo lie; emptied at the start.")
    ] = Path(".firnline/demo"),
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep what an earlier demo left in --home.")
    ] = False,
    port: Annotated[int, typer.Option(help="Port of GraphiQL; 0 is any free one.")] = 8080,
    as_json: AsJson = False,
) -> None:
    """Show Firnline at work: sandboxes, connect, sync, one question as four people, GraphiQL."""
    if as_json and not once:
        raise DemoOptionsError("--json needs --once", hint="Run `firnline demo --once --json`.")
    if not 0 < scale <= SCALE_MAX:
        raise ScaleError(scale)
    console = Console(stderr=as_json, highlight=False)
    with ExitStack() as stack:
        listening = None
        public_url = ""
        if not once:  # before anything else, so that a port in use is told at once
            listening = stack.enter_context(open_socket("127.0.0.1", port, development=True))
            public_url = address_of(listening)
        plan = DemoPlan(
            home=home,
            scale=scale,
            latency_ms=latency_range(latency),
            limits=limits,
            seed=seed,
            keep=keep,
            public_url=public_url or "http://127.0.0.1",
        )
        run(lambda: _play(plan, console, listening, as_json=as_json))


async def _play(
    plan: DemoPlan, console: Console, listening: socket.socket | None, *, as_json: bool
) -> None:
    """Show everything; SIGTERM ends it like Ctrl-C, with sandboxes and caches closed."""
    playing = asyncio.ensure_future(_shown(plan, console, listening, as_json=as_json))
    terminated = asyncio.Event()

    def terminate() -> None:
        terminated.set()
        playing.cancel()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
    try:
        await playing
    except asyncio.CancelledError:
        if not terminated.is_set():
            raise
        raise typer.Exit(_TERMINATED) from None


async def _shown(
    plan: DemoPlan, console: Console, listening: socket.socket | None, *, as_json: bool
) -> None:
    printing.opening(console, plan)
    async with stage(plan, console) as prepared:
        facts = await show(prepared, console)
        if as_json:
            print_json(facts)
        if listening is not None:
            await serve_demo(prepared.app, listening, console)
