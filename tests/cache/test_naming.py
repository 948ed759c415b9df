"""Provider names as identifiers: whatever they are, different names stay different."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from firnline.cache.naming import (
    NameRefusedError,
    column_names,
    quote_identifier,
    schema_name,
    table_reference,
)

nasty = st.text(
    alphabet=st.sampled_from(list("aAbBéÉßſİıKk\"';-- .~_\0\n\ud800\udc00😀")), max_size=6
)
names = st.text(max_size=20) | nasty | st.sampled_from(["select", "_run", "_RUN", "rowid", "a b"])


@settings(max_examples=60, deadline=None)
@given(fields=st.lists(names, min_size=1, max_size=12, unique=True))
@example(fields=["Name", "name", "NAME", "name~82a3537f"])
@example(fields=["_run", "_Run", "", "\0", "\ud800", "\udc00"])
def test_columns_of_any_fields_exist_side_by_side(fields: list[str]) -> None:
    columns = column_names(fields)

    declared = ", ".join(f"{quote_identifier(columns[field])} INTEGER" for field in fields)
    chosen = ", ".join(quote_identifier(columns[field]) for field in fields)
    with duckdb.connect() as database:
        database.execute(f'CREATE TABLE t ({declared}, "_run" VARCHAR)')
        database.execute(
            f"INSERT INTO t VALUES ({', '.join('?' for _ in fields)}, 'r')",
            list(range(len(fields))),
        )
        assert database.execute(f"SELECT {chosen} FROM t").fetchall() == [tuple(range(len(fields)))]


@settings(max_examples=150, deadline=None)
@given(fields=st.lists(names, max_size=8, unique=True), seed=st.randoms())
def test_columns_do_not_depend_on_the_order_of_fields(fields: list[str], seed) -> None:
    shuffled = list(fields)
    seed.shuffle(shuffled)

    assert dict(column_names(shuffled)) == dict(column_names(fields))


def test_a_field_without_a_near_twin_keeps_its_name() -> None:
    fields = ["Id", "Amount", "select", 'quo"ted', "ünïcode", "a b"]

    assert column_names(fields) == {field: field for field in fields}


@settings(max_examples=150, deadline=None)
@given(first=names, second=names)
@example(first="crm", second="CRM")
@example(first="main", second="temp")
def test_schemas_of_different_connections_are_different_for_duckdb(first: str, second: str) -> None:
    if first != second:
        assert schema_name(first).lower() != schema_name(second).lower()


@pytest.mark.parametrize("connection", ["crm", "main", "temp", "system", "memory", "select", "CRM"])
@pytest.mark.parametrize(
    "name", ["Account", "order", "a.b", 'x"; DROP TABLE t; --', "information_schema", "\0", "ß😀"]
)
def test_a_table_of_any_name_can_be_written_and_read(connection: str, name: str) -> None:
    table = table_reference(connection, name)
    with duckdb.connect() as database:
        database.execute(f"CREATE SCHEMA {quote_identifier(schema_name(connection))}")
        database.execute(f"CREATE TABLE {table} (n INTEGER)")
        database.execute(f"INSERT INTO {table} VALUES (1)")
        assert database.execute(f"SELECT n FROM {table}").fetchall() == [(1,)]
        tables = database.execute("SELECT count(*) FROM duckdb_tables()").fetchall()
        assert tables == [(1,)], "the name did nothing but name"


@pytest.mark.parametrize("name", ["", "\0", "a\0b", "\ud800"])
def test_a_name_that_cannot_be_an_identifier_is_refused(name: str) -> None:
    with pytest.raises(NameRefusedError):
        quote_identifier(name)
