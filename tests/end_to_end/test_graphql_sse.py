"""npm's graphql-sse, the protocol's own client, is served: answers, changes, errors, the end."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.end_to_end.node import installed
from tests.end_to_end.subscribing import ACCOUNTS, PATIENCE_S, REP, Changing, changing_world

pytestmark = pytest.mark.asyncio(loop_scope="session")

CLIENT = Path(__file__).parent / "graphql_sse"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Changing]:
    async with changing_world(tmp_path_factory.mktemp("home")) as changing:
        yield changing


class Listening:
    """The client in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def told(self) -> Any:
        """Return what the client is told next."""
        assert self._process.stdout
        return json.loads(await asyncio.wait_for(self._process.stdout.readline(), PATIENCE_S))

    async def leave(self) -> None:
        """Unsubscribe, and wait for the end."""
        assert self._process.stdin
        self._process.stdin.close()
        await asyncio.wait_for(self._process.wait(), PATIENCE_S)


@asynccontextmanager
async def listening(world: Changing, text: str) -> AsyncIterator[Listening]:
    packages = await asyncio.to_thread(installed, CLIENT)
    settings = {
        "ENDPOINT": str(world.http.base_url.join("/graphql")),
        "TOKEN": world.headers(REP)["authorization"].removeprefix("Bearer "),
        "TEXT": text,
    }
    process = await asyncio.create_subprocess_exec(
        *("node", "listen.mjs"),
        cwd=packages,
        env={**os.environ, **settings},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    client = Listening(process)
    try:
        yield client
    finally:
        await client.leave()


async def test_client_receives_the_answer_and_each_change_until_it_leaves(
    world: Changing,
) -> None:
    async with listening(world, ACCOUNTS) as client:
        first = (await client.told())["next"]
        plain = await world.ask(query=ACCOUNTS.replace("subscription", "query"))
        assert first["data"] == plain.json()["data"]
        key = first["data"]["accounts"]["nodes"][0]["id"]
        world.sandboxes["acme"].change("Account", key, Name="Told to a real client")
        await world.sync("acme", "Account")
        second = (await client.told())["next"]["data"]["accounts"]["nodes"]
        assert [node["name"] for node in second if node["id"] == key] == ["Told to a real client"]
        assert await world.open_streams() == 1
    await world.all_left()


async def test_client_is_told_errors_as_answers_and_then_the_end(world: Changing) -> None:
    async with listening(world, "subscription { nothing }") as client:
        (error,) = (await client.told())["next"]["errors"]
        assert error["extensions"]["code"] == "operation_refused"
        assert await client.told() == {"complete": True}


async def test_client_may_send_queries_as_well(world: Changing) -> None:
    async with listening(world, "{ accounts { totalCount } }") as client:
        assert (await client.told())["next"]["data"]["accounts"]["totalCount"]
        assert await client.told() == {"complete": True}
