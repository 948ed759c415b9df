"""The ways to sign in to a provider, as connector.yaml declares them under `auth`.

`Manifest` holds a list of them; a tenant's connection chooses one by its `flow`, and the modules of
`connections/flows/` carry it out. URLs hold `{setting}` placeholders.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Meaning = Literal["grant", "client", "scope", "transient", "rate_limited"]


# Of a sign-in link; another value would undo what they protect.
OWN_PARAMETERS = frozenset(
    {"response_type", "client_id", "redirect_uri", "scope", "state"}
    | {"code_challenge", "code_challenge_method"}
)


class _Flow(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _OAuth(_Flow):
    """What every flow with a token endpoint declares."""

    token_url: str
    scopes: tuple[str, ...]
    scope_separator: str = " "
    token_parameters: Mapping[str, str] = Field(default_factory=dict)
    """More parameters of every token request; values hold `{setting}` placeholders."""

    revoke_url: str = ""
    """Where a token is ended on purpose; empty: the provider cannot be asked to."""

    revoke_by: Literal["post", "delete_path", "delete_own"] = "post"
    """RFC 7009; DELETE of `revoke_url` with the token as its last part (HubSpot); or DELETE of
    `revoke_url` itself, authorised by the access token that it ends (Zendesk)."""

    base_url_field: str = ""
    """The token answer's field that names the account's own base URL; it must match `hosts`."""

    refusals: Mapping[str, Meaning] = Field(default_factory=dict)
    """What the token endpoint's own error codes mean, or several words of its messages."""


class AuthorizationCode(_OAuth):
    """OAuth 2.0 authorization code with PKCE (S256 always) and refresh."""

    flow: Literal["authorization_code"] = "authorization_code"
    authorize_url: str
    authorize_parameters: Mapping[str, str] = Field(default_factory=dict)
    """More parameters of the sign-in link, such as `prompt`."""

    token_body: Literal["form", "json", "query"] = "form"  # noqa: S105 - not a secret
    client_auth: Literal["body", "basic"] = "body"
    refresh: Literal["reusable", "single_use"] = "reusable"
    """single_use: a refresh may replace the refresh token, and then the old one is dead."""

    refresh_grace_s: float = Field(default=0, ge=0)
    """How long a replaced refresh token still answers, for a reply that was lost."""

    refresh_lifetime_s: float | None = Field(default=None, gt=0)
    """How long a new refresh token lives where answers do not say; absent: without an end."""

    issuer: str = ""
    """The `iss` that comes back with a code (RFC 9207); empty: the provider sends none."""

    @field_validator("authorize_parameters")
    @classmethod
    def _others(cls, declared: Mapping[str, str]) -> Mapping[str, str]:
        if own := OWN_PARAMETERS & set(declared):
            raise ValueError(f"{', '.join(sorted(own))} cannot be declared: the flow sends it")
        return declared


class JwtBearer(_OAuth):
    """A signed assertion about a user as the grant itself (RFC 7523 section 2.1)."""

    flow: Literal["jwt_bearer"] = "jwt_bearer"
    audience: str
    algorithms: tuple[str, ...] = ("RS256",)
    assertion_lifetime_s: int = Field(default=180, gt=0, le=3600)


class ClientAssertion(_OAuth):
    """OAuth 2.0 client credentials with a signed assertion (RFC 7523 section 2.2)."""

    flow: Literal["client_assertion"] = "client_assertion"
    algorithms: tuple[str, ...]
    assertion_lifetime_s: int = 300


class ClientCredentials(_OAuth):
    """OAuth 2.0 client credentials: the client acts as itself, with a secret or a certificate."""

    flow: Literal["client_credentials"] = "client_credentials"
    method: Literal["GET", "POST"] = "POST"
    token_body: Literal["form", "json", "query"] = "form"  # noqa: S105 - not a secret
    client_auth: Literal["body", "basic"] = "body"
    assertion_algorithms: tuple[str, ...] = ()
    """How a client with a key instead of a secret signs; empty: only a secret is taken."""

    assertion_key_header: Literal["kid", "x5t", "x5t#S256"] = "kid"
    """The header that names the key: its id, or a thumbprint of its certificate."""

    gives_same_token: bool = False
    """Asking again before the end gives the same token with what is left of its life."""


