"""Sign-ins that succeeded and wait for a person to say that it is the right account.

Takes a code that came back to the browser session that started its sign-in, or what was obtained
there with keys; the connect pages receive whose account it is, and confirm or discard it in that
same session. Until then nothing is
connected, and a connection that works goes on working: what was obtained is kept beside it, sealed,
for a quarter of an hour.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from typing import Protocol

from authlib.common.security import generate_token

from firnline.clock import Clock
from firnline.connections.consent.authorize import (
    STATE_LENGTH,
    AuthorizationInvalidError,
    SignIn,
    digest_of,
    find_sign_in,
    redeem_code,
    take_sign_in,
)
from firnline.connections.endpoint import TokenSet
from firnline.connections.flows import Flows
from firnline.connections.sealing.vault import Vault
from firnline.connections.site import Site, site_at
from firnline.connectors.protocol import Identity
from firnline.connectors.registry import load_connector
from firnline.errors import FirnlineError
from firnline.state import AuthorizationRow, ConnectionRow, StaleRowError, State

ARRIVAL_LIFETIME = timedelta(minutes=15)
UNCONFIRMED = "its account was not confirmed"


class Identify(Protocol):
    """Asks the provider whose tokens these are."""

    async def __call__(
        self, site: Site, tokens: TokenSet, *, allow_other_account: bool
    ) -> Identity:
        """Return who it is; raises OtherAccountError or a ProviderError."""
        ...


class Activate(Protocol):
    """Stores tokens as the connection."""

    async def __call__(
        self, site: Site, tokens: TokenSet, *, allow_other_account: bool
    ) -> ConnectionRow:
        """Return the stored connection; raises OtherAccountError or a ProviderError."""
        ...


@dataclass(frozen=True, slots=True)
class Arrival:
    """What a sign-in obtained: whose account it is, and the tokens that nobody uses yet."""

    site: Site
    who: Identity
    tokens: TokenSet = field(repr=False)
    browser_digest: str = field(repr=False)

    @property
    def scopes(self) -> tuple[str, ...]:
        """Return what was granted, as far as the provider said."""
        return self.tokens.scopes


class Arrivals:
    """Sign-ins of browsers, from their return to their confirmation."""

    def __init__(
        self,
        *,
        flows: Flows,
        identify: Identify,
        activate: Activate,
        state: State,
        vault: Vault,
        clock: Clock,
    ) -> None:
        self._flows = flows
        self._identify = identify
        self._activate = activate
        self._state = state
        self._vault = vault
        self._clock = clock

    async def expected(self, state_token: str) -> SignIn | None:
        """Return the sign-in that a state stands for, which stays usable."""
        return await find_sign_in(
            state_token, state=self._state, vault=self._vault, clock=self._clock
        )

    async def take(
        self, state_token: str, *, browser: str, redirect_uri: str, issuer: str
    ) -> SignIn:
        """Use up a sign-in that comes back; raises what `take_sign_in` raises."""
        return await take_sign_in(
            state_token,
            browser=browser,
            redirect_uri=redirect_uri,
            issuer=issuer,
            state=self._state,
            vault=self._vault,
            clock=self._clock,
        )

    async def receive(
        self, state_token: str, code: str, *, browser: str, redirect_uri: str, issuer: str
    ) -> str:
        """Redeem a code and keep what it obtained; return the token that finds it again.

        Raises what `take_sign_in` raises, OtherAccountError, GrantRefusedError or another
        ProviderError.
        """
        sign_in = await self.take(
            state_token, browser=browser, redirect_uri=redirect_uri, issuer=issuer
        )
        tokens = await redeem_code(sign_in, code, flows=self._flows)
        return await self._hold(sign_in.site, sign_in.browser_digest, tokens)

    async def hold(self, site: Site, tokens: TokenSet, *, browser: str) -> str:
        """Keep what was obtained without a provider's page; return the token that finds it again.

        Raises OtherAccountError or what asking the provider who it is raises.
        """
        return await self._hold(site, digest_of(browser), tokens)

    async def _hold(self, site: Site, browser_digest: str, tokens: TokenSet) -> str:
        try:
            # Another account than before is shown and asked about; a person's own must be at the
            # organisation's.
            who = await self._identify(site, tokens, allow_other_account=not site.person)
        except FirnlineError:
            await self._flows.abandon(site, tokens)
            raise
        token = await self._keep(site, browser_digest, tokens, who)
        await self._mark_pending(site, who)
        return token

    async def find(self, token: str, *, browser: str) -> Arrival:
        """Return what waits under `token`; raises AuthorizationInvalidError."""
        row = await self._state.authorization(digest_of(token), now=self._clock.now())
        arrival = None if row is None else await self._opened(row)
        if arrival is None or arrival.browser_digest != digest_of(browser):
            raise AuthorizationInvalidError(
                "there is no sign-in to confirm: it was confirmed before, or took too long",
                hint="Start again.",
            )
        return arrival

    async def confirm(self, token: str, *, browser: str) -> ConnectionRow:
        """Make what waits the connection; raises AuthorizationInvalidError or a ProviderError."""
        arrival, row = await self._take(token, browser=browser)
        try:
            return await self._activate(
                arrival.site, arrival.tokens, allow_other_account=not arrival.site.person
            )
        except FirnlineError as error:
            if error.retryable:  # the person need not sign in again for a passing failure
                await self._state.save_authorization(row, now=self._clock.now())
            else:
                await self._flows.abandon(arrival.site, arrival.tokens)
            raise

    async def discard(self, token: str, *, browser: str) -> Arrival:
        """End what waits, at the provider, too, where that can be asked."""
        arrival, _ = await self._take(token, browser=browser)
        await self._flows.abandon(arrival.site, arrival.tokens)
        site = arrival.site
        row = await self._state.connection(site.tenant, site.name, site.person)
        if row is not None and row.state == "pending":
            # Whose account it would have been says nothing of the next one.
            gone = replace(row, account="", account_name="", user_key="", user_name="")
            await self._save(replace(gone, state="revoked", state_reason=UNCONFIRMED))
        return arrival

    async def _take(self, token: str, *, browser: str) -> tuple[Arrival, AuthorizationRow]:
        arrival = await self.find(token, browser=browser)
        row = await self._state.take_authorization(digest_of(token), now=self._clock.now())
        if row is None:
            raise AuthorizationInvalidError(
                "this sign-in was confirmed or discarded at the same time", hint="Look at the list."
            )
        return arrival, row

    async def _keep(self, site: Site, browser_digest: str, tokens: TokenSet, who: Identity) -> str:
        now = self._clock.now()
        token: str = generate_token(STATE_LENGTH)
        content = {
            "arrived": {"tokens": tokens.as_json(), "who": asdict(who)},
            "person": site.person,
            "browser": browser_digest,
        }
        row = AuthorizationRow(
            tenant=site.tenant,
            connection=site.name,
            provider=site.connector.provider,
            settings=site.settings,
            redirect_uri="",  # nothing comes back under this one
            state_digest=digest_of(token),
            verifier_ciphertext=await self._vault.seal(
                content, purpose="verifier", tenant=site.tenant, connection=site.name
            ),
            expires_at=now + ARRIVAL_LIFETIME,
        )
        await self._state.save_authorization(row, now=now)
        return token

    async def _opened(self, row: AuthorizationRow) -> Arrival | None:
        content = await self._vault.unseal(
            row.verifier_ciphertext,
            purpose="verifier",
            tenant=row.tenant,
            connection=row.connection,
        )
        arrived = content.get("arrived")
        if arrived is None:
            return None  # a sign-in that has not come back
        connector = load_connector(row.provider)
        tokens = TokenSet.from_json(arrived["tokens"])
        site = site_at(row.tenant, row.connection, connector, row.settings, flow=tokens.flow)
        return Arrival(
            site=site.of(content["person"]),
            who=Identity(**arrived["who"]),
            tokens=tokens,
            browser_digest=content["browser"],
        )

    async def _mark_pending(self, site: Site, who: Identity) -> None:
        """Say of a system that nobody connected before that somebody is about to."""
        row = await self._state.connection(site.tenant, site.name, site.person)
        if row is not None and row.state != "pending":
            return  # what it was before stays known, until it is another
        await self._save(
            ConnectionRow(
                tenant=site.tenant,
                name=site.name,
                provider=site.connector.provider,
                settings=site.settings,
                state="pending",
                account=who.account,
                account_name=who.account_name,
                user_key=who.user_key,
                user_name=who.user_name,
                updated_at=self._clock.now(),
                person=site.person,
                version=0 if row is None else row.version,
            )
        )

    async def _save(self, row: ConnectionRow) -> None:
        try:
            await self._state.save_connection(replace(row, updated_at=self._clock.now()))
        except StaleRowError:
            return  # somebody connected it in another way meanwhile: their word is newer
