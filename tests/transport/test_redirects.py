"""Redirects go on inside the connection's origin, and carry its authorisation nowhere else."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import Request as WebRequest
from starlette.responses import JSONResponse
from starlette.responses import Response as WebResponse
from tests.transport.loopback import serve
from tests.transport.test_transport import ORIGIN, get, speaking_to

from firnline.transport import (
    ForbiddenHostError,
    ProviderAnswerError,
    ProviderError,
    RecentCalls,
    Transport,
)
from firnline.transport.redirects import REDIRECTS_MAX

TOKEN = {"authorization": "Bearer canary"}


class Redirecting:
    """Answers `/from` with a redirect, everything else with what arrived."""

    def __init__(self, status: int, location: str) -> None:
        self.status = status
        self.location = location
        self.seen: list[str] = []

    async def __call__(self, request: WebRequest) -> WebResponse:
        self.seen.append(f"{request.method} {request.url.path}")
        if request.url.path == "/from":
            return WebResponse(b"", self.status, {"location": self.location})
        return JSONResponse(
            {
                "method": request.method,
                "query": request.url.query,
                "authorization": request.headers.get("authorization"),
                "body": (await request.body()).decode(),
            }
        )


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("place", ["", ORIGIN, f"{ORIGIN}:443", "//ACME.zendesk.com"])
async def test_read_follows_a_redirect_inside_its_origin(status: int, place: str) -> None:
    answer = Redirecting(status, f"{place}/to?a=%2Bb")
    async with speaking_to(answer) as transport:
        call = get("/from", headers=TOKEN, params={"only": "first"})
        found = (await transport.send(call, deadline_s=5)).json()

    assert found == {
        "method": "GET",
        "query": "a=%2Bb",
        "authorization": "Bearer canary",
        "body": "",
    }


ELSEWHERE = [
    "https://evil.example/to",
    "https://other.zendesk.com/to",
    "http://acme.zendesk.com/to",
    "https://acme.zendesk.com:8443/to",
    "https://acme.zendesk.com@evil.example/to",
    "https://acme.zendesk.com.evil.example/to",
    "https://169.254.169.254/latest",
    "http://127.0.0.1:{port}/to",
    "//evil.example/to",
    "\\\\evil.example/to",
    "https:\\\\evil.example",
    "javascript:alert(1)",
    "file:///etc/passwd",
    "https://[::1]/to",
    "https://[/to",
]


@pytest.mark.parametrize("location", ELSEWHERE)
async def test_redirect_to_another_origin_is_refused_and_nothing_is_sent_there(
    location: str,
) -> None:
    elsewhere: list[Any] = []

    async def other(scope: Any, _receive: Any, send: Any) -> None:
        elsewhere.append(scope)
        await JSONResponse({})(scope, _receive, send)

    async with serve(other) as origin:
        answer = Redirecting(307, location.format(port=origin.rsplit(":", 1)[1]))
        async with speaking_to(answer) as transport:
            with pytest.raises(ForbiddenHostError) as raised:
                await transport.send(get("/from", headers=TOKEN), deadline_s=5)

    assert answer.seen == ["GET /from"]
    assert elsewhere == []
    assert "evil" not in str(raised.value)


@pytest.mark.parametrize("status", [307, 308])
async def test_repeatable_write_is_sent_on_whole(status: int) -> None:
    answer = Redirecting(status, "/to")
    async with speaking_to(answer) as transport:
        call = get("/from", method="POST", json={"k": 1})
        found = (await transport.send(call, deadline_s=5)).json()

    assert (found["method"], found["body"]) == ("POST", '{"k":1}')


@pytest.mark.parametrize(
    ("status", "repeatable"), [(301, True), (302, True), (303, True), (307, False), (308, False)]
)
async def test_other_writes_follow_no_redirect(status: int, repeatable: bool) -> None:
    answer = Redirecting(status, "/to")
    async with speaking_to(answer) as transport:
        with pytest.raises(ProviderAnswerError, match="redirect"):
            call = get("/from", method="POST", json={}, repeatable=repeatable)
            await transport.send(call, deadline_s=5)

    assert answer.seen == ["POST /from"]


async def test_redirect_to_itself_ends_at_once() -> None:
    answer = Redirecting(302, "/from#again")
    async with speaking_to(answer) as transport:
        with pytest.raises(ProviderAnswerError, match="do not end"):
            await transport.send(get("/from"), deadline_s=5)

    assert answer.seen == ["GET /from"]


async def test_endless_redirects_end() -> None:
    calls = 0

    def answer(_request: WebRequest) -> WebResponse:
        nonlocal calls
        calls += 1
        return WebResponse(b"", 302, {"location": f"/{calls}"})

    log = RecentCalls()
    async with speaking_to(answer, call_log=log) as transport:
        with pytest.raises(ProviderAnswerError, match="do not end"):
            await transport.send(get("/from"), deadline_s=5)

    assert calls == REDIRECTS_MAX + 1
    assert [record.attempts for record in log.of("acme", "desk")] == [1]


async def test_answer_with_a_location_that_is_no_redirect_is_an_answer() -> None:
    async with speaking_to(
        lambda _: WebResponse(b"{}", 201, {"location": "https://evil.example"})
    ) as transport:
        assert (await transport.send(get(), deadline_s=5)).status == 201


async def test_redirect_without_a_location_is_the_callers_to_judge() -> None:
    async with speaking_to(lambda _: WebResponse(b"", 302)) as transport:
        assert (await transport.send(get(), deadline_s=5)).status == 302


async def test_redirect_says_in_its_error_whose_it_is() -> None:
    async def run(transport: Transport) -> ProviderError:
        with pytest.raises(ProviderError) as raised:
            await transport.send(get("/from?token=canary"), deadline_s=5)
        return raised.value

    async with speaking_to(Redirecting(302, "https://evil.example/canary")) as transport:
        error = await run(transport)

    assert error.code == "forbidden_host"
    assert "canary" not in str(error)
    assert "'desk' of 'acme'" in str(error)
