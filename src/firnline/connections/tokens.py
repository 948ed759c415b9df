"""Access tokens of stored connections: fresh when asked for, renewed once for all who wait.

Renewing is one task per connection that no caller's deadline can cancel: where a provider rotates
refresh tokens, an answer that nobody reads would lose the connection. What was obtained is stored
before anybody uses it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from pydantic import SecretStr

from firnline.clock import Clock
from firnline.connections.endpoint import GrantRefusedError, TokenSet
from firnline.connections.site import Site
from firnline.connections.vault import Vault
from firnline.errors import FirnlineError
from firnline.flights import Flights
from firnline.state import ConnectionRow, StaleRowError, State
from firnline.transport import ProviderError, ProviderUnavailableError

LEEWAY_MAX = timedelta(seconds=60)
LEEWAY_SHARE = 10  # a token is renewed when less than a tenth of its life is left
SAVES_MAX = 5

Renew = Callable[[Site, TokenSet], Awaitable[TokenSet]]


class NotConnectedError(FirnlineError):
    """Nobody has connected this system yet."""

    code = "not_connected"
    status = 409

    def __init__(self, site: Site) -> None:
        super().__init__(
            f"{site.destination.label} is not connected", hint=f"Run: {connect_command(site)}"
        )


class NeedsReconnectError(FirnlineError):
    """The authorisation is no longer valid; a person must connect the system again."""

    code = "needs_reconnect"
    status = 409

    def __init__(self, site: Site, reason: str) -> None:
        super().__init__(
            f"{site.destination.label} must be connected again: {reason}",
            hint=f"Run: {connect_command(site)}",
        )


class ConnectionDisabledError(FirnlineError):
    """The connection was switched off on purpose."""

    code = "connection_disabled"
    status = 409

    def __init__(self, site: Site, reason: str) -> None:
        because = f": {reason}" if reason else ""
        super().__init__(
            f"{site.destination.label} is disabled{because}",
            hint=f"To use it again, run: {connect_command(site)}",
        )


def connect_command(site: Site) -> str:
    """Return the command that connects a system."""
    whose = f" --person {site.person}" if site.person else ""
    return f"firnline connect {site.tenant} {site.name}{whose}"


class Credential(Protocol):
    """What a channel authorises its calls with."""

    async def token(self) -> SecretStr:
        """Return an access token to use now."""
        ...

    async def renew(self, rejected: SecretStr) -> SecretStr:
        """Return another token than `rejected`, which the provider called expired."""
        ...

    async def refused(self, rejected: SecretStr, reason: str) -> FirnlineError:
        """Note that the provider takes not even a new token; return the error to raise."""
        ...


# A rotated token must not be lost: what began is not cancelled with whoever wanted it first.
Renewals = Flights[Any, TokenSet]


class StoredTokens:
    """The credential of a connection that a person connected and the state store keeps."""

    def __init__(
        self,
        site: Site,
        renew: Renew,
        *,
        flights: Renewals,
        state: State,
        vault: Vault,
        clock: Clock,
    ) -> None:
        self._site = site
        self._renew = renew
        self._flights = flights
        self._state = state
        self._vault = vault
        self._clock = clock

    async def token(self) -> SecretStr:
        """Return a fresh access token, renewed ahead of its end.

        Raises NotConnectedError, NeedsReconnectError, ConnectionDisabledError or a ProviderError.
        """
        tokens = await self._open(await self.active_row())
        if not self._is_due(tokens):
            return tokens.access_token
        try:
            return await self.renew(tokens.access_token)
        except ProviderError as error:
            # Renewing was early: while the token itself lives, a passing failure harms nobody.
            if error.retryable and tokens.expires_at and self._clock.now() < tokens.expires_at:
                return tokens.access_token
            raise

    async def renew(self, rejected: SecretStr) -> SecretStr:
        """Return another token than `rejected`; of many callers at once one asks the provider."""
        key = (self._site.tenant, self._site.holder)
        tokens = await self._flights.join(key, lambda: self._renewed(rejected))
        if tokens.access_token == rejected:
            # The flight that was joined is the one that had obtained it.
            tokens = await self._flights.join(key, lambda: self._renewed(rejected))
        return tokens.access_token

    async def refused(self, rejected: SecretStr, reason: str) -> FirnlineError:
        """Mark the connection as needing a person, unless its token is another by now."""
        row = await self.active_row()
        if (await self._open(row)).access_token != rejected:
            return ProviderUnavailableError(
                self._site.destination, "its authorisation was renewed during the call"
            )
        await self._give_up(row, reason)
        return NeedsReconnectError(self._site, reason)

    async def active_row(self) -> ConnectionRow:
        """Return the stored connection when it can be used, raise why not otherwise."""
        row = await self.stored_row()
        if row.state == "needs_reconnect":
            raise NeedsReconnectError(self._site, row.state_reason)
        declared = (self._site.connector.provider, dict(self._site.settings))
        if (row.provider, dict(row.settings)) != declared:
            # Its token belongs to another account: it must never be sent to this one.
            raise NeedsReconnectError(self._site, "its settings changed since it was connected")
        return row

    async def stored_row(self) -> ConnectionRow:
        """Return the stored connection, raise when there is none or it is switched off."""
        row = await self._state.connection(self._site.tenant, self._site.name, self._site.person)
        if row is None or row.state == "pending" or row.token_ciphertext is None:
            raise NotConnectedError(self._site)
        if row.state == "disabled":
            raise ConnectionDisabledError(self._site, row.state_reason)
        return row

    async def _renewed(self, rejected: SecretStr) -> TokenSet:
        row = await self.active_row()
        tokens = await self._open(row)
        if tokens.access_token != rejected:
            return tokens
        try:
            fresh = await self._renew(self._site, tokens)
        except GrantRefusedError as error:
            return await self._after_refusal(row, error)
        # Providers that do not rotate give no refresh token again: the old one stays good.
        fresh = replace(fresh, refresh_token=fresh.refresh_token or tokens.refresh_token)
        return await self._stored(row, fresh, instead_of=tokens)

    async def _after_refusal(self, row: ConnectionRow, error: GrantRefusedError) -> TokenSet:
        """Use what another process obtained meanwhile; else a person must connect again."""
        current = await self.active_row()
        if current.version != row.version:
            return await self._open(current)
        reason = "the provider no longer accepts the stored authorisation"
        await self._give_up(current, reason)
        raise NeedsReconnectError(self._site, reason) from error

    async def _give_up(self, row: ConnectionRow, reason: str) -> None:
        lost = replace(
            row, state="needs_reconnect", state_reason=reason, updated_at=self._clock.now()
        )
        try:
            await self._state.save_connection(lost)
        except StaleRowError:
            return  # somebody connected or renewed it meanwhile: their word is newer

    async def _stored(
        self, row: ConnectionRow, fresh: TokenSet, *, instead_of: TokenSet
    ) -> TokenSet:
        """Store `fresh` before its first use; return what is stored in the end."""
        for _ in range(SAVES_MAX):
            try:
                await self._state.save_connection(await self._with_tokens(row, fresh))
                return fresh
            except StaleRowError:
                row = await self.stored_row()
            # Compared when opened: rotation of the keys seals the same tokens anew.
            kept = await self._open(row)
            if row.state == "active" and kept.access_token != instead_of.access_token:
                return kept  # connected anew, or renewed by another process
        raise StaleRowError(row.tenant, row.name)

    async def _with_tokens(self, row: ConnectionRow, fresh: TokenSet) -> ConnectionRow:
        return replace(
            row,
            state="active",
            state_reason="",
            token_ciphertext=await seal_tokens(self._vault, self._site, fresh),
            expires_at=fresh.expires_at,
            updated_at=self._clock.now(),
        )

    async def _open(self, row: ConnectionRow) -> TokenSet:
        return TokenSet.from_json(
            await self._vault.unseal(
                row.token_ciphertext or b"",
                purpose="token",
                tenant=row.tenant,
                connection=self._site.holder,
            )
        )

    def _is_due(self, tokens: TokenSet) -> bool:
        return tokens.expires_at is not None and self._clock.now() >= _renew_at(
            tokens.issued_at, tokens.expires_at
        )


class GivenToken:
    """The credential of a token that the caller brought; nothing can renew it."""

    def __init__(self, site: Site, token: SecretStr) -> None:
        self._site = site
        self._token = token

    async def token(self) -> SecretStr:
        """Return the token."""
        return self._token

    async def renew(self, rejected: SecretStr) -> SecretStr:
        """Raise: there is no other token."""
        raise await self.refused(rejected, "it ran out")

    async def refused(self, rejected: SecretStr, reason: str) -> FirnlineError:
        """Return the error; the stored connection is not touched."""
        return GrantRefusedError(
            self._site.destination, f"the given token is not accepted: {reason}"
        )


async def seal_tokens(vault: Vault, site: Site, tokens: TokenSet) -> bytes:
    """Return `tokens` as ciphertext of this connection."""
    return await vault.seal(
        tokens.as_json(), purpose="token", tenant=site.tenant, connection=site.holder
    )


def _renew_at(issued_at: datetime, expires_at: datetime) -> datetime:
    return expires_at - min(LEEWAY_MAX, (expires_at - issued_at) / LEEWAY_SHARE)
