"""The record of connections' states: who became what, when and why, numbered as it was committed.

Saving a connection writes here in the same transaction; syncs, alerts, the admin API and whoever
else wants to hear of it read on from the last number they know. Old entries are let go.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, Select, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from firnline.errors import FirnlineError
from firnline.flights import Flights
from firnline.state.rows import ConnectionEvent, ConnectionRow
from firnline.state.schema import EVENTS, connection_events, counters

EVENTS_MAX = 100_000
KEPT = timedelta(days=90)
PAGE_MAX = 1_000
POLL_S = 0.5  # how soon another process's change is heard of


class EventsGoneError(FirnlineError):
    """Events that come after the given number are not kept any more."""

    code = "events_gone"
    status = 410

    def __init__(self, after: int, first: int) -> None:
        super().__init__(
            f"the events after number {after} are gone, up to number {first - 1}",
            hint="Read the connections' states anew, then go on from the newest event.",
        )


async def record(connection: AsyncConnection, row: ConnectionRow, before: str) -> ConnectionEvent:
    """Write that a connection's state became another one, as the newest event of all."""
    # Whoever counts holds this row until the commit: a number is seen after all that are lower.
    counting = update(counters).where(counters.c.name == EVENTS)
    number = (
        await connection.execute(
            counting.values(last=counters.c.last + 1).returning(counters.c.last)
        )
    ).scalar_one()
    event = ConnectionEvent(
        number=number,
        tenant=row.tenant,
        name=row.name,
        person=row.person,
        provider=row.provider,
        before=before,
        state=row.state,
        reason=row.state_reason,
        at=row.updated_at,
    )
    await connection.execute(insert(connection_events).values(asdict(event)))
    await _forget(connection, event)
    return event


async def _forget(connection: AsyncConnection, newest: ConnectionEvent) -> None:
    """Let the oldest events go: always a beginning, so that a gap behind it is told by numbers."""
    table = connection_events
    is_old = select(func.max(table.c.number)).where(
        table.c.number < newest.number, table.c.at < newest.at - KEPT
    )
    last = max(await connection.scalar(is_old) or 0, newest.number - EVENTS_MAX)
    if last > 0:
        await connection.execute(delete(table).where(table.c.number <= last))


class ConnectionEvents:
    """The events of all tenants. Part of `State`."""

    def __init__(self, reading: AsyncEngine) -> None:
        self._reading = reading
        self._heard = asyncio.Event()
        self._polls: Flights[str, int] = Flights(goes_on=False)

    def written(self) -> None:
        """Wake those who follow: this process wrote an event."""
        self._heard.set()

    async def newest(self) -> int:
        """Return the number of the newest event, 0 when there never was one."""
        async with self._reading.connect() as connection:
            query = select(counters.c.last).where(counters.c.name == EVENTS)
            return await connection.scalar(query) or 0

    async def after(
        self, number: int, *, tenant: str = "", limit: int = PAGE_MAX
    ) -> list[ConnectionEvent]:
        """Return events that follow `number`, the oldest first; 0: from the oldest that is kept.

        Raises EventsGoneError when some in between are not kept any more.
        """
        table = connection_events
        query = select(table).where(table.c.number > number).order_by(table.c.number)
        if tenant:
            query = query.where(table.c.tenant == tenant)
        async with self._reading.connect() as connection:
            first = await connection.scalar(select(func.min(table.c.number))) or 0
            if number and first > number + 1:
                raise EventsGoneError(number, first)
            found = await _rows(connection, query.limit(max(1, min(limit, PAGE_MAX))))
        return [ConnectionEvent(**row._mapping) for row in found]

    async def follow(self, number: int, *, tenant: str = "") -> AsyncIterator[ConnectionEvent]:
        """Yield events that follow `number` for good, each within about a second of its commit.

        Raises EventsGoneError.
        """
        seen = number
        while True:
            newest = await self.newest()
            while seen < newest:
                page = await self.after(seen, tenant=tenant)
                for event in page:
                    yield event
                # Of a whole page more may follow; else there is nothing up to the newest.
                seen = page[-1].number if len(page) == PAGE_MAX else max(newest, seen)
                if page:
                    seen = max(seen, page[-1].number)
            while await self._polls.join("newest", self._poll) <= seen:
                pass

    async def _poll(self) -> int:
        """Return the newest number after a while, at once when this process wrote an event."""
        try:
            async with asyncio.timeout(POLL_S):
                await self._heard.wait()
        except TimeoutError:
            pass
        self._heard.clear()
        return await self.newest()


async def _rows(connection: AsyncConnection, query: Select[Any]) -> list[Row[Any]]:
    return list((await connection.execute(query)).all())
