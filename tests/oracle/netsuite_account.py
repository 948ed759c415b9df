"""Permission structures of a small NetSuite account, drawn at random and loaded into the sandbox.

Every structure is a plain value: what Hypothesis prints of a counterexample is what a test keeps.
Numbers are positions; where a list is shorter, they wrap around.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any

from hypothesis import strategies as st
from tests.oracle.mirror import NOW

from firnline.connectors.registry import load_module, load_sandbox_module
from firnline.sandbox.protocol import SandboxOptions
from firnline.sandbox.seed import company
from firnline.sandbox.world import Company

_roles_module = load_module("netsuite", "sandbox_roles")

ADMIN = "admin@erp.test"
PERMISSIONS = (
    "LIST_CUSTJOB",
    "LIST_CONTACT",
    "TRAN_CUSTINVC",
    "LIST_EMPLOYEE",
    "LIST_SUBSIDIARY",
    "LIST_CUSTRECORDENTRY",
)
OPTIONS = ("ALL", "ACTIVE", "OWN", "SELECTED")
RESTRICTIONS = (
    "NONE",
    "DEFAULT_TO_OWN",
    "OWN_SUBORDINATE_AND_UNASSIGNED",
    "OWN_AND_SUBORDINATES_ONLY",
)
SEGMENTS = ("DEPARTMENT", "CLASS", "LOCATION")
_TABLES = {"DEPARTMENT": "department", "CLASS": "classification", "LOCATION": "location"}


@dataclass(frozen=True)
class Role:
    """A role: permissions with levels, subsidiary option, restrictions with "allow viewing"."""

    permissions: tuple[tuple[str, str], ...] = tuple((name, "VIEW") for name in PERMISSIONS)
    option: str = "ALL"
    selected: tuple[int, ...] = ()
    views_subsidiaries: bool = False
    employees: str = "NONE"
    views_employees: bool = False
    segments: tuple[tuple[str, str, bool], ...] = ()
    lacks_credit_limit: bool = False


@dataclass(frozen=True)
class Placed:
    """A record: subsidiary, person in charge, department, class, location; None is none."""

    subsidiary: int | None = 0
    employee: int | None = None
    segments: tuple[int | None, int | None, int | None] = (None, None, None)
    parent: int | None = 0


@dataclass(frozen=True)
class Person:
    """An employee with a login: the role, and where their own record is placed."""

    role: int = 0
    supervisor: int | None = None
    placed: Placed = Placed()
    active: bool = True
    login: bool = True


@dataclass(frozen=True)
class Structure:
    """A whole account. Trees are given by each node's parent."""

    subsidiaries: tuple[tuple[int | None, bool], ...] = ((None, True),)
    trees: tuple[tuple[int | None, ...], tuple[int | None, ...], tuple[int | None, ...]] = (
        (None,),
        (None,),
        (None,),
    )
    roles: tuple[Role, ...] = (Role(),)
    people: tuple[Person, ...] = (Person(),)
    customers: tuple[Placed, ...] = (Placed(),)
    contacts: tuple[Placed, ...] = ()
    invoices: tuple[Placed, ...] = ()
    contracts: int = 0

    @property
    def emails(self) -> list[str]:
        """Return everyone's address, the administrator's first."""
        return [ADMIN, *(f"p{place}@erp.test" for place in range(len(self.people)))]


_ints = st.integers(0, 4)
_optional = st.none() | _ints
# What shuts somebody out of everything is drawn seldom, or little else would be seen.
_mostly_so = st.sampled_from((*[True] * 9, False))
_mostly = st.one_of(_ints, _ints, _ints, st.none())


def _few(each: Any, most: int, least: int = 0) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(each, min_size=least, max_size=most).map(tuple)


def _tree(most: int) -> st.SearchStrategy[tuple[int | None, ...]]:
    """Draw parents, each before its children."""
    return _few(_mostly, most, 2).map(
        lambda parents: tuple(
            None if parent is None or place == 0 else parent % place
            for place, parent in enumerate(parents)
        )
    )


_levels = st.sampled_from(("NONE", "VIEW", "VIEW", "EDIT", "FULL"))
_segments = st.lists(
    st.tuples(st.sampled_from(SEGMENTS), st.sampled_from(RESTRICTIONS), st.booleans()),
    min_size=1,
    max_size=2,
    unique_by=lambda each: each[0],
).map(tuple)
_permissions = st.one_of(
    st.just(Role.permissions),
    st.just(Role.permissions),
    st.dictionaries(st.sampled_from(PERMISSIONS), _levels, max_size=5).map(
        lambda held: tuple(held.items())
    ),
)
_roles = st.builds(
    Role,
    permissions=_permissions,
    option=st.sampled_from((*OPTIONS, "ALL")),
    selected=_few(_ints, 2),
    views_subsidiaries=st.sampled_from((False, False, False, True)),
    employees=st.sampled_from((*RESTRICTIONS, "NONE", "NONE")),
    views_employees=st.sampled_from((False, False, False, True)),
    segments=st.just(()) | _segments,
    lacks_credit_limit=st.booleans(),
)
_placed = st.builds(
    Placed,
    subsidiary=_mostly,
    employee=_mostly,
    segments=st.tuples(_mostly, _mostly, _mostly),
    parent=_optional,
)
structures = st.builds(
    Structure,
    subsidiaries=st.builds(
        lambda tree, live: tuple(zip(tree, live, strict=False)),
        _tree(3),
        st.tuples(*[st.sampled_from((True, True, False))] * 3),
    ),
    trees=st.tuples(_tree(4), _tree(4), _tree(4)),
    roles=_few(_roles, 3, 1),
    people=_few(
        st.builds(
            Person,
            role=_ints,
            supervisor=_mostly,
            placed=_placed,
            active=_mostly_so,
            login=_mostly_so,
        ),
        5,
        3,
    ),
    customers=_few(_placed, 4, 2),
    contacts=_few(_placed, 2),
    invoices=_few(_placed, 4, 2),
    contracts=st.integers(0, 1),
)


