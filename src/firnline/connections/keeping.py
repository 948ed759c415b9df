"""Keeps connections alive that nobody uses: renewed ahead of their end, one process at a time.

Takes the declared tenants; `firnline serve` runs it behind everything else. A refresh token that
idles dies at many providers, and an end that cannot be put off is said before it comes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import secrets
from collections.abc import Callable, Mapping
from datetime import timedelta

from firnline.clock import Clock
from firnline.connections.closed import ConnectionClosedError
from firnline.connections.renewals import Renewals
from firnline.connections.site import Site, declared_site
from firnline.connections.standing import (
    EXPIRING_AHEAD,
    KEPT_AHEAD,
    can_renew,
    is_due_unasked,
)
from firnline.errors import FirnlineError
from firnline.spec.model import TenantSpec
from firnline.state import Soon, State

LEASE = "keep connections"
EVERY_S = 30.0
LEASE_S = 3 * EVERY_S
AT_ONCE_MAX = 4
SPREAD_S = 0.5
FAILED_REST = timedelta(minutes=5)
ENDING_REST = timedelta(hours=1)  # between renewals that only put off the end

_LOG = logging.getLogger("firnline")


class Keeping:
    """Renews what ends soon, for all tenants. One per process."""

    def __init__(
        self,
        *,
        state: State,
        renewals: Renewals,
        clock: Clock,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._state = state
        self._renewals = renewals
        self._clock = clock
        self._draw = draw
        self._holder = f"{os.getpid()} {secrets.token_hex(8)}"

    async def keep_on(self, tenants: Mapping[str, TenantSpec]) -> None:
        """Look after all connections for good; of several processes one does."""
        while True:
            # It must go on whatever fails: what idles meanwhile dies.
            for failed in await asyncio.gather(self._look_alone(tenants), return_exceptions=True):
                if isinstance(failed, FirnlineError):
                    _LOG.warning("connections were not kept fresh: %s", failed.message)
                elif failed is not None:  # a driver's text is dropped
                    _LOG.error("connections were not kept fresh: %s", type(failed).__name__)
            await self._clock.sleep(EVERY_S * (0.5 + self._draw()))

    async def _look_alone(self, tenants: Mapping[str, TenantSpec]) -> None:
        leases, now = self._state.leases, self._clock.now()
        if await leases.hold(LEASE, self._holder, ttl_s=LEASE_S, now=now) is not None:
            await self.look(tenants)

    async def look(self, tenants: Mapping[str, TenantSpec]) -> None:
        """Renew once what ends soon; what fails is noted with the connection and rests."""
        now = self._clock.now()
        soon = Soon(now + KEPT_AHEAD, now + EXPIRING_AHEAD, now - FAILED_REST, now + FAILED_REST)
        places = asyncio.Semaphore(AT_ONCE_MAX)
        due = [
            (tenants[tenant], name, person)
            for tenant, name, person in await self._state.connections_ending(soon)
            if tenant in tenants and name in tenants[tenant].connections
        ]
        kept = (self._kept(places, *each) for each in due)
        # A connector's mistake with one connection must not let all others idle out.
        ended = await asyncio.gather(*kept, return_exceptions=True)
        for (spec, name, _person), failed in zip(due, ended, strict=True):
            if failed is not None:
                what = (name, spec.tenant, type(failed).__name__)
                _LOG.error("connection %r of %r was not kept fresh: %s", *what)

    async def _kept(
        self, places: asyncio.Semaphore, spec: TenantSpec, name: str, person: str
    ) -> None:
        async with places:
            try:
                site = declared_site(spec, name).of(person)
                await self._keep(site)
            except ConnectionClosedError:
                return  # for a person to open; its state says so
            except FirnlineError as error:
                _LOG.info("not renewed ahead of its end: %s", error.message)

    async def _keep(self, site: Site) -> None:
        row, tokens = await self._renewals.current(site)
        now = self._clock.now()
        is_ending = row.ends_at is not None and row.ends_at - now <= EXPIRING_AHEAD
        if not can_renew(site, tokens):
            await self._renewals.note_end(site)
            return
        puts_off = is_ending and now - tokens.issued_at >= ENDING_REST
        if puts_off or is_due_unasked(tokens, now):
            await self._clock.sleep(SPREAD_S * self._draw())
            await self._renewals.renewed_early(site, tokens.access_token)
