"""Renewals of stored tokens: once for all tasks that wait, by one process at a time.

Renewing is one task per connection that no caller's deadline can cancel: where a provider rotates
refresh tokens, an answer that nobody reads would lose the connection. Among processes a lease says
who asks; the others wait for what is stored. That a renewal began is stored before the provider is
asked, and what it gave is stored before anybody uses it: whoever is killed in between leaves a
connection that the next one renews, or of which the provider's own refusal says that it is lost.
"""

from __future__ import annotations

import os
import random
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from pydantic import SecretStr

from firnline.clock import Clock
from firnline.connections.closed import NeedsReconnectError, closed_by
from firnline.connections.endpoint import ClientRefusedError, GrantRefusedError, TokenSet
from firnline.connections.flows import Flows
from firnline.connections.saving import Change, changed
from firnline.connections.sealing.vault import Vault
from firnline.connections.site import Site
from firnline.connections.standing import can_renew, ends_at, is_due, moment, standing
from firnline.connectors.auth_flows import AuthorizationCode, ClientCredentials
from firnline.flights import Flights
from firnline.state import ConnectionRow, StaleRowError, State, StateUnavailableError
from firnline.transport import ProviderError, ProviderRateLimitedError, ProviderUnavailableError

LEASE_MARGIN_S = 5.0  # for storing what came, after the provider's time was up
WAIT_S = 0.05
WAIT_MAX_S = 0.5
JOINS_MAX = 4
STORE_WAIT_S = 0.2
STORE_WAIT_MAX_S = 1.0
STORE_FOR_S = 900.0  # what a provider gave once is not let go sooner
FINISHING_S = 10.0  # when this process is about to end
# Longer than whoever still tries to store what it was given waits between two attempts.
TAKEOVER_WAIT_S = 2 * STORE_WAIT_MAX_S
# What the provider answers when it did not even look at the refresh token.
UNTOUCHED = (ClientRefusedError, ProviderRateLimitedError)


@dataclass(frozen=True, slots=True)
class Old:
    """A token to be replaced: because the provider refused it, or only because it runs out."""

    token: SecretStr
    is_refused: bool = True

    def is_replaced_by(self, tokens: TokenSet, now: datetime) -> bool:
        """Say whether `tokens` are what was wanted; one that runs out may be made to last."""
        is_other = tokens.access_token != self.token
        return is_other or not (self.is_refused or is_due(tokens, now))


