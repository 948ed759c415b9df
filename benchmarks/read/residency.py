"""What columns in memory hold per row: `python -m benchmarks.read.residency HOME`.

Prints one JSON line: the process' memory after questions that DuckDB answers, and after one that
makes four tables resident; and how long that one takes without HTTP. The benchmark runs it in a
process of its own.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from benchmarks.read import firnline_home
from benchmarks.read.cases import CASES
from benchmarks.read.dataset import ALL, REP
from benchmarks.read.servers import ROOT, held_mb
from firnline.access.principal import Principal
from firnline.app import App, opened
from firnline.settings import Settings

_MEASURE_MAX_S = 120
_WARM, _TIMED = 300, 200  # so that whatever is kept about rows is kept about most of them
_RESIDENT = ("accounts", "opportunities", "tickets", "invoices")


def measure(home: Path, tables: dict[str, Any]) -> dict[str, float]:
    """Measure in a process of its own; give MB, and bytes per row made resident."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.read.residency", str(home)],
        cwd=ROOT,
        env=firnline_home.environment(home),
        check=True,
        stdout=subprocess.PIPE,
        timeout=_MEASURE_MAX_S,
    )
    found = dict(orjson.loads(done.stdout))
    rows = sum(tables[name].num_rows for name in _RESIDENT)
    grown_mb = found["after_mb"] - found["before_mb"]
    return found | {
        "rows": rows,
        "bytes_per_row": round(grown_mb * 2**20 / rows, 1),
        "arrow_bytes_per_row": round(found["arrow_mb"] * 2**20 / rows, 1),
    }


async def _ask(app: App, case: str, chance: random.Random) -> None:
    question = CASES[case]
    who = Principal(tenant=firnline_home.TENANT, email=ALL, name="")
    answer = await app.ask(who, question.graphql, variables=question.draw(chance))
    found = orjson.loads(answer.body())
    assert found.get("data"), found


async def resident(home: Path) -> dict[str, float]:
    """Ask what DuckDB answers, then what is answered from memory; give what was held."""
    chance = random.Random(5)
    async with opened(firnline_home.PROJECT, Settings(home=home), read_only=True) as app:
        for case in ("question", "group", "aggregate"):
            await _ask(app, case, chance)
        gc.collect()
        before, arrow = held_mb(os.getpid()), pa.total_allocated_bytes()
        for _ in range(_WARM):
            await _ask(app, "nested", chance)
        in_process_ms = await _in_process_ms(app, chance)
        gc.collect()
        after, more_arrow = held_mb(os.getpid()), pa.total_allocated_bytes() - arrow
        return {
            "before_mb": before,
            "after_mb": after,
            "arrow_mb": round(more_arrow / 2**20, 1),
            "in_process_p50_ms": in_process_ms,
        }


async def _in_process_ms(app: App, chance: random.Random) -> float:
    """Return the median time of the nested question without HTTP, token and client."""
    who = Principal(tenant=firnline_home.TENANT, email=REP, name="")
    times = []
    for _ in range(_TIMED):
        variables = CASES["nested"].draw(chance)
        start = time.perf_counter()
        answer = await app.ask(who, CASES["nested"].graphql, variables=variables)
        answer.body()
        times.append((time.perf_counter() - start) * 1e3)
    return round(statistics.median(times), 3)


if __name__ == "__main__":
    found = asyncio.run(resident(Path(sys.argv[1])))
    sys.stdout.buffer.write(orjson.dumps(found) + b"\n")
