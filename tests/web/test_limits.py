"""Concurrent queries per tenant take turns, and work ends when nobody waits for it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx2
import pytest
from tests.web.conftest import Served, Serving

from firnline.web.limiter import QueryLimiter, TooManyQueriesError

PATIENCE_S = 10.0


async def until(condition: Callable[[], object]) -> None:
    """Wait for what happens in the server's thread."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - the other thread sets no event of ours
            await asyncio.sleep(0.005)


async def test_query_over_the_limit_is_refused_with_when_to_come_back(serving: Serving) -> None:
    with serving(queries_running_max=1, queries_waiting_max=0) as (url, gateway, token):
        gateway.delay_s = 1
        headers = {"authorization": f"Bearer {token}"}
        async with httpx2.AsyncClient(base_url=url, headers=headers) as client:
            first = asyncio.create_task(client.post("/graphql", json={"query": "{ me }"}))
            await until(lambda: gateway.seen)
            second = await client.post("/graphql", json={"query": "{ me }"})
            assert (await first).status_code == 200
    assert second.status_code == 429
    assert second.headers["retry-after"] == "1"
    (error,) = second.json()["errors"]
    assert error["extensions"]["code"] == "too_many_queries"
    assert error["extensions"]["retryable"] is True


def limiter(running_max: int = 1, waiting_max: int = 8, wait_s: float = 10) -> QueryLimiter:
    return QueryLimiter(running_max=running_max, waiting_max=waiting_max, wait_s=wait_s)


async def test_people_of_a_tenant_take_turns_however_much_one_asks() -> None:
    limits, order = limiter(), []

    async def ask(person: str) -> None:
        async with limits.turn("acme", person):
            order.append(person)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for person in ("ana", "ana", "ana", "ana", "bob", "cem"):
            group.create_task(ask(person))

    assert order == ["ana", "ana", "bob", "cem", "ana", "ana"]


async def test_tenants_do_not_wait_for_each_other() -> None:
    limits = limiter(waiting_max=0)
    async with limits.turn("acme", "ana"), limits.turn("globex", "ana"):
        with pytest.raises(TooManyQueriesError):
            async with limits.turn("acme", "bob"):
                pass


async def test_one_person_leaves_places_to_wait_for_others() -> None:
    limits = limiter(waiting_max=4)

    async def ask(person: str) -> str:
        try:
            async with limits.turn("acme", person):
                await asyncio.sleep(0.01)
                return "answered"
        except TooManyQueriesError:
            return "refused"

    results = await asyncio.gather(*(ask("ana") for _ in range(6)), ask("bob"))

    assert results == ["answered"] * 3 + ["refused"] * 3 + ["answered"]


async def test_wait_ends_in_time_and_frees_its_place() -> None:
    limits = limiter(waiting_max=1, wait_s=0.05)
    async with limits.turn("acme", "ana"):
        for _ in range(3):
            with pytest.raises(TooManyQueriesError, match=r"within 0\.05 seconds"):
                async with limits.turn("acme", "bob"):
                    pass
    async with limits.turn("acme", "bob"):
        pass
    assert not limits._lines


@pytest.mark.parametrize("given_first", [False, True])
async def test_cancelled_waiter_never_keeps_a_turn(given_first: bool) -> None:
    limits = limiter()

    async def ask() -> None:
        async with limits.turn("acme", "bob"):
            pass

    holding = limits.turn("acme", "ana")
    await holding.__aenter__()
    waiter = asyncio.create_task(ask())
    await asyncio.sleep(0)
    if given_first:
        await holding.__aexit__(None, None, None)
    waiter.cancel()
    await asyncio.wait([waiter])
    if not given_first:
        await holding.__aexit__(None, None, None)
    assert waiter.cancelled()
    assert not limits._lines


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_client_that_leaves_takes_its_query_with_it(served: Served, method: str) -> None:
    served.gateway.delay_s = 60
    where = urlsplit(served.url)
    head = [f"{method} /graphql?query=%7Bme%7D HTTP/1.1", "Host: any.example"]
    head += [f"{name}: {value}" for name, value in served.headers().items()]
    body = b'{"query": "{ me }"}' if method == "POST" else b""
    head += [f"Content-Length: {len(body)}"] if body else []
    with socket.create_connection((where.hostname or "", where.port or 0)) as wire:
        wire.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        await until(lambda: served.gateway.seen)
        assert served.gateway.ended == []
    await until(lambda: served.gateway.ended == ["cancelled"])