class Renewals:
    """Renews the tokens of all connections. One per process, safe to share."""

    def __init__(
        self,
        *,
        flows: Flows,
        state: State,
        vault: Vault,
        clock: Clock,
        deadline_s: float,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._flows = flows
        self._state = state
        self._vault = vault
        self._clock = clock
        self._ttl_s = deadline_s + LEASE_MARGIN_S
        self._draw = draw
        self._holder = f"{os.getpid()} {secrets.token_hex(8)}"
        self._finish_by: float | None = None
        # A rotated token must not be lost: what began is not cancelled with whoever wanted it.
        self._flights: Flights[tuple[str, str], TokenSet | None] = Flights(goes_on=True)
        self._looks: Flights[tuple[str, str], tuple[ConnectionRow | None, TokenSet | None]]
        self._looks = Flights(goes_on=False)

    async def finish(self) -> None:
        """Wait for what is under way here, and for other processes no longer."""
        self._finish_by = self._clock.monotonic() + FINISHING_S
        await self._flights.finish()

    async def current(self, site: Site) -> tuple[ConnectionRow, TokenSet]:
        """Return a stored connection with its tokens; raises why it cannot be used."""
        row = await self._state.connection(site.tenant, site.name, site.person)
        closed = closed_by(site, row)
        if closed is not None:
            raise closed
        assert row is not None
        return row, await self.opened(site, row)

    async def seen(self, site: Site) -> tuple[ConnectionRow, TokenSet]:
        """Return what `current` does, from one look for all who ask at the same moment."""
        key = (site.tenant, site.holder)
        row, tokens = await self._looks.join(key, lambda: self._looked(site))
        closed = closed_by(site, row)
        if closed is not None:
            raise closed
        assert row is not None and tokens is not None
        return row, tokens

    async def _looked(self, site: Site) -> tuple[ConnectionRow | None, TokenSet | None]:
        row = await self._state.connection(site.tenant, site.name, site.person)
        if row is None or not row.is_working or row.token_ciphertext is None:
            return row, None
        return row, await self.opened(site, row)

    async def renewed(self, site: Site, old: Old) -> TokenSet:
        """Return other tokens than `old`, obtained here or by another process.

        The same where the provider gives one token to all who ask, until it ends. Raises a
        ConnectionClosedError or a ProviderError.
        """
        for _ in range(JOINS_MAX):
            tokens = await self._join(site, old, waits=True)
            # Else the flight that was joined would not wait, or had obtained the rejected one.
            if tokens is None:
                continue
            if old.is_replaced_by(tokens, self._clock.now()) or _is_kept(site):
                return tokens
        raise ProviderUnavailableError(
            site.destination, "it gives the same token again instead of another"
        )

    async def renewed_early(self, site: Site, old: SecretStr) -> TokenSet | None:
        """Return other tokens than `old`, None when another process is about to obtain them."""
        return await self._join(site, Old(old), waits=False)

    async def given_up(self, site: Site, rejected: SecretStr, reason: str) -> ConnectionRow | None:
        """Mark a connection as needing a person, unless its token is another than `rejected`."""

        async def give_up(row: ConnectionRow | None) -> ConnectionRow | None:
            if row is None or not row.is_working:
                return None
            if (await self.opened(site, row)).access_token != rejected:
                return None
            return replace(
                row,
                state="needs_reconnect",
                state_reason=reason,
                renewal_began_at=None,
                updated_at=self._clock.now(),
            )

        return await changed(self._state, site, give_up)

    async def note_end(self, site: Site) -> None:
        """Say of a working connection that it ends soon, when it does and nothing renews it."""

        async def note(row: ConnectionRow | None) -> ConnectionRow | None:
            if row is None or row.state != "active":
                return None
            now = self._clock.now()
            tokens = await self.opened(site, row)
            state, reason = standing(site, tokens, before=None, now=now)
            if state == row.state:
                return None
            return replace(row, state=state, state_reason=reason, updated_at=now)

        await changed(self._state, site, note)

    async def with_tokens(
        self, site: Site, row: ConnectionRow, tokens: TokenSet, *, before: TokenSet | None = None
    ) -> ConnectionRow:
        """Return `row` holding `tokens`, in the state that they give it."""
        now = self._clock.now()
        state, reason = standing(site, tokens, before=before, now=now)
        return replace(
            row,
            state=state,
            state_reason=reason,
            token_ciphertext=await self.sealed(site, tokens),
            flow=site.auth.flow,
            scopes=tokens.scopes,
            expires_at=tokens.expires_at,
            ends_at=ends_at(site, tokens),
            renewal_began_at=None,
            renewal_error="",
            updated_at=now,
        )

    async def sealed(self, site: Site, tokens: TokenSet) -> bytes:
        """Return `tokens` as ciphertext of this connection."""
        return await seal_tokens(self._vault, site, tokens)

    async def opened(self, site: Site, row: ConnectionRow) -> TokenSet:
        """Return the tokens of a stored connection."""
        return TokenSet.from_json(
            await self._vault.unseal(
                row.token_ciphertext or b"",
                purpose="token",
                tenant=row.tenant,
                connection=site.holder,
            )
        )

    async def _join(self, site: Site, old: Old, *, waits: bool) -> TokenSet | None:
        key = (site.tenant, site.holder)
        return await self._flights.join(key, lambda: self._flight(site, old, waits=waits))

    async def _flight(self, site: Site, old: Old, *, waits: bool) -> TokenSet | None:
        lease = f"refresh {site.tenant} {site.holder}"
        tokens = await self._lease_or_tokens(site, old, lease, waits=waits)
        if not isinstance(tokens, bool):
            return tokens
        if not tokens:
            return None
        try:
            return await self._renewed_alone(site, old, lease)
        finally:
            with suppress(StateUnavailableError):  # then it ends by itself
                await self._state.leases.release(lease, self._holder, now=self._clock.now())

    async def _renewed_alone(self, site: Site, old: Old, lease: str) -> TokenSet | None:
        """Ask the provider while the lease is held, unless others were quicker after all."""
        row, stored = await self.current(site)
        if old.is_replaced_by(stored, self._clock.now()):
            return stored  # after the last look, before the lease was free
        interrupted_at = row.renewal_began_at
        if interrupted_at is not None and not row.renewal_error:
            # Nobody noted how that one ended: its process may be about to store what it was given.
            await self._clock.sleep(TAKEOVER_WAIT_S)
        await self._note_beginning(site, stored)
        # From here on for all of the provider's time. Whoever stood still for so long that another
        # one took over must not show a refresh token that is used up.
        if not await self._is_held(lease):
            return None
        _row, stored = await self.current(site)
        if old.is_replaced_by(stored, self._clock.now()):
            return stored
        return await self._asked(site, interrupted_at, stored)

    async def _is_held(self, lease: str) -> bool:
        leases, now = self._state.leases, self._clock.now()
        return await leases.hold(lease, self._holder, ttl_s=self._ttl_s, now=now) is not None

    async def _lease_or_tokens(
        self, site: Site, old: Old, lease: str, *, waits: bool
    ) -> TokenSet | bool:
        """Return the tokens that another one stored, or whether the lease was got."""
        seen, wait_s = 0, WAIT_S
        ends_at_s = self._clock.monotonic() + 2 * self._ttl_s
        while self._clock.monotonic() < ends_at_s and self._finish_by is None:
            row, tokens = await self.current(site)
            if old.is_replaced_by(tokens, self._clock.now()):
                return tokens
            seen = seen or row.version
            if row.renewal_error and row.version != seen:
                # Who asked meanwhile was told this: nobody asks the same again at once.
                raise ProviderUnavailableError(site.destination, row.renewal_error)
            with suppress(StateUnavailableError):  # somebody writes for long: that ends, too
                is_held = await self._is_held(lease)
                if is_held or not waits:
                    return is_held
            await self._clock.sleep(wait_s * (0.5 + self._draw()))
            wait_s = min(WAIT_MAX_S, wait_s * 1.5)
        raise ProviderUnavailableError(
            site.destination, "another process renews its authorisation without coming to an end"
        )

    async def _asked(
        self, site: Site, interrupted_at: datetime | None, tokens: TokenSet
    ) -> TokenSet:
        try:
            fresh = await self._flows.renew(site, tokens)
        except GrantRefusedError as refused:
            return await self._after_refusal(site, tokens, interrupted_at, refused)
        except ProviderError as failure:
            await self._note_failure(site, tokens, interrupted_at, failure)
            raise
        # Providers that do not rotate give no refresh token again: the old one stays good.
        return await self._stored(site, tokens, fresh.renewed_from(tokens))

    async def _note_beginning(self, site: Site, tokens: TokenSet) -> None:
        if not _uses_up(site):
            return  # whatever becomes of the answer, the next renewal asks the same way

        async def began(row: ConnectionRow | None) -> ConnectionRow | None:
            if row is None or not row.is_working:
                return None
            if (await self.opened(site, row)).access_token != tokens.access_token:
                return None
            now = self._clock.now()
            # An earlier one whose answer is unknown is the one to name.
            since = row.renewal_began_at or now
            return replace(row, renewal_began_at=since, renewal_error="", updated_at=now)

        await changed(self._state, site, began)

    async def _note_failure(
        self,
        site: Site,
        tokens: TokenSet,
        interrupted_at: datetime | None,
        failure: ProviderError,
    ) -> None:
        async def failed(row: ConnectionRow | None) -> ConnectionRow | None:
            if row is None or not row.is_working:
                return None
            if (await self.opened(site, row)).access_token != tokens.access_token:
                return None
            is_untouched = isinstance(failure, UNTOUCHED) or not failure.was_sent
            return replace(
                row,
                renewal_began_at=interrupted_at if is_untouched else row.renewal_began_at,
                renewal_error=_said(failure),
                updated_at=self._clock.now(),
            )

        await changed(self._state, site, failed)

    async def _after_refusal(
        self,
        site: Site,
        tokens: TokenSet,
        interrupted_at: datetime | None,
        refused: GrantRefusedError,
    ) -> TokenSet:
        """Use what another one obtained meanwhile; else a person must connect again."""
        reason = "the provider no longer accepts the stored authorisation"
        if not can_renew(site, tokens):
            reason = "it ran out, and nothing renews it"
        elif interrupted_at is not None:
            reason = (
                f"a renewal was interrupted at {moment(interrupted_at)}, and the provider does not "
                "accept what was stored before it"
            )
        await self.given_up(site, tokens.access_token, reason)
        try:
            _row, current = await self.current(site)
        except NeedsReconnectError as lost:
            raise lost from refused
        return current

    async def _stored(self, site: Site, old: TokenSet, fresh: TokenSet) -> TokenSet:
        """Store `fresh` before its first use; return what is stored in the end."""
        others: list[TokenSet] = []

        async def store(row: ConnectionRow | None) -> ConnectionRow | None:
            others.clear()
            if row is None or row.token_ciphertext is None:
                return None  # ended here meanwhile
            stored = await self.opened(site, row)
            if stored.access_token != old.access_token:
                others.append(stored)  # connected anew, or renewed by another process
                return None
            renewed = await self.with_tokens(site, row, fresh, before=old)
            if row.is_working or row.state == "needs_reconnect":
                return renewed
            return replace(renewed, state=row.state, state_reason=row.state_reason)

        row = await self._insisting(site, store)
        if row is None or row.token_ciphertext is None:
            await self._flows.abandon(site, fresh)
        closed = closed_by(site, row)
        if closed is not None:
            raise closed
        return others[0] if others else fresh

    async def _insisting(self, site: Site, store: Change) -> ConnectionRow | None:
        """Store what must not be lost, however long the database is away."""
        ends_at_s, wait_s = self._clock.monotonic() + STORE_FOR_S, STORE_WAIT_S
        while True:
            try:
                return await changed(self._state, site, store)
            except (StateUnavailableError, StaleRowError):
                if self._clock.monotonic() >= min(ends_at_s, self._finish_by or ends_at_s):
                    raise
            await self._clock.sleep(wait_s)
            wait_s = min(STORE_WAIT_MAX_S, wait_s * 1.5)


async def seal_tokens(vault: Vault, site: Site, tokens: TokenSet) -> bytes:
    """Return `tokens` as ciphertext of this connection."""
    return await vault.seal(
        tokens.as_json(), purpose="token", tenant=site.tenant, connection=site.holder
    )


def _is_kept(site: Site) -> bool:
    """Say whether the provider gives the same token again as long as it lives."""
    return isinstance(site.auth, ClientCredentials) and site.auth.gives_same_token


def _said(failure: ProviderError) -> str:
    """Return what went wrong, without whose call it was."""
    return failure.message.removeprefix(f"{failure.destination.label}: ")


def _uses_up(site: Site) -> bool:
    """Say whether a renewal may use up what it is asked with."""
    return isinstance(site.auth, AuthorizationCode) and site.auth.refresh == "single_use"
