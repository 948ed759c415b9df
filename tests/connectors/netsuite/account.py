"""A NetSuite account on loopback for tests, and a driver that sends what the connector builds."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx2
import uvicorn
from starlette.types import ASGIApp

from firnline.catalog.model import Catalog, ObjectInfo
from firnline.connectors.protocol import Page, ReadQuery, Request, Response, Steps, T
from firnline.connectors.registry import load_connector, load_sandbox_module
from firnline.sandbox.protocol import SandboxOptions
from firnline.sandbox.seed import company
from firnline.sandbox.world import Company

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
CONNECTOR = load_connector("netsuite")


def world(tenant: str, *, scale: float = 0.02) -> Company:
    """Return a seeded company with every kind of restriction among its people.

    The first three sales people get two subsidiaries, none, and no active employee.
    """
    seeded = company(tenant, scale=scale, now=NOW)
    sales = [person for person in seeded.people if person.erp == "subsidiary_sales"]
    changed = {
        sales[0].email: replace(sales[0], subsidiaries=seeded.subsidiaries[:2]),
        sales[1].email: replace(sales[1], subsidiaries=()),
        sales[2].email: replace(sales[2], active=False),
    }
    people = tuple(changed.get(person.email, person) for person in seeded.people)
    return replace(seeded, people=people)


def sandbox_of(built: Company, *, clock: Any = None, **options: Any) -> Any:
    """Return a sandbox; keyword arguments are SandboxOptions."""
    module = load_sandbox_module("netsuite")
    return module.create(built, SandboxOptions(seed=7, now=NOW, **options), clock=clock)


@asynccontextmanager
async def serve(app: ASGIApp) -> AsyncIterator[httpx2.AsyncClient]:
    """Serve `app` on loopback and give a client bound to it."""
    # Named as TCP, so that asyncio turns off Nagle: otherwise each answer waits 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="critical", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.005)
    origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        async with httpx2.AsyncClient(base_url=origin, trust_env=False) as http:
            yield http
    finally:
        # The server's own loop looks at should_exit ten times a second only.
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        server.force_exit = True
        await server.shutdown(sockets=[listener])


class Driver:
    """Plays the engine's part: sends requests with one person's token."""

    def __init__(self, http: httpx2.AsyncClient, sandbox: Any, email: str = "") -> None:
        self.http = http
        self.sandbox = sandbox
        self.token = sandbox.token_for(email or sandbox.integration_email)

    async def send(self, request: Request) -> Response:
        answer = await self.http.request(
            request.method,
            request.path,
            params=dict(request.params),
            headers={**request.headers, "Authorization": f"Bearer {self.token}"},
            json=request.json,
        )
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Response(answer.status_code, headers, answer.content)

    async def run(self, steps: Steps[T]) -> T:
        try:
            requests = next(steps)
            while True:
                requests = steps.send([await self.send(request) for request in requests])
        except StopIteration as finished:
            return finished.value

    async def discover(self) -> Catalog:
        return await self.run(CONNECTOR.discover(self.sandbox.settings))

    async def pages(
        self, described: ObjectInfo, *, since: str | None = None, page_size: int = 1000
    ) -> list[Page]:
        found: list[Page] = []
        page: str | None = None
        while True:
            query = query_of(described, since=since, page=page, page_size=page_size)
            response = await self.send(CONNECTOR.build_read(query))
            assert response.status == 200, response.text()
            found.append(CONNECTOR.parse_page(query, response))
            page = found[-1].next_page
            if page is None:
                return found

    async def records(self, described: ObjectInfo, **options: Any) -> list[Mapping[str, Any]]:
        return [one for page in await self.pages(described, **options) for one in page.records]

    async def deleted(self, described: ObjectInfo, *, since: str | None, page_size: int = 1000):
        keys: list[str] = []
        page: str | None = None
        while True:
            query = query_of(described, since=since, page=page, page_size=page_size)
            request = CONNECTOR.build_deletes(query)
            assert request is not None
            response = await self.send(request)
            assert response.status == 200, response.text()
            answer = CONNECTOR.parse_deletes(query, response)
            keys += answer.deleted
            page = answer.next_page
            if page is None:
                return keys


def query_of(
    described: ObjectInfo,
    *,
    since: str | None = None,
    page: str | None = None,
    page_size: int = 1000,
) -> ReadQuery:
    """Return a query for every field of the object."""
    fields = tuple(field.name for field in described.fields)
    return ReadQuery(described, fields, since, page, page_size, NOW)
