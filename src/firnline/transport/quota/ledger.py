"""An account's ledger: its budgets, its places, and who was seen lately; one booking at a time.

Takes a `Booking` of one process and the ledgers it touches, as the store keeps them; gives what
was `Booked`. Pure: the store runs it while nobody else may change these ledgers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import orjson

from firnline.connectors.quotas import CONCURRENCY, QuotaReading
from firnline.transport.call import Use
from firnline.transport.quota.book import USES, BudgetBook
from firnline.transport.quota.shares import ShareBook
from firnline.transport.quota.terms import Lane, Term

LATELY_S = 60.0
# What is booked further ahead would be lost with its process, and bind who comes meanwhile.
HORIZON_S = 0.5


@dataclass(frozen=True, slots=True)
class Slot:
    """Leave for one call on a lane at a moment of the shared clock."""

    lane: Lane
    use: Use
    at: float


@dataclass(frozen=True, slots=True)
class Wish:
    """How many slots a process would like on a lane for one use."""

    lane: Lane
    use: Use
    count: int


@dataclass(frozen=True, slots=True)
class Fact:
    """What an answer told: its readings, and whether it refused for the quota's sake."""

    lane: Lane
    readings: Sequence[QuotaReading]
    age_s: float = 0.0
    refused: bool = False
    wait_s: float | None = None


