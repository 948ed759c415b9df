"""One tenant's hanging provider takes nobody else's connections, threads or time."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import httpcore2
import httpx2
import pytest
from tests.transport.loopback import serve, serve_raw
from tests.transport.test_transport import DESTINATION, ORIGIN, get

from firnline.clock import SystemClock
from firnline.transport import (
    ConnectionCircuits,
    Destination,
    OutboundCall,
    ProviderUnreachableError,
    RecentCalls,
    Transport,
)
from firnline.transport.address import GuardedBackend
from firnline.transport.pools import Pools
from firnline.transport.resolving import NameLookups

OTHER_ORIGIN = "https://globex.zendesk.com"
WIDE = replace(DESTINATION, concurrency_max=1_000)
OTHER = Destination("zendesk", "globex", "desk", ("globex.zendesk.com",), "zendesk/globex", 5)


async def hang(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(600)


async def answer(_scope: object, _receive: object, send: object) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]
    await send({"type": "http.response.body", "body": b"{}"})  # type: ignore[operator]


async def test_two_hundred_hanging_calls_leave_another_tenants_call_alone() -> None:
    log = RecentCalls()
    async with (
        serve_raw(hang) as hanging,
        serve(answer) as answering,
        Transport(
            routes={ORIGIN: hanging, OTHER_ORIGIN: answering}, clock=SystemClock(), call_log=log
        ) as transport,
    ):
        stuck = [
            asyncio.create_task(transport.send(get(destination=WIDE), deadline_s=120))
            for _ in range(200)
        ]
        await asyncio.sleep(0.3)
        call = OutboundCall(OTHER, "GET", OTHER_ORIGIN + "/")
        for _ in range(20):
            assert (await transport.send(call, deadline_s=20)).status == 200
        assert not any(task.done() for task in stuck)
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)

    assert [record.status for record in log.of("globex", "desk")] == [200] * 20
    assert {record.code for record in log.of("acme", "desk")} == {"cancelled"}


async def test_tenants_of_one_provider_share_no_connections() -> None:
    """Many providers have one host for all their customers."""
    async with (
        serve_raw(hang) as hanging,
        Transport(routes={ORIGIN: hanging}, clock=SystemClock()) as transport,
    ):
        reached = asyncio.Event()

        async def first(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            reached.set()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            await writer.drain()

        stuck = [
            asyncio.create_task(transport.send(get(destination=WIDE), deadline_s=120))
            for _ in range(150)
        ]
        await asyncio.sleep(0.2)
        async with serve_raw(first) as answering:
            transport.routes._targets[ORIGIN] = answering
            other = replace(WIDE, tenant="globex", account="other")
            answered = await transport.send(get(destination=other), deadline_s=20)
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)

    assert answered.status == 200
    assert reached.is_set()


async def test_call_that_finds_no_free_connection_never_left_and_counts_for_no_circuit() -> None:
    circuits = ConnectionCircuits(clock=SystemClock())
    async with (
        serve_raw(hang) as hanging,
        Transport(
            routes={ORIGIN: hanging},
            clock=SystemClock(),
            draw=lambda: 0.0,
            connections_max=1,
            circuits=circuits,
        ) as transport,
    ):
        stuck = asyncio.create_task(transport.send(get(destination=WIDE), deadline_s=60))
        await asyncio.sleep(0.1)
        write = get(destination=WIDE, method="POST", json={}, repeatable=False)
        for _ in range(2):
            with pytest.raises(ProviderUnreachableError, match="in use") as raised:
                await transport.send(write, deadline_s=1.0)
        stuck.cancel()
        await asyncio.gather(stuck, return_exceptions=True)

    assert not raised.value.was_sent
    assert [facts.failure_share for facts in circuits.facts()] == [0.0]


async def test_pools_are_bounded_and_the_last_used_ones_stay() -> None:
    async with serve(answer) as origin:
        pools = Pools(httpcore2.AnyIOBackend(), tls=httpx2.create_ssl_context(), pools_max=2)

        async def call(name: str) -> httpx2.AsyncHTTPTransport:
            async with pools.hold(name, "acme") as pool:
                request = httpx2.Request("GET", origin)
                response = await pool.handle_async_request(request)
                await response.aread()
                await response.aclose()
                return pool

        first, second = await call("a"), await call("b")
        assert await call("a") is first
        await call("c")
        assert len(pools) == 2
        assert await call("a") is first
        assert await call("b") is not second
        assert second._pool.connections == []  # type: ignore[union-attr]
        await pools.close()


async def test_pool_that_is_driven_out_is_closed_after_its_last_call() -> None:
    """Its calls go on: only then it is closed."""
    release = asyncio.Event()

    async def slow(scope: object, receive: object, send: object) -> None:
        await release.wait()
        await answer(scope, receive, send)

    async with serve(slow) as origin:
        pools = Pools(httpcore2.AnyIOBackend(), tls=httpx2.create_ssl_context(), pools_max=1)

        async def call() -> tuple[int, httpx2.AsyncHTTPTransport]:
            async with pools.hold("a", "acme") as pool:
                response = await pool.handle_async_request(httpx2.Request("GET", origin))
                await response.aread()
                await response.aclose()
                return response.status_code, pool

        running = [asyncio.create_task(call()) for _ in range(3)]
        await asyncio.sleep(0.1)
        async with pools.hold("b", "acme"):
            pass
        release.set()
        answers = await asyncio.gather(*running)
        await pools.close()

    assert [status for status, _ in answers] == [200] * 3
    assert answers[0][1]._pool.connections == []  # type: ignore[union-attr]


async def test_names_that_hang_take_one_thread_each_and_none_of_everybodys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release = threading.Event()
    asked: list[str] = []

    def lookup(host: str, *_more: object, **_options: object) -> Sequence[tuple[object, ...]]:
        asked.append(host)
        release.wait(20)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    names = NameLookups()
    backend = GuardedBackend(names.resolve)
    try:
        calls = [
            asyncio.create_task(backend.connect_tcp("slow.example.com", 443, timeout=0.2))
            for _ in range(100)
        ]
        failed = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(each) for each in failed} == {httpcore2.ConnectTimeout}
        assert asked == ["slow.example.com"]
        assert await asyncio.wait_for(asyncio.to_thread(lambda: "free"), 5) == "free"
    finally:
        release.set()
        names.close()
