"""From what a sign-in obtained to a stored connection: whose it is, is asked before it is kept.

Takes the tokens of a sign-in; the stored row goes to whoever connected, and its state to everybody.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from firnline.clock import Clock
from firnline.connections.changing import stored_site
from firnline.connections.channel import Channel
from firnline.connections.closed import connect_command
from firnline.connections.endpoint import TokenSet
from firnline.connections.flows import Flows
from firnline.connections.renewals import Renewals
from firnline.connections.saving import changed
from firnline.connections.site import Site
from firnline.connections.tokens import Credential, GivenToken
from firnline.connectors.protocol import Identity
from firnline.errors import FirnlineError
from firnline.state import ConnectionRow, State

OpenChannel = Callable[[Site, Credential], Channel]


class OtherAccountError(FirnlineError):
    """What was signed in to is another account at the provider than the one connected before."""

    code = "other_account"
    status = 409

    def __init__(self, site: Site, found: str, known: str) -> None:
        super().__init__(
            f"{site.destination.label} was connected to {known}, and this sign-in leads to "
            f"{found}: what is stored from the one would be mixed with the other",
            hint=f"Sign in to {known}. To change the account for good, run: "
            f"{connect_command(site)} --other-account",
        )


class Activation:
    """Stores new sign-ins. Part of `Connections`."""

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

    async def store(
        self,
        site: Site,
        tokens: TokenSet,
        *,
        allow_other_account: bool = False,
    ) -> ConnectionRow:
        """Store what a sign-in obtained.

        Raises OtherAccountError, or what asking the provider who it is raises.
        """
        try:
            who = await self.identified(site, tokens, allow_other_account=allow_other_account)
        except OtherAccountError:
            await self._flows.abandon(site, tokens)
            raise

        replaced: list[ConnectionRow | None] = []

        async def connect(row: ConnectionRow | None) -> ConnectionRow:
            # A renewal of the old tokens may come in between: the new ones win.
            replaced[:] = [row]
            return await self._made(site, tokens, who, row)

        stored = await changed(self._state, site, connect)
        assert stored is not None
        await self._give_back(site, replaced[0])
        return stored

    async def identified(
        self, site: Site, tokens: TokenSet, *, allow_other_account: bool = False
    ) -> Identity:
        """Return who the provider says that a sign-in is; nothing is stored.

        Raises OtherAccountError, or what asking the provider raises.
        """
        there = site.based_at(tokens.base_url)
        channel = self._open_channel(there, GivenToken(there, tokens.access_token))
        who = await channel.run(site.connector.identify(site.settings))
        known = None if allow_other_account else await self._known(site)
        if known is not None and known.account != who.account:
            raise OtherAccountError(site, _named(who), _named(known))
        return who

    async def _made(
        self,
        site: Site,
        tokens: TokenSet,
        who: Identity,
        row: ConnectionRow | None,
    ) -> ConnectionRow:
        fresh = ConnectionRow(
            tenant=site.tenant,
            name=site.name,
            provider=site.connector.provider,
            settings=site.settings,
            state="active",
            account=who.account,
            account_name=who.account_name,
            user_key=who.user_key,
            user_name=who.user_name,
            version=0 if row is None else row.version,
            updated_at=self._clock.now(),
            person=site.person,
        )
        return await self._renewals.with_tokens(site, fresh, tokens)

    async def _give_back(self, site: Site, replaced: ConnectionRow | None) -> None:
        """Log out of a session that nobody uses any more: it may hold one of few licences.

        Tokens are left alone: ending those from before may end what is granted as a whole.
        """
        if replaced is None or replaced.token_ciphertext is None or replaced.flow != "session":
            return
        with suppress(FirnlineError):  # what cannot be opened or reached ends when it idles out
            old = await self._renewals.opened(site, replaced)
            # It goes where it came from, whatever is declared by now.
            await self._flows.abandon(stored_site(replaced), old)

    async def _known(self, site: Site) -> ConnectionRow | None:
        """Return the connection whose account this must be: the organisation's, else its own.

        One that nobody confirmed, or of another provider, says nothing.
        """
        for person in dict.fromkeys(("", site.person)):
            row = await self._state.connection(site.tenant, site.name, person)
            is_telling = row is not None and row.account and row.state != "pending"
            if row is not None and is_telling and row.provider == site.connector.provider:
                return row
        return None


def _named(who: Identity | ConnectionRow) -> str:
    return who.account_name or who.account
