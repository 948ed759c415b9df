"""What a channel authorises its calls with: tokens kept here, or one that a caller brought.

Takes a connection's site; gives channels an access token that is fresh when asked for, another one
when it was refused, and in the end the error that says why there is none.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Protocol

from pydantic import SecretStr

from firnline.clock import Clock
from firnline.connections.closed import NeedsReconnectError
from firnline.connections.endpoint import GrantRefusedError, TokenSet
from firnline.connections.renewals import Old, Renewals
from firnline.connections.site import Site
from firnline.connections.standing import can_renew, is_due, is_lately
from firnline.errors import FirnlineError
from firnline.state import ConnectionRow, StateUnavailableError
from firnline.transport import ProviderError, ProviderUnavailableError

FAILED_PAUSE = timedelta(seconds=10)  # between early renewals: nothing hurries yet
EARLY_WAIT_S = 1.0  # for a renewal that nobody needs yet
NEEDED_PAUSE = timedelta(seconds=1)  # between renewals that calls wait for


class Credential(Protocol):
    """What a channel authorises its calls with."""

    async def token(self) -> SecretStr:
        """Return an access token to use now."""
        ...

    async def renew(self, rejected: SecretStr) -> SecretStr:
        """Return what to show instead of `rejected`, which the provider called expired."""
        ...

    async def refused(self, rejected: SecretStr, reason: str) -> FirnlineError:
        """Note that the provider takes not even a new token; return the error to raise."""
        ...


class StoredTokens:
    """The credential of a connection that a person connected and the state store keeps."""

    def __init__(self, site: Site, renewals: Renewals, *, clock: Clock) -> None:
        self._site = site
        self._renewals = renewals
        self._clock = clock

    async def token(self) -> SecretStr:
        """Return a fresh access token, renewed ahead of its end.

        Raises a ConnectionClosedError or a ProviderError.
        """
        row, tokens = await self._renewals.seen(self._site)
        now = self._clock.now()
        if not is_due(tokens, now):
            return tokens.access_token
        if tokens.expires_at is not None and now < tokens.expires_at:
            return await self._early(row, tokens)
        if row.renewal_error and is_lately(row.updated_at, NEEDED_PAUSE, now):
            # However many ask: a provider in trouble is not asked by each of them.
            raise ProviderUnavailableError(self._site.destination, row.renewal_error)
        old = Old(tokens.access_token, is_refused=False)
        return (await self._renewals.renewed(self._site, old)).access_token

    async def renew(self, rejected: SecretStr) -> SecretStr:
        """Return another token than `rejected`; of many callers at once one asks the provider.

        The same one where nothing renews it: an answer may have been a passing fault.
        """
        _row, tokens = await self._renewals.current(self._site)
        if tokens.access_token != rejected:
            return tokens.access_token
        if not can_renew(self._site, tokens) and not is_due(tokens, self._clock.now()):
            return rejected
        return (await self._renewals.renewed(self._site, Old(rejected))).access_token

    async def refused(self, rejected: SecretStr, reason: str) -> FirnlineError:
        """Mark the connection as needing a person, unless its token is another by now."""
        row = await self._renewals.given_up(self._site, rejected, reason)
        if row is not None and row.is_working:
            return ProviderUnavailableError(
                self._site.destination, "its authorisation was renewed during the call"
            )
        return NeedsReconnectError(self._site, reason)

    async def _early(self, row: ConnectionRow, tokens: TokenSet) -> SecretStr:
        """Return a renewed token, or the old one while it lives: renewing it can wait."""
        now = self._clock.now()
        failed_lately = row.renewal_error and is_lately(row.updated_at, FAILED_PAUSE, now)
        if failed_lately or not can_renew(self._site, tokens):
            return tokens.access_token
        try:
            async with asyncio.timeout(EARLY_WAIT_S):  # it goes on behind whoever leaves
                fresh = await self._renewals.renewed_early(self._site, tokens.access_token)
        except (ProviderError, StateUnavailableError, TimeoutError):
            return tokens.access_token  # noted with the connection; a failure now harms nobody
        return (fresh or tokens).access_token


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
