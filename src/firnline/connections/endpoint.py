"""The token endpoint: one request in, a `TokenSet` or a typed refusal out.

The URL comes from the manifest, never from an answer. Called by the flows that have one.
"""

from __future__ import annotations

import math
import re
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import quote_plus

from pydantic import SecretStr

from firnline.clock import Clock
from firnline.connections.clients import ClientCredentials as Client
from firnline.connections.refusals import (
    ClientRefusedError,
    GrantRefusedError,
    Refusal,
    ScopeRefusedError,
    answer_of,
    judge,
    refusal_of,
    said_in,
)
from firnline.connections.site import Site
from firnline.connections.token_set import TokenSet
from firnline.connectors.auth_flows import OAUTH, AuthorizationCode, ClientCredentials, OAuth
from firnline.connectors.protocol import Response
from firnline.transport import OutboundCall, ProviderAnswerError, ProviderError, Transport
from firnline.transport.concealing import HiddenValues

__all__ = [
    "ClientRefusedError",
    "GrantRefusedError",
    "ScopeRefusedError",
    "TokenSet",
    "client_header",
    "request_tokens",
]

LIFETIME_MAX_S = 366 * 24 * 3600
TOKEN_LENGTH_MAX = 32_768
REFRESH_LIFETIMES = ("refresh_token_expires_in", "refresh_expires_in", "x_refresh_token_expires_in")

ERRORS: Mapping[Refusal, type[ProviderError]] = {
    Refusal.GRANT: GrantRefusedError,
    Refusal.CLIENT: ClientRefusedError,
    Refusal.SCOPE: ScopeRefusedError,
}


async def request_tokens(
    site: Site,
    grant: Mapping[str, str],
    *,
    repeatable: bool,
    client: Client | None = None,
    transport: Transport,
    clock: Clock,
    deadline_s: float,
) -> TokenSet:
    """Ask the connection's token endpoint; `grant` holds the grant's own parameters.

    A `client` is named beside them, as the provider wants it. Raises GrantRefusedError,
    ClientRefusedError, ScopeRefusedError or another ProviderError.
    """
    auth = site.auth
    assert isinstance(auth, OAUTH)
    call = _call(site, auth, grant, client, repeatable=repeatable)
    asked_at = clock.now()
    response = await transport.send(call, deadline_s=deadline_s)
    refusal = refusal_of(auth, response)
    if refusal is not None:
        raise _error(site, response, refusal)
    return _tokens(site, auth, answer_of(response) or {}, asked_at)


def _call(
    site: Site,
    auth: OAuth,
    grant: Mapping[str, str],
    client: Client | None,
    *,
    repeatable: bool,
) -> OutboundCall:
    extras = {name: site.fill(value) for name, value in auth.token_parameters.items()}
    told = site.connector.token_request_extras(site.settings)
    body = HiddenValues({**told, **extras, **grant})
    headers = {"accept": "application/json"}
    if client is not None and _is_basic(auth):
        headers["authorization"] = client_header(client)
    elif client is not None:
        body.update(client.parameters())
    place = auth.token_body if isinstance(auth, AuthorizationCode | ClientCredentials) else "form"
    return OutboundCall(
        destination=site.destination,
        method=auth.method if isinstance(auth, ClientCredentials) else "POST",
        url=site.fill(auth.token_url),
        params=body if place == "query" else {},
        headers=headers,
        json=body if place == "json" else None,
        form=body if place == "form" else None,
        repeatable=repeatable,
        judge=partial(judge, auth),
        target="token",
    )


def _is_basic(auth: OAuth) -> bool:
    return isinstance(auth, AuthorizationCode | ClientCredentials) and auth.client_auth == "basic"


def client_header(client: Client) -> str:
    """Return the header that names a client (RFC 6749 section 2.3.1: both parts are encoded)."""
    secret = "" if client.client_secret is None else client.client_secret.get_secret_value()
    pair = f"{quote_plus(client.client_id)}:{quote_plus(secret)}"
    return "Basic " + b64encode(pair.encode()).decode()


