"""A builder's key that several records share at the source: pages still hold each of them once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from tests.graph.world import PROJECT, World, seeded

from firnline.graph.memory.tables import ResidentTables

TICKETS = seeded()["desk", "tickets"]


@pytest.fixture(scope="module", params=[False, True], ids=["duckdb", "resident"])
def shared(
    connectors: None, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[World]:
    """Give a world whose tickets have the number of their account as key."""
    project = tmp_path_factory.mktemp("project") / "project"
    shutil.copytree(PROJECT, project)
    spec = project / "firnline.yaml"
    text = spec.read_text("utf-8")
    assert text.count("  Ticket:\n    fields:") == 1
    spec.write_text(text.replace("  Ticket:\n", "  Ticket:\n    key: accountNo\n"), "utf-8")
    world = World.open(tmp_path_factory.mktemp("home"), project)
    if request.param:
        world.resident = ResidentTables(1 << 26)
        world.renew()
    world.fill(seeded())
    yield world
    world.close()


def with_number(number: str) -> list[dict[str, Any]]:
    return sorted((row for row in TICKETS if row["org"] == number), key=lambda row: row["id"])


@pytest.mark.parametrize("size", [1, 2, 7])
@pytest.mark.parametrize("order", ["", "orderBy: [{priority: DESC}], ", "orderBy: [{id: DESC}], "])
@pytest.mark.parametrize(("count", "cursor"), [("first", "after"), ("last", "before")])
def test_paging_neither_skips_nor_repeats(
    shared: World, size: int, order: str, count: str, cursor: str
) -> None:
    ids: list[str] = []
    at = "null"
    for _ in range(len(TICKETS) + 1):
        page = shared.data(
            f"{{ tickets({order}{count}: {size}, {cursor}: {at}) {{ edges {{ cursor }}"
            " nodes { id } pageInfo { startCursor endCursor hasNextPage hasPreviousPage } } }"
        )["tickets"]
        found = [node["id"] for node in page["nodes"]]
        ids = [*ids, *found] if count == "first" else [*found, *ids]
        info = page["pageInfo"]
        end = info["endCursor" if count == "first" else "startCursor"]
        at = f'"{end}"'
        if not info["hasNextPage" if count == "first" else "hasPreviousPage"]:
            break
    whole = shared.data(f"{{ tickets({order}first: 200) {{ nodes {{ id }} }} }}")["tickets"]
    assert ids == [node["id"] for node in whole["nodes"]]
    assert sorted(ids) == sorted(row["id"] for row in TICKETS)


def test_record_of_a_shared_key_is_always_the_first_of_the_source(shared: World) -> None:
    numbers = [row["org"] for row in TICKETS if row["org"] and len(with_number(row["org"])) > 1]
    assert len(set(numbers)) > 3
    asked = sorted(set(numbers))
    firsts = [{"id": with_number(number)[0]["id"]} for number in asked]
    text = "query ($k: [String!]!) { ticketsByKey(keys: $k) { id } }"
    assert shared.data(text, variables={"k": asked})["ticketsByKey"] == firsts
    for number, first in zip(asked, firsts, strict=True):
        found = shared.data(f'{{ ticket(accountNo: "{number}") {{ id }} }}')["ticket"]
        assert found == first
    entities = shared.data(
        "query ($r: [_Any!]!) { _entities(representations: $r) { ... on Ticket { id } } }",
        variables={"r": [{"__typename": "Ticket", "accountNo": number} for number in asked]},
    )
    assert entities["_entities"] == firsts


def test_distinct_keeps_one_record_of_those_that_share_a_key(shared: World) -> None:
    text = """{ tickets(distinctOn: [{accountNo: VALUE}], first: 200) {
        totalCount nodes { id accountNo } } }"""
    answer = shared.data(text)["tickets"]
    firsts: dict[str | None, str] = {}
    for row in sorted(TICKETS, key=lambda row: row["id"]):
        firsts.setdefault(row["org"], row["id"])
    assert {node["accountNo"]: node["id"] for node in answer["nodes"]} == firsts
    assert answer["totalCount"] == len(answer["nodes"]) == len(firsts)
