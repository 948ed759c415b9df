"""Connections: who may speak to which provider, for whom.

The composition root opens one `Connections`; the connect command and the web edge connect systems
through it, sync and discovery get their channels from it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Self

from pydantic import SecretStr

from firnline.clock import Clock
from firnline.connections.authorize import (
    AuthorizationStart,
    WrongFlowError,
    redeem_code,
    start_authorization,
    take_sign_in,
)
from firnline.connections.channel import Channel
from firnline.connections.clients import ClientRegistry
from firnline.connections.csrf import CsrfTokens
from firnline.connections.endpoint import TokenSet
from firnline.connections.entering import entered_fields, tried
from firnline.connections.fixed import FixedSecret
from firnline.connections.flows import Flows, Given
from firnline.connections.site import Site, declared_site
from firnline.connections.tokens import Credential, GivenToken, Renewals, StoredTokens, seal_tokens
from firnline.connections.vault import Vault
from firnline.connectors.auth_flows import ApiKey, AuthorizationCode, Basic, ClientAssertion
from firnline.connectors.protocol import Identity
from firnline.errors import FirnlineError, UsageError
from firnline.settings import Settings
from firnline.spec.model import TenantSpec
from firnline.state import ConnectionRow, StaleRowError, State
from firnline.transport import Transport, Use

SAVES_MAX = 5


class Connections:
    """All tenants' connections. One per process, safe to share."""

    def __init__(
        self,
        *,
        state: State,
        vault: Vault,
        transport: Transport,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self.clients = ClientRegistry(state=state, vault=vault, clock=clock)
        self.transport = transport
        self.flows = Flows(
            clients=self.clients,
            transport=transport,
            clock=clock,
            deadline_s=settings.provider_deadline_s,
        )
        self._state = state
        self._vault = vault
        self._clock = clock
        self._deadline_s = settings.provider_deadline_s
        self._flights = Renewals(goes_on=True)
        self._csrf = CsrfTokens()

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, *, clock: Clock) -> AsyncIterator[Self]:
        """Open state, vault and transport as `settings` say, and close them in the end."""
        state = await State.open(settings)
        try:
            vault = await Vault.open(settings, state=state, clock=clock)
            async with Transport(routes=settings.routes, clock=clock) as transport:
                opened = cls(
                    state=state, vault=vault, transport=transport, clock=clock, settings=settings
                )
                try:
                    yield opened
                finally:
                    await opened.close()
        finally:
            await state.close()

    async def close(self) -> None:
        """Wait for renewals under way; call before closing state and transport."""
        await self._flights.finish()

    @property
    def vault(self) -> Vault:
        """What seals the connections' secrets."""
        return self._vault

    @property
    def state(self) -> State:
        """The state store that the connections live in."""
        return self._state

    async def channel(
        self,
        tenant: str,
        tenant_spec: TenantSpec,
        name: str,
        *,
        person: str = "",
        use: Use = Use.INTERACTIVE,
    ) -> Channel:
        """Return the tenant's stored way to a provider, as the user who connected it.

        With `person` it is the one that this person connected for themselves. `use` says what its
        calls are made for.

        Raises UnknownConnectionError, NotConnectedError, NeedsReconnectError,
        ConnectionDisabledError or VaultKeyInvalidError.
        """
        site = _site_of(tenant, tenant_spec, name).of(person)
        credential = self._stored(site)
        await credential.active_row()
        return self._channel(site, credential, use)

    def channel_with_token(
        self, tenant: str, tenant_spec: TenantSpec, name: str, token: SecretStr
    ) -> Channel:
        """Return a way to a provider as whoever `token` stands for; nothing is stored."""
        site = _site_of(tenant, tenant_spec, name)
        return self._channel(site, GivenToken(site, token))

    async def subject_token(
        self, tenant: str, tenant_spec: TenantSpec, name: str, email: str
    ) -> SecretStr:
        """Return an access token as the person `email`, where the provider maps keys to people.

        Raises WrongFlowError or what the assertion flow raises.
        """
        site = _site_of(tenant, tenant_spec, name).of(email)
        if not isinstance(site.auth, ClientAssertion):
            raise WrongFlowError(f"{site.manifest.name} does not map keys to people")
        return (await self.flows.obtain(site)).access_token

    async def start_authorization(
        self,
        tenant_spec: TenantSpec,
        name: str,
        *,
        redirect_uri: str,
        person: str = "",
        browser: str = "",
    ) -> AuthorizationStart:
        """Return the link that a person opens to connect a system, for all or for themselves.

        What is started in the browser session `browser` can only be finished in it.

        Raises WrongFlowError, ClientMissingError or what `channel` raises of the declaration.
        """
        site = declared_site(tenant_spec, name).of(person)
        auth = site.auth
        if not isinstance(auth, AuthorizationCode):
            raise WrongFlowError(f"{site.manifest.name} connects by {auth.flow}, without a browser")
        return await start_authorization(
            site,
            auth,
            redirect_uri=redirect_uri,
            browser=browser,
            clients=self.clients,
            state=self._state,
            vault=self._vault,
            clock=self._clock,
        )

    async def finish_authorization(
        self,
        state: str,
        code: str,
        *,
        browser: str = "",
        redirect_uri: str = "",
        issuer: str = "",
    ) -> ConnectionRow:
        """Turn the code that came back into a stored, active connection.

        `browser` is the session that it came back to, `redirect_uri` where, `issuer` the `iss`
        beside it. Raises OtherBrowserError, AuthorizationInvalidError, GrantRefusedError or
        another ProviderError.
        """
        sign_in = await take_sign_in(
            state,
            browser=browser,
            redirect_uri=redirect_uri,
            issuer=issuer,
            state=self._state,
            vault=self._vault,
            clock=self._clock,
        )
        tokens = await redeem_code(sign_in, code, flows=self.flows)
        return await self._activate(sign_in.site, tokens)

    async def connect(
        self,
        tenant_spec: TenantSpec,
        name: str,
        *,
        given: Given | None = None,
        person: str = "",
    ) -> ConnectionRow:
        """Connect a system without a browser, from its registered client or from what is `given`.

        For a person an assertion is signed with the key that the provider maps to them.

        Raises WrongFlowError or what `Flows.obtain` raises.
        """
        site = declared_site(tenant_spec, name).of(person)
        if isinstance(site.auth, AuthorizationCode):
            raise WrongFlowError(f"{site.manifest.name} connects in a browser")
        return await self._activate(site, await self.flows.obtain(site, given))

    async def connect_with_secrets(
        self,
        tenant_spec: TenantSpec,
        name: str,
        fields: Mapping[str, SecretStr],
        *,
        person: str = "",
    ) -> ConnectionRow:
        """Connect a system by what a person entered, once the provider was seen to take it.

        `fields` are those that the connection's flow declares. Raises EntryFieldsError,
        CredentialsRefusedError or another ProviderError; nothing is stored then.
        """
        site = declared_site(tenant_spec, name).of(person)
        given = entered_fields(site, fields)
        with tried(site):
            tokens = await self.flows.obtain(site, given)
            try:
                return await self._activate(site, tokens)
            except FirnlineError:
                await self.flows.abandon(site, tokens)
                raise

    async def _activate(self, site: Site, tokens: TokenSet) -> ConnectionRow:
        who = await self._identity(site, tokens)
        row = ConnectionRow(
            tenant=site.tenant,
            name=site.name,
            provider=site.connector.provider,
            settings=site.settings,
            state="active",
            account=who.account,
            account_name=who.account_name,
            user_key=who.user_key,
            user_name=who.user_name,
            token_ciphertext=await seal_tokens(self._vault, site, tokens),
            expires_at=tokens.expires_at,
            updated_at=self._clock.now(),
            person=site.person,
        )
        for _ in range(SAVES_MAX):
            stored = await self._state.connection(row.tenant, row.name, row.person)
            version = 0 if stored is None else stored.version
            try:
                return await self._state.save_connection(replace(row, version=version))
            except StaleRowError:
                continue  # a renewal of the old tokens came in between; the new ones win
        raise StaleRowError(row.tenant, row.name)

    async def _identity(self, site: Site, tokens: TokenSet) -> Identity:
        channel = self._channel(site, GivenToken(site, tokens.access_token))
        return await channel.run(site.connector.identify(site.settings))

    def _stored(self, site: Site) -> StoredTokens:
        kind = FixedSecret if isinstance(site.auth, ApiKey | Basic) else StoredTokens
        return kind(
            site,
            self.flows.renew,
            flights=self._flights,
            state=self._state,
            vault=self._vault,
            clock=self._clock,
        )

    def _channel(self, site: Site, credential: Credential, use: Use = Use.INTERACTIVE) -> Channel:
        return Channel(
            site,
            credential,
            transport=self.transport,
            clock=self._clock,
            deadline_s=self._deadline_s,
            csrf=self._csrf,
            use=use,
        )


def _site_of(tenant: str, tenant_spec: TenantSpec, name: str) -> Site:
    if tenant != tenant_spec.tenant:
        # Never a mere mix-up to go on with: it would pair one tenant's name with another's token.
        raise UsageError(f"the declaration of {tenant_spec.tenant!r} is not that of {tenant!r}")
    return declared_site(tenant_spec, name)
