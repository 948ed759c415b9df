"""The same question both ways: from the cache and by live calls as the same person.

Takes the application and the sandboxes; gives a `Compared` per person.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from pydantic import SecretStr

from firnline.app import App
from firnline.connections.site import declared_site
from firnline.connectors.auth_flows import ClientAssertion
from firnline.demo.live import CountedChannel, Systems, ask_live
from firnline.demo.question import Asked
from firnline.demo.wording import wordings
from firnline.sandbox.process import SpawnedFleet
from firnline.spec.effective import effective_mappings

LIVE_DEADLINE_S = 120.0


@dataclass(frozen=True, slots=True)
class Live:
    """What live calls answered; `data` is None when they took longer than the deadline."""

    data: Mapping[str, Any] | None
    ms: float
    calls: int


@dataclass(frozen=True, slots=True)
class Compared:
    """One person's answer from the cache beside the live one."""

    asked: Asked
    live: Live

    @property
    def equal(self) -> bool | None:
        """Say whether both answers are the same; None when the live one never came."""
        return None if self.live.data is None else self.live.data == self.asked.answer.data

    @property
    def ratio(self) -> float:
        """Return how many times longer the live answer took."""
        return self.live.ms / self.asked.cached_ms

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "person": self.asked.email,
            "data": self.asked.answer.data,
            "extensions": self.asked.answer.extensions,
            "cached_ms": round(self.asked.cached_ms, 3),
            "cached_first_ms": round(self.asked.first_ms, 3),
            "live_ms": round(self.live.ms, 3),
            "live_calls": self.live.calls,
            "live_equal": self.equal,
        }


async def live(
    app: App,
    fleet: SpawnedFleet,
    tenant: str,
    email: str,
    end: date,
    *,
    deadline_s: float = LIVE_DEADLINE_S,
) -> Live:
    """Ask by live calls as the person; their tokens are at hand before the time is taken."""
    words = wordings(effective_mappings(app.project, tenant), app.clock.now())
    systems = await _systems(app, fleet, tenant, email)
    started = app.clock.monotonic()
    data: Mapping[str, Any] | None = None
    try:
        async with asyncio.timeout(deadline_s):
            data = await ask_live(systems, words, now=app.clock.now(), end=end)
    except TimeoutError:
        data = None  # told as "over the deadline"
    return Live(data, (app.clock.monotonic() - started) * 1000, systems.calls)


async def _systems(app: App, fleet: SpawnedFleet, tenant: str, email: str) -> Systems:
    """Return the person's own ways to the systems that the question's objects come from."""
    mappings = effective_mappings(app.project, tenant)
    crm, helpdesk, erp = [
        CountedChannel(await _channel(app, fleet, tenant, mappings[name].connection, email))
        for name in ("Deal", "Ticket", "Invoice")
    ]
    return Systems(crm, helpdesk, erp)


async def _channel(app: App, fleet: SpawnedFleet, tenant: str, name: str, email: str) -> Any:
    spec = app.tenant(tenant)
    provider = spec.connections[name].provider
    if isinstance(declared_site(spec, name).auth, ClientAssertion):
        token = await app.connections.subject_token(tenant, spec, name, email)
    else:
        token = SecretStr(await fleet.token(provider, tenant, email))
    return app.connections.channel_with_token(tenant, spec, name, token)
