"""Draws customers: accounts with their owners, contacts, and what makes some of them neglected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from random import Random

from firnline.sandbox.draws import DAY_S, Stamps, allot, stamp, stream
from firnline.sandbox.phrases import TITLES
from firnline.sandbox.places import COUNTRIES, TRADES, Country
from firnline.sandbox.staff import Ground, Region, Staff, latin
from firnline.sandbox.world import Account, Contact, Segment

# How large a share of the customers each chair owns.
_BOOKS: Mapping[str, float] = {
    "rep": 5,
    "rep_two": 4,
    "rep_three": 4.5,
    "rep_four": 4.5,
    "rep_gone": 0.8,
    "contractor": 1.5,
    "manager": 0.6,
    "second_manager": 0.6,
}
_NEGLECTFUL = ("rep", "rep_two", "rep_three", "rep_four", "contractor")
SEGMENTS: tuple[Segment, ...] = ("enterprise", "mid_market", "small_business")
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHECK = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


@dataclass(frozen=True, slots=True)
class Setting:
    """What every draw needs to know."""

    tenant: str
    seed: int
    scale: float
    now: datetime
    ground: Ground
    staff: Staff

    @property
    def now_s(self) -> int:
        """Return the present in epoch seconds."""
        return int(self.now.timestamp())

    def count(self, at_scale_one: int) -> int:
        """Return how many records of a kind there are at this scale."""
        return max(round(at_scale_one * self.scale), 1)

    def stream(self, topic: str) -> Random:
        """Return the random numbers of `topic`."""
        return stream(self.tenant, self.seed, topic)


@dataclass(frozen=True, slots=True)
class Customer:
    """An account with what later draws go by.

    A neglected customer has many tickets, an open renewal this quarter and no recent review:
    every active rep has a few, so that the question who they are has an answer at any size.
    """

    account: Account
    region: Region
    country: Country
    owner: str
    neglected: bool
    created_s: int


def crm_id(prefix: str, number: int) -> str:
    """Return an 18-character CRM id: 15 characters and the checksum of their upper case letters."""
    digits = ""
    while number:
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    short = prefix + digits.rjust(15 - len(prefix), "0")
    check = ""
    for start in (0, 5, 10):
        bits = sum(1 << place for place in range(5) if short[start + place].isupper())
        check += _CHECK[bits]
    return short + check


def _slug(text: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in latin(text).lower()).strip("-")


class _Names:
    """Gives companies distinct names and web domains."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._names: set[str] = set()
        self._domains: set[str] = set()

    def draw(self, country: Country, city: str) -> tuple[str, str, str]:
        """Return (name, domain, industry) of a company that does not exist yet."""
        root, root_latin = self._rng.choice(country.roots)
        trade, trade_latin, industry = self._rng.choice(TRADES)
        legal = self._rng.choice(country.legal_forms)
        written = root if not root.isascii() and root_latin != root else f"{root} {trade}"
        tried = 0
        name, domain = f"{written} {legal}", _slug(f"{root_latin}-{trade_latin}")
        while name in self._names or domain in self._domains:
            tried += 1
            place = city if tried == 1 else f"{city} {tried}"
            name = f"{written} {place} {legal}"
            domain = _slug(f"{root_latin}-{trade_latin}-{latin(place) or tried}")
            if tried > 2:
                domain = f"{domain.rstrip('0123456789-')}-{tried}"
        self._names.add(name)
        self._domains.add(domain)
        return name, f"{domain}.example", industry


def _owners(setting: Setting) -> list[str]:
    """Return the chair that owns each account, by quota rather than chance."""
    chairs = list(_BOOKS)
    quotas = allot(list(_BOOKS.values()), setting.count(2_000))
    owners = [chair for chair, quota in zip(chairs, quotas, strict=True) for _ in range(quota)]
    setting.stream("owners").shuffle(owners)
    return owners


def _neglected(owners: Sequence[str]) -> list[bool]:
    """Return which accounts are neglected: the first few of each active rep's book."""
    left = {chair: max(2, round(owners.count(chair) * 0.015)) for chair in _NEGLECTFUL}
    marks = []
    for chair in owners:
        marks.append(left.get(chair, 0) > 0)
        left[chair] = left.get(chair, 0) - 1
    return marks


def _revenue(segment: Segment, rng: Random) -> Decimal:
    low, high = {
        "enterprise": (80, 4_000),
        "mid_market": (8, 90),
        "small_business": (1, 9),
    }[segment]
    return Decimal(int((low + (high - low) * rng.random() * rng.random()) * 10) * 100_000)


