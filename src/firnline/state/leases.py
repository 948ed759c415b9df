"""Leases: who alone may do something for a while, among all processes that share the database.

Renewals of tokens and work that one process at a time does take one; it ends by itself, so that a
process that died is waited for no longer than that.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import case, insert, not_, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from firnline.state.schema import leases

SKEW_MAX = timedelta(minutes=5)
FREE = datetime(1970, 1, 1, tzinfo=UTC)  # long ago by every process's clock


class Leases:
    """All leases. Part of `State`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def hold(self, name: str, holder: str, *, ttl_s: float, now: datetime) -> int | None:
        """Take or prolong a lease until `ttl_s` from now; return its fence, None: another has it.

        The fence is greater than that of everybody who had it before. Raises
        StateUnavailableError.
        """
        ends_at = now + timedelta(seconds=ttl_s)
        # One that ends later than any that is taken now was taken before a clock was set back.
        is_over = or_(leases.c.ends_at <= now, leases.c.ends_at > ends_at + SKEW_MAX)
        is_own = (leases.c.holder == holder) & not_(is_over)
        taking = (
            update(leases)
            .where(leases.c.name == name, or_(is_over, is_own))
            .values(
                holder=holder,
                ends_at=ends_at,
                fence=case((is_own, leases.c.fence), else_=leases.c.fence + 1),
            )
            .returning(leases.c.fence)
        )
        try:
            async with self._engine.begin() as connection:
                fence = (await connection.execute(taking)).scalar()
                if fence is not None:
                    return int(fence)
                if await connection.scalar(select(leases.c.fence).where(leases.c.name == name)):
                    return None
                first = {"name": name, "holder": holder, "ends_at": ends_at, "fence": 1}
                await connection.execute(insert(leases).values(first))
        except IntegrityError:
            return None  # two asked for a new one at once, and the other was first
        return 1

    async def release(self, name: str, holder: str, *, now: datetime) -> None:
        """Give a lease back, if `holder` still has it; raises StateUnavailableError."""
        freeing = update(leases).where(
            leases.c.name == name, leases.c.holder == holder, leases.c.ends_at > now
        )
        async with self._engine.begin() as connection:
            await connection.execute(freeing.values(ends_at=FREE))
