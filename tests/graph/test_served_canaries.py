"""Two tenants in one served process, under load: nothing of one reaches the other, by any door.

Each tenant's canaries stand in its values and in the names of its own fields and operations, with
marks that break out of careless texts. Answers and their heads, refusals, parts, explanations,
pages, figures, the audit, log lines, the state and the caches are searched for the other's.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.graph.served import Served, serving
from tests.graph.test_canaries import CANARY_FIELDS
from tests.graph.world import ACCOUNTS, CRM, DESK, PEOPLE, Row, Rows, World, seeded

from firnline.catalog.model import Catalog, FieldInfo

TENANTS = ("acme", "beta")
OTHER = {"acme": "beta", "beta": "acme"}
EMAILS = sorted(PEOPLE)
ROUNDS = 2
PARTS = "multipart/mixed"


def value_of(tenant: str) -> str:
    """Return what stands in each text that the tenant stores."""
    return f"cv{tenant}secret"


def name_of(tenant: str) -> str:
    """Return what stands in the names that only this tenant has."""
    return f"cn{tenant}own"


def catalogs_of(tenant: str, *, names: bool) -> dict[str, Catalog]:
    """Return the catalogs, with a field of the tenant's own where `names`."""
    if not names:
        return {"crm": CRM, "desk": DESK}
    own = FieldInfo(
        name=f"{name_of(tenant)}__c",
        type="string",
        label=f"{name_of(tenant)} \"<b>'{{}}",
        description=f"</script>{name_of(tenant)}\n%s",
        custom=True,
    )
    accounts = ACCOUNTS.model_copy(update={"fields": (*ACCOUNTS.fields, own)})
    others = tuple(each for each in CRM.objects if each.name != "accounts")
    return {"crm": Catalog(provider="alpine", objects=(accounts, *others)), "desk": DESK}


def rows_of(tenant: str, *, names: bool) -> Rows:
    """Return the same rows for every tenant, but for its canary in each text."""
    canary = value_of(tenant)

    def marked(name: str, row: Row) -> Row:
        texts = {each: f"{canary} \"'<i>{{{row[each]}}}\n" for each in CANARY_FIELDS.get(name, ())}
        if names and name == "accounts":
            texts[f"{name_of(tenant)}__c"] = canary
        return {**row, **texts}

    return {
        (connection, name): [marked(name, row) for row in rows]
        for (connection, name), rows in seeded().items()
    }


@pytest.fixture(params=[False, True], ids=["one-shape", "own-names"])
def names(request: pytest.FixtureRequest) -> bool:
    """Say whether the tenants have fields of their own: without, they share schema and plans."""
    return bool(request.param)


@pytest.fixture
def home(connectors: None, tmp_path: Path, names: bool) -> Iterator[Path]:
    """Give a home with both tenants' data."""
    world = World.open(tmp_path)
    for tenant in TENANTS:
        catalogs = catalogs_of(tenant, names=names)
        for connection, catalog in catalogs.items():
            world.discovered(tenant, connection, catalog)
        world.write(rows_of(tenant, names=names), tenant=tenant, catalogs=catalogs)
    world.close()
    yield tmp_path


