"""The account's OAuth 2.0: M2M assertions, the consent screen, tokens. Requests in, sessions out.

An M2M certificate mapping (key id) stands for (integration, employee, role); several mappings may
share one key. Errors of the token endpoint are `{"error": code}` and nothing more.
"""

from __future__ import annotations

import hashlib
import secrets
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import urlencode, urlsplit

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from firnline.clock import Clock
from firnline.sandbox.forms import read_form

from .sandbox_records import Store

TOKEN_PATH = "/services/rest/auth/oauth2/v1/token"  # noqa: S105 - a path
SCOPES = frozenset({"rest_webservices", "restlets", "suite_analytics"})
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_LIFETIME_MAX_S = 3600
CODE_LIFETIME_S = 600
REFRESH_LIFETIME_S = 7 * 24 * 3600
CLOCK_SKEW_S = 60


@dataclass(frozen=True, slots=True)
class Session:
    """One employee in one role, until a monotonic moment."""

    email: str
    role: int
    employee: int
    expires: float


@dataclass(frozen=True, slots=True)
class Grant:
    """A consent that was given: a code or a refresh token stands for it."""

    email: str
    redirect_uri: str
    challenge: str
    expires: float


class TokenRefusal(Exception):
    """The token endpoint says no; `error` is the OAuth error code."""

    def __init__(self, error: str, status: int = 400) -> None:
        super().__init__(error)
        self.error = error
        self.status = status


