"""Lists below records that are not there: nothing to answer, from memory and from DuckDB."""

from __future__ import annotations

import pytest
from tests.graph.world import World

PARTS = "totalCount pageInfo { hasNextPage endCursor } edges { cursor } nodes { id }"


@pytest.fixture(scope="module", params=[False, True], ids=["duckdb", "resident"])
def is_resident(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.mark.parametrize(
    ("asked", "empty"),
    [
        ('accountsByKey(keys: ["nowhere"]) { deals { %s } }', [None]),
        ("accountsByKey(keys: []) { deals { %s } }", []),
        ('account(id: "nowhere") { deals { %s } }', None),
        ("accounts(first: 0) { nodes { deals { %s } } }", {"nodes": []}),
        ('accounts(where: {id: {eq: "x"}}) { nodes { deals { %s } } }', {"nodes": []}),
    ],
)
def test_page_of_a_relation_without_parents_is_no_failure(
    world: World, asked: str, empty: object
) -> None:
    for _ in range(3):
        assert world.data(f"{{ r: {asked.replace('%s', PARTS)} }}") == {"r": empty}
