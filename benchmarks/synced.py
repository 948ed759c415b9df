"""A tenant as discovery and sync would have left it, written straight into a home.

Takes a catalog and Arrow tables; benchmarks ask questions of the home.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from firnline.cache.bookkeeping import Checkpoint
from firnline.cache.database import TenantDatabase
from firnline.catalog.model import Catalog
from firnline.settings import Settings
from firnline.state.state import State

_RUN = "bench"


async def write_synced(
    home: Path,
    catalog: Catalog,
    tables: Mapping[str, Any],
    *,
    tenant: str,
    connection: str,
    at: datetime,
) -> None:
    """Write catalog, records and checkpoints into a home, as of `at`."""
    state = await State.open(Settings(home=home))
    try:
        await state.save_catalog(tenant, connection, catalog, at=at)
    finally:
        await state.close()
    database = TenantDatabase.open(home / "cache" / f"{tenant}.duckdb", memory="2GB")
    try:
        for name, rows in tables.items():
            object_ = catalog.by_name[name]
            with database.transaction() as transaction:
                transaction.ensure(connection, object_)
                transaction.upsert(connection, object_, rows, run=_RUN)
                transaction.save_checkpoint(
                    Checkpoint(
                        connection=connection,
                        object=name,
                        run=_RUN,
                        rows_total=rows.num_rows,
                        state="complete",
                        started_at=at,
                        completed_at=at,
                    )
                )
    finally:
        database.close()
