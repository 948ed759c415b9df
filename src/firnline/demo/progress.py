"""Shows how far each system of each tenant is: one line for each, on any terminal of 80 columns.

Takes what `preparing` tells; without a terminal it prints one line per finished system.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from firnline.sync.report import SyncProgress, SyncReport

Counts = Mapping[str, Mapping[str, Mapping[str, int]]]  # tenant -> provider -> object -> count


@dataclass(slots=True)
class _Line:
    task: TaskID
    total: int
    objects: dict[str, SyncProgress] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return sum(one.rows for one in self.objects.values())

    def largest_open(self) -> str:
        """Return the object under way that has most rows."""
        under_way = [one for one in self.objects.values() if not one.done]
        if not under_way:
            return ""
        largest = max(under_way, key=lambda one: one.rows)
        return f"{largest.object}, page {largest.pages + 1}"


class Bars:
    """A line for each connection: what is done there, and how much of it."""

    def __init__(self, progress: Progress, console: Console, counts: Counts) -> None:
        self._progress = progress
        self._console = console
        self._counts = counts
        self._lines: dict[tuple[str, str], _Line] = {}

    def step(self, tenant: str, connection: str, doing: str) -> None:
        """Say what is being done with one system."""
        self._progress.update(self._line(tenant, connection).task, doing=doing)

    def read(self, tenant: str, progress: SyncProgress) -> None:
        """Add an object's rows to its system's line."""
        line = self._line(tenant, progress.connection)
        line.objects[progress.object] = progress
        self._show(line, line.largest_open())

    def done(self, tenant: str, connection: str, report: SyncReport) -> None:
        """Show one system as complete."""
        line = self._line(tenant, connection)
        rows = sum(one.rows for one in report.objects)
        pages = sum(one.pages for one in report.objects)
        told = f"{len(report.objects)} objects, {pages} pages"
        self._progress.update(
            line.task, completed=rows, total=rows, rows=rows, doing=f"[green]{told}[/]"
        )
        if not self._console.is_terminal:
            self._console.print(
                f"  {tenant} {connection}: {rows:,} rows, {told}, {report.seconds:.1f} s"
            )

    def _line(self, tenant: str, connection: str) -> _Line:
        key = (tenant, connection)
        if key not in self._lines:
            total = sum(self._counts.get(tenant, {}).get(connection, {}).values())
            task = self._progress.add_task(
                f"{tenant} {connection}", total=total or None, rows=0, doing=""
            )
            self._lines[key] = _Line(task, total)
        return self._lines[key]

    def _show(self, line: _Line, doing: str) -> None:
        self._progress.update(
            line.task, completed=min(line.rows, line.total), rows=line.rows, doing=doing
        )


@contextmanager
def bars(console: Console, counts: Counts) -> Iterator[Bars]:
    """Show progress while the context lasts."""
    with Progress(
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("{task.description}"),
        BarColumn(bar_width=16),
        TextColumn("{task.fields[rows]:>6,} rows"),
        TextColumn("[dim]{task.fields[doing]}[/]"),
        console=console,
        refresh_per_second=5,  # the machine has better to do
        disable=not console.is_terminal,
    ) as progress:
        yield Bars(progress, console, counts)