class _Loading:
    """Writes a structure into a sandbox's store."""

    def __init__(self, structure: Structure, store: Any) -> None:
        self.structure = structure
        self.store = store
        self.stamp = datetime(2026, 11, 20, 10, 0)

    def load(self) -> None:
        structure, store = self.structure, self.store
        store.roles = {_roles_module.ADMINISTRATOR: store.roles[_roles_module.ADMINISTRATOR]}
        for place, role in enumerate(structure.roles):
            store.roles[1010 + place] = self._role(1010 + place, role)
        for segment, tree in zip(SEGMENTS, structure.trees, strict=True):
            store.segments[_TABLES[segment]] = [
                {
                    "id": 1 + place,
                    "name": f"{segment} {place}",
                    "parent": _key(1, parent, len(tree)),
                }
                for place, parent in enumerate(tree)
            ]
        store.employee_of.clear()
        store.role_by_email.clear()
        for table in store.tables.values():
            table.clear()
        for place, (parent, live) in enumerate(structure.subsidiaries):
            self._put(
                "subsidiary",
                1 + place,
                name=f"Subsidiary {place}",
                parent=_key(1, parent, len(structure.subsidiaries)),
                isinactive="TF"[live],
            )
        for place, person in enumerate((Person(), *structure.people)):
            self._person(place, person)
        for place, customer in enumerate(structure.customers):
            self._put(
                "customer",
                101 + place,
                entityid=f"CUST{place}",
                companyname=f"Customer {place}",
                creditlimit=Decimal("100.00"),
                salesrep=self._employee(customer.employee),
                subsidiary=self._subsidiary(customer),
                isinactive="F",
            )
        for place, contact in enumerate(structure.contacts):
            self._put(
                "contact",
                201 + place,
                entityid=f"Contact {place}",
                company=_key(101, contact.parent, len(structure.customers)),
                subsidiary=self._subsidiary(contact),
                isinactive="F",
            )
        for place, invoice in enumerate(structure.invoices):
            self._put(
                "transaction",
                301 + place,
                type="CustInvc",
                tranid=f"INV{place}",
                entity=_key(101, invoice.parent, len(structure.customers)),
                employee=self._employee(invoice.employee),
                subsidiary=self._subsidiary(invoice),
                **self._segments(invoice),
            )
        (custom,) = [record for record in store.records.values() if record.custom]
        for place in range(structure.contracts):
            row = {"id": 401 + place, "name": f"Contract {place}", "isinactive": "F"}
            store.tables[custom.table][401 + place] = {**row, "lastmodified": self.stamp}
        store.version += 1

    def _role(self, key: int, role: Role) -> Any:
        held = {**dict(role.permissions), **_roles_module._ENTRY}
        count = len(self.structure.subsidiaries)
        return _roles_module.Role(
            key,
            f"Role {key}",
            held,
            role.option,
            frozenset(1 + each % count for each in role.selected),
            frozenset({("customer", "creditlimit")} if role.lacks_credit_limit else ()),
            views_subsidiaries=role.views_subsidiaries,
            employees=role.employees,
            views_employees=role.views_employees,
            segments=role.segments,
        )

    def _put(self, table: str, key: int, **values: Any) -> None:
        self.store.tables[table][key] = {"id": key, "lastmodifieddate": self.stamp, **values}

    def _employee(self, place: int | None) -> int | None:
        return _key(11, place, 1 + len(self.structure.people))

    def _subsidiary(self, placed: Placed) -> int | None:
        return _key(1, placed.subsidiary, len(self.structure.subsidiaries))

    def _segments(self, placed: Placed) -> dict[str, int | None]:
        return {
            segment.lower(): _key(1, place, len(tree))
            for segment, place, tree in zip(
                SEGMENTS, placed.segments, self.structure.trees, strict=True
            )
        }

    def _person(self, place: int, person: Person) -> None:
        email = self.structure.emails[place]
        key = 11 + place
        # Who stands above somebody came before them, so that nobody supervises themselves.
        above = None if person.supervisor is None or not place else 11 + person.supervisor % place
        self.store.employee_of[email] = key
        roles: Sequence[int] = [1010 + at for at in range(len(self.structure.roles))]
        role = _roles_module.ADMINISTRATOR if place == 0 else roles[person.role % len(roles)]
        self.store.role_by_email[email] = role
        self._put(
            "employee",
            key,
            entityid=email,
            firstname="Person",
            lastname=str(place),
            email=email,
            supervisor=above,
            subsidiary=self._subsidiary(person.placed),
            giveaccess="FT"[person.login],
            issalesrep="F",
            isinactive="FT"[not person.active],
            **self._segments(person.placed),
        )


def _key(first: int, place: int | None, count: int) -> int | None:
    return None if place is None else first + place % count


@cache
def _company() -> Company:
    return company("acme", scale=0.01, now=NOW)


def sandbox_of(structure: Structure) -> Any:
    """Return a sandbox that serves the structure's account."""
    options = SandboxOptions(seed=1, now=NOW, limits=False, switches={"segments": True})
    sandbox = load_sandbox_module("netsuite").create(_company(), options)
    return reseeded(sandbox, structure)


def reseeded(sandbox: Any, structure: Structure) -> Any:
    """Let a sandbox serve another structure's account; to make one anew takes long, for its key."""
    _Loading(structure, sandbox.store).load()
    sandbox.integration_email = ADMIN
    return sandbox