@dataclass
class Load:
    """Asks for both tenants at once, and keeps everything that each was told."""

    served: Served
    names: bool
    draw: random.Random = field(default_factory=lambda: random.Random(3))
    said: dict[str, list[bytes]] = field(default_factory=lambda: {each: [] for each in TENANTS})
    codes: dict[str, int] = field(default_factory=dict)
    published: dict[str, str] = field(default_factory=dict)
    cursors: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def keep(self, tenant: str, answer: httpx2.Response) -> httpx2.Response:
        """Keep what a tenant was told, its head included."""
        head = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
        self.said[tenant].append(head.encode() + b"\n\n" + answer.content)
        self.codes[str(answer.status_code)] = self.codes.get(str(answer.status_code), 0) + 1
        return answer

    async def ask(self, tenant: str, email: str, body: dict[str, Any], **more: Any) -> Any:
        return self.keep(tenant, await self.served.post(tenant, email, body, **more))

    async def prepare(self) -> None:
        """Publish an operation per tenant, and take a cursor and a tag of each."""
        for tenant in TENANTS:
            text = (
                f"query {name_of(tenant)} {{ accounts(first: 3)"
                " { nodes { id name } pageInfo { endCursor } } }"
            )
            row = await self.served.app.publish(tenant, text)
            self.published[tenant] = row.operation_id
            answer = await self.served.get(tenant, "all@x.test", row.operation_id)
            self.tags[tenant] = self.keep(tenant, answer).headers["etag"]
            page = answer.json()["data"]["accounts"]
            self.cursors[tenant] = page["pageInfo"]["endCursor"]

    def doors(self, tenant: str) -> list[Callable[[str], Awaitable[Any]]]:
        """Return one question for each way that leads to data, to be asked as some person."""
        value, name, other = value_of(tenant), name_of(tenant), OTHER[tenant]
        by_title = (
            "query D($t: String!) { deals(where: {title: {startsWith: $t}}, first: 5)"
            " { totalCount nodes { id title account { name } } } }"
        )
        by_groups = "{ deals { groupBy(by: [{title: VALUE}]) { key { title } } } }"
        texts: list[tuple[str, dict[str, Any]]] = [
            ("{ accounts(first: 50) { nodes { id name region deals { nodes { title } } } } }", {}),
            (by_title, {"t": value}),
            ("{ deals { aggregate { count min { title } max { title } } } }", {}),
            (by_groups, {}),
            ("query S($t: String!) { _search(text: $t) { coordinate example } }", {"t": value}),
            ("query S($t: String!) { _search(text: $t) { coordinate example } }", {"t": name}),
            ('{ _values(coordinate: "Account.region") { value label } }', {}),
            ('{ _access(object: "Account", id: "a1") { __typename } }', {}),
            ("{ _service { sdl } _gateway { tenant } }", {}),
            ("{ __schema { types { name fields { name description } } } }", {}),
            (f'{{ deals(where: {{title: {{eq: "{value}"}}}}) {{ nodes {{ nosuch }} }} }}', {}),
            (f"{{ {value} {name} }}", {}),
            (f'{{ deals(after: "{self.cursors[other]}") {{ nodes {{ id title }} }} }}', {}),
            (
                "query E($r: [_Any!]!) { _entities(representations: $r)"
                " { ... on Account { id name } } }",
                {"r": [{"__typename": "Account", "id": "a1"}]},
            ),
        ]
        doors: list[Callable[[str], Awaitable[Any]]] = [
            lambda email, text=text, variables=variables: self.ask(  # type: ignore[misc]
                tenant, email, {"query": text, "variables": variables}
            )
            for text, variables in texts
        ]
        explained = {"query": texts[0][0], "extensions": {"explain": True}}
        parts = "{ deals { totalCount } ... @defer { accounts(first: 20) { nodes { id name } } } }"
        cookies = f"firnline={name}"
        return [
            *doors,
            lambda email: self.ask(tenant, email, explained),
            lambda email: self.ask(tenant, email, {"query": parts}, accept=PARTS),
            lambda email: self.ask(tenant, email, {"documentId": self.published[tenant]}),
            lambda email: self.ask(tenant, email, {"documentId": self.published[other]}),
            lambda email: self.by_tag(tenant, email, self.tags[tenant]),
            lambda email: self.by_tag(tenant, email, self.tags[other]),
            lambda email: self.ask(tenant, email, {"query": f'{{ "{value}' * 40}),
            lambda _email: self.refused(tenant, cookies),
        ]

    async def by_tag(self, tenant: str, email: str, tag: str) -> None:
        """Ask with the tag of an answer that somebody was given."""
        operation_id = self.published[tenant]
        answer = await self.served.get(tenant, email, operation_id, known=tag)
        self.keep(tenant, answer)
        if tag == self.tags[OTHER[tenant]]:
            assert answer.status_code == 200, "another tenant's tag stands for nothing here"

    async def refused(self, tenant: str, cookies: str) -> None:
        """Ask with a token that nobody signed."""
        headers = {"authorization": f"Bearer {value_of(tenant)}", "cookie": cookies}
        answer = await self.served.http.post("/graphql", json={"query": "{a}"}, headers=headers)
        assert self.keep(tenant, answer).status_code == 401

    async def run(self) -> None:
        """Ask everything of both tenants, in a random order, thirty at once."""
        asks = [
            (door, self.draw.choice(EMAILS))
            for _ in range(ROUNDS)
            for tenant in TENANTS
            for door in self.doors(tenant)
        ]
        # Whoever sees everything is asked for each, too: kept answers are theirs.
        asks += [(door, "all@x.test") for tenant in TENANTS for door in self.doors(tenant)]
        self.draw.shuffle(asks)
        for start in range(0, len(asks), 30):
            await asyncio.gather(*(door(email) for door, email in asks[start : start + 30]))

    async def look(self) -> None:
        """Open each tenant's pages, signed in."""
        for tenant in TENANTS:
            async with httpx2.AsyncClient(base_url=self.served.http.base_url) as browser:
                form = {"tenant": tenant, "email": "all@x.test"}
                for answer in (
                    await browser.get("/signin", params={"tenant": tenant}),
                    await browser.post("/signin", data=form),
                    await browser.get(f"/graphiql/{tenant}"),
                ):
                    self.keep(tenant, answer)


