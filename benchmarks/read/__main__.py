"""The read path beside its peers: `python -m benchmarks.read`, with QUICK=1 for about a minute.

Every target answers the same questions over the same rows, each in a process of its own, asked by
wrk with new random variables every time; before that, every answer is compared with plain Python
over the rows. The targets take turns within each round; the figures are medians of the rounds.
BENCH_SECONDS is how long a round of the nested question takes, of each target.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console

from benchmarks.common import QUICK, RESULTS, write_result
from benchmarks.read import cold, firnline_home, growth, postgres, report, residency, stores
from benchmarks.read.cases import CASES
from benchmarks.read.dataset import ALL, COUNTS, REP, dataset
from benchmarks.read.measure import Asked, Loader, Turns, check_equal
from benchmarks.read.peers import python_packages, wrk
from benchmarks.read.reference import Reference
from benchmarks.read.servers import Servers, held_mb
from benchmarks.read.targets import (
    CACHED,
    OURS,
    STATIC,
    Peer,
    Target,
    cached_firnline,
    peers,
    start_all,
)
from firnline.clock import SystemClock
from firnline.settings import Settings


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    scale: float
    samples: int  # answers compared per case
    nested: Turns
    others: Turns  # of the secondary cases
    repeated: Turns
    growth: Turns
    sizes: tuple[float, ...]
    cold_rounds: int
    cases: tuple[str, ...] = tuple(CASES)


FULL = Plan(
    scale=1.0,
    samples=5,
    nested=Turns(rounds=3, seconds=int(os.environ.get("BENCH_SECONDS", "3")), warm_seconds=1),
    others=Turns(rounds=3, seconds=1),
    repeated=Turns(rounds=3, seconds=1, warm_seconds=1),
    growth=Turns(rounds=3, seconds=1, clients=(1,)),
    sizes=growth.SIZES,
    cold_rounds=3,
)
SMALL = Plan(
    scale=0.1,
    samples=2,
    nested=Turns(rounds=1, seconds=1),
    others=Turns(rounds=1, seconds=1),
    repeated=Turns(rounds=1, seconds=1),
    growth=Turns(rounds=1, seconds=1, clients=(1,)),
    sizes=growth.SIZES_QUICK,
    cold_rounds=1,
    cases=("nested", "spread", "group"),
)


@dataclass(frozen=True, slots=True)
class Stage:
    """What everyone answers from, and the answers that are right."""

    folder: Path
    home: Path
    files: Mapping[str, Path]
    tables: dict[str, Any]
    references: Mapping[str, Reference]
    first: Mapping[str, Mapping[str, Any]]  # case -> the variables of the answer that is static


async def prepared(folder: Path, scale: float) -> Stage:
    """Make the data set, and every store but PostgreSQL's."""
    tables = dataset(scale)
    home = folder / "home"
    home.mkdir()
    await firnline_home.fill(home, tables)
    files = {kind: folder / kind for kind in ("duckdb", "sqlite", "static")}
    stores.fill_duckdb(files["duckdb"], tables)
    stores.fill_sqlite(files["sqlite"], tables)
    references = {email: Reference(tables, email) for email in (ALL, REP)}
    first = {name: case.draw(random.Random(1)) for name, case in CASES.items()}
    files["static"].mkdir()
    for name, variables in first.items():
        answer = {"data": references[ALL].answer(name, variables)}
        (files["static"] / f"{name}.json").write_bytes(orjson.dumps(answer))
    return Stage(folder, home, files, tables, references, first)


def under_load(
    everyone: list[Peer], stage: Stage, plan: Plan, loader: Loader
) -> tuple[dict[str, Any], dict[str, float]]:
    """Measure every case with all servers up; give the figures and each server's memory."""
    console = loader.console
    with Servers(stage.folder) as servers:
        targets = start_all(servers, everyone, console.print)
        check_equal(targets, stage.references, tuple(CASES), samples=plan.samples, seed=7)
        console.print(f"{len(targets)} targets give equal answers")
        figures: dict[str, Any] = {}
        for name in plan.cases:
            asked = [target for target in targets if name in target.cases]
            turns = plan.nested if name == "nested" else plan.others
            figures[name] = loader.measure(Asked.of(CASES[name]), asked, turns)
            console.print(f"measured {name}")
        memory = {name: held_mb(pid) for name, pid in servers.pids.items()}
        figures["repeated"] = repeated(servers, targets, stage, plan, loader)
    return figures, memory


def repeated(
    servers: Servers, targets: Sequence[Target], stage: Stage, plan: Plan, loader: Loader
) -> dict[str, Any]:
    """Measure one request of each case over and over: from the response cache, or a constant."""
    cached = cached_firnline(stage.home)
    static = [one for one in targets if one.name == STATIC]
    ours = cached.at(servers.start(cached.program))
    check_equal(ours, stage.references, plan.cases, samples=plan.samples, seed=8)
    figures = {}
    for name in plan.cases:
        asked = [*static, *(target for target in ours if name in target.cases)]
        one = Asked(CASES[name], CASES[name].span, stage.first[name])
        figures[name] = loader.measure(one, asked, plan.repeated)
    return figures


async def run(plan: Plan, console: Console, *, quick: bool) -> bool:
    """Prepare, compare, measure, write; say whether every goal is met."""
    program = wrk()
    if program is None:
        console.print("wrk is missing: install Debian's package wrk")
        return False
    with tempfile.TemporaryDirectory(prefix="firnline-bench-") as name:
        folder = Path(name)
        loader = Loader(program, folder, console)
        stage = await prepared(folder, plan.scale)
        with postgres.running(folder) as port:
            await _fill_postgres(port, stage.tables)
            everyone = peers(stage.home, stage.files, port, console.print)
            figures, memory = under_load(everyone, stage, plan, loader)
            others = [peer for peer in everyone if peer.targets[0].name != STATIC]
            figures["cold"] = {
                name: cold.measure(
                    [peer for peer in others if name in peer.targets[0].cases],
                    CASES[name],
                    stage.first[name],
                    folder,
                    rounds=plan.cold_rounds if name == "nested" else 1,
                )
                for name in plan.cases
            }
        figures["growth"] = await growth.measure(loader, folder, plan.sizes, plan.growth)
        figures["memory"] = {
            "servers_mb": memory,
            "resident": residency.measure(stage.home, stage.tables),
        }
    goals = report.judged(figures)
    write_result(
        "read",
        date=SystemClock().now(),
        settings=_settings(plan),
        targets=goals,
        figures=figures,
        quick=quick,
    )
    report.draw(
        RESULTS / "read.png",
        figures["nested"],
        rounds=plan.nested.rounds,
        seconds=plan.nested.seconds,
    )
    report.show(console, figures, goals)
    return all(goal.met for goal in goals)


def _settings(plan: Plan) -> dict[str, Any]:
    return {
        "rows": {name: int(count * plan.scale) for name, count in COUNTS.items()},
        "clients": list(plan.nested.clients),
        "rounds": plan.nested.rounds,
        "seconds": plan.nested.seconds,
        "seconds_of_other_cases": plan.others.seconds,
        "person": f"{OURS} answers as a person with a row filter and a hidden field",
        "response_cache": f"off, but for {CACHED}",
        "has_response_cache": "response_cache_mb" in Settings.model_fields,
    }


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


def main() -> int:
    """Run as the environment asks; goals that are missed are told, not an error."""
    # Terminated, as by a timeout, the run must still stop the servers it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    asyncio.run(run(SMALL if QUICK else FULL, Console(highlight=False), quick=QUICK))
    return 0


if __name__ == "__main__":
    sys.exit(main())
