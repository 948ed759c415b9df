"""The calls of one lane that wait in this process, and the slots that it holds for them.

Takes waiters and booked slots; the desk hands the slots out, who waits for an answer first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from firnline.transport.call import Destination, Use
from firnline.transport.quota.book import USES
from firnline.transport.quota.errors import QuotaReservedError, QuotaWaitError
from firnline.transport.quota.ledger import Slot
from firnline.transport.quota.terms import Lane

RANK = {use: rank for rank, use in enumerate(USES)}
SOON_S = 0.1  # who waits for an answer takes a slot of a sync that is no further away


@dataclass(frozen=True, slots=True, eq=False)
class Waiter:
    """One call that waits until it is admitted, or refused."""

    number: int
    use: Use
    ends_at: float
    destination: Destination
    admitted: asyncio.Future[HeldSlot]


@dataclass(frozen=True, slots=True, eq=False)
class HeldSlot:
    """A booked slot on this process's clock; usable between `at` and `until`."""

    at: float
    until: float
    slot: Slot


@dataclass(frozen=True, slots=True)
class Outlook:
    """When the next call of a use would go out, and when one that a person waits for would."""

    at: float
    interactive_at: float
    budget: str
    known_until: float


class Line:
    """One lane's waiters and slots in this process."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.slots: list[HeldSlot] = []
        self.waiting = dict.fromkeys(USES, 0)
        self.outlook: dict[Use, Outlook] = {}
        self.not_before: dict[Use, float] = {}
        self.left: int | None = None
        self._queues: dict[Use, deque[Waiter]] = {use: deque() for use in USES}

    @property
    def waiting_count(self) -> int:
        """Return how many calls wait."""
        return sum(self.waiting.values())

    def add(self, waiter: Waiter) -> None:
        """Let a call wait."""
        self._queues[waiter.use].append(waiter)
        self.waiting[waiter.use] += 1

    def drop(self, waiter: Waiter) -> None:
        """Count out a call that does not wait any more; its place in the queue lapses."""
        self.waiting[waiter.use] -= 1
        if not self.waiting[waiter.use]:
            self._queues[waiter.use].clear()

    def first(self, use: Use) -> Waiter | None:
        """Return who is next of a use."""
        queue = self._queues[use]
        while queue and queue[0].admitted.done():
            queue.popleft()
        return queue[0] if queue else None

    def everybody(self) -> Iterator[Waiter]:
        """Yield all calls that wait."""
        for queue in self._queues.values():
            yield from [waiter for waiter in queue if not waiter.admitted.done()]

    def usable(self, use: Use, now: float) -> HeldSlot | None:
        """Return a slot that a call of `use` may go out on now."""
        for held in self.slots:
            if held.at > now:
                return None
            if held.until >= now and RANK[held.slot.use] >= RANK[use]:
                return held
        return None

    def hold(self, held: HeldSlot) -> None:
        """Keep a booked slot."""
        self.slots.append(held)
        self.slots.sort(key=lambda each: each.at)

    def lapsed(self, now: float) -> list[Slot]:
        """Return the slots that can not be used any more, and hold them no longer."""
        gone = [held.slot for held in self.slots if held.until < now]
        if gone:
            self.slots = [held for held in self.slots if held.until >= now]
        return gone

    def released(self) -> list[Slot]:
        """Return all slots, and hold them no longer."""
        gone = [held.slot for held in self.slots]
        self.slots = []
        return gone

    def lacking(self, now: float) -> dict[Use, int]:
        """Return for how many waiting calls of each use no slot is held."""
        free = list(self.slots)
        lacking: dict[Use, int] = {}
        for use in USES:
            fit = [
                held
                for held in free
                if held.slot.use is use
                or (RANK[held.slot.use] > RANK[use] and held.at <= now + SOON_S)
            ][: self.waiting[use]]
            taken = {id(held) for held in fit}
            free = [held for held in free if id(held) not in taken]
            if self.waiting[use] > len(fit):
                lacking[use] = self.waiting[use] - len(fit)
        return lacking

    def refuse_late(self, now: float, use: Use) -> None:
        """Tell the calls of a use whose turn would come too late, and when it would come."""
        outlook = self.outlook.get(use)
        if outlook is None or now > outlook.known_until:
            return
        held = sum(1 for each in self.slots if each.slot.use is use)
        waiting = [each for each in self._queues[use] if not each.admitted.done()]
        for position, waiter in enumerate(waiting[held:]):
            turn_s = position / self.lane.rate
            if outlook.at + turn_s > waiter.ends_at:
                self.drop(waiter)
                waiter.admitted.set_exception(_refusal(waiter, outlook, turn_s, now))


def _refusal(
    waiter: Waiter, outlook: Outlook, turn_s: float, now: float
) -> QuotaWaitError | QuotaReservedError:
    wait_s = max(0.0, outlook.at + turn_s - now)
    is_reserved = outlook.interactive_at <= waiter.ends_at < outlook.at
    kind = QuotaReservedError if is_reserved else QuotaWaitError
    return kind(waiter.destination, outlook.budget, retry_after_s=wait_s)
