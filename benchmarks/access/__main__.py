"""What access costs: `python -m benchmarks.access`, with QUICK=1 for under a minute."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.access import org
from benchmarks.access.measure import PEOPLE, QUESTIONS, measured
from benchmarks.common import QUICK, RESULTS, Target, plot_bars, write_result
from firnline.clock import SystemClock

RUNS, RUNS_QUICK = 500, 60
RECORDS_QUICK = org.RECORDS // 5
RATIO_MAX = 1.3


def judged(questions: Mapping[str, Mapping[str, Any]]) -> list[Target]:
    """Return how much longer than an administrator a sales rep waits, with what is allowed."""
    return [
        Target(
            f"{name}: rep / administrator",
            found["rep"]["p50_ms"] / found["administrator"]["p50_ms"],
            RATIO_MAX,
        )
        for name, found in questions.items()
    ]


def show(console: Console, figures: Mapping[str, Any], targets: list[Target]) -> None:
    """Print figures and targets."""
    found = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="p50, ms", title_justify="left")
    found.add_column("")
    for person in PEOPLE:
        found.add_column(person, justify="right")
    for name, times in figures["questions"].items():
        found.add_row(name, *(f"{times[person]['p50_ms']:.3f}" for person in PEOPLE))
    for key in ("first_answer_ms", "made_behind_ms"):
        found.add_row(
            key.replace("_", " "), *(f"{figures['first'][each][key]:,.1f}" for each in PEOPLE)
        )
    console.print(found)
    for target in targets:
        facts = target.as_dict()
        word = "[green]met[/]" if target.met else "[bold red]missed[/]"
        console.print(f"  {word} {facts['name']}: {facts['measured']:g} ({facts['target']})")


async def _run(records: int, runs: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        await org.fill(home, records)
        return await measured(home, runs)


def main() -> int:
    """Measure, print, write; targets that are missed are told, not an error."""
    records, runs = (RECORDS_QUICK, RUNS_QUICK) if QUICK else (org.RECORDS, RUNS)
    figures = asyncio.run(_run(records, runs))
    targets = judged(figures["questions"])
    write_result(
        "access",
        date=SystemClock().now(),
        settings={
            "records": records,
            "shares": org.SHARES,
            "roles": org.ROLES,
            "users": org.USERS,
            "runs": runs,
        },
        targets=targets,
        figures=figures,
    )
    plot_bars(
        RESULTS / "access.png",
        title="The same question with more and with fewer rights",
        labels=list(QUESTIONS),
        series={
            person: [found[person]["p50_ms"] for found in figures["questions"].values()]
            for person in PEOPLE
        },
        axis="p50 in ms, logarithmic",
        note=f"{records:,} records, {org.SHARES:,} share rows, {org.ROLES} roles",
    )
    show(Console(highlight=False), figures, targets)
    return 0


if __name__ == "__main__":
    sys.exit(main())
