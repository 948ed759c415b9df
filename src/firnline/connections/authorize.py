"""The authorization code flow: from a link that a person opens to a stored connection.

PKCE (S256) always. The state is good once, for ten minutes, and bound to tenant, connection,
provider, settings, redirect URI and verifier; the database keeps its digest and the sealed
verifier only.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import timedelta

from authlib.common.security import generate_token
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from pydantic import SecretStr

from firnline.clock import Clock
from firnline.connections.clients import ClientRegistry
from firnline.connections.endpoint import TokenSet
from firnline.connections.flows import Flows
from firnline.connections.site import Site, site_at
from firnline.connections.vault import Vault
from firnline.connectors.auth_flows import AuthorizationCode
from firnline.connectors.registry import load_connector
from firnline.errors import UsageError
from firnline.state import AuthorizationRow, State

AUTHORIZATION_LIFETIME = timedelta(minutes=10)
VERIFIER_LENGTH = 64
STATE_LENGTH = 43


class AuthorizationInvalidError(UsageError):
    """The sign-in that comes back was not started here, ran out, or was used before."""

    code = "authorization_invalid"


class WrongFlowError(UsageError):
    """The provider's connector does not connect in that way."""

    code = "wrong_flow"


@dataclass(frozen=True, slots=True)
class AuthorizationStart:
    """Where to send the person, and the state that must come back with them."""

    url: str = field(repr=False)
    state: str = field(repr=False)


async def start_authorization(
    site: Site,
    auth: AuthorizationCode,
    *,
    redirect_uri: str,
    clients: ClientRegistry,
    state: State,
    vault: Vault,
    clock: Clock,
) -> AuthorizationStart:
    """Return the provider's sign-in link for one connection; raises ClientMissingError."""
    client = await clients.find(site)
    verifier = generate_token(VERIFIER_LENGTH)
    token = generate_token(STATE_LENGTH)
    now = clock.now()
    row = AuthorizationRow(
        tenant=site.tenant,
        connection=site.name,
        provider=site.connector.provider,
        settings=site.settings,
        redirect_uri=redirect_uri,
        state_digest=_digest(token),
        verifier_ciphertext=await vault.seal(
            # Who it is for is part of what only this installation can have written.
            {"verifier": verifier, "person": site.person},
            purpose="verifier",
            tenant=site.tenant,
            connection=site.name,
        ),
        expires_at=now + AUTHORIZATION_LIFETIME,
    )
    await state.save_authorization(row, now=now)
    url: str = prepare_grant_uri(
        site.fill(auth.authorize_url),
        client_id=client.client_id,
        response_type="code",
        redirect_uri=redirect_uri,
        scope=auth.scope_separator.join(auth.scopes),
        state=token,
        code_challenge=create_s256_code_challenge(verifier),
        code_challenge_method="S256",
        **{name: site.fill(value) for name, value in auth.authorize_parameters.items()},
    )
    return AuthorizationStart(url, token)


async def redeem_code(
    state_token: str,
    code: str,
    *,
    flows: Flows,
    state: State,
    vault: Vault,
    clock: Clock,
) -> tuple[Site, TokenSet]:
    """Exchange a code for tokens; the state is used up, whatever comes of it.

    Raises AuthorizationInvalidError, GrantRefusedError or another ProviderError.
    """
    row = await state.take_authorization(_digest(state_token), now=clock.now())
    if row is None:
        raise AuthorizationInvalidError(
            "this sign-in was not started here, took over ten minutes, or was used before",
            hint="Start again with: firnline connect TENANT CONNECTION",
        )
    opened = await vault.unseal(
        row.verifier_ciphertext, purpose="verifier", tenant=row.tenant, connection=row.connection
    )
    connector = load_connector(row.provider)
    site = site_at(
        row.tenant, row.connection, connector, row.settings, flow="authorization_code"
    ).of(opened.get("person", ""))
    given = {
        "code": SecretStr(code),
        "redirect_uri": SecretStr(row.redirect_uri),
        "verifier": SecretStr(opened["verifier"]),
    }
    return site, await flows.obtain(site, given)


def _digest(state_token: str) -> str:
    return hashlib.sha256(state_token.encode()).hexdigest()
