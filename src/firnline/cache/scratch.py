"""A cache in memory alone, for records that nobody synced.

Takes objects with their rows; tests of the policy are run against it with the same queries that a
tenant's cache is asked. Nothing is written anywhere, and no file or network can be reached from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa

from firnline.cache.columns import duckdb_type
from firnline.cache.naming import column_names, quote_identifier, schema_name, table_reference
from firnline.catalog.model import FieldInfo, ObjectInfo

_ROWS = "_rows"


class ScratchCache:
    """Tables in memory. Use as a context manager."""

    def __init__(self) -> None:
        self._connection = duckdb.connect(":memory:", config={"threads": 1})
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET TimeZone = 'UTC'")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def put(self, connection: str, found: ObjectInfo, rows: Sequence[Mapping[str, Any]]) -> None:
        """Make an object's table; values are texts in the field's form, or lists of texts."""
        named = column_names(each.name for each in found.fields)
        table = pa.table(
            {
                named[each.name]: pa.array(
                    [row.get(each.name) for row in rows],
                    pa.list_(pa.string()) if each.type == "strings" else pa.string(),
                )
                for each in found.fields
            }
        )
        schema = quote_identifier(schema_name(connection))
        self._connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        self._connection.register(_ROWS, table)
        reference = table_reference(connection, found.name)
        columns = ", ".join(_column(named[each.name], each) for each in found.fields)
        made = f"CREATE OR REPLACE TABLE {reference} AS SELECT {columns} FROM {_ROWS}"  # noqa: S608
        self._connection.execute(made)
        self._connection.unregister(_ROWS)

    def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """Return the rows as a pyarrow.Table."""
        return self._connection.sql(sql, params=list(parameters)).to_arrow_table()


def _column(name: str, field: FieldInfo) -> str:
    quoted = quote_identifier(name)
    return f"CAST({quoted} AS {duckdb_type(field)}) AS {quoted}"
