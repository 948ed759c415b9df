"""Draws what sales does with its customers: deals, deals shared by hand, and meetings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from random import Random

from firnline.sandbox.books import Customer, Setting
from firnline.sandbox.draws import DAY_S, Stamps, allot, stamp
from firnline.sandbox.phrases import (
    MEETING_SUBJECTS,
    NEXT_STEPS,
    PRODUCTS,
)
from firnline.sandbox.world import (
    Deal,
    DealStage,
    DealType,
    Meeting,
    MeetingType,
    Segment,
)

_OPEN_STAGES: tuple[DealStage, ...] = ("prospecting", "qualification", "proposal", "negotiation")
_SIZE: dict[Segment, tuple[int, int]] = {
    "enterprise": (60_000, 900_000),
    "mid_market": (12_000, 140_000),
    "small_business": (1_200, 18_000),
}
APPETITE: dict[Segment, float] = {"enterprise": 2.2, "mid_market": 1.2, "small_business": 0.7}


def weights(known: Sequence[Customer], rng: Random) -> list[float]:
    """Return how much business each customer brings, relative to the others."""
    return [APPETITE[customer.account.segment] * (0.4 + rng.random()) for customer in known]


def _quarter(today: date) -> tuple[date, date]:
    """Return the first and the last day of today's quarter."""
    first = date(today.year, 3 * ((today.month - 1) // 3) + 1, 1)
    following = (first + timedelta(days=95)).replace(day=1)
    return first, following - timedelta(days=1)


def deals(setting: Setting, known: Sequence[Customer]) -> list[Deal]:
    """Return the deals in order of creation; about a third are renewals."""
    rng = setting.stream("deals")
    now_s = setting.now_s
    stamps = Stamps(
        rng, now_s, imports_s=(now_s - 300 * DAY_S,), mass_updates_s=(now_s - 45 * DAY_S,)
    )
    least = [int(customer.neglected) for customer in known]
    counts = allot(weights(known, rng), setting.count(8_000), least)
    drawn = []
    for place, (customer, count) in enumerate(zip(known, counts, strict=True)):
        drawn += [
            _deal(setting, rng, stamps, customer, place=place, turn=turn) for turn in range(count)
        ]
    drawn.sort(key=lambda deal: deal.created_at)
    return [replace(deal, number=number) for number, deal in enumerate(drawn, 1)]


def _deal(
    setting: Setting, rng: Random, stamps: Stamps, customer: Customer, *, place: int, turn: int
) -> Deal:
    today = setting.now.date()
    at_risk = customer.neglected and turn == 0
    draw = rng.random()
    kind: DealType = "renewal" if at_risk or draw < 0.35 else "expansion"
    if kind != "renewal" and draw < 0.75:
        kind = "new_business"
    close = _close_date(rng, today, kind, at_risk)
    stage = _stage(rng, today, kind, close, at_risk)
    ahead_s = (150 + int(rng.random() * 200)) * DAY_S
    close_s = setting.now_s + (close - today).days * DAY_S
    created_s = stamps.created(
        max(close_s - ahead_s, customer.created_s), min(close_s - 5 * DAY_S, stamps.now_s)
    )
    created_s = max(created_s, customer.created_s)
    decided = stage in ("won", "lost") and close_s <= stamps.now_s
    until_s = close_s + 3 * DAY_S if decided else stamps.now_s
    since_s = max(created_s, close_s - 5 * DAY_S) if decided else created_s
    product = rng.choice(PRODUCTS)
    return Deal(
        number=0,
        account=place,
        name=_deal_name(customer, kind, product, close),
        type=kind,
        stage=stage,
        amount=_amount(rng, customer.account.segment),
        close_date=close,
        owner=_deal_owner(setting, rng, customer),
        next_step=rng.choice(NEXT_STEPS[stage]),
        created_at=stamp(created_s),
        updated_at=stamp(stamps.updated(since_s, until_s)),
    )


def _close_date(rng: Random, today: date, kind: DealType, at_risk: bool) -> date:
    if at_risk:
        first, last = _quarter(today)
        first = max(first, today - timedelta(days=15))
        return first + timedelta(days=int(rng.random() * ((last - first).days + 1)))
    earliest = -180 if kind == "renewal" else -700
    latest = 270 if kind == "renewal" else 180
    return today + timedelta(days=earliest + int(rng.random() * (latest - earliest + 1)))


def _stage(rng: Random, today: date, kind: DealType, close: date, at_risk: bool) -> DealStage:
    if not at_risk and close <= today and rng.random() < 0.93:
        return "won" if rng.random() < (0.82 if kind == "renewal" else 0.45) else "lost"
    if not at_risk and rng.random() < 0.04:
        return "lost"  # given up early
    # The nearer the close date, the later the stage.
    days = max((close - today).days, 0)
    reach = 3 if days < 45 else 2 if days < 120 else 1
    return _OPEN_STAGES[min(3, max(0, reach - int(rng.random() * 2.2)))]


def _deal_name(customer: Customer, kind: DealType, product: str, close: date) -> str:
    quarter = f"Q{(close.month + 2) // 3} {close.year}"
    word = {"renewal": "Renewal", "expansion": "Expansion", "new_business": "New"}[kind]
    return f"{customer.account.name} – {product} {word} {quarter}"


def _amount(rng: Random, segment: Segment) -> Decimal:
    low, high = _SIZE[segment]
    whole = int(low + (high - low) * rng.random() * rng.random())
    if rng.random() < 0.15:
        return Decimal(whole * 100 + int(rng.random() * 100)).scaleb(-2)
    return Decimal(whole - whole % 50).quantize(Decimal("0.01"))


def _deal_owner(setting: Setting, rng: Random, customer: Customer) -> str:
    if customer.neglected or rng.random() < 0.93:
        return customer.owner
    # An overlay colleague owns the deal at somebody else's account.
    return setting.staff.by_chair[rng.choice(("rep", "rep_two", "rep_three", "rep_four"))].email


def shares(setting: Setting, drawn: Sequence[Deal]) -> list[tuple[int, str]]:
    """Return the deals shared by hand, as (position of the deal, email of another rep)."""
    rng = setting.stream("shares")
    chairs = ("rep", "rep_two", "rep_three", "rep_four", "contractor")
    reps = [setting.staff.by_chair[chair].email for chair in chairs]
    places = rng.sample(range(len(drawn)), min(len(drawn), max(setting.count(240), 5)))
    shared = []
    for turn, place in enumerate(sorted(places)):
        email = reps[turn % len(reps)]
        if email != drawn[place].owner:
            shared.append((place, email))
    return shared


def meetings(setting: Setting, known: Sequence[Customer]) -> list[Meeting]:
    """Return held and planned meetings in order of creation; larger customers have reviews."""
    rng = setting.stream("meetings")
    now_s = setting.now_s
    stamps = Stamps(
        rng, now_s, imports_s=(now_s - 500 * DAY_S,), mass_updates_s=(now_s - 61 * DAY_S,)
    )
    counts = allot(
        weights(known, rng),
        setting.count(6_000),
        [2 * int(customer.neglected) for customer in known],
    )
    drawn = []
    for place, (customer, count) in enumerate(zip(known, counts, strict=True)):
        drawn += [
            _meeting(rng, stamps, customer, kind, place=place, starts_s=starts_s)
            for kind, starts_s in _calendar(setting, rng, customer, count)
        ]
    drawn.sort(key=lambda meeting: (meeting.created_at, meeting.account))
    return [replace(meeting, number=number) for number, meeting in enumerate(drawn, 1)]


def _calendar(
    setting: Setting, rng: Random, customer: Customer, count: int
) -> list[tuple[MeetingType, int]]:
    """Return the types and starts of one customer's meetings: reviews every quarter, and others."""
    likely = {"enterprise": 0.9, "mid_market": 0.6, "small_business": 0.15}
    reviewed = customer.neglected or rng.random() < likely[customer.account.segment]
    # Days since the last review; a review may also be planned already.
    since = 95 + int(rng.random() * 150)
    if not customer.neglected and rng.random() < 0.75:
        since = int(rng.random() * 115) - 25
    planned: list[tuple[MeetingType, int]] = []
    for turn in range(count):
        hour_s = (8 + int(rng.random() * 18) / 2) * 3_600
        if reviewed and turn % 2 == 0:
            kind: MeetingType = "QBR"
            days = since + (turn // 2) * 91
        else:
            kind = rng.choice(("demo", "call", "call", "onsite"))
            days = int(rng.random() * 540) - (0 if customer.neglected else 25)
        day_s = (setting.now_s - days * DAY_S) // DAY_S * DAY_S
        planned.append((kind, int(day_s + hour_s)))
    return planned


def _meeting(
    rng: Random,
    stamps: Stamps,
    customer: Customer,
    kind: MeetingType,
    *,
    place: int,
    starts_s: int,
) -> Meeting:
    subject = rng.choice(MEETING_SUBJECTS[kind])
    created_s = stamps.created(starts_s - 40 * DAY_S, starts_s - DAY_S)
    return Meeting(
        number=0,
        account=place,
        type=kind,
        subject=subject.format(account=customer.account.name, product=rng.choice(PRODUCTS)),
        started_at=stamp(starts_s),
        minutes=rng.choice((30, 45, 60, 90)),
        owner=customer.owner,
        created_at=stamp(created_s),
        updated_at=stamp(stamps.updated(created_s, starts_s + DAY_S)),
    )
