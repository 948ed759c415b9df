"""The least engine that can drive any connector: one account, one token, pages kept in lists."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import httpx2

from firnline.catalog.model import Catalog, ObjectInfo
from firnline.connectors.protocol import (
    Connector,
    Page,
    ReadQuery,
    Request,
    Response,
    Steps,
)
from firnline.connectors.registry import load_connector
from firnline.sandbox.protocol import ChangeableSandbox
from firnline.sandbox.server import SandboxServer
from firnline.sandbox.world import Company
from firnline.sync.normalize import normalize
from firnline.transport.routes import Routes

T = TypeVar("T")
PAGES_MAX = 5_000

Row = Mapping[str, Any]


@dataclass
class Reading:
    """What one run over an object gave, in order."""

    records: list[Row] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    page_tokens: list[str] = field(default_factory=list)
    pages: int = 0
    checkpoint: str | None = None

    def add(self, page: Page) -> None:
        self.records += page.records
        self.deleted += page.deleted
        self.pages += 1
        self.checkpoint = page.checkpoint or self.checkpoint
        if page.next_page is not None:
            self.page_tokens.append(page.next_page)


def keys(records: Sequence[Row], described: ObjectInfo) -> list[str]:
    """Return the keys of records, as text."""
    return [str(record[described.key]) for record in records]


def typed(records: Sequence[Row], described: ObjectInfo) -> dict[str, Row]:
    """Return the records by key as the cache would hold them; every value fits its type."""
    page = normalize(records, described)
    assert not page.quarantined, page.quarantined[:5]
    return {str(row[described.key]): row for row in page.rows.to_pylist()}


@dataclass
class Account:
    """One tenant's account at one provider, seen with the integration user's token."""

    server: SandboxServer
    world: Company
    connector: Connector
    http: httpx2.AsyncClient
    now: datetime

    @classmethod
    @asynccontextmanager
    async def connected(cls, server: SandboxServer, world: Company) -> AsyncIterator[Account]:
        async with httpx2.AsyncClient(base_url=server.url, trust_env=False) as http:
            account = cls(server, world, load_connector(server.provider), http, world.now)
            account.pass_time()
            yield account

    @property
    def sandbox(self) -> ChangeableSandbox:
        return cast(ChangeableSandbox, self.server.sandbox)

    def pass_time(self, seconds: float = 180) -> None:
        """Let time pass, so that what a provider holds back for a while comes out."""
        # Only sandboxes of providers that hold back their latest changes have it.
        advance = getattr(self.sandbox, "advance", None)
        if advance is not None:
            advance(seconds)
        self.now += timedelta(seconds=seconds)

    @property
    def settings(self) -> Mapping[str, str]:
        return self.sandbox.settings

    async def send(self, request: Request, *, token: str | None = None) -> Response:
        """Send as the transport does: vendor host named, loopback address called."""
        routes = Routes(dict.fromkeys(self.server.origins, self.server.url))
        url = request.path
        if urlsplit(url).netloc:
            target = routes.target(url)
            assert target is not None, f"{url} leaves the connection's origin"
            url = target
        token = token or self.sandbox.token_for(self.sandbox.integration_email)
        answer = await self.http.request(
            request.method,
            httpx2.URL(url).copy_merge_params(dict(request.params)),
            json=request.json,
            data=None if request.form is None else dict(request.form),
            headers={
                **self.connector.manifest.headers,
                **request.headers,
                "Authorization": f"Bearer {token}",
                "Host": urlsplit(self.sandbox.base_url).netloc,
                "X-Forwarded-Proto": "https",
            },
        )
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Response(answer.status_code, headers, answer.content)

    async def converse(self, steps: Steps[T]) -> T:
        """Drive a conversation to its end."""
        try:
            asked = next(steps)
            while True:
                asked = steps.send([await self.send(request) for request in asked])
        except StopIteration as ended:
            return cast(T, ended.value)

    async def discover(self) -> Catalog:
        return await self.converse(self.connector.discover(self.settings))

    async def read(
        self, described: ObjectInfo, *, since: str | None = None, page_size: int | None = None
    ) -> Reading:
        """Read an object to its end."""
        query = self.query(described, since=since, page_size=page_size)
        reading = Reading()
        for _ in range(PAGES_MAX):
            response = await self.send(self.connector.build_read(query))
            assert not self.connector.refused(response), response.text()
            page = self.connector.parse_page(query, response)
            reading.add(page)
            if page.next_page is None:
                return reading
            query = replace(query, page=page.next_page)
        raise AssertionError(f"{described.name}: no end after {PAGES_MAX} pages")

    async def read_deletes(self, described: ObjectInfo, *, since: str | None) -> list[str]:
        """Return the keys that the connector's list of deleted records names."""
        query = self.query(described, since=since)
        deleted: list[str] = []
        for _ in range(PAGES_MAX):
            request = self.connector.build_deletes(query)
            if request is None:
                return deleted
            response = await self.send(request)
            assert not self.connector.refused(response), response.text()
            page = self.connector.parse_deletes(query, response)
            deleted += page.deleted
            if page.next_page is None:
                return deleted
            query = replace(query, page=page.next_page)
        raise AssertionError(f"deletes of {described.name}: no end after {PAGES_MAX} pages")

    def query(
        self, described: ObjectInfo, *, since: str | None = None, page_size: int | None = None
    ) -> ReadQuery:
        return ReadQuery(
            object=described,
            fields=tuple(found.name for found in described.fields),
            since=since,
            page=None,
            page_size=page_size or self.connector.manifest.limits.page_size,
            now=self.now,
        )


@dataclass
class Cached:
    """Permission records as the cache gives them."""

    tables: Mapping[str, Mapping[str, Row]]

    def knows(self, object_name: str) -> bool:
        return object_name in self.tables

    def rows(self, object_name: str, **equals: str) -> Sequence[Row]:
        found = self.tables.get(object_name, {}).values()
        return [
            row
            for row in found
            if all(
                row[name] is not None and str(row[name]) == text for name, text in equals.items()
            )
        ]


async def read_everything(account: Account, catalog: Catalog) -> dict[str, dict[str, Row]]:
    """Return every record of every object, typed, as a first sync would cache them."""
    tables = {}
    for described in catalog.objects:
        if described.supports.query:
            tables[described.name] = typed((await account.read(described)).records, described)
    return tables
