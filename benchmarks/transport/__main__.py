"""What the outbound client costs: `python -m benchmarks.transport`, OUTAGE_S=60 for a long outage.

With QUICK=1 few calls, and the same outage; LIMITED_CALLS=1000 for as many at a limit of 10/s.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.common import QUICK, RESULTS, Target, write_result
from benchmarks.transport import failing, limits, measure
from firnline.clock import SystemClock

CALLS, CALLS_QUICK = 4_000, 800
REFUSALS = 5_000
AT_ONCE = (1, 16)
LIMITED_CALLS = int(os.environ.get("LIMITED_CALLS", "60" if QUICK else str(limits.COUNT)))
OUTAGE_S = float(os.environ.get("OUTAGE_S", "10"))
REFUSAL_P99_MAX_MS = 5.0
OVERHEAD_MAX = 2.0
REACHED_PER_MINUTE_MAX = 2.0  # a probe each half a minute, and fewer later


def judged(figures: Mapping[str, Any]) -> list[Target]:
    """Return what the client must keep to."""
    outage = figures["outage"]
    return [
        *(
            Target(
                f"{at_once} at a time: transport / bare client, p50",
                found["ratio_p50"],
                OVERHEAD_MAX,
            )
            for at_once, found in figures["overhead"].items()
        ),
        Target(
            "open circuit: refusal, p99 in ms", figures["refusals"]["p99_ms"], REFUSAL_P99_MAX_MS
        ),
        Target("outage: refusal, p99 in ms", outage["refusals"]["p99_ms"], REFUSAL_P99_MAX_MS),
        Target(
            "outage: calls a minute that reached the provider while open",
            outage["reached_while_open"] / outage["open_min"],
            REACHED_PER_MINUTE_MAX,
        ),
        Target("outage: answered calls until the circuit closed", outage["probes_answered"], 1),
        Target(
            "after closing: calls at once among the first three",
            max(outage["first_at_once"][:3], default=0),
            2,
        ),
        *(limits.targets(figures["limits"]) if "limits" in figures else ()),
    ]


def show(console: Console, figures: Mapping[str, Any], targets: list[Target]) -> None:
    """Print figures and targets."""
    found = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="a call, ms", title_justify="left")
    for title in ("", "bare p50", "transport p50", "bare p99", "transport p99", "ratio"):
        found.add_column(title, justify="right" if title else "left")
    for at_once, each in figures["overhead"].items():
        found.add_row(
            f"{at_once} at a time",
            *(f"{each[way][q]:.3f}" for q in ("p50_ms", "p99_ms") for way in ("bare", "transport")),
            f"{each['ratio_p50']:.2f}",
        )
    console.print(found)
    outage = figures["outage"]
    console.print(
        f"  outage: opened after {outage['opened_after_s']} s, {outage['failed_calls']} calls"
        f" failed, closed {outage['closed_after_recovery_s']} s after recovery;"
        f" at once after closing {outage['first_at_once']}"
    )
    for target in targets:
        facts = target.as_dict()
        word = "[green]met[/]" if target.met else "[bold red]missed[/]"
        console.print(f"  {word} {facts['name']}: {facts['measured']:g} ({facts['target']})")


def plot_outage(path: Path, timeline: Mapping[str, list[int]], *, note: str) -> None:
    """Draw what callers saw and what arrived at the provider, second by second."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    colours = {"answered": "#10b981", "failed": "#dc2626", "refused at once": "#f59e0b"}
    figure, axes = plt.subplots(figsize=(9, 3.6), layout="constrained")
    seconds = range(len(timeline["answered"]))
    axes.stackplot(
        seconds,
        *(timeline[name] for name in colours),
        labels=list(colours),
        colors=list(colours.values()),
        step="post",
    )
    axes.step(
        seconds,
        timeline["arrived at the provider"],
        where="post",
        color="#111827",
        label="arrived at the provider",
    )
    axes.set_xlabel("seconds")
    axes.set_ylabel("calls a second")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=4)
    figure.suptitle("An outage as callers live it", fontweight="bold")
    figure.supxlabel(note, fontsize="small", color="#6b7280")
    figure.savefig(path, dpi=150)
    plt.close(figure)


async def _run(origin: str, calls: int) -> dict[str, Any]:
    return {
        "overhead": {
            str(at_once): await measure.overhead(origin, calls, at_once) for at_once in AT_ONCE
        },
        "refusals": await measure.refusals(origin, REFUSALS),
        "outage": await measure.outage(origin, OUTAGE_S),
        "limits": await limits.figures(LIMITED_CALLS),
    }


def main() -> int:
    """Measure, print, write; targets that are missed are told, not an error."""
    calls = CALLS_QUICK if QUICK else CALLS
    with failing.running() as origin:
        figures = asyncio.run(_run(origin, calls))
    targets = judged(figures)
    settings = {"calls": calls, "outage_s": OUTAGE_S, "callers": measure.CALLERS}
    write_result(
        "transport",
        date=SystemClock().now(),
        settings=settings,
        targets=targets,
        figures=figures,
    )
    plot_outage(
        RESULTS / "transport.png",
        figures["outage"]["timeline"],
        note=f"503 for {OUTAGE_S:g} s from second {measure.BEFORE_S:g}, {measure.CALLERS} callers",
    )
    show(Console(highlight=False), figures, targets)
    return 0


if __name__ == "__main__":
    sys.exit(main())
