"""OAuth of the sandbox: the sign-in page, the token endpoint and the tokens themselves.

Authorization code with PKCE (S256 only), codes that live 120 seconds and work once, refresh that
deletes the previous access and refresh token, revocation.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any
from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from firnline.sandbox.forms import read_form

from .sandbox_store import Key, Row, Store
from .sandbox_wire import INVALID_TOKEN, ApiError, iso, json_answer

CODE_LIFETIME_S = 120
REFRESH_LIFETIME_S = 30 * 24 * 3600
LOOPBACK = re.compile(r"http://(127\.0\.0\.1|localhost|\[::1\]):\d+/\S*")


@dataclass(slots=True)
class Grant:
    """One access token and the refresh token that was given with it."""

    number: int
    user_id: Key
    scope: str
    access: str
    refresh: str
    created_at: float
    expires_at: float
    refresh_expires_at: float


@dataclass(slots=True)
class Code:
    """One authorization code."""

    user_id: Key
    scope: str
    redirect_uri: str
    challenge: str
    expires_at: float


@dataclass(slots=True)
class OAuth:
    """The authorization server of one account."""

    store: Store
    client_id: str
    client_secret: str
    lifetime_s: float
    redirect_uris: tuple[str, ...] = ()
    created_status: int = 201
    _codes: dict[str, Code] = field(default_factory=dict)
    _by_access: dict[str, Grant] = field(default_factory=dict)
    _by_refresh: dict[str, Grant] = field(default_factory=dict)
    _count: int = 0

    @property
    def clock(self) -> Callable[[], float]:
        """Return the account's clock."""
        return self.store.clock

    # Tokens

    def issue(self, user_id: Key, scope: str, lifetime_s: float | None = None) -> Grant:
        """Return a new grant."""
        self._count += 1
        now = self.clock()
        grant = Grant(
            number=50_000_000 + self._count,
            user_id=user_id,
            scope=scope,
            access=secrets.token_hex(32),
            refresh=secrets.token_hex(32),
            created_at=now,
            expires_at=now + (lifetime_s or self.lifetime_s),
            refresh_expires_at=now + REFRESH_LIFETIME_S,
        )
        self._by_access[grant.access] = grant
        self._by_refresh[grant.refresh] = grant
        return grant

    def delete(self, grant: Grant) -> None:
        """Make a grant's tokens void."""
        self._by_access.pop(grant.access, None)
        self._by_refresh.pop(grant.refresh, None)

    def grants(self, user_id: Key) -> list[Grant]:
        """Return the grants of one user."""
        return [grant for grant in self._by_access.values() if grant.user_id == user_id]

    def authenticate(self, authorization: str | None) -> Grant:
        """Return the grant of an Authorization header; raises the vendor's 401."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            raise ApiError(401, {"error": "Couldn't authenticate you"})
        grant = self._by_access.get(token.strip())
        if grant is None or grant.expires_at <= self.clock() or self._gone(grant.user_id):
            raise ApiError(401, INVALID_TOKEN, {"WWW-Authenticate": 'Bearer error="invalid_token"'})
        return grant

    def _gone(self, user_id: Key) -> bool:
        users = self.store.table("users")
        return user_id in users.deleted or bool(users.rows[user_id].get("suspended"))

    # The sign-in page

    async def authorize(self, request: Request) -> Response:
        """Show the sign-in page, or answer at once for `login_hint` with `sandbox_approve=1`."""
        params = dict(request.query_params)
        if request.method == "POST":
            params |= await read_form(request)
        wrong = self._unanswerable(params)
        if wrong:
            return HTMLResponse(
                f"<h1>Invalid Authorization Request</h1><p>{escape(wrong)}</p>", 400
            )
        error = self._request_error(params)
        if error or params.get("deny"):
            return self._redirect(params, error=error or "access_denied")
        email = params.get("login_hint", "") if params.get("sandbox_approve") == "1" else ""
        if request.method == "POST":
            email = params.get("email", "")
        if not email:
            return HTMLResponse(self._page(params))
        user = self.user(email)
        if user is None:
            return HTMLResponse("<h1>No such person</h1>", 403)
        code = secrets.token_urlsafe(24)
        self._codes[code] = Code(
            user_id=user["id"],
            scope=params.get("scope", "read"),
            redirect_uri=params["redirect_uri"],
            challenge=params["code_challenge"],
            expires_at=self.clock() + CODE_LIFETIME_S,
        )
        return self._redirect(params, code=code)

    def user(self, email: str) -> Row | None:
        """Return the live, unsuspended user with that address."""
        users = self.store.table("users")
        for key, row in users.rows.items():
            if row["email"] == email.lower() and not self._gone(key):
                return row
        return None

    def _unanswerable(self, params: Mapping[str, str]) -> str:
        """Say what forbids even a redirect."""
        if params.get("client_id") != self.client_id:
            return "Unknown client"
        uri = params.get("redirect_uri", "")
        if not LOOPBACK.fullmatch(uri) and uri not in self.redirect_uris:
            return "The redirect URI is not registered"
        return ""

    def _request_error(self, params: Mapping[str, str]) -> str:
        if params.get("response_type") != "code":
            return "unsupported_response_type"
        if params.get("code_challenge_method") != "S256":
            return "invalid_request"
        if not re.fullmatch(r"[A-Za-z0-9_-]{43}", params.get("code_challenge", "")):
            return "invalid_request"
        return ""

    def _redirect(self, params: Mapping[str, str], **answer: str) -> Response:
        if "state" in params:
            answer["state"] = params["state"]
        uri = params["redirect_uri"]
        joint = "&" if "?" in uri else "?"
        return RedirectResponse(f"{uri}{joint}{urlencode(answer)}", 302)

    def _page(self, params: Mapping[str, str]) -> str:
        hidden = "".join(
            f'<input type="hidden" name="{escape(key)}" value="{escape(value)}">'
            for key, value in params.items()
            if key not in ("email", "deny", "sandbox_approve")
        )
        users = self.store.table("users")
        people = "".join(
            f'<li><button name="email" value="{escape(row["email"])}">'
            f"{escape(row['name'])} ({escape(row['role'])})</button></li>"
            for key, row in users.rows.items()
            if row.get("organization_id") is None and not self._gone(key)
        )
        return (
            "<!doctype html><title>Sign in to Zendesk (sandbox)</title>"
            f"<h1>Allow {escape(self.client_id)} to {escape(params.get('scope', 'read'))}?</h1>"
            f'<form method="post"><ul>{people}</ul>{hidden}'
            '<button name="deny" value="1">Deny</button></form>'
        )

    # The token endpoint

    async def token(self, request: Request) -> Response:
        """Answer POST /oauth/tokens; the body is JSON."""
        try:
            body = orjson.loads(await request.body())
        except ValueError as error:
            raise self._bad("invalid_request", "The request body is not JSON") from error
        if not isinstance(body, dict):
            raise self._bad("invalid_request", "The request body is not an object")
        self._check_client(body)
        kinds = {"authorization_code": self._exchange, "refresh_token": self._refresh}
        kind = kinds.get(str(body.get("grant_type")))
        if kind is None:
            raise self._bad("unsupported_grant_type", "The grant type is not supported")
        grant = kind(body)
        answer = {
            "access_token": grant.access,
            "refresh_token": grant.refresh,
            "token_type": "bearer",
            "scope": grant.scope,
            "expires_in": int(grant.expires_at - self.clock()),
            "refresh_token_expires_in": REFRESH_LIFETIME_S,
        }
        return json_answer(answer, status=self.created_status)

    def _bad(self, error: str, description: str, status: int = 400) -> ApiError:
        return ApiError(status, {"error": error, "error_description": description})

    def _check_client(self, body: Mapping[str, Any]) -> None:
        secret = body.get("client_secret")
        # A public client (no secret) is allowed because PKCE is required of everyone.
        known = secret is None or hmac.compare_digest(str(secret), self.client_secret)
        if body.get("client_id") != self.client_id or not known:
            raise self._bad("invalid_client", "Client authentication failed", 401)

    def _exchange(self, body: Mapping[str, Any]) -> Grant:
        code = self._codes.pop(str(body.get("code")), None)
        verifier = str(body.get("code_verifier", ""))
        digest = hashlib.sha256(verifier.encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if (
            code is None
            or code.expires_at <= self.clock()
            or code.redirect_uri != body.get("redirect_uri")
            or not hmac.compare_digest(code.challenge, challenge)
        ):
            raise self._bad(
                "invalid_grant",
                "The provided authorization grant is invalid, expired, revoked, does not match "
                "the redirection URI used in the authorization request, or was issued to another "
                "client.",
            )
        return self.issue(code.user_id, code.scope, self._lifetime(body))

    def _refresh(self, body: Mapping[str, Any]) -> Grant:
        old = self._by_refresh.get(str(body.get("refresh_token")))
        if old is None or old.refresh_expires_at <= self.clock() or self._gone(old.user_id):
            raise self._bad("invalid_grant", "The refresh token is invalid, expired or revoked.")
        self.delete(old)
        asked = str(body.get("scopes") or body.get("scope") or old.scope)
        narrowed = [one for one in asked.split() if one in old.scope.split()]
        return self.issue(old.user_id, " ".join(narrowed) or old.scope, self._lifetime(body))

    def _lifetime(self, body: Mapping[str, Any]) -> float | None:
        asked = body.get("expires_in")
        if asked is None:
            return None
        if not str(asked).isdigit() or not 300 <= int(asked) <= 172_800:
            raise self._bad("invalid_request", "expires_in must be between 300 and 172800")
        return float(asked)

    def describe(self, grant: Grant) -> Row:
        """Return a token as /oauth/tokens shows it: the first ten characters only."""
        return {
            "id": grant.number,
            "user_id": grant.user_id,
            "client_id": 1,
            "token": grant.access[:10],
            "scopes": grant.scope.split(),
            "created_at": iso(grant.created_at),
            "expires_at": iso(grant.expires_at),
            "used_at": None,
        }
