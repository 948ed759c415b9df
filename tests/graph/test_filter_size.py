"""Filters and orders have a size, whatever way they come in."""

from __future__ import annotations

from typing import Any

import pytest
from tests.graph.world import World

from firnline.graph.filter import CONDITIONS_MAX, SORT_KEYS_MAX

FITS = [{"name": {"eq": str(n)}} for n in range(CONDITIONS_MAX)]


def refusal(world: World, text: str, **variables: Any) -> dict[str, Any]:
    (error,) = world.ask(text, variables=variables)["errors"]
    return error


def test_filter_at_the_limit_is_answered(world: World) -> None:
    text = "query ($w: AccountWhere) { accounts(where: $w) { totalCount } }"
    assert world.data(text, variables={"w": {"or": FITS}})["accounts"]["totalCount"] >= 0
    many = {"name": {"in": [str(n) for n in range(CONDITIONS_MAX + 1)]}}  # a list is one
    assert world.data(text, variables={"w": many})["accounts"] == {"totalCount": 0}


@pytest.mark.parametrize(
    "where",
    [
        {"or": [*FITS, {"region": {"eq": "x"}}]},
        {"and": [{"or": FITS}, {"rating": {"gt": 1}}]},
        {"not": {"deals": {"some": {"account": {"or": [*FITS, {}]}}}}},
        {"or": [{}] * (CONDITIONS_MAX + 1)},
        {"parent": {"and": [{"deals": {"none": {}}}] * (CONDITIONS_MAX + 1)}},
        {"deals": {"where": {"or": [{"stage": {"eq": "x"}}] * CONDITIONS_MAX},
                   "aggregate": {"count": {"gt": 1}}}},
    ],
    ids=["or", "nested", "relations", "empty", "to-one", "aggregate"],
)  # fmt: skip
def test_filter_over_the_limit_is_refused_with_number_and_limit(
    world: World, where: dict[str, Any]
) -> None:
    for argument in ("where: $w", "where: {and: [$w]}"):
        text = f"query ($w: AccountWhere!) {{ accounts({argument}) {{ totalCount }} }}"
        error = refusal(world, text, w=where)
        assert error["extensions"]["code"] == "filter_too_large"
        number = CONDITIONS_MAX + 1
        assert error["message"] == f"{number} conditions are over the limit of {CONDITIONS_MAX}"


def test_filter_inside_an_order_counts_for_itself(world: World) -> None:
    text = """query ($w: DealWhere) { accounts(
        orderBy: [{deals: {where: $w, aggregate: {count: ASC}}}]) { totalCount nodes { id } } }"""
    error = refusal(world, text, w={"or": [{"title": {"eq": "x"}}] * (CONDITIONS_MAX + 1)})
    assert error["extensions"]["code"] == "filter_too_large"


def test_having_counts_too(world: World) -> None:
    operators = {
        "eq": 1,
        "neq": 1,
        "lt": 1,
        "lte": 1,
        "gt": 1,
        "gte": 1,
        "isNull": False,
        "in": [1],
    }
    functions = ("sum", "avg", "min", "max", "stddev", "median")
    fields = ("probability", "quantity")
    text = """query ($h: DealAggregateWhere) { deals {
        groupBy(by: [{stage: VALUE}], having: $h) { key { stage } } } }"""
    having = {function: dict.fromkeys(fields, operators) for function in functions}
    assert "errors" not in world.ask(text, variables={"h": having})
    more = {**dict.fromkeys(fields, operators), "amount": operators, "big": operators}
    having = dict.fromkeys((*functions, "countDistinct"), more)
    error = refusal(world, text, h=having)
    assert error["extensions"]["code"] == "filter_too_large"
    assert error["message"].startswith(f"{len(having) * len(more) * len(operators)} conditions")


def test_too_many_sort_keys_are_refused(world: World) -> None:
    text = "query ($o: [AccountOrderBy!]) { accounts(orderBy: $o) { nodes { id } } }"
    keys = [{"deals": {"aggregate": {"count": "ASC"}}}] * SORT_KEYS_MAX
    assert world.data(text, variables={"o": keys})["accounts"]["nodes"]
    error = refusal(world, text, o=[*keys, {"name": "ASC"}])
    assert error["extensions"]["code"] == "filter_too_large"
    assert str(SORT_KEYS_MAX + 1) in error["message"]
    assert str(SORT_KEYS_MAX) in error["message"]
