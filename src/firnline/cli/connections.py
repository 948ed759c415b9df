"""`firnline connections`: how connections stand, and what an operator does about them."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from firnline.app import App, opened
from firnline.cli.connection_tables import (
    event_line,
    events_table,
    facts_table,
    quota_table,
    statuses_table,
)
from firnline.cli.running import AsJson, Directory, TenantArgument, print_json, run
from firnline.connections.site import UnknownConnectionError
from firnline.connections.statuses import NOT_CONNECTED, ConnectionStatus, chosen, status_of
from firnline.errors import FirnlineError, UsageError
from firnline.spec.model import TenantSpec
from firnline.state import ConnectionEvent, ConnectionRow
from firnline.web.admin.forms import REASON_LENGTH_MAX, Connection, ConnectionList, Event

EVENTS_SHOWN = 10

connections = typer.Typer(
    help="Show connections, try, renew, end and watch them.", no_args_is_help=True
)

NameArgument = Annotated[str, typer.Argument(help="The connection's name.")]
Person = Annotated[str, typer.Option(help="E-mail of whose own connection is meant.")]


def _plain(reason: str) -> str:
    """Return a reason that fits where it is shown, as the admin API takes it."""
    if len(reason) > REASON_LENGTH_MAX or not reason.isprintable():
        raise typer.BadParameter(f"a line of up to {REASON_LENGTH_MAX} characters is wanted")
    return reason


Reason = Annotated[
    str, typer.Option(help="Why; it stands in the status and the event.", callback=_plain)
]


class RevokeOptionsError(UsageError):
    """It is not clear which connections are to end."""

    code = "revoke_options"


@connections.command("list")
def list_connections(
    tenant: Annotated[str, typer.Argument(help="The tenant's name; all, unless named.")] = "",
    directory: Directory = Path(),
    as_json: AsJson = False,
) -> None:
    """Show how connections stand. Exit code 1 when one that is declared does not work."""
    broken = False

    async def work() -> None:
        nonlocal broken
        async with opened(directory, read_only=True) as app:
            specs = [app.tenant(tenant)] if tenant else list(app.project.tenants.values())
            found = {spec.tenant: await app.connections.statuses(spec) for spec in specs}
        broken = any(_is_broken(each) for statuses in found.values() for each in statuses)
        if as_json:
            print_json({"tenants": [_listed(name, each) for name, each in found.items()]})
            return
        for name, statuses in found.items():
            Console().print(statuses_table(name, statuses))

    run(work)
    if broken:
        raise typer.Exit(1)


@connections.command()
def show(
    tenant: TenantArgument,
    name: NameArgument,
    person: Person = "",
    directory: Directory = Path(),
    as_json: AsJson = False,
) -> None:
    """Show all that is known of one connection, and how it became what it is."""

    async def work() -> None:
        async with opened(directory, read_only=True) as app:
            spec = app.tenant(tenant)
            status = await _status(app, spec, name, person)
            events = await _events(app, tenant, name, status.person)
            quota = None
            if status.is_declared:
                quota = await app.connections.standing(spec, name, person=person)
        if as_json:
            told = [Event.of(each).model_dump() for each in events]
            counted = None if quota is None else asdict(quota)
            print_json({"tenant": tenant, **_facts(status), "quota": counted, "events": told})
            return
        Console().print(facts_table(tenant, status))
        if quota is not None and quota.budgets:
            Console().print(quota_table(quota))
        if events:
            Console().print(events_table(events))

    run(work)


@connections.command()
def test(
    tenant: TenantArgument,
    name: Annotated[
        str,
        typer.Argument(help="The connection's name; all that somebody connected, unless named."),
    ] = "",
    person: Person = "",
    directory: Directory = Path(),
    as_json: AsJson = False,
) -> None:
    """Ask the provider who a connection is. Exit code 1 when one does not answer."""
    failed = False

    async def work() -> None:
        nonlocal failed
        async with opened(directory, read_only=True) as app:
            spec = app.tenant(tenant)
            names = [name] if name else await _stored(app, spec)
            tried = [await _tested(app, spec, each, person) for each in names]
        failed = any("error" in each for each in tried)
        if as_json:
            print_json({"tenant": tenant, "tests": tried})
            return
        console = Console(soft_wrap=True, highlight=False)
        if not tried:
            console.print(f"Nothing is connected. Run: firnline connect {tenant}", markup=False)
        for each in tried:
            _print_test(console, each)

    run(work)
    if failed:
        raise typer.Exit(1)


@connections.command()
def refresh(
    tenant: TenantArgument,
    name: NameArgument,
    person: Person = "",
    directory: Directory = Path(),
    as_json: AsJson = False,
) -> None:
    """Renew a connection's token now."""

    async def work(app: App, spec: TenantSpec) -> ConnectionRow:
        return await app.connections.refresh(spec, name, person=person)

    _change(work, tenant, directory, as_json=as_json)


