"""The servers behind Sprocket, Chime, Bazaar, Entry and Tally, and a tenant that has each of them.

Signing in is the sandboxes' own strict authorization server, worded as each provider words it.
They know nothing of the client's code. `before` are answers given instead of doing what was asked,
`after` those given in place of the true one, once it was done: replies that were lost.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
from joserfc.jwk import RSAKey
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send
from tests.transport.loopback import serve

from firnline.clock import Clock, FixedClock
from firnline.connections import ClientCredentials, Connections
from firnline.sandbox.authority import Authority, AuthorityClient, AuthorityShape, Wire
from firnline.sandbox.authority_grants import Grant, GrantRefused, GrantRules, Issued
from firnline.sandbox.authority_keys import ClientKey
from firnline.sandbox.signin import CALLBACK, approved
from firnline.settings import Settings
from firnline.spec.model import TenantSpec
from firnline.state import ConnectionRow

CLIENT_ID = "client 1/ü"  # has to be encoded wherever it goes
CLIENT_SECRET = "canary-client:secret%"
THUMBPRINT = "q1w2e3r4t5"
ANN = "ann@north.test"

SPEC = TenantSpec.model_validate(
    {
        "tenant": "acme",
        "connections": {
            "sprockets": {"provider": "sprocket"},
            "chimes": {"provider": "chime"},
            "bazaar": {"provider": "bazaar", "settings": {"instance": "123-abc-456"}},
            "entry": {
                "provider": "entry",
                "settings": {"org": "north", "directory": "0a1b2c3d"},
            },
            "entryMachine": {
                "provider": "entry",
                "settings": {"org": "north", "directory": "0a1b2c3d"},
                "auth": "client_credentials",
            },
            "tally": {"provider": "tally", "settings": {"username": "robot@north"}},
        },
    }
)


class SprocketWire(Wire):
    """Refusals are `status` and `message`; scopes are not told."""

    STATUSES: Mapping[tuple[str, str], str] = {
        ("invalid_grant", "refresh_token"): "BAD_REFRESH_TOKEN",
        ("invalid_grant", "authorization_code"): "BAD_AUTH_CODE",
    }

    def granted(self, issued: Issued) -> Mapping[str, Any]:
        answer = dict(super().granted(issued), hub_id=7)
        del answer["scope"]
        return answer

    def refused(self, refusal: GrantRefused, grant_type: str) -> tuple[int, Mapping[str, Any]]:
        status = self.STATUSES.get((refusal.error, grant_type), "BAD_CLIENT_SECRET")
        return 400, {"status": status, "message": refusal.description, "correlationId": "c-1"}


class ChimeWire(Wire):
    """Names the customer's own host; refusals are one sentence in a list."""

    base_url = "https://company-17.api.chime.example"

    def granted(self, issued: Issued) -> Mapping[str, Any]:
        return {**super().granted(issued), "api_base_url_for_customer": self.base_url}

    def refused(self, refusal: GrantRefused, grant_type: str) -> tuple[int, Mapping[str, Any]]:
        if refusal.error == "invalid_client":
            return 401, {"error": "invalid_client", "error_description": "Bad credentials"}
        return 400, {"requestId": "r-1", "errors": ["Refresh token code is invalid"]}


class EntryWire(Wire):
    """Numbers each refusal beside the standard's word for it."""

    NUMBERS: Mapping[str, int] = {
        "invalid_grant": 700082,
        "invalid_client": 7000215,
        "invalid_scope": 70011,
    }

    def refused(self, refusal: GrantRefused, grant_type: str) -> tuple[int, Mapping[str, Any]]:
        status, answer = super().refused(refusal, grant_type)
        number = self.NUMBERS.get(refusal.error, 900144)
        told = f"AADSTS{number}: {refusal.description}. Trace ID: t Correlation ID: c"
        return status, {**answer, "error_description": told, "error_codes": [number]}


class TallyWire(Wire):
    """An error object of its own."""

    def refused(self, refusal: GrantRefused, grant_type: str) -> tuple[int, Mapping[str, Any]]:
        code = "GW-0011" if refusal.error == "invalid_client" else "tokenInvalid"
        return 401, {"error": {"code": code, "message": refusal.description}}


