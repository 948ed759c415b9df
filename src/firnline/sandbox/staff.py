"""The people of a tenant and the ground they cover: regions, subsidiaries, support groups.

Every tenant has the same chairs (an integration user, a VP, two regional managers, reps, support,
finance); the names, regions and some rights differ.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from firnline.sandbox.places import COUNTRIES
from firnline.sandbox.world import CrmProfile, ErpRole, HelpdeskRole, Person


@dataclass(frozen=True, slots=True)
class Region:
    """A sales region: its countries, the subsidiary that bills there and its support group."""

    name: str
    countries: tuple[str, ...]
    subsidiary: str
    group: str


@dataclass(frozen=True, slots=True)
class Ground:
    """What a tenant covers. The first region is the first manager's, the others the second's."""

    company_name: str
    invoice_prefix: str
    regions: tuple[Region, Region, Region]

    @property
    def groups(self) -> tuple[str, ...]:
        """Return the names of the support groups."""
        return (*(region.group for region in self.regions), "Billing", "Escalations")


@dataclass(frozen=True, slots=True)
class Chair:
    """One position: rights in each system, and where it stands.

    `region` counts the ground's regions, None stands for the whole company; `reports_to` names the
    chair above. `covers` are the support groups: "region" and "rest" (the regions of the second
    manager) beside names.
    """

    key: str
    title: str
    reports_to: str = ""
    region: int | None = None
    crm: CrmProfile | None = None
    helpdesk: HelpdeskRole | None = None
    erp: ErpRole | None = None
    covers: tuple[str, ...] = ()
    active: bool = True


_AMERICAS = ("United States",) * 5 + ("Canada", "Brazil", "Mexico")
_EUROPE = ("United Kingdom", "Germany", "France", "Spain", "Italy", "Netherlands", "Sweden")
_ASIA = ("Japan", "Singapore", "Australia", "India", "South Korea")

GROUNDS: Mapping[str, Ground] = {
    "acme": Ground(
        "Acme, Inc.",
        "INV",
        (
            Region("Americas", _AMERICAS, "Acme Inc.", "Americas Support"),
            Region("EMEA", _EUROPE, "Acme Europe GmbH", "EMEA Support"),
            Region("APAC", _ASIA, "Acme Asia Pacific Pte. Ltd.", "APAC Support"),
        ),
    ),
    "globex": Ground(
        "Globex SE",
        "RE",
        (
            Region(
                "DACH",
                ("Germany",) * 3 + ("Austria", "Switzerland"),
                "Globex Deutschland GmbH",
                "Kundendienst DACH",
            ),
            Region(
                "Europe",
                ("France", "Poland", "Netherlands", "Sweden", "Italy", "United Kingdom"),
                "Globex Europe B.V.",
                "Kundendienst Europe",
            ),
            Region(
                "Overseas",
                ("United States", "Japan", "Brazil", "Australia"),
                "Globex Overseas Inc.",
                "Kundendienst Overseas",
            ),
        ),
    ),
}

_CHAIRS = (
    Chair("integration", "Integration User", crm="admin", helpdesk="admin", erp="admin"),
    Chair(
        "vp",
        "VP Sales",
        crm="executive",
        helpdesk="agent",
        erp="controller",
        covers=("Escalations",),
    ),
    Chair(
        "manager",
        "Regional Sales Manager",
        "vp",
        0,
        crm="manager",
        helpdesk="agent",
        erp="subsidiary_sales",
        covers=("region", "Escalations"),
    ),
    Chair(
        "second_manager",
        "Regional Sales Manager",
        "vp",
        1,
        crm="manager",
        helpdesk="agent",
        erp="controller",
        covers=("rest", "Escalations"),
    ),
    Chair(
        "rep",
        "Senior Account Executive",
        "manager",
        0,
        crm="rep",
        helpdesk="group_agent",
        erp="subsidiary_sales",
        covers=("region",),
    ),
    Chair(
        "rep_two",
        "Account Executive",
        "manager",
        0,
        crm="rep",
        helpdesk="agent",
        erp="subsidiary_sales",
        covers=("region",),
    ),
    Chair(
        "rep_three",
        "Account Executive",
        "second_manager",
        1,
        crm="rep",
        helpdesk="agent",
        erp="subsidiary_sales",
        covers=("region",),
    ),
    Chair(
        "rep_four",
        "Account Executive",
        "second_manager",
        2,
        crm="rep",
        helpdesk="group_agent",
        erp="subsidiary_sales",
        covers=("region", "Escalations"),
    ),
    Chair(
        "rep_gone",
        "Account Executive",
        "manager",
        0,
        crm="rep",
        helpdesk="agent",
        erp="subsidiary_sales",
        covers=("region",),
        active=False,
    ),
    Chair(
        "contractor",
        "Sales Development Contractor",
        "second_manager",
        1,
        crm="contractor",
        helpdesk="end_user",
    ),
    Chair("support_lead", "Support Lead", helpdesk="admin", covers=("region", "rest", "Billing")),
    Chair("agent", "Support Engineer", helpdesk="agent", covers=("region", "rest", "Escalations")),
    Chair("group_agent", "Support Engineer", region=0, helpdesk="group_agent", covers=("region",)),
    Chair(
        "assigned_agent",
        "Support Associate",
        region=1,
        helpdesk="assigned_agent",
        covers=("region", "Billing"),
    ),
    Chair("controller", "Financial Controller", erp="controller"),
    Chair(
        "receivables",
        "Accounts Receivable",
        helpdesk="group_agent",
        erp="receivables",
        covers=("Billing",),
    ),
)

_NAMES: Mapping[str, Mapping[str, str]] = {
    "acme": {
        "vp": "Marcus Oyelaran",
        "manager": "Priya Raghunathan",
        "second_manager": "Sofia Lindqvist",
        "rep": "Dana Whitfield",
        "rep_two": "Tomás Herrera",
        "rep_three": "Ingrid Sørensen",
        "rep_four": "Jia-Wei Chen",
        "rep_gone": "Nadia Haddad",
        "contractor": "Lee Park",
        "support_lead": "Grace Muthoni",
        "agent": "Ben Adler",
        "group_agent": "Carla Mendes",
        "assigned_agent": "Sam Whitlock",
        "controller": "Henrik Vogel",
        "receivables": "Amara Okafor",
    },
    "globex": {
        "vp": "Katharina Brandstätter",
        "manager": "Jürgen Hößler",
        "second_manager": "Élodie Marchand",
        "rep": "Annika Schäfer",
        "rep_two": "Emre Yıldız",
        "rep_three": "Wojciech Zieliński",
        "rep_four": "Naomi Takeda",
        "rep_gone": "Detlef Kuhn",
        "contractor": "Miriam Stolz",
        "support_lead": "Björn Åkerlund",
        "agent": "Ayşe Demir",
        "group_agent": "Lukas Pröll",
        "assigned_agent": "Fatou Diallo",
        "controller": "Gisela Weiß",
        "receivables": "Piet van Houten",
    },
}

_TRANSLITERATED = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "ø": "o", "ł": "l", "ı": "i", "Ł": "L", "Ø": "O"}
)


def latin(text: str) -> str:
    """Return `text` in ASCII letters; what has no Latin form is dropped."""
    plain = unicodedata.normalize("NFKD", text.translate(_TRANSLITERATED))
    return plain.encode("ascii", "ignore").decode("ascii")


def ground(tenant: str, choice: int) -> Ground:
    """Return the tenant's ground; a tenant without one gets a known ground under its own name."""
    if tenant in GROUNDS:
        return GROUNDS[tenant]
    template = sorted(GROUNDS)[choice % len(GROUNDS)]
    name = tenant.replace("-", " ").replace("_", " ").title()
    known = template.title()

    def renamed(region: Region) -> Region:
        subsidiary = region.subsidiary.replace(known, name)
        return Region(region.name, region.countries, subsidiary, region.group)

    first, second, third = GROUNDS[template].regions
    return Ground(
        f"{name} Ltd.",
        tenant[:3].upper(),
        (renamed(first), renamed(second), renamed(third)),
    )


