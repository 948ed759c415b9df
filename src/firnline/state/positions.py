"""How far somebody who follows numbered events has come, kept over restarts and processes."""

from __future__ import annotations

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from firnline.state.schema import counters


class Positions:
    """The positions of all followers, by name. Part of `State`."""

    def __init__(self, engine: AsyncEngine, reading: AsyncEngine) -> None:
        self._engine = engine
        self._reading = reading

    async def of(self, follower: str, *, first: int) -> int:
        """Return the last number that a follower is done with; `first` for one that is new."""
        slot = counters.c.name == follower
        async with self._reading.connect() as connection:
            known = await connection.scalar(select(counters.c.last).where(slot))
        if known is not None:
            return int(known)
        try:
            async with self._engine.begin() as connection:
                await connection.execute(insert(counters).values(name=follower, last=first))
        except IntegrityError:  # another process began at the same time
            return await self.of(follower, first=first)
        return first

    async def move(self, follower: str, number: int) -> None:
        """Note that a follower is done with everything up to a number; it never moves back."""
        forward = (counters.c.name == follower, counters.c.last < number)
        async with self._engine.begin() as connection:
            await connection.execute(update(counters).where(*forward).values(last=number))
