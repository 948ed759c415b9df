"""A client that leaves, or waits too long, stops the statement that DuckDB runs for it."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from tests.end_to_end.conftest import Synced
from tests.end_to_end.test_http import Served, served

from firnline.cache.database import Snapshot
from firnline.cache.opening import QueryInterruptedError
from firnline.sandbox.seed import DEMO_PEOPLE

__all__ = ["served"]  # the fixture
pytestmark = pytest.mark.asyncio(loop_scope="session")

ENDLESS = "SELECT max(hash(i)) FROM range(100000000000) t(i)"
PATIENCE_S = 10
# Text patterns: columns in memory cannot answer them, so DuckDB is asked.
QUESTION = """{ accounts(where: {deals: {some: {name: {contains: "a"}}}}) { totalCount }
  deals(where: {account: {name: {isNull: false}}}) { totalCount } }"""


async def test_departure_of_the_client_interrupts_the_running_statement(
    synced: Synced, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch, loop = Snapshot.fetch, asyncio.get_running_loop()
    started, stopped = asyncio.Event(), asyncio.Event()

    def endless(snapshot: Snapshot, _sql: str, _parameters: Any = ()) -> Any:
        loop.call_soon_threadsafe(started.set)
        try:
            return fetch(snapshot, ENDLESS)
        except QueryInterruptedError:
            loop.call_soon_threadsafe(stopped.set)
            raise

    email = DEMO_PEOPLE["acme"]["rep"]
    token = served.signer.issue_token("acme", email, 60)
    headers = {"authorization": f"Bearer {token}"}
    with monkeypatch.context() as patched:
        patched.setattr(Snapshot, "fetch", endless)
        async with httpx2.AsyncClient(base_url=served.http.base_url, headers=headers) as leaving:
            asking = asyncio.create_task(leaving.post("/graphql", json={"query": QUESTION}))
            await asyncio.wait_for(started.wait(), PATIENCE_S)
            assert not stopped.is_set()
            asking.cancel()
            await asyncio.wait([asking])
        await asyncio.wait_for(stopped.wait(), PATIENCE_S)

    answer = await served.ask("acme", email, query=QUESTION)
    assert answer.json()["data"]["accounts"]["totalCount"]
