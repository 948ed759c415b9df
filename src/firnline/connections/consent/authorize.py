"""The authorization code flow: from a link that a person opens to a stored connection.

PKCE (S256) always. The state is good once, for ten minutes, and bound to tenant, connection,
provider, settings, redirect URI, verifier and the browser session that started it; the database
keeps its digest, and under the vault's seal the verifier with whose sign-in it is.
"""

from __future__ import annotations

import hashlib
import hmac
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
from firnline.connections.sealing.vault import Vault
from firnline.connections.site import Site, site_at
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


class OtherBrowserError(UsageError):
    """A sign-in comes back to another browser session than the one that started it."""

    code = "other_browser"
    status = 403

    def __init__(self) -> None:
        super().__init__(
            "this sign-in was started in another browser, or its session there has ended",
            hint="Go back to the browser where it was started, or start again; nothing was "
            "connected.",
        )


class WrongFlowError(UsageError):
    """The provider's connector does not connect in that way."""

    code = "wrong_flow"


@dataclass(frozen=True, slots=True)
class AuthorizationStart:
    """Where to send the person, and the state that must come back with them."""

    url: str = field(repr=False)
    state: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SignIn:
    """A sign-in that was started here and may come back once, to where it says."""

    site: Site
    redirect_uri: str
    verifier: SecretStr
    browser_digest: str = field(repr=False)  # empty: no browser session started it

    def is_of(self, browser: str) -> bool:
        """Say whether this browser session started it."""
        return hmac.compare_digest(self.browser_digest, _browser_digest(browser))


async def start_authorization(
    site: Site,
    auth: AuthorizationCode,
    *,
    redirect_uri: str,
    browser: str = "",
    clients: ClientRegistry,
    state: State,
    vault: Vault,
    clock: Clock,
) -> AuthorizationStart:
    """Return the provider's sign-in link for one connection; raises ClientMissingError.

    Only the browser session `browser` can finish it.
    """
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
        state_digest=digest_of(token),
        verifier_ciphertext=await vault.seal(
            # Whose it is must be what only this installation can have written.
            {
                "verifier": verifier,
                "person": site.person,
                "browser": _browser_digest(browser),
            },
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
        scope=auth.scope_separator.join(map(site.fill, auth.scopes)),
        state=token,
        code_challenge=create_s256_code_challenge(verifier),
        code_challenge_method="S256",
        **{name: site.fill(value) for name, value in auth.authorize_parameters.items()},
    )
    return AuthorizationStart(url, token)


async def find_sign_in(
    state_token: str, *, state: State, vault: Vault, clock: Clock
) -> SignIn | None:
    """Return the sign-in that a state stands for, which stays usable; None when there is none."""
    row = await state.authorization(digest_of(state_token), now=clock.now())
    if row is None:
        return None
    opened = await vault.unseal(
        row.verifier_ciphertext, purpose="verifier", tenant=row.tenant, connection=row.connection
    )
    if "verifier" not in opened:
        return None  # it came back already, and waits for somebody to confirm it
    site = site_at(
        *(row.tenant, row.connection, load_connector(row.provider), row.settings),
        flow="authorization_code",
    )
    return SignIn(
        site=site.of(opened.get("person", "")),
        redirect_uri=row.redirect_uri,
        verifier=SecretStr(opened["verifier"]),
        browser_digest=opened.get("browser", ""),
    )


async def take_sign_in(
    state_token: str,
    *,
    browser: str = "",
    redirect_uri: str = "",
    issuer: str = "",
    state: State,
    vault: Vault,
    clock: Clock,
) -> SignIn:
    """Return the sign-in that came back, and use its state up.

    A state that arrives in another browser session is refused and stays usable: it is worthless
    without the session that it is bound to, and whoever carried it there, by mischief or by a
    preview of the address, must not end the sign-in of the person who started it. In the right
    session it is used up whatever comes of it. `issuer` is the `iss` that came with it, which has
    to be right where the provider declares one; `redirect_uri`, when given, is where it came to.

    Raises OtherBrowserError or AuthorizationInvalidError.
    """
    found = await find_sign_in(state_token, state=state, vault=vault, clock=clock)
    if found is not None and not found.is_of(browser):
        raise OtherBrowserError
    taken = await state.take_authorization(digest_of(state_token), now=clock.now())
    if found is None or taken is None:
        raise AuthorizationInvalidError(
            "this sign-in was not started here, took over ten minutes, or was used before",
            hint="Start again with: firnline connect TENANT CONNECTION",
        )
    auth = found.site.auth
    declared = found.site.fill(auth.issuer) if isinstance(auth, AuthorizationCode) else ""
    is_elsewhere = redirect_uri not in ("", found.redirect_uri)
    if is_elsewhere or (declared and issuer != declared):
        # One provider's answer in another's place: the code may be meant to reach a third party.
        raise AuthorizationInvalidError(
            f"what came back is not the answer of {found.site.manifest.name}, which was asked",
            hint="Start again; if it happens twice, tell the operator.",
        )
    return found


async def redeem_code(sign_in: SignIn, code: str, *, flows: Flows) -> TokenSet:
    """Exchange a code for tokens; raises GrantRefusedError or another ProviderError."""
    given = {
        "code": SecretStr(code),
        "redirect_uri": SecretStr(sign_in.redirect_uri),
        "verifier": sign_in.verifier,
    }
    return await flows.obtain(sign_in.site, given)


def digest_of(state_token: str) -> str:
    """Return what the database keeps of a state, so that a copy of it finishes no sign-in."""
    return hashlib.sha256(state_token.encode()).hexdigest()


def _browser_digest(browser: str) -> str:
    return digest_of(browser) if browser else ""
