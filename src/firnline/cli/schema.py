"""`firnline schema`: prints a tenant's GraphQL schema, and compares two of them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from typer.core import TyperGroup

from firnline.app import App, opened
from firnline.cli.files import write_text
from firnline.cli.running import AsJson, Directory, TenantArgument, print_json, run
from firnline.errors import UsageError
from firnline.graph.diff import SchemaDiff, compared, read_schema

_COLORS = {"breaking": "red", "dangerous": "yellow", "safe": "green"}
_SAFE_SHOWN_MAX = 20


class SchemaGroup(TyperGroup):
    """A group whose first word may be a tenant: `firnline schema TENANT` prints its schema."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the command `print` where none is named."""
        if args and args[0] not in (*self.commands, "-h", "--help"):
            args = ["print", *args]
        return super().parse_args(ctx, args)


schema = typer.Typer(
    cls=SchemaGroup,
    help="Print a tenant's schema: `firnline schema TENANT`. Compare two: `firnline schema diff`.",
    no_args_is_help=True,
)


@schema.command("print")
def print_schema(
    tenant: TenantArgument,
    person: Annotated[
        str, typer.Option("--as", help="Only what the person with this e-mail may read.")
    ] = "",
    federation: Annotated[
        bool, typer.Option(help="As a subgraph of Apollo Federation 2, with keys.")
    ] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write it here.")] = None,
    directory: Directory = Path(),
    as_json: AsJson = False,
) -> None:
    """Print the tenant's schema in GraphQL's own language (SDL); `print` may be left out."""

    async def work() -> None:
        async with opened(directory, read_only=True) as app:
            built = await app.schema(tenant, person=person)
            graph = await app.graphs.graph(tenant)
        sdl = built.federated_sdl(graph).rstrip() if federation else built.as_str()
        objects = sorted(name for name in graph.objects if built.has_type(name))
        if output is not None:
            write_text(output, sdl + "\n")
        if as_json:
            facts = {"tenant": tenant, "shape": graph.shape, "version": graph.version}
            print_json({**facts, "person": person or None, "objects": objects, "sdl": sdl})
        elif output is None:
            typer.echo(sdl)

    run(work)


@schema.command()
def diff(
    old: Annotated[str, typer.Argument(help="A schema file, or a tenant for its schema of today.")],
    new: Annotated[
        str, typer.Argument(help="The same; the schema that replaces the old one.")
    ] = "",
    against: Annotated[
        Path | None,
        typer.Option(help="A schema file to compare the tenant's schema of today with."),
    ] = None,
    tenant: Annotated[
        str, typer.Option("--tenant", "-t", help="Check this tenant's published operations.")
    ] = "",
    directory: Directory = Path(),
    as_json: AsJson = False,
) -> None:
    """Tell breaking, dangerous and safe changes, and the operations that they affect.

    `diff OLD NEW`, or `diff TENANT --against OLD`. Exit code 1 when a change is breaking.
    """
    if (against is None) == (new == ""):
        raise UsageError(
            "two schemas are needed", hint="Write `diff OLD NEW` or `diff TENANT --against FILE`."
        )
    before, after = (old, new) if against is None else (str(against), old)

    async def work() -> None:
        found = await _compared(before, after, tenant=tenant, directory=directory)
        if as_json:
            print_json(_facts(found))
        else:
            _show(found)
        if found.is_breaking:
            raise typer.Exit(1)

    run(work)


async def _compared(before: str, after: str, *, tenant: str, directory: Path) -> SchemaDiff:
    files = {name: _file_text(name) for name in (before, after)}
    owner = tenant or next((name for name in (after, before) if files[name] is None), "")
    if not owner:  # two files: no project is needed
        old, new = (read_schema(files[name] or "", name) for name in (before, after))
        return compared(old, new)
    async with opened(directory, read_only=True) as app:
        old, new = [read_schema(files[n] or await _text(app, n), n) for n in (before, after)]
        return compared(old, new, await app.operations(owner))


def _file_text(name: str) -> str | None:
    path = Path(name)
    if path.is_file():
        return path.read_text("utf-8")
    if path.suffix or "/" in name:
        raise UsageError(f"there is no file {name!r}", hint="Give a schema file or a tenant.")
    return None


async def _text(app: App, tenant: str) -> str:
    return (await app.schema(tenant)).as_str()


def _facts(found: SchemaDiff) -> dict[str, Any]:
    return {
        "breaking": found.is_breaking,
        "counts": found.counts(),
        "changes": [asdict(change) for change in found.changes],
        "operations": [
            {
                "documentId": each.operation_id,
                "name": each.name,
                "broken": each.is_broken,
                "problems": list(each.problems),
                "coordinates": list(each.coordinates),
            }
            for each in found.operations
        ],
    }


def _show(found: SchemaDiff) -> None:
    console = Console()
    if not found.changes:
        console.print("The schemas are equal.")
        return
    counts = found.counts()
    table = Table("Change", "Where", "What")
    for position, change in enumerate(found.changes):
        if position >= counts["breaking"] + counts["dangerous"] + _SAFE_SHOWN_MAX:
            break
        color = _COLORS[change.severity]
        table.add_row(
            f"[{color}]{change.severity}[/]", change.coordinate, escape(change.description)
        )
    console.print(table)
    console.print(", ".join(f"{count} {severity}" for severity, count in counts.items()))
    if counts["safe"] > _SAFE_SHOWN_MAX:
        console.print(f"The first {_SAFE_SHOWN_MAX} safe changes are shown; --json holds all.")
    for each in found.operations:
        state = "[red]breaks[/]" if each.is_broken else "[yellow]is touched[/]"
        why = escape("; ".join(each.problems or each.coordinates))
        console.print(f"Operation {escape(each.name)} ({each.operation_id[:12]}) {state}: {why}")
