"""The transport keeps deadline, cap, concurrency and repetition, on real sockets."""

from __future__ import annotations

import asyncio
import gzip
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request as WebRequest
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.responses import Response as WebResponse
from starlette.routing import Route
from tests.transport.loopback import serve, serve_raw

from firnline.clock import Clock, FixedClock, SystemClock
from firnline.connectors.protocol import Grounds, Response, Verdict
from firnline.transport import (
    Destination,
    OutboundCall,
    ProviderAnswerError,
    ProviderError,
    ProviderRateLimitedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    ProviderUnreachableError,
    Transport,
)

ORIGIN = "https://acme.zendesk.com"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
DESTINATION = Destination("zendesk", "acme", "desk", ("acme.zendesk.com",), "zendesk/acme", 3)
Answer = Callable[[WebRequest], Any]


def get(path: str = "/", **changes: Any) -> OutboundCall:
    return replace(OutboundCall(DESTINATION, "GET", ORIGIN + path), **changes)


def fixed_clock() -> FixedClock:
    return FixedClock(NOW)


@asynccontextmanager
async def speaking_to(
    answer: Answer, *, clock: Clock | None = None, **options: Any
) -> AsyncIterator[Transport]:
    async def endpoint(request: WebRequest) -> WebResponse:
        result = answer(request)
        return await result if asyncio.iscoroutine(result) else result

    methods = ["GET", "POST", "PUT"]
    app = Starlette(routes=[Route("/{path:path}", endpoint, methods=methods)])
    async with (
        serve(app) as origin,
        Transport(
            routes={ORIGIN: origin}, clock=clock or fixed_clock(), draw=lambda: 0.5, **options
        ) as transport,
    ):
        yield transport


class Script:
    """Answers each call with the next status; the last one for ever."""

    def __init__(self, *statuses: int, headers: Mapping[str, str] | None = None) -> None:
        self.statuses = list(statuses)
        self.headers = headers or {}
        self.calls = 0

    def __call__(self, _request: WebRequest) -> WebResponse:
        self.calls += 1
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return JSONResponse(
            {"call": self.calls}, status, dict(self.headers) if status >= 400 else {}
        )


async def test_call_reaches_the_route_with_the_vendors_host_and_all_its_parts() -> None:
    async def echo(request: WebRequest) -> WebResponse:
        return JSONResponse(
            {
                "host": request.headers["host"],
                "proto": request.headers["x-forwarded-proto"],
                "own": request.headers["x-own"],
                "path": request.url.path,
                "query": request.url.query,
                "method": request.method,
                "body": (await request.body()).decode(),
            },
            headers={"X-Answer": "Yes"},
        )

    async with speaking_to(echo) as transport:
        posted = get("/a/b?c=%2Bd", method="POST", json={"k": 1}, headers={"x-own": "1"})
        response = await transport.send(posted, deadline_s=5)
        form = get(
            "/f", method="POST", form={"a": "b c"}, params={"q": "ü&"}, headers={"x-own": ""}
        )
        formed = (await transport.send(form, deadline_s=5)).json()

    assert response.headers["x-answer"] == "Yes"
    assert response.json() == {
        "host": "acme.zendesk.com",
        "proto": "https",
        "own": "1",
        "path": "/a/b",
        "query": "c=%2Bd",
        "method": "POST",
        "body": '{"k":1}',
    }
    assert (formed["body"], formed["query"]) == ("a=b+c", "q=%C3%BC%26")


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429])
async def test_repeatable_call_is_repeated_until_the_provider_recovers(status: int) -> None:
    script = Script(status, status, 200)
    async with speaking_to(script) as transport:
        response = await transport.send(get(), deadline_s=60)

    assert response.json() == {"call": 3}


async def test_repetition_ends_and_names_provider_and_connection() -> None:
    script = Script(503)
    async with speaking_to(script) as transport:
        with pytest.raises(ProviderUnavailableError) as raised:
            await transport.send(get("/secret?token=canary"), deadline_s=60)

    assert script.calls == 4
    assert raised.value.code == "provider_unavailable"
    assert raised.value.retryable
    assert "zendesk (connection 'desk' of 'acme')" in str(raised.value)
    assert "canary" not in str(raised.value)


async def test_write_that_a_failing_provider_answered_is_sent_once() -> None:
    script = Script(503)
    async with speaking_to(script) as transport:
        with pytest.raises(ProviderError):
            await transport.send(get(method="POST", json={}, repeatable=False), deadline_s=60)

    assert script.calls == 1


async def test_write_that_was_refused_for_the_rate_is_sent_again() -> None:
    """It was refused whole: nothing of it was done."""
    script = Script(429, 201)
    async with speaking_to(script) as transport:
        write = get(method="POST", json={}, repeatable=False)
        assert (await transport.send(write, deadline_s=60)).status == 201

    assert script.calls == 2


