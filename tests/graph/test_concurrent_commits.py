"""Several askers, from memory and from DuckDB, while sync commits two objects that must agree.

Every commit moves deals and their accounts together: an answer that mixed two versions, within a
list, between parent and child or between a list and its sums, would not add up.
"""

from __future__ import annotations

import asyncio
import threading
from decimal import Decimal
from typing import Any

import orjson
from tests.graph.world import Row, Rows, World, seeded

from firnline.access.principal import Principal
from firnline.graph.answer import Question
from firnline.graph.memory.tables import ResidentTables
from firnline.graph.respond import Responder
from firnline.graph.session import SnapshotMovedError

ASKERS = 3  # of each way
ANSWERS_MIN = 25  # of each asker
COMMITS_MAX = 600
PAUSE_S = 0.01
QUESTION = """query ($first: Int!) {
  accounts(first: $first, orderBy: [{id: ASC}]) { totalCount nodes { id rating revenue
    deals(first: 100) { totalCount nodes { quantity account { rating } }
      aggregate { count sum { quantity } min { quantity } max { quantity } } } } }
  deals(first: 200, where: {accountId: {isNull: false}}) { nodes { quantity accountId } }
  totals: accounts { aggregate { sum { revenue } } }
}"""


def version(number: int, rows: Rows) -> Rows:
    """Return accounts and deals as of one commit: each deal counts `number`."""
    deals: list[Row] = [{**row, "quantity": number, "stage": "1"} for row in rows["crm", "deals"]]
    held = {row["id"]: 0 for row in rows["crm", "accounts"]}
    for deal in deals:
        if deal["account_id"] in held:
            held[deal["account_id"]] += 1
    accounts = [
        {**row, "rating": number, "revenue": Decimal(number * held[row["id"]])}
        for row in rows["crm", "accounts"]
    ]
    return {("crm", "accounts"): accounts, ("crm", "deals"): deals}


def test_every_answer_adds_up_and_both_ways_agree_on_each_version(own_world: World) -> None:
    rows = seeded()
    own_world.fill(rows)
    own_world.write(version(1, rows))
    from_duckdb = own_world.responder
    own_world.resident = ResidentTables(1 << 28)
    own_world.renew()
    from_memory = own_world.responder
    stop = threading.Event()

    def sync() -> None:
        for number in range(2, COMMITS_MAX):
            own_world.write(version(number, rows))
            if stop.wait(PAUSE_S):
                return

    writer = threading.Thread(target=sync)
    writer.start()
    try:
        told = own_world.runner.run(everybody([from_duckdb, from_memory]))
    finally:
        stop.set()
        writer.join()

    by_version: dict[tuple[int, int], set[bytes]] = {}
    for first, data in told:
        by_version.setdefault((first, added_up(data)), set()).add(orjson.dumps(data))
    assert len({number for _, number in by_version}) > 5, "the data hardly changed meanwhile"
    assert all(len(answers) == 1 for answers in by_version.values())


async def everybody(responders: list[Responder]) -> list[tuple[int, Any]]:
    """Ask in turns that overlap; return page sizes and answers."""
    asking = [asker(each, 20 + n) for each in responders for n in range(ASKERS)]
    return [answer for answers in await asyncio.gather(*asking) for answer in answers]


async def asker(responder: Responder, first: int) -> list[tuple[int, Any]]:
    principal = Principal(tenant="acme", email="all@x.test", name="")
    found: list[tuple[int, Any]] = []
    for _ in range(4 * ANSWERS_MIN):
        size = first + len(found) % 2
        try:
            answer = await responder.answer(principal, Question(QUESTION, None, {"first": size}))
        except SnapshotMovedError:  # commits came faster than a snapshot could be taken
            continue
        body = orjson.loads(answer.body())
        assert "errors" not in body, body["errors"]
        found.append((size, body["data"]))
        if len(found) == ANSWERS_MIN:
            return found
    raise AssertionError("hardly any question was answered")


def added_up(data: Any) -> int:
    """Return the one version that all parts of an answer show."""
    numbers = {node["rating"] for node in data["accounts"]["nodes"]}
    numbers |= {deal["quantity"] for deal in data["deals"]["nodes"]}
    for account in data["accounts"]["nodes"]:
        deals = account["deals"]
        numbers |= {deal["quantity"] for deal in deals["nodes"]}
        numbers |= {deal["account"]["rating"] for deal in deals["nodes"]}
        total = sum(deal["quantity"] for deal in deals["nodes"])
        summed = deals["aggregate"]
        assert deals["totalCount"] == summed["count"] == len(deals["nodes"])
        assert total == (summed["sum"]["quantity"] or 0) == Decimal(account["revenue"])
        if total:
            numbers |= set(summed["min"].values()) | set(summed["max"].values())
    (number,) = numbers
    linked = {deal["accountId"] for deal in data["deals"]["nodes"]} - {"gone"}
    count = sum(deal["accountId"] in linked for deal in data["deals"]["nodes"])
    assert Decimal(data["totals"]["aggregate"]["sum"]["revenue"]) == number * count
    return int(number)
