"""The servers behind Punch, Binder and Stamp, and a tenant that has a connection to each.

They know nothing of the client's code. What they were sent is kept for the tests to look at.
"""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import orjson
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp
from tests.transport.loopback import serve

from firnline.clock import Clock, FixedClock
from firnline.connections import Connections
from firnline.sandbox.csrf import CsrfGate
from firnline.sandbox.sessions import ServerSession, ServerSessions, cookies_of
from firnline.settings import Settings
from firnline.spec.model import TenantSpec
from firnline.state import ConnectionRow

USER = "manager"
PASSWORD = "canary-pässword {not}:a%20template"
KEY = "pat-canary-1"
ACCESS_KEY, ACCESS_SECRET = "CANARYKEY", "canary-access-secret"
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]

SPEC = TenantSpec.model_validate(
    {
        "tenant": "acme",
        "connections": {
            "erp": {"provider": "punch", "settings": {"office": "north", "company": "SBO_NORTH"}},
            "ledger": {"provider": "binder", "settings": {"office": "north"}},
            "ledgerKey": {
                "provider": "binder",
                "settings": {"office": "north"},
                "auth": "api_key",
            },
            "calls": {"provider": "stamp", "settings": {"office": "north"}},
            "callsBasic": {
                "provider": "stamp",
                "settings": {"office": "north"},
                "auth": "basic",
            },
        },
    }
)


def secrets_of(**fields: str) -> dict[str, SecretStr]:
    """Return what a form brings."""
    return {name: SecretStr(value) for name, value in fields.items()}


LOGIN = secrets_of(username=USER, password=PASSWORD)


@dataclass
class Seen:
    """One call as a server got it."""

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)


class Server:
    """What the three have in common: they note calls, may be slow and may answer otherwise."""

    host = ""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.answers: list[tuple[int, Mapping[str, str], bytes]] = []  # each given once, first
        self.delay_s = 0.0
        self.hold: asyncio.Event | None = None  # calls that come while it is set wait for it
        self.app = Starlette(routes=[Route("/{path:path}", self._answer, methods=METHODS)])

    def answer_once(self, status: int, body: Any = None, **headers: str) -> None:
        """Answer the next call with this, whatever it asks and whoever does."""
        self.answers.append((status, headers, b"" if body is None else orjson.dumps(body)))

    def calls(self, method: str = "", path: str = "") -> list[Seen]:
        """Return the calls of that method, to paths that hold `path`."""
        return [
            seen
            for seen in self.seen
            if seen.method == (method or seen.method) and path in seen.path
        ]

    async def _answer(self, request: Request) -> Response:
        hold = self.hold
        self.seen.append(Seen(request.method, request.url.path, dict(request.headers)))
        await asyncio.sleep(self.delay_s)
        if hold is not None:
            await hold.wait()
        if request.headers["host"] != self.host:
            return Response("wrong host", 421)
        if self.answers:
            status, headers, body = self.answers.pop(0)
            return Response(body, status, dict(headers))
        return await self.serve(request)

    async def serve(self, request: Request) -> Response:
        raise NotImplementedError


class PunchServer(Server):
    """A Service Layer: one company, one user, sessions that idle out after half an hour."""

    host = "north.punch.example:50000"

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.sessions = ServerSessions(clock=clock, idle_s=1800, sessions_max=5)
        self.password = PASSWORD
        self.has_balancer = True
        self.me_is_forbidden = False
        self.logout_is_broken = False

    async def serve(self, request: Request) -> Response:
        if request.url.path == "/b1s/v2/Login":
            return await self._login(request)
        if request.url.path == "/b1s/v2/Logout" and self.logout_is_broken:
            return Response(status_code=500)
        session = self._session(request)
        if session is None:
            return self._error(401, "301", "Invalid session or session already timeout.")
        if request.url.path == "/b1s/v2/Logout":
            self.sessions.close(session.key)
            return Response(status_code=204)
        if request.url.path == "/b1s/v2/Me" and not self.me_is_forbidden:
            return JSONResponse({"UserCode": session.user, "UserName": "Max Manager"})
        if request.url.path in ("/b1s/v2/Me", "/b1s/v2/Payroll"):
            return self._error(403, "804", "You are not permitted to perform this action.")
        return JSONResponse({"value": [], "node": session.node})

    async def _login(self, request: Request) -> Response:
        body = await request.json()
        asked = {"CompanyDB": "SBO_NORTH", "UserName": USER, "Password": self.password}
        if body != asked:
            return self._error(401, "100000027", f"Fail to log in as {body['UserName']!r}.")
        session = self.sessions.open(body["UserName"])
        if session is None:
            return self._error(503, "-1102", "No license is available.")
        answer = JSONResponse({"SessionId": session.key, "Version": "1000", "SessionTimeout": 30})
        answer.headers.append("set-cookie", f"B1SESSION={session.key};HttpOnly;")
        if self.has_balancer:
            answer.headers.append("set-cookie", f"ROUTEID={session.node}; path=/b1s")
        return answer

    def _session(self, request: Request) -> ServerSession | None:
        """Return the caller's session; on another node than its own nobody knows it."""
        cookies = cookies_of(request.headers)
        session = self.sessions.used(cookies.get("B1SESSION", ""))
        if session is None or (self.has_balancer and cookies.get("ROUTEID") != session.node):
            return None
        return session

    @staticmethod
    def _error(status: int, code: str, message: str) -> Response:
        return JSONResponse({"error": {"code": code, "message": message}}, status)


