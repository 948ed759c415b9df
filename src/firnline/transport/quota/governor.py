"""The quota governor: every call waits here until its provider's account has room for it.

`Transport.send` asks it before each attempt and tells it each answer. What accounts share between
processes is kept in ledgers (`state.quotas` stores them); this module finds the desk and the lane
of a call, and shows how an account stands.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

from firnline.clock import Clock
from firnline.connectors.protocol import Grounds, Response, Verdict
from firnline.connectors.quotas import CONCURRENCY
from firnline.recent import Recent
from firnline.transport.call import Destination, OutboundCall
from firnline.transport.quota.allowance import Allowance
from firnline.transport.quota.books import Books, LedgerStore
from firnline.transport.quota.desk import Desk
from firnline.transport.quota.ledger import Fact
from firnline.transport.quota.terms import NO_LIMIT, Lane, Shares, lane_of, user_key
from firnline.transport.retry import clamp_retry_after, parse_retry_after

_LANES_MAX = 8192


@dataclass(frozen=True, slots=True)
class BudgetStanding:
    """How one budget stands; `blocked_until` after a refusal, None when it is not blocked."""

    name: str
    limit: float
    used: float
    remaining: float
    window_s: float
    unit: str
    resets_at: datetime | None
    blocked_until: datetime | None


@dataclass(frozen=True, slots=True)
class Standing:
    """How an account stands over all processes."""

    account: str
    budgets: tuple[BudgetStanding, ...]
    concurrency_limit: int
    concurrency_granted: int
    processes: int


class QuotaGovernor:
    """Keeps the calls of all accounts within their quotas. One per process; close it when done."""

    def __init__(
        self,
        *,
        store: LedgerStore | None,
        clock: Clock,
        shares: Shares | None = None,
        is_pacing: bool = True,
    ) -> None:
        self._books = Books(store, clock=clock)
        self._clock = clock
        self._shares = shares or Shares()
        self._is_pacing = is_pacing
        self._holder = uuid.uuid4().hex
        self._desks: dict[str, Desk] = {}
        self._lanes: Recent[Hashable, Lane] = Recent(_LANES_MAX)
        self._unpaced: Recent[Hashable, Allowance] = Recent(_LANES_MAX)

    async def close(self) -> None:
        """Give back what this process holds of all accounts."""
        for desk in list(self._desks.values()):
            await desk.close()
        self._desks.clear()

    @asynccontextmanager
    async def admit(self, call: OutboundCall, ends_at: float) -> AsyncIterator[None]:
        """Hold a place for one attempt; raises QuotaWaitError or QuotaReservedError at once.

        Calls to token endpoints go out at any time: they do not count, and others wait for them.
        """
        if call.target == "token":
            yield
            return
        lane, desk = self._lane(call), self._desk(call.destination)
        await desk.enter(lane, call.use, ends_at, call.destination)
        started = self._clock.monotonic()
        try:
            yield
        finally:
            desk.leave(lane, call.use, self._clock.monotonic() - started)

    def learn(self, call: OutboundCall, response: Response, verdict: Verdict | None) -> int | None:
        """Take note of an answer; return the calls left, None if unknown."""
        if call.target == "token":
            return None
        readings = call.quota(response)
        refused = verdict is not None and verdict.grounds is Grounds.RATE_LIMITED
        wait_s = self._wait_s(response, verdict) if refused else None
        lane = self._lane(call)
        fact = Fact(lane, readings, refused=refused, wait_s=wait_s)
        left = self._desk(call.destination).learn(fact)
        stated = [
            int(each.remaining)
            for each in readings
            if each.remaining is not None and each.name != CONCURRENCY
        ]
        return min(stated) if stated else left

    async def standing(self, destination: Destination) -> Standing:
        """Return how the destination's account stands, in all processes together."""
        allowance = self._allowance(destination)
        lane = lane_of(allowance, destination.account, allowance.budgets, shares=self._shares)
        places = _places(destination, allowance)
        keys = sorted({places, *(term.key for term in lane.terms)})
        ledgers, now = await self._books.read(keys)
        budgets = []
        for term in lane.terms:
            book = ledgers[term.key].book(term)
            book.forget(term, now)
            limit, used = book.limit(term), book.used(term, now)
            resets = [term.gone_at(at) for at in book.oldest()]
            budgets.append(
                BudgetStanding(
                    name=term.name,
                    limit=limit,
                    used=used,
                    remaining=max(0.0, limit - used),
                    window_s=term.budget.per_s,
                    unit=term.budget.unit,
                    resets_at=_moment(resets[0]) if resets else None,
                    blocked_until=_moment(book.blocked_until) if book.blocked_until > now else None,
                )
            )
        shared = ledgers[places].places
        return Standing(
            account=destination.account,
            budgets=tuple(budgets),
            concurrency_limit=shared.limit(destination.concurrency_max, now),
            concurrency_granted=shared.granted(now),
            processes=shared.holders(now),
        )

    def _lane(self, call: OutboundCall) -> Lane:
        allowance = self._allowance(call.destination)
        path = urlsplit(call.url).path or "/"
        budgets = [each for each in allowance.budgets if each.applies(call.method, path)]
        key = (call.destination.account, allowance.identity, tuple(each.name for each in budgets))
        lane = self._lanes.get(key)
        if lane is None:
            lane = lane_of(allowance, call.destination.account, budgets, shares=self._shares)
            self._lanes.put(key, lane)
        return lane

    def _allowance(self, destination: Destination) -> Allowance:
        allowance = destination.allowance
        known = allowance if self._is_pacing else self._unpaced.get(allowance.identity)
        if known is not None:
            return known
        budgets = tuple(
            each.model_copy(update={"calls": NO_LIMIT, "firm": False}) for each in allowance.budgets
        )
        unpaced = replace(allowance, budgets=budgets)
        self._unpaced.put(allowance.identity, unpaced)
        return unpaced

    def _desk(self, destination: Destination) -> Desk:
        places = _places(destination, destination.allowance)
        desk = self._desks.get(places)
        if desk is None:
            self._desks = {key: each for key, each in self._desks.items() if not each.is_idle}
            desk = Desk(places, books=self._books, clock=self._clock, holder=self._holder)
            self._desks[places] = desk
        return desk

    def _wait_s(self, response: Response, verdict: Verdict | None) -> float | None:
        if verdict is not None and verdict.retry_after_s is not None:
            return clamp_retry_after(verdict.retry_after_s)
        return parse_retry_after(response.headers, self._clock.now())


def _places(destination: Destination, allowance: Allowance) -> str:
    if allowance.concurrency_per == "user":
        return user_key(destination.account, allowance)
    return destination.account


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
