"""One account of a provider, synced by the real engine into a cache and asked in GraphQL.

Takes a sandbox, in process; tests compare `answers` with what the sandbox itself shows a person.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Self, TypeVar, cast

import httpx2
import orjson
from tests.end_to_end.test_oracle import answered

from firnline.access.principal import Principal
from firnline.cache.database import TenantDatabase
from firnline.catalog.model import Catalog
from firnline.clock import FixedClock
from firnline.connectors.protocol import Connector, Request, Response, Steps
from firnline.connectors.registry import load_connector
from firnline.graph.answer import Question
from firnline.graph.cursor import CursorSeal
from firnline.graph.memory.tables import ResidentTables
from firnline.graph.names import graphql_name
from firnline.graph.respond import Responder
from firnline.graph.shape import GraphObject
from firnline.graph.tenants import TenantGraphs
from firnline.sandbox.protocol import ChangeableSandbox
from firnline.spec.load import load_project
from firnline.spec.model import Project, SyncSpec
from firnline.sync.run import Source, sync_tenant

T = TypeVar("T")
CONNECTION = "mirrored"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
READERS = ("resident", "duckdb")
# (object, key) -> field -> value, fields without a value left out
Sight = dict[tuple[str, str], dict[str, Any]]


@cache
def _project() -> Project:
    return load_project(Path(__file__).parent / "project")


@dataclass
class _Front:
    """One address behind which accounts of a provider can change places."""

    sandbox: ChangeableSandbox

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.sandbox.app(scope, receive, send)


@dataclass
class _Channel:
    """Sends a connector's requests to the sandbox, as its integration user."""

    connector: Connector
    front: _Front
    http: httpx2.AsyncClient

    async def send(self, request: Request) -> Response:
        sandbox = self.front.sandbox
        token = sandbox.token_for(sandbox.integration_email)
        headers = {
            **self.connector.manifest.headers,
            **request.headers,
            "Authorization": f"Bearer {token}",
        }
        answer = await self.http.request(
            request.method,
            httpx2.URL(request.path).copy_merge_params(dict(request.params)),
            json=request.json,
            data=None if request.form is None else dict(request.form),
            headers=headers,
        )
        lower = {name.lower(): value for name, value in answer.headers.items()}
        return Response(answer.status_code, lower, answer.content)

    async def run(self, steps: Steps[T]) -> T:
        asked = next(steps)
        while True:
            try:
                asked = steps.send([await self.send(request) for request in asked])
            except StopIteration as ended:
                return cast(T, ended.value)


@dataclass
class _Catalogs:
    """What discovery found, kept in memory."""

    found: Catalog
    version: int = 1

    def replace(self, found: Catalog) -> None:
        """Keep what a later discovery found."""
        if found.fingerprint != self.found.fingerprint:
            self.found, self.version = found, self.version + 1

    async def catalog_fingerprints(self, tenant: str) -> Mapping[str, str]:
        return {CONNECTION: self.found.fingerprint}

    async def catalog(self, tenant: str, connection: str) -> tuple[int, Catalog] | None:
        return self.version, self.found

    async def operation(self, tenant: str, operation_id: str) -> None:
        return None


