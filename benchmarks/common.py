"""What every benchmark shares: summaries, the machine, the result file, the table and the plot.

Takes measured numbers; writes `results/<name>.json` and `results/<name>.png`.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
import orjson

from benchmarks.words import in_figures

RESULTS = Path(__file__).parent / "results"
QUICK = os.environ.get("QUICK", "") not in ("", "0")
_PACKAGES = ("firnline", "duckdb", "pyarrow", "strawberry-graphql", "graphql-core", "httpx2")


@dataclass(frozen=True, slots=True)
class Summary:
    """A series of times in ms."""

    runs: int
    first_ms: float
    min_ms: float
    p50_ms: float
    p95_ms: float
    max_ms: float

    @classmethod
    def of(cls, times_ms: Sequence[float], *, first_ms: float | None = None) -> Summary:
        """Summarise a series; `first_ms` is given when the first run stands outside of it."""
        ordered = sorted(times_ms)
        rank = -(-95 * len(ordered) // 100) - 1  # nearest rank: a time that was measured
        return cls(
            runs=len(ordered),
            first_ms=round(times_ms[0] if first_ms is None else first_ms, 3),
            min_ms=round(ordered[0], 3),
            p50_ms=round(statistics.median(ordered), 3),
            p95_ms=round(ordered[rank], 3),
            max_ms=round(ordered[-1], 3),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure must reach: at least or at most `bound`."""

    name: str
    measured: float
    bound: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Say whether the figure reaches its bound."""
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        sign = ">=" if self.at_least else "<="
        return {
            "name": self.name,
            "target": f"{sign} {self.bound:g}",
            "measured": round(self.measured, 3),
            "met": self.met,
        }


def machine() -> dict[str, Any]:
    """Return what matters of the machine, and nothing that names it."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(memory_bytes / 2**30),
        "processor": platform.machine(),
        "system": platform.system(),
        "load_1m": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str]:
    """Return the versions that the figures depend on."""
    found = {"python": platform.python_version()}
    return found | {name: importlib.metadata.version(name) for name in _PACKAGES}


def write_result(
    name: str,
    *,
    date: datetime,
    settings: Mapping[str, Any],
    targets: Sequence[Target],
    figures: Mapping[str, Any],
    quick: bool = QUICK,
    results: Path = RESULTS,
) -> Path:
    """Write the result file; it says whether the run was a quick one."""
    results.mkdir(parents=True, exist_ok=True)
    path = results / f"{name}.json"
    facts = {
        "benchmark": name,
        "quick": quick,
        "date": date.isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
        "settings": dict(settings),
        "targets": [target.as_dict() for target in targets],
        "figures": dict(figures),
    }
    path.write_bytes(orjson.dumps(facts, option=orjson.OPT_INDENT_2) + b"\n")
    return path


def plot_bars(
    path: Path,
    *,
    title: str,
    labels: Sequence[str],
    series: Mapping[str, Sequence[float]],
    axis: str,
    note: str = "",
) -> None:
    """Draw grouped horizontal bars on a logarithmic axis, each with its number."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    colours = ("#2563eb", "#f59e0b", "#10b981", "#6b7280")
    figure, axes = plt.subplots(figsize=(8, 1.2 + 0.8 * len(labels)), layout="constrained")
    height = 0.8 / len(series)
    for place, (name, values) in enumerate(series.items()):
        at = [row + (place - (len(series) - 1) / 2) * height for row in range(len(labels))]
        bars = axes.barh(at, values, height * 0.92, label=name, color=colours[place % len(colours)])
        axes.bar_label(bars, labels=[in_figures(value) for value in values], padding=4)
    axes.set_xscale("log")
    low, high = _span(series)
    axes.set_xlim(low, high)
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.set_xlabel(axis)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(series))
    figure.suptitle(title, fontweight="bold")
    if note:
        figure.supxlabel(note, fontsize="small", color="#6b7280")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def plot_panels(
    path: Path,
    *,
    title: str,
    labels: Sequence[str],
    panels: Mapping[str, Sequence[float]],
    ours: str,
    note: str = "",
) -> None:
    """Draw a panel of bars per unit, side by side; labels that start with `ours` stand out."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, all_axes = plt.subplots(
        ncols=len(panels), sharey=True, figsize=(10, 1.2 + 0.42 * len(labels)), layout="constrained"
    )
    colours = ["#2563eb" if label.startswith(ours) else "#9ca3af" for label in labels]
    for axes, (name, values) in zip(all_axes, panels.items(), strict=True):
        bars = axes.barh(range(len(labels)), values, 0.7, color=colours)
        axes.bar_label(bars, labels=[in_figures(value) for value in values], padding=4)
        axes.set_xscale("log")
        axes.set_xlim(_span({name: values})[0], max(values) * 6)
        axes.xaxis.set_major_formatter("{x:,g}")
        axes.set_title(name, fontsize="medium")
        axes.set_yticks(range(len(labels)), labels)
        axes.spines[["top", "right"]].set_visible(False)
    all_axes[0].invert_yaxis()
    figure.suptitle(title, fontweight="bold")
    if note:
        figure.supxlabel(note, fontsize="small", color="#6b7280")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _span(series: Mapping[str, Sequence[float]]) -> tuple[float, float]:
    """Return the axis' ends: whole powers of ten below, room for the numbers above."""
    values = [value for one in series.values() for value in one]
    low = 1.0
    while low > min(values):
        low /= 10
    return low, max(values) * 2.5
