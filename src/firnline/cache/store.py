"""Writes pages of records into a tenant's cache, inside one transaction.

Takes catalog objects and Arrow tables named by field (from `sync.normalize`); the tables are read
by loaders through `cache.database.Snapshot`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from firnline.cache.bookkeeping import (
    Checkpoint,
    Versions,
    erase_checkpoint,
    read_versions,
    write_checkpoint,
)
from firnline.cache.naming import RUN_COLUMN, column_names, quote_identifier, table_reference
from firnline.cache.shape import Shape, ShapeChange, shape_table
from firnline.catalog.model import ObjectInfo
from firnline.errors import FirnlineError

_PAGE = "_page"  # the name under which a statement sees the Arrow rows


class RowWithoutKeyError(FirnlineError):
    """A row has no key, so that it could never be found again."""

    code = "row_without_key"

    def __init__(self, object_name: str) -> None:
        super().__init__(
            f"a row of {object_name} has no key",
            hint="This is a fault of the connector: its pages must hold the object's key field.",
        )


@dataclass(frozen=True, slots=True)
class _Table:
    """How one object is written: quoted names only."""

    reference: str
    key: str
    columns: Mapping[str, str]


class CacheTransaction:
    """Changes of one tenant's cache that become visible together, or not at all."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
        self._cursor = cursor
        self._changed: set[tuple[str, str]] = set()

    def ensure(self, connection: str, object_: ObjectInfo) -> ShapeChange:
        """Make the object's table fit the catalog.

        New fields become columns, wider types widen. A type that cannot be widened without loss
        empties its column. Whenever a column now lacks values that the provider has, the object's
        checkpoint is forgotten (`ShapeChange.must_reread`), so that it is read anew.
        """
        change = shape_table(Shape(self._cursor, connection, object_))
        if change.must_reread:
            erase_checkpoint(self._cursor, connection, object_.name)
        if change:
            self._changed.add((connection, object_.name))
        return change

    def upsert(self, connection: str, object_: ObjectInfo, rows: Any, *, run: str) -> int:
        """Insert or overwrite records by key; return how many.

        `rows` is a pyarrow.Table whose columns are field names, among them the key. Of equal keys
        the last row counts. Raises RowWithoutKeyError.
        """
        rows = _last_per_key(rows, object_)
        if not rows.num_rows:
            return 0
        table = self._table(connection, object_)
        columns = [table.columns[name] for name in rows.column_names]
        source = [quote_identifier(f"f{position}") for position in range(len(columns))]
        rows = rows.rename_columns([f"f{position}" for position in range(len(columns))])
        key = source[columns.index(table.key)]
        updates = ", ".join(
            f"{column} = p.{value}"
            for column, value in zip(columns, source, strict=True)
            if column != table.key
        )
        run_column = quote_identifier(RUN_COLUMN)
        with self._page(rows):
            self._cursor.execute(
                f"MERGE INTO {table.reference} AS t USING {_PAGE} AS p ON t.{table.key} = p.{key}"  # noqa: S608 - quoted
                f" WHEN MATCHED THEN UPDATE SET {updates + ', ' if updates else ''}"
                f"{run_column} = $run"
                f" WHEN NOT MATCHED THEN INSERT ({', '.join(columns)}, {run_column})"
                f" VALUES ({', '.join(f'p.{value}' for value in source)}, $run)",
                {"run": run},
            ).fetchall()
        self._changed.add((connection, object_.name))
        return int(rows.num_rows)

    def delete(self, connection: str, object_: ObjectInfo, keys: Sequence[str]) -> int:
        """Delete records by key; return how many were there."""
        if not keys:
            return 0
        table = self._table(connection, object_)
        with self._page(pa.table({"key": pa.array(keys, pa.string())})):
            deleted = self._cursor.execute(
                f"DELETE FROM {table.reference} WHERE CAST({table.key} AS VARCHAR)"  # noqa: S608 - quoted
                f" IN (SELECT key FROM {_PAGE})"
            ).fetchall()
        return self._deleted(connection, object_, deleted)

    def sweep(self, connection: str, object_: ObjectInfo, *, run: str) -> int:
        """Delete the records that `run` did not write: those that a complete re-read missed."""
        table = self._table(connection, object_)
        deleted = self._cursor.execute(
            f"DELETE FROM {table.reference} WHERE {quote_identifier(RUN_COLUMN)} <> $run",  # noqa: S608 - quoted
            {"run": run},
        ).fetchall()
        return self._deleted(connection, object_, deleted)

    def count(self, connection: str, object_: ObjectInfo, *, missed_by: str | None = None) -> int:
        """Return how many records are cached, this transaction's changes included.

        With `missed_by`, those that this run did not write.
        """
        table = self._table(connection, object_)
        run = quote_identifier(RUN_COLUMN)
        counted = self._cursor.execute(
            f"SELECT count(*) FROM {table.reference} WHERE $run IS NULL OR {run} <> $run",  # noqa: S608 - quoted
            {"run": missed_by},
        ).fetchall()
        return int(counted[0][0])

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Remember how far the object was read, together with the rows."""
        write_checkpoint(self._cursor, checkpoint)

    def erase_checkpoint(self, connection: str, object_name: str) -> None:
        """Forget how far the object was read: the next sync reads it from the beginning."""
        erase_checkpoint(self._cursor, connection, object_name)

    def drop(self, connection: str, object_name: str) -> None:
        """Erase an object: its records, its checkpoint and what is known of its shape."""
        self._cursor.execute(f"DROP TABLE IF EXISTS {table_reference(connection, object_name)}")
        for table in ("objects", "fields", "checkpoints"):
            self._cursor.execute(
                f"DELETE FROM _firnline.{table} WHERE connection = ? AND object = ?",  # noqa: S608 - constant
                [connection, object_name],
            ).fetchall()
        self._changed.discard((connection, object_name))

    def bump_versions(self) -> Versions:
        """Raise the version of every changed object, return all; called once, before the commit."""
        for connection, name in sorted(self._changed):
            self._cursor.execute(
                "UPDATE _firnline.objects SET version = nextval('_firnline.data_version')"
                " WHERE connection = ? AND object = ?",
                [connection, name],
            ).fetchall()
        return read_versions(self._cursor)

    def _deleted(self, connection: str, object_: ObjectInfo, answer: list[tuple[int]]) -> int:
        count = int(answer[0][0])
        if count:
            self._changed.add((connection, object_.name))
        return count

    def _table(self, connection: str, object_: ObjectInfo) -> _Table:
        names = column_names(field.name for field in object_.fields)
        columns = {field: quote_identifier(column) for field, column in names.items()}
        reference = table_reference(connection, object_.name)
        return _Table(reference, columns[object_.key], columns)

    @contextmanager
    def _page(self, rows: Any) -> Iterator[None]:
        """Let statements see `rows` as the table `_page`."""
        self._cursor.register(_PAGE, rows)
        try:
            yield
        finally:
            self._cursor.unregister(_PAGE)


def _last_per_key(rows: Any, object_: ObjectInfo) -> Any:
    keys = rows.column(object_.key)
    if keys.null_count:
        raise RowWithoutKeyError(object_.name)
    last = {key: position for position, key in enumerate(keys.to_pylist())}
    if len(last) == rows.num_rows:
        return rows
    return rows.take(pa.array(sorted(last.values()), pa.int64()))
