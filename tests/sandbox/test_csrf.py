"""The sandboxes' CSRF check, seen by a plain HTTP client with a cookie jar: as a browser would."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tests.transport.loopback import serve

from firnline.clock import FixedClock
from firnline.sandbox.csrf import CsrfGate
from firnline.sandbox.sessions import ServerSessions

COOKIE = "SAP_SESSIONID_S4H_100"
FETCH = {"x-csrf-token": "Fetch"}


class Gateway:
    """One service behind the gate; who calls is told by a header."""

    def __init__(self) -> None:
        self.clock = FixedClock(datetime(2026, 11, 22, tzinfo=UTC))
        self.sessions = ServerSessions(clock=self.clock, idle_s=1800)
        self.gate = CsrfGate(self.sessions, cookie=COOKIE)
        self.writes = 0
        methods = ["GET", "HEAD", "POST", "DELETE"]
        self.app = Starlette(routes=[Route("/{path:path}", self.answer, methods=methods)])

    async def answer(self, request: Request) -> Response:
        return await self.gate.serve(request, request.headers.get("x-user", "ann"), self.service)

    async def service(self, request: Request) -> Response:
        if request.url.path == "/absent":
            return JSONResponse({}, 404)
        self.writes += request.method not in ("GET", "HEAD")
        return JSONResponse({})


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
async def http(gateway: Gateway) -> AsyncIterator[httpx2.AsyncClient]:
    async with (
        serve(gateway.app) as origin,
        httpx2.AsyncClient(base_url=origin, trust_env=False) as client,
    ):
        yield client


async def fetched(http: httpx2.AsyncClient, method: str = "GET") -> str:
    answer = await http.request(method, "/", headers=FETCH)
    # The cookie is for https; the jar of a test that speaks http would keep it back.
    lines = answer.headers.get_list("set-cookie")
    session = next(line for line in lines if line.startswith(COOKIE))
    assert session.endswith("; path=/; secure; HttpOnly")
    http.cookies.set(COOKIE, session.partition(";")[0].partition("=")[2])
    return answer.headers["x-csrf-token"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_token_with_its_cookie_opens_writes(
    gateway: Gateway, http: httpx2.AsyncClient, method: str
) -> None:
    token = await fetched(http, method)

    for write in ("POST", "DELETE"):
        answer = await http.request(write, "/", headers={"x-csrf-token": token})
        assert answer.status_code == 200
    assert gateway.writes == 2


@pytest.mark.parametrize("fault", ["none", "empty", "wrong", "no cookie", "fetch", "idle", "user"])
async def test_write_without_the_right_pair_is_refused_before_anything_is_done(
    gateway: Gateway, http: httpx2.AsyncClient, fault: str
) -> None:
    token = await fetched(http)
    headers = {"x-csrf-token": token}
    if fault == "none":
        headers = {}
    elif fault in ("empty", "wrong", "fetch"):
        headers = {"x-csrf-token": {"empty": "", "wrong": "ä", "fetch": "Fetch"}[fault]}
        headers = {name: value.encode() for name, value in headers.items()}  # type: ignore[misc]
    elif fault == "no cookie":
        http.cookies.clear()
    elif fault == "idle":
        await gateway.clock.sleep(1800)
    else:
        headers["x-user"] = "bob"

    answer = await http.post("/", headers=headers)

    assert answer.status_code == 403
    assert answer.headers["x-csrf-token"] == "Required"
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text == "CSRF token validation failed"
    assert gateway.writes == 0


async def test_reads_need_no_token_and_are_told_none_unasked(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/")

    assert answer.status_code == 200
    assert "x-csrf-token" not in answer.headers
    assert "set-cookie" not in answer.headers


async def test_refused_read_tells_no_token(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/absent", headers=FETCH)

    assert answer.status_code == 404
    assert "x-csrf-token" not in answer.headers


async def test_token_stays_the_sessions_own_until_it_is_forgotten(
    gateway: Gateway, http: httpx2.AsyncClient
) -> None:
    first = await fetched(http)
    assert await fetched(http) == first

    gateway.gate.forget()
    assert (await http.post("/", headers={"x-csrf-token": first})).status_code == 403
    assert await fetched(http) != first


async def test_server_without_head_says_so(gateway: Gateway, http: httpx2.AsyncClient) -> None:
    gateway.gate.answers_head = False

    answer = await http.head("/", headers=FETCH)

    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, POST"
