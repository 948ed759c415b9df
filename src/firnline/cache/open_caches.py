"""All tenants' caches of one process, a bounded number of them open at once.

Takes the folder of the cache files; whoever reads or syncs a tenant gets its one `TenantDatabase`.
The least used are closed first, and never one that serves a request or a sync: such a one is closed
as soon as it is given back.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from firnline.cache.database import TenantDatabase
from firnline.cache.opening import CacheError, CacheLockedError, NoDataYetError, file_mark
from firnline.clock import Clock

_LOG = logging.getLogger("firnline.cache")


class OpenCaches:
    """Opens and rests the caches of all tenants. Made on, and asked from, one event loop.

    `open_max` bounds the files that are open while nobody uses them; those in use come on top.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock,
        open_max: int,
        idle_s: float,
        memory: str,
        threads: int,
        read_only: bool,
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._open_max = open_max
        self._idle_s = idle_s
        self._memory = memory
        self._threads = threads
        self._read_only = read_only
        self._known: dict[str, TenantDatabase] = {}
        self._opening: dict[str, asyncio.Task[TenantDatabase]] = {}
        self._turn = threading.Lock()
        self._closing = threading.Lock()
        self._used_at: OrderedDict[TenantDatabase, float] = OrderedDict()  # open ones only

    def path(self, tenant: str) -> Path:
        """Return where a tenant's cache lies."""
        return self._folder / f"{tenant}.duckdb"

    async def database(self, tenant: str) -> TenantDatabase:
        """Return the tenant's cache: made when absent, unless opened for reading only.

        Raises NoDataYetError, CacheLockedError, CacheCorruptError or CacheError.
        """
        known = self._known.get(tenant)
        if known is None:
            return await self._once(tenant, lambda: self._opened(tenant))
        if known.has_moved_on:
            return await self._once(tenant, lambda: _caught_up(known))
        return known

    async def _once(self, tenant: str, work: Callable[[], TenantDatabase]) -> TenantDatabase:
        """Do `work` in a thread, once for all who ask meanwhile, even if one of them gives up."""
        task = self._opening.get(tenant)
        if task is None:
            task = self._opening[tenant] = asyncio.create_task(asyncio.to_thread(work))
            task.add_done_callback(lambda done: self._keep(tenant, done))
        return await asyncio.shield(task)

    def _opened(self, tenant: str) -> TenantDatabase:
        path = self.path(tenant)
        if self._read_only and not path.exists():
            raise NoDataYetError(tenant)
        return TenantDatabase.open(
            path, read_only=self._read_only, memory=self._memory, threads=self._threads, room=self
        )

    def _keep(self, tenant: str, done: asyncio.Task[TenantDatabase]) -> None:
        self._opening.pop(tenant, None)
        if not done.cancelled() and done.exception() is None:
            self._known[tenant] = done.result()

    def entered(self, database: TenantDatabase) -> None:
        """Remember the use, and make room for it (`database.Room`)."""
        with self._turn:
            self._used_at[database] = self._clock.monotonic()
            self._used_at.move_to_end(database)
        self._trim()

    def left(self, _database: TenantDatabase) -> None:
        """Close what was only kept because it was in use."""
        self._trim()

    def rest_idle(self) -> None:
        """Close what nobody used for long. Blocks: call it from a worker thread."""
        latest = self._clock.monotonic() - self._idle_s
        with self._turn:
            idle = [each for each, used_at in self._used_at.items() if used_at <= latest]
        with self._closing:
            self._rest(idle, down_to=0)

    async def keep_resting(self) -> None:
        """Close what nobody uses, time and again, until cancelled."""
        while True:
            await self._clock.sleep(self._idle_s / 2)
            await asyncio.to_thread(self.rest_idle)

    def last_written(self, tenants: Iterable[str]) -> list[str]:
        """Return those of `tenants` that have a cache, the last written first. Blocks shortly."""
        marks = [(file_mark(self.path(tenant)), tenant) for tenant in tenants]
        found = [(mark[2], tenant) for mark, tenant in marks if mark is not None]
        return [tenant for _, tenant in sorted(found, reverse=True)]

    def open_tenants(self) -> Sequence[str]:
        """Return whose files are open, the least used first."""
        with self._turn:
            return [database.tenant for database in self._used_at]

    def _trim(self) -> None:
        if len(self._used_at) <= self._open_max:
            return
        with self._closing:  # one at a time, or together they would close too many
            with self._turn:
                candidates = list(self._used_at)
            self._rest(candidates, down_to=self._open_max)

    def _rest(self, candidates: Sequence[TenantDatabase], *, down_to: int) -> None:
        for database in candidates:
            if len(self._used_at) <= down_to:
                return
            try:
                database.rest()
            except CacheError as error:
                # It stays open; whoever asks for its data is told, not whoever needed room.
                _LOG.warning("the cache of tenant %s cannot be closed: %s", database.tenant, error)
            with self._turn:
                # Looked at again: it may have been opened anew in between.
                if not database.is_open:
                    self._used_at.pop(database, None)

    async def close(self) -> None:
        """Stop what runs and close every file, for good."""
        for task in list(self._opening.values()):
            await asyncio.wait([task])
        databases = list(self._known.values())
        self._known.clear()
        for database in databases:
            await asyncio.to_thread(database.close)
        with self._turn:
            self._used_at.clear()


def _caught_up(database: TenantDatabase) -> TenantDatabase:
    """Read what another process wrote; while it still writes, what was read before stands."""
    try:
        database.wake()
    except CacheLockedError:
        _LOG.info("the cache of tenant %s is being written elsewhere", database.tenant)
    return database