@dataclass
class Mirror:
    """A synced account."""

    front: _Front
    http: httpx2.AsyncClient
    channel: _Channel
    catalogs: _Catalogs
    database: TenantDatabase
    responders: Mapping[str, Responder]
    graphs: TenantGraphs
    clock: FixedClock

    @property
    def sandbox(self) -> ChangeableSandbox:
        """Return the account."""
        return self.front.sandbox

    @classmethod
    @asynccontextmanager
    async def of(cls, sandbox: ChangeableSandbox, *, kept_bytes: int = 0) -> AsyncIterator[Self]:
        """Discover and sync the sandbox's account."""
        connector = load_connector(sandbox.provider)
        front = _Front(sandbox)
        transport = httpx2.ASGITransport(app=front)
        with tempfile.TemporaryDirectory() as home:
            async with httpx2.AsyncClient(transport=transport, base_url=sandbox.base_url) as http:
                channel = _Channel(connector, front, http)
                catalog = await channel.run(connector.discover(sandbox.settings))
                path = Path(home) / "cache.duckdb"
                database = TenantDatabase.open(path, threads=1, memory="300MB")
                try:
                    mirror = cls._ready(front, http, channel, catalog, database, kept_bytes)
                    await mirror.sync()
                    yield mirror
                finally:
                    database.close()

    @classmethod
    def _ready(
        cls,
        front: _Front,
        http: httpx2.AsyncClient,
        channel: _Channel,
        catalog: Catalog,
        database: TenantDatabase,
        kept_bytes: int,
    ) -> Self:
        async def opened(tenant: str) -> TenantDatabase:
            return database

        catalogs = _Catalogs(catalog)
        clock = FixedClock(NOW)
        graphs = TenantGraphs(_project(), catalogs=cast(Any, catalogs), clock=clock)
        responders = {
            name: Responder(
                graphs,
                databases=opened,
                operations=cast(Any, catalogs),
                seal=CursorSeal(b"k" * 32),
                clock=clock,
                resident=ResidentTables(64 * 1024 * 1024) if name == "resident" else None,
                kept_bytes=kept_bytes,
            )
            for name in READERS
        }
        return cls(front, http, channel, catalogs, database, responders, graphs, clock)

    async def sync(self, *, full: bool = False) -> None:
        """Bring the cache up to date."""
        source = Source(CONNECTION, self.channel.connector, self.channel, self.catalogs.found)
        report = await sync_tenant(
            self.sandbox.provider,
            SyncSpec(),
            sources=[source],
            database=self.database,
            clock=self.clock,
            full=full,
        )
        assert report.ok, report

    async def ask(
        self, email: str, query: str, *, reader: str = "resident", **variables: Any
    ) -> dict[str, Any]:
        """Return the whole response to one question."""
        principal = Principal(tenant=self.sandbox.provider, email=email)
        answer = await self.responders[reader].answer(
            principal, Question(query, None, variables, None)
        )
        return cast(dict[str, Any], orjson.loads(answer.body()))

    async def objects(self) -> Mapping[str, GraphObject]:
        """Return the objects of the provider's own face, by the provider's names."""
        graph = await self.graphs.graph(self.sandbox.provider)
        found = {
            each.source.name: each
            for each in graph.objects.values()
            if each.namespace == CONNECTION
        }
        assert found, "a comparison of nothing proves nothing"
        return found

    async def sight(self, email: str, reader: str) -> Sight:
        """Return every record and value that a person is answered."""
        sight: Sight = {}
        objects = await self.objects()
        lists = " ".join(
            f"{found.list_name}(first: 200) {{ totalCount aggregate {{ count }}"
            f" nodes {{ {' '.join(found.fields)} }} }}"
            for found in objects.values()
        )
        response = await self.ask(email, f"{{ {CONNECTION} {{ {lists} }} }}", reader=reader)
        assert "errors" not in response, response["errors"]
        for name, found in objects.items():
            page = response["data"][CONNECTION][found.list_name]
            by_graphql_name = {graphql_name(each.name): each.name for each in found.source.fields}
            for node in page["nodes"]:
                sight[name, node[found.key]] = {
                    by_graphql_name[field]: value
                    for field, value in node.items()
                    if value is not None
                }
            seen = sum(1 for owner, _ in sight if owner == name)
            assert page["totalCount"] == page["aggregate"]["count"] == seen, name
        return sight

    async def shown(self, email: str) -> Sight:
        """Return what the provider itself shows a person, in the form of answers."""
        objects = await self.objects()
        theirs: Mapping[str, Any] = {}
        if email in self.sandbox.emails():
            theirs = await self.sandbox.read_as(self.http, email)
        return {
            (name, key): {field: value for field, value in row.items() if value is not None}
            for name, found in objects.items()
            for key, row in answered(found.source, theirs.get(name, {}))
        }


@dataclass
class Tally:
    """What comparisons looked at. A decision is one person's sight of one record that exists."""

    structures: int = 0
    pairs: int = 0  # of a person and an object
    decisions: int = 0
    shown: int = 0  # decisions by which the record is seen
    fields: int = 0
    withheld: int = 0  # values that exist, in records that are seen, and are not shown

    def count(self, everything: Sight, shown: Sight, objects: int) -> None:
        """Add one person; `everything` is what the administrator sees."""
        self.pairs += objects
        self.decisions += len(everything)
        self.shown += len(shown)
        self.fields += sum(len(row) for row in shown.values())
        self.withheld += sum(
            len(everything[key].keys() - row.keys())
            for key, row in shown.items()
            if key in everything
        )

    def __str__(self) -> str:
        return (
            f"{self.structures} structures, {self.pairs} pairs of person and object,"
            f" {self.decisions} records decided ({self.shown} shown),"
            f" {self.fields} values compared, {self.withheld} withheld"
        )


async def differences(
    mirror: Mirror, emails: Sequence[str], *, tally: Tally | None = None
) -> list[str]:
    """Say where answers and the provider differ, over every person, record and field.

    The first of `emails` is the administrator.
    """
    found: list[str] = []
    objects = await mirror.objects()
    everything: Sight = {}
    for email in emails:
        shown = await mirror.shown(email)
        everything = everything or shown
        if tally is not None:
            tally.count(everything, shown, len(objects))
        for reader in READERS:
            ours = await mirror.sight(email, reader)
            found += _compared(f"{email} ({reader})", ours, shown)
    return sorted(found)


def _compared(place: str, ours: Sight, shown: Sight) -> Iterator[str]:
    yield from (f"{place} is answered {key} too much" for key in ours.keys() - shown.keys())
    yield from (f"{place} misses {key}" for key in shown.keys() - ours.keys())
    for key in ours.keys() & shown.keys():
        fields = ours[key].keys() | shown[key].keys()
        wrong = [one for one in fields if ours[key].get(one) != shown[key].get(one)]
        if wrong:
            yield f"{place}: {key} differs in {sorted(wrong)}"
