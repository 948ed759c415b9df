"""A tiny engine for tests: sends a connector's requests over HTTP and keeps what it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx2

from firnline.catalog.model import Catalog, ObjectInfo
from firnline.connectors.protocol import Connector, ReadQuery, Request, Response, Steps

T = TypeVar("T")
PAGES_MAX = 2000


class Engine:
    """One connection: a connector, a sandbox's address and a token."""

    def __init__(self, connector: Connector, http: httpx2.AsyncClient, token: str) -> None:
        self.connector = connector
        self._http = http
        self._token = token

    async def send(self, request: Request) -> Response:
        answer = await self._http.request(
            request.method,
            request.path,
            params=dict(request.params) or None,
            json=request.json,
            headers={**request.headers, "Authorization": f"Bearer {self._token}"},
        )
        headers = {key.lower(): value for key, value in answer.headers.items()}
        return Response(answer.status_code, headers, answer.content)

    async def converse(self, steps: Steps[T]) -> T:
        try:
            asked = next(steps)
            while True:
                asked = steps.send([await self.send(request) for request in asked])
        except StopIteration as ended:
            result: T = ended.value
            return result

    async def discover(self) -> Catalog:
        return await self.converse(self.connector.discover({"subdomain": "acme"}))

    async def read(
        self,
        described: ObjectInfo,
        *,
        since: str | None = None,
        page_size: int = 1000,
        now: datetime | None = None,
    ) -> Reading:
        reading = Reading(checkpoint=since)
        page: str | None = None
        for _ in range(PAGES_MAX):
            query = ReadQuery(
                object=described,
                fields=tuple(described.by_name),
                since=since,
                page=page,
                page_size=page_size,
                now=now or datetime.now(UTC),
            )
            response = await self.send(self.connector.build_read(query))
            assert not self.connector.refused(response), response.text()
            read = self.connector.parse_page(query, response)
            reading.add(read.records, read.deleted)
            reading.checkpoint = read.checkpoint or reading.checkpoint
            page = read.next_page
            if page is None:
                return reading
        raise AssertionError("the read never ended")


@dataclass
class Reading:
    """What one run gave, in order."""

    records: list[Mapping[str, Any]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    pages: int = 0
    checkpoint: str | None = None

    def add(self, records: Sequence[Mapping[str, Any]], deleted: Sequence[str]) -> None:
        self.records += records
        self.deleted += deleted
        self.pages += 1

    @property
    def keys(self) -> list[str]:
        return [record["id"] for record in self.records]

    @property
    def by_key(self) -> dict[str, Mapping[str, Any]]:
        return {record["id"]: record for record in self.records}


@dataclass
class Cached:
    """Permission records as the cache would give them."""

    tables: Mapping[str, Mapping[str, Mapping[str, Any]]]

    def knows(self, object_name: str) -> bool:
        return object_name in self.tables

    def rows(self, object_name: str, **equals: str) -> Sequence[Mapping[str, Any]]:
        found = self.tables.get(object_name, {}).values()
        return [
            row
            for row in found
            if all(row[name] is not None and str(row[name]) == equals[name] for name in equals)
        ]


async def read_everything(
    engine: Engine, catalog: Catalog
) -> dict[str, dict[str, Mapping[str, Any]]]:
    """Return every record of every object, as one full sync would cache them."""
    return {described.name: (await engine.read(described)).by_key for described in catalog.objects}
