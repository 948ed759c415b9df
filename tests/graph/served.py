"""The whole HTTP application over caches that a world wrote, on a loopback address.

Takes a home directory with data; tests receive a client that asks with tokens of any person.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import orjson
from tests.graph.world import PROJECT

from firnline.access.principal import TokenVerifier
from firnline.access.signing import DevelopmentSigner
from firnline.app import App, opened
from firnline.clock import SystemClock
from firnline.settings import Settings
from firnline.web.application import create_web
from firnline.web.backend import ProjectGateway
from firnline.web.server import address_of, create_server, open_socket


@dataclass(frozen=True)
class Served:
    """A served project, and who may sign tokens for it."""

    app: App
    http: httpx2.AsyncClient
    signer: DevelopmentSigner

    def head(self, tenant: str, email: str, **more: str) -> dict[str, str]:
        """Return the headers of a request of that person."""
        token = self.signer.issue_token(tenant, email, 300)
        return {"authorization": f"Bearer {token}", **more}

    async def post(
        self,
        tenant: str,
        email: str,
        body: Mapping[str, Any],
        *,
        accept: str = "application/json",
    ) -> httpx2.Response:
        """Ask by POST."""
        headers = self.head(tenant, email, accept=accept)
        return await self.http.post("/graphql", json=dict(body), headers=headers)

    async def get(
        self, tenant: str, email: str, operation_id: str, *, known: str = "", **variables: Any
    ) -> httpx2.Response:
        """Ask for a published operation by GET; `known` is the tag of an answer at hand."""
        parameters = {"documentId": operation_id}
        if variables:
            parameters["variables"] = orjson.dumps(variables).decode()
        more = {"if-none-match": known} if known else {}
        headers = self.head(tenant, email, accept="application/json", **more)
        return await self.http.get("/graphql", params=parameters, headers=headers)


@asynccontextmanager
async def serving(home: Path, project: Path = PROJECT) -> AsyncIterator[Served]:
    """Serve the caches and the state in `home`, in development."""
    listening = open_socket("127.0.0.1", 0, development=True)
    address = address_of(listening)
    settings = Settings(home=home, development=True, duckdb_threads=1, public_url=address)
    clock = SystemClock()
    async with opened(project, settings) as app:
        verifier = TokenVerifier.from_settings(settings, clock=clock)
        web = create_web(
            gateway=ProjectGateway(app), verifier=verifier, settings=settings, clock=clock
        )
        server = create_server(web)
        running = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            async with httpx2.AsyncClient(base_url=address, timeout=60) as http:
                signer = DevelopmentSigner.from_settings(settings, clock=clock)
                yield Served(app, http, signer)
        finally:
            server.should_exit = True
            await running
