"""Draws invoices: issued, due, paid in full or in part, overdue, void."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from random import Random

from firnline.sandbox.books import Customer, Setting
from firnline.sandbox.dealings import weights
from firnline.sandbox.draws import DAY_S, Stamps, allot, stamp
from firnline.sandbox.phrases import MEMOS
from firnline.sandbox.world import Invoice, InvoiceStatus, Segment

_MOST: dict[Segment, int] = {"enterprise": 180_000, "mid_market": 32_000, "small_business": 4_800}
_TERMS_DAYS = (14, 30, 30, 30, 45, 60)


def invoices(setting: Setting, known: Sequence[Customer]) -> list[Invoice]:
    """Return the invoices of the customers that the ERP knows, in order of creation."""
    rng = setting.stream("invoices")
    now_s = setting.now_s
    stamps = Stamps(
        rng,
        now_s,
        imports_s=(now_s - 365 * DAY_S, now_s - 90 * DAY_S),
        mass_updates_s=(now_s - 30 * DAY_S,),
    )
    busy = [
        weight * customer.account.in_erp
        for weight, customer in zip(weights(known, rng), known, strict=True)
    ]
    counts = allot(busy, setting.count(10_000), [2 * int(customer.neglected) for customer in known])
    oldest_s = now_s - 600 * DAY_S
    issues = sorted(
        (stamps.created(max(oldest_s, customer.created_s), now_s), place)
        for place, (customer, count) in enumerate(zip(known, counts, strict=True))
        for _ in range(count)
    )
    return [
        _invoice(
            setting, rng, stamps, known[place], number=number, place=place, created_s=created_s
        )
        for number, (created_s, place) in enumerate(issues, 1)
    ]


def _invoice(
    setting: Setting,
    rng: Random,
    stamps: Stamps,
    customer: Customer,
    *,
    number: int,
    place: int,
    created_s: int,
) -> Invoice:
    created_at = stamp(created_s)
    issued = created_at.date()
    due = issued + timedelta(days=rng.choice(_TERMS_DAYS))
    total = _total(rng, customer.account.segment)
    status, balance = _settled(rng, total, due, setting.now.date())
    closed = status in ("paid", "void")
    return Invoice(
        number=number,
        account=place,
        reference=f"{setting.ground.invoice_prefix}-{issued.year}-{number:06d}",
        issued=issued,
        due=due,
        total=total,
        balance=balance,
        status=status,
        subsidiary=customer.account.subsidiary,
        memo=f"{rng.choice(MEMOS)} {issued:%Y-%m}",
        created_at=created_at,
        updated_at=stamp(
            stamps.updated(created_s, created_s + 60 * DAY_S if closed else stamps.now_s)
        ),
    )


def _total(rng: Random, segment: Segment) -> Decimal:
    cents = int(_MOST[segment] * (0.02 + rng.random() * rng.random()) * 100)
    return Decimal(cents).scaleb(-2)


def _settled(rng: Random, total: Decimal, due: date, today: date) -> tuple[InvoiceStatus, Decimal]:
    """Return the status and what is still open of the total."""
    draw = rng.random()
    nothing = Decimal("0.00")
    if draw < 0.03:
        return "void", nothing
    if draw < (0.85 if due < today else 0.3):
        return "paid", nothing
    if rng.random() < 0.2:
        return "open", (total * Decimal(int(rng.random() * 8) + 1) / 10).quantize(Decimal("0.01"))
    return "open", total