def _credit_limit(segment: Segment, rng: Random) -> Decimal:
    most = {"enterprise": 400, "mid_market": 80, "small_business": 15}[segment]
    return Decimal(2_500 * (1 + int(rng.random() * most)))


def _segment(rng: Random, neglected: bool) -> Segment:
    draw = rng.random()
    if neglected:
        return "enterprise" if draw < 0.6 else "mid_market"
    return "enterprise" if draw < 0.15 else "mid_market" if draw < 0.5 else "small_business"


def customers(setting: Setting) -> list[Customer]:
    """Return the tenant's customers in order of creation."""
    rng = setting.stream("accounts")
    owners = _owners(setting)
    neglected = _neglected(owners)
    now_s = setting.now_s
    stamps = Stamps(
        rng,
        now_s,
        imports_s=(now_s - 900 * DAY_S, now_s - 420 * DAY_S),
        mass_updates_s=(now_s - 33 * DAY_S,),
    )
    created = sorted(stamps.created(now_s - 2_200 * DAY_S, now_s - 20 * DAY_S) for _ in owners)
    names = _Names(rng)
    return [
        _customer(
            setting,
            rng,
            stamps,
            names,
            chair=owners[place],
            number=number,
            neglected=neglected[place],
            created_s=created_s,
        )
        for number, (place, created_s) in enumerate(
            zip(_mingled(neglected, rng), created, strict=True), 1
        )
    ]


def _mingled(neglected: Sequence[bool], rng: Random) -> list[int]:
    """Return all places, the neglected ones among the older four fifths: they need a history."""
    places = [place for place, marked in enumerate(neglected) if not marked]
    for place, marked in enumerate(neglected):
        if marked:
            places.insert(int(rng.random() * len(places) * 0.8), place)
    return places


def _customer(
    setting: Setting,
    rng: Random,
    stamps: Stamps,
    names: _Names,
    *,
    chair: str,
    number: int,
    neglected: bool,
    created_s: int,
) -> Customer:
    person = setting.staff.by_chair[chair]
    region = next(found for found in setting.ground.regions if found.name == person.region)
    country = COUNTRIES[rng.choice(region.countries)]
    city = rng.choice(country.cities)
    name, domain, industry = names.draw(country, city)
    segment = _segment(rng, neglected)
    account = Account(
        number=number,
        crm_id=crm_id("001" + setting.tenant[:1].upper() + "k", 710_000_000 + number * 37),
        name=name,
        domain=domain,
        segment=segment,
        industry=industry,
        region=region.name,
        country=country.name,
        city=city,
        owner=person.email,
        subsidiary=region.subsidiary,
        annual_revenue=_revenue(segment, rng),
        credit_limit=_credit_limit(segment, rng),
        created_at=stamp(created_s),
        updated_at=stamp(stamps.updated(created_s, setting.now_s)),
        in_helpdesk=neglected or rng.random() < 0.93,
        in_erp=neglected or rng.random() < 0.9,
    )
    return Customer(account, region, country, person.email, neglected, created_s)


def contacts(setting: Setting, known: Sequence[Customer]) -> list[Contact]:
    """Return the customers' people, at least one each, in the order of their accounts."""
    rng = setting.stream("contacts")
    now_s = setting.now_s
    stamps = Stamps(
        rng, now_s, imports_s=(now_s - 640 * DAY_S,), mass_updates_s=(now_s - 12 * DAY_S,)
    )
    weights = [0.3 + rng.random() for _ in known]
    counts = allot(weights, setting.count(4_000), [1] * len(known))
    drawn: list[Contact] = []
    for place, (customer, count) in enumerate(zip(known, counts, strict=True)):
        taken: list[str] = []
        for _ in range(count):
            drawn.append(_contact(rng, stamps, customer, len(drawn) + 1, place=place, taken=taken))
    return drawn


def _contact(
    rng: Random, stamps: Stamps, customer: Customer, number: int, *, place: int, taken: list[str]
) -> Contact:
    given = rng.choice(customer.country.given)
    family = rng.choice(customer.country.family)
    local = f"{_slug(given)}.{_slug(family)}".strip(".") or f"contact{number}"
    local = local if local not in taken else f"{local}{len(taken) + 1}"
    taken.append(local)
    created_s = stamps.created(customer.created_s, stamps.now_s)
    return Contact(
        number=number,
        account=place,
        first_name=given,
        last_name=family,
        email=f"{local}@{customer.account.domain}",
        title=rng.choice(TITLES),
        phone=f"{customer.country.dialling} 555 {int(rng.random() * 9000) + 1000}",
        created_at=stamp(created_s),
        updated_at=stamp(stamps.updated(created_s, stamps.now_s)),
    )
