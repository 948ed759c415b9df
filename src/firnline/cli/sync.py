"""`firnline sync`: reads what changed in a tenant's systems into the tenant's cache."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from firnline.app import opened
from firnline.cli.discover import ConnectionOption
from firnline.cli.running import AsJson, Directory, TenantArgument, print_json, run
from firnline.sync.report import ObjectReport, OnProgress, SyncProgress, SyncReport, Trouble

_NAMED_MAX = 3  # objects named in an error that many share


def sync(
    tenant: TenantArgument,
    connection: ConnectionOption = None,
    object_: Annotated[
        list[str] | None,
        typer.Option(
            "--object",
            "-o",
            help="Only this object of the provider; repeatable. All, unless named.",
        ),
    ] = None,
    full: Annotated[
        bool,
        typer.Option("--full", help="Read every record again and believe a short listing."),
    ] = False,
    directory: Directory = Path(),
    as_json: AsJson = False,
) -> None:
    """Bring the tenant's cache up to date: everything the first time, then what changed.

    Exit code 1 when an object could not be read; all others are up to date then.
    """

    async def work() -> None:
        async with opened(directory) as app:
            with progress_bars(Console(stderr=True)) as on_progress:
                report = await app.sync(
                    tenant,
                    connection or (),
                    only=object_ or (),
                    full=full,
                    on_progress=on_progress,
                )
        if as_json:
            print_json(report.as_dict())
        else:
            print_report(report)
        if not report.ok:
            raise typer.Exit(1)

    run(work)


@contextmanager
def progress_bars(console: Console) -> Iterator[OnProgress]:
    """Show a bar for each object under way, on a terminal; give what receives the progress."""
    bars: dict[tuple[str, str], TaskID] = {}
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[rows]:>9,} rows {task.fields[pages]:>5,} pages"),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,  # the summary table says it all
    ) as progress:

        def show(told: SyncProgress) -> None:
            key = (told.connection, told.object)
            if key not in bars:
                name = escape(f"{told.connection}.{told.object}")
                bars[key] = progress.add_task(name, total=None, rows=0, pages=0)
            progress.update(
                bars[key],
                completed=told.rows,
                total=told.estimated_total,
                rows=told.rows,
                pages=told.pages,
                visible=not told.done,
            )

        yield show


def print_report(report: SyncReport) -> None:
    """Print what a sync did as a table, then each failure with its next step."""
    rows = sum(one.rows for one in report.objects)
    title = f"{report.tenant}: {rows:,} rows of {len(report.objects)} objects"
    table = Table(
        title=f"{title} in {report.seconds:.1f} s", title_justify="left", box=box.SIMPLE_HEAD
    )
    table.add_column("object", overflow="fold")
    table.add_column("read", no_wrap=True)
    counted = ["rows", "upserts", "deletes"]
    if any(one.quarantined_count for one in report.objects):  # room for names otherwise
        counted.append("quarantined")
    for name in (*counted, "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in report.objects:
        counts = [one.rows, one.upserts, one.deletes, one.quarantined_count][: len(counted)]
        table.add_row(
            escape(f"{one.connection}.{one.object}"),
            "[red]failed[/]" if one.trouble else _reading(one),
            *(f"{n:,}" for n in counts),
            f"{one.seconds:.1f}",
        )
    Console().print(table)
    _print_remarks(report)


def _reading(one: ObjectReport) -> str:
    reading = "all" if one.is_full else "changes"
    return f"{reading}, resumed" if one.resumed else reading


def _print_remarks(report: SyncReport) -> None:
    console = Console(stderr=True, soft_wrap=True)
    for one in report.objects:
        name = escape(f"{one.connection}.{one.object}")
        if one.change.emptied:
            fields = escape(", ".join(one.change.emptied))
            console.print(f"[yellow]drift[/] {name}: {fields} changed type and was read again")
        if one.held:
            console.print(
                f"[yellow]held[/] {name}: the listing lacks {one.held:,} cached records; "
                f"they stay until `firnline sync {escape(report.tenant)} --full` confirms it"
            )
        for found in one.quarantined[:3]:
            where = escape(f"{found.key or '?'} {found.field}".strip())
            console.print(f"[yellow]quarantined[/] {name} {where}: {escape(found.reason)}")
    _print_troubles(report, console)


def _print_troubles(report: SyncReport, console: Console) -> None:
    """Print what failed, once for all objects of a connection that failed alike."""
    alike: dict[tuple[str, str], list[ObjectReport]] = {}
    for one in report.failed:
        if one.trouble:
            alike.setdefault((one.connection, one.trouble.code), []).append(one)
    for (connection, _code), reports in alike.items():
        trouble = reports[0].trouble
        assert trouble is not None
        names = ", ".join(f"{connection}.{one.object}" for one in reports[:_NAMED_MAX])
        more = f" and {len(reports) - _NAMED_MAX} more" if len(reports) > _NAMED_MAX else ""
        _print_trouble(f"{names}{more}", trouble, console)
    for name, trouble in report.closed.items():
        _print_trouble(name, trouble, console)


def _print_trouble(what: str, trouble: Trouble, console: Console) -> None:
    console.print(f"[bold red]error[/] \\[{trouble.code}] {escape(f'{what}: {trouble.message}')}")
    if trouble.hint:
        console.print(f"  [dim]->[/] {escape(trouble.hint)}")
