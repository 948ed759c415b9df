"""The served project answers behind Hive Gateway, beside a second subgraph that extends deals.

The subgraphs are composed by @apollo/composition; the gateway passes the person's token on.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.end_to_end.conftest import Synced
from tests.end_to_end.node import installed
from tests.end_to_end.subscribing import EVENTS, Events, changing_world
from tests.end_to_end.test_http import Served, served

from firnline.sandbox.seed import DEMO_PEOPLE

__all__ = ["served"]  # the fixture
pytestmark = pytest.mark.asyncio(loop_scope="session")

GATEWAY = Path(__file__).parent / "hive_gateway"
STARTING_MAX_S = 60
REP = DEMO_PEOPLE["acme"]["rep"]
FIELDS = "id name stage amount closeDate account { name }"


@asynccontextmanager
async def gateway(
    served: Served, deals: list[str], home: Path
) -> AsyncIterator[httpx2.AsyncClient]:
    """Run the gateway over what the sales representative may read."""
    packages = await asyncio.to_thread(installed, GATEWAY)
    described = await served.ask("acme", REP, query="{ _service { sdl } }")
    sdl = home / "firnline.graphql"
    sdl.write_text(described.json()["data"]["_service"]["sdl"], "utf-8")
    settings = {
        "FIRNLINE_URL": str(served.http.base_url.join("/graphql")),
        "FIRNLINE_SDL": str(sdl),
        "DEALS": " ".join(deals),
    }
    process = await asyncio.create_subprocess_exec(
        *("node", "gateway.mjs"),
        cwd=packages,
        env={**os.environ, **settings},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin
    assert process.stdout
    try:
        line = await asyncio.wait_for(process.stdout.readline(), STARTING_MAX_S)
        async with httpx2.AsyncClient(base_url=json.loads(line)["address"], timeout=30) as http:
            yield http
    finally:
        process.stdin.close()
        await asyncio.wait_for(process.wait(), timeout=10)


async def test_operation_crosses_subgraphs_both_ways_behind_the_gateway(
    synced: Synced, served: Served, tmp_path: Path
) -> None:
    listed = await served.ask(
        "acme", REP, query=f"{{ deals(first: 5) {{ nodes {{ {FIELDS} }} }} }}"
    )
    direct = listed.json()["data"]["deals"]["nodes"]
    assert len(direct) == 5
    keys = [deal["id"] for deal in direct]
    async with gateway(served, [*keys, "nowhere"], tmp_path) as http:

        async def ask(query: str, **headers: str) -> dict[str, Any]:
            answer = await http.post("/graphql", json={"query": query}, headers=headers)
            return dict(answer.json())

        token = {"authorization": f"Bearer {served.signer.issue_token('acme', REP, 60)}"}
        forecast = await ask(f"{{ forecasts {{ note deal {{ risk {FIELDS} }} }} }}", **token)
        own = await ask(
            f"{{ deals(first: 5) {{ totalCount nodes {{ risk {FIELDS} }} }} }}", **token
        )
        batches = (await http.get("/batches")).json()
        refused = await ask("{ forecasts { note deal { name } } }")

    # From the other subgraph into ours, by _entities; what is not there is null.
    risks = [{"risk": f"risk of {deal['id']}"} for deal in direct]
    expected = [risk | deal for risk, deal in zip(risks, direct, strict=True)]
    assert "errors" not in forecast
    found = [each["deal"] for each in forecast["data"]["forecasts"]]
    assert found[:5] == expected
    assert found[5]["name"] is None
    # From ours into the other, the whole page in one request.
    assert "errors" not in own
    assert own["data"]["deals"]["nodes"] == expected
    assert batches == [5]
    # Without the person's token ours answers nothing, and the gateway makes nothing up.
    assert refused["errors"]
    left = (refused["data"] or {}).get("forecasts") or []
    assert not any(each["deal"] and each["deal"]["name"] for each in left)


async def test_live_answers_cross_subgraphs_behind_the_gateway(tmp_path: Path) -> None:
    query = "subscription { deals(first: 3) { nodes { risk account { id name } } } }"
    async with changing_world(tmp_path) as world:
        ours = Served(world.http, world.signer)
        headers = {**world.headers(REP), "accept": EVENTS}
        async with (
            gateway(ours, [], tmp_path) as http,
            http.stream("POST", "/graphql", json={"query": query}, headers=headers) as response,
        ):
            events = Events(response.aiter_lines())
            first = (await events.answer())["data"]["deals"]["nodes"]
            key = next(deal["account"]["id"] for deal in first if deal["account"])
            world.sandboxes["acme"].change("Account", key, Name="Renamed at the source")
            await world.sync("acme", "Account")
            second = (await events.answer())["data"]["deals"]["nodes"]
    assert all(deal["risk"].startswith("risk of ") for deal in (*first, *second))
    names = {deal["account"]["name"] for deal in second if (deal["account"] or {}).get("id") == key}
    assert names == {"Renamed at the source"}
