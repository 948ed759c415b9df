"""A request that is repeated is answered without being read again, and counts like any other.

The response cache gives the same bytes for as long as nothing that made them has changed: data,
rights, the published text, and who asks.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import orjson
import pytest
from tests.end_to_end.conftest import Synced
from tests.end_to_end.test_http import Served, served

from firnline.access.principal import Principal
from firnline.graph.answer import Answer, Question
from firnline.graph.documents import PUBLISHED_AGE_S
from firnline.sandbox.seed import DEMO_PEOPLE

__all__ = ["served"]  # the fixture
pytestmark = pytest.mark.asyncio(loop_scope="session")

REP, MANAGER = DEMO_PEOPLE["acme"]["rep"], DEMO_PEOPLE["acme"]["manager"]
JSON = "application/json"
GRAPHQL = "application/graphql-response+json"


class Client:
    """One person with one token, over one connection."""

    def __init__(self, served: Served, email: str = REP) -> None:
        self.http = served.http
        self.token = served.signer.issue_token("acme", email, 60)

    async def post(self, query: str, accept: str = JSON, **more: Any) -> httpx2.Response:
        headers = {"authorization": f"Bearer {self.token}", "accept": accept}
        return await self.http.post("/graphql", json={"query": query, **more}, headers=headers)

    async def get(self, document_id: str, **headers: str) -> httpx2.Response:
        known = {"authorization": f"Bearer {self.token}", **headers}
        return await self.http.get("/graphql", params={"documentId": document_id}, headers=known)

    async def until_kept(self, query: str) -> httpx2.Response:
        """Ask until memory has what answers it, and the answer is kept."""
        for _ in range(50):
            answer = await self.post(query)
            if answer.json()["extensions"].get("cache") == "hit":
                return answer
            await asyncio.sleep(0.02)
        raise AssertionError("the answer was never kept")


@pytest.fixture
def read(synced: Synced, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Give the questions that reach the responder: those whose requests were read."""
    seen: list[str] = []
    answer = synced.app.responder.answer

    async def counted(principal: Principal, question: Question) -> Answer:
        seen.append(question.query or "")
        return await answer(principal, question)

    monkeypatch.setattr(synced.app.responder, "answer", counted)
    yield seen


def asked(name: str) -> str:
    """Return a document of its own for each test."""
    return f"query {name} {{ accounts(first: 3) {{ nodes {{ id name }} }} }}"


async def test_repeated_request_has_the_same_bytes_and_is_not_read(
    served: Served, read: list[str]
) -> None:
    client, query = Client(served), asked("Same")
    kept = await client.until_kept(query)
    known = len(read)
    again = [await client.post(query) for _ in range(5)]

    assert {answer.content for answer in again} == {kept.content}
    assert {tuple(answer.headers.multi_items()) for answer in again} == {
        tuple(kept.headers.multi_items())
    }
    assert len(read) == known


async def test_another_person_token_form_or_variable_is_another_request(
    served: Served, read: list[str]
) -> None:
    client, query = Client(served), asked("Own")
    await client.until_kept(query)
    for ask in (
        lambda: Client(served, MANAGER).post(query),
        lambda: client.post(query, variables={"unused": 1}),
        lambda: client.post(query, accept=GRAPHQL),
        lambda: client.post(query + " "),
    ):
        known = len(read)
        answer = await ask()
        assert answer.status_code == 200
        assert len(read) == known + 1
    assert answer.headers["content-type"].startswith(JSON)


async def test_commit_ends_the_repeating_at_once(
    synced: Synced, served: Served, read: list[str]
) -> None:
    client, query = Client(served), asked("Commit")
    await client.until_kept(query)
    database = await synced.app.database("acme")
    with database.transaction():
        pass
    known = len(read)
    await client.post(query)
    assert len(read) == known + 1


async def test_repeated_requests_are_counted_and_put_on_record(
    synced: Synced, served: Served, read: list[str]
) -> None:
    client, query = Client(served), asked("Counted")
    first = await client.until_kept(query)
    times = 40
    before = await calls(served)
    known = len(read)
    for _ in range(times):
        await client.post(query)
    assert len(read) <= known + 2  # what a tenant has is looked up anew every second
    assert await calls(served) - before == times
    await asyncio.sleep(0.6)
    recorded = [
        entry
        async for entry in synced.app.auditing.chain.entries("acme")
        if entry.person == REP and '"response_cache"' in entry.content
    ]
    told = [orjson.loads(entry.content) for entry in recorded]
    size = len(orjson.dumps(first.json()["data"]))
    mine = [each for each in told if each["bytes"] == each["times"] * size]
    assert sum(each["times"] for each in mine) >= times
    assert {tuple(each["reads"]["Account"]) for each in mine} == {("id", "name")}


async def calls(served: Served) -> int:
    """Return how many answers came from the response cache."""
    text = (await served.http.get("/metrics")).text
    counted = re.findall(r'operation_answered_total\{.*source="response_cache".*\} ([\d.]+)', text)
    return int(sum(map(float, counted)))


async def test_retired_operation_is_not_repeated_for_longer_than_it_is_looked_up(
    synced: Synced, served: Served
) -> None:
    client = Client(served)
    row = await synced.app.publish("acme", asked("Retired"))
    answer = await client.get(row.operation_id)
    for _ in range(50):
        answer = await client.get(row.operation_id)
        if answer.json()["extensions"].get("cache") == "hit":
            break
        await asyncio.sleep(0.02)
    again = await client.get(row.operation_id)
    unchanged = await client.get(row.operation_id, **{"if-none-match": again.headers["etag"]})
    assert again.headers["etag"] == answer.headers["etag"]
    assert (unchanged.status_code, unchanged.content) == (304, b"")

    at = synced.app.clock.now()
    await synced.app.state.retire_operation("acme", row.operation_id, at=at)
    await asyncio.sleep(2 * PUBLISHED_AGE_S + 0.1)
    gone = await client.get(row.operation_id, **{"if-none-match": again.headers["etag"]})
    assert gone.json()["errors"][0]["extensions"]["code"] == "unknown_operation"


async def test_strict_record_lets_no_answer_go_out_before_it(
    synced: Synced, served: Served, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synced.app.auditing._recorder, "_mode", "strict")
    client, query = Client(served), asked("Strict")
    await client.until_kept(query)
    known = len(read)
    await client.post(query)
    assert len(read) == known + 1
