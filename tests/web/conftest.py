"""A served web application over a fake gateway with a small real schema, and a real browser."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import httpx2
import orjson
import pytest
from graphql import ExecutionResult, build_schema, graphql
from starlette.types import ASGIApp

from firnline.access.principal import Principal, TokenVerifier
from firnline.access.signing import DevelopmentSigner
from firnline.clock import SystemClock
from firnline.errors import FirnlineError
from firnline.settings import Settings
from firnline.web.application import create_web
from firnline.web.gateway import Example, GraphAnswer, GraphRequest, Live, PersonChoice
from firnline.web.server import address_of, create_server, open_socket, run_serving

SCHEMA = build_schema(
    """
    type Query {
      "Who is asking."
      me: String!
      deals(first: Int = 10, orderBy: [Order!]): [Deal!]!
      echo(text: String!): String!
      broken: String
    }
    enum Order { NAME AMOUNT }
    type Mutation { rename(name: String!): String! }
    type Deal { name: String!, amount: Float, owner: String }
    """
)
# What a support agent reads of it.
NARROW_SCHEMA = build_schema(
    "type Query { me: String!, deals: [Deal!]! } type Deal { name: String! }"
)
SUPPORT_AGENT = "o'neil@acme.example"
DEALS = [
    {"name": "Renewal <img src=x onerror=alert(1)>", "amount": 120000.0, "owner": "Ana"},
    {"name": "Expansion", "amount": 45000.0, "owner": None},
]


@dataclass
class FakeLater:
    """The parts that follow an answer, a moment apart."""

    first: Mapping[str, Any]
    parts: list[Mapping[str, Any]]

    async def next(self) -> Mapping[str, Any] | None:
        await asyncio.sleep(0.05)
        return self.parts.pop(0) if self.parts else None

    def failed(self, error: FirnlineError) -> Mapping[str, Any]:
        raise AssertionError(error)

    async def close(self) -> None:
        self.parts.clear()


@dataclass
class FakeGateway:
    """Answers from memory, and keeps what it was asked."""

    seen: list[tuple[Principal, GraphRequest]] = field(default_factory=list)
    components: dict[str, str] = field(default_factory=lambda: {"state": "ok"})
    failure: Exception | None = None
    delay_s: float = 0.0
    answer_of_ids: str = "{ me }"
    deferred: tuple[bytes, FakeLater] | None = None
    live: list[bytes] = field(default_factory=list)  # answers of a subscription, the last one stays
    ended: list[str] = field(default_factory=list)

    def reset(self) -> None:
        FakeGateway.__init__(self)

    async def execute(self, principal: Principal, request: GraphRequest) -> GraphAnswer:
        self.seen.append((principal, request))
        try:
            await asyncio.sleep(self.delay_s)
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        if self.failure:
            raise self.failure
        if request.takes_events:
            body = self.live[0] if len(self.live) == 1 else self.live.pop(0)
            return GraphAnswer(body, live=Live(body, None, rest_s=0.0, renewed_s=60.0))
        if self.deferred and request.takes_parts and "@defer" in (request.query or ""):
            body, later = self.deferred
            return GraphAnswer(body, later=later)
        root = {
            "me": f"{principal.email} at {principal.tenant}",
            "deals": lambda _info, first=10, **_: DEALS[:first],
            "echo": lambda _info, text: text,
            "broken": _broken,
            "rename": lambda _info, name: name,
        }
        result: ExecutionResult = await graphql(
            NARROW_SCHEMA if principal.email == SUPPORT_AGENT else SCHEMA,
            request.query or self.answer_of_ids,
            root,
            variable_values=dict(request.variables or {}),
            operation_name=request.operation_name,
        )
        if result.data is None:
            return GraphAnswer(orjson.dumps({"errors": result.formatted["errors"]}), 400)
        return GraphAnswer(orjson.dumps(result.formatted), 200, has_errors=bool(result.errors))

    async def is_subscription(self, principal: Principal, request: GraphRequest) -> bool:
        return bool(request.query and request.query.startswith("subscription"))

    async def changed(self, principal: Principal, mark: Hashable) -> None:
        try:
            while len(self.live) <= 1:  # noqa: ASYNC110 - tests add to it in another thread
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            self.ended.append("listening")
            raise

    def tenants(self) -> Sequence[str]:
        return ["acme", "globex"]

    async def people(self, tenant: str) -> Sequence[PersonChoice]:
        if tenant == "globex":
            return []
        return [
            PersonChoice("ana@acme.example", "Ana Albers", "Sales rep, Northern region"),
            PersonChoice("mia@acme.example", "Mia Moreau", "Sales manager"),
            PersonChoice("o'neil@acme.example", "<script>alert('x')</script>", "Support agent"),
        ]

    async def examples(self, tenant: str) -> Sequence[Example]:
        return [
            Example("Deals", "query Deals($first: Int) {\n  deals(first: $first) {\n    name\n"
                    "    amount\n  }\n}\n", {"first": 2}),
            Example("Who am I", "query WhoAmI {\n  me\n}\n"),
        ]  # fmt: skip

    def figures(self) -> bytes:
        return b"# figures\n"

    async def ready(self) -> Mapping[str, str]:
        if self.failure:
            raise self.failure
        return self.components


def _broken(_info: Any) -> str:
    raise ValueError("broken on purpose")


@contextmanager
def listening(app: ASGIApp) -> Iterator[str]:
    """Serve `app` in a thread on a free loopback port; yield its URL."""
    socket = open_socket("127.0.0.1", 0)
    server = create_server(app, log_level="critical")
    thread = threading.Thread(target=lambda: run_serving(server.serve(sockets=[socket])))
    thread.start()
    try:
        yield address_of(socket)
    finally:
        server.should_exit = True
        thread.join(timeout=30)
        socket.close()


@dataclass
class Served:
    """A served application, with what a test needs to talk to it."""

    url: str
    gateway: FakeGateway
    client: httpx2.AsyncClient
    token: str

    def headers(self, **changes: str | None) -> dict[str, str]:
        good: dict[str, str | None] = {
            "authorization": f"Bearer {self.token}",
            "content-type": "application/json",
            "accept": "application/graphql-response+json",
        }
        merged = {**good, **{name.replace("_", "-"): value for name, value in changes.items()}}
        return {name: value for name, value in merged.items() if value is not None}

    async def post(self, body: Any, **changes: str | None) -> httpx2.Response:
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        return await self.client.post("/graphql", content=content, headers=self.headers(**changes))


Serving = Callable[..., AbstractContextManager[tuple[str, FakeGateway, str]]]


@contextmanager
def serve(home: Path, **changes: Any) -> Iterator[tuple[str, FakeGateway, str]]:
    """Serve a fake gateway under changed settings; yield URL, gateway and a token of Ana's."""
    clock = SystemClock()
    settings = Settings(**{"home": home, "development": True, **changes})
    signer = DevelopmentSigner.from_settings(settings, clock=clock)
    if not settings.development:
        settings = settings.model_copy(update={"jwt_keys": signer.public_keys})
    gateway = FakeGateway()
    web = create_web(
        gateway=gateway,
        verifier=TokenVerifier.from_settings(settings, clock=clock),
        settings=settings,
        clock=clock,
    )
    with listening(web) as url:
        yield url, gateway, signer.issue_token("acme", "ana@acme.example", name="Ana")


@pytest.fixture
def serving(tmp_path: Path) -> Serving:
    """Return a context manager that serves a fake gateway under changed settings."""
    return partial(serve, tmp_path)


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, FakeGateway, str]]:
    """One server for a module's tests."""
    with serve(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture
async def served(standing: tuple[str, FakeGateway, str]) -> AsyncIterator[Served]:
    """The module's server with a fresh gateway, and a client that follows nothing by itself."""
    url, gateway, token = standing
    gateway.reset()
    async with httpx2.AsyncClient(base_url=url, follow_redirects=False) as client:
        yield Served(url, gateway, client, token)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the path of Chromium, installing Debian's where that is possible."""
    found = shutil.which("chromium")
    if found is None and os.geteuid() == 0 and Path("/etc/debian_version").exists():
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["apt-get", "update"], ["apt-get", "install", "-y", "chromium"]):
            subprocess.run(command, check=False, capture_output=True, env=environment, timeout=280)
        found = shutil.which("chromium")
    if found is None:
        reason = "browser tests need Debian's chromium: apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return cast(str, found)
