"""The server behind the tests' own providers: a strict OAuth server and a small API.

It knows nothing of the client's code: PKCE, redirect URI, single use, rotation, assertion claims
and expiry are checked as the RFCs say.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

import orjson
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from firnline.clock import Clock

CLIENT_ID = "client-1"
CLIENT_SECRET = "canary-client-secret"
PEOPLE = {"ann@north.test": "Ann Admin", "bob@north.test": "Bob Builder"}


class Office:
    """One office of Paperclip or Stapler. `lifetime_s` None: tokens without a stated end."""

    def __init__(self, host: str, clock: Clock, *, lifetime_s: float | None = 3600) -> None:
        self.host = host
        self.clock = clock
        self.lifetime_s = lifetime_s
        self.keys: dict[str, tuple[RSAKey | ECKey, str]] = {}  # key id -> key, email
        self.codes: dict[str, dict[str, str]] = {}
        self.access: dict[str, tuple[str, float]] = {}  # token -> email, ends
        self.refresh: dict[str, tuple[str, str]] = {}  # token -> email, access token
        self.token_calls: list[Mapping[str, str]] = []
        self.token_answer: tuple[int, Any] | None = None
        self.token_delay_s = 0.0
        self.api_delay_s = 0.005
        self.seen: list[tuple[str, Mapping[str, str]]] = []
        self.api_answer: tuple[int, Any] | None = None
        self.api_next: list[tuple[int, Any]] = []  # answers before it works again
        self.loses_replies = 0  # so many tokens are given, and the answer breaks off
        self.keeps_replaced = False  # a refresh token answers after it was replaced, too
        self.gives_refresh = True
        self.refresh_ends: datetime | None = None
        self.revoke_answer: tuple[int, Any] | None = None
        methods = ["GET", "POST"]
        self.app = Starlette(
            routes=[
                Route("/oauth/authorize", self.authorize),
                Route("/oauth/token", self.token, methods=["POST"]),
                Route("/oauth/revoke", self.revoke, methods=["POST"]),
                Route("/{path:path}", self.api, methods=methods),
            ]
        )

    def expire_access(self) -> None:
        """Let every access token run out, without a word to the client."""
        self.access.clear()

    def revoke_all(self) -> None:
        """Forget every token."""
        self.access.clear()
        self.refresh.clear()

    async def authorize(self, request: Request) -> Response:
        query = dict(request.query_params)
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        assert query["scope"] == "read write"
        if query["client_id"] != CLIENT_ID or query.get("login_hint") not in PEOPLE:
            return RedirectResponse(f"{query['redirect_uri']}?error=access_denied", 302)
        code = secrets.token_urlsafe(16)
        self.codes[code] = query
        return RedirectResponse(f"{query['redirect_uri']}?code={code}&state={query['state']}", 302)

    async def token(self, request: Request) -> Response:
        body = await self._body(request)
        self.token_calls.append(body)
        if self.token_delay_s:
            await asyncio.sleep(self.token_delay_s)
        if self.token_answer is not None:
            status, content = self.token_answer
            return Response(orjson.dumps(content), status)
        grant = body["grant_type"]
        if grant == "client_credentials":
            return self._by_assertion(body)
        if (body["client_id"], body.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            return JSONResponse({"error": "invalid_client"}, 401)
        answer = self._by_code(body) if grant == "authorization_code" else self._by_refresh(body)
        if self.loses_replies:
            self.loses_replies -= 1
            answer.headers["content-length"] = "9999"  # the connection breaks off before that
        return answer

    async def revoke(self, request: Request) -> Response:
        if self.revoke_answer is not None:
            status, content = self.revoke_answer
            return Response(orjson.dumps(content), status)
        body = await self._body(request)
        _email, access_token = self.refresh.pop(body["token"], ("", ""))
        self.access.pop(access_token, None)
        return JSONResponse({})  # RFC 7009: also for a token that nobody knows

    async def _body(self, request: Request) -> dict[str, str]:
        if request.headers["content-type"].startswith("application/json"):
            parsed: dict[str, str] = await request.json()
            return parsed
        return dict(parse_qsl((await request.body()).decode(), strict_parsing=True))

    def _by_code(self, body: Mapping[str, str]) -> Response:
        started = self.codes.pop(body["code"], None)
        digest = hashlib.sha256(body["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (
            started is None
            or started["code_challenge"] != challenge
            or started["redirect_uri"] != body["redirect_uri"]
        ):
            return JSONResponse({"error": "invalid_grant", "error_description": "bad code"}, 400)
        return self._grant(started["login_hint"])

    def _by_refresh(self, body: Mapping[str, str]) -> Response:
        held = self.refresh.get(body["refresh_token"])
        if not self.keeps_replaced:
            self.refresh.pop(body["refresh_token"], None)
        if held is None:
            return JSONResponse({"error": "invalid_grant"}, 400)
        email, access_token = held
        self.access.pop(access_token, None)
        return self._grant(email)

    def _by_assertion(self, body: Mapping[str, str]) -> Response:
        head = body["client_assertion"].split(".")[0]
        kid = orjson.loads(base64.urlsafe_b64decode(head + "=="))["kid"]
        if kid not in self.keys:
            return JSONResponse({"error": "invalid_grant"}, 400)
        key, email = self.keys[kid]
        claims = jwt.decode(body["client_assertion"], key, algorithms=["PS256", "ES256"]).claims
        now = self.clock.now().timestamp()
        assert claims["iss"] == CLIENT_ID
        assert claims["aud"] == f"https://{self.host}/oauth/token"
        assert claims["scope"] == ["read", "write"]
        assert claims["iat"] <= now < claims["exp"] <= now + 3600
        return self._grant(email, with_refresh=False)

    def _grant(self, email: str, *, with_refresh: bool = True) -> Response:
        token = f"canary-access-{secrets.token_urlsafe(8)}"
        ends = float("inf")
        answer: dict[str, Any] = {"access_token": token, "token_type": "Bearer"}
        if self.lifetime_s is not None:
            ends = self.clock.now().timestamp() + self.lifetime_s
            answer["expires_in"] = str(int(self.lifetime_s))
        self.access[token] = (email, ends)
        if with_refresh and self.gives_refresh:
            if self.refresh_ends is not None:
                left = self.refresh_ends - self.clock.now()
                answer["refresh_token_expires_in"] = int(left.total_seconds())
            answer["refresh_token"] = f"canary-refresh-{secrets.token_urlsafe(8)}"
            self.refresh[answer["refresh_token"]] = (email, token)
        return JSONResponse(answer, 201)

    async def api(self, request: Request) -> Response:
        self.seen.append((request.url.path, dict(request.headers)))
        assert request.headers["host"] == self.host
        assert request.headers["x-api-level"] == "3"
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        email, ends = self.access.get(token, ("", 0.0))
        if self.clock.now().timestamp() >= ends:
            return JSONResponse({"error": "token expired"}, 401)
        if request.url.path == "/me":
            return JSONResponse({"id": email, "name": PEOPLE[email]})
        await asyncio.sleep(self.api_delay_s)
        if self.api_next:
            status, content = self.api_next.pop(0)
            return Response(orjson.dumps(content), status)
        if self.api_answer is not None:
            status, content = self.api_answer
            return Response(orjson.dumps(content), status)
        return JSONResponse({"path": request.url.path, "email": email})
