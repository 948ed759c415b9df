"""The read path beside its peers: `python -m benchmarks.read`, with QUICK=1 for under a minute.

Every target answers the same questions over the same rows, each in a process of its own, asked by
wrk with new random variables every time; before that, every answer is compared with plain Python
over the rows. The targets take turns within each round; the figures are medians of the rounds.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.common import QUICK, RESULTS, plot_bars, write_result
from benchmarks.common import Target as Goal
from benchmarks.read import firnline_home, postgres, stores
from benchmarks.read.cases import CASES
from benchmarks.read.dataset import ALL, COUNTS, REP, dataset
from benchmarks.read.load import Loaded, put_load
from benchmarks.read.peers import python_packages, wrk
from benchmarks.read.reference import Reference
from benchmarks.read.targets import Servers, Target, start_all
from firnline.clock import SystemClock

OURS, MERCURIUS = "firnline", "mercurius + jit"
SQLITE, POSTGRES = "sqlite, one SQL", "postgres, one SQL"
CLIENTS = (1, 16)


@dataclass(frozen=True, slots=True)
class Load:
    """How much is measured."""

    scale: float
    cases: tuple[str, ...]
    rounds: int
    seconds: int
    samples: int
    warm_rounds: int


FULL = Load(1.0, tuple(CASES), 3, int(os.environ.get("BENCH_SECONDS", "5")), 5, 1)
SMALL = Load(0.1, ("nested",), 1, 1, 2, 0)


class DifferentAnswerError(AssertionError):
    """A target answers otherwise than the rows say: its speed means nothing."""


def check_equal(
    targets: Sequence[Target], references: Mapping[str, Reference], load: Load, seed: int
) -> None:
    """Compare every target's answers with those worked out in Python."""
    chance = random.Random(seed)
    for name in load.cases:
        for _ in range(load.samples):
            variables = CASES[name].draw(chance)
            expected = {email: one.answer(name, variables) for email, one in references.items()}
            for target in targets:
                if name not in target.cases or target.name == "static answer":
                    continue
                found = target.ask(CASES[name], variables)
                if found != expected[target.email]:
                    raise DifferentAnswerError(f"{target.name}: {name} {variables}")


def measure(
    program: str, targets: Sequence[Target], load: Load, folder: Path, console: Console
) -> dict[str, dict[str, dict[str, list[Loaded]]]]:
    """Return case -> target -> clients -> one measurement per round."""
    found: dict[str, dict[str, dict[str, list[Loaded]]]] = {}
    for name in load.cases:
        case = CASES[name]
        asked = [target for target in targets if name in target.cases]
        for round_ in range(-load.warm_rounds, load.rounds):
            for clients in CLIENTS:
                for number, target in enumerate(asked):
                    template = folder / f"{number}-{name}.json"
                    template.write_text(target.template(case))
                    seed = 1_000 * (round_ + 2) + 100 * clients + number
                    seconds = 1 if round_ < 0 else load.seconds
                    put = partial(
                        put_load,
                        program,
                        target.url,
                        template=template,
                        span=case.span,
                        seed=seed,
                        clients=clients,
                        token=target.token,
                    )
                    one = put(seconds=seconds)
                    if not one.requests:  # slower than the whole run: give it more time
                        one = put(seconds=8 * seconds)
                    if one.refused or one.broken or not one.requests:
                        console.print(f"[red]{target.name}, {name}: {one}[/]")
                    if round_ >= 0:
                        by_clients = found.setdefault(name, {}).setdefault(target.name, {})
                        by_clients.setdefault(str(clients), []).append(one)
    return found


def summarised(rounds: Sequence[Loaded]) -> dict[str, float]:
    """Return the medians of the rounds."""
    return {
        "rps": round(statistics.median(one.rps for one in rounds), 1),
        "p50_ms": round(statistics.median(one.p50_ms for one in rounds), 3),
        "p99_ms": round(statistics.median(one.p99_ms for one in rounds), 3),
        "requests": sum(one.requests for one in rounds),
        "failed": sum(one.refused + one.broken for one in rounds),
    }


