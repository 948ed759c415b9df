"""What every flow is: obtain, renew, end. `Flows` calls it, its modules implement it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pydantic import SecretStr

from firnline.clock import Clock
from firnline.connections.clients import ClientCredentials, ClientRegistry
from firnline.connections.endpoint import TokenSet, request_tokens
from firnline.connections.site import Site
from firnline.transport import Transport

# What a sign-in brought: a code and its verifier, a key, a user name and a password.
Given = Mapping[str, SecretStr]


@dataclass(frozen=True, slots=True)
class FlowTools:
    """What flows speak to providers with."""

    clients: ClientRegistry
    transport: Transport
    clock: Clock
    deadline_s: float

    async def request(
        self,
        site: Site,
        grant: Mapping[str, str],
        *,
        repeatable: bool,
        client: ClientCredentials | None = None,
    ) -> TokenSet:
        """Ask the token endpoint, see `request_tokens`."""
        return await request_tokens(
            site,
            grant,
            repeatable=repeatable,
            client=client,
            transport=self.transport,
            clock=self.clock,
            deadline_s=self.deadline_s,
        )


class Flow(Protocol):
    """One way to sign in, for all connections that chose it."""

    async def obtain(self, site: Site, given: Given) -> TokenSet:
        """Return the first tokens of a connection.

        Raises GrantRefusedError, ClientRefusedError or another ProviderError.
        """
        ...

    async def renew(self, site: Site, tokens: TokenSet) -> TokenSet:
        """Return fresh tokens; raises as `obtain`."""
        ...

    async def revoke(self, site: Site, tokens: TokenSet) -> bool:
        """End `tokens` at the provider; False where it cannot be asked to."""
        ...
