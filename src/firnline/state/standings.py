"""Which connections cannot be read from, known in memory so that every answer can say so.

Takes what the database keeps of connections and of their changes; the read path asks for a tenant's
with each answer and receives the same object until something about it changes.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from firnline.clock import Clock
from firnline.state.connection_events import ConnectionEvents, EventsGoneError
from firnline.state.database import StateUnavailableError
from firnline.state.rows import WORKING, ConnectionEvent
from firnline.state.schema import connections

_LOG = logging.getLogger("firnline.state")
_PAUSE_S = 5.0  # after trouble with the database, before it is asked again


@dataclass(frozen=True, slots=True)
class Standing:
    """A connection that cannot be read from: why, as its state, and since when."""

    state: str
    since: datetime


_ALL_STAND: Mapping[str, Standing] = {}


def all_stand(_tenant: str) -> Mapping[str, Standing]:
    """Return that every connection can be read from, where nobody knows of any that cannot."""
    return _ALL_STAND


class Standings:
    """The organisations' connections of all tenants that do not work. One per process."""

    def __init__(self, reading: AsyncEngine, events: ConnectionEvents, *, clock: Clock) -> None:
        self._reading = reading
        self._events = events
        self._clock = clock
        self._lost: dict[str, Mapping[str, Standing]] = {}

    def of(self, tenant: str) -> Mapping[str, Standing]:
        """Return which of a tenant's connections cannot be read from."""
        return self._lost.get(tenant, _ALL_STAND)

    async def load(self) -> int:
        """Look all of them up; return the number of the newest change that this counts in."""
        # Before the look: what changes in between is heard of a second time.
        newest = await self._events.newest()
        since = func.coalesce(connections.c.state_at, connections.c.updated_at).label("since")
        query = select(connections.c.tenant, connections.c.name, connections.c.state, since)
        lost: dict[str, dict[str, Standing]] = {}
        async with self._reading.connect() as database:
            for row in await database.execute(query.where(connections.c.state.not_in(WORKING))):
                lost.setdefault(row.tenant, {})[row.name] = Standing(row.state, row.since)
        for tenant in {*self._lost, *lost}:
            if self._lost.get(tenant, _ALL_STAND) != lost.get(tenant, _ALL_STAND):
                self._replace(tenant, lost.get(tenant, _ALL_STAND))
        return newest

    async def keep_current(self) -> None:
        """Hear of every change, whichever process made it, until cancelled."""
        while True:
            try:
                newest = await self.load()
                async for event in self._events.follow(newest):
                    self._heard(event)
            except EventsGoneError:
                continue  # too many at once: all are looked up anew
            except StateUnavailableError as trouble:
                # What is known stays: an answer is better than none, and it says of when it is.
                _LOG.warning("the states of connections cannot be read: %s", trouble)
                await self._clock.sleep(_PAUSE_S)

    def _heard(self, event: ConnectionEvent) -> None:
        if event.person:
            return
        lost = dict(self.of(event.tenant))
        if event.state in WORKING:
            lost.pop(event.name, None)
        else:
            lost[event.name] = Standing(event.state, event.at)
        if lost != self.of(event.tenant):
            self._replace(event.tenant, lost)

    def _replace(self, tenant: str, lost: Mapping[str, Standing]) -> None:
        if lost:
            self._lost[tenant] = lost
        else:
            self._lost.pop(tenant, None)
