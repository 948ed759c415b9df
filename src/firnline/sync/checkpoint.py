"""Step 5: where a run starts, and what is remembered after each page and at its end.

Takes the stored checkpoint and the catalog's object; `sync.run` receives a `Run`, the cache the
checkpoint that goes into the transaction with the rows. Pure.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime

from firnline.cache.bookkeeping import Checkpoint
from firnline.catalog.model import ObjectInfo


@dataclass(frozen=True, slots=True)
class Run:
    """One reading of one object, from `since` to its end.

    `page` is the next page's token. `highest` is the checkpoint that becomes `since` once the run
    is complete: not before, because pages need not come in the order of the cursor.
    `deletes_since` is where the list of deleted records starts. `resumed` says that an interrupted
    run goes on.
    """

    connection: str
    object: ObjectInfo
    id: str
    since: str | None
    started_at: datetime
    page: str | None = None
    highest: str | None = None
    deletes_since: str | None = None
    rows_total: int = 0
    completed_at: datetime | None = None
    resumed: bool = False

    @property
    def is_full(self) -> bool:
        """Say whether the run reads every record, so that what it did not see is gone."""
        return self.since is None


def fields_fingerprint(object_: ObjectInfo) -> str:
    """Return a digest of the fields that a read of the object asks for, and their types."""
    asked = sorted(f"{field.name}\0{field.type}" for field in object_.fields)
    return hashlib.sha256("\n".join(asked).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def plan_run(
    stored: Checkpoint | None,
    connection: str,
    object_: ObjectInfo,
    *,
    run_id: str,
    started_at: datetime,
    full: bool = False,
) -> Run:
    """Return the run to make: the rest of an interrupted one where possible, else a new one.

    `full` asks for every record even where an incremental read would do.
    """
    if stored is None:
        return Run(connection, object_, run_id, None, started_at)
    full = full or not object_.cursor
    since = None if full else stored.since
    run = Run(
        connection,
        object_,
        run_id,
        since,
        started_at,
        deletes_since=stored.deletes_since or stored.since,
        completed_at=stored.completed_at,
    )
    is_same_reading = stored.fields == fields_fingerprint(object_) and stored.since == since
    if stored.page is None or not is_same_reading:
        return run
    return replace(
        run,
        id=stored.run,
        page=stored.page,
        highest=stored.highest,
        rows_total=stored.rows_total,
        started_at=stored.started_at or started_at,
        resumed=True,
    )


def restarted(run: Run, *, run_id: str, started_at: datetime) -> Run:
    """Return `run` from its beginning: its page token is no longer good."""
    return replace(
        run,
        id=run_id,
        page=None,
        highest=None,
        rows_total=0,
        started_at=started_at,
        resumed=False,
    )


def after_page(run: Run, *, next_page: str | None, checkpoint: str | None, rows: int) -> Run:
    """Return the run as it stands once a page is stored."""
    deletes_since = run.deletes_since
    if run.is_full and run.highest is None:
        # The start of a full run: a record that goes away while it is read is listed from here.
        deletes_since = checkpoint
    return replace(
        run,
        page=next_page,
        highest=checkpoint or run.highest,
        deletes_since=deletes_since,
        rows_total=run.rows_total + rows,
    )


def checkpoint_of(run: Run) -> Checkpoint:
    """Return what to remember of a run with pages to come."""
    return _checkpoint(
        run,
        since=run.since,
        deletes_since=run.deletes_since,
        completed_at=run.completed_at,
    )


def final_checkpoint(run: Run, *, deletes_were_read: bool, is_swept: bool) -> Checkpoint:
    """Return what to remember of a complete run.

    Unless `is_swept`, records that are gone may still be cached: the object is no fresher then.

    The list of deleted records starts next time where this run started, not where it ended: a
    record may have been deleted after its page was read.
    """
    since = (run.highest or run.since) if run.object.cursor else None
    deletes_since = run.since if deletes_were_read else run.deletes_since
    return _checkpoint(
        replace(run, page=None),
        since=since,
        deletes_since=deletes_since,
        completed_at=run.started_at if is_swept else run.completed_at,
    )


def _checkpoint(
    run: Run, *, since: str | None, deletes_since: str | None, completed_at: datetime | None
) -> Checkpoint:
    return Checkpoint(
        connection=run.connection,
        object=run.object.name,
        since=since,
        page=run.page,
        highest=run.highest,
        deletes_since=deletes_since,
        run=run.id,
        fields=fields_fingerprint(run.object),
        rows_total=run.rows_total,
        state="complete" if completed_at else "backfilling",
        started_at=run.started_at,
        completed_at=completed_at,
    )
