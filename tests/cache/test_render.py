"""Queries become SQL with every name quoted and every value bound, in the order of its mark."""

from __future__ import annotations

import duckdb
import pytest

from firnline.cache.query import (
    Bound,
    BoundList,
    Call,
    Case,
    Column,
    Exists,
    InSelect,
    Join,
    Order,
    RowNumber,
    Scalar,
    Select,
    Table,
)
from firnline.cache.render import render

X = Column("t", "x")
TABLE = Table("crm", "things")


def word(value: str) -> Bound:
    return Bound(value, "VARCHAR")


@pytest.fixture
def database() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("""CREATE SCHEMA c_crm; CREATE TABLE c_crm.things (x VARCHAR, n INTEGER)""")
    connection.execute("INSERT INTO c_crm.things VALUES ('a', 1), ('b', 2), ('a', 3), (NULL, 4)")
    return connection


def rows(database: duckdb.DuckDBPyConnection, select: Select) -> list[tuple[object, ...]]:
    sql, values = render(select)
    return database.execute(sql, values).fetchall()


def test_values_are_bound_in_the_order_of_their_marks(
    database: duckdb.DuckDBPyConnection,
) -> None:
    inner = Select(
        (("k", Column("i", "x")),), TABLE, "i", where=Call("eq", (Column("i", "x"), word("a")))
    )
    select = Select(
        columns=(("picked", Case(((Call("eq", (X, word("a"))), word("yes")),), word("no"))),),
        source=Select(
            (("x", X), ("n", Column("t", "n"))),
            TABLE,
            "t",
            where=Call("in", (X, BoundList(("a", "b"), "VARCHAR"))),
        ),
        alias="t",
        joins=(Join(inner, "j", Call("and", (Call("eq", (Column("j", "k"), word("-"))),))),),
        where=Call(
            "and",
            (
                InSelect(X, inner),
                Exists(inner),
                Call(
                    "gt",
                    (Scalar(inner.but(columns=(("c", Call("count", ())),))), Bound(1, "BIGINT")),
                ),
            ),
        ),
        order_by=(Order(Call("eq", (X, word("b")))), Order(Column("t", "n"), descending=True)),
        limit=1,
    )
    assert rows(database, select) == [("yes",)]


def test_group_with_bound_values_is_grouped_by_its_position(
    database: duckdb.DuckDBPyConnection,
) -> None:
    kind = Case(((Call("eq", (X, word("a"))), word("A")),), word("rest"))
    select = Select((("kind", kind), ("count", Call("count", ()))), TABLE, "t", group_by=(kind,))
    assert sorted(rows(database, select)) == [("A", 2), ("rest", 2)]


def test_rows_are_numbered_within_each_group(database: duckdb.DuckDBPyConnection) -> None:
    number = RowNumber(X, (Order(Column("t", "n"), descending=True),))
    select = Select((("x", X), ("n", Column("t", "n")), ("w", number)), TABLE, "t")
    assert set(rows(database, select)) == {("a", 3, 1), ("a", 1, 2), ("b", 2, 1), (None, 4, 1)}


@pytest.mark.parametrize("name", ['x"; DROP TABLE t; --', "a.b", "select", "日本", "?"])
def test_names_are_quoted(name: str) -> None:
    sql, values = render(Select(((name, Column(name, name)),), Table(name, name), name))
    quoted = '"' + name.replace('"', '""') + '"'
    assert sql.startswith(f"SELECT {quoted}.{quoted} AS {quoted} FROM ")
    assert sql.endswith(f".{quoted} AS {quoted}")
    assert values == []


def test_unknown_operator_is_a_fault_not_sql() -> None:
    call = Call("sleep", ())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="sleep"):
        render(Select((("x", call),), TABLE, "t"))
