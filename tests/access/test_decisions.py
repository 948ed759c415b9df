"""What the plan is told of one person's rights, and who counts as having equal ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pytest
from tests.access.shop import COLUMNS, SHOP, STORED, kept_keys, shop_database

from firnline.access.at_source import AtSource, UncheckedError
from firnline.access.decisions import EVERY_RIGHT, Decisions, Unrestricted
from firnline.access.model import Everything, FieldIn, Listed, ObjectAccess, SourceAccess, Via
from firnline.access.reach import Limit, OperationRules, Reach
from firnline.access.ruling import EVERYTHING_DENIED, UNRULED, FieldRuling, Ruling
from firnline.cache.query import FALSE, TRUE, InSelect

OWN = FieldIn("owner", frozenset({"ana"}))
ORDERS = ObjectAccess(readable=True, reason="", rows=OWN, hidden={"code": "no permission"})
ANA = SourceAccess("u1", objects={"orders": ORDERS})
ONLY_ORDERS = Limit(("Order",), "agent a may not read it", "agents")
CONFIRMED = AtSource("shop", "orders", "u1", "v1", timedelta(minutes=1), frozenset({"orders"}))
FILTERED = FieldRuling(refused={"filter": "no"}, rows={"id": {"eq": "1"}})


def decisions(**changes: Any) -> Decisions:
    parts: dict[str, Any] = {
        "sources": {"shop": ANA},
        "catalogs": {"shop": SHOP},
        "columns": {"shop": COLUMNS},
        "stored": {"shop": STORED},
    }
    return Decisions(**{**parts, **changes})


def with_orders(**changes: Any) -> Decisions:
    access = replace(ORDERS, **changes)
    return decisions(sources={"shop": SourceAccess("u1", objects={"orders": access})})


@pytest.fixture(scope="module")
def shop() -> Iterator[duckdb.DuckDBPyConnection]:
    with shop_database() as database:
        yield database


def test_object_of_a_connection_without_permission_records_is_denied() -> None:
    found = decisions().object("erp", "orders")
    assert not found.readable
    assert found.reason == "connection erp has no permission data"
    assert decisions().rows("erp", "orders", "a") == FALSE


def test_object_that_nothing_grants_is_denied() -> None:
    assert not decisions().object("shop", "customers").readable
    assert decisions().rows("shop", "customers", "a") == FALSE


def test_rows_are_those_of_the_rule(shop: duckdb.DuckDBPyConnection) -> None:
    assert decisions().object("shop", "orders") is ORDERS
    assert kept_keys(shop, decisions().rows("shop", "orders", "a"), "orders") == {"o1", "o4"}


def test_rule_of_an_unreadable_object_shows_nothing() -> None:
    denied = with_orders(readable=False, rows=Everything())
    assert denied.rows("shop", "orders", "a") == FALSE


def test_rule_over_a_connection_without_stored_records_shows_nothing() -> None:
    assert decisions(stored={}).rows("shop", "orders", "a") == FALSE
    assert decisions(stored={"erp": STORED}).rows("shop", "orders", "a") == FALSE


def test_inner_scans_are_named_after_their_scan() -> None:
    """Two scans of one query must not share the names inside of their rules."""
    shared = with_orders(rows=Listed("shares", "record", "who", frozenset({"ana"})))
    names = []
    for alias in ("a", "b"):
        condition = shared.rows("shop", "orders", alias)
        assert isinstance(condition, InSelect)
        names.append(condition.select.alias)
    assert names == ["a_r0", "b_r0"]


def test_type_that_no_policy_was_bound_for_is_denied() -> None:
    seen = Ruling(rows={"id": {"eq": "1"}})
    ruled = decisions(rulings={"Order": seen})
    assert ruled.ruling("Order") is seen
    assert ruled.ruling("Customer") is EVERYTHING_DENIED
    assert EVERYTHING_DENIED.denied == "the builder's policy was not applied"
    assert decisions().ruling("Order").denied


def test_rows_that_nobody_is_shown_are_read_without_a_ruling() -> None:
    inner = decisions(is_ruled=False, rulings={"Order": EVERYTHING_DENIED})
    assert inner.ruling("Order") is UNRULED
    assert not UNRULED.denied


def test_field_rules_are_told_where_rows_are_read_that_nobody_sees_too() -> None:
    ruled = decisions(rulings={"Order": Ruling(fields={"code": FILTERED})})
    assert ruled.fields("Order") == {"code": FILTERED}
    assert replace(ruled, is_ruled=False).fields("Order") == {"code": FILTERED}
    assert ruled.fields("Customer") == {}


def test_unrestricted_reads_everything_of_the_same_cache_and_keeps_no_right(
    shop: duckdb.DuckDBPyConnection,
) -> None:
    narrow = decisions(
        too_old={"Order": "too old"},
        rulings={"Order": EVERYTHING_DENIED},
        reach=Reach((ONLY_ORDERS,)),
    )
    wide = Unrestricted.of(narrow)
    assert isinstance(wide, Unrestricted)
    assert wide.object("shop", "orders") is EVERY_RIGHT
    assert wide.object("erp", "nope") is EVERY_RIGHT
    assert wide.rows("shop", "orders", "a") == TRUE
    assert wide.ruling("Order") is UNRULED
    assert not wide.too_old
    assert wide.reach == Reach()
    assert (wide.catalogs, wide.columns, wide.stored) == (
        narrow.catalogs,
        narrow.columns,
        narrow.stored,
    )
    assert wide.sources == {}
    through = RowsVia.rows("shop", "orders", "a")
    assert kept_keys(shop, through, "orders") == {"o1"}


RowsVia = with_orders(rows=Via("customer", "customers", OWN))

# All that tells one person's rights from another's; the first four also what can be planned.
FIELDS_DIFFER: dict[str, Decisions] = {
    "readable": with_orders(readable=False),
    "reason": with_orders(reason="no profile"),
    "hidden field": with_orders(hidden={}),
    "reason of a hidden field": with_orders(hidden={"code": "muted"}),
    "object": decisions(sources={"shop": SourceAccess("u1", objects={"lines": ORDERS})}),
    "connection": decisions(sources={"erp": ANA}),
    "too old type": decisions(too_old={"Order": "too old"}),
    "type at the source": decisions(at_source={"Order": CONFIRMED}),
    "denied by the policy": decisions(rulings={"Order": EVERYTHING_DENIED}),
    "refused verb": decisions(rulings={"Order": Ruling(refused={"filter": "no"})}),
    "refused verb of a field": decisions(
        rulings={"Order": Ruling(fields={"code": FieldRuling(refused={"filter": "no"})})}
    ),
    "field shown on some records": decisions(rulings={"Order": Ruling(fields={"code": FILTERED})}),
    "reach": decisions(reach=Reach((ONLY_ORDERS,))),
}
ROWS_DIFFER: dict[str, Decisions] = {
    "rows": with_orders(rows=Everything()),
    "key at the source": decisions(sources={"shop": replace(ANA, user_key="u2")}),
    "rows of the policy": decisions(rulings={"Order": Ruling(rows={"id": {"eq": "1"}})}),
    "other rows of the policy": decisions(rulings={"Order": Ruling(rows={"id": {"eq": "2"}})}),
    "presets": decisions(rulings={"Order": Ruling(presets={"create": {"code": "x"}})}),
    "operations": decisions(reach=Reach((), (ONLY_ORDERS,))),
    "reading only": decisions(reach=Reach(is_read_only=True)),
    "rules of operations": decisions(reach=Reach(rules=OperationRules(may_others=False))),
}


def test_people_with_any_difference_in_their_rights_share_nothing() -> None:
    everybody = {"nothing": decisions(), **FIELDS_DIFFER, **ROWS_DIFFER}
    assert len({each.fingerprint for each in everybody.values()}) == len(everybody)


def test_people_with_other_objects_or_fields_share_no_schema() -> None:
    everybody = {"nothing": decisions(), **FIELDS_DIFFER}
    assert len({each.fields_fingerprint for each in everybody.values()}) == len(everybody)


@pytest.mark.parametrize("other", [ROWS_DIFFER[each] for each in ("rows", "key at the source")])
def test_people_who_differ_by_records_alone_share_a_schema(other: Decisions) -> None:
    assert other.fields_fingerprint == decisions().fields_fingerprint


def test_what_is_stored_is_part_of_what_can_be_planned_and_of_no_right() -> None:
    fewer = decisions(stored={"shop": {**STORED, "orders": STORED["orders"] - {"code"}}})
    none = decisions(stored={"shop": {"orders": STORED["orders"]}})
    elsewhere = decisions(stored={"erp": STORED})
    prints = {each.fields_fingerprint for each in (decisions(), fewer, none, elsewhere)}
    assert len(prints) == 4
    assert fewer.fingerprint == decisions().fingerprint


def test_equal_rights_are_equal_whatever_order_they_were_found_in() -> None:
    rulings = {"A": Ruling(refused={"x": "1", "y": "2"}), "B": UNRULED}
    turned = {"B": UNRULED, "A": Ruling(refused={"y": "2", "x": "1"})}
    sources = {"shop": ANA, "erp": SourceAccess(None, "nobody")}
    stored = {"shop": {"orders": STORED["orders"], "lines": STORED["lines"]}, "erp": {}}
    first = decisions(sources=sources, rulings=rulings, too_old={"A": "1", "B": "2"}, stored=stored)
    second = decisions(
        sources=dict(reversed(sources.items())),
        rulings=turned,
        too_old={"B": "2", "A": "1"},
        stored={"shop": dict(reversed(stored["shop"].items())), "erp": {}},
    )
    assert first.fingerprint == second.fingerprint
    assert first.fields_fingerprint == second.fields_fingerprint


def test_decisions_show_no_tables_rules_or_values_when_printed() -> None:
    told = repr(decisions(rulings={"Order": Ruling(rows={"id": {"eq": "s3cret"}})}))
    assert "s3cret" not in told
    assert "owner_c" not in told


def test_unchecked_records_are_named_by_place_and_never_by_key() -> None:
    error = UncheckedError(("shop", "orders"), (key for key in ("k1", "k2")))
    assert str(error) == "shop.orders"
    assert error.slot == ("shop", "orders")
    assert error.keys == ("k1", "k2")


def test_time_alone_changes_nothing_where_nothing_is_said_of_it() -> None:
    assert decisions().valid_until is None
    until = datetime(2026, 11, 22, tzinfo=UTC)
    assert decisions(valid_until=until).valid_until == until
