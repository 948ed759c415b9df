"""Groups hold what plain Python puts together from the records that the person sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.graph.asking import literal, wheres
from tests.graph.reference import (
    KINDS,
    LIST_FIELDS,
    Ask,
    Reference,
    Refused,
    aggregate_type,
    compared,
    shown,
)
from tests.graph.test_reference import assert_same, bounded
from tests.graph.world import PEOPLE, Row, World, seeded

ROWS = seeded()
UNITS = ("VALUE", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR")
VALUES = {"Account": "revenue", "Deal": "amount", "Ticket": "effort"}
KEYS: Mapping[str, Sequence[tuple[str, ...]]] = {
    "Account": [("region",), ("segment",), ("createdAt",), ("isActive",), ("parent", "segment")],
    "Deal": [("stage",), ("closesOn",), ("updatedAt",), ("account", "region"), ("amount",)],
    "Ticket": [("priority",), ("createdAt",), ("account", "foundedOn"), ("effort",)],
}


def type_of(kind: str, path: Sequence[str]) -> str:
    if len(path) == 1:
        return KINDS[kind].fields[path[0]][0]
    return type_of(KINDS[kind].relations[path[0]][0], path[1:])


def truncated(value: Any, unit: str) -> Any:
    if value is None or unit == "VALUE":
        return value
    day = value.date() if isinstance(value, datetime) else value
    day = {
        "DAY": day,
        "WEEK": day - timedelta(days=day.weekday()),
        "MONTH": day.replace(day=1),
        "QUARTER": date(day.year, 3 * ((day.month - 1) // 3) + 1, 1),
        "YEAR": day.replace(month=1, day=1),
    }[unit]
    return datetime(day.year, day.month, day.day) if isinstance(value, datetime) else day


def nested(path: Sequence[str], value: str) -> str:
    return "".join(f"{{{step}: " for step in path) + value + "}" * len(path)


@st.composite
def groupings(draw: Any) -> tuple[str, dict[str, Any], list[tuple[tuple[str, ...], str]], int]:
    kind = draw(st.sampled_from(sorted(KINDS)))
    paths = draw(st.lists(st.sampled_from(KEYS[kind]), min_size=1, max_size=3, unique=True))
    keys = [
        (path, draw(st.sampled_from(UNITS)) if type_of(kind, path) in ("date", "timestamp")
         else "VALUE")
        for path in paths
    ]  # fmt: skip
    return kind, draw(wheres(kind, 1)), keys, draw(st.sampled_from((0, 1, 2)))


def grouped(
    reference: Reference, kind: str, rows: Sequence[Row], keys: Any, at_least: int
) -> list[Any]:
    """Return groups of at least so many records, the most records first, then by key."""
    for path, _ in keys:
        reference._check_order(kind, path)
    value = VALUES[kind]
    reference._usable(kind, value)
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        key = tuple(truncated(reference.sorted_by(kind, row, path), unit) for path, unit in keys)
        found.setdefault(key, []).append(row)
    kept = [(key, own) for key, own in found.items() if compared("int", len(own), "gte", at_least)]
    kept.sort(key=lambda each: (-len(each[1]), [(part is None, part or 0) if part is None
              else (False, part) for part in each[0]]))  # fmt: skip
    type_ = KINDS[kind].fields[value][0]
    answers = []
    for key, own in kept:
        shown_key: dict[str, Any] = {}
        for (path, _), part in zip(keys, key, strict=True):
            place = shown_key
            for step in path[:-1]:
                place = place.setdefault(step, {})
            place[path[-1]] = shown(type_of(kind, path), part)
        aggregate = {"count": len(own)} | {
            function: {
                value: shown(
                    aggregate_type(function, type_),
                    reference.aggregated(kind, own, function, value),
                )
            }
            for function in ("sum", "countDistinct", "median")
        }
        answers.append({"key": shown_key, "aggregate": aggregate})
    return answers


def text_of(kind: str, keys: Any, at_least: int) -> str:
    by = ", ".join(nested(path, unit) for path, unit in keys)
    shown_keys = " ".join(
        path[0] if len(path) == 1 else f"{path[0]} {{ {path[1]} }}" for path, _ in keys
    )
    value = VALUES[kind]
    return f"""groupBy(by: [{by}], having: {{count: {{gte: {at_least}}}}},
      orderBy: [{{aggregate: {{count: DESC}}}}], first: 1000) {{
      key {{ {shown_keys} }}
      aggregate {{ count sum {{ {value} }} countDistinct {{ {value} }} median {{ {value} }} }} }}"""


@bounded
@given(grouping=groupings(), email=st.sampled_from(sorted(PEOPLE)))
def test_any_grouping_answers_what_plain_python_works_out(
    world: World, grouping: Any, email: str
) -> None:
    kind, where, keys, at_least = grouping
    inner = text_of(kind, keys, at_least)
    text = f"{{ answer: {LIST_FIELDS[kind]}(where: {literal(where)}) {{ {inner} }} }}"
    reference = Reference(ROWS, email)

    response = world.ask(text, email)

    try:
        rows = reference.ordered(Ask(kind, where))
        expected = grouped(reference, kind, rows, keys, at_least)
    except Refused:
        codes = {error["extensions"]["code"] for error in response["errors"]}
        assert codes <= {"field_not_readable", "object_not_readable"}
    else:
        assert "errors" not in response, (text, response["errors"])
        assert_same(response["data"]["answer"]["groupBy"], expected, text)


@pytest.mark.parametrize("email", ["all@x.test", "rep@x.test", "shared@x.test"])
def test_groups_of_a_relation_are_those_of_each_parent(world: World, email: str) -> None:
    keys = [(("stage",), "VALUE"), (("closesOn",), "MONTH")]
    text = f"{{ accounts(first: 200) {{ nodes {{ id deals {{ {text_of('Deal', keys, 1)} }} }} }} }}"
    reference = Reference(ROWS, email)
    parents = {row["id"]: row for row in reference.all_of("Account")}

    nodes = world.data(text, email)["accounts"]["nodes"]

    assert {node["id"] for node in nodes} == set(parents)
    assert any(node["deals"]["groupBy"] for node in nodes)
    for node in nodes:
        rows = reference.related("Account", parents[node["id"]], "deals")
        expected = grouped(reference, "Deal", rows, keys, 1)
        assert_same(node["deals"]["groupBy"], expected, node["id"])


def test_first_groups_and_having_and_order_by_key_choose_groups(world: World) -> None:
    text = """{ deals { groupBy(by: [{account: {region: VALUE}}], first: 2,
                having: {sum: {amount: {gt: 10}}},
                orderBy: [{key: {account: {region: DESC_NULLS_FIRST}}}]) {
                key { account { region } } aggregate { p: percentile(p: 0.9) { amount } } } } }"""
    groups = world.data(text)["deals"]["groupBy"]
    assert [group["key"]["account"]["region"] for group in groups] == [None, "south"]
    assert all(group["aggregate"]["p"]["amount"] > 0 for group in groups)


@pytest.mark.parametrize(
    ("arguments", "selection", "code"),
    [
        ("by: []", "aggregate { count }", "filter_invalid"),
        ("by: [{}]", "aggregate { count }", "filter_invalid"),
        ("by: [{stage: VALUE, title: VALUE}]", "aggregate { count }", "filter_invalid"),
        ("by: [{stage: VALUE}, {stage: VALUE}]", "aggregate { count }", "filter_invalid"),
        ("by: [{stage: VALUE}]", "key { title }", "filter_invalid"),
        ("by: [{stage: VALUE}], first: 1001", "aggregate { count }", "group_count"),
        (
            "by: [{stage: VALUE}], orderBy: [{key: {title: ASC}}]",
            "aggregate { count }",
            "filter_invalid",
        ),
        ("by: [{stage: VALUE}], having: {count: null}", "aggregate { count }", "filter_invalid"),
        (
            "by: [{stage: VALUE}]",
            "aggregate { percentile(p: 95) { amount } }",
            "percentile_invalid",
        ),
    ],
)
def test_grouping_that_cannot_be_meant_is_refused(
    world: World, arguments: str, selection: str, code: str
) -> None:
    assert world.code(f"{{ deals {{ groupBy({arguments}) {{ {selection} }} }} }}") == code


def test_masked_field_is_no_key_and_is_not_aggregated(world: World) -> None:
    for text in (
        "{ deals { groupBy(by: [{secret: VALUE}]) { aggregate { count } } } }",
        "{ deals { groupBy(by: [{stage: VALUE}]) { aggregate { max { secret } } } } }",
        "{ deals { groupBy(by: [{stage: VALUE}], having: {max: {secret: {eq: 1}}}) "
        "{ aggregate { count } } } }".replace("eq: 1", 'eq: "s1"'),
    ):
        assert world.code(text, "child@x.test") == "field_not_readable"
    cut = (
        "{ accounts { nodes { deals { groupBy(by: [{stage: VALUE}]) { aggregate { count } } } } } }"
    )
    for node in world.data(cut, "linkless@x.test")["accounts"]["nodes"]:
        assert node["deals"]["groupBy"] == []