class EntryField(_Flow):
    """One thing that a person enters to connect: a page or a command asks for it by its title."""

    name: str = Field(pattern="^[a-z][a-z0-9_]*$")
    title: str
    secret: bool = True
    """Whether it is hidden while it is typed; it is kept sealed in any case."""

    pattern: str = r"[^\x00-\x1f\x7f]+"
    """What the whole of it looks like."""


class _Entered(_Flow):
    """What every flow declares that starts from what a person enters."""

    fields: tuple[EntryField, ...]

    needed: ClassVar[frozenset[str]]

    @field_validator("fields")
    @classmethod
    def _enough(cls, fields: tuple[EntryField, ...]) -> tuple[EntryField, ...]:
        names = [field.name for field in fields]
        if not cls.needed.issubset(names) or len(set(names)) != len(names):
            raise ValueError(f"the fields {', '.join(sorted(cls.needed))} are needed, each once")
        return fields


_KEY = EntryField(name="api_key", title="API key", pattern=r"[\x21-\x7e]+")
# RFC 7617: the first colon ends the user name.
_USERNAME = EntryField(
    name="username", title="User name", secret=False, pattern=r"[^:\x00-\x1f\x7f]+"
)
_PASSWORD = EntryField(name="password", title="Password")


class ApiKey(_Entered):
    """A key that somebody made at the provider, sent in a header."""

    needed: ClassVar[frozenset[str]] = frozenset({"api_key"})

    flow: Literal["api_key"] = "api_key"
    fields: tuple[EntryField, ...] = (_KEY,)
    header: str = Field(default="Authorization", pattern="^[A-Za-z][A-Za-z0-9-]*$")
    prefix: str = "Bearer "


class Basic(_Entered):
    """A user name and a password (or access key and secret), sent as HTTP Basic."""

    needed: ClassVar[frozenset[str]] = frozenset({"username", "password"})

    flow: Literal["basic"] = "basic"
    fields: tuple[EntryField, ...] = (_USERNAME, _PASSWORD)


class Session(_Entered):
    """A login that answers with cookies, which every call carries until they idle out."""

    needed: ClassVar[frozenset[str]] = frozenset({"username", "password"})

    flow: Literal["session"] = "session"
    fields: tuple[EntryField, ...] = (_USERNAME, _PASSWORD)
    login_path: str = Field(pattern="^/[^/]")
    logout_path: str = Field(default="", pattern="^(/[^/].*)?$")
    body: Mapping[str, str]
    """The login's JSON; values hold `{setting}` and `{field}` placeholders."""

    cookies: tuple[str, ...] = Field(min_length=1)
    """The names of the cookies to keep; the first is the session itself."""


OAuth = AuthorizationCode | JwtBearer | ClientAssertion | ClientCredentials
Auth = Annotated[
    AuthorizationCode | JwtBearer | ClientAssertion | ClientCredentials | ApiKey | Basic | Session,
    Field(discriminator="flow"),
]
OAUTH = (AuthorizationCode, JwtBearer, ClientAssertion, ClientCredentials)
ENTERED = (ApiKey, Basic, Session)


def fields_of(auth: Auth) -> tuple[EntryField, ...]:
    """Return what a person enters to connect; nothing where a sign-in or a client does it."""
    return auth.fields if isinstance(auth, ENTERED) else ()


def urls_of(auth: Auth) -> tuple[str, ...]:
    """Return the absolute URLs that a flow calls or opens, unfilled."""
    if not isinstance(auth, OAUTH):
        return ()
    urls = [auth.token_url, auth.revoke_url]
    if isinstance(auth, AuthorizationCode):
        urls.append(auth.authorize_url)
    return tuple(url for url in urls if url)