@dataclass(frozen=True, slots=True)
class Booking:
    """What a process wants of an account, and what it has to tell.

    `places` is the ledger that its calls at a time are shared in, `places_max` their limit;
    `wanted` and `in_use` are this process's. `slots_max` bounds what is booked beyond the places
    that are free. `spent` are seconds that calls took.
    """

    holder: str
    places: str
    places_max: int
    wanted: int
    in_use: int
    wishes: Sequence[Wish] = ()
    slots_ahead: int = 0
    returned: Sequence[Slot] = ()
    spent: Sequence[tuple[Lane, Use, float]] = ()
    facts: Sequence[Fact] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the ledgers it touches, in one order for all."""
        lanes = [wish.lane for wish in self.wishes]
        lanes += [slot.lane for slot in self.returned]
        lanes += [lane for lane, _, _ in self.spent]
        lanes += [fact.lane for fact in self.facts]
        return tuple(sorted({self.places, *(term.key for lane in lanes for term in lane.terms)}))


@dataclass(frozen=True, slots=True)
class Eta:
    """When a wish that got nothing may be repeated, and when someone who waits would get it."""

    at: float
    interactive_at: float
    tightest: str


@dataclass(slots=True)
class Booked:
    """What a booking gave, at `now` of the shared clock."""

    now: float
    granted: int = 0
    is_shared: bool = False
    slots: list[Slot] = field(default_factory=list)
    etas: dict[tuple[Lane, Use], Eta] = field(default_factory=dict)
    left: dict[Lane, int] = field(default_factory=dict)


@dataclass(slots=True)
class Ledger:
    """All that is shared about one account, or about one user's own limits."""

    budgets: dict[str, BudgetBook] = field(default_factory=dict)
    places: ShareBook = field(default_factory=ShareBook)
    seen: dict[str, float] = field(default_factory=dict)

    def book(self, term: Term) -> BudgetBook:
        """Return the account of one budget."""
        return self.budgets.setdefault(term.name, BudgetBook())

    def lately(self, now: float) -> frozenset[Use]:
        """Return which uses were seen lately."""
        return frozenset(
            use for use in USES if 0 <= now - self.seen.get(use.value, -math.inf) < LATELY_S
        )

    def dump(self) -> str:
        """Return it as the store keeps it."""
        stored = {
            "budgets": {name: book.as_json() for name, book in self.budgets.items()},
            "places": self.places.as_json(),
            "seen": self.seen,
        }
        return orjson.dumps(stored).decode()

    @classmethod
    def load(cls, text: str) -> Self:
        """Return what `dump` gave; one of another version, or damaged, begins anew."""
        try:
            stored: Mapping[str, Any] = orjson.loads(text) if text else {}
            return cls(
                {name: BudgetBook.from_json(each) for name, each in stored["budgets"].items()},
                ShareBook.from_json(stored["places"]),
                dict(stored["seen"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls()


def carry_out(booking: Booking, ledgers: Mapping[str, Ledger], now: float) -> Booked:
    """Change the ledgers as the booking asks and return what it gave."""
    for wish in booking.wishes:
        for term in wish.lane.terms:
            ledgers[term.key].book(term).forget(term, now)
            ledgers[term.key].seen[wish.use.value] = now
    for slot in booking.returned:
        for term in slot.lane.terms:
            ledgers[term.key].book(term).give_back(slot.use, slot.at)
    for lane, use, seconds in booking.spent:
        for term in lane.terms:
            if term.budget.unit == "seconds":
                ledgers[term.key].book(term).take(term, use, now, cost=seconds)
    for fact in booking.facts:
        _note(booking, fact, ledgers, now)
    places = ledgers[booking.places].places
    booked = Booked(now)
    booked.granted = places.claim(
        booking.holder,
        wanted=booking.wanted,
        in_use=booking.in_use,
        most=booking.places_max,
        now=now,
    )
    booked.is_shared = len(places.shares) > 1
    room = max(0, booked.granted - booking.in_use) + booking.slots_ahead
    for wish in sorted(booking.wishes, key=lambda each: USES.index(each.use)):
        for _ in range(min(wish.count, room)):
            if not _slot(wish, ledgers, now, booked):
                break
            room -= 1
    for wish in booking.wishes:
        booked.left[wish.lane] = left_on(wish.lane, ledgers, now)
    return booked


def left_on(lane: Lane, ledgers: Mapping[str, Ledger], now: float) -> int:
    """Return how many calls are left on a lane's tightest budget."""
    return min(
        max(0, int(book.limit(term) - book.used(term, now)))
        for term in lane.terms
        for book in (ledgers[term.key].book(term),)
    )


def _slot(wish: Wish, ledgers: Mapping[str, Ledger], now: float, booked: Booked) -> bool:
    at, tightest = _earliest(wish.lane, wish.use, ledgers, now)
    if at > now + HORIZON_S:
        interactive_at, _ = _earliest(wish.lane, Use.INTERACTIVE, ledgers, now)
        booked.etas[wish.lane, wish.use] = Eta(at, interactive_at, tightest)
        return False
    for term in wish.lane.terms:
        if term.budget.unit == "calls":
            ledgers[term.key].book(term).take(term, wish.use, at)
    booked.slots.append(Slot(wish.lane, wish.use, at))
    return True


def _earliest(lane: Lane, use: Use, ledgers: Mapping[str, Ledger], now: float) -> tuple[float, str]:
    """Return when every budget of a lane has room, and the one that decides it."""
    at, tightest = now, lane.terms[0].name
    for _ in range(2):  # what one budget puts off may meet another's full window
        for term in lane.terms:
            ledger = ledgers[term.key]
            found = ledger.book(term).earliest(term, use, at, lately=ledger.lately(now))
            if found > at:
                at, tightest = found, term.name
    return at, tightest


def _note(booking: Booking, fact: Fact, ledgers: Mapping[str, Ledger], now: float) -> None:
    """Take note of an answer: correct what it counts, block what it refused for."""
    terms = {term.name: term for term in fact.lane.terms}
    broken: list[tuple[Term, float | None]] = []
    crowded = False
    for reading in fact.readings:
        term = terms.get(reading.name)
        if reading.name == CONCURRENCY:
            crowded = crowded or (fact.refused and reading.remaining == 0)
        elif term is not None:
            ledgers[term.key].book(term).correct(
                term,
                now - fact.age_s,
                limit=reading.limit,
                remaining=reading.remaining,
                resets_in_s=reading.resets_in_s,
            )
            if reading.remaining == 0:
                broken.append((term, reading.resets_in_s))
    if not fact.refused:
        return
    if crowded:
        ledgers[booking.places].places.lower(booking.places_max, now)
    for term, resets_in_s in broken or ([] if crowded else _suspected(fact.lane)):
        wait_s = resets_in_s if fact.wait_s is None else fact.wait_s
        left_s = None if wait_s is None else wait_s - fact.age_s
        ledgers[term.key].book(term).block(term, now, left_s)


def _suspected(lane: Lane) -> list[tuple[Term, float | None]]:
    """Return what an unnamed refusal speaks of: the endpoint's own budget before the account's."""
    own = [term for term in lane.terms if term.budget.applies_to]
    paced = [term for term in lane.terms if not term.is_counted]
    return [(term, None) for term in own or paced or lane.terms]