def _error(site: Site, response: Response, refusal: Refusal) -> ProviderError:
    if answer_of(response) is None:
        what = f"the token endpoint answered {response.status} without a JSON object"
        return ProviderAnswerError(site.destination, what)
    if 200 <= response.status < 300 and refusal is Refusal.UNKNOWN:
        return ProviderAnswerError(site.destination, "the token endpoint gave no access token")
    kind = ERRORS.get(refusal, ProviderAnswerError)
    return kind(site.destination, f"the token endpoint refused: {said_in(response)}")


def _tokens(site: Site, auth: OAuth, answer: Mapping[str, Any], asked_at: datetime) -> TokenSet:
    access_token = _token(answer.get("access_token"))
    if access_token is None:
        raise ProviderAnswerError(site.destination, "the token endpoint gave no access token")
    lifetime_s = _lifetime_s(answer.get("expires_in"))
    if isinstance(auth, ClientCredentials) and auth.gives_same_token:
        # What is left of a life may be nothing; elsewhere a zero means that there is no end.
        lifetime_s = 0.0 if str(answer.get("expires_in")) == "0" else lifetime_s
    refresh_token = _token(answer.get("refresh_token"))
    return TokenSet(
        access_token=access_token,
        refresh_token=refresh_token,
        issued_at=asked_at,
        expires_at=_after(asked_at, lifetime_s),
        refresh_expires_at=_after(asked_at, _refresh_lifetime_s(auth, answer, refresh_token)),
        scopes=_scopes(site, auth, answer),
        base_url=_base_url(site, auth, answer),
    )


def _token(given: Any) -> SecretStr | None:
    """Return a token that can stand in a header, None when it is none."""
    if not isinstance(given, str) or not 0 < len(given) <= TOKEN_LENGTH_MAX:
        return None
    is_one = given.isascii() and given.isprintable() and given == given.strip()
    return SecretStr(given) if is_one else None


def _after(moment: datetime, lifetime_s: float | None) -> datetime | None:
    return None if lifetime_s is None else moment + timedelta(seconds=lifetime_s)


def _lifetime_s(expires_in: Any) -> float | None:
    """Return the seconds a token lives: some providers send a number, some its text, some none."""
    try:
        lifetime_s = float(expires_in)
    except (TypeError, ValueError):
        return None
    if math.isnan(lifetime_s) or lifetime_s <= 0:
        return None
    return min(lifetime_s, LIFETIME_MAX_S)


def _refresh_lifetime_s(
    auth: OAuth, answer: Mapping[str, Any], refresh_token: SecretStr | None
) -> float | None:
    """Return how long a refresh token lives that came with this answer."""
    if refresh_token is None or not isinstance(auth, AuthorizationCode):
        return None
    stated = (_lifetime_s(answer.get(name)) for name in REFRESH_LIFETIMES)
    return next((each for each in stated if each is not None), auth.refresh_lifetime_s)


def _scopes(site: Site, auth: OAuth, answer: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the granted scopes; an answer without any grants what was asked (section 5.1)."""
    stated = answer.get("scope", answer.get("scopes"))
    if isinstance(stated, str):
        return tuple(re.split(r"[\s,]+", stated.strip())) if stated.strip() else ()
    if isinstance(stated, list):
        return tuple(each for each in stated if isinstance(each, str))
    return tuple(map(site.fill, auth.scopes))


def _base_url(site: Site, auth: OAuth, answer: Mapping[str, Any]) -> str:
    """Return the base URL that an answer names, as far as the connector lets it.

    A token is never sent to an address that an answer made up: it must be one of the hosts.
    """
    named = answer.get(auth.base_url_field) if auth.base_url_field else None
    if not isinstance(named, str) or not named:
        return ""
    return site.checked_base(named)
