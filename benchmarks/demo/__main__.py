"""Cached against live: `python -m benchmarks.demo`, with QUICK=1 for under a minute.

The stage is the demo's: sandboxes in processes of their own, 200-800 ms a call, vendors' rate
limits off (which favours the live calls). Tokens are at hand before a live time is taken.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.common import QUICK, RESULTS, Summary, Target, plot_bars, write_result
from firnline.demo.comparing import Live, live
from firnline.demo.question import ASKERS, Asked, ask, quarter_end, times_of
from firnline.demo.stage import DemoPlan, Stage, stage

LATENCY_MS = (200, 800)
RATIO_MIN = 10.0
CACHED_P50_MAX_MS = 100.0
FIRST_ANSWER_MAX_S = 60.0


@dataclass(frozen=True, slots=True)
class Load:
    """How much is measured."""

    scale: float
    cached_runs: int
    live_runs: int


FULL = Load(scale=1.0, cached_runs=100, live_runs=10)
SMALL = Load(scale=0.1, cached_runs=20, live_runs=2)


@dataclass(frozen=True, slots=True)
class Measured:
    """One person's times."""

    deals: int
    cached: Summary
    live: Summary
    live_calls: int
    equal: bool

    @property
    def ratio(self) -> float:
        """Return how many times longer the live answer takes, median by median."""
        return self.live.p50_ms / self.cached.p50_ms

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "deals": self.deals,
            "cached": self.cached.as_dict(),
            "live": self.live.as_dict(),
            "live_calls": self.live_calls,
            "live_equal": self.equal,
            "ratio": round(self.ratio, 1),
        }


async def measured(found: Stage, tenant: str, asked: Asked, end: date, load: Load) -> Measured:
    """Measure one person's question both ways, once it was asked for the first time."""
    email = asked.email
    cached = await times_of(found.app, tenant, email, end, runs=load.cached_runs)
    lives: list[Live] = [
        await live(found.app, found.fleet, tenant, email, end) for _ in range(load.live_runs)
    ]
    return Measured(
        deals=len(asked.deals),
        cached=Summary.of(cached, first_ms=asked.first_ms),
        live=Summary.of([one.ms for one in lives]),
        live_calls=lives[0].calls,
        equal=all(one.data == asked.answer.data for one in lives),
    )


async def run(load: Load, console: Console, *, quick: bool) -> bool:
    """Measure, print, write; say whether every target is met and every answer is equal."""
    with tempfile.TemporaryDirectory(prefix="firnline-bench-") as folder:
        plan = DemoPlan(home=Path(folder) / "demo", scale=load.scale, latency_ms=LATENCY_MS)
        async with stage(plan, console) as found:
            figures: dict[str, Measured] = {}
            first_answer_s = 0.0
            end = quarter_end(found.app.clock.now().date())
            for tenant, people in found.fleet.people.items():
                for chair in ASKERS:
                    asked = await ask(found.app, tenant, people[chair], end, warm_runs=0)
                    first_answer_s = first_answer_s or found.elapsed_s
                    figures[f"{tenant} {chair}"] = await measured(found, tenant, asked, end, load)
            ended_at = found.app.clock.now()
    targets = judged(figures, first_answer_s)
    settings = {
        "scale": load.scale,
        "latency_ms": list(LATENCY_MS),
        "limits": False,
        "cached_runs": load.cached_runs,
        "live_runs": load.live_runs,
    }
    path = write_result(
        "demo",
        date=ended_at,
        settings=settings,
        targets=targets,
        figures={name: one.as_dict() for name, one in figures.items()},
        quick=quick,
    )
    plot = RESULTS / "demo.png"
    draw(plot, figures, load)
    show(console, figures, targets)
    console.print(f"Written: {path.name}, {plot.name} in {path.parent.name}/")
    return all(target.met for target in targets)


def judged(figures: Mapping[str, Measured], first_answer_s: float) -> list[Target]:
    """Return the targets with what was measured."""
    people = figures.values()
    return [
        Target(
            "cached p50, slowest person (ms)",
            max(m.cached.p50_ms for m in people),
            CACHED_P50_MAX_MS,
        ),
        Target(
            "live / cached, least ratio", min(m.ratio for m in people), RATIO_MIN, at_least=True
        ),
        Target("start to first answer (s)", first_answer_s, FIRST_ANSWER_MAX_S),
        Target(
            "live answers equal cached ones",
            statistics.mean(m.equal for m in people),
            1,
            at_least=True,
        ),
    ]


def show(console: Console, figures: Mapping[str, Measured], targets: list[Target]) -> None:
    """Print the table and the targets."""
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        title="The demo question, ms",
        title_justify="left",
    )
    table.add_column("person", no_wrap=True)
    for name in ("deals", "first", "p50", "p95", "live p50", "calls", "ratio", "equal"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, one in figures.items():
        table.add_row(
            name,
            str(one.deals),
            f"{one.cached.first_ms:.0f}",
            f"{one.cached.p50_ms:.1f}",
            f"{one.cached.p95_ms:.1f}",
            f"{one.live.p50_ms:,.0f}",
            str(one.live_calls),
            f"{one.ratio:.1f}x",
            "yes" if one.equal else "[bold red]NO[/]",
        )
    console.print(table)
    for target in targets:
        facts = target.as_dict()
        word = "[green]met[/]" if target.met else "[bold red]missed[/]"
        console.print(f"  {word} {facts['name']}: {facts['measured']:g} ({facts['target']})")


def draw(path: Path, figures: Mapping[str, Measured], load: Load) -> None:
    """Draw the medians."""
    low, high = LATENCY_MS
    plot_bars(
        path,
        title="One question over CRM, help desk and ERP",
        labels=[name.replace(" ", "\n") for name in figures],
        series={
            "Firnline, from the cache": [one.cached.p50_ms for one in figures.values()],
            "live calls to the providers": [one.live.p50_ms for one in figures.values()],
        },
        axis="median time to the whole answer, ms (logarithmic)",
        note=f"scale {load.scale:g}, {low}-{high} ms a provider call, no rate limits",
    )


def main() -> int:
    """Run as the environment asks."""
    met = asyncio.run(run(SMALL if QUICK else FULL, Console(highlight=False), quick=QUICK))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
