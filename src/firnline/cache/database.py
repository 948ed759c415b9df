"""One tenant's cache: a DuckDB file with many readers and one writer.

Takes a path; loaders read through `Snapshot`, sync writes through `CacheTransaction`. Everything
here is synchronous and may be called from worker threads.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import duckdb

from firnline.cache.bookkeeping import (
    TABLES,
    Checkpoint,
    StoredField,
    Versions,
    read_checkpoints,
    read_fields,
    read_versions,
)
from firnline.cache.naming import table_reference
from firnline.cache.opening import (
    CacheError,
    NoDataYetError,
    QueryInterruptedError,
    connect_locked_down,
    typed_errors,
)
from firnline.cache.store import CacheTransaction

_IDLE_CURSORS_MAX = 16
_CLOSING_TURN_S = 0.05
_CLOSING_TURNS_MAX = 100


class Snapshot:
    """One read transaction: every fetch sees the same version of every object."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, tenant: str, versions: Versions) -> None:
        self._cursor = cursor
        self._tenant = tenant
        self._turn = threading.Lock()  # a cursor serves one thread at a time
        self._is_stopped = threading.Event()
        self.versions = versions

    def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """Return the rows as a pyarrow.Table.

        Raises QueryInterruptedError, QueryMemoryError, CacheCorruptError or CacheError.
        """
        with self._turn, typed_errors(self._tenant):
            if self._is_stopped.is_set():
                raise QueryInterruptedError
            return self._cursor.sql(sql, params=list(parameters)).to_arrow_table()

    def columns(self, connection: str, object_name: str) -> Mapping[str, StoredField]:
        """Return the readable columns of one object by field name; none before its first sync."""
        with self._turn, typed_errors(self._tenant):
            stored = read_fields(self._cursor, connection, object_name)
        return {name: field for name, field in stored.items() if field.active}

    def interrupt(self) -> None:
        """Stop the running fetch, from any thread, and refuse later ones (QueryInterruptedError).

        DuckDB forgets an interrupt that comes just before a statement starts: whoever must be sure
        repeats this until the work is over.
        """
        self._is_stopped.set()
        self._cursor.interrupt()


