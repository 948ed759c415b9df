"""A strict OAuth 2.0 authorization server for sandboxes.

Takes a provider's rules, its people and its clients; a sandbox mounts `routes()` and asks
`person_of` who is behind a call. It checks what the RFCs say and knows nothing of any client's
code: exact redirect URIs, PKCE with S256 only, codes and single-use refresh tokens once, one way
for a client to name itself. How a provider words its answers is `Wire`, which sandboxes subclass.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

import orjson
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from firnline.clock import Clock
from firnline.sandbox.authority_grants import Grant, GrantRefused, GrantRules, Grants, Issued
from firnline.sandbox.authority_keys import AssertionJudge, ClientKey
from firnline.sandbox.authority_pages import consent_page

BODY_MAX = 65_536
STATE_MAX = 2048

Place = Literal["form", "json", "query"]
Naming = Literal["body", "basic", "assertion"]


@dataclass(frozen=True, slots=True)
class AuthorityClient:
    """A client as an admin registered it. Loopback redirects are allowed on any port (RFC 8252)."""

    client_id: str
    client_secret: str = field(default="", repr=False)
    redirect_uris: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    acts_as: str = ""  # whom client credentials stand for
    keys: tuple[ClientKey, ...] = ()


class Wire:
    """How the answers look; a sandbox overrides what its provider does differently."""

    def granted(self, issued: Issued) -> Mapping[str, Any]:
        """Return the JSON of a successful answer."""
        answer: dict[str, Any] = {
            "access_token": issued.access_token,
            "token_type": "Bearer",
            "scope": " ".join(issued.grant.scopes),
        }
        if issued.expires_in is not None:
            answer["expires_in"] = issued.expires_in
        if issued.refresh_token is not None:
            answer["refresh_token"] = issued.refresh_token
        if issued.refresh_expires_in is not None:
            answer["refresh_token_expires_in"] = issued.refresh_expires_in
        return answer

    def refused(self, refusal: GrantRefused, grant_type: str) -> tuple[int, Mapping[str, Any]]:
        """Return status and JSON of a refusal (RFC 6749 section 5.2)."""
        status = 401 if refusal.error == "invalid_client" else 400
        return status, {"error": refusal.error, "error_description": refusal.description}


@dataclass(frozen=True, slots=True)
class AuthorityShape:
    """Where the endpoints are and what they take."""

    authorize_path: str = "/oauth/authorize"
    token_path: str = "/oauth/token"  # noqa: S105 - a path
    revoke_path: str = ""
    revoke_by: Literal["post", "delete_path"] = "post"
    token_methods: tuple[str, ...] = ("POST",)
    places: frozenset[Place] = frozenset({"form"})
    naming: frozenset[Naming] = frozenset({"body"})
    grant_types: frozenset[str] = frozenset({"authorization_code", "refresh_token"})
    issuer: str = ""
    """Sent back as `iss` beside the code (RFC 9207); empty: not sent."""


class Authority:
    """One provider's authorization server. `people` are those who can sign in, by e-mail."""

    def __init__(
        self,
        *,
        shape: AuthorityShape,
        rules: GrantRules,
        people: Callable[[], Sequence[str]],
        clients: Sequence[AuthorityClient],
        clock: Clock,
        wire: Wire | None = None,
    ) -> None:
        self.shape = shape
        self.grants = Grants(rules, clock=clock)
        self.clients = {client.client_id: client for client in clients}
        self._people = people
        self._wire = wire or Wire()
        self._assertions = AssertionJudge(clock=clock)

    def routes(self) -> list[Route]:
        """Return the endpoints, to be mounted at the host's root."""
        shape = self.shape
        routes = [Route(shape.token_path, self.token, methods=list(shape.token_methods))]
        if "authorization_code" in shape.grant_types:
            routes.append(Route(shape.authorize_path, self.authorize, methods=["GET"]))
        if shape.revoke_path and shape.revoke_by == "post":
            routes.append(Route(shape.revoke_path, self.revocation, methods=["POST"]))
        elif shape.revoke_path:
            path = f"{shape.revoke_path}/{{token}}"
            routes.append(Route(path, self.deletion, methods=["DELETE"]))
        return routes

    def grant_behind(self, request: Request) -> Grant | None:
        """Return the live grant of a call's bearer token whose person can still sign in."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        grant = self.grants.grant_of(token) if scheme.casefold() == "bearer" else None
        if grant is None or (grant.person and not self._may_sign_in(grant.person)):
            return None
        return grant

    async def authorize(self, request: Request) -> Response:
        """Show the consent page; with `sandbox_approve`, answer at once for a named person."""
        asked = dict(request.query_params)
        client = self.clients.get(asked.get("client_id", ""))
        uri = asked.get("redirect_uri", "")
        if client is None or not _is_registered(client, uri):
            # Never redirected: the address is not one that somebody registered.
            return HTMLResponse("<h1>Unknown client_id or redirect_uri</h1>", 400)
        problem = self._problem(client, asked, request)
        if problem:
            return self._back(asked, error=problem[0], error_description=problem[1])
        if asked.get("sandbox_approve") != "1":
            return HTMLResponse(consent_page(client.client_id, asked, self._people()))
        person = asked.get("login_hint", "")
        if not self._may_sign_in(person):
            return self._back(asked, error="access_denied", error_description="not allowed")
        grant = Grant(client.client_id, person, tuple(asked.get("scope", "").split()))
        challenge = asked.get("code_challenge", "")
        return self._back(
            asked, code=self.grants.new_code(grant, redirect_uri=uri, challenge=challenge)
        )

    async def token(self, request: Request) -> Response:
        """Answer the token endpoint."""
        grant_type = ""
        try:
            asked = await self._parameters(request)
            grant_type = asked.get("grant_type", "")
            issued = self._issued(grant_type, asked, self._client(request, asked))
        except GrantRefused as refusal:
            status, answer = self._wire.refused(refusal, grant_type)
            headers = {"www-authenticate": 'Basic realm="oauth"'} if status == 401 else {}
            return JSONResponse(answer, status, headers)
        return JSONResponse(self._wire.granted(issued), 200, {"cache-control": "no-store"})

    async def revocation(self, request: Request) -> Response:
        """End a token (RFC 7009): an unknown one is no error."""
        try:
            asked = await self._parameters(request)
            client = self._client(request, asked)
        except GrantRefused as refusal:
            status, answer = self._wire.refused(refusal, "")
            return JSONResponse(answer, status)
        self.grants.revoke(asked.get("token", ""), client_id=client.client_id)
        return Response(status_code=200)

    async def deletion(self, request: Request) -> Response:
        """End the token that the address names."""
        known = self.grants.revoke(request.path_params["token"])
        return Response(status_code=204 if known else 404)

    def acting(self, client: AuthorityClient, asked: Mapping[str, str]) -> str:
        """Return whom client credentials stand for; raises GrantRefused."""
        return client.acts_as

    # How

    def _issued(self, grant_type: str, asked: Mapping[str, str], client: AuthorityClient) -> Issued:
        if grant_type not in self.shape.grant_types:
            raise GrantRefused("unsupported_grant_type", "the grant type is not supported")
        if grant_type == "authorization_code":
            return self.grants.redeem(
                asked.get("code", ""),
                client_id=client.client_id,
                redirect_uri=asked.get("redirect_uri", ""),
                verifier=asked.get("code_verifier", ""),
            )
        if grant_type == "refresh_token":
            return self.grants.refresh(asked.get("refresh_token", ""), client_id=client.client_id)
        scopes = asked.get("scope", "").split() or client.scopes
        if not set(scopes) <= set(client.scopes):
            raise GrantRefused("invalid_scope", "a scope is not allowed")
        return self.grants.for_client(client.client_id, self.acting(client, asked), scopes)

    def _problem(
        self, client: AuthorityClient, asked: Mapping[str, str], request: Request
    ) -> tuple[str, str] | None:
        if len(request.query_params.multi_items()) != len(asked):
            return "invalid_request", "a parameter comes twice"
        if asked.get("response_type") != "code":
            return "unsupported_response_type", "response_type must be code"
        if not 1 <= len(asked.get("state", "")) <= STATE_MAX:
            return "invalid_request", "state is missing"
        if not set(asked.get("scope", "").split()) <= set(client.scopes):
            return "invalid_scope", "a scope is not allowed"
        challenge, method = asked.get("code_challenge", ""), asked.get("code_challenge_method")
        if (challenge or self.grants.rules.is_pkce_required) and (
            method != "S256" or len(challenge) != 43
        ):
            return "invalid_request", "PKCE with S256 is required"
        return None

    def _back(self, asked: Mapping[str, str], **answer: str) -> Response:
        if "state" in asked:
            answer["state"] = asked["state"]
        if self.shape.issuer:
            answer["iss"] = self.shape.issuer
        mark = "&" if urlsplit(asked["redirect_uri"]).query else "?"
        return RedirectResponse(f"{asked['redirect_uri']}{mark}{urlencode(answer)}", 302)

    def _may_sign_in(self, person: str) -> bool:
        return person in self._people()

    async def _parameters(self, request: Request) -> dict[str, str]:
        """Return the parameters from the one place where the provider takes them."""
        place, pairs = "query", request.query_params.multi_items()
        body = await request.body()
        if len(body) > BODY_MAX:
            raise GrantRefused("invalid_request", "the body is too large")
        if body:
            place, pairs = _body_pairs(request.headers.get("content-type", ""), body)
        if place not in self.shape.places:
            raise GrantRefused("invalid_request", f"parameters are not taken from the {place}")
        if len({name for name, _ in pairs}) != len(pairs):
            raise GrantRefused("invalid_request", "a parameter comes twice")
        return dict(pairs)

    def _client(self, request: Request, asked: Mapping[str, str]) -> AuthorityClient:
        """Return the client that the request comes from; raises GrantRefused invalid_client."""
        basic = _basic(request.headers.get("authorization", ""))
        by_body = "client_secret" in asked
        assertion = asked.get("client_assertion", "")
        if [basic is not None, by_body, bool(assertion)].count(True) > 1:
            raise GrantRefused("invalid_request", "the client names itself in two ways")
        naming: Naming = "basic" if basic else "assertion" if assertion else "body"
        if naming not in self.shape.naming:
            raise GrantRefused("invalid_client", f"clients do not name themselves by {naming}")
        if assertion:
            return self._by_assertion(request, asked, assertion)
        named = basic or (asked.get("client_id", ""), asked.get("client_secret", ""))
        client = self.clients.get(named[0])
        if client is None or not hmac.compare_digest(
            named[1].encode(), client.client_secret.encode()
        ):
            raise GrantRefused("invalid_client", "the client is unknown, or its secret wrong")
        return client

    def _by_assertion(
        self, request: Request, asked: Mapping[str, str], assertion: str
    ) -> AuthorityClient:
        client = self.clients.get(asked.get("client_id", ""))
        audience = f"https://{request.headers.get('host', '')}{request.url.path}"
        if client is None or not self._assertions.accepts(
            assertion,
            kind=asked.get("client_assertion_type", ""),
            client_id=client.client_id,
            keys=client.keys,
            audience=audience,
        ):
            raise GrantRefused("invalid_client", "the client's assertion is not accepted")
        return client


def _is_registered(client: AuthorityClient, uri: str) -> bool:
    parts = urlsplit(uri)
    is_loopback = (parts.scheme, parts.hostname) == ("http", "127.0.0.1") and not parts.fragment
    return bool(is_loopback and parts.port and not parts.username) or uri in client.redirect_uris


def _body_pairs(content_type: str, body: bytes) -> tuple[Place, list[tuple[str, str]]]:
    if content_type.startswith("application/x-www-form-urlencoded"):
        return "form", parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
    try:
        parsed = orjson.loads(body) if content_type.startswith("application/json") else None
    except orjson.JSONDecodeError:
        parsed = None
    if not isinstance(parsed, dict) or not all(isinstance(each, str) for each in parsed.values()):
        raise GrantRefused("invalid_request", "the body cannot be read")
    return "json", list(parsed.items())


def _basic(authorization: str) -> tuple[str, str] | None:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.casefold() != "basic":
        return None
    try:
        name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return unquote_plus(name), unquote_plus(secret)
