"""`firnline audit`: shows, exports and verifies the record of who read what."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from firnline.app import opened
from firnline.cli.running import AsJson, Directory, TenantArgument, print_json, run
from firnline.errors import UsageError
from firnline.state.rows import AuditRow

audit = typer.Typer(
    help="Show, export and verify the record of who read what.", no_args_is_help=True
)

_SHOWN_MAX = 100
Person = Annotated[str, typer.Option(help="Only what this person read, by e-mail.")]
Object = Annotated[str, typer.Option("--object", help="Only readings of this type: Account.")]
Since = Annotated[str, typer.Option(help="From this moment on, ISO 8601.")]
Until = Annotated[str, typer.Option(help="Before this moment, ISO 8601.")]


@audit.command("list")
def list_entries(
    tenant: TenantArgument,
    person: Person = "",
    object_: Object = "",
    since: Since = "",
    until: Until = "",
    directory: Directory = Path(),
    as_json: AsJson = False,
) -> None:
    """Show the last entries: who read which objects, with what operation."""
    found: list[AuditRow] = []

    def keep(row: AuditRow) -> None:
        found.append(row)
        del found[:-_SHOWN_MAX]

    _each(keep, directory, tenant, person, object_, since, until)
    if as_json:
        print_json([_facts(row) for row in found])
        return
    table = Table("No.", "At", "Person", "Agent", "Operation", "Read", "Outcome")
    for row in found:
        facts = _facts(row)
        operation = next(iter(facts.get("operation", ())), "")
        outcome = f"{facts['outcome']} {facts.get('lost', '')}".strip()
        cells = (row.person, facts.get("agent", ""), operation, ", ".join(facts["reads"]), outcome)
        stamp = f"{row.at:%Y-%m-%d %H:%M:%S}"
        table.add_row(str(row.number), stamp, *(escape(each) for each in cells))
    Console().print(table if found else f"Nothing is on record for {tenant}.")


@audit.command()
def export(
    tenant: TenantArgument,
    person: Person = "",
    object_: Object = "",
    since: Since = "",
    until: Until = "",
    directory: Directory = Path(),
) -> None:
    """Print every entry as one line of JSON, with the digests that tie it to its neighbours."""
    _each(lambda row: print_json(_facts(row)), directory, tenant, person, object_, since, until)


@audit.command()
def verify(tenant: TenantArgument, directory: Directory = Path(), as_json: AsJson = False) -> None:
    """Check that no entry was changed, removed or moved. Exit code 1 at the first that was."""

    async def work() -> None:
        async with opened(directory, read_only=True) as app:
            app.tenant(tenant)
            count, ends = await app.auditing.chain.verify(tenant)
        if as_json:
            print_json({"tenant": tenant, "entries": count, "head": ends.head_digest})
        else:
            gone = f", {ends.anchor_number} older ones were let go" if ends.anchor_number else ""
            typer.echo(f"{tenant}: {count} entries are as they were written{gone}")
            typer.echo(f"head: {ends.head_number} {ends.head_digest}")

    run(work)


def _each(
    show: Callable[[AuditRow], None],
    directory: Path,
    tenant: str,
    person: str,
    object_name: str,
    since: str,
    until: str,
) -> None:
    first, last = _moment(since, "--since"), _moment(until, "--until")

    async def work() -> None:
        async with opened(directory, read_only=True) as app:
            app.tenant(tenant)
            entries = app.auditing.chain.entries(
                tenant,
                person=person.lower(),
                object_name=object_name,
                since=first,
                until=last,
            )
            async for row in entries:
                show(row)

    run(work)


def _facts(row: AuditRow) -> dict[str, Any]:
    content: dict[str, Any] = orjson.loads(row.content)
    return {
        "number": row.number,
        "at": row.at.isoformat(),
        "person": row.person,
        **content,
        "previous": row.previous,
        "digest": row.digest,
    }


def _moment(text: str, option: str) -> datetime | None:
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{option} {text!r} is no moment", hint="Write 2026-11-22 or 2026-11-22T12:00:00Z."
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
