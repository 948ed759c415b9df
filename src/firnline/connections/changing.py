"""What people do to connections on purpose: try, renew, end, switch off and on.

Takes a declared connection or a stored one; each change is stored before anything else is done, and
the row that is stored in the end goes back to the CLI, the admin API or the pages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from firnline.clock import Clock
from firnline.connections.channel import Channel
from firnline.connections.flows import Flows
from firnline.connections.renewals import Old, Renewals
from firnline.connections.saving import Held, changed
from firnline.connections.site import Site, site_at
from firnline.connections.standing import can_renew, standing
from firnline.connections.tokens import Credential, StoredTokens
from firnline.connectors.protocol import Identity
from firnline.connectors.registry import load_connector
from firnline.errors import FirnlineError, UsageError
from firnline.state import ConnectionRow, StaleRowError, State
from firnline.transport import ProviderError

REVOKING_MAX = 4  # at once, of one tenant
_UNSAID = "whether the provider ended it, too, is not known: look there"

OpenChannel = Callable[[Site, Credential], Channel]


class NotRenewableError(UsageError):
    """Nothing renews this connection but connecting it again."""

    code = "not_renewable"
    status = 409


class StillPendingError(UsageError):
    """The connection waits for somebody to confirm it."""

    code = "still_pending"
    status = 409


class Changing:
    """Changes of all connections. Part of `Connections`."""

    def __init__(
        self,
        *,
        state: State,
        renewals: Renewals,
        flows: Flows,
        open_channel: OpenChannel,
        clock: Clock,
    ) -> None:
        self._state = state
        self._renewals = renewals
        self._flows = flows
        self._open_channel = open_channel
        self._clock = clock

    async def test(self, site: Site) -> Identity:
        """Return who the provider says that the connection is; raises what a call raises."""
        _row, tokens = await self._renewals.current(site)
        credential = StoredTokens(site, self._renewals, clock=self._clock)
        channel = self._open_channel(site.based_at(tokens.base_url), credential)
        return await channel.run(site.connector.identify(site.settings))

    async def refresh(self, site: Site) -> ConnectionRow:
        """Renew now; raises NotRenewableError, a ConnectionClosedError or a ProviderError."""
        _row, tokens = await self._renewals.current(site)
        if not can_renew(site, tokens):
            raise NotRenewableError(
                f"{site.destination.label} connects by {site.auth.flow}: nothing renews it",
                hint=f"Connect it again: firnline connect {site.tenant} {site.name}",
            )
        await self._renewals.renewed(site, Old(tokens.access_token))
        return (await self._renewals.current(site))[0]

    async def revoke(self, held: Held, reason: str) -> ConnectionRow | None:
        """End a connection: forget its token, then ask the provider to end it, too.

        The row's reason says what the provider did. Ending twice is no error. Returns None when
        there is no such connection.
        """
        ended: list[ConnectionRow] = []

        async def end(row: ConnectionRow | None) -> ConnectionRow | None:
            ended.clear()
            if row is None or row.state == "revoked":
                return None
            ended.append(row)
            return self._without_token(row, _joined(reason, _UNSAID))

        row = await changed(self._state, held, end)
        if row is None or not ended:
            return row
        return await self._said(row, _joined(reason, await self._ended_there(ended[0])))

    async def revoke_all(self, tenant: str, reason: str) -> list[ConnectionRow]:
        """End everything that is connected for a tenant, people's own included."""
        places = asyncio.Semaphore(REVOKING_MAX)

        async def one(row: ConnectionRow) -> ConnectionRow | None:
            async with places:
                return await self.revoke(row, reason)

        own = await self._state.personal_connections(tenant)
        rows = [*await self._state.connections(tenant), *own]
        ended = await asyncio.gather(*(one(row) for row in rows), return_exceptions=True)
        for failed in ended:  # told once all others have ended
            if isinstance(failed, BaseException):
                raise failed
        return [row for row in ended if isinstance(row, ConnectionRow)]

    async def disable(self, held: Held, reason: str) -> ConnectionRow | None:
        """Switch a connection off; its token is kept. Returns None when there is none.

        Raises StillPendingError: switched on again it would be used without being confirmed.
        """

        async def off(row: ConnectionRow | None) -> ConnectionRow | None:
            if row is None or row.token_ciphertext is None or row.state == "disabled":
                return None
            if row.state == "pending":
                raise StillPendingError(
                    f"{row.name!r} of {row.tenant!r} waits to be confirmed, and is not used yet",
                    hint="Confirm its account first, or revoke the connection.",
                )
            now = self._clock.now()
            return replace(row, state="disabled", state_reason=reason, updated_at=now)

        return await changed(self._state, held, off)

    async def enable(self, held: Held) -> ConnectionRow | None:
        """Switch a connection on again; one that is not off stays as it is.

        Whether the provider still takes it shows at its next use.
        """

        async def on(row: ConnectionRow | None) -> ConnectionRow | None:
            if row is None or row.state != "disabled":
                return None
            return await self._working(stored_site(row), row)

        return await changed(self._state, held, on)

    def _without_token(self, row: ConnectionRow, reason: str) -> ConnectionRow:
        return replace(
            row,
            state="revoked",
            state_reason=reason,
            token_ciphertext=None,
            expires_at=None,
            ends_at=None,
            renewal_began_at=None,
            renewal_error="",
            updated_at=self._clock.now(),
        )

    async def _working(self, site: Site, row: ConnectionRow) -> ConnectionRow:
        now = self._clock.now()
        tokens = await self._renewals.opened(site, row)
        state, reason = standing(site, tokens, before=None, now=now)
        return replace(row, state=state, state_reason=reason, updated_at=now)

    async def _ended_there(self, row: ConnectionRow) -> str:
        """Ask the provider to end a token that is not stored any more; return what came of it."""
        if row.token_ciphertext is None:
            return ""
        try:
            site = stored_site(row)  # its connector may be gone
            tokens = await self._renewals.opened(site, row)
            if await self._flows.revoke(site, tokens):
                return "the provider ended it, too"
            return "the provider offers no way to end it from here: remove the access there"
        except ProviderError as error:
            said = error.message.removeprefix(f"{error.destination.label}: ")
            return f"the provider did not confirm its end, remove the access there: {said}"
        except FirnlineError as error:
            return f"the provider could not be asked to end it: {error.message}"

    async def _said(self, ended: ConnectionRow, reason: str) -> ConnectionRow:
        """Store what the provider did, unless the system was connected anew meanwhile."""
        try:
            return await self._state.save_connection(replace(ended, state_reason=reason))
        except StaleRowError:
            return ended


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def stored_site(row: ConnectionRow) -> Site:
    """Return the place that a stored connection leads to, whatever is declared today."""
    site = site_at(row.tenant, row.name, load_connector(row.provider), row.settings, flow=row.flow)
    return site.of(row.person)