async def test_write_whose_200_tells_of_a_rate_limit_is_sent_once() -> None:
    """A part of its batch may have been done."""
    script = Script(200)
    judge = lambda _: Verdict(Grounds.RATE_LIMITED)  # noqa: E731
    async with speaking_to(script) as transport:
        with pytest.raises(ProviderRateLimitedError):
            write = get(method="POST", json={}, repeatable=False, judge=judge)
            await transport.send(write, deadline_s=60)

    assert script.calls == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
async def test_other_refusals_are_returned_as_they_are(status: int) -> None:
    script = Script(status)
    async with speaking_to(script) as transport:
        assert (await transport.send(get(), deadline_s=5)).status == status

    assert script.calls == 1


async def test_connectors_judgement_of_a_200_counts() -> None:
    script = Script(200)

    def judge(response: Response) -> Verdict | None:
        calls = response.json()["call"]
        return (
            Verdict(Grounds.RATE_LIMITED, "too\r\nmany", retry_after_s=2.0) if calls < 3 else None
        )

    clock = fixed_clock()
    async with speaking_to(script, clock=clock) as transport:
        assert (await transport.send(get(judge=judge), deadline_s=60)).json() == {"call": 3}

    assert clock.monotonic() == pytest.approx(2 + 0.125 + 2 + 0.25)


@pytest.mark.parametrize(
    ("asked", "waited"),
    [
        ("30", 30.0),
        ("0", 1.0),
        ("-5", 1.0),
        ("999999", 900.0),
        ("inf", 900.0),
        ("nan", 1.0),
        ("Sun, 22 Nov 2026 12:00:20 GMT", 20.0),
        ("Sun, 22 Nov 2020 12:00:00 GMT", 1.0),
        ("Fri, 22 Nov 2999 12:00:00 GMT", 900.0),
        ("soon", 1.0),
    ],
)
async def test_retry_after_is_kept_within_reason(asked: str, waited: float) -> None:
    clock = fixed_clock()
    async with speaking_to(
        Script(429, 200, headers={"retry-after": asked}), clock=clock
    ) as transport:
        await transport.send(get(), deadline_s=3600)

    assert clock.monotonic() == pytest.approx(waited + 0.125)


async def test_wait_that_would_outlast_the_deadline_is_an_error_at_once() -> None:
    clock = fixed_clock()
    script = Script(429, headers={"retry-after": "60"})
    async with speaking_to(script, clock=clock) as transport:
        with pytest.raises(ProviderRateLimitedError) as raised:
            await transport.send(get(), deadline_s=30)

    assert raised.value.retry_after_s == 60
    assert raised.value.as_dict()["retry_after_s"] == 60
    assert (clock.monotonic(), script.calls) == (0, 1)


async def test_body_that_drips_is_ended_by_the_total_deadline() -> None:
    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with (
        serve_raw(drip) as origin,
        Transport(routes={ORIGIN: origin}, clock=SystemClock()) as transport,
    ):
        started = time.monotonic()
        with pytest.raises(ProviderTimeoutError):
            await transport.send(get(), deadline_s=0.5)
        assert 0.4 < time.monotonic() - started < 2