@connections.command()
def revoke(
    tenant: TenantArgument,
    name: Annotated[str, typer.Argument(help="The connection's name.")] = "",
    everything: Annotated[
        bool, typer.Option("--all", help="All of the tenant's, people's own included.")
    ] = False,
    person: Person = "",
    reason: Reason = "",
    directory: Directory = Path(),
    as_json: AsJson = False,
) -> None:
    """End a connection: forget its token, and end it at the provider where that is possible."""
    if bool(name) == everything:
        raise RevokeOptionsError(
            "either one connection ends or all of them", hint="Name one, or say --all."
        )

    async def one(app: App, spec: TenantSpec) -> ConnectionRow:
        return await app.connections.revoke(spec, name, person=person, reason=reason)

    async def all_of_them() -> None:
        async with opened(directory, read_only=True) as app:
            spec = app.tenant(tenant)
            await app.connections.revoke_all(tenant, reason=reason)
            statuses = await app.connections.statuses(spec)
        if as_json:
            print_json(_listed(tenant, statuses))
        else:
            Console().print(statuses_table(tenant, statuses))

    if everything:
        run(all_of_them)
    else:
        _change(one, tenant, directory, as_json=as_json)


@connections.command()
def disable(
    tenant: TenantArgument,
    name: NameArgument,
    person: Person = "",
    reason: Reason = "",
    directory: Directory = Path(),
    as_json: AsJson = False,
) -> None:
    """Switch a connection off; its token is kept."""

    async def work(app: App, spec: TenantSpec) -> ConnectionRow:
        return await app.connections.disable(spec, name, person=person, reason=reason)

    _change(work, tenant, directory, as_json=as_json)


@connections.command()
def enable(
    tenant: TenantArgument,
    name: NameArgument,
    person: Person = "",
    directory: Directory = Path(),
    as_json: AsJson = False,
) -> None:
    """Switch a connection on again."""

    async def work(app: App, spec: TenantSpec) -> ConnectionRow:
        return await app.connections.enable(spec, name, person=person)

    _change(work, tenant, directory, as_json=as_json)


@connections.command()
def watch(
    tenant: Annotated[str, typer.Argument(help="The tenant's name; all, unless named.")] = "",
    after: Annotated[
        int, typer.Option(min=0, help="Go on after the change of that number; the newest, if none.")
    ] = -1,
    directory: Directory = Path(),
    as_json: AsJson = False,
) -> None:
    """Print each change of a connection's state as it happens, until interrupted."""

    async def work() -> None:
        console = Console(soft_wrap=True, highlight=False)
        async with opened(directory, read_only=True) as app:
            if tenant:
                app.tenant(tenant)
            events = app.state.connection_events
            first = after if after >= 0 else await events.newest()
            async for event in events.follow(first, tenant=tenant):
                if as_json:
                    print_json(Event.of(event).model_dump())
                else:
                    console.print(event_line(event))

    run(work)


def _change(
    work: Callable[[App, TenantSpec], Awaitable[ConnectionRow]],
    tenant: str,
    directory: Path,
    *,
    as_json: bool,
) -> None:
    """Change one connection and show how it stands then."""

    async def changed() -> None:
        async with opened(directory, read_only=True) as app:
            spec = app.tenant(tenant)
            status = status_of(spec, await work(app, spec))
        if as_json:
            print_json({"tenant": tenant, **_facts(status)})
        else:
            Console().print(facts_table(tenant, status))

    run(changed)


async def _tested(app: App, spec: TenantSpec, name: str, person: str) -> dict[str, Any]:
    try:
        who = await app.connections.test(spec, name, person=person)
    except UnknownConnectionError:
        raise
    except FirnlineError as error:
        return {"name": name, "error": error.as_dict()}
    return {
        "name": name,
        "account": who.account,
        "account_name": who.account_name,
        "user_key": who.user_key,
        "user_name": who.user_name,
    }


def _print_test(console: Console, tried: dict[str, Any]) -> None:
    name = tried["name"]
    error = tried.get("error")
    if error is None:
        console.print(f"[green]works[/]  {name}", end="  ")
        console.print(f"{tried['account_name']}, as {tried['user_name']}", markup=False)
        return
    console.print(f"[red]fails[/]  {name}", end="  ")
    console.print(f"[{error['code']}] {error['message']}", markup=False)
    if error.get("hint"):
        console.print(f"       -> {error['hint']}", markup=False)


async def _status(app: App, spec: TenantSpec, name: str, person: str) -> ConnectionStatus:
    return chosen(spec, await app.connections.statuses(spec), name, person)


async def _stored(app: App, spec: TenantSpec) -> list[str]:
    """Return the organisation's connections that somebody has connected."""
    statuses = await app.connections.statuses(spec)
    return [
        each.name
        for each in statuses
        if each.is_declared and not each.person and each.state not in (NOT_CONNECTED, "revoked")
    ]


async def _events(app: App, tenant: str, name: str, person: str) -> Sequence[ConnectionEvent]:
    """Return the last changes of one connection, the oldest first."""
    last: deque[ConnectionEvent] = deque(maxlen=EVENTS_SHOWN)
    number = 0
    while page := await app.connections.events(number, tenant=tenant):
        last.extend(each for each in page if (each.name, each.person) == (name, person))
        number = page[-1].number
    return last


def _is_broken(status: ConnectionStatus) -> bool:
    is_working = status.state in ("active", "expiring")
    return status.is_declared and not status.person and not is_working


def _listed(tenant: str, statuses: Sequence[ConnectionStatus]) -> dict[str, Any]:
    return ConnectionList.of(tenant, statuses).model_dump()


def _facts(status: ConnectionStatus) -> dict[str, Any]:
    return Connection.of(status).model_dump()
