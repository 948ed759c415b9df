"""Row rules as conditions of a scan: what DuckDB leaves is what the rule means."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.access.shop import COLUMNS, ROWS, SHOP, STORED, filters, kept_keys, seen, shop_database
from tests.connectors.row_rules import visible_keys

from firnline.access.model import (
    AllOf,
    AnyOf,
    Everything,
    FieldIn,
    FieldIsNull,
    Listed,
    Nothing,
    RowRule,
    Via,
    ViaChild,
)
from firnline.access.row_filter import RowRuleError
from firnline.cache.query import FALSE, TRUE, InSelect, Table

ANA = frozenset({"ana"})
OWN = FieldIn("owner", ANA)
SHARED = Listed("shares", "record", "who", ANA)


@pytest.fixture(scope="module")
def shop() -> Iterator[duckdb.DuckDBPyConnection]:
    with shop_database() as database:
        yield database


RULES: dict[str, tuple[RowRule, set[str]]] = {
    "everything": (Everything(), {"o1", "o2", "o3", "o4", "o5"}),
    "nothing": (Nothing(), set()),
    "a text among values": (OWN, {"o1", "o4"}),
    "a number among texts": (FieldIn("level", frozenset({"1", "x"})), {"o1", "o5"}),
    "a truth among texts": (FieldIn("urgent", frozenset({"true"})), {"o1", "o5"}),
    "no values": (FieldIn("owner", frozenset()), set()),
    "null": (FieldIsNull("owner"), {"o3"}),
    "any of none": (AnyOf(()), set()),
    "all of none": (AllOf(()), {"o1", "o2", "o3", "o4", "o5"}),
    "any of": (AnyOf((OWN, FieldIsNull("owner"))), {"o1", "o3", "o4"}),
    "all of": (AllOf((OWN, FieldIn("level", frozenset({"10"})))), {"o4"}),
    "listed by key": (SHARED, {"o2", "o3"}),
    "listed and narrowed": (
        Listed("shares", "record", "who", ANA, (("right", frozenset({"edit"})),)),
        {"o3"},
    ),
    "listed and narrowed twice": (
        Listed(
            "shares",
            "record",
            "who",
            ANA,
            (("right", frozenset({"edit", "read"})), ("id", frozenset({"s1", "s3"}))),
        ),
        {"o2"},
    ),
    "listed by another field": (
        Listed("shares", "record", "who", frozenset({"cy"}), match="owner"),
        {"o2"},
    ),
    "via a parent": (Via("customer", "customers", OWN), {"o1"}),
    "via a parent's parent": (
        Via("customer", "customers", Via("parent", "customers", OWN)),
        {"o2", "o3"},
    ),
    "via any parent": (Via("customer", "customers", Everything()), {"o1", "o2", "o3"}),
    "via a parent that nobody sees": (Via("customer", "customers", Nothing()), set()),
    "via a child": (ViaChild("lines", "order", FieldIn("kind", frozenset({"gift"}))), {"o1", "o5"}),
    "via any child": (ViaChild("lines", "order", Everything()), {"o1", "o2", "o4", "o5"}),
}


@pytest.mark.parametrize(("rule", "keys"), RULES.values(), ids=RULES)
def test_rule_shows_exactly_the_records_that_it_means(
    shop: duckdb.DuckDBPyConnection, rule: RowRule, keys: set[str]
) -> None:
    assert seen(shop, rule) == keys == visible_keys(rule, "orders", ROWS, SHOP)


def rules(name: str, depth: int) -> st.SearchStrategy[RowRule]:
    """Draw rules about the records of an object."""
    words = {
        str(value) for rows in ROWS.values() for row in rows.values() for value in row.values()
    }
    values = st.frozensets(st.sampled_from(sorted(words | {"true", "false"})), max_size=3)
    field = st.sampled_from(sorted(COLUMNS[name]))
    plain: list[st.SearchStrategy[Any]] = [
        st.just(Everything()),
        st.just(Nothing()),
        st.builds(FieldIn, field, values),
        st.builds(FieldIsNull, field.filter(lambda each: each != "id")),
        st.builds(
            Listed,
            st.just("shares"),
            st.just("record"),
            st.sampled_from(["who", "right"]),
            values,
            st.lists(st.tuples(st.sampled_from(["right", "id"]), values), max_size=2).map(tuple),
            st.sampled_from(["", "owner" if "owner" in COLUMNS[name] else "id"]),
        ),
    ]
    if depth == 0:
        return st.one_of(plain)
    some = st.lists(rules(name, depth - 1), max_size=3).map(tuple)
    deep: list[st.SearchStrategy[Any]] = [st.builds(AnyOf, some), st.builds(AllOf, some)]
    if name == "orders":
        inner, below = rules("customers", depth - 1), rules("lines", depth - 1)
        deep.append(st.builds(Via, st.just("customer"), st.just("customers"), inner))
        deep.append(st.builds(ViaChild, st.just("lines"), st.just("order"), below))
    if name == "customers":
        inner = rules("customers", depth - 1)
        deep.append(st.builds(Via, st.just("parent"), st.just("customers"), inner))
    return st.one_of(*plain, *deep)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(rule=rules("orders", 2))
def test_drawn_rule_shows_what_its_plain_reading_shows(
    shop: duckdb.DuckDBPyConnection, rule: RowRule
) -> None:
    assert seen(shop, rule) == visible_keys(rule, "orders", ROWS, SHOP)


def without(name: str, field: str) -> dict[str, frozenset[str]]:
    return {**STORED, name: STORED[name] - {field}}


GONE: dict[str, tuple[RowRule, str, str]] = {
    "compared field": (OWN, "orders", "owner"),
    "tested field": (FieldIsNull("owner"), "orders", "owner"),
    "reference": (Via("customer", "customers", Everything()), "orders", "customer"),
    "compared field of the parent": (Via("customer", "customers", OWN), "customers", "owner"),
    "child's reference": (ViaChild("lines", "order", Everything()), "lines", "order"),
    "own key": (SHARED, "orders", "id"),
    "matched field": (
        Listed("shares", "record", "who", ANA, match="owner"),
        "orders",
        "owner",
    ),
    "listing's reference": (SHARED, "shares", "record"),
    "listing's field": (SHARED, "shares", "who"),
    "narrowing field": (
        Listed("shares", "record", "who", ANA, (("right", frozenset({"read"})),)),
        "shares",
        "right",
    ),
}


@pytest.mark.parametrize(("rule", "name", "field"), GONE.values(), ids=GONE)
def test_rule_over_a_field_that_was_never_stored_shows_nothing(
    rule: RowRule, name: str, field: str
) -> None:
    assert filters(stored=without(name, field)).condition(rule, "orders", "a") == FALSE


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        (OWN, "orders"),
        (SHARED, "shares"),
        (Via("customer", "customers", Everything()), "customers"),
        (ViaChild("lines", "order", Everything()), "lines"),
    ],
)
def test_rule_over_an_object_that_was_never_synced_shows_nothing(rule: RowRule, name: str) -> None:
    left = {each: fields for each, fields in STORED.items() if each != name}
    assert filters(stored=left).condition(rule, "orders", "a") == FALSE


def test_matched_field_decides_though_the_key_is_not_stored(
    shop: duckdb.DuckDBPyConnection,
) -> None:
    rule = Listed("shares", "record", "who", frozenset({"cy"}), match="owner")
    condition = filters(stored=without("orders", "id")).condition(rule, "orders", "a")
    assert kept_keys(shop, condition, "orders") == {"o2"}


UNKNOWN: dict[str, tuple[RowRule, str]] = {
    "field": (FieldIn("nope", ANA), "field orders.nope"),
    "field of no values": (FieldIn("nope", frozenset()), "field orders.nope"),
    "null field": (FieldIsNull("nope"), "field orders.nope"),
    "reference": (Via("nope", "customers", Everything()), "field orders.nope"),
    "parent": (Via("customer", "nopes", Everything()), "object 'nopes'"),
    "child": (ViaChild("nopes", "order", Everything()), "field nopes.order"),
    "listing": (Listed("nopes", "record", "who", ANA), "field nopes.record"),
    "listing's key": (Listed("shares", "nope", "who", ANA), "field shares.nope"),
    "listing's field": (Listed("shares", "record", "nope", ANA), "field shares.nope"),
    "match": (Listed("shares", "record", "who", ANA, match="nope"), "field orders.nope"),
    "deep": (AnyOf((Everything(), AllOf((FieldIsNull("nope"),)))), "field orders.nope"),
}


@pytest.mark.parametrize(("rule", "named"), UNKNOWN.values(), ids=UNKNOWN)
def test_rule_over_what_the_catalog_lacks_is_a_named_error(rule: RowRule, named: str) -> None:
    with pytest.raises(RowRuleError) as caught:
        filters().condition(rule, "orders", "a")
    assert str(caught.value) == f"a rule of shop names the unknown {named}"


def test_rule_of_an_unknown_object_is_a_named_error() -> None:
    with pytest.raises(RowRuleError, match="a rule of shop names the unknown object 'nopes'"):
        filters().condition(SHARED, "nopes", "a")


def test_inner_scans_never_share_an_alias() -> None:
    """Two of one name would let an inner column stand for an outer one."""
    rule = AllOf((Via("customer", "customers", Via("parent", "customers", OWN)), SHARED))
    compiled = filters().condition(rule, "orders", "a")
    found: list[str] = []

    def walk(part: Any) -> None:
        if isinstance(part, InSelect):
            found.append(part.select.alias)
            assert isinstance(part.select.source, Table)
            assert part.select.source.connection == "shop"
            walk(part.select.where)
        for each in getattr(part, "arguments", ()):
            walk(each)

    walk(compiled)
    assert sorted(found) == ["a_r0", "a_r1", "a_r2"]


def test_everything_and_nothing_need_no_scan_of_their_own() -> None:
    assert filters().condition(Everything(), "orders", "a") == TRUE
    assert filters().condition(Nothing(), "orders", "a") == FALSE
    inner = filters().condition(Via("customer", "customers", Everything()), "orders", "a")
    assert isinstance(inner, InSelect)
    assert inner.select.where is None
