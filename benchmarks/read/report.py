"""What the figures say: the goals, the tables on the console and the plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.common import Target as Goal
from benchmarks.common import plot_panels
from benchmarks.read.targets import CACHED_ALL, MERCURIUS, OURS, POSTGRES, SQLITE, STATIC
from benchmarks.words import in_figures

_COMPARED = (  # peer, p50 at 1 client at most, throughput at 16 clients at least
    (MERCURIUS, 0.6, 2.5),
    (SQLITE, 0.85, None),
    (POSTGRES, None, 1.2),
)
_GROWN_MAX = 1.5
_CACHED_MIN = 0.5
_OTHER_FIGURES = frozenset({"cold", "growth", "memory", "repeated"})  # beside one load a case


def judged(figures: Mapping[str, Any]) -> list[Goal]:
    """Return the goals with what was measured; a peer that was left out judges nothing."""
    nested = figures["nested"]
    goals = [
        *_beside_peers(nested),
        *_grown(figures.get("growth", {})),
        *_cached(figures.get("repeated", {}).get("nested", {})),
    ]
    loads = [each for name, each in figures.items() if name not in _OTHER_FIGURES]
    loads += figures.get("repeated", {}).values()
    failed = sum(
        one["failed"]
        for by_target in loads
        for by_clients in by_target.values()
        for one in by_clients.values()
    )
    return [*goals, Goal("failed requests", failed, 0)]


def _beside_peers(nested: Mapping[str, Any]) -> list[Goal]:
    ours = nested[OURS]
    goals = [Goal("p99 / p50, 1 client", ours["1"]["p99_ms"] / ours["1"]["p50_ms"], 3)]
    for peer, latency, throughput in _COMPARED:
        if peer not in nested:
            continue
        if latency:
            ratio = ours["1"]["p50_ms"] / nested[peer]["1"]["p50_ms"]
            goals.append(Goal(f"p50 / {peer}, 1 client", ratio, latency))
        if throughput:
            ratio = ours["16"]["rps"] / nested[peer]["16"]["rps"]
            goals.append(Goal(f"rps / {peer}, 16 clients", ratio, throughput, at_least=True))
    return goals


def _grown(growth: Mapping[str, Any]) -> list[Goal]:
    """Judge the largest size beside the smallest; a quick run has none of 100 times the rows."""
    sizes = list(growth.get("nested", {}).values())
    if not sizes or sizes[-1]["rows"] < 90 * sizes[0]["rows"]:
        return []
    ratio = sizes[-1]["p50_ms"] / sizes[0]["p50_ms"]
    return [Goal("p50 at 100x rows / at 1x, 1 client", ratio, _GROWN_MAX)]


def _cached(repeated: Mapping[str, Any]) -> list[Goal]:
    if not {CACHED_ALL, STATIC} <= set(repeated):
        return []
    ratio = repeated[CACHED_ALL]["16"]["rps"] / repeated[STATIC]["16"]["rps"]
    name = "response cache: rps / static answer, 16 clients"
    return [Goal(name, ratio, _CACHED_MIN, at_least=True)]


def show(console: Console, figures: Mapping[str, Any], goals: Sequence[Goal]) -> None:
    """Print one table per case, and the goals."""
    for case, found in figures.items():
        match case:
            case "cold":
                for name, by_target in found.items():
                    _print(console, f"cold process, {name}, medians", by_target)
            case "repeated":
                for name, by_target in found.items():
                    _print_load(console, f"response cache, {name}", by_target)
            case "growth":
                for name, sizes in found.items():
                    _print(console, f"growth, {name}, 1 client", sizes)
            case "memory":
                _print(console, "memory", {"": found["resident"]})
            case _:
                _print_load(console, case, found)
    for goal in goals:
        facts = goal.as_dict()
        word = "[green]met[/]" if goal.met else "[bold red]missed[/]"
        console.print(f"  {word} {facts['name']}: {facts['measured']:g} ({facts['target']})")


def by_latency(by_target: Mapping[str, Any]) -> list[str]:
    """Return the targets, the quickest first."""
    return sorted(by_target, key=lambda name: float(by_target[name]["1"]["p50_ms"]))


def _print_load(console: Console, case: str, by_target: Mapping[str, Any]) -> None:
    rows = {}
    for name in by_latency(by_target):
        one, many = by_target[name]["1"], by_target[name]["16"]
        rows[name] = {
            "p50 ms, 1": one["p50_ms"],
            "p99 ms, 1": one["p99_ms"],
            "p50 ms, 16": many["p50_ms"],
            "p99 ms, 16": many["p99_ms"],
            "rps, 16": many["rps"],
        }
    _print(console, case, rows)


def _print(console: Console, title: str, rows: Mapping[str, Mapping[str, float]]) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    table.add_column("", no_wrap=True)
    for name in next(iter(rows.values())):
        table.add_column(name.replace("_", " "), justify="right")
    for name, values in rows.items():
        table.add_row(name, *(in_figures(value) for value in values.values()))
    console.print(table)


def draw(path: Path, nested: Mapping[str, Any], *, rounds: int, seconds: int) -> None:
    """Draw the nested question's latency and throughput."""
    names = by_latency(nested)
    plot_panels(
        path,
        title="50 accounts, each with opportunities, open tickets and invoices",
        labels=names,
        panels={
            "p50 in ms, 1 client (less is better)": [nested[name]["1"]["p50_ms"] for name in names],
            "requests a second, 16 clients (more is better)": [
                nested[name]["16"]["rps"] for name in names
            ],
        },
        ours=OURS,
        note="logarithmic; new random variables every time, medians of"
        f" {rounds} round{'s' if rounds > 1 else ''} of {seconds} s",
    )
