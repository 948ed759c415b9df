"""Step 4: one page, one transaction: rows, deletions and checkpoint become visible together.

Takes pages and the run they belong to; the tenant's cache receives them. Synchronous: `sync.run`
calls it in a worker thread. A crash repeats a page, it never skips one.
"""

from __future__ import annotations

from dataclasses import dataclass

from firnline.cache.bookkeeping import Checkpoint
from firnline.cache.database import TenantDatabase
from firnline.cache.shape import ShapeChange
from firnline.cache.store import CacheTransaction
from firnline.catalog.model import ObjectInfo
from firnline.connectors.protocol import Page
from firnline.sync.checkpoint import Run, after_page, checkpoint_of, final_checkpoint
from firnline.sync.normalize import Quarantined, normalize

# A complete listing that lacks more than this share of what is cached is not believed: a provider
# that answers with a short list must not look like a mass deletion.
SWEEP_SHARE_MAX = 0.5
SWEEP_GUARD_ROWS_MIN = 100


@dataclass(frozen=True, slots=True)
class Prepared:
    """An object's table as the run finds it. `versions` tells runs of one instant apart."""

    checkpoint: Checkpoint | None
    change: ShapeChange
    rows: int
    version: int


@dataclass(frozen=True, slots=True)
class Ending:
    """What the last page of a run needs to know.

    `sweep_confirmed` lifts the guard against short listings.
    """

    deletes_were_read: bool = True
    sweep_confirmed: bool = False


@dataclass(frozen=True, slots=True)
class StoredPage:
    """What one page changed. `held` counts records that the guard kept from being swept."""

    run: Run
    rows: int
    upserts: int
    deletes: int
    duplicates: int
    quarantined: tuple[Quarantined, ...]
    held: int = 0


def prepare_object(database: TenantDatabase, connection: str, object_: ObjectInfo) -> Prepared:
    """Make the table fit the catalog and return where reading stands."""
    with database.transaction() as transaction:
        change = transaction.ensure(connection, object_)
        rows = transaction.count(connection, object_)
    return Prepared(
        checkpoint=database.checkpoint(connection, object_.name),
        change=change,
        rows=rows,
        version=database.versions().get((connection, object_.name), 0),
    )


def store_page(database: TenantDatabase, run: Run, page: Page, ending: Ending) -> StoredPage:
    """Store one page of records; the last one also ends the run."""
    normalized = normalize(page.records, run.object)
    following = after_page(
        run, next_page=page.next_page, checkpoint=page.checkpoint, rows=len(page.records)
    )
    with database.transaction() as transaction:
        upserts = transaction.upsert(run.connection, run.object, normalized.rows, run=run.id)
        deletes = transaction.delete(run.connection, run.object, page.deleted)
        held = 0
        if page.next_page is not None:
            transaction.save_checkpoint(checkpoint_of(following))
        else:
            swept, held = _sweep(transaction, following, ending)
            deletes += swept
            transaction.save_checkpoint(
                final_checkpoint(
                    following, deletes_were_read=ending.deletes_were_read, is_swept=not held
                )
            )
    return StoredPage(
        run=following,
        rows=len(page.records),
        upserts=upserts,
        deletes=deletes,
        duplicates=normalized.duplicates,
        quarantined=normalized.quarantined,
        held=held,
    )


def store_deletes(database: TenantDatabase, run: Run, page: Page) -> int:
    """Delete the listed records; return how many were cached.

    No checkpoint: the list is read again from its start when the run does not complete.
    """
    with database.transaction() as transaction:
        return transaction.delete(run.connection, run.object, page.deleted)


def _sweep(transaction: CacheTransaction, run: Run, ending: Ending) -> tuple[int, int]:
    """Delete what a full run did not see; return (deleted, held back)."""
    if not run.is_full:
        return 0, 0
    missed = transaction.count(run.connection, run.object, missed_by=run.id)
    # Permission records are swept always: keeping a revoked right would show too much.
    if missed and run.object.exposed and not ending.sweep_confirmed:
        total = transaction.count(run.connection, run.object)
        if total >= SWEEP_GUARD_ROWS_MIN and missed > total * SWEEP_SHARE_MAX:
            return 0, missed
    return (transaction.sweep(run.connection, run.object, run=run.id) if missed else 0), 0