class BinderServer(Server):
    """An OData Gateway: a user with a password (or a key), and the CSRF check before writes."""

    host = "north.binder.example"
    root = "/sap/opu/odata/sap/API_BINDER/"

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.sessions = ServerSessions(clock=clock, idle_s=1800)
        self.gate = CsrfGate(self.sessions, cookie="SAP_SESSIONID_S4H_100")
        self.users = {USER: PASSWORD}
        self.keys = {KEY: "robot"}
        self.written: list[Any] = []

    async def serve(self, request: Request) -> Response:
        user = self._user(request)
        if user is None:
            challenge = {"www-authenticate": 'Basic realm="SAP NetWeaver [S4H/100]"'}
            return HTMLResponse("<html><h1>Logon failed</h1></html>", 401, challenge)
        return await self.gate.serve(request, user, lambda asked: self._service(asked, user))

    async def _service(self, request: Request, user: str) -> Response:
        if request.url.path.endswith("/Payroll"):
            error = {"code": "/IWFND/MED/170", "message": {"lang": "en", "value": "No authority"}}
            return JSONResponse({"error": error}, 403)
        if request.method in ("GET", "HEAD"):
            return JSONResponse({"d": {"UserName": user}})
        self.written.append(await request.json())
        return JSONResponse({"d": {"UserName": user}}, 201)

    def _user(self, request: Request) -> str | None:
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        if scheme == "Bearer":
            return self.keys.get(shown)
        if scheme != "Basic":
            return None
        user, _, password = base64.b64decode(shown, validate=True).decode().partition(":")
        return user if user in self.users and self.users[user] == password else None


class StampServer(Server):
    """Takes a key in its own header, or an access key and secret as Basic; exactly one of them."""

    host = "north.stamp.example"

    def __init__(self) -> None:
        super().__init__()
        self.keys = {KEY}
        pair = base64.b64encode(f"{ACCESS_KEY}:{ACCESS_SECRET}".encode()).decode()
        self.basic = {f"Basic {pair}"}
        self.beyond_scope = {"/payroll"}

    async def serve(self, request: Request) -> Response:
        key = request.headers.get("x-stamp-key")
        basic = request.headers.get("authorization")
        if (key is None) == (basic is None) or not (key in self.keys or basic in self.basic):
            said = {"category": "INVALID_AUTHENTICATION", "message": "That key is not known."}
            return JSONResponse(said, 401)
        if request.url.path in self.beyond_scope:
            # As Gong does: a missing scope is a 401 too.
            said = {"category": "MISSING_SCOPES", "message": "The scope payroll is required."}
            return JSONResponse(said, 401)
        return JSONResponse({"id": "1", "name": "Rita Robot"})


@dataclass
class EnteredBench:
    """What a test holds: the connections under test and the servers they speak to."""

    connections: Connections
    settings: Settings
    clock: FixedClock
    punch: PunchServer
    binder: BinderServer
    stamp: StampServer
    spec: TenantSpec = SPEC

    async def row(self, name: str) -> ConnectionRow | None:
        """Return the stored connection."""
        return await self.connections.state.connection("acme", name)

    async def enter(self, name: str, **fields: str) -> ConnectionRow:
        """Connect by what a person enters."""
        return await self.connections.connect_with_secrets(SPEC, name, secrets_of(**fields))


class Answering(Protocol):
    """Whatever stands for a provider."""

    host: str
    app: ASGIApp


@contextmanager
def served_in_thread(*servers: Answering) -> Iterator[dict[str, str]]:
    """Serve in a thread of its own, for commands that run an event loop themselves."""
    loop = asyncio.new_event_loop()
    ready, done = threading.Event(), asyncio.Event()
    routes: dict[str, str] = {}

    async def work() -> None:
        async with AsyncExitStack() as stack:
            for server in servers:
                origin = await stack.enter_async_context(serve(server.app))
                routes[f"https://{server.host}"] = origin
            ready.set()
            await done.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(work(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield routes
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()
        loop.close()


@asynccontextmanager
async def entered_bench(home: Path) -> AsyncIterator[EnteredBench]:
    """Serve the three providers and open connections to them."""
    clock = FixedClock(datetime(2026, 11, 22, 12, 0, tzinfo=UTC))
    punch, binder, stamp = PunchServer(clock), BinderServer(clock), StampServer()
    servers: tuple[Server, ...] = (punch, binder, stamp)
    async with AsyncExitStack() as stack:
        routes = {
            f"https://{server.host}": await stack.enter_async_context(serve(server.app))
            for server in servers
        }
        settings = Settings(home=home, routes=routes)
        connections = await stack.enter_async_context(Connections.open(settings, clock=clock))
        yield EnteredBench(connections, settings, clock, punch, binder, stamp)