class Authority:
    """Issues and checks the account's tokens."""

    def __init__(
        self,
        store: Store,
        *,
        account: str,
        base_url: str,
        lifetime_s: int,
        redirect_uris: Sequence[str],
        algorithm: str,
        clock: Clock,
    ) -> None:
        self.store = store
        self.account = account
        self.base_url = base_url
        self.algorithm = algorithm
        self._lifetime_s = lifetime_s
        self._redirect_uris = frozenset(redirect_uris)
        self._clock = clock
        mark = hashlib.sha256(f"{store.company.tenant}:{store.company.seed}".encode()).hexdigest()
        self.client_id = mark[:64]
        self.client_secret = secrets.token_hex(32)
        self.key = (
            ECKey.generate_key("P-256") if algorithm == "ES256" else RSAKey.generate_key(3072)
        )
        self._algorithms = ["ES256"] if algorithm == "ES256" else ["PS256", "PS384", "PS512"]
        self._signing = ECKey.generate_key("P-256", {"kid": "sandbox-1"})
        self._mark = mark
        self.mappings = {self._certificate_of(email): email for email in store.role_by_email}
        self._sessions: dict[str, Session] = {}
        self._codes: dict[str, Grant] = {}
        self._refresh: dict[str, Grant] = {}

    # Tokens

    def issue(self, email: str, scopes: Sequence[str] = ("rest_webservices",)) -> str:
        """Return a new access token of that person's role."""
        role, employee = self.store.role_by_email[email], self.store.employee_of[email]
        wall = int(self._clock.now().timestamp())
        claims = {
            "sub": f"{role};{employee}",
            "aud": [f"{self.client_id[:8]};{self.account}", self.client_id],
            "scope": list(scopes),
            "iss": "https://system.netsuite.com",
            "oit": wall,
            "iat": wall,
            "exp": wall + self._lifetime_s,
            "jti": secrets.token_hex(16),
        }
        header = {"typ": "JWT", "alg": "ES256", "kid": "sandbox-1"}
        token = jwt.encode(header, claims, self._signing)
        expires = self._clock.monotonic() + self._lifetime_s
        self._sessions[token] = Session(email, role, employee, expires)
        return token

    def session(self, authorization: str) -> Session | None:
        """Return the session of an Authorization header, None when it is not good any more."""
        scheme, _, token = authorization.partition(" ")
        session = self._sessions.get(token) if scheme.lower() == "bearer" else None
        if session is None or session.expires <= self._clock.monotonic():
            return None
        return session if self.may_sign_in(session.email) else None

    def may_sign_in(self, email: str) -> bool:
        """Say whether an employee is active and has a role with access."""
        row = self.store.tables["employee"].get(self.store.employee_of.get(email, 0), {})
        has_role = email in self.store.role_by_email
        return has_role and row.get("isinactive") == "F" and row.get("giveaccess") == "T"

    def revoke(self, email: str) -> None:
        """End every session and consent of a person."""
        self._sessions = {t: s for t, s in self._sessions.items() if s.email != email}
        self._refresh = {t: g for t, g in self._refresh.items() if g.email != email}

    def withdraw_certificate(self, email: str) -> None:
        """Revoke the certificate mapped to a person: no assertion is signed for them any more."""
        self.mappings.pop(self._certificate_of(email), None)
        self.revoke(email)

    def map_certificate(self, email: str) -> None:
        """Map the certificate to a person again."""
        self.mappings[self._certificate_of(email)] = email

    def _certificate_of(self, email: str) -> str:
        digest = hashlib.sha256(f"{self._mark}:{email}".encode()).hexdigest()
        return f"cert_{digest[:40]}"

    def jwks(self) -> Mapping[str, Any]:
        """Return the public keys that sign access tokens."""
        return {"keys": [self._signing.as_dict(private=False)]}

    # Endpoints

    async def token(self, request: Request) -> Response:
        """Answer the token endpoint."""
        form = await read_form(request)
        try:
            match form.get("grant_type"):
                case "client_credentials":
                    return JSONResponse(self._client_credentials(form, request))
                case "authorization_code":
                    self._check_client(request)
                    return JSONResponse(self._authorization_code(form))
                case "refresh_token":
                    self._check_client(request)
                    return JSONResponse(self._refreshed(form))
                case None | "":
                    raise TokenRefusal("invalid_request")
                case _:
                    raise TokenRefusal("unsupported_grant_type")
        except TokenRefusal as refusal:
            headers = (
                {"WWW-Authenticate": f'Basic realm="{self.account}"'}
                if refusal.status == 401
                else {}
            )
            return JSONResponse({"error": refusal.error}, refusal.status, headers)

    async def revocation(self, request: Request) -> Response:
        """Answer the revocation endpoint: the token and its consent end."""
        try:
            self._check_client(request)
        except TokenRefusal as refusal:
            return JSONResponse({"error": refusal.error}, refusal.status)
        token = (await read_form(request)).get("token", "")
        grant, session = self._refresh.get(token), self._sessions.get(token)
        email = grant.email if grant else session.email if session else ""
        self.revoke(email)
        return Response(status_code=200)

    async def authorize(self, request: Request) -> Response:
        """Show the consent screen; with `sandbox_approve` or a posted form, answer the redirect."""
        asked = dict(request.query_params)
        problem = self._authorize_problem(asked)
        if problem:
            return HTMLResponse(f"<h1>Invalid request</h1><p>{escape(problem)}</p>", 400)
        email = asked.get("login_hint", "") if asked.get("sandbox_approve") else ""
        if request.method == "POST":
            email = (await read_form(request)).get("email", "")
        if not email:
            return HTMLResponse(self._consent_page(request))
        state = {"state": asked["state"]}
        if not self.may_sign_in(email):
            refused = urlencode({"error": "access_denied", **state})
            return RedirectResponse(f"{asked['redirect_uri']}?{refused}", 302)
        code = secrets.token_urlsafe(32)
        expires = self._clock.monotonic() + CODE_LIFETIME_S
        self._codes[code] = Grant(email, asked["redirect_uri"], asked["code_challenge"], expires)
        granted = {
            **state,
            "role": str(self.store.role_by_email[email]),
            "entity": str(self.store.employee_of[email]),
            "company": self.account,
            "code": code,
        }
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(granted)}", 302)

    # How

    def _authorize_problem(self, asked: Mapping[str, str]) -> str:
        uri = urlsplit(asked.get("redirect_uri", ""))
        is_loopback = uri.scheme == "http" and uri.hostname == "127.0.0.1" and uri.port is not None
        scopes = set(asked.get("scope", "").split())
        if asked.get("client_id") != self.client_id:
            return "unknown client_id"
        if not is_loopback and asked.get("redirect_uri") not in self._redirect_uris:
            return "redirect_uri is not registered"
        if asked.get("response_type") != "code":
            return "response_type must be code"
        if not scopes or not scopes <= SCOPES:
            return "scope is not allowed"
        if not 22 <= len(asked.get("state", "")) <= 1024:
            return "state must have 22 to 1024 characters"
        if asked.get("code_challenge_method") != "S256" or not asked.get("code_challenge"):
            return "PKCE with S256 is required"
        return ""

    def _consent_page(self, request: Request) -> str:
        people = "".join(
            f'<li><button name="email" value="{escape(email)}">{escape(email)}</button></li>'
            for email in sorted(self.store.role_by_email)
            if self.may_sign_in(email)
        )
        action = escape(f"{request.url.path}?{request.url.query}")
        return (
            f"<!doctype html><title>{escape(self.account)}</title><h1>Log in and allow access</h1>"
            f'<form method="post" action="{action}"><ul>{people}</ul></form>'
        )

    def _check_client(self, request: Request) -> None:
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        try:
            given = b64decode(encoded).decode() if scheme.lower() == "basic" else ""
        except ValueError:
            given = ""
        wanted = f"{self.client_id}:{self.client_secret}"
        if not secrets.compare_digest(given.encode(), wanted.encode()):
            raise TokenRefusal("invalid_client", 401)

    def _authorization_code(self, form: Mapping[str, str]) -> Mapping[str, Any]:
        grant = self._codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (
            grant is None
            or grant.expires <= self._clock.monotonic()
            or grant.redirect_uri != form.get("redirect_uri")
            or grant.challenge != challenge
        ):
            raise TokenRefusal("invalid_grant")
        refresh = secrets.token_urlsafe(48)
        expires = self._clock.monotonic() + REFRESH_LIFETIME_S
        self._refresh[refresh] = Grant(grant.email, "", "", expires)
        return {**self._answer(grant.email), "refresh_token": refresh}

    def _refreshed(self, form: Mapping[str, str]) -> Mapping[str, Any]:
        grant = self._refresh.get(form.get("refresh_token", ""))
        if grant is None or grant.expires <= self._clock.monotonic():
            raise TokenRefusal("invalid_grant")
        # A confidential client gets no new refresh token: consent lasts seven days.
        return self._answer(grant.email)

    def _answer(self, email: str) -> Mapping[str, Any]:
        if not self.may_sign_in(email):
            raise TokenRefusal("invalid_grant")
        # The documents print expires_in as text for this flow, as a number for M2M.
        expires_in = str(self._lifetime_s)
        return {
            "access_token": self.issue(email),
            "expires_in": expires_in,
            "token_type": "bearer",
        }

    def _client_credentials(self, form: Mapping[str, str], request: Request) -> Mapping[str, Any]:
        assertion = form.get("client_assertion", "")
        if form.get("client_assertion_type") != ASSERTION_TYPE or not assertion:
            raise TokenRefusal("invalid_request")
        try:
            # RS256 is refused as NetSuite refuses it.
            signed = jwt.decode(assertion, self.key, algorithms=self._algorithms)
        except (JoseError, ValueError) as error:
            raise TokenRefusal("invalid_grant") from error
        email = self.mappings.get(str(signed.header.get("kid", "")))
        if email is None or signed.claims.get("iss") != self.client_id:
            raise TokenRefusal("invalid_client", 401)
        self._check_claims(signed.claims, request)
        if not self.may_sign_in(email):
            raise TokenRefusal("invalid_grant")
        return {
            "access_token": self.issue(email, _scopes(signed.claims.get("scope"))),
            "expires_in": self._lifetime_s,
            "token_type": "bearer",
        }

    def _check_claims(self, claims: Mapping[str, Any], request: Request) -> None:
        issued, expires = claims.get("iat"), claims.get("exp")
        if not isinstance(issued, int | float) or not isinstance(expires, int | float):
            raise TokenRefusal("invalid_request")
        wall = self._clock.now().timestamp()
        audience = claims.get("aud")
        own = {f"{self.base_url}{TOKEN_PATH}", f"{link_base(request)}{TOKEN_PATH}"}
        lasts = expires - issued
        if expires <= wall or issued > wall + CLOCK_SKEW_S or lasts > ASSERTION_LIFETIME_MAX_S:
            raise TokenRefusal("invalid_grant")
        if audience not in own and not (isinstance(audience, list) and own & set(audience)):
            raise TokenRefusal("invalid_grant")
        scopes = _scopes(claims.get("scope"))
        if not scopes or not set(scopes) <= SCOPES:
            raise TokenRefusal("invalid_scope")


def link_base(request: Request) -> str:
    """Return the origin that the caller sees: the vendor's host, or loopback."""
    scheme = request.headers.get("x-forwarded-proto", "http")
    return f"{scheme}://{request.headers.get('host', '')}"


def _scopes(claimed: Any) -> list[str]:
    """Return scopes given as an array or as text with blanks or commas."""
    if isinstance(claimed, list):
        return [str(scope) for scope in claimed]
    return str(claimed or "").replace(",", " ").split()
