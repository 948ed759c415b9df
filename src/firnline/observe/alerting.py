"""Tells alerts once, whichever process notices first: to the log, and to the builder's webhook.

Takes the record of connections' changes and remembers how far it was told; what a webhook does not
take is tried again, and so are alerts that a crash left untold. A receiver may get one twice, with
the same id.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable

from firnline.clock import Clock
from firnline.errors import FirnlineError
from firnline.observe.alerts import Alert, alert_of
from firnline.state.connection_events import EventsGoneError
from firnline.state.database import StateUnavailableError
from firnline.state.rows import ConnectionEvent
from firnline.state.state import State

LOOKED_EVERY_S = 1.0
TRIES_MAX = 12  # about an hour, then the log has to do
PAUSE_MAX_S = 600.0
_LEASE = "alerts"
_FOLLOWER = "alerts told"
_LEASE_S = 60.0

_LOG = logging.getLogger("firnline.alerts")
Send = Callable[[Alert], Awaitable[None]]


class Alerting:
    """Follows the connections of all tenants. `send` is None where only the log is told."""

    def __init__(self, state: State, *, send: Send | None, clock: Clock) -> None:
        self._state = state
        self._send = send
        self._clock = clock
        self._holder = secrets.token_hex(8)
        self._tries = 0

    async def keep_telling(self) -> None:
        """Tell every alert from now on, until cancelled."""
        events = self._state.connection_events
        told: int | None = None
        while True:
            try:
                if told is None:
                    told = await self._state.positions.of(_FOLLOWER, first=await events.newest())
                if await events.newest() > told:
                    told = await self._tell(told)
            except EventsGoneError as gone:
                _LOG.error("alerts were not told: %s", gone)
                told = await events.newest()
                await self._state.positions.move(_FOLLOWER, told)
            except StateUnavailableError as trouble:
                _LOG.warning("alerts wait for the database: %s", trouble)
            await self._clock.sleep(self._pause_s())

    def _pause_s(self) -> float:
        return min(PAUSE_MAX_S, LOOKED_EVERY_S * 2.0**self._tries)

    async def _tell(self, told: int) -> int:
        """Tell what follows `told`, as far as it goes; return the last number that is done."""
        now = self._clock.now()
        leases = self._state.leases
        if await leases.hold(_LEASE, self._holder, ttl_s=_LEASE_S, now=now) is None:
            return told  # another process is at it
        try:
            told = await self._state.positions.of(_FOLLOWER, first=told)
            for event in await self._state.connection_events.after(told):
                if not await self._is_done(event):
                    break
                told = event.number
                await self._state.positions.move(_FOLLOWER, told)
        finally:
            await leases.release(_LEASE, self._holder, now=self._clock.now())
        return told

    async def _is_done(self, event: ConnectionEvent) -> bool:
        """Tell one change where it is worth it; return False to try again later."""
        alert = alert_of(event)
        if alert is None:
            return True
        if not self._tries:
            level = logging.INFO if alert.is_over else logging.WARNING
            _LOG.log(level, "%s", alert.summary)
        if self._send is None:
            return True
        try:
            await self._send(alert)
        except FirnlineError as error:
            self._tries += 1
            if self._tries < TRIES_MAX:
                _LOG.warning("%s is not delivered yet: %s", alert.id, error)
                return False
            _LOG.error("%s is given up: %s", alert.id, error)
        self._tries = 0
        return True
