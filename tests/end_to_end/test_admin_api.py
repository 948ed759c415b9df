"""The admin API in front of a real provider: the demo's CRM, connected through its own sign-in."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
import pytest_asyncio
from tests.end_to_end.conftest import PROJECT
from tests.web.project import made_key, serving_app

from firnline.app import App, opened
from firnline.sandbox.protocol import Sandbox, SandboxOptions
from firnline.sandbox.seed import company
from firnline.sandbox.server import running
from firnline.sandbox.signin import connect
from firnline.settings import Settings

pytestmark = pytest.mark.asyncio(loop_scope="module")
CRM = "/admin/v1/tenants/acme/connections/salesforce"
SCOPES = ("connections:read", "connections:write", "connect-links:write")


@dataclass(frozen=True)
class World:
    """The served project, and the CRM behind it."""

    app: App
    http: httpx2.AsyncClient
    sandbox: Sandbox

    async def ask(self, method: str, path: str, **more: Any) -> httpx2.Response:
        return await self.http.request(method, path, **more)

    async def events(self, after: int = 0) -> list[dict[str, Any]]:
        answer = await self.ask("GET", f"/admin/v1/connection-events?after={after}")
        found: list[dict[str, Any]] = answer.json()["events"]
        return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    now = datetime.now(UTC).replace(microsecond=0)
    told = company("acme", scale=0.01, now=now)
    options = SandboxOptions(seed=7, now=now, limits=False)
    async with running([told], providers=["salesforce"], options=options) as fleet:
        home = tmp_path_factory.mktemp("home")
        settings = Settings(_env_file=None, home=home, routes=fleet.routes, duckdb_threads=1)
        async with opened(PROJECT, settings) as app, serving_app(app, settings) as http:
            sandbox = fleet.sandbox("salesforce", "acme")
            http.headers["authorization"] = f"Bearer {await made_key(app, SCOPES)}"
            yield World(app, http, sandbox)


async def connected(world: World) -> None:
    email = world.sandbox.integration_email
    spec = world.app.tenant("acme")
    await connect(
        world.app.connections, spec, "salesforce", client=world.sandbox.client, email=email
    )


def code(answer: httpx2.Response) -> str:
    (error,) = answer.json()["errors"]
    found: str = error["extensions"]["code"]
    return found


async def test_connection_is_tested_renewed_ended_and_connected_again(world: World) -> None:
    not_yet = await world.ask("POST", f"{CRM}/test")
    assert (not_yet.status_code, code(not_yet)) == (409, "not_connected")
    await connected(world)

    tested = await world.ask("POST", f"{CRM}/test")
    assert tested.status_code == 200, tested.text
    shown = (await world.ask("GET", CRM)).json()
    assert shown["state"] == "active"
    for fact in ("account", "account_name", "user_name"):
        assert tested.json()[fact] == shown[fact] != ""

    held = await world.app.connections.channel("acme", world.app.tenant("acme"), "salesforce")
    before = (await held._credential.token()).get_secret_value()
    renewed = await world.ask("POST", f"{CRM}/refresh")
    assert renewed.status_code == 200, renewed.text
    assert renewed.json()["state"] == "active"

    ended = await world.ask("POST", f"{CRM}/revoke", json={"reason": "contract over"})
    assert ended.json()["state"] == "revoked"
    assert "contract over" in ended.json()["reason"]
    refused = await world.ask("POST", f"{CRM}/test")
    assert (refused.status_code, code(refused)) == (409, "connection_revoked")

    await connected(world)
    assert (await world.ask("POST", f"{CRM}/test")).status_code == 200
    states = [(each["before"], each["state"]) for each in await world.events()]
    assert states[0] == (None, "active")
    assert ("active", "revoked") in states and states[-1] == ("revoked", "active")
    whole = json.dumps(await world.events()) + tested.text + renewed.text + ended.text
    assert before not in whole


async def test_connection_that_the_provider_ended_is_told_with_its_event(world: World) -> None:
    await connected(world)
    after = (await world.events())[-1]["number"]
    cast(Any, world.sandbox).revoke(world.sandbox.integration_email)

    lost = await world.ask("POST", f"{CRM}/test")

    assert (lost.status_code, code(lost)) == (409, "needs_reconnect")
    assert (await world.ask("GET", CRM)).json()["state"] == "needs_reconnect"
    (event,) = await world.events(after)
    assert (event["before"], event["state"]) == ("active", "needs_reconnect")
    assert event["reason"]


async def test_link_from_the_api_opens_the_connect_page(world: World) -> None:
    made = await world.ask(
        "POST", "/admin/v1/tenants/acme/connect-links", json={"connections": ["salesforce"]}
    )
    assert made.status_code == 201
    path = made.json()["url"].removeprefix(world.app.settings.public_url)
    page = await world.http.get(path, headers={"accept": "text/html"}, follow_redirects=False)
    assert page.status_code in (200, 303)
    assert Path(path.partition("?")[0]).name == "acme"