async def test_silent_server_is_asked_again_within_the_deadline() -> None:
    asked = 0

    async def silent_once(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            await asyncio.sleep(60)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        await writer.drain()

    async with (
        serve_raw(silent_once) as origin,
        Transport(routes={ORIGIN: origin}, clock=SystemClock(), draw=lambda: 0.0) as transport,
    ):
        assert (await transport.send(get(), deadline_s=2)).json() == {}

    assert asked == 2


async def test_connection_reset_in_the_body_is_repeated_whole() -> None:
    asked = 0

    async def cut_once(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        sent = b'{"a"' if asked == 1 else b'{"a": 1}'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\n" + sent)
        await writer.drain()

    async with (
        serve_raw(cut_once) as origin,
        Transport(routes={ORIGIN: origin}, clock=fixed_clock()) as transport,
    ):
        assert (await transport.send(get(), deadline_s=5)).json() == {"a": 1}

    assert asked == 2


async def test_refused_connection_is_a_retryable_error() -> None:
    async with serve(PlainTextResponse("")) as origin:
        pass
    clock = fixed_clock()
    async with Transport(routes={ORIGIN: origin}, clock=clock, draw=lambda: 1.0) as transport:
        with pytest.raises(ProviderUnreachableError) as raised:
            await transport.send(get(), deadline_s=30)

    assert raised.value.retryable
    assert clock.monotonic() == pytest.approx(0.25 + 0.5 + 1.0)


async def test_name_that_does_not_resolve_is_unreachable() -> None:
    async def resolver(_host: str, _port: int) -> list[str]:
        raise OSError("no such name")

    async with Transport(routes={}, clock=fixed_clock(), resolver=resolver) as transport:
        with pytest.raises(ProviderUnreachableError):
            await transport.send(get(), deadline_s=5)


async def test_gzip_bomb_is_stopped_at_the_cap() -> None:
    bomb = gzip.compress(bytes(50_000_000))

    def answer(_request: WebRequest) -> WebResponse:
        return WebResponse(bomb, headers={"content-encoding": "gzip"})

    async with speaking_to(answer, body_bytes_max=1_000_000) as transport:
        with pytest.raises(ProviderAnswerError, match="over 1000000 bytes"):
            await transport.send(get(), deadline_s=10)


async def test_body_of_exactly_the_cap_passes() -> None:
    async with speaking_to(lambda _: WebResponse(b"x" * 1000), body_bytes_max=1000) as transport:
        assert len((await transport.send(get(), deadline_s=5)).content) == 1000


async def test_body_that_is_not_what_its_encoding_says_is_a_typed_error() -> None:
    def answer(_request: WebRequest) -> WebResponse:
        return WebResponse(b"not gzip", headers={"content-encoding": "gzip"})

    async with speaking_to(answer) as transport:
        with pytest.raises(ProviderAnswerError, match="compressed"):
            await transport.send(get(), deadline_s=5)


async def test_cookies_that_an_answer_sets_are_told_line_by_line_and_in_no_repr() -> None:
    lines = ("s=canary; Expires=Mon, 23 Nov 2026 10:00:00 GMT", "node=.node1; path=/")

    def answer(request: WebRequest) -> WebResponse:
        answered = WebResponse(b"{}")
        for line in lines:
            answered.headers.append("set-cookie", line)
        return answered

    async with speaking_to(answer) as transport:
        told = await transport.send(get(), deadline_s=5)

    assert told.set_cookies == lines
    assert "set-cookie" not in told.headers
    assert "canary" not in repr(told)


async def test_cookies_of_one_call_are_never_sent_with_another() -> None:
    seen: list[str | None] = []

    def answer(request: WebRequest) -> WebResponse:
        seen.append(request.headers.get("cookie"))
        return WebResponse(b"{}", headers={"set-cookie": "session=canary; Path=/"})

    async with speaking_to(answer) as transport:
        for _ in range(2):
            await transport.send(get(), deadline_s=5)

    assert seen == [None, None]


async def test_concurrency_is_limited_per_provider_account() -> None:
    running = {"one": 0, "two": 0}
    peak = {"one": 0, "two": 0}

    async def answer(request: WebRequest) -> WebResponse:
        account = request.url.path.strip("/")
        running[account] += 1
        peak[account] = max(peak[account], running[account])
        await asyncio.sleep(0.03)
        running[account] -= 1
        return PlainTextResponse("{}")

    def call(account: str) -> OutboundCall:
        return get(f"/{account}", destination=replace(DESTINATION, account=account))

    async with speaking_to(answer, clock=SystemClock()) as transport:
        await asyncio.gather(
            *(transport.send(call(account), deadline_s=10) for account in ("one", "two") * 9)
        )

    assert peak == {"one": 3, "two": 3}


async def test_cancelled_call_frees_its_place() -> None:
    async def answer(request: WebRequest) -> WebResponse:
        await asyncio.sleep(30 if request.url.path == "/slow" else 0)
        return PlainTextResponse("{}")

    async with speaking_to(answer, clock=SystemClock()) as transport:
        slow = [asyncio.create_task(transport.send(get("/slow"), deadline_s=60)) for _ in range(3)]
        await asyncio.sleep(0.1)
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        assert (await transport.send(get("/quick"), deadline_s=5)).status == 200


async def test_secrets_show_in_no_repr_error_or_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = {"authorization": "Bearer canary"}
    call = get(
        "/p?token=canary",
        headers=secret,
        params={"c": "canary"},
        method="POST",
        json={"canary": "canary"},
        form=None,
    )

    def answer(_request: WebRequest) -> WebResponse:
        return JSONResponse({"access_token": "canary"}, headers={"set-cookie": "a=canary"})

    async with speaking_to(answer) as transport:
        response = await transport.send(call, deadline_s=5)
        shown = repr(call) + str(call) + repr(response) + repr(transport)
    async with speaking_to(Script(503)) as transport:
        with pytest.raises(ProviderError) as raised:
            await transport.send(call, deadline_s=60)
        shown += repr(raised.value) + str(raised.value) + str(raised.value.as_dict())

    assert "canary" not in shown
    assert "canary" not in caplog.text
