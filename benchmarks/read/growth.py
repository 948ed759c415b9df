"""The same questions at 1, 10 and 100 times the rows: how latency grows.

Every size has 50 or more accounts in each segment, so that answers are as large at every size.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import orjson

from benchmarks.read import firnline_home
from benchmarks.read.cases import CASES
from benchmarks.read.dataset import ALL, dataset
from benchmarks.read.dialects import DUCKDB
from benchmarks.read.measure import Asked, DifferentAnswerError, Loader, Turns
from benchmarks.read.reference import comparable
from benchmarks.read.servers import Servers
from benchmarks.read.sql import parameters, statements
from benchmarks.read.targets import OURS_ALL, Target, firnline

SIZES = (0.05, 0.5, 5.0)
SIZES_QUICK = (0.05, 0.5)
# Between which numbers is drawn, so that the smallest size has full answers too.
SPANS: Mapping[str, tuple[int, int]] = {
    "nested": (0, 500),
    "spread": (0, 8_000),
    "point": (0, 499),
    "group": (1, 50),
}


async def measure(
    loader: Loader, folder: Path, sizes: Sequence[float], turns: Turns
) -> dict[str, dict[str, dict[str, float]]]:
    """Return case -> size -> figures of one client, who sees all rows."""
    with Servers(folder) as servers:
        targets, rows = [], {}
        for size in sizes:
            home = folder / f"home-{size:g}"
            home.mkdir()
            tables = dataset(size)
            await firnline_home.fill(home, tables)
            url = servers.start(firnline(home).program)
            token = firnline_home.token(home, ALL)
            target = Target(f"{size:g}", url, "graphql", tuple(SPANS), token=token)
            check_equal(target, tables)
            targets.append(target)
            rows[target.name] = sum(table.num_rows for table in tables.values())
        found: dict[str, dict[str, dict[str, float]]] = {}
        for name, span in SPANS.items():
            figures = loader.measure(Asked(CASES[name], span), targets, turns)
            found[name] = {
                size: {"rows": rows[size]} | by_clients["1"] for size, by_clients in figures.items()
            }
    return found


def check_equal(target: Target, tables: Mapping[str, Any]) -> None:
    """Compare answers with DuckDB's over the raw rows; evaluating them in Python takes too long."""
    chance = random.Random(11)
    with duckdb.connect() as connection:
        for name, rows in tables.items():
            connection.register(name, rows)
        for name, (low, high) in SPANS.items():
            variables = CASES[name].draw(chance)
            drawn = chance.randint(low, high)
            variables |= {"id": f"a{drawn:07d}"} if name == "point" else {"floor": drawn}
            row = connection.execute(statements(DUCKDB)[name], parameters(name, variables))
            (text,) = row.fetchone() or ("",)
            if target.ask(CASES[name], variables) != comparable(orjson.loads(text)["data"]):
                raise DifferentAnswerError(f"{OURS_ALL}, size {target.name}: {name} {variables}")