class Server:
    """One provider: its authorization server and an API that says who is there."""

    hosts: tuple[str, ...] = ()
    shape = AuthorityShape()
    rules = GrantRules()
    wire: Wire = Wire()
    scopes: tuple[str, ...] = ()

    def __init__(self, clock: Clock, *, keys: tuple[ClientKey, ...] = ()) -> None:
        self.people = [ANN, "bob@north.test"]
        client = AuthorityClient(
            CLIENT_ID, CLIENT_SECRET, (CALLBACK,), self.scopes, acts_as="robot@north", keys=keys
        )
        self.authority = Authority(
            shape=self.shape,
            rules=self.rules,
            people=lambda: [*self.people, "robot@north"],
            clients=[client],
            clock=clock,
            wire=self.wire,
        )
        self.before: list[Response] = []
        self.after: list[Response] = []
        self.token_calls = 0
        self.seen: list[Mapping[str, str]] = []
        api = Route("/{path:path}", self.api, methods=["GET", "POST"])
        self._inner = Starlette(routes=[*self.authority.routes(), api])

    @property
    def grants(self) -> Any:
        """What the authorization server remembers."""
        return self.authority.grants

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, unless another answer is due at the token endpoint."""
        if scope["type"] != "http" or scope["path"] != self.shape.token_path:
            await self._inner(scope, receive, send)
            return
        self.token_calls += 1
        if self.before:
            await self.before.pop(0)(scope, receive, send)
            return
        lost = self.after.pop(0) if self.after else None
        await self._inner(scope, receive, send if lost is None else _dropped)
        if lost is not None:
            await lost(scope, receive, send)

    async def api(self, request: Request) -> Response:
        """Answer who is there, or why not."""
        headers = request.headers
        self.seen.append({**headers, "path": request.url.path})
        if headers["host"] not in self.hosts:
            return PlainTextResponse("no such host", 421)
        grant = self.authority.grant_behind(request)
        if grant is None:
            return self.stranger(headers.get("authorization", "").removeprefix("Bearer "))
        return self.answer(grant, request.url.path)

    def stranger(self, token: str) -> Response:
        """Answer a call whose token is not good."""
        return Response(status_code=401)

    def answer(self, grant: Grant, path: str) -> Response:
        """Answer a call of somebody known."""
        return JSONResponse({"id": grant.person, "path": path})


async def _dropped(_message: Message) -> None:
    """Let an answer go nowhere."""


class SprocketServer(Server):
    hosts = ("api.sprocket.example", "app.sprocket.example")
    scopes = ("contacts.read", "deals.read")
    wire = SprocketWire()
    rules = GrantRules(access_lifetime_s=1800, revocation_ends_access=False)
    shape = AuthorityShape(
        token_path="/oauth/v1/token",
        revoke_path="/oauth/v1/refresh-tokens",
        revoke_by="delete_path",
    )

    def stranger(self, token: str) -> Response:
        expired = self.grants.has_expired(token)
        category = "EXPIRED_AUTHENTICATION" if expired else "INVALID_AUTHENTICATION"
        said = {"status": "error", "category": category, "message": "The token used is not good."}
        return JSONResponse(said, 401)

    def answer(self, grant: Grant, path: str) -> Response:
        if path == "/custom":
            said = {"status": "error", "category": "MISSING_SCOPES", "message": "Scopes needed."}
            return JSONResponse(said, 403)
        return super().answer(grant, path)


class ChimeServer(Server):
    hosts = ("company-17.api.chime.example",)
    scopes = ("api:calls:read:basic", "api:users:read")
    wire = ChimeWire()
    rules = GrantRules(
        access_lifetime_s=86_400,
        refresh_lifetime_s=30 * 86_400,
        rotation="single_use",
        is_pkce_required=False,
    )
    shape = AuthorityShape(
        authorize_path="/oauth2/authorize",
        token_path="/oauth2/generate-customer-token",
        places=frozenset({"query"}),
        naming=frozenset({"basic"}),
    )

    def stranger(self, token: str) -> Response:
        return JSONResponse({"requestId": "r-2", "errors": ["The token is expired"]}, 401)

    def answer(self, grant: Grant, path: str) -> Response:
        if path == "/v2/stats":
            errors = ["The scope api:stats:interaction is required"]
            return JSONResponse({"requestId": "r-3", "errors": errors}, 401)
        return super().answer(grant, path)


class BazaarServer(Server):
    hosts = ("123-abc-456.mktorest.bazaar.example",)
    rules = GrantRules(gives_same_token=True)
    shape = AuthorityShape(
        token_path="/identity/oauth/token",
        token_methods=("GET", "POST"),
        places=frozenset({"query"}),
        grant_types=frozenset({"client_credentials"}),
    )

    def stranger(self, token: str) -> Response:
        code = "602" if self.grants.has_expired(token) else "601"
        errors = [{"code": code, "message": "Access token invalid"}]
        return JSONResponse({"requestId": "e#1", "success": False, "errors": errors})

    def answer(self, grant: Grant, path: str) -> Response:
        if path == "/rest/v1/denied":
            errors = [{"code": "603", "message": "Access denied"}]
            return JSONResponse({"requestId": "e#2", "success": False, "errors": errors})
        return JSONResponse({"success": True, "result": {"id": grant.person}})


class EntryServer(Server):
    hosts = ("north.crm.entry.example",)
    scopes = (
        "https://north.crm.entry.example/user_impersonation",
        "https://north.crm.entry.example/.default",
        "offline_access",
    )
    wire = EntryWire()
    rules = GrantRules(access_lifetime_s=3599, rotation="single_use", grace_s=300)
    shape = AuthorityShape(
        authorize_path="/0a1b2c3d/oauth2/v2.0/authorize",
        token_path="/0a1b2c3d/oauth2/v2.0/token",
        grant_types=frozenset({"authorization_code", "refresh_token", "client_credentials"}),
        naming=frozenset({"body", "assertion"}),
        issuer="https://login.entry.example/0a1b2c3d/v2.0",
    )


class TallyServer(Server):
    hosts = ("api.tally.example",)
    wire = TallyWire()
    shape = AuthorityShape(
        token_path="/oauth2/token",
        revoke_path="/oauth2/revoke",
        places=frozenset({"json", "form"}),
        naming=frozenset({"basic"}),
        grant_types=frozenset({"client_credentials"}),
    )

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        act = self.authority.acting

        def acting(client: AuthorityClient, asked: Mapping[str, str]) -> str:
            if asked.get("username") != act(client, asked):
                raise GrantRefused("invalid_grant", "the user is not allowed for this client")
            return asked["username"]

        self.authority.acting = acting  # type: ignore[method-assign]


@dataclass
class OAuthBench:
    """What a test holds: the connections under test and the servers they speak to."""

    connections: Connections
    settings: Settings
    clock: FixedClock
    sprocket: SprocketServer
    chime: ChimeServer
    bazaar: BazaarServer
    entry: EntryServer
    tally: TallyServer
    key: RSAKey
    spec: TenantSpec = SPEC

    async def register(self, provider: str, **changes: Any) -> None:
        """Register the OAuth client for a provider, or what a test makes of it."""
        known: dict[str, Any] = {
            "client_id": CLIENT_ID,
            "client_secret": SecretStr(CLIENT_SECRET),
            **changes,
        }
        await self.connections.clients.save(ClientCredentials(**known), provider=provider)

    async def sign_in(self, name: str, email: str = ANN) -> ConnectionRow:
        """Go through the whole browser flow."""
        connections = self.connections
        start = await connections.start_authorization(self.spec, name, redirect_uri=CALLBACK)
        async with httpx2.AsyncClient() as http:
            routes = connections.transport.routes
            back = await approved(http, start.url, email, routes=routes)
        issuer = back.get("iss", "")
        return await connections.finish_authorization(back["state"], back["code"], issuer=issuer)

    async def row(self, name: str) -> ConnectionRow:
        """Return the stored connection."""
        found = await self.connections.state.connection("acme", name)
        assert found is not None
        return found


@asynccontextmanager
async def oauth_bench(home: Path, key: RSAKey) -> AsyncIterator[OAuthBench]:
    """Serve the five providers and open connections to them, with the client registered."""
    clock = FixedClock(datetime(2026, 11, 22, 12, 0, tzinfo=UTC))
    certificate = ClientKey(key, THUMBPRINT, "PS256", "x5t#S256")
    sprocket, chime, bazaar = SprocketServer(clock), ChimeServer(clock), BazaarServer(clock)
    entry, tally = EntryServer(clock, keys=(certificate,)), TallyServer(clock)
    doors: dict[str, Server] = {
        **dict.fromkeys(sprocket.hosts, sprocket),
        **dict.fromkeys(("api.chime.example", "app.chime.example", *chime.hosts), chime),
        **dict.fromkeys(bazaar.hosts, bazaar),
        **dict.fromkeys((*entry.hosts, "login.entry.example"), entry),
        **dict.fromkeys(tally.hosts, tally),
    }
    async with AsyncExitStack() as stack:
        routes = {
            f"https://{host}": await stack.enter_async_context(serve(server))
            for host, server in doors.items()
        }
        settings = Settings(home=home, routes=routes)
        connections = await stack.enter_async_context(Connections.open(settings, clock=clock))
        bench = OAuthBench(connections, settings, clock, sprocket, chime, bazaar, entry, tally, key)
        for provider in ("sprocket", "chime", "bazaar", "entry", "tally"):
            await bench.register(provider)
        yield bench
