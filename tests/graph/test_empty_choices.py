"""A choice among nothing: `in` finds no record and `notIn` each, those without a value as well."""

from __future__ import annotations

import pytest
from tests.graph.world import World

TEXT = "query ($w: DealWhere) { deals(where: $w, first: 200) { totalCount nodes { id } } }"


@pytest.fixture(scope="module", params=[False, True], ids=["duckdb", "resident"])
def is_resident(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.mark.parametrize("field", ["amount", "quantity", "title", "closesOn", "accountId"])
def test_choice_among_nothing_finds_none_or_all(world: World, field: str) -> None:
    for _ in range(3):
        everything = world.data(TEXT)["deals"]
        assert everything["totalCount"] > 20
        assert world.data(TEXT, variables={"w": {field: {"notIn": []}}})["deals"] == everything
        assert world.data(TEXT, variables={"w": {field: {"in": []}}})["deals"]["nodes"] == []


@pytest.mark.parametrize(
    ("where", "is_each"),
    [
        ({"or": []}, False),
        ({"and": []}, True),
        ({"not": {}}, False),
        ({"not": {"or": []}}, True),
        ({"or": [{}]}, True),
        ({"and": [{"or": []}]}, False),
    ],
)
def test_any_of_nothing_holds_for_none_and_all_of_nothing_for_each(
    world: World, where: object, is_each: bool
) -> None:
    all_ = world.data(TEXT)["deals"]["totalCount"]
    for _ in range(3):
        found = world.data(TEXT, variables={"w": where})["deals"]
        assert found["totalCount"] == len(found["nodes"]) == (all_ if is_each else 0)