class TenantDatabase:
    """The open cache of one tenant. Share one instance per file and process."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, tenant: str, *, read_only: bool
    ) -> None:
        self.tenant = tenant
        self.read_only = read_only
        self._connection = connection
        self._writing = threading.Lock()
        self._pooling = threading.Condition()
        self._idle: list[duckdb.DuckDBPyConnection] = []
        self._busy: set[duckdb.DuckDBPyConnection] = set()
        self._is_closed = False
        self._versions: Versions = MappingProxyType({})
        self.generation = 0  # raised by every commit of this process, the file's only writer

    @classmethod
    def open(
        cls, path: Path, *, read_only: bool = False, memory: str = "1GB", threads: int = 2
    ) -> TenantDatabase:
        """Open or create the file at `path`; the tenant is the file's name without suffix.

        Raises NoDataYetError, CacheLockedError, CacheCorruptError (a damaged file is moved aside
        first, so that opening again starts anew) or CacheError.
        """
        connection = connect_locked_down(path, read_only=read_only, memory=memory, threads=threads)
        database = cls(connection, path.stem, read_only=read_only)
        try:
            database._prepare()
        except BaseException:
            database.close()
            raise
        return database

    def _prepare(self) -> None:
        with typed_errors(self.tenant):
            if not self.read_only:
                self._connection.execute(TABLES)
            elif not self._has_tables():
                raise NoDataYetError(self.tenant)
            self._versions = MappingProxyType(dict(read_versions(self._connection)))

    def _has_tables(self) -> bool:
        found = self._connection.execute(
            "SELECT count(*) FROM duckdb_schemas() WHERE schema_name = '_firnline'"
        ).fetchall()
        return bool(found[0][0])

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Open a read transaction for one caller; several may be open at once."""
        with self._borrowed() as cursor:
            with typed_errors(self.tenant):
                cursor.begin()
                # DuckDB fixes what a transaction sees at its first read, not at BEGIN.
                versions = read_versions(cursor)
            try:
                yield Snapshot(cursor, self.tenant, MappingProxyType(dict(versions)))
            finally:
                _leave(cursor)

    @contextmanager
    def transaction(self) -> Iterator[CacheTransaction]:
        """Open the one write transaction: committed when the block ends, undone when it raises."""
        if self.read_only:
            raise CacheError(f"the cache of tenant {self.tenant!r} was opened for reading only")
        with self._writing, self._borrowed() as cursor:
            with typed_errors(self.tenant):
                cursor.begin()
            transaction = CacheTransaction(cursor)
            try:
                with typed_errors(self.tenant):
                    yield transaction
                    versions = transaction.bump_versions()
                    cursor.commit()
                    self.generation += 1
            except BaseException:
                _leave(cursor)
                raise
            self._versions = MappingProxyType(dict(versions))

    def versions(self) -> Versions:
        """Return (connection, object) -> data version, raised by every committed change."""
        return self._versions

    def checkpoint(self, connection: str, object_name: str) -> Checkpoint | None:
        """Return how far one object was read, None when it never was or must be read anew."""
        for found in self.checkpoints():
            if (found.connection, found.object) == (connection, object_name):
                return found
        return None

    def checkpoints(self) -> list[Checkpoint]:
        """Return how far every object was read."""
        with self._borrowed() as cursor, typed_errors(self.tenant):
            return read_checkpoints(cursor)

    def freshness(self) -> Mapping[tuple[str, str], datetime]:
        """Return (connection, object) -> when the last complete read of it began (UTC)."""
        return {
            (found.connection, found.object): found.completed_at
            for found in self.checkpoints()
            if found.completed_at is not None
        }

    def columns(self, connection: str, object_name: str) -> Mapping[str, StoredField]:
        """Return the readable columns of one object by field name; none before its first sync."""
        with self.snapshot() as snapshot:
            return snapshot.columns(connection, object_name)

    def count(self, connection: str, object_name: str) -> int:
        """Return how many records of one object are cached."""
        with self.snapshot() as snapshot:
            if (connection, object_name) not in snapshot.versions:
                return 0
            table = table_reference(connection, object_name)
            counted = snapshot.fetch(f"SELECT count(*) AS n FROM {table}")  # noqa: S608 - quoted
            return int(counted["n"][0].as_py())

    def interrupt(self) -> None:
        """Stop every running statement, from any thread."""
        with self._pooling:
            running = list(self._busy)
        for cursor in running:
            cursor.interrupt()

    def close(self) -> None:
        """Stop what runs and close the file; the log is folded into it."""
        with self._pooling:
            self._is_closed = True
            # DuckDB refuses to close under a running statement: wait until it was given back.
            for _ in range(_CLOSING_TURNS_MAX):
                if not self._busy:
                    break
                for cursor in self._busy:
                    cursor.interrupt()
                self._pooling.wait(_CLOSING_TURN_S)
            left, self._idle, self._busy = [*self._idle, *self._busy], [], set()
        for cursor in left:
            cursor.close()
        self._connection.close()

    @contextmanager
    def _borrowed(self) -> Iterator[duckdb.DuckDBPyConnection]:
        cursor = self._take()
        try:
            yield cursor
        finally:
            self._give_back(cursor)

    def _take(self) -> duckdb.DuckDBPyConnection:
        with self._pooling:
            if self._is_closed:
                raise CacheError(f"the cache of tenant {self.tenant!r} is closed")
            cursor = self._idle.pop() if self._idle else self._connection.cursor()
            self._busy.add(cursor)
            return cursor

    def _give_back(self, cursor: duckdb.DuckDBPyConnection) -> None:
        with self._pooling:
            self._busy.discard(cursor)
            self._pooling.notify_all()
            if not self._is_closed and len(self._idle) < _IDLE_CURSORS_MAX:
                self._idle.append(cursor)
                return
        cursor.close()


def _leave(cursor: duckdb.DuckDBPyConnection) -> None:
    """Leave the transaction, if one is still open, so that the cursor can serve again."""
    try:
        cursor.rollback()
    except duckdb.TransactionException:
        return  # DuckDB had already ended it
