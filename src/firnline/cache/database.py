"""One tenant's cache: a DuckDB file with many readers and one writer.

Takes a path; loaders read through `Snapshot`, sync writes through `CacheTransaction`. Everything
here is synchronous and may be called from worker threads. The file is open while somebody uses it
and may be closed in between (`rest`): an open DuckDB costs megabytes, a resting one nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import duckdb

from firnline.cache.bookkeeping import (
    Checkpoint,
    StoredField,
    Versions,
    make_tables,
    read_checkpoints,
    read_field_names,
    read_fields,
    read_versions,
)
from firnline.cache.commits import Commits
from firnline.cache.naming import table_reference
from firnline.cache.opening import (
    CacheError,
    FileMark,
    NoDataYetError,
    QueryInterruptedError,
    connect_locked_down,
    file_mark,
    typed_errors,
)
from firnline.cache.store import CacheTransaction

Freshness = Mapping[tuple[str, str], datetime]
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

    def field_names(
        self, connection: str, object_names: Sequence[str]
    ) -> Mapping[str, frozenset[str]]:
        """Return the names of the readable fields of several objects, by object."""
        with self._turn, typed_errors(self._tenant):
            return read_field_names(self._cursor, connection, object_names)

    def count(self, connection: str, object_name: str) -> int:
        """Return how many records of one object there are; DuckDB knows that without a scan."""
        if (connection, object_name) not in self.versions:
            return 0
        table = table_reference(connection, object_name)
        counted = self.fetch(f"SELECT count(*) AS n FROM {table}")  # noqa: S608 - quoted
        return int(counted["n"][0].as_py())

    def interrupt(self) -> None:
        """Stop the running fetch, from any thread, and refuse later ones (QueryInterruptedError).

        DuckDB forgets an interrupt that comes just before a statement starts: whoever must be sure
        repeats this until the work is over.
        """
        self._is_stopped.set()
        self._cursor.interrupt()


class Room(Protocol):
    """Told which caches are in use, so that it can let others rest."""

    def entered(self, database: TenantDatabase) -> None:
        """Take note of a use that begins; the file is open."""
        ...

    def left(self, database: TenantDatabase) -> None:
        """Take note of a use that ended."""
        ...


class TenantDatabase:
    """The cache of one tenant. Share one instance per file and process.

    It stays the same object while its file is closed and opened again: versions and freshness are
    remembered, and whoever needs more opens the file by asking.
    """

    def __init__(
        self,
        path: Path,
        *,
        read_only: bool,
        memory: str,
        threads: int,
        room: Room | None = None,
    ) -> None:
        self.path = path
        self.tenant = path.stem
        self.read_only = read_only
        self._memory = memory
        self._threads = threads
        self._room = room
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._mark: FileMark = None
        self._writing = threading.Lock()
        self._pooling = threading.Condition()
        self._idle: list[duckdb.DuckDBPyConnection] = []
        self._busy: set[duckdb.DuckDBPyConnection] = set()
        self._keepers = 0
        self._is_closed = False
        self._versions: Versions = MappingProxyType({})
        self._freshness: tuple[int, Freshness] = (-1, MappingProxyType({}))
        self.generation = 0  # raised by every commit of this process, and by those found at waking
        self.commits = Commits()  # told after each raise

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        read_only: bool = False,
        memory: str = "1GB",
        threads: int = 2,
        room: Room | None = None,
    ) -> TenantDatabase:
        """Open or create the file at `path`; the tenant is the file's name without suffix.

        Raises NoDataYetError, CacheLockedError, CacheCorruptError (a damaged file is moved aside
        first, so that opening again starts anew) or CacheError.
        """
        database = cls(path, read_only=read_only, memory=memory, threads=threads, room=room)
        database.wake()
        return database

    def wake(self) -> None:
        """Open the file if it is closed; raises as `open` does."""
        with self._borrowed():
            pass

    def rest(self) -> bool:
        """Close the file unless somebody uses it; return whether it is closed. Never waits."""
        if not self._pooling.acquire(blocking=False):
            return False
        try:
            if self._connection is None:
                return True
            if self._busy or self._keepers or self._is_closed:
                return False
            with typed_errors(self.tenant):
                self._remember_freshness(self._connection)
                for cursor in self._idle:
                    cursor.close()
                self._idle.clear()
                self._connection.close()
            self._connection = None
            self._mark = file_mark(self.path)
            return True
        finally:
            self._pooling.release()

    @contextmanager
    def kept_open(self) -> Iterator[None]:
        """Keep the file from being closed between the statements of a longer work."""
        with self._pooling:
            self._keepers += 1
        try:
            yield
        finally:
            with self._pooling:
                self._keepers -= 1
            if self._room is not None:
                self._room.left(self)

    @property
    def is_open(self) -> bool:
        """Say whether the file is open at this moment."""
        return self._connection is not None

    @property
    def has_moved_on(self) -> bool:
        """Say whether another process wrote the file since it was closed here."""
        return self._connection is None and file_mark(self.path) != self._mark

    def _open(self) -> duckdb.DuckDBPyConnection:
        connection = connect_locked_down(
            self.path, read_only=self.read_only, memory=self._memory, threads=self._threads
        )
        try:
            with typed_errors(self.tenant):
                self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        if not self.read_only:
            make_tables(connection)
        elif not _has_tables(connection):
            raise NoDataYetError(self.tenant)
        versions, freshness = read_versions(connection), _read_freshness(connection)
        if versions != self._versions or freshness != self._freshness[1]:
            self.generation += 1
        self._versions = MappingProxyType(dict(versions))
        self._freshness = (self.generation, freshness)
        self.commits.tell()

    def _remember_freshness(self, cursor: duckdb.DuckDBPyConnection) -> Freshness:
        generation, known = self._freshness
        if generation == self.generation:
            return known
        # The number is read first: a commit in between makes what is kept here outdated at once.
        generation = self.generation
        found = _read_freshness(cursor)
        self._freshness = (generation, found)
        return found

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
                    # Before the number: whoever looks in between must take the data for older
                    # than it is, and never for younger.
                    self._versions = MappingProxyType(dict(versions))
                    self.generation += 1
                    self.commits.tell()
            except BaseException:
                _leave(cursor)
                raise

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

    def freshness(self) -> Freshness:
        """Return (connection, object) -> when the last complete read of it began (UTC)."""
        generation, known = self._freshness
        if generation == self.generation:
            return known
        with self._borrowed() as cursor, typed_errors(self.tenant):
            return self._remember_freshness(cursor)

    def columns(self, connection: str, object_name: str) -> Mapping[str, StoredField]:
        """Return the readable columns of one object by field name; none before its first sync."""
        with self.snapshot() as snapshot:
            return snapshot.columns(connection, object_name)

    def count(self, connection: str, object_name: str) -> int:
        """Return how many records of one object are cached."""
        with self.snapshot() as snapshot:
            return snapshot.count(connection, object_name)

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
            connection, self._connection = self._connection, None
        for cursor in left:
            cursor.close()
        if connection is not None:
            connection.close()

    @contextmanager
    def _borrowed(self) -> Iterator[duckdb.DuckDBPyConnection]:
        cursor = self._take()
        try:
            if self._room is not None:
                self._room.entered(self)
            yield cursor
        finally:
            self._give_back(cursor)
            if self._room is not None:
                self._room.left(self)

    def _take(self) -> duckdb.DuckDBPyConnection:
        with self._pooling:
            if self._is_closed:
                raise CacheError(f"the cache of tenant {self.tenant!r} is closed")
            if self._connection is None:
                self._connection = self._open()
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


def _has_tables(connection: duckdb.DuckDBPyConnection) -> bool:
    found = connection.execute(
        "SELECT count(*) FROM duckdb_schemas() WHERE schema_name = '_firnline'"
    ).fetchall()
    return bool(found[0][0])


def _read_freshness(cursor: duckdb.DuckDBPyConnection) -> Freshness:
    return MappingProxyType(
        {
            (found.connection, found.object): found.completed_at
            for found in read_checkpoints(cursor)
            if found.completed_at is not None
        }
    )


def _leave(cursor: duckdb.DuckDBPyConnection) -> None:
    """Leave the transaction, if one is still open, so that the cursor can serve again."""
    try:
        cursor.rollback()
    except duckdb.TransactionException:
        return  # DuckDB had already ended it
