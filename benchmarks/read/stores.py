"""Loads the data set into the databases that the peers answer from."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from benchmarks.read.sql import INDEXES

_POSTGRES_TYPES = {"string": "text", "int32": "integer", "bool": "boolean", "date32[day]": "date"}


def fill_duckdb(path: Path, tables: Mapping[str, Any]) -> None:
    """Make a DuckDB file, sorted and indexed by the accounts that rows belong to.

    Uncompressed: fetching rows by an index decompresses far more than the rows, four times slower.
    """
    with duckdb.connect(str(path)) as connection:
        connection.execute("SET force_compression = 'uncompressed'")
        for name, rows in tables.items():
            connection.register("rows", rows)
            order = " ORDER BY account_id" if "account_id" in rows.column_names else ""
            connection.execute(f"CREATE TABLE {name} AS SELECT * FROM rows{order}")
            connection.unregister("rows")
        for name in ("opportunities", "tickets", "invoices"):
            connection.execute(f"CREATE INDEX {name}_account ON {name} (account_id)")
        connection.execute("CREATE UNIQUE INDEX accounts_id ON accounts (id)")


def fill_sqlite(path: Path, tables: Mapping[str, Any]) -> None:
    """Make a SQLite file: times as the text that is answered, amounts as whole cents."""
    with sqlite3.connect(path) as connection:
        for name, rows in tables.items():
            plain = [_sqlite_values(rows.column(column)) for column in rows.column_names]
            columns = ", ".join(rows.column_names)
            connection.execute(f"CREATE TABLE {name} ({columns}, PRIMARY KEY (id)) WITHOUT ROWID")
            marks = ", ".join("?" * len(plain))
            connection.executemany(f"INSERT INTO {name} VALUES ({marks})", zip(*plain, strict=True))
        for index in INDEXES:
            connection.execute(index)
        connection.execute("ANALYZE")
    connection.close()


def _sqlite_values(column: Any) -> list[Any]:
    kind = column.type
    if pa.types.is_decimal(kind):
        return [int(value.scaleb(2)) for value in column.to_pylist()]
    if pa.types.is_timestamp(kind):
        texts = pc.strftime(column.cast(pa.timestamp("ms")), "%Y-%m-%dT%H:%M:%SZ")
        return list(texts.to_pylist())
    if pa.types.is_date(kind):
        return [value.isoformat() for value in column.to_pylist()]
    return list(column.to_pylist())


async def fill_postgres(connection: Any, tables: Mapping[str, Any]) -> None:
    """Copy every table over an asyncpg connection, then add keys, indexes and PostGraphile's
    functions."""
    for name, rows in tables.items():
        columns = ", ".join(f"{field.name} {_postgres_type(field.type)}" for field in rows.schema)
        await connection.execute(f"CREATE TABLE {name} ({columns}, PRIMARY KEY (id))")
        content = io.BytesIO()
        csv.write_csv(rows, content, csv.WriteOptions(include_header=False))
        content.seek(0)
        await connection.copy_to_table(name, source=content, format="csv")
    for name in ("opportunities", "tickets", "invoices"):
        await connection.execute(
            f"ALTER TABLE {name} ADD FOREIGN KEY (account_id) REFERENCES accounts (id)"
        )
    for statement in (*INDEXES, *_FUNCTIONS, "VACUUM ANALYZE"):
        await connection.execute(statement)


def _postgres_type(kind: Any) -> str:
    if pa.types.is_decimal(kind):
        return "numeric(18, 2)"
    if pa.types.is_timestamp(kind):
        return "timestamp"
    return _POSTGRES_TYPES[str(kind)]


# PostGraphile compares by equality only: what needs an order or a range is a function, its own way.
_FUNCTIONS = (
    "CREATE FUNCTION accounts_of(wanted text, lowest integer) RETURNS SETOF accounts AS $$"
    " SELECT * FROM accounts WHERE segment = wanted AND employees >= lowest ORDER BY revenue DESC"
    " $$ LANGUAGE sql STABLE",
    "CREATE FUNCTION assets_from(lowest integer) RETURNS SETOF assets AS $$"
    " SELECT * FROM assets WHERE position >= lowest ORDER BY position"
    " $$ LANGUAGE sql STABLE",
)
