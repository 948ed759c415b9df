"""One request's view of a tenant's cache: one data version, opened only when DuckDB is needed.

Takes the open cache; respond runs planning and loading through a `Session`. DuckDB work runs in
worker threads only; what columns in memory can answer needs no thread and no transaction.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from firnline.cache.bookkeeping import Versions
from firnline.cache.database import Snapshot, TenantDatabase
from firnline.cache.opening import QueryInterruptedError
from firnline.errors import FirnlineError

_INTERRUPT_EVERY_S = 0.05


class SnapshotMovedError(FirnlineError):
    """A sync committed between the first look at the versions and the snapshot: ask again."""

    code = "snapshot_moved"
    retryable = True
    status = 503


class NeedsThreadError(Exception):
    """DuckDB is needed, and this is the event loop's thread."""


class LazySnapshot:
    """A snapshot of the versions at its making (`cache.database.Snapshot`), opened at first use."""

    def __init__(self, database: TenantDatabase) -> None:
        # First: a commit between the two makes the data younger than what is said of it.
        self.freshness = database.freshness()
        self.versions: Versions = database.versions()
        self._database = database
        self._loop_thread = threading.get_ident()
        self._opening = threading.Lock()
        self._manager: AbstractContextManager[Snapshot] | None = None
        self._snapshot: Snapshot | None = None
        self._is_interrupted = False

    def open(self) -> Snapshot:
        """Open the snapshot, if it is not.

        Raises NeedsThreadError on the event loop, and SnapshotMovedError when the data moved on.
        """
        self.require_thread()
        with self._opening:
            if self._is_interrupted:
                raise QueryInterruptedError
            if self._snapshot is None:
                manager = self._database.snapshot()
                snapshot = manager.__enter__()
                if snapshot.versions != self.versions:
                    manager.__exit__(None, None, None)
                    raise SnapshotMovedError("the data changed while the question was read")
                self._manager, self._snapshot = manager, snapshot
            return self._snapshot

    def settle(self) -> None:
        """Open the snapshot and take its versions; call before anything looked at them."""
        self.require_thread()
        with self._opening:
            if self._is_interrupted:
                raise QueryInterruptedError
            self.freshness = self._database.freshness()
            self._manager = self._database.snapshot()
            self._snapshot = self._manager.__enter__()
            self.versions = self._snapshot.versions

    def require_thread(self) -> None:
        """Raise NeedsThreadError on the event loop: what follows takes long."""
        if threading.get_ident() == self._loop_thread:
            raise NeedsThreadError

    def fetch(self, sql: str, parameters: Any = ()) -> Any:
        """Return the rows as a pyarrow.Table."""
        return self.open().fetch(sql, parameters)

    def columns(self, connection: str, object_name: str) -> Any:
        """Return the readable columns of one object by field name."""
        return self.open().columns(connection, object_name)

    def field_names(self, connection: str, object_names: Any) -> Any:
        """Return the names of the readable fields of several objects, by object."""
        return self.open().field_names(connection, object_names)

    def count(self, connection: str, object_name: str) -> int:
        """Return how many records of one object there are."""
        return self.open().count(connection, object_name)

    def interrupt(self) -> None:
        """Stop the running statement and refuse later ones."""
        self._is_interrupted = True
        if self._snapshot is not None:
            self._snapshot.interrupt()

    @property
    def is_open(self) -> bool:
        """Say whether DuckDB was needed."""
        return self._snapshot is not None

    def close(self) -> None:
        """Give the snapshot back, if it was opened."""
        with self._opening:
            manager, self._manager, self._snapshot = self._manager, None, None
        if manager is not None:
            manager.__exit__(None, None, None)


class Session:
    """Runs one request's work; a cancelled request interrupts its statement."""

    def __init__(self, database: TenantDatabase) -> None:
        self.snapshot = LazySnapshot(database)
        self._running: set[asyncio.Future[Any]] = set()

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(self, *_failure: object) -> None:
        if self._running or self.snapshot.is_open:
            # Shielded: a cancelled request must still give its cursor back clean.
            await asyncio.shield(self._end())

    async def _end(self) -> None:
        # Work that was cancelled without anybody waiting for its end still holds the cursor.
        while self._running:
            self.snapshot.interrupt()
            await asyncio.wait(list(self._running), timeout=_INTERRUPT_EVERY_S)
        await asyncio.to_thread(self.snapshot.close)

    async def run(self, work: Callable[..., Any], *arguments: Any, inline: bool = False) -> Any:
        """Return `work(*arguments, snapshot)`.

        With `inline` it is tried on the event loop first, and in a thread when it needs DuckDB.
        """
        if inline:
            try:
                return work(*arguments, self.snapshot)
            except NeedsThreadError:
                pass  # nothing was sent or stored: the thread begins anew
        running = asyncio.ensure_future(asyncio.to_thread(work, *arguments, self.snapshot))
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            # Repeated, because an interrupt between two statements may be lost.
            while not running.done():
                self.snapshot.interrupt()
                await asyncio.wait([running], timeout=_INTERRUPT_EVERY_S)
            if not running.cancelled():
                running.exception()  # looked at, or asyncio reports it as lost
            raise
