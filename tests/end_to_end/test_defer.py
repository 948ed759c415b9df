"""`@defer` and `@stream` over HTTP: what is shown first does not wait for the rest."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import orjson
import pytest
from tests.end_to_end.conftest import Synced
from tests.end_to_end.test_http import Served, served

from firnline.cache.database import Snapshot
from firnline.cache.opening import QueryInterruptedError
from firnline.sandbox.seed import DEMO_PEOPLE

__all__ = ["served"]  # the fixture
pytestmark = pytest.mark.asyncio(loop_scope="session")

EMAIL = DEMO_PEOPLE["acme"]["manager"]
PATIENCE_S = 20
# Text patterns: columns in memory cannot answer them, so DuckDB is asked.
SLOW = 'slow: accounts(where: {deals: {some: {name: {contains: "a"}}}}) { totalCount }'
QUESTION = f'{{ deals(first: 2) {{ nodes {{ id }} }} ... @defer(label: "slow") {{ {SLOW} }} }}'
NAMESPACED = "{ salesforce { quick: __typename ... @defer { Account(first: 1) { totalCount } } } }"
STREAMED = """{ deals(first: 5) { totalCount
  nodes @stream(initialCount: 2, label: "rest") { id name } } }"""
ENDLESS = "SELECT max(hash(i)) FROM range(100000000000) t(i)"
ACCEPT = "multipart/mixed, application/json"
OLD_ACCEPT = "multipart/mixed;deferSpec=20220824,application/json"


async def parts_of(response: httpx2.Response) -> AsyncIterator[dict[str, Any]]:
    """Yield the JSON of each part as it arrives."""
    rest = b"\r\n"
    async for chunk in response.aiter_bytes():
        rest += chunk
        while b"\r\n---" in rest[5:]:
            part, _, rest = rest.removeprefix(b"\r\n---").partition(b"\r\n---")
            rest = b"\r\n---" + rest
            yield orjson.loads(part.split(b"\r\n\r\n", 1)[1])
    assert rest == b"\r\n-----\r\n"


def asking(served: Served, query: str, accept: str) -> Any:
    token = served.signer.issue_token("acme", EMAIL, 60)
    headers = {"authorization": f"Bearer {token}", "accept": accept}
    return served.http.stream("POST", "/graphql", json={"query": query}, headers=headers)


async def test_quick_part_arrives_before_the_slow_one_is_done(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = (await served.ask("acme", EMAIL, query=QUESTION)).json()
    fetch, gate = Snapshot.fetch, threading.Event()
    held: list[bool] = []

    def slow(snapshot: Snapshot, sql: str, parameters: Any = ()) -> Any:
        if "EXISTS" in sql:
            held.append(gate.wait(PATIENCE_S))
        return fetch(snapshot, sql, parameters)

    with monkeypatch.context() as patched:
        patched.setattr(Snapshot, "fetch", slow)
        async with asyncio.timeout(PATIENCE_S), asking(served, QUESTION, ACCEPT) as response:
            assert response.headers["content-type"].startswith('multipart/mixed; boundary="-"')
            parts = parts_of(response)
            first = await anext(parts)
            gate.set()
            later = [part async for part in parts]

    assert first["data"] == {"deals": whole["data"]["deals"]}
    assert first["pending"] == [{"id": "0", "path": [], "label": "slow"}]
    assert first["hasNext"]
    assert held == [True]  # the first part was there before the slow statement was let go
    (delivered,) = [each for part in later for each in part.get("incremental", ())]
    assert delivered["data"] == {"slow": whole["data"]["slow"]}
    assert later[-1]["hasNext"] is False
    assert later[-1]["extensions"] == whole["extensions"]


async def test_apollos_form_names_the_path_of_each_part(served: Served) -> None:
    whole = (await served.ask("acme", EMAIL, query=QUESTION)).json()

    async with asking(served, QUESTION, OLD_ACCEPT) as response:
        assert "deferSpec=20220824" in response.headers["content-type"]
        first, *later = [part async for part in parts_of(response)]

    assert first["data"] == {"deals": whole["data"]["deals"]}
    assert "pending" not in first
    (delivered,) = [each for part in later for each in part.get("incremental", ())]
    assert delivered == {"path": [], "label": "slow", "data": {"slow": whole["data"]["slow"]}}


async def test_namespaces_defer_their_members(served: Served) -> None:
    whole = (await served.ask("acme", EMAIL, query=NAMESPACED)).json()

    async with asking(served, NAMESPACED, ACCEPT) as response:
        first, *later = [part async for part in parts_of(response)]

    ((namespace, members),) = whole["data"].items()
    assert first["data"] == {namespace: {"quick": members.pop("quick")}}
    (delivered,) = [each for part in later for each in part.get("incremental", ())]
    assert delivered["data"] == members
    assert first["pending"][0]["path"] == [namespace]


async def test_streamed_list_begins_with_the_answer_and_goes_on(served: Served) -> None:
    whole = (await served.ask("acme", EMAIL, query=STREAMED)).json()
    nodes = whole["data"]["deals"]["nodes"]
    assert len(nodes) == 5

    async with asking(served, STREAMED, ACCEPT) as response:
        first, *later = [part async for part in parts_of(response)]

    assert first["data"]["deals"]["nodes"] == nodes[:2]
    path = ["deals", "nodes"]
    assert first["pending"] == [{"id": "0", "path": path, "label": "rest"}]
    given = [each for part in later for each in part.get("incremental", ())]
    assert {each["id"] for each in given} == {"0"}
    assert [item for each in given for item in each["items"]] == nodes[2:]
    assert later[-1]["hasNext"] is False
    assert later[-1]["extensions"] == whole["extensions"]


async def test_apollos_form_names_the_place_of_streamed_items(served: Served) -> None:
    """Two lists of hundreds of items each: they come in several parts, told apart by their path."""
    many = """{ deals(first: 180) { nodes @stream(initialCount: 2, label: "rest") { id } }
      more: deals(first: 180) { edges @stream { node { name } } } }"""
    whole = (await served.ask("acme", EMAIL, query=many)).json()["data"]

    async with asking(served, many, OLD_ACCEPT) as response:
        first, *later = [part async for part in parts_of(response)]

    given = [each for part in later for each in part.get("incremental", ())]
    for key, name, label in (("deals", "nodes", "rest"), ("more", "edges", None)):
        found = first["data"][key][name]
        for each in given:
            if each["path"][:2] == [key, name]:
                assert each["path"][2] == len(found)
                assert each.get("label") == label
                found += each["items"]
        assert found == whole[key][name]
    assert len(given) > 2


async def test_answers_without_defer_are_whole_also_for_who_takes_parts(served: Served) -> None:
    async with asking(served, "{ deals(first: 1) { totalCount } }", ACCEPT) as response:
        assert response.headers["content-type"] == "application/json; charset=utf-8"
        assert "hasNext" not in orjson.loads(await response.aread())


async def test_failure_of_a_deferred_part_leaves_the_rest_whole(served: Served) -> None:
    wrong = "... @defer { wrong: accounts(first: 9999) { totalCount } }"
    text = f"{{ deals(first: 1) {{ totalCount }} {wrong} }}"

    async with asking(served, text, ACCEPT) as response:
        first, *later = [part async for part in parts_of(response)]

    assert first["data"]["deals"]["totalCount"] > 0
    (completed,) = [each for part in later for each in part.get("completed", ())]
    assert completed["errors"][0]["extensions"]["code"] == "page_size"


async def test_departure_between_parts_interrupts_duckdb(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch, loop = Snapshot.fetch, asyncio.get_running_loop()
    started, stopped = asyncio.Event(), asyncio.Event()

    def endless(snapshot: Snapshot, sql: str, parameters: Any = ()) -> Any:
        if "EXISTS" not in sql:
            return fetch(snapshot, sql, parameters)
        loop.call_soon_threadsafe(started.set)
        try:
            return fetch(snapshot, ENDLESS)
        except QueryInterruptedError:
            loop.call_soon_threadsafe(stopped.set)
            raise

    with monkeypatch.context() as patched:
        patched.setattr(Snapshot, "fetch", endless)
        async with asking(served, QUESTION, ACCEPT) as response:
            assert (await anext(parts_of(response)))["hasNext"]
            await asyncio.wait_for(started.wait(), PATIENCE_S)
            assert not stopped.is_set()
        await asyncio.wait_for(stopped.wait(), PATIENCE_S)

    again = await served.ask("acme", EMAIL, query=QUESTION)
    assert "errors" not in again.json()


async def test_defer_leaves_the_caches_as_they_were(synced: Synced, served: Served) -> None:
    database = await synced.app.database("acme")
    for _ in range(3):
        async with asking(served, QUESTION, ACCEPT) as response:
            await response.aread()
    async with asyncio.timeout(PATIENCE_S):
        while database._busy:  # noqa: ASYNC110 - it goes back just after the last part is out
            await asyncio.sleep(0.01)
