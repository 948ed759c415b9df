"""What single operators promise beyond what operations drawn at random show."""

from __future__ import annotations

import time

import pytest
from tests.graph.world import World, seeded

COUNT = "query ($where: AccountWhere) { accounts(where: $where) { totalCount } }"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": [1]}, {"o"}),
        ([], {"o", "l"}),
        ({"a": [2]}, set()),
        ("text", {"t"}),
        ({}, {"o"}),
    ],
)
def test_json_contains_finds_records_that_hold_the_value(
    own_world: World, value: object, expected: set[str]
) -> None:
    rows = seeded()
    template = rows["crm", "accounts"][0]
    texts = {"o": '{"a":[1,null]}', "l": "[]", "t": '"text"', "n": None}
    rows["crm", "accounts"] = [
        {**template, "id": key, "extra": text} for key, text in texts.items()
    ]
    own_world.fill(rows)
    text = """query ($value: JSON) { crm { accounts(where: {extra: {contains: $value}}) {
                nodes { id } } } }"""

    nodes = own_world.data(text, variables={"value": value})["crm"]["accounts"]["nodes"]

    assert {node["id"] for node in nodes} == expected


def test_pattern_full_of_wildcards_takes_no_longer_than_a_short_one(own_world: World) -> None:
    rows = seeded()
    rows["crm", "accounts"] = [{**rows["crm", "accounts"][0], "name": "a" * 20_000}]
    own_world.fill(rows)
    started = time.perf_counter()

    where = {"name": {"ilike": "%a" * 60 + "%b"}}
    data = own_world.data(COUNT, variables={"where": where})

    assert data["accounts"]["totalCount"] == 0
    assert time.perf_counter() - started < 5  # one that tries all placements never ends


@pytest.mark.parametrize("pattern", ["a\\", "%" * 501])
def test_pattern_that_cannot_be_meant_is_refused(world: World, pattern: str) -> None:
    code = world.code(COUNT, variables={"where": {"name": {"like": pattern}}})
    assert code == "condition_invalid"


def test_pattern_takes_signs_of_regular_expressions_literally(own_world: World) -> None:
    rows = seeded()
    template = rows["crm", "accounts"][0]
    signs = "a.*[b](c)^$|+?{1}\nnext\0"
    rows["crm", "accounts"] = [
        {**template, "id": "1", "name": signs},
        {**template, "id": "2", "name": "axb"},
    ]
    own_world.fill(rows)
    for pattern, count in ((signs, 1), ("a.%", 1), ("a_%", 2), ("%NEXT_", 1), (".*", 0)):
        where = {"name": {"ilike": pattern}}
        data = own_world.data(COUNT, variables={"where": where})
        assert data["accounts"]["totalCount"] == count, pattern
