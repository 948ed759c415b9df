"""How figures are written in README.md: numbers, tables, targets, and what a run was.

Takes result files as they were read; the summaries of the benchmarks receive lines of Markdown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def in_figures(value: float) -> str:
    """Return a number with three significant digits at most, and never rounded to nothing."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2g}" if value < 1 else f"{value:.2f}"


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table; the first column is text, the others are numbers."""
    lines = [titles, ["---", *["---:"] * (len(titles) - 1)], *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def targets(result: Mapping[str, Any]) -> list[str]:
    """Return the table of targets."""
    rows = [
        [
            each["name"],
            each["target"],
            in_figures(each["measured"]),
            "met" if each["met"] else "missed",
        ]
        for each in result["targets"]
    ]
    return table(["target", "wanted", "measured", ""], rows)


def run_of(result: Mapping[str, Any]) -> str:
    """Say when and on what it was measured, and that a quick run proves little."""
    machine = result["machine"]
    text = (
        f"{machine['cores']} cores shared with the load generator, load {machine['load_1m']:g}"
        f" at the end, {result['date'][:10]}"
    )
    return f"**a quick run: for orientation only**; {text}" if result["quick"] else text
