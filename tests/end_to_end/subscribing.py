"""Streams of a served project for tests, over HTTP, and a world whose sandboxes may be changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import orjson
import uvicorn
from tests.end_to_end.conftest import NOW, PROJECT, TENANTS, connect_all

from firnline.access.principal import TokenVerifier
from firnline.access.signing import DevelopmentSigner
from firnline.app import App, opened
from firnline.clock import SystemClock
from firnline.sandbox.protocol import SandboxOptions
from firnline.sandbox.seed import DEMO_PEOPLE, company
from firnline.sandbox.server import running
from firnline.settings import Settings
from firnline.web.application import create_web
from firnline.web.backend import ProjectGateway
from firnline.web.server import address_of, create_server, open_socket

REP = DEMO_PEOPLE["acme"]["rep"]
PATIENCE_S = 30
LIFETIME_S = 300  # of tokens
QUIET_S = 1.5  # several times the least pause between two answers
EVENTS = "text/event-stream"
ACCOUNTS = "subscription Accounts { accounts(first: 50) { totalCount nodes { id name } } }"


@dataclass
class Events:
    """The events of one stream, as they arrive."""

    lines: AsyncIterator[str]
    _coming: asyncio.Task[tuple[str, Any]] | None = None

    async def next(self) -> tuple[str, Any]:
        """Return the kind and the content of the next event."""
        coming, self._coming = self._coming or asyncio.ensure_future(self._read()), None
        return await asyncio.wait_for(coming, PATIENCE_S)

    async def answer(self) -> Any:
        """Return the next answer."""
        kind, content = await self.next()
        assert kind == "next"
        return content

    async def end(self) -> list[Any]:
        """Return the answers until the stream is complete."""
        answers = []
        while (event := await self.next())[0] == "next":
            answers.append(event[1])
        assert event == ("complete", None)
        assert [line async for line in self.lines] == []
        return answers

    async def silence(self, seconds: float = QUIET_S) -> None:
        """Fail if an event arrives within the time."""
        self._coming = self._coming or asyncio.ensure_future(self._read())
        done, _ = await asyncio.wait({self._coming}, timeout=seconds)
        assert not done, self._coming.result()

    def forget(self) -> None:
        """Wait for nothing more."""
        if self._coming is not None:
            self._coming.cancel()

    async def _read(self) -> tuple[str, Any]:
        kind, content = "", ""
        async for line in self.lines:
            if line.startswith("event:"):
                kind = line.removeprefix("event:").strip()
            elif line.startswith("data:"):
                content = line.removeprefix("data:").strip()
            elif not line and kind:
                return kind, orjson.loads(content) if content else None
        raise AssertionError("the stream ended without an event")


@dataclass(frozen=True)
class Changing:
    """A served project over sandboxes that a test may change."""

    app: App
    http: httpx2.AsyncClient
    signer: DevelopmentSigner
    sandboxes: dict[str, Any] = field(default_factory=dict)  # Salesforce's, by tenant

    def org(self, tenant: str = "acme") -> Any:
        """Return the tenant's org at the provider."""
        return self.sandboxes[tenant].org

    async def sync(self, tenant: str = "acme", *objects: str) -> None:
        """Bring what changed at the provider into the cache."""
        assert (await self.app.sync(tenant, ["salesforce"], only=objects)).ok

    async def open_streams(self) -> int:
        """Return how many subscriptions the server holds open."""
        figures = (await self.http.get("/metrics")).text
        return int(figures.split("\nfirnline_subscriptions_open ")[1])

    async def all_left(self) -> None:
        """Wait until the server knows that nobody listens any more."""
        async with asyncio.timeout(PATIENCE_S):
            while await self.open_streams():  # noqa: ASYNC110 - it learns a moment later
                await asyncio.sleep(0.01)
        assert not len((await self.app.database("acme")).commits)

    def headers(self, email: str, tenant: str = "acme", **claims: Any) -> dict[str, str]:
        """Return what a client sends along."""
        token = self.signer.issue_token(tenant, email, LIFETIME_S, more=claims)
        return {"authorization": f"Bearer {token}"}

    async def ask(self, email: str = REP, *, tenant: str = "acme", **body: Any) -> httpx2.Response:
        """Ask one question."""
        return await self.http.post("/graphql", json=body, headers=self.headers(email, tenant))

    @asynccontextmanager
    async def subscribed(
        self, email: str = REP, *, tenant: str = "acme", claims: Any = None, **body: Any
    ) -> AsyncIterator[Events]:
        """Open a subscription."""
        headers = {**self.headers(email, tenant, **(claims or {})), "accept": EVENTS}
        body = body or {"query": ACCOUNTS}
        async with self.http.stream("POST", "/graphql", json=body, headers=headers) as response:
            assert response.status_code == 200, await response.aread()
            assert response.headers["content-type"] == f"{EVENTS}; charset=utf-8"
            events = Events(response.aiter_lines())
            try:
                yield events
            finally:
                events.forget()


@asynccontextmanager
async def changing_world(home: Path, **settings: Any) -> AsyncIterator[Changing]:
    """Serve a synced project over its own sandboxes."""
    worlds = [company(tenant, scale=0.01, now=NOW) for tenant in TENANTS]
    options = SandboxOptions(seed=7, now=NOW, limits=False)
    async with running(worlds, options=options) as fleet:
        chosen = Settings(
            home=home, routes=fleet.routes, duckdb_threads=1, development=True, **settings
        )
        async with opened(PROJECT, chosen) as app:
            for tenant in TENANTS:
                await connect_all(app, fleet, tenant)
            reports = await asyncio.gather(*(app.sync(tenant) for tenant in TENANTS))
            assert all(report.ok for report in reports), reports
            sandboxes = {tenant: fleet.server("salesforce", tenant).sandbox for tenant in TENANTS}
            async with serving(app) as (http, signer, _):
                yield Changing(app, http, signer, sandboxes)


class _Ahead(SystemClock):
    def __init__(self, seconds: float) -> None:
        self._ahead = timedelta(seconds=seconds)

    def now(self) -> datetime:
        return super().now() + self._ahead


@asynccontextmanager
async def serving(
    app: App, *, ahead_s: float = 0.0
) -> AsyncIterator[tuple[httpx2.AsyncClient, DevelopmentSigner, uvicorn.Server]]:
    """Serve an opened project on a loopback port; tokens are checked by a clock that is ahead."""
    clock = SystemClock()
    verifier = TokenVerifier.from_settings(app.settings, clock=_Ahead(ahead_s))
    web = create_web(
        gateway=ProjectGateway(app), verifier=verifier, settings=app.settings, clock=clock
    )
    listening = open_socket("127.0.0.1", 0, development=True)
    server = create_server(web)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        async with httpx2.AsyncClient(base_url=address_of(listening), timeout=PATIENCE_S) as http:
            yield http, DevelopmentSigner.from_settings(app.settings, clock=clock), server
    finally:
        server.should_exit = True
        await serving
