"""A small provider for tests of access: its catalog, and its rows in a real DuckDB.

Takes rules; tests receive the keys that the compiled condition leaves of an object.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import duckdb

from firnline.access.model import RowRule
from firnline.access.row_filter import RowFilters
from firnline.cache.naming import quote_identifier, schema_name, table_reference
from firnline.cache.query import Column, Expression, Select, Table
from firnline.cache.render import render
from firnline.catalog.model import Catalog, FieldInfo, ObjectInfo

TYPES = {"id": "VARCHAR", "string": "VARCHAR", "int": "INTEGER", "bool": "BOOLEAN"}


def described(name: str, **types: Any) -> ObjectInfo:
    """Return an object with the key `id` and fields of these types."""
    found = tuple(FieldInfo(name=each, type=kind) for each, kind in {"id": "id", **types}.items())
    return ObjectInfo(name=name, key="id", fields=found)


SHOP = Catalog(
    provider="shop",
    objects=(
        described("orders", owner="id", customer="id", level="int", urgent="bool", code="string"),
        described("customers", owner="id", parent="id", region="string"),
        described("lines", order="id", kind="string"),
        described("shares", record="id", who="id", right="string"),
    ),
)
_ROWS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "orders": {
        "o1": {"owner": "ana", "customer": "c1", "level": 1, "urgent": True, "code": "x"},
        "o2": {"owner": "bo", "customer": "c2", "level": 2, "urgent": False, "code": "y"},
        "o3": {"owner": None, "customer": "c2", "level": None, "urgent": None, "code": None},
        "o4": {"owner": "ana", "customer": None, "level": 10, "urgent": False, "code": "x"},
        "o5": {"owner": "cy", "customer": "c9", "level": 1, "urgent": True, "code": "10"},
    },
    "customers": {
        "c1": {"owner": "ana", "parent": None, "region": "north"},
        "c2": {"owner": "bo", "parent": "c1", "region": "south"},
        "c3": {"owner": "ana", "parent": "c3", "region": None},
    },
    "lines": {
        "l1": {"order": "o1", "kind": "gift"},
        "l2": {"order": "o2", "kind": "plain"},
        "l3": {"order": None, "kind": "gift"},
        "l4": {"order": "o4", "kind": None},
        "l5": {"order": "o5", "kind": "gift"},
    },
    "shares": {
        "s1": {"record": "o2", "who": "ana", "right": "read"},
        "s2": {"record": "o3", "who": "ana", "right": "edit"},
        "s3": {"record": "o1", "who": "bo", "right": "read"},
        "s4": {"record": None, "who": "ana", "right": "read"},
        "s5": {"record": "bo", "who": "cy", "right": "read"},
    },
}
ROWS = {
    name: {key: {"id": key, **row} for key, row in rows.items()} for name, rows in _ROWS.items()
}
# Columns are named otherwise than fields, so that a mix-up is an error of DuckDB.
COLUMNS = {each.name: {name: f"{name}_c" for name in each.by_name} for each in SHOP.objects}
STORED = {each.name: frozenset(each.by_name) for each in SHOP.objects}


def filters(**changes: Any) -> RowFilters:
    """Return a compiler of rules over the shop's cache."""
    parts = {"connection": "shop", "catalog": SHOP, "columns": COLUMNS, "stored": STORED}
    return RowFilters(**{**parts, "prefix": "a_r", **changes})


@contextmanager
def shop_database() -> Iterator[duckdb.DuckDBPyConnection]:
    """Give a database that holds the shop."""
    with duckdb.connect() as database:
        database.execute(f"CREATE SCHEMA {quote_identifier(schema_name('shop'))}")
        for each in SHOP.objects:
            place = table_reference("shop", each.name)
            columns = [f"{quote_identifier(f'{f.name}_c')} {TYPES[f.type]}" for f in each.fields]
            database.execute(f"CREATE TABLE {place} ({', '.join(columns)})")
            marks = ", ".join("?" * len(columns))
            for row in ROWS[each.name].values():
                values = [row[f.name] for f in each.fields]
                database.execute(f"INSERT INTO {place} VALUES ({marks})", values)
        yield database


def kept_keys(database: duckdb.DuckDBPyConnection, condition: Expression, name: str) -> set[str]:
    """Return the keys of the records that meet a condition on the alias `a`."""
    select = Select((("k", Column("a", "id_c")),), Table("shop", name), "a", where=condition)
    text, values = render(select)
    return {key for (key,) in database.execute(text, values).fetchall()}


def seen(database: duckdb.DuckDBPyConnection, rule: RowRule, name: str = "orders") -> set[str]:
    """Return the keys of the records that a rule shows."""
    return kept_keys(database, filters().condition(rule, name, "a"), name)
