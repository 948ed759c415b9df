"""One answer, one data version: whatever sync commits meanwhile, from DuckDB and from memory."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from tests.graph.world import World, seeded

from firnline.graph.memory.tables import ResidentTables

QUESTION = """{
  accounts(first: 200) { nodes { id revenue } }
  again: accounts(first: 200, where: {revenue: {isNull: false}}) { totalCount nodes { id revenue } }
  deals(first: 200) { nodes { account { revenue } } }
}"""


@pytest.mark.parametrize("is_resident", [False, True], ids=["duckdb", "resident"])
def test_answer_shows_one_version_while_sync_commits(own_world: World, is_resident: bool) -> None:
    """Every commit gives all accounts one revenue: an answer never holds two."""
    if is_resident:
        own_world.resident = ResidentTables(1 << 28)
        own_world.renew()
    rows = seeded()
    own_world.fill(rows)
    (slot,) = [slot for slot in rows if slot[1].casefold() == "accounts"]
    money = money_field(own_world)
    own_world.write({slot: [{**row, money: 1} for row in rows[slot]]})
    stop = threading.Event()
    commits = 0

    def sync() -> None:
        nonlocal commits
        while not stop.is_set() and commits < 400:
            commits += 1
            own_world.write({slot: [{**row, money: commits % 90 + 1} for row in rows[slot]]})

    writer = threading.Thread(target=sync)
    writer.start()
    seen: set[str] = set()
    try:
        for _ in range(40):
            data = own_world.ask(QUESTION)
            if "errors" in data:  # commits came faster than a snapshot could be taken
                assert data["errors"][0]["extensions"]["code"] == "snapshot_moved"
                continue
            values = revenues(data["data"])
            assert len(values) == 1, values
            seen |= values
    finally:
        stop.set()
        writer.join()
    assert len(seen) > 1, "the data never changed while it was read"


def money_field(world: World) -> str:
    graph = world.runner.run(world.graphs.graph("acme"))
    mapping = graph.objects["Account"].fields["revenue"].mapping
    return str(mapping.from_)


def revenues(data: dict[str, Any]) -> set[str]:
    found = {node["revenue"] for node in data["accounts"]["nodes"]}
    found |= {node["revenue"] for node in data["again"]["nodes"]}
    found |= {node["account"]["revenue"] for node in data["deals"]["nodes"] if node["account"]}
    return found
