"""The org's OAuth: sign-in page, codes, tokens, refresh, revocation, user info.

Takes the org's users; gives `sandbox_rest` the user behind a bearer token.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
)
from starlette.routing import Route

from .sandbox_jwt import JWT_BEARER, AssertionDesk, AssertionRefused
from .sandbox_org import Org, Row, wire_time

_CODE_LIFETIME_S = 900.0
_SCOPES = (
    "api",
    "refresh_token",
    "offline_access",
    "openid",
    "id",
    "full",
    "web",
    "profile",
    "email",
)
_BODY_MAX = 16_384


@dataclass(slots=True)
class Grant:
    """One sign-in of one person; its tokens live and die together."""

    user: str
    scopes: tuple[str, ...]
    refresh_token: str = ""
    live: bool = True


@dataclass(frozen=True, slots=True)
class _Code:
    grant: Grant
    redirect_uri: str
    challenge: str
    expires: float


@dataclass(slots=True)
class _Session:
    grant: Grant
    last_used: float


@dataclass
class TokenDesk:
    """Codes and tokens. `monotonic` may be replaced to let them expire."""

    org: Org
    client_id: str
    client_secret: str
    lifetime_s: float
    rotates: bool
    redirect_uris: tuple[str, ...]
    monotonic: Callable[[], float]
    _codes: dict[str, _Code] = field(default_factory=dict)
    _sessions: dict[str, _Session] = field(default_factory=dict)
    _refreshes: dict[str, Grant] = field(default_factory=dict)

    def active_user(self, email: str) -> Row | None:
        """Return the active user with that e-mail."""
        users = self.org.live("User")
        wanted = email.casefold()
        return next(
            (row for row in users if row["Email"].casefold() == wanted and row["IsActive"]), None
        )

    def issue(self, grant: Grant) -> str:
        """Return a new access token."""
        token = f"{self.org.id[:15]}!AQ{secrets.token_urlsafe(48)}"
        self._sessions[token] = _Session(grant, self.monotonic())
        return token

    def grant_for(self, token: str) -> Grant | None:
        """Return the grant of a live token and keep its session awake: expiry slides."""
        session = self._sessions.get(token)
        if session is None or not session.grant.live:
            return None
        if self.monotonic() - session.last_used > self.lifetime_s:
            del self._sessions[token]
            return None
        if not self.org.rows["User"][session.grant.user]["IsActive"]:
            return None
        session.last_used = self.monotonic()
        return session.grant

    def revoke_user(self, user: str) -> None:
        """Kill everything that a person granted."""
        for session in self._sessions.values():
            if session.grant.user == user:
                session.grant.live = False
        for grant in self._refreshes.values():
            if grant.user == user:
                grant.live = False

    def new_code(self, user: str, asked: Mapping[str, str]) -> str:
        """Return a single-use code for what the authorization request asked."""
        wanted = asked.get("scope", "api").split()
        grant = Grant(user, tuple(scope for scope in wanted if scope in _SCOPES))
        code = f"aPrx{secrets.token_urlsafe(40)}=="
        self._codes[code] = _Code(
            grant,
            asked["redirect_uri"],
            asked["code_challenge"],
            self.monotonic() + _CODE_LIFETIME_S,
        )
        return code

    def redeem(self, form: Mapping[str, str]) -> Grant | str:
        """Return the grant of an authorization code, or why not."""
        code = self._codes.pop(form.get("code", ""), None)
        if code is None:
            return "invalid authorization code"
        if self.monotonic() > code.expires:
            return "expired authorization code"
        if form.get("redirect_uri") != code.redirect_uri:
            return "redirect_uri must match the one of the authorization request"
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if not hmac.compare_digest(challenge, code.challenge):
            return "invalid code verifier"
        if {"refresh_token", "offline_access", "full"} & set(code.grant.scopes):
            self._new_refresh(code.grant)
        return code.grant

    def _new_refresh(self, grant: Grant) -> None:
        grant.refresh_token = f"5Aep861{secrets.token_urlsafe(48)}"
        self._refreshes[grant.refresh_token] = grant

    def refresh(self, form: Mapping[str, str]) -> tuple[Grant, bool] | str:
        """Return the grant of a refresh token and whether it was replaced, or why not."""
        grant = self._refreshes.get(form.get("refresh_token", ""))
        if grant is None or not grant.live:
            return "expired access/refresh token"
        if not self.org.rows["User"][grant.user]["IsActive"]:
            return "inactive user"
        if self.rotates:
            del self._refreshes[grant.refresh_token]
            self._new_refresh(grant)
        return grant, self.rotates

    def revoke(self, token: str) -> bool:
        """Kill a token; a refresh token takes its access tokens with it."""
        if token in self._refreshes:
            self._refreshes.pop(token).live = False
            return True
        return self._sessions.pop(token, None) is not None

    def accepts_redirect(self, uri: str) -> bool:
        """Say whether the app registered this callback: loopback ones, and those listed."""
        parts = urlsplit(uri)
        loopback = parts.scheme == "http" and parts.hostname == "127.0.0.1" and parts.port
        return bool(loopback) or uri in self.redirect_uris


def origin_of(request: Request) -> str:
    """Return the origin that the caller knows the org by."""
    scheme = request.headers.get("x-forwarded-proto", "http")
    return f"{scheme}://{request.headers.get('host', '')}"


def _refuse(error: str, description: str, status: int = 400) -> Response:
    return JSONResponse({"error": error, "error_description": description}, status)


async def _form(request: Request) -> dict[str, str]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _BODY_MAX:
            return {}
    return dict(parse_qsl(body.decode("utf-8", "replace")))


class OAuthEndpoints:
    """The HTTP face of a token desk."""

    def __init__(self, desk: TokenDesk, assertions: AssertionDesk) -> None:
        self._desk = desk
        self._assertions = assertions

    def routes(self) -> list[Route]:
        """Return the endpoints under /services/oauth2."""
        return [
            Route("/services/oauth2/authorize", self.authorize, methods=["GET"]),
            Route("/services/oauth2/token", self.token, methods=["POST"]),
            Route("/services/oauth2/revoke", self.revoke, methods=["POST", "GET"]),
            Route("/services/oauth2/userinfo", self.userinfo, methods=["GET", "POST"]),
        ]

    async def authorize(self, request: Request) -> Response:
        """Show who may sign in, or approve at once for a named person."""
        asked = dict(request.query_params)
        if asked.get("client_id") != self._desk.client_id:
            return HTMLResponse(
                "error=invalid_client_id&error_description=client identifier invalid", 400
            )
        if not self._desk.accepts_redirect(asked.get("redirect_uri", "")):
            return HTMLResponse("error=redirect_uri_mismatch", 400)
        if asked.get("response_type") != "code":
            return self._back(asked, error="unsupported_response_type")
        if asked.get("code_challenge_method") != "S256" or not asked.get("code_challenge"):
            return self._back(
                asked, error="invalid_request", error_description="missing required code challenge"
            )
        if asked.get("sandbox_approve") != "1":
            return HTMLResponse(self._sign_in_page(asked))
        user = self._desk.active_user(asked.get("login_hint", ""))
        if user is None:
            return self._back(
                asked, error="access_denied", error_description="end-user denied authorization"
            )
        return self._back(asked, code=self._desk.new_code(user["Id"], asked))

    def _back(self, asked: Mapping[str, str], **answer: str) -> Response:
        if "state" in asked:
            answer["state"] = asked["state"]
        uri = asked["redirect_uri"]
        mark = "&" if urlsplit(uri).query else "?"
        return RedirectResponse(f"{uri}{mark}{urlencode(answer)}", 302)

    def _sign_in_page(self, asked: Mapping[str, str]) -> str:
        kept = "".join(
            f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
            for name, value in {**asked, "sandbox_approve": "1"}.items()
            if name != "login_hint"
        )
        people = "".join(
            f'<p><button name="login_hint" value="{html.escape(row["Email"])}">'
            f"{html.escape(row['Name'])} ({html.escape(row['Email'])})</button></p>"
            for row in self._desk.org.live("User")
            if row["IsActive"]
        )
        return (
            "<!doctype html><title>Salesforce sandbox sign-in</title><h1>Allow access?</h1>"
            f'<form method="get">{kept}{people}</form>'
        )

    async def token(self, request: Request) -> Response:
        """Exchange a code or a refresh token."""
        form = await _form(request)
        if form.get("grant_type") == JWT_BEARER:
            return self._by_assertion(request, form.get("assertion", ""))
        client_id, client_secret = _client_of(request, form)
        if client_id != self._desk.client_id:
            return _refuse("invalid_client_id", "client identifier invalid")
        if not hmac.compare_digest(client_secret.encode(), self._desk.client_secret.encode()):
            return _refuse("invalid_client", "invalid client credentials")
        kind = form.get("grant_type")
        if kind == "authorization_code":
            redeemed = self._desk.redeem(form)
            if isinstance(redeemed, str):
                return _refuse("invalid_grant", redeemed)
            return self._tokens(request, redeemed, with_refresh=True)
        if kind == "refresh_token":
            refreshed = self._desk.refresh(form)
            if isinstance(refreshed, str):
                return _refuse("invalid_grant", refreshed)
            grant, replaced = refreshed
            return self._tokens(request, grant, with_refresh=replaced)
        return _refuse("unsupported_grant_type", "grant type not supported")

    def _by_assertion(self, request: Request, assertion: str) -> Response:
        """Give a token of the user whom the assertion names; there is no refresh token."""
        try:
            username = self._assertions.username_in(assertion)
        except AssertionRefused as refused:
            return _refuse(refused.error, refused.description)
        user = self._desk.active_user(username)
        if user is None:
            return _refuse("invalid_grant", "user hasn't approved this consumer")
        grant = Grant(user["Id"], ("api", "openid"))
        return self._tokens(request, grant, with_refresh=False)

    def _tokens(self, request: Request, grant: Grant, *, with_refresh: bool) -> Response:
        issued = str(int(self._desk.org.now().timestamp() * 1000))
        identity = f"https://login.salesforce.com/id/{self._desk.org.id}/{grant.user}"
        signature = hmac.digest(
            self._desk.client_secret.encode(), (identity + issued).encode(), "sha256"
        )
        answer: dict[str, Any] = {
            "access_token": self._desk.issue(grant),
            "signature": base64.b64encode(signature).decode(),
            "scope": " ".join(grant.scopes),
            "instance_url": origin_of(request),
            "id": identity,
            "token_type": "Bearer",
            "issued_at": issued,
        }
        if with_refresh and grant.refresh_token:
            answer["refresh_token"] = grant.refresh_token
        return JSONResponse(answer, headers={"Cache-Control": "no-store"})

    async def revoke(self, request: Request) -> Response:
        """Kill a token."""
        form = await _form(request) if request.method == "POST" else dict(request.query_params)
        if self._desk.revoke(form.get("token", "")):
            return Response(status_code=200)
        return _refuse("invalid_token", "the token is unknown or already revoked")

    async def userinfo(self, request: Request) -> Response:
        """Say whose token it is."""
        token = bearer_of(request)
        if not token:
            return PlainTextResponse("Missing_OAuth_Token", 403)
        grant = self._desk.grant_for(token)
        if grant is None:
            return PlainTextResponse("Bad_OAuth_Token", 403)
        user = self._desk.org.rows["User"][grant.user]
        return JSONResponse(
            {
                "sub": f"https://login.salesforce.com/id/{self._desk.org.id}/{grant.user}",
                "user_id": grant.user,
                "organization_id": self._desk.org.id,
                "preferred_username": user["Username"],
                "nickname": user["Alias"],
                "name": user["Name"],
                "email": user["Email"],
                "email_verified": True,
                "given_name": user["FirstName"],
                "family_name": user["LastName"],
                "zoneinfo": user["TimeZoneSidKey"],
                "active": user["IsActive"],
                "user_type": "STANDARD",
                "updated_at": wire_time(self._desk.org.now()),
            }
        )


def bearer_of(request: Request) -> str:
    """Return the access token of the Authorization header, empty when there is none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() in ("bearer", "oauth") else ""


def _client_of(request: Request, form: Mapping[str, str]) -> tuple[str, str]:
    """Return the client's id and secret, from the form or from HTTP Basic."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            client_id, _, secret = base64.b64decode(encoded).decode().partition(":")
        except ValueError:
            return "", ""
        return client_id, secret
    return form.get("client_id", ""), form.get("client_secret", "")
