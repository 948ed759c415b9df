"""Connections: who may speak to which provider, for whom.

The composition root opens one `Connections`; the connect command and the web edge connect systems
through it, sync and discovery get their channels from it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Self

from pydantic import SecretStr

from firnline.clock import Clock
from firnline.connections.activating import Activation
from firnline.connections.changing import Changing, stored_site
from firnline.connections.channel import Channel
from firnline.connections.clients import ClientRegistry
from firnline.connections.closed import ConnectionRevokedError, NotConnectedError
from firnline.connections.consent.arrivals import Arrivals
from firnline.connections.consent.authorize import (
    AuthorizationStart,
    WrongFlowError,
    redeem_code,
    start_authorization,
)
from firnline.connections.csrf import CsrfTokens
from firnline.connections.entering import entered_fields, tried
from firnline.connections.flows import Flows, Given
from firnline.connections.governing import governed
from firnline.connections.keeping import Keeping
from firnline.connections.renewals import Renewals
from firnline.connections.sealing.vault import Vault
from firnline.connections.site import Site, address_of, declared_site
from firnline.connections.statuses import ConnectionStatus, statuses_of
from firnline.connections.tokens import Credential, GivenToken, StoredTokens
from firnline.connections.turns import Turns
from firnline.connectors.auth_flows import AuthorizationCode, ClientAssertion
from firnline.connectors.protocol import Identity
from firnline.errors import FirnlineError, UsageError
from firnline.settings import Settings
from firnline.spec.model import TenantSpec
from firnline.state import ConnectionEvent, ConnectionRow, State
from firnline.transport import Transport, Use
from firnline.transport.quota.governor import QuotaGovernor, Standing

EVENTS_PAGE = 100
SIGN_IN_DEADLINE_S = 15.0  # of one request for tokens; others may wait for it


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
        governor: QuotaGovernor | None = None,
    ) -> None:
        self.clients = ClientRegistry(state=state, vault=vault, clock=clock)
        self.transport = transport
        self._governor = governor
        deadline_s = min(settings.provider_deadline_s, SIGN_IN_DEADLINE_S)
        self.flows = Flows(
            clients=self.clients, transport=transport, clock=clock, deadline_s=deadline_s
        )
        self._state = state
        self._vault = vault
        self._clock = clock
        self._deadline_s = settings.provider_deadline_s
        self._csrf = CsrfTokens()
        self._turns = Turns()
        self._renewals = Renewals(
            flows=self.flows, state=state, vault=vault, clock=clock, deadline_s=deadline_s
        )
        self._activation = Activation(
            state=state,
            renewals=self._renewals,
            flows=self.flows,
            open_channel=self._channel,
            clock=clock,
        )
        self._changing = Changing(
            state=state,
            renewals=self._renewals,
            flows=self.flows,
            open_channel=self._channel,
            clock=clock,
        )
        self._keeping = Keeping(state=state, renewals=self._renewals, clock=clock)
        self.arrivals = Arrivals(
            flows=self.flows,
            identify=self._activation.identified,
            activate=self._activation.store,
            state=state,
            vault=vault,
            clock=clock,
        )

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, *, clock: Clock) -> AsyncIterator[Self]:
        """Open state, vault and transport as `settings` say, and close them in the end."""
        state = await State.open(settings)
        try:
            vault = await Vault.open(settings, state=state, clock=clock)
            async with (
                governed(settings, clock=clock) as governor,
                Transport(routes=settings.routes, clock=clock, governor=governor) as transport,
            ):
                opened = cls(
                    state=state,
                    vault=vault,
                    transport=transport,
                    clock=clock,
                    settings=settings,
                    governor=governor,
                )
                try:
                    yield opened
                finally:
                    await opened.close()
        finally:
            await state.close()

    async def close(self) -> None:
        """Wait for renewals under way; call before closing state and transport."""
        await self._renewals.finish()

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

        Raises UnknownConnectionError, a ConnectionClosedError or VaultKeyInvalidError.
        """
        site = _site_of(tenant, tenant_spec, name).of(person)
        _row, tokens = await self._renewals.current(site)
        credential = StoredTokens(site, self._renewals, clock=self._clock)
        return self._channel(site.based_at(tokens.base_url), credential, use)

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
        allow_other_account: bool = False,
    ) -> ConnectionRow:
        """Turn the code that came back into a stored, active connection.

        `browser` is the session that it came back to, `redirect_uri` where, `issuer` the `iss`
        beside it. Raises OtherBrowserError, AuthorizationInvalidError, OtherAccountError,
        GrantRefusedError or another ProviderError.
        """
        sign_in = await self.arrivals.take(
            state, browser=browser, redirect_uri=redirect_uri, issuer=issuer
        )
        tokens = await redeem_code(sign_in, code, flows=self.flows)
        return await self._activation.store(
            sign_in.site, tokens, allow_other_account=allow_other_account
        )

    async def connect(
        self,
        tenant_spec: TenantSpec,
        name: str,
        *,
        given: Given | None = None,
        person: str = "",
        allow_other_account: bool = False,
    ) -> ConnectionRow:
        """Connect a system without a browser, from its registered client or from what is `given`.

        For a person an assertion is signed with the key that the provider maps to them.

        Raises WrongFlowError, OtherAccountError or what `Flows.obtain` raises.
        """
        site = declared_site(tenant_spec, name).of(person)
        if isinstance(site.auth, AuthorizationCode):
            raise WrongFlowError(f"{site.manifest.name} connects in a browser")
        return await self._activation.store(
            site,
            await self.flows.obtain(site, given),
            allow_other_account=allow_other_account,
        )

    async def connect_with_secrets(
        self,
        tenant_spec: TenantSpec,
        name: str,
        fields: Mapping[str, SecretStr],
        *,
        person: str = "",
        allow_other_account: bool = False,
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
                return await self._activation.store(
                    site, tokens, allow_other_account=allow_other_account
                )
            except FirnlineError:
                await self.flows.abandon(site, tokens)
                raise

    async def arrive(
        self,
        tenant_spec: TenantSpec,
        name: str,
        fields: Mapping[str, SecretStr] | None = None,
        *,
        person: str = "",
        browser: str,
    ) -> str:
        """Sign in without the provider's page, by a registered client or by what was entered.

        Returns the token under which it waits in `arrivals` for the browser session to confirm
        whose account it is. Raises WrongFlowError, EntryFieldsError, CredentialsRefusedError,
        OtherAccountError or another ProviderError.
        """
        site = declared_site(tenant_spec, name).of(person)
        if isinstance(site.auth, AuthorizationCode):
            raise WrongFlowError(f"{site.manifest.name} connects in a browser")
        if fields is None:
            tokens = await self.flows.obtain(site)
            return await self.arrivals.hold(site, tokens, browser=browser)
        given = entered_fields(site, fields)
        with tried(site):
            tokens = await self.flows.obtain(site, given)
            return await self.arrivals.hold(site, tokens, browser=browser)

    # -- what people do to connections ----------------------------------------------------------

    async def statuses(self, tenant_spec: TenantSpec) -> list[ConnectionStatus]:
        """Return how a tenant's connections stand: declared, stored and people's own."""
        return await statuses_of(self._state, tenant_spec)

    async def test(self, tenant_spec: TenantSpec, name: str, *, person: str = "") -> Identity:
        """Return who the provider says that a connection is; raises what a call raises."""
        return await self._changing.test(declared_site(tenant_spec, name).of(person))

    async def refresh(
        self, tenant_spec: TenantSpec, name: str, *, person: str = ""
    ) -> ConnectionRow:
        """Renew a connection now.

        Raises NotRenewableError, a ConnectionClosedError or a ProviderError.
        """
        return await self._changing.refresh(declared_site(tenant_spec, name).of(person))

    async def revoke(
        self, tenant_spec: TenantSpec, name: str, *, person: str = "", reason: str = ""
    ) -> ConnectionRow:
        """End a connection, here first and then at the provider; its row says what that did.

        Raises UnknownConnectionError or NotConnectedError.
        """
        held = await self._held(tenant_spec, name, person)
        return _found(held, await self._changing.revoke(held, reason))

    async def revoke_all(self, tenant: str, *, reason: str = "") -> list[ConnectionRow]:
        """End all connections of a tenant, people's own included; one by one, as `revoke` does."""
        return await self._changing.revoke_all(tenant, reason)

    async def disable(
        self, tenant_spec: TenantSpec, name: str, *, person: str = "", reason: str = ""
    ) -> ConnectionRow:
        """Switch a connection off; raises UnknownConnectionError or NotConnectedError."""
        held = await self._held(tenant_spec, name, person)
        return _found(held, await self._changing.disable(held, reason))

    async def enable(
        self, tenant_spec: TenantSpec, name: str, *, person: str = ""
    ) -> ConnectionRow:
        """Switch a connection on again.

        Raises UnknownConnectionError, NotConnectedError, or ConnectionRevokedError for one that
        was ended: nothing was kept that could be switched on.
        """
        held = await self._held(tenant_spec, name, person)
        row = _found(held, await self._changing.enable(held))
        if row.state == "revoked":
            raise ConnectionRevokedError(stored_site(row), row.state_reason)
        return row

    async def events(
        self, after: int = 0, *, tenant: str = "", limit: int = EVENTS_PAGE
    ) -> list[ConnectionEvent]:
        """Return changes of connections' states that follow number `after`, the oldest first.

        Raises EventsGoneError.
        """
        return await self._state.connection_events.after(after, tenant=tenant, limit=limit)

    async def standing(
        self, tenant_spec: TenantSpec, name: str, *, person: str = ""
    ) -> Standing | None:
        """Return how the quota of a connection's account stands; None where none is kept."""
        if self._governor is None:
            return None
        site = declared_site(tenant_spec, name).of(person)
        return await self._governor.standing(site.destination)

    async def keep_fresh(self, tenants: Mapping[str, TenantSpec]) -> None:
        """Renew stored connections ahead of their end, for good, whoever asks or not."""
        await self._keeping.keep_on(tenants)

    async def _held(self, tenant_spec: TenantSpec, name: str, person: str) -> ConnectionRow | Site:
        """Return a stored connection, else the place where one would be; what is gone from the
        tenant's YAML can be ended all the same.
        """
        row = await self._state.connection(tenant_spec.tenant, name, address_of(person))
        return row or declared_site(tenant_spec, name).of(person)

    def _channel(self, site: Site, credential: Credential, use: Use = Use.INTERACTIVE) -> Channel:
        return Channel(
            site,
            credential,
            transport=self.transport,
            clock=self._clock,
            deadline_s=self._deadline_s,
            csrf=self._csrf,
            turns=self._turns,
            use=use,
        )


def _found(held: ConnectionRow | Site, row: ConnectionRow | None) -> ConnectionRow:
    if row is not None:
        return row
    raise NotConnectedError(held if isinstance(held, Site) else stored_site(held))


def _site_of(tenant: str, tenant_spec: TenantSpec, name: str) -> Site:
    if tenant != tenant_spec.tenant:
        # Never a mere mix-up to go on with: it would pair one tenant's name with another's token.
        raise UsageError(f"the declaration of {tenant_spec.tenant!r} is not that of {tenant!r}")
    return declared_site(tenant_spec, name)
