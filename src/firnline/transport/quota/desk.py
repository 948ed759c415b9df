"""One account's desk in this process: calls come to it, slots and places are handed out.

Takes calls from the governor and books for them in the account's ledger, for several at once when
they come fast. A call goes out when a slot of its lane has come and one of this process's places
is free; those who wait for an answer come first, and some places are kept for them.

Nothing runs while nobody calls: a task serves the waiting, and a beat renews the process's share
of places while calls are under way, and gives it back when there were none for a while.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from firnline.clock import Clock
from firnline.transport.call import Destination, Use
from firnline.transport.quota.book import USES
from firnline.transport.quota.books import Books
from firnline.transport.quota.errors import QuotaWaitError
from firnline.transport.quota.ledger import (
    HORIZON_S,
    LATELY_S,
    Booked,
    Booking,
    Fact,
    Ledger,
    Slot,
    Wish,
    carry_out,
)
from firnline.transport.quota.line import HeldSlot, Line, Outlook, Waiter
from firnline.transport.quota.shares import SHARE_TTL_S
from firnline.transport.quota.terms import Lane

WAITING_MAX = 10_000
WISHES_MAX = 64
LATE_MAX = 3
BEAT_S = 1.0
IDLE_BEATS = 3
_CLAIM_AGAIN_S = 0.1  # without any place; with some there is time
_CLAIM_MORE_S = 0.5
_LOOK_AGAIN_S = 5.0
_SOONEST_S = 0.02
_JUST_AFTER_S = 0.0002
_PLACES_KEPT_FROM = 3

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Pending:
    """What the next booking tells the ledger."""

    returned: list[Slot]
    spent: list[tuple[Lane, Use, float]]
    facts: list[tuple[Fact, float]]

    @classmethod
    def nothing(cls) -> _Pending:
        return cls([], [], [])

    def __bool__(self) -> bool:
        return bool(self.returned or self.spent or self.facts)


class Desk:
    """Admits this process's calls to one account (or to one user's own limits)."""

    def __init__(self, places: str, *, books: Books, clock: Clock, holder: str) -> None:
        self.places = places
        self.places_max = 1
        self._books = books
        self._clock = clock
        self._holder = holder
        self._lines: dict[Lane, Line] = {}
        self._running = dict.fromkeys(USES, 0)
        self._granted = 0
        self._granted_until = -1.0
        self._claim_at = -1.0
        self._interactive_at = -LATELY_S
        self._admitted: deque[float] = deque(maxlen=WISHES_MAX)
        self._numbers = itertools.count()
        self._pending = _Pending.nothing()
        self._turn = asyncio.Lock()
        self._woken = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None
        self._beat: asyncio.TimerHandle | None = None
        self._beating: asyncio.Task[None] | None = None
        self._idle_beats = 0

    # -- calls ----------------------------------------------------------------------------------

    async def enter(self, lane: Lane, use: Use, ends_at: float, destination: Destination) -> None:
        """Wait for a slot and a place; raises QuotaWaitError or QuotaReservedError at once."""
        line = self._lines.get(lane)
        if line is None:
            line = self._lines[lane] = Line(lane)
        self.places_max = destination.concurrency_max
        now = self._clock.monotonic()
        if use is Use.INTERACTIVE:
            self._interactive_at = now
        if not self._is_anybody_before(line, use) and self._take(line, use, now):
            self._stay_awake()
            return
        for _ in range(LATE_MAX):
            held = await self._admission(line, use, ends_at, destination)
            if self._clock.monotonic() <= held.until:
                return
            # This task had its turn too late: at the provider the call would meet later ones.
            self._pending.returned.append(held.slot)
            self.leave(lane, use, 0.0)
        await self._admission(line, use, ends_at, destination)

    async def _admission(
        self, line: Line, use: Use, ends_at: float, destination: Destination
    ) -> HeldSlot:
        admitted: asyncio.Future[HeldSlot] = asyncio.get_running_loop().create_future()
        waiter = Waiter(next(self._numbers), use, ends_at, destination, admitted)
        line.add(waiter)
        line.refuse_late(self._clock.monotonic(), use)
        self._wake()
        try:
            return await waiter.admitted
        except asyncio.CancelledError:
            if not waiter.admitted.done() or waiter.admitted.cancelled():
                line.drop(waiter)
            elif waiter.admitted.exception() is None:
                self.leave(line.lane, use, 0.0)  # admitted and cancelled at the same moment
            raise

    def leave(self, lane: Lane, use: Use, seconds: float) -> None:
        """Give a call's place back; `seconds` is how long it took."""
        self._running[use] -= 1
        if seconds and any(term.budget.unit == "seconds" for term in lane.terms):
            self._pending.spent.append((lane, use, seconds))
        self._woken.set()

    def learn(self, fact: Fact) -> int | None:
        """Take note of an answer; return how many calls are left as far as is known."""
        now = self._clock.monotonic()
        facts = self._pending.facts
        line = self._lines.get(fact.lane)
        if fact.refused:
            facts.append((fact, now))
            if line is not None:  # what is blocked now is not to be used
                self._pending.returned += line.released()
            self._tell()
        elif fact.readings:
            # The last word counts: readings of one lane replace each other.
            kept = [each for each in facts if each[0].refused or each[0].lane is not fact.lane]
            facts[:] = [*kept, (fact, now)]
        return None if line is None else line.left

    @property
    def is_idle(self) -> bool:
        """Say whether it may be forgotten: no call, no share, nothing to tell."""
        return not (self._count() or self._serving or self._beat or self._beating)

    async def close(self) -> None:
        """Refuse who waits, tell what is to be told, and give the share of places back."""
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None
        for task in (self._serving, self._beating):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        if self._granted or self._pending:
            await self._book((), is_leaving=True)

    # -- serving --------------------------------------------------------------------------------

    def _is_anybody_before(self, line: Line, use: Use) -> bool:
        return any(line.waiting[each] for each in USES[: USES.index(use) + 1])

    def _take(self, line: Line, use: Use, now: float) -> HeldSlot | None:
        """Let a call out now, when a slot and a place are there."""
        if not self._has_place(line, use, now):
            return None
        held = line.usable(use, now)
        if held is None:
            return None
        line.slots.remove(held)
        self._running[use] += 1
        self._admitted.append(now)
        return held

    def _has_place(self, line: Line, use: Use, now: float) -> bool:
        free = self._free(now)
        if free <= 0:
            return False
        reserve = line.lane.terms[0].shares.interactive_reserve
        if use is Use.INTERACTIVE or not reserve or self._granted < _PLACES_KEPT_FROM:
            return True
        if now - self._interactive_at >= LATELY_S:
            return True
        kept = max(1, self._granted * reserve // 100)
        others = self._running[Use.WRITE] + self._running[Use.SYNC]
        return others < self._granted - kept

    def _free(self, now: float) -> int:
        granted = self._granted if now < self._granted_until else 0
        return granted - sum(self._running.values())

    def _held(self) -> int:
        return sum(len(line.slots) for line in self._lines.values())

    def _count(self) -> int:
        return sum(line.waiting_count for line in self._lines.values())

    def _wake(self) -> None:
        self._woken.set()
        self._stay_awake()
        if self._serving is None:
            self._serving = asyncio.create_task(self._serve())
            self._serving.add_done_callback(self._served)

    def _served(self, task: asyncio.Task[None]) -> None:
        self._serving = None
        failed = None if task.cancelled() else task.exception()
        if failed is None and not task.cancelled():
            if self._count():  # who came between the task's end and this
                self._wake()
            return
        if failed is not None:
            _log.error("handing out slots of %s failed", self.places, exc_info=failed)
        for waiter, line in self._everybody():
            line.drop(waiter)
            closed = QuotaWaitError(waiter.destination, "closing", retry_after_s=_CLAIM_AGAIN_S)
            waiter.admitted.set_exception(failed or closed)

    def _everybody(self) -> Iterator[tuple[Waiter, Line]]:
        for line in self._lines.values():
            for waiter in line.everybody():
                yield waiter, line

    async def _serve(self) -> None:
        while self._count():
            self._woken.clear()
            now = self._clock.monotonic()
            self._hand_out(now)
            if not self._count():
                return
            wishes = tuple(self._wishes(now))
            if wishes or self._can_claim(now):
                await self._book(wishes)
            else:
                await self._rest(self._next_at(now) - now)

    def _hand_out(self, now: float) -> None:
        for line in self._lines.values():
            self._pending.returned += line.lapsed(now)
        for use in USES:
            lines = [line for line in self._lines.values() if line.waiting[use]]
            while waiters := [(first.number, line) for line in lines if (first := line.first(use))]:
                _, line = min(waiters, key=lambda each: each[0])
                held = self._take(line, use, now)
                if held is None:
                    lines.remove(line)
                elif waiter := line.first(use):
                    line.drop(waiter)
                    waiter.admitted.set_result(held)

    def _wishes(self, now: float) -> Iterator[Wish]:
        """Yield what to book for those who wait, and a little for who is likely to come."""
        lines = [line for line in self._lines.values() if line.waiting_count]
        expected = max((self._expected(line, now) for line in lines), default=0)
        if self._free(now) + expected <= self._held() and not self._can_claim(now):
            return
        for line in lines:
            for use, count in line.lacking(now).items():
                if now >= line.not_before.get(use, now):
                    wished = min(WISHES_MAX, count + self._expected(line, now))
                    yield Wish(line.lane, use, wished)

    def _expected(self, line: Line, now: float) -> int:
        """Return how many calls are likely to come while a slot of now can be used."""
        since = now - line.lane.grace_s
        return min(line.lane.waste_max, sum(1 for at in self._admitted if at >= since))

    def _can_claim(self, now: float) -> bool:
        """Say whether more places are wanted, and may be there."""
        if now < self._claim_at:
            return False
        has_share = now < self._granted_until
        return not has_share or (self._free(now) <= 0 and self._granted < self.places_max)

    def _next_at(self, now: float) -> float:
        """Return when something may change without a call that ends or comes."""
        moments = [now + _LOOK_AGAIN_S, self._granted_until, self._claim_at]
        if self._free(now) > 0:
            for line in self._lines.values():
                if line.waiting_count:
                    moments += [held.at for held in line.slots][:1]
                    moments += line.not_before.values()
        return min((at for at in moments if at > now), default=now) + _JUST_AFTER_S

    async def _rest(self, seconds: float) -> None:
        """Wait, or until something happens before."""
        if self._woken.is_set():
            return
        sleeping = asyncio.ensure_future(self._clock.sleep(seconds))
        waking = asyncio.ensure_future(self._woken.wait())
        try:
            await asyncio.wait({sleeping, waking}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            waking.cancel()

    # -- bookings -------------------------------------------------------------------------------

    async def _book(self, wishes: tuple[Wish, ...], *, is_leaving: bool = False) -> None:
        async with self._turn:
            pending, self._pending = self._pending, _Pending.nothing()
            asked_at = self._clock.monotonic()
            booking = Booking(
                holder=self._holder,
                places=self.places,
                places_max=self.places_max,
                wanted=0,
                in_use=0,
                wishes=wishes,
                slots_ahead=self._ahead(wishes, asked_at),
                returned=pending.returned,
                spent=pending.spent,
            )
            lanes = [fact.lane for fact, _ in pending.facts]
            keys = {*booking.keys, *(term.key for lane in lanes for term in lane.terms)}
            booked, at = await self._books.change(
                sorted(keys), lambda ledgers, now: self._booked(booking, pending, ledgers, now)
            )
            self._note(booked, at, wishes)
            if is_leaving:
                self._granted, self._granted_until, self._claim_at = 0, -1.0, -1.0

    def _booked(
        self, booking: Booking, pending: _Pending, ledgers: Mapping[str, Ledger], now: float
    ) -> tuple[Booked, float]:
        """Carry out a booking, at the moment at which nobody else can change the ledgers."""
        at = self._clock.monotonic()
        running = sum(self._running.values())
        current = replace(
            booking,
            in_use=running,
            wanted=running + self._count(),
            facts=[replace(fact, age_s=at - since) for fact, since in pending.facts],
        )
        booked = carry_out(current, ledgers, now)
        # Calls that start before this is stored must not pass what it says.
        self._granted = min(self._granted, booked.granted)
        return booked, at

    def _note(self, booked: Booked, at: float, wishes: tuple[Wish, ...]) -> None:
        self._granted = booked.granted
        self._granted_until = at + SHARE_TTL_S - 2 * BEAT_S
        self._claim_at = at + (_CLAIM_MORE_S if booked.granted else _CLAIM_AGAIN_S)
        for slot in booked.slots:
            line = self._lines[slot.lane]
            local = at + (slot.at - booked.now)
            line.hold(HeldSlot(local, local + slot.lane.grace_s, slot))
        for lane, left in booked.left.items():
            self._lines[lane].left = left
        for wish in wishes:
            line = self._lines[wish.lane]
            eta = booked.etas.get((wish.lane, wish.use))
            if eta is None:
                line.not_before.pop(wish.use, None)
                line.outlook.pop(wish.use, None)
                continue
            local = at + (eta.at - booked.now)
            latest = at + _LOOK_AGAIN_S
            # In between several become free, and processes that share them get as many each.
            soonest = _SOONEST_S if wish.use is Use.INTERACTIVE else HORIZON_S / 4
            line.not_before[wish.use] = max(at + soonest, min(latest, local - HORIZON_S))
            interactive_at = at + (eta.interactive_at - booked.now)
            line.outlook[wish.use] = Outlook(local, interactive_at, eta.tightest, at + BEAT_S)
            line.refuse_late(at, wish.use)

    def _ahead(self, wishes: tuple[Wish, ...], now: float) -> int:
        """Return how many slots to book beyond the places that are free."""
        expected = max((self._expected(self._lines[wish.lane], now) for wish in wishes), default=0)
        return expected - self._held()

    # -- the beat -------------------------------------------------------------------------------

    def _stay_awake(self) -> None:
        self._idle_beats = 0
        if self._beat is None:
            self._beat = asyncio.get_running_loop().call_later(BEAT_S, self._on_beat)

    def _tell(self) -> None:
        """Tell the ledger now what cannot wait for the next booking."""
        if self._beating is None:
            self._beating = asyncio.create_task(self._renew(is_leaving=False))
            self._beating.add_done_callback(self._renewed)

    def _on_beat(self) -> None:
        self._beat = None
        is_busy = bool(self._count() or sum(self._running.values()))
        self._idle_beats = 0 if is_busy else self._idle_beats + 1
        is_leaving = self._idle_beats >= IDLE_BEATS
        if not is_leaving:
            self._beat = asyncio.get_running_loop().call_later(BEAT_S, self._on_beat)
        if (is_busy or is_leaving or self._pending) and self._beating is None:
            self._beating = asyncio.create_task(self._renew(is_leaving=is_leaving))
            self._beating.add_done_callback(self._renewed)

    async def _renew(self, *, is_leaving: bool) -> None:
        if is_leaving:
            for line in self._lines.values():
                self._pending.returned += line.released()
        await self._book((), is_leaving=is_leaving)

    def _renewed(self, task: asyncio.Task[None]) -> None:
        self._beating = None
        failed = None if task.cancelled() else task.exception()
        if failed is not None:
            _log.error("renewing the share of %s failed", self.places, exc_info=failed)
        self._woken.set()
