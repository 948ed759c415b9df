"""`firnline discover`: finds out what a tenant's systems hold, custom objects included."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from firnline.app import opened
from firnline.catalog.diff import CatalogDiff
from firnline.catalog.discovery import Discovered
from firnline.cli.running import AsJson, Directory, TenantArgument, print_json, run
from firnline.errors import FirnlineError

ConnectionOption = Annotated[
    list[str] | None,
    typer.Option("--connection", "-c", help="Only this connection; repeatable. All, unless named."),
]


def discover(
    tenant: TenantArgument,
    connection: ConnectionOption = None,
    directory: Directory = Path(),
    as_json: AsJson = False,
) -> None:
    """List what the tenant's systems hold, store it, and say what changed since last time.

    Exit code 1 when a system could not be read (it keeps its last catalog), or when a mapping names
    what is not there.
    """

    async def work() -> None:
        async with opened(directory, read_only=True) as app:
            report = await app.discover(tenant, connection or ())
            problems = await app.mapping_problems(tenant)
        if as_json:
            mappings = [problem.as_dict() for problem in problems]
            print_json({**report.as_dict(), "mapping_problems": mappings})
        else:
            console = Console()
            for found in report.discovered:
                console.print(_table(found))
                console.print("\n".join(_changes(found)), highlight=False)
            _print_failures([*report.failures.items(), *(("mapping", each) for each in problems)])
        if problems or not report.ok:
            raise typer.Exit(1)

    run(work)


def _table(found: Discovered) -> Table:
    title = f"{found.connection}: {found.catalog.provider}, catalog version {found.version}"
    table = Table(title=escape(title), title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("object", overflow="fold")
    table.add_column("label", overflow="fold")
    table.add_column("fields", justify="right")
    table.add_column("custom fields", justify="right")
    table.add_column("kind")
    for object_ in found.catalog.objects:
        kind = "custom" if object_.custom else "standard"
        table.add_row(
            escape(object_.name),
            escape(object_.label),
            str(len(object_.fields)),
            str(sum(field.custom for field in object_.fields)),
            kind if object_.exposed else "permissions",
        )
    return table


def _changes(found: Discovered) -> Iterator[str]:
    """Yield a line of rich markup for each thing that changed."""
    if found.is_first:
        yield "First discovery.\n"
    elif not found.changes:
        yield "No changes since the last discovery.\n"
    else:
        yield from _changed_lines(found.changes)
        yield ""


def _changed_lines(changes: CatalogDiff) -> Iterator[str]:
    for name in changes.objects_added:
        yield f"[green]+ {escape(name)}[/]"
    for name in changes.objects_removed:
        yield f"[red]- {escape(name)}[/]"
    for changed in changes.objects_changed:
        owner = escape(changed.object)
        for field in changed.fields_added:
            yield f"[green]+ {owner}.{escape(field)}[/]"
        for field in changed.fields_removed:
            yield f"[red]- {owner}.{escape(field)}[/]"
        for retyped in changed.retyped:
            yield (
                f"[yellow]~ {owner}.{escape(retyped.field)}:"
                f" {escape(retyped.old)} is now {escape(retyped.new)}[/]"
            )


def _print_failures(failures: Sequence[tuple[str, FirnlineError]]) -> None:
    console = Console(stderr=True, soft_wrap=True)
    for name, error in failures:
        console.print(
            f"[bold red]error[/] \\[{error.code}] {escape(name)}: {escape(error.message)}"
        )
        if error.hint:
            console.print(f"  [dim]->[/] {escape(error.hint)}")
