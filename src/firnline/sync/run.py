"""Syncs a tenant: every object of every connection, at the same time, within each one's limits.

Takes sources (connection, connector, channel, catalog) and the tenant's cache; returns a
`SyncReport`. The steps are modules beside this one: schedule, extract, normalize, store,
checkpoint.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

from firnline.cache.database import TenantDatabase
from firnline.catalog.model import Catalog, ObjectInfo
from firnline.clock import Clock
from firnline.connectors.protocol import Connector
from firnline.errors import FirnlineError, UsageError
from firnline.spec.model import SyncSpec
from firnline.sync.checkpoint import Run, plan_run, restarted
from firnline.sync.extract import Channel, Extractor, is_token_refusal
from firnline.sync.report import ObjectReport, OnProgress, SyncProgress, SyncReport, Trouble
from firnline.sync.schedule import scheduled_objects
from firnline.sync.store import Ending, Prepared, prepare_object, store_deletes, store_page

_RESTARTS_MAX = 1  # of one object in one sync, when its page token has expired

_log = logging.getLogger(__name__)
Answer = TypeVar("Answer")


class UnknownObjectError(UsageError):
    """An object was asked for that no connection of the tenant can list."""

    code = "unknown_object"

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__(
            f"no connection has an object named {', '.join(sorted(names))}",
            hint="`firnline discover TENANT` lists the objects; names are the provider's own.",
        )


@dataclass(frozen=True, slots=True)
class Source:
    """One connection, ready to be read."""

    connection: str
    connector: Connector
    channel: Channel
    catalog: Catalog


def _ignore(_progress: SyncProgress) -> None:
    """Tell nobody."""


async def sync_tenant(
    tenant: str,
    spec: SyncSpec,
    *,
    sources: Sequence[Source],
    database: TenantDatabase,
    clock: Clock,
    on_progress: OnProgress = _ignore,
    only: Iterable[str] = (),
    full: bool = False,
) -> SyncReport:
    """Bring the tenant's cache up to date.

    An object that fails does not stop the others: its report says why. `only` names objects to
    read, `full` reads every record again and lifts the guard against short listings. Raises
    UnknownObjectError.
    """
    started_at, started = clock.now(), clock.monotonic()
    names = frozenset(only)
    scheduled = [
        (source, object_)
        for source in sources
        for object_ in scheduled_objects(source.catalog, spec, only=names)
    ]
    if missing := names - {object_.name for _, object_ in scheduled}:
        raise UnknownObjectError(missing)
    lanes = {
        source.connection: asyncio.Semaphore(source.connector.manifest.limits.concurrency_max)
        for source in sources
    }
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(
                _ObjectSync(
                    source, object_, database=database, clock=clock, on_progress=on_progress
                ).run(lanes[source.connection], full=full)
            )
            for source, object_ in scheduled
        ]
    reports = tuple(task.result() for task in tasks)
    return SyncReport(tenant, started_at, clock.monotonic() - started, reports)


class _ObjectSync:
    """The sync of one object, from its checkpoint to its end."""

    def __init__(
        self,
        source: Source,
        object_: ObjectInfo,
        *,
        database: TenantDatabase,
        clock: Clock,
        on_progress: OnProgress,
    ) -> None:
        self._source = source
        self._object = object_
        self._database = database
        self._clock = clock
        self._on_progress = on_progress
        self._extractor = Extractor(source.connector, source.channel, clock=clock)
        self._report = ObjectReport(source.connection, object_.name)
        self._estimated_total: int | None = None

    async def run(self, lane: asyncio.Semaphore, *, full: bool) -> ObjectReport:
        """Read the object; failures end up in the report."""
        async with lane:
            started = self._clock.monotonic()
            try:
                await self._read(full=full)
            except FirnlineError as error:
                self._report.trouble = Trouble.of(error)
            except Exception:  # noqa: BLE001 - logged, and reported as this object's failure
                # One object's bug must not cost the other objects their sync.
                _log.exception("syncing %s failed", self._object.name)
                self._report.trouble = Trouble(
                    FirnlineError.code, "an internal error; the log has the details"
                )
            self._report.seconds = self._clock.monotonic() - started
        self._tell(done=True)
        return self._report

    async def _read(self, *, full: bool) -> None:
        connection = self._source.connection
        prepared = await _in_thread(prepare_object, self._database, connection, self._object)
        self._report.change = prepared.change
        run = self._planned(prepared, full=full)
        self._report.is_full, self._report.resumed = run.is_full, run.resumed
        if run.is_full and prepared.rows:
            self._estimated_total = prepared.rows
        self._tell()
        deletes_were_read = await self._read_deletes(run)
        ending = Ending(deletes_were_read=deletes_were_read, sweep_confirmed=full)
        for restarts_left in range(_RESTARTS_MAX, -1, -1):
            try:
                await self._read_pages(run, ending)
                break
            except _TokenExpired as expired:
                if not restarts_left:
                    raise expired.refusal from expired
                version = self._database.versions()[(connection, self._object.name)]
                run = restarted(run, run_id=self._run_id(version), started_at=self._clock.now())

    def _run_id(self, version: int) -> str:
        # The version tells apart what a clock that stands still or steps back would not.
        return f"{self._clock.now():%Y%m%dT%H%M%S.%f}-{version}"

    def _planned(self, prepared: Prepared, *, full: bool) -> Run:
        return plan_run(
            prepared.checkpoint,
            self._source.connection,
            self._object,
            run_id=self._run_id(prepared.version),
            started_at=self._clock.now(),
            full=full,
        )

    async def _read_pages(self, run: Run, ending: Ending) -> None:
        async with aclosing(self._extractor.pages(run)) as pages:
            try:
                async for page in pages:
                    stored = await _in_thread(store_page, self._database, run, page, ending)
                    run = stored.run
                    self._report.add(stored)
                    self._tell()
            except FirnlineError as error:
                if run.page is not None and is_token_refusal(error):
                    raise _TokenExpired(error) from error
                raise

    async def _read_deletes(self, run: Run) -> bool:
        """Read the list of deleted records before the records; return whether it was whole.

        Before, so that a record that was deleted and brought back ends up present. A full run
        needs no list: what it does not see is gone.
        """
        if run.is_full:
            return False
        try:
            async with aclosing(self._extractor.deletes(run)) as pages:
                async for page in pages:
                    gone = await _in_thread(store_deletes, self._database, run, page)
                    self._report.deletes += gone
        except FirnlineError as error:
            # The records are still worth reading; the list starts at the same place next time.
            self._report.trouble = Trouble.of(error)
            return False
        return True

    def _tell(self, *, done: bool = False) -> None:
        self._on_progress(
            SyncProgress(
                connection=self._report.connection,
                object=self._report.object,
                rows=self._report.rows,
                pages=self._report.pages,
                done=done,
                estimated_total=self._estimated_total,
                failed=self._report.trouble is not None,
            )
        )


class _TokenExpired(Exception):
    """The provider no longer knows the page token that the run goes on from."""

    def __init__(self, refusal: FirnlineError) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


async def _in_thread(step: Callable[..., Answer], *arguments: object) -> Answer:
    """Run `step` in a worker thread; when cancelled, wait for its transaction to end first."""
    running = asyncio.ensure_future(asyncio.to_thread(step, *arguments))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait({running})
        raise
