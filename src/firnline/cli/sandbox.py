"""`firnline sandbox`: serves the providers' sandboxes for demo tenants until interrupted."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from pydantic import ValidationError
from rich import box
from rich.console import Console
from rich.table import Table

from firnline.clock import SystemClock
from firnline.errors import UsageError
from firnline.sandbox.seed import STYLES
from firnline.sandbox.server import SandboxServer
from firnline.sandbox.serving import ServedFleet, ServePlan, served
from firnline.settings import read_settings


class LatencyInvalidError(UsageError):
    """--latency is not a range of milliseconds."""

    code = "latency_invalid"

    def __init__(self, text: str) -> None:
        super().__init__(
            f"latency {text!r} is not a range", hint="Write it in milliseconds, such as 200-800."
        )


class SandboxPlanError(UsageError):
    """The options of `firnline sandbox` do not fit."""

    code = "sandbox_plan"


def latency_range(text: str) -> tuple[int, int]:
    """Return (low, high) in ms of "200-800" or "300"; raises LatencyInvalidError."""
    match = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", text.strip())
    if match is None:
        raise LatencyInvalidError(text)
    low = int(match[1])
    high = int(match[2]) if match[2] else low
    if high < low:
        raise LatencyInvalidError(text)
    return low, high


def _plan(**options: Any) -> ServePlan:
    try:
        return ServePlan(now=SystemClock().now(), **options)
    except ValidationError as error:
        wrong = error.errors()[0]
        option = str(wrong["loc"][0]) if wrong["loc"] else "options"
        raise SandboxPlanError(
            f"{option}: {wrong['msg']}",
            hint="`firnline sandbox --help` says what each option takes.",
        ) from error


def _facts(server: SandboxServer) -> Mapping[str, Any]:
    return {
        "tenant": server.tenant,
        "provider": server.provider,
        "vendor": server.sandbox.base_url,
        "url": server.url,
        "people": len(server.sandbox.emails()),
        "records": sum(server.sandbox.counts().values()),
    }


def _table(running: ServedFleet) -> Table:
    table = Table(title="Sandboxes", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("Tenant", "Provider"):
        table.add_column(heading)
    # One below the other: 80 columns are enough for both.
    table.add_column("Stands for, listens on", overflow="fold")
    table.add_column("People", justify="right")
    table.add_column("Records", justify="right")
    for server in running.fleet.servers.values():
        facts = _facts(server)
        table.add_row(
            facts["tenant"],
            facts["provider"],
            f"{facts['vendor']}\n{facts['url']}",
            str(facts["people"]),
            f"{facts['records']:,}",
        )
    return table


def _announce(running: ServedFleet, plan: ServePlan, *, as_json: bool) -> None:
    if as_json:
        servers = [_facts(server) for server in running.fleet.servers.values()]
        facts = {
            "servers": servers,
            "routes": running.fleet.routes,
            "state_file": str(plan.state_file),
        }
        typer.echo(orjson.dumps(facts).decode())
        return
    console = Console()
    console.print(_table(running))
    console.print(f"Routes, clients and people: {plan.state_file} (readable by you only)")
    console.print("Serving until interrupted (Ctrl-C).")


async def _serve(plan: ServePlan, *, as_json: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with served(plan, clock=SystemClock()) as running:
        _announce(running, plan, as_json=as_json)
        await stop.wait()


def sandbox(
    tenant: Annotated[
        list[str] | None, typer.Option(help="Tenant to serve; repeat for several.")
    ] = None,
    provider: Annotated[
        list[str] | None,
        typer.Option(help="Provider to serve; repeat for several. All, unless named."),
    ] = None,
    scale: Annotated[float, typer.Option(help="Size; 1 has about 2,000 accounts a tenant.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Another seed is another world.")] = 7,
    latency: Annotated[
        str, typer.Option(help="Delay of every call in ms, such as 200-800.")
    ] = "200-800",
    limits: Annotated[
        bool, typer.Option("--limits/--no-limits", help="Keep the vendors' rate limits.")
    ] = True,
    state_file: Annotated[
        Path | None, typer.Option(help="Where routes and clients are written, while serving.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Serve sandboxes of the providers for demo tenants, until interrupted."""
    chosen = state_file
    if chosen is None:
        home = read_settings().home
        home.mkdir(parents=True, exist_ok=True)
        chosen = home / "sandbox.json"
    plan = _plan(
        tenants=tuple(tenant) if tenant else tuple(STYLES),
        providers=tuple(provider) if provider else None,
        scale=scale,
        seed=seed,
        latency_ms=latency_range(latency),
        limits=limits,
        state_file=chosen,
    )
    asyncio.run(_serve(plan, as_json=as_json))
