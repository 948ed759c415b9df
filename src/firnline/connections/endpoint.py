"""The token endpoint: one request in, a `TokenSet` or a typed refusal out.

The URL comes from the manifest, never from an answer. Called by the code flow, the assertion flow
and by refresh.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote_plus

from pydantic import SecretStr

from firnline.clock import Clock
from firnline.connections.clients import ClientCredentials as Client
from firnline.connections.site import Site
from firnline.connectors.auth_flows import OAUTH, AuthorizationCode, ClientCredentials
from firnline.connectors.protocol import Response
from firnline.transport import OutboundCall, ProviderAnswerError, ProviderError, Transport
from firnline.transport.errors import provider_text

LIFETIME_MAX_S = 366 * 24 * 3600


class GrantRefusedError(ProviderError):
    """The provider no longer takes the code, refresh token or assertion."""

    code = "grant_refused"
    advice = "Connect the system again."


class ClientRefusedError(ProviderError):
    """The provider does not take Firnline's own OAuth client."""

    code = "client_refused"
    advice = (
        "Check the client id and its secret or key at the provider, then register them again "
        "with firnline connect."
    )


@dataclass(frozen=True, slots=True)
class TokenSet:
    """What a token endpoint gave. `expires_at` is None when the provider does not say."""

    access_token: SecretStr
    refresh_token: SecretStr | None
    issued_at: datetime
    expires_at: datetime | None
    flow: str = ""  # what it was obtained by; empty: before this was noted
    entered: Mapping[str, SecretStr] = field(default_factory=dict)
    """What a person entered, where logging in again needs it."""

    def as_json(self) -> dict[str, Any]:
        """Return the plain form that only the vault may see."""
        refresh = self.refresh_token
        return {
            "access_token": self.access_token.get_secret_value(),
            "refresh_token": None if refresh is None else refresh.get_secret_value(),
            "issued_at": self.issued_at.isoformat(),
            "expires_at": None if self.expires_at is None else self.expires_at.isoformat(),
            "flow": self.flow,
            "entered": {name: each.get_secret_value() for name, each in self.entered.items()},
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> TokenSet:
        """Return what `as_json` made."""
        refresh, expires_at = stored["refresh_token"], stored["expires_at"]
        return cls(
            access_token=SecretStr(stored["access_token"]),
            refresh_token=None if refresh is None else SecretStr(refresh),
            issued_at=datetime.fromisoformat(stored["issued_at"]),
            expires_at=None if expires_at is None else datetime.fromisoformat(expires_at),
            flow=stored.get("flow", ""),
            entered={name: SecretStr(each) for name, each in stored.get("entered", {}).items()},
        )


async def request_tokens(
    site: Site,
    grant: Mapping[str, str],
    *,
    client: Client | None = None,
    repeatable: bool,
    transport: Transport,
    clock: Clock,
    deadline_s: float,
) -> TokenSet:
    """Ask the connection's token endpoint; `grant` holds the grant's own parameters.

    Raises GrantRefusedError, ClientRefusedError or another ProviderError.
    """
    call = _call(site, grant, client, repeatable=repeatable)
    asked_at = clock.now()
    response = await transport.send(call, deadline_s=deadline_s)
    answer = _answer(site, response)
    if not 200 <= response.status < 300:
        raise _refusal(site, response, answer)
    return _tokens(site, answer, asked_at)


def _call(
    site: Site, grant: Mapping[str, str], client: Client | None, *, repeatable: bool
) -> OutboundCall:
    auth = site.auth
    assert isinstance(auth, OAUTH)
    extras = {name: site.fill(value) for name, value in auth.token_parameters.items()}
    body = {**site.connector.token_request_extras(site.settings), **extras, **grant}
    headers = {"accept": "application/json"}
    place, method = "form", "POST"
    if isinstance(auth, AuthorizationCode | ClientCredentials):
        place = auth.token_body
        method = auth.method if isinstance(auth, ClientCredentials) else "POST"
        if client is not None and auth.client_auth == "basic":
            headers["authorization"] = _basic(client)
        elif client is not None:
            body |= client.parameters()
    return OutboundCall(
        destination=site.destination,
        method=method,
        url=site.fill(auth.token_url),
        params=body if place == "query" else {},
        headers=headers,
        json=body if place == "json" else None,
        form=body if place == "form" else None,
        repeatable=repeatable,
        target="token",
    )


def _basic(client: Client) -> str:
    """Return the header that names a client (RFC 6749 section 2.3.1: both parts are encoded)."""
    secret = "" if client.client_secret is None else client.client_secret.get_secret_value()
    pair = f"{quote_plus(client.client_id)}:{quote_plus(secret)}"
    return "Basic " + b64encode(pair.encode()).decode()


def _answer(site: Site, response: Response) -> Mapping[str, Any]:
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise ProviderAnswerError(
            site.destination, f"the token endpoint answered {response.status} without a JSON object"
        )
    return answer


def _refusal(site: Site, response: Response, answer: Mapping[str, Any]) -> ProviderError:
    error = provider_text(str(answer.get("error", "")))
    described = provider_text(str(answer.get("error_description", "")))
    said = ": ".join(part for part in (error, described) if part) or str(response.status)
    what = f"the token endpoint refused: {said}"
    if error == "invalid_grant":
        return GrantRefusedError(site.destination, what)
    if error in ("invalid_client", "unauthorized_client"):
        return ClientRefusedError(site.destination, what)
    return ProviderAnswerError(site.destination, what)


def _tokens(site: Site, answer: Mapping[str, Any], asked_at: datetime) -> TokenSet:
    access_token, refresh_token = answer.get("access_token"), answer.get("refresh_token")
    if not isinstance(access_token, str) or not access_token.isprintable() or not access_token:
        raise ProviderAnswerError(site.destination, "the token endpoint gave no access token")
    lifetime_s = _lifetime_s(answer.get("expires_in"))
    return TokenSet(
        access_token=SecretStr(access_token),
        refresh_token=SecretStr(refresh_token) if isinstance(refresh_token, str) else None,
        issued_at=asked_at,
        expires_at=None if lifetime_s is None else asked_at + timedelta(seconds=lifetime_s),
    )


def _lifetime_s(expires_in: Any) -> float | None:
    """Return the seconds a token lives: some providers send a number, some its text, some none."""
    try:
        lifetime_s = float(expires_in)
    except (TypeError, ValueError):
        return None
    if math.isnan(lifetime_s) or lifetime_s <= 0:
        return None
    return min(lifetime_s, LIFETIME_MAX_S)