def _name(chair: Chair, tenant: str, covered: Ground, rng: random.Random) -> str:
    country = COUNTRIES[rng.choice(covered.regions[chair.region or 0].countries)]
    if chair.key == "integration":
        return "Firnline Integration"
    known = _NAMES.get(tenant, {})
    return known.get(chair.key) or f"{rng.choice(country.given)} {rng.choice(country.family)}"


def _groups(chair: Chair, covered: Ground) -> tuple[str, ...]:
    names: list[str] = []
    for cover in chair.covers:
        if cover == "region":
            names.append(covered.regions[chair.region or 0].group)
        elif cover == "rest":
            names.extend(region.group for region in covered.regions[1:])
        else:
            names.append(cover)
    return tuple(names)


def _subsidiaries(chair: Chair, covered: Ground) -> tuple[str, ...]:
    if chair.erp != "subsidiary_sales" or chair.region is None:
        return ()
    return (covered.regions[chair.region].subsidiary,)


def _email(chair: Chair, name: str, tenant: str) -> str:
    if chair.key == "integration":
        return f"integration@{tenant}.example"
    local = ".".join(latin(part).lower() for part in name.replace("'", "").split())
    # A name without a Latin form still needs an address of its own.
    local = local if local.strip(".-") and not local.startswith(".") else chair.key
    return f"{local.strip('.')}@{tenant}.example"


@dataclass(frozen=True, slots=True)
class Staff:
    """The people of one tenant, by chair."""

    by_chair: Mapping[str, Person]

    @property
    def people(self) -> tuple[Person, ...]:
        """Return everyone, the integration user first."""
        return tuple(self.by_chair.values())


def staff(tenant: str, covered: Ground, rng: random.Random) -> Staff:
    """Return the tenant's people with their hierarchy and rights."""
    names = {chair.key: _name(chair, tenant, covered, rng) for chair in _CHAIRS}
    emails = _distinct({chair.key: _email(chair, names[chair.key], tenant) for chair in _CHAIRS})
    people = {
        chair.key: Person(
            email=emails[chair.key],
            name=names[chair.key],
            title=chair.title,
            manager=emails[chair.reports_to] if chair.reports_to else None,
            region="" if chair.region is None else covered.regions[chair.region].name,
            crm=chair.crm,
            helpdesk=chair.helpdesk,
            erp=chair.erp,
            groups=_groups(chair, covered),
            subsidiaries=_subsidiaries(chair, covered),
            active=chair.active,
        )
        for chair in _CHAIRS
    }
    return Staff(people)


def _distinct(emails: Mapping[str, str]) -> Mapping[str, str]:
    seen: Sequence[str] = sorted(emails.values())
    return {
        key: email if seen.count(email) == 1 else f"{key}.{email}" for key, email in emails.items()
    }