def resident_mb(pid: int) -> float:
    """Return a process' memory now, in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


def judged(nested: Mapping[str, Any]) -> list[Goal]:
    """Return the goals with what was measured of the nested question."""
    ours = nested[OURS]
    goals = [Goal("p99 / p50, 1 client", ours["1"]["p99_ms"] / ours["1"]["p50_ms"], 3)]
    for peer, latency, throughput in (
        (MERCURIUS, 0.6, 2.5),
        (SQLITE, 0.85, None),
        (POSTGRES, None, 1.2),
    ):
        if peer not in nested:
            continue
        if latency:
            ratio = ours["1"]["p50_ms"] / nested[peer]["1"]["p50_ms"]
            goals.append(Goal(f"p50 / {peer}, 1 client", ratio, latency))
        if throughput:
            ratio = ours["16"]["rps"] / nested[peer]["16"]["rps"]
            goals.append(Goal(f"rps / {peer}, 16 clients", ratio, throughput, at_least=True))
    failed = sum(one["failed"] for each in nested.values() for one in each.values())
    return [*goals, Goal("failed requests", failed, 0)]


async def run(load: Load, console: Console, *, quick: bool) -> bool:
    """Prepare, compare, measure, write; say whether every goal is met."""
    program = wrk()
    if program is None:
        console.print("wrk is missing: install Debian's package wrk")
        return False
    with tempfile.TemporaryDirectory(prefix="firnline-bench-") as name:
        folder = Path(name)
        tables = dataset(load.scale)
        references = {email: Reference(tables, email) for email in (ALL, REP)}
        home = folder / "home"
        home.mkdir()
        await firnline_home.fill(home, tables)
        files = {kind: folder / kind for kind in ("duckdb", "sqlite", "static")}
        stores.fill_duckdb(files["duckdb"], tables)
        stores.fill_sqlite(files["sqlite"], tables)
        first = CASES["nested"].draw(random.Random(1))
        answer = {"data": references[ALL].answer("nested", first)}
        files["static"].write_bytes(orjson.dumps(answer))
        with postgres.running(folder) as port:
            await _fill_postgres(port, tables)
            with Servers(folder) as servers:
                targets = start_all(servers, home, files, port, console.print)
                check_equal(targets, references, load, seed=7)
                console.print(f"{len(targets)} targets give equal answers")
                measured = measure(program, targets, load, folder, console)
                memory = {name: resident_mb(pid) for name, pid in servers.pids.items()}
    figures = {
        case: {
            target: {clients: summarised(rounds) for clients, rounds in by_clients.items()}
            for target, by_clients in by_target.items()
        }
        for case, by_target in measured.items()
    }
    goals = judged(figures["nested"])
    settings = {
        "rows": {name: int(count * load.scale) for name, count in COUNTS.items()},
        "clients": list(CLIENTS),
        "rounds": load.rounds,
        "seconds": load.seconds,
        "person": f"{OURS} answers as a person with a row filter and a hidden field",
        "memory_mb": memory,
    }
    write_result(
        "read",
        date=SystemClock().now(),
        settings=settings,
        targets=goals,
        figures=figures,
        quick=quick,
    )
    draw(RESULTS / "read.png", figures["nested"], load)
    show(console, figures, goals)
    return all(goal.met for goal in goals)


async def _fill_postgres(port: int, tables: Mapping[str, Any]) -> None:
    python_packages("asyncpg")
    import asyncpg

    connection = await asyncpg.connect(
        host="127.0.0.1", port=port, user="postgres", database="postgres"
    )
    try:
        await stores.fill_postgres(connection, tables)
    finally:
        await connection.close()


def show(console: Console, figures: Mapping[str, Any], goals: Sequence[Goal]) -> None:
    """Print one table per case, and the goals."""
    for case, by_target in figures.items():
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=case, title_justify="left")
        table.add_column("target", no_wrap=True)
        for title in ("p50 ms, 1", "p99 ms, 1", "p50 ms, 16", "p99 ms, 16", "rps, 16"):
            table.add_column(title, justify="right")
        ordered = sorted(by_target.items(), key=lambda item: float(item[1]["1"]["p50_ms"]))
        for name, by_clients in ordered:
            one, many = by_clients["1"], by_clients["16"]
            table.add_row(
                name,
                f"{one['p50_ms']:.2f}",
                f"{one['p99_ms']:.2f}",
                f"{many['p50_ms']:.1f}",
                f"{many['p99_ms']:.1f}",
                f"{many['rps']:,.0f}",
            )
        console.print(table)
    for goal in goals:
        facts = goal.as_dict()
        word = "[green]met[/]" if goal.met else "[bold red]missed[/]"
        console.print(f"  {word} {facts['name']}: {facts['measured']:g} ({facts['target']})")


def draw(path: Path, nested: Mapping[str, Any], load: Load) -> None:
    """Draw the nested question's latency and throughput."""
    names = sorted(nested, key=lambda name: float(nested[name]["1"]["p50_ms"]))
    plot_bars(
        path,
        title="50 accounts, each with opportunities, open tickets and invoices",
        labels=names,
        series={
            "p50 in ms, 1 client": [nested[name]["1"]["p50_ms"] for name in names],
            "requests a second, 16 clients": [nested[name]["16"]["rps"] for name in names],
        },
        axis="logarithmic",
        note=f"new random variables every time, medians of {load.rounds} rounds"
        f" of {load.seconds} s",
    )


def main() -> int:
    """Run as the environment asks; goals that are missed are told, not an error."""
    # Terminated, as by a timeout, the run must still stop the servers it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    asyncio.run(run(SMALL if QUICK else FULL, Console(highlight=False), quick=QUICK))
    return 0


if __name__ == "__main__":
    sys.exit(main())
