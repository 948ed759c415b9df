"""Draws support tickets: very many at a few customers, a few at most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from firnline.sandbox.books import Customer, Setting
from firnline.sandbox.dealings import APPETITE
from firnline.sandbox.draws import DAY_S, Stamps, allot, stamp
from firnline.sandbox.phrases import AREAS, CLOSINGS, Area
from firnline.sandbox.world import Contact, Ticket, TicketPriority, TicketStatus

_SUPPORT = ("support_lead", "agent", "agent", "group_agent", "assigned_agent", "receivables")
_NEGLECTED_LEAST = 18
_PRIORITIES: tuple[TicketPriority, ...] = ("low", "normal", "normal", "normal", "high", "urgent")


def tickets(
    setting: Setting, known: Sequence[Customer], contacts: Sequence[Contact]
) -> list[Ticket]:
    """Return the tickets in order of creation, each asked by one of the customer's contacts."""
    rng = setting.stream("tickets")
    now_s = setting.now_s
    stamps = Stamps(
        rng,
        now_s,
        imports_s=(now_s - 365 * DAY_S, now_s - 200 * DAY_S),
        mass_updates_s=(now_s - 21 * DAY_S, now_s - 3 * DAY_S),
        mass_share=0.05,
    )
    requesters: list[list[int]] = [[] for _ in known]
    for index, contact in enumerate(contacts):
        requesters[contact.account].append(index)
    agents = _agents_by_group(setting)
    return [
        _ticket(
            rng,
            stamps,
            agents,
            known[place],
            number=number,
            place=place,
            created_s=created_s,
            requesters=requesters[place],
        )
        for number, (created_s, place) in enumerate(_arrivals(setting, rng, stamps, known), 1)
    ]


def _arrivals(
    setting: Setting, rng: Random, stamps: Stamps, known: Sequence[Customer]
) -> list[tuple[int, int]]:
    """Return when each ticket came and from which customer, in order of time."""
    counts = allot(
        [_trouble(customer, rng) for customer in known],
        setting.count(40_000),
        [_NEGLECTED_LEAST * int(customer.neglected) for customer in known],
    )
    oldest_s = setting.now_s - 540 * DAY_S
    arrivals = [
        (stamps.created(max(oldest_s, customer.created_s), setting.now_s), place)
        for place, (customer, count) in enumerate(zip(known, counts, strict=True))
        for _ in range(count)
    ]
    arrivals.sort()
    return arrivals


def _trouble(customer: Customer, rng: Random) -> float:
    """Return how many tickets a customer writes, relative to others: a long tail."""
    if not customer.account.in_helpdesk:
        return 0.0
    return APPETITE[customer.account.segment] / (0.015 + rng.random())


def _agents_by_group(setting: Setting) -> Mapping[str, tuple[str, ...]]:
    staff = [setting.staff.by_chair[chair] for chair in _SUPPORT]
    return {
        group: tuple(person.email for person in staff if group in person.groups)
        for group in setting.ground.groups
    }


def _status(rng: Random, age_s: int) -> TicketStatus:
    draw = rng.random()
    if age_s < 2 * DAY_S:
        return "new" if draw < 0.4 else "open" if draw < 0.85 else "pending"
    if age_s < 25 * DAY_S:
        if draw < 0.45:
            return "open"
        return "pending" if draw < 0.65 else "hold" if draw < 0.7 else "solved"
    if draw < 0.05:
        return "open"
    return "pending" if draw < 0.07 else "solved" if draw < 0.2 else "closed"


def _group(rng: Random, area: Area, priority: TicketPriority, customer: Customer) -> str:
    if area.name == "Billing":
        return "Billing"
    if priority == "urgent" and rng.random() < 0.4:
        return "Escalations"
    return customer.region.group


def _tags(rng: Random, area: Area, customer: Customer) -> tuple[str, ...]:
    first = area.tags[int(rng.random() * len(area.tags))]
    second = area.tags[int(rng.random() * len(area.tags))]
    tags = (first,) if first == second else (first, second)
    if customer.account.segment == "enterprise" and rng.random() < 0.3:
        return (*tags, "vip")
    return tags if rng.random() < 0.92 else ()


def _ticket(
    rng: Random,
    stamps: Stamps,
    agents: Mapping[str, tuple[str, ...]],
    customer: Customer,
    *,
    number: int,
    place: int,
    created_s: int,
    requesters: Sequence[int],
) -> Ticket:
    area = AREAS[int(rng.random() * len(AREAS))]
    subject, story = area.subjects[int(rng.random() * len(area.subjects))]
    thing = area.things[int(rng.random() * len(area.things))]
    subject = subject.replace("{thing}", thing)
    closing = CLOSINGS[int(rng.random() * len(CLOSINGS))]
    priority = _PRIORITIES[int(rng.random() * len(_PRIORITIES))]
    status = _status(rng, stamps.now_s - created_s)
    group = _group(rng, area, priority, customer)
    unassigned = status == "new" or (status == "open" and rng.random() < 0.15)
    done_s = created_s + 20 * DAY_S if status in ("solved", "closed") else stamps.now_s
    return Ticket(
        number=number,
        account=place,
        contact=requesters[int(rng.random() * len(requesters))],
        subject=subject[:1].upper() + subject[1:],
        description=f"{story.replace('{thing}', thing)} {closing}",
        status=status,
        priority=priority,
        product_area=area.name,
        group=group,
        assignee=None if unassigned else agents[group][int(rng.random() * len(agents[group]))],
        tags=_tags(rng, area, customer),
        created_at=stamp(created_s),
        updated_at=stamp(stamps.updated(created_s, done_s)),
    )
