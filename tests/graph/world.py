"""A tenant's world without HTTP: catalogs, rows written straight into the cache, people's rights.

Takes rows and grants; tests ask GraphQL questions of the real responder.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

import orjson
import pyarrow as pa
from tests.graph.notes import NOTES, PLACE, drawn_notes
from tests.graph.rights import grant

from firnline.access.model import (
    AllOf,
    AnyOf,
    Everything,
    FieldIn,
    FieldIsNull,
    Listed,
    Nothing,
    ObjectAccess,
    RowRule,
    Via,
    ViaChild,
)
from firnline.access.principal import Principal
from firnline.cache.columns import arrow_type
from firnline.cache.database import TenantDatabase
from firnline.catalog.model import (
    Catalog,
    FieldInfo,
    ObjectInfo,
    Reference,
)
from firnline.clock import FixedClock
from firnline.graph.answer import Answer, Question
from firnline.graph.askers import Askers
from firnline.graph.cursor import CursorSeal
from firnline.graph.memory.tables import ResidentTables
from firnline.graph.operations import publish
from firnline.graph.respond import Responder
from firnline.graph.tenants import TenantGraphs
from firnline.settings import Settings
from firnline.spec.load import load_project
from firnline.spec.model import Project
from firnline.state.state import State

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
PROJECT = Path(__file__).parent / "project"
Row = dict[str, Any]
Rows = dict[tuple[str, str], list[Row]]  # (connection, object) -> rows


def fields(**types: Any) -> tuple[FieldInfo, ...]:
    """Return fields by name; a type may come as (type, targets, relation, inverse)."""
    return tuple(_field(name, kind) for name, kind in types.items())


def _field(name: str, kind: Any) -> FieldInfo:
    if isinstance(kind, str):
        return FieldInfo(name=name, type=kind)  # type: ignore[arg-type]
    type_, targets, relation, inverse = kind
    reference = Reference(targets=tuple(targets.split()), relation=relation, inverse=inverse)
    return FieldInfo(name=name, type=type_, reference=reference)


GRANTS = ObjectInfo(
    name="grants",
    key="id",
    exposed=False,
    fields=fields(id="id", email="string", object="string", access="json"),
)
ACCOUNTS = ObjectInfo(
    name="accounts",
    key="id",
    fields=fields(
        id="id",
        name="string",
        nickname="string",
        tier="string",
        region="string",
        revenue="decimal",
        rating="int",
        active="bool",
        created="timestamp",
        founded="date",
        opens="time",
        tags="strings",
        extra="json",
        legacy_no="string",
        parent_id=("id", "accounts", "Parent", "Children"),
        owner_id=("id", "users", "Owner", "Accounts"),
    ),
)
DEALS = ObjectInfo(
    name="deals",
    key="id",
    fields=fields(
        id="id",
        title="string",
        stage="string",
        amount="decimal",
        probability="float",
        quantity="int",
        big="long",
        closes_on="date",
        updated="timestamp",
        secret="string",
        owner_id=("id", "users", "Owner", "Deals"),
        account_id=("id", "accounts", "Account", "Deals"),
    ),
)
USERS = ObjectInfo(
    name="users", key="id", fields=fields(id="id", name="string", team="string", email="string")
)
SHARES = ObjectInfo(
    name="shares",
    key="id",
    exposed=False,
    fields=fields(id="id", record_id="id", user_id="id", level="string"),
)
TICKETS = ObjectInfo(
    name="tickets",
    key="id",
    fields=fields(
        id="id",
        number="long",
        subject="string",
        tags="strings",
        org="string",
        created="timestamp",
        effort="int",
        satisfaction="float",
    ),
)
CRM = Catalog(provider="alpine", objects=(ACCOUNTS, DEALS, USERS, NOTES, SHARES, GRANTS))
DESK = Catalog(provider="basalt", objects=(TICKETS, GRANTS))
CATALOGS = {"crm": CRM, "desk": DESK}

_DENIED = ObjectAccess(reason="the profile gives no access to accounts")
_TEAM = FieldIn("owner_id", frozenset({"u1", "u2"}))
_SHARED = Listed(
    "shares", "record_id", "user_id", frozenset({"u3"}), (("level", frozenset({"read", "all"})),)
)
_OWNED = FieldIn("owner_id", frozenset({"u4"}))


def seen(rows: RowRule | None = None, **hidden: str) -> ObjectAccess:
    """Return a readable object, all rows unless told otherwise."""
    return ObjectAccess(readable=True, reason="", rows=rows or Everything(), hidden=hidden)


# Together they use every kind of rule, hidden links, hidden ends of paths and denied objects.
PEOPLE: Mapping[str, Mapping[str, ObjectAccess]] = {
    "all@x.test": {name: seen() for name in ("accounts", "deals", "users", "tickets", "notes")},
    "rep@x.test": {
        "accounts": seen(_TEAM),
        "deals": seen(AnyOf((_TEAM, Via("account_id", "accounts", _TEAM)))),
        "users": seen(),
        "tickets": seen(FieldIn("effort", frozenset({"1", "2", "3"}))),
        "notes": seen(),
    },
    "shared@x.test": {
        "accounts": seen(AnyOf((_SHARED, FieldIsNull("owner_id")))),
        "deals": seen(Via("account_id", "accounts", AnyOf((_SHARED, FieldIsNull("owner_id"))))),
        "users": seen(FieldIn("team", frozenset({"north"}))),
        "tickets": seen(AllOf((FieldIn("org", frozenset({"L1", "L2", "L3"})), Everything()))),
    },
    "child@x.test": {
        "accounts": seen(ViaChild("deals", "account_id", FieldIn("stage", frozenset({"9"})))),
        "deals": seen(secret="field-level security of profile Support"),
        "users": seen(Nothing()),
        "tickets": seen(satisfaction="agents do not see ratings"),
    },
    "match@x.test": {
        "accounts": seen(
            Listed("deals", "account_id", "stage", frozenset({"1", "new"}), (), "parent_id")
        ),
        "deals": seen(_OWNED),
        "users": seen(name="names are for managers"),
        "tickets": seen(Nothing()),
    },
    "masked@x.test": {
        "accounts": seen(revenue="finance only", tier="finance only", nickname="finance only"),
        "deals": seen(amount="finance only", secret="nobody", updated="nobody"),
        "users": seen(team="nobody"),
        "tickets": seen(tags="nobody"),
        "notes": seen(who_id="nobody", place_street="streets are private"),
    },
    "linkless@x.test": {
        "accounts": seen(legacy_no="internal numbers", parent_id="internal tree"),
        "deals": seen(account_id="the link is internal"),
        "users": seen(),
        "tickets": seen(),
    },
    "denied@x.test": {
        "accounts": _DENIED,
        **{name: seen() for name in ("deals", "users", "tickets", "notes")},
    },
    "crmonly@x.test": {"accounts": seen(), "deals": seen()},
    "notesonly@x.test": {
        "notes": seen(mood="nobody", **dict.fromkeys(PLACE.values(), "nobody")),
    },
    "nobody@x.test": {},
}


def seeded(seed: int = 7) -> Rows:
    """Return plausible rows: nulls, equal stamps, microseconds and awkward text among them."""
    draw = random.Random(seed)
    stamps = [
        NOW.replace(tzinfo=None) - timedelta(days=n % 40, microseconds=n % 5) for n in range(60)
    ]
    words = [
        "Alp",
        "alp",
        "Äther",
        "o'Neil",
        "50%",
        "under_score",
        'quote"d',
        "",
        "日本",
        "a\0b",
        "x;--",
    ]

    def some(choices: Sequence[Any], nulls: float = 0.2) -> Any:
        return None if draw.random() < nulls else draw.choice(choices)

    users = [
        {"id": f"u{n}", "name": some(words), "team": some(["north", "south"]), "email": f"u{n}@x"}
        for n in range(1, 7)
    ]
    owners = [user["id"] for user in users] + ["gone"]
    accounts = [
        {
            "id": f"a{n}",
            "name": some(words),
            "nickname": some(["Nick", "Al"], 0.6),
            "tier": some(["A", "B", "C"]),
            "region": some(["north", "south", "West"]),
            "revenue": some([Decimal(n * 25) / 4 for n in range(-3, 12)]),
            "rating": some(range(1, 6)),
            "active": some([True, False]),
            "created": some(stamps),
            "founded": some([date(2000 + n % 30, 1 + n % 12, 1) for n in range(12)]),
            "opens": None,
            "tags": some([[], ["vip"], ["vip", "Late"], ["a,b", ""]]),
            "extra": some(['{"a":[1,null]}', "[]", '"text"']),
            "legacy_no": some([*(f"L{k}" for k in range(1, 9)), "2", "03"], 0.3),
            "parent_id": some([f"a{k}" for k in range(1, 9)], 0.5),
            "owner_id": some(owners, 0.15),
        }
        for n in range(1, 25)
    ]
    deals = [
        {
            "id": f"d{n:02d}",
            "title": some(words),
            "stage": some(["1", "9", "new", "trash"], 0.1),
            "amount": some([Decimal(k * 5) / 4 for k in range(-2, 20)]),
            "probability": some([k / 4 for k in range(-2, 5)]),
            "quantity": some(range(-2, 9)),
            "big": some([2**53 + 1, -(2**53) - 3, 0, 7, 2**40]),
            "closes_on": some([date(2026, 9 + k % 4, 1 + k) for k in range(20)]),
            "updated": some(stamps[:9]),
            "secret": some(["s1", "s2"]),
            "owner_id": some(owners),
            "account_id": some([row["id"] for row in accounts] + ["gone"], 0.1),
        }
        for n in range(1, 61)
    ]
    shares = [
        {
            "id": f"s{n}",
            "record_id": some([row["id"] for row in accounts], 0.1),
            "user_id": some(["u3", "u1"]),
            "level": some(["read", "all", "none"]),
        }
        for n in range(16)
    ]
    tickets = [
        {
            "id": f"t{n:02d}",
            "number": some([n, 2**53 + n]),
            "subject": some(words),
            "tags": some([["urgent"], ["later"], ["later", "urgent"], [], ["x"]]),
            "org": some([f"L{k}" for k in range(1, 11)], 0.1),
            "created": some(stamps[:7]),
            "effort": some(range(6)),
            "satisfaction": some([0.25, 0.5, 1.0, -1.5]),
        }
        for n in range(1, 46)
    ]
    about = [row["id"] for row in (*accounts[:16], *deals[:9], *users)]
    grants: dict[str, list[Row]] = {"crm": [], "desk": []}
    for email, objects in PEOPLE.items():
        for name, access in objects.items():
            grants["desk" if name == "tickets" else "crm"].append(grant(email, name, access))
    return {
        ("crm", "accounts"): accounts,
        ("crm", "deals"): deals,
        ("crm", "users"): users,
        ("crm", "notes"): drawn_notes(seed, about),
        ("crm", "shares"): shares,
        ("crm", "grants"): grants["crm"],
        ("desk", "tickets"): tickets,
        ("desk", "grants"): grants["desk"],
    }


def arrow(object_: ObjectInfo, rows: Iterable[Row]) -> Any:
    """Return rows as the table that the cache stores."""
    kept = list(rows)
    return pa.table(
        {
            each.name: pa.array([row.get(each.name) for row in kept], arrow_type(each))
            for each in object_.fields
        }
    )


@dataclass(repr=False)
class World:
    """The read path over caches in a directory; ask questions with `ask`."""

    home: Path
    project: Project
    runner: asyncio.Runner = field(default_factory=asyncio.Runner)
    clock: FixedClock = field(default_factory=lambda: FixedClock(NOW))
    databases: dict[str, TenantDatabase] = field(default_factory=dict)

    def __repr__(self) -> str:
        return "World()"

    @classmethod
    def open(cls, home: Path, project: Path = PROJECT) -> Self:
        """Return a world without any data."""
        world = cls(home, load_project(project))
        world.state = world.runner.run(State.open(Settings(home=home)))
        world.renew()
        return world

    # Columns in memory, as in production; None: DuckDB answers everything.
    resident: ResidentTables | None = None

    def renew(self) -> None:
        """Forget what was built so far, as a restart does."""
        self.graphs = TenantGraphs(self.project, catalogs=self.state)
        self.askers = Askers(self.state.askers, clock=self.clock)
        self.responder = Responder(
            self.graphs,
            databases=self._database,
            operations=self.state,
            seal=CursorSeal(b"k" * 32),
            clock=self.clock,
            resident=self.resident,
            askers=self.askers,
        )

    async def _database(self, tenant: str) -> TenantDatabase:
        return self.database(tenant)

    def database(self, tenant: str = "acme") -> TenantDatabase:
        """Return a tenant's cache."""
        if tenant not in self.databases:
            path = self.home / "cache" / f"{tenant}.duckdb"
            self.databases[tenant] = TenantDatabase.open(path, threads=1, memory="500MB")
        return self.databases[tenant]

    def discovered(self, tenant: str, connection: str, catalog: Catalog) -> None:
        """Store a catalog as discovery does."""
        self.runner.run(self.state.save_catalog(tenant, connection, catalog, at=NOW))

    def write(
        self, rows: Rows, *, tenant: str = "acme", catalogs: Mapping[str, Catalog] = CATALOGS
    ) -> None:
        """Replace the named objects' rows."""
        with self.database(tenant).transaction() as transaction:
            for (connection, name), records in rows.items():
                object_ = catalogs[connection].by_name[name]
                transaction.ensure(connection, object_)
                run = str(draw_run())
                transaction.upsert(connection, object_, arrow(object_, records), run=run)
                transaction.sweep(connection, object_, run=run)

    def fill(self, rows: Rows, tenant: str = "acme") -> None:
        """Discover both connections and write rows."""
        for name, catalog in CATALOGS.items():
            self.discovered(tenant, name, catalog)
        self.write(rows, tenant=tenant)

    def answer(
        self,
        query: str | None,
        email: str = "all@x.test",
        variables: Mapping[str, Any] | None = None,
        *,
        tenant: str = "acme",
        operation_name: str | None = None,
        document_id: str | None = None,
    ) -> Answer:
        """Ask one question."""
        principal = Principal(tenant=tenant, email=email, name="")
        question = Question(query, document_id, variables, operation_name)
        return self.runner.run(self.responder.answer(principal, question))

    def ask(self, query: str, email: str = "all@x.test", **more: Any) -> Any:
        """Return the whole response as JSON carries it."""
        return orjson.loads(self.answer(query, email, **more).body())

    def data(self, query: str, email: str = "all@x.test", **more: Any) -> Any:
        """Return the data of an answer without errors."""
        response = self.ask(query, email, **more)
        assert "errors" not in response, response["errors"]
        return response["data"]

    def code(self, query: str, email: str = "all@x.test", **more: Any) -> str:
        """Return the code of the one error of an answer."""
        (error,) = self.ask(query, email, **more)["errors"]
        return str(error["extensions"]["code"])

    def publish(self, text: str, tenant: str = "acme") -> str:
        """Publish an operation and return its id."""

        async def published() -> str:
            schema = self.graphs.schema(await self.graphs.graph(tenant))
            row = await publish(text, tenant=tenant, schema=schema, store=self.state, now=NOW)
            return row.operation_id

        return self.runner.run(published())

    def close(self) -> None:
        """Close everything."""
        for database in self.databases.values():
            database.close()
        self.runner.run(self.state.close())
        self.runner.close()


_RUNS = iter(range(10**9))


def draw_run() -> int:
    """Return the number of the next sync run."""
    return next(_RUNS)
