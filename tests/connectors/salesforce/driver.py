"""Drives the Salesforce connector over real HTTP, without the engine: sends what it describes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from httpx2 import AsyncClient

from firnline.catalog.model import Catalog, ObjectInfo
from firnline.connectors.protocol import Connector, ReadQuery, Request, Response, Steps, T

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class Rows:
    """Cached permission rows, from what was read."""

    def __init__(self, tables: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
        self._tables = tables

    def knows(self, object_name: str) -> bool:
        return object_name in self._tables

    def rows(self, object_name: str, **equals: str) -> Sequence[Mapping[str, Any]]:
        found = self._tables.get(object_name, {}).values()
        return [row for row in found if all(row[key] == value for key, value in equals.items())]


@dataclass
class Reading:
    """What a run of reads gave."""

    records: list[Mapping[str, Any]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    checkpoint: str | None = None
    pages: int = 0


@dataclass
class Driver:
    connector: Connector
    http: AsyncClient
    token: str
    settings: Mapping[str, str]

    async def send(self, request: Request) -> Response:
        answer = await self.http.request(
            request.method,
            request.path,
            params=dict(request.params) or None,
            headers={**request.headers, "Authorization": f"Bearer {self.token}"},
        )
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Response(answer.status_code, headers, answer.content)

    async def converse(self, steps: Steps[T]) -> T:
        responses: Sequence[Response] | None = None
        while True:
            try:
                requests = steps.send(responses) if responses is not None else next(steps)
            except StopIteration as stop:
                return stop.value
            responses = [await self.send(request) for request in requests]

    async def discover(self) -> Catalog:
        return await self.converse(self.connector.discover(self.settings))

    async def read(
        self, found: ObjectInfo, *, since: str | None = None, page_size: int = 2000
    ) -> Reading:
        reading = Reading(checkpoint=since)
        page: str | None = None
        while True:
            names = tuple(each.name for each in found.fields)
            query = ReadQuery(found, names, since, page, page_size, NOW)
            response = await self.send(self.connector.build_read(query))
            assert response.status == 200, response.content
            parsed = self.connector.parse_page(query, response)
            reading.records += parsed.records
            reading.deleted += parsed.deleted
            reading.checkpoint = parsed.checkpoint
            reading.pages += 1
            page = parsed.next_page
            if page is None:
                return reading

    async def tables(self, catalog: Catalog) -> dict[str, dict[str, Mapping[str, Any]]]:
        return {
            found.name: {row[found.key]: row for row in (await self.read(found)).records}
            for found in catalog.objects
        }
