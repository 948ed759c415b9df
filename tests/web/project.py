"""A whole project served over HTTP: real state, real caches and real keys, no systems behind it.

Import the fixtures `connectors` and `filled` where it is served.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr
from tests.graph.conftest import connectors
from tests.graph.world import PROJECT, World, seeded

from firnline.access.api_keys import KeyText, draw_key
from firnline.access.signing import DevelopmentSigner
from firnline.app import App, opened
from firnline.clock import SystemClock
from firnline.connections.renewals import seal_tokens
from firnline.connections.site import declared_site
from firnline.connections.token_set import TokenSet
from firnline.settings import Settings
from firnline.state import ConnectionRow
from firnline.state.api_keys import ApiKeyRow
from firnline.web.project import project_web
from firnline.web.server import address_of, create_server, open_socket

__all__ = ["ServedProject", "connectors", "filled", "made_key", "serving_app", "serving_project"]


@pytest.fixture(scope="module")
def filled(connectors: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a home with the data of two tenants, acme and beta."""
    home = tmp_path_factory.mktemp("home")
    world = World.open(home)
    for tenant in ("acme", "beta"):
        world.fill(seeded(), tenant)
    world.close()
    return home


@dataclass(frozen=True)
class ServedProject:
    """What a test needs of it."""

    app: App
    http: httpx2.AsyncClient
    signer: DevelopmentSigner

    async def key(
        self,
        *scopes: str,
        tenant: str = "acme",
        person: str = "",
        agent: str = "",
        lifetime: timedelta | None = None,
    ) -> str:
        """Make an API key and return its text."""
        return await made_key(
            self.app, scopes, tenant=tenant, person=person, agent=agent, lifetime=lifetime
        )

    async def ask(self, method: str, path: str, token: str = "", **more: Any) -> httpx2.Response:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        headers |= more.pop("headers", {})
        return await self.http.request(method, path, headers=headers, **more)

    async def connect(self, tenant: str, name: str, **changes: Any) -> ConnectionRow:
        """Store a connection as if somebody had connected it."""
        site = declared_site(self.app.tenant(tenant), name).of(changes.get("person", ""))
        tokens = TokenSet(
            SecretStr("canary-access-token"), None, issued_at=self.app.clock.now(), expires_at=None
        )
        row = ConnectionRow(
            tenant=tenant,
            name=name,
            provider=site.connector.provider,
            settings=dict(site.settings),
            token_ciphertext=await seal_tokens(self.app.connections._vault, site, tokens),
            state="active",
            updated_at=self.app.clock.now(),
            account=f"{tenant}-account",
            account_name=f"{tenant} Inc",
            user_name="Integration",
        )
        return await self.app.state.save_connection(replace(row, **changes))


async def made_key(
    app: App,
    scopes: Sequence[str],
    *,
    tenant: str = "acme",
    person: str = "",
    agent: str = "",
    lifetime: timedelta | None = None,
) -> str:
    """Make an API key and return its text."""
    key_id, text = draw_key()
    now = app.clock.now()
    row = ApiKeyRow(
        tenant=tenant,
        key_id=key_id,
        name=f"test-{key_id}",
        scopes=tuple(sorted(scopes)),
        created_at=now,
        digest=KeyText.of(text).digest,
        person=person,
        agent=agent,
        expires_at=None if lifetime is None else now + lifetime,
    )
    await app.state.api_keys.save(row)
    return text


@asynccontextmanager
async def serving_app(app: App, settings: Settings) -> AsyncIterator[httpx2.AsyncClient]:
    """Serve an opened project on a loopback port; yield a client for it."""
    async with project_web(app, settings) as web:
        listening = open_socket("127.0.0.1", 0)
        server = create_server(web, log_level="critical")
        running = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            async with httpx2.AsyncClient(base_url=address_of(listening), timeout=30) as http:
                yield http
        finally:
            server.should_exit = True
            await running
            listening.close()


@asynccontextmanager
async def serving_project(home: Path, **changes: Any) -> AsyncIterator[ServedProject]:
    """Serve the world's project; tokens of its development key count as those of an issuer."""
    clock = SystemClock()
    settings = Settings(_env_file=None, home=home, duckdb_threads=1, **changes)
    signer = DevelopmentSigner.from_settings(settings, clock=clock)
    settings = settings.model_copy(update={"jwt_keys": signer.public_keys})
    async with opened(PROJECT, settings) as app, serving_app(app, settings) as http:
        yield ServedProject(app, http, signer)
