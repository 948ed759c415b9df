"""What schemas cost: `python -m benchmarks.schema`, with QUICK=1 for under a minute."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.common import QUICK, RESULTS, Target, plot_bars, write_result
from firnline.clock import SystemClock

SIZES = ((50, 60), (200, 60))
TENANTS, SHAPES = 1_000, 10
TENANTS_QUICK = 50
_ROOT = Path(__file__).resolve().parents[2]
_MEASURE_MAX_S = 900


def measured(*arguments: object) -> dict[str, Any]:
    """Run one measurement in a process of its own."""
    connectors = _ROOT / "benchmarks" / "read" / "connectors"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.schema.subject", *map(str, arguments)],
        cwd=_ROOT,
        env=os.environ | {"FIRNLINE_CONNECTORS": str(connectors)},
        check=True,
        stdout=subprocess.PIPE,
        timeout=_MEASURE_MAX_S,
    )
    return dict(orjson.loads(done.stdout))


def judged(builds: Mapping[str, Any], many: Mapping[str, Any]) -> list[Target]:
    """Return the targets with what was measured."""
    return [
        Target("50 x 60 build (ms)", builds["50 x 60"]["build_ms"], 150),
        Target("50 x 60 memory (MB)", builds["50 x 60"]["memory_mb"], 5),
        Target(f"{many['tenants']} tenants, memory (MB)", many["after_mb"], 2048),
        Target("cold first answer, p95 (ms)", many["first_answer_p95_ms"], 300),
    ]


def show(console: Console, title: str, figures: Mapping[str, Mapping[str, Any]]) -> None:
    """Print figures, one row each."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    table.add_column("")
    for name in next(iter(figures.values())):
        table.add_column(name.replace("_", " "), justify="right")
    for row, values in figures.items():
        table.add_row(row, *(f"{value:,}" for value in values.values()))
    console.print(table)


def main() -> int:
    """Measure, print, write; targets that are missed are told, not an error."""
    console = Console(highlight=False)
    builds = {f"{types} x {fields}": measured("build", types, fields) for types, fields in SIZES}
    many = measured("tenants", TENANTS_QUICK if QUICK else TENANTS, SHAPES)
    targets = judged(builds, many)
    write_result(
        "schema",
        date=SystemClock().now(),
        settings={"sizes": [list(size) for size in SIZES], "shapes": SHAPES},
        targets=targets,
        figures={"builds": builds, "tenants": many},
    )
    plot_bars(
        RESULTS / "schema.png",
        title="Building a tenant's schema",
        labels=[f"{size} fields" for size in builds],
        series={
            "build, ms": [one["build_ms"] for one in builds.values()],
            "memory, MB": [one["memory_mb"] for one in builds.values()],
        },
        axis="logarithmic",
    )
    show(console, "Schemas, types x fields", builds)
    show(console, "Tenants on one process", {"": many})
    for target in targets:
        facts = target.as_dict()
        word = "[green]met[/]" if target.met else "[bold red]missed[/]"
        console.print(f"  {word} {facts['name']}: {facts['measured']:g} ({facts['target']})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
