"""Who asked published operations lately: a few people per operation, for a limited time.

Takes rows from a running server; warming reads them to plan operations for rights that will ask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta

import orjson
from sqlalchemy import Row, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from firnline.state.rows import AskerRow
from firnline.state.schema import askers

ASKERS_MAX = 4  # of one operation, those of different rights or page sizes
KEPT = timedelta(days=30)


class AskerStore:
    """The askers of all tenants' operations."""

    def __init__(self, engine: AsyncEngine, reading: AsyncEngine) -> None:
        self._engine = engine
        self._reading = reading

    async def remember(self, rows: Sequence[AskerRow]) -> None:
        """Store askers, or that they asked again; older ones make room.

        Raises StateUnavailableError.
        """
        async with self._engine.begin() as connection:
            for row in rows:
                await _remember(connection, row)

    async def of(self, tenant: str, operation_id: str, *, now: datetime) -> list[AskerRow]:
        """Return who asked an operation in the last 30 days, the last first."""
        query = (
            select(askers)
            .where(askers.c.tenant == tenant, askers.c.operation_id == operation_id)
            .where(askers.c.asked_at >= now - KEPT)
            .order_by(askers.c.asked_at.desc(), askers.c.digest)
            .limit(ASKERS_MAX)
        )
        async with self._reading.connect() as connection:
            return [_row(each) for each in (await connection.execute(query)).all()]

    async def lately(self, tenant: str, *, now: datetime) -> list[AskerRow]:
        """Return who asked anything at a tenant in the last 30 days, the last first."""
        query = (
            select(askers)
            .where(askers.c.tenant == tenant, askers.c.asked_at >= now - KEPT)
            .order_by(askers.c.asked_at.desc(), askers.c.digest)
            .limit(ASKERS_MAX)
        )
        async with self._reading.connect() as connection:
            return [_row(each) for each in (await connection.execute(query)).all()]

    async def forget(self, connection: AsyncConnection, tenant: str, operation_id: str) -> None:
        """Forget who asked an operation that nobody can ask any more."""
        await connection.execute(
            delete(askers).where(askers.c.tenant == tenant, askers.c.operation_id == operation_id)
        )


async def _remember(connection: AsyncConnection, row: AskerRow) -> None:
    own = (askers.c.tenant == row.tenant, askers.c.operation_id == row.operation_id)
    await connection.execute(delete(askers).where(*own, askers.c.digest == row.digest))
    await connection.execute(
        delete(askers).where(askers.c.tenant == row.tenant, askers.c.asked_at < row.asked_at - KEPT)
    )
    kept = select(askers.c.digest).where(*own).order_by(askers.c.asked_at.desc())
    newest = (await connection.execute(kept.limit(ASKERS_MAX - 1))).scalars().all()
    await connection.execute(delete(askers).where(*own, askers.c.digest.not_in(newest)))
    values = {**asdict(row), "scopes": orjson.dumps(row.scopes).decode(), "digest": row.digest}
    await connection.execute(insert(askers).values(values))


def _row(found: Row[tuple[object, ...]]) -> AskerRow:
    facts = dict(found._mapping)
    facts.pop("digest")
    return AskerRow(**{**facts, "scopes": tuple(orjson.loads(facts["scopes"]))})