async def test_nothing_of_a_tenant_leaves_by_another_tenants_doors(
    home: Path, names: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(home) as served:
        load = Load(served, names)
        await load.prepare()
        await load.run()
        await load.look()
        figures = (await served.http.get("/metrics")).text
        audit = {tenant: await _exported(served, tenant) for tenant in TENANTS}

    assert load.codes["200"] > 80 and load.codes["401"] and load.codes["304"], load.codes
    for tenant in TENANTS:
        said = b"\n".join(load.said[tenant])
        assert said.count(value_of(tenant).encode()) > 100, "a search of nothing proves nothing"
        assert names is (f"{name_of(tenant)}__c".encode() in said)
        _hold_nothing_of(OTHER[tenant], said.decode("utf-8", "replace"))
        assert audit[tenant].count("all@x.test") > 10
        assert value_of(tenant) not in audit[tenant], "the audit holds no values"
        _hold_nothing_of(OTHER[tenant], audit[tenant])
        assert value_of(tenant) not in caplog.text, "stored values do not belong in logs"
        assert value_of(tenant) not in figures
        for line in (*figures.splitlines(), *caplog.text.splitlines()):
            assert name_of(tenant) not in line or OTHER[tenant] not in line, line
    _check_caches(home)
    _check_state(home / "state.db")


def _hold_nothing_of(tenant: str, text: str) -> None:
    for canary in (value_of(tenant), name_of(tenant)):
        at = text.find(canary)
        assert at < 0, text[max(at - 300, 0) : at + 100]


async def _exported(served: Served, tenant: str) -> str:
    entries = served.app.auditing.chain.entries(tenant)
    return "\n".join([f"{row.person} {row.content}" async for row in entries])


def _check_caches(home: Path) -> None:
    files = [path for path in (home / "cache").rglob("*") if path.is_file()]
    for tenant in TENANTS:
        own = [path for path in files if path.name.startswith(tenant)]
        assert any(value_of(tenant).encode() in path.read_bytes() for path in own)
        for path in files:
            if path not in own:
                held = path.read_bytes()
                assert value_of(tenant).encode() not in held, path.name
                assert name_of(tenant).encode() not in held, path.name


def _check_state(path: Path) -> None:
    """Every row of the state that holds a tenant's canary is that tenant's."""
    seen: set[str] = set()
    with closing(sqlite3.connect(path)) as state:
        state.row_factory = sqlite3.Row
        tables = state.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (table,) in tables.fetchall():
            for row in state.execute(f'SELECT * FROM "{table}"'):
                held = repr(tuple(row))
                for tenant in TENANTS:
                    assert value_of(tenant) not in held, f"{table} holds values of {tenant}"
                    if name_of(tenant) in held:
                        seen.add(tenant)
                        assert row["tenant"] == tenant, table
                        assert name_of(OTHER[tenant]) not in held, table
    assert seen == set(TENANTS), "their operations, at least, are known by name"
