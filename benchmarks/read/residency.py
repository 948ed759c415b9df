"""What columns in memory hold per row: `python -m benchmarks.read.residency HOME`.

Prints one JSON line: the process' memory after questions that DuckDB answers, and after one that
makes four tables resident. Also run by the benchmark, in a process of its own.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from benchmarks.read import firnline_home
from benchmarks.read.cases import CASES
from benchmarks.read.dataset import ALL
from benchmarks.read.servers import ROOT, held_mb
from firnline.access.principal import Principal
from firnline.app import App, opened
from firnline.settings import Settings

_MEASURE_MAX_S = 120
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
        for _ in range(20):
            await _ask(app, "nested", chance)
        gc.collect()
        return {
            "before_mb": before,
            "after_mb": held_mb(os.getpid()),
            "arrow_mb": round((pa.total_allocated_bytes() - arrow) / 2**20, 1),
        }


if __name__ == "__main__":
    found = asyncio.run(resident(Path(sys.argv[1])))
    sys.stdout.buffer.write(orjson.dumps(found) + b"\n")
