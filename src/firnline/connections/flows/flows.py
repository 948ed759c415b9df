"""Dispatches a site to its flow."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from firnline.clock import Clock
from firnline.connections.clients import ClientRegistry
from firnline.connections.endpoint import ClientRefusedError, GrantRefusedError, TokenSet
from firnline.connections.flows.authorization_code import AuthorizationCodeFlow
from firnline.connections.flows.client_assertion import ClientAssertionFlow
from firnline.connections.flows.client_credentials import ClientCredentialsFlow
from firnline.connections.flows.entered import ApiKeyFlow, BasicFlow
from firnline.connections.flows.flow import Flow, FlowTools, Given
from firnline.connections.flows.jwt_bearer import JwtBearerFlow
from firnline.connections.flows.session import SessionFlow
from firnline.connections.site import Site
from firnline.connectors.auth_flows import AuthorizationCode
from firnline.transport import ProviderError, Transport


class Flows:
    """All ways to sign in. One per process, safe to share."""

    def __init__(
        self,
        *,
        clients: ClientRegistry,
        transport: Transport,
        clock: Clock,
        deadline_s: float,
    ) -> None:
        tools = FlowTools(clients, transport, clock, deadline_s)
        self._flows: Mapping[str, Flow] = {
            "authorization_code": AuthorizationCodeFlow(tools),
            "jwt_bearer": JwtBearerFlow(tools),
            "client_assertion": ClientAssertionFlow(tools),
            "client_credentials": ClientCredentialsFlow(tools),
            "api_key": ApiKeyFlow(tools),
            "basic": BasicFlow(tools),
            "session": SessionFlow(tools),
        }

    async def obtain(self, site: Site, given: Given | None = None) -> TokenSet:
        """Return the first tokens of a connection, from what its sign-in brought.

        Raises GrantRefusedError, ClientRefusedError or another ProviderError, and what the flow
        itself raises of a client that is not registered as it needs it.
        """
        tokens = await self._of(site).obtain(site, given or {})
        return replace(tokens, flow=site.auth.flow)

    async def renew(self, site: Site, tokens: TokenSet) -> TokenSet:
        """Return fresh tokens in place of `tokens`; raises as `obtain`."""
        if tokens.flow not in ("", site.auth.flow):
            raise GrantRefusedError(
                site.destination, f"it was connected by {tokens.flow}, not {site.auth.flow}"
            )
        try:
            fresh = await self._of(site).renew(site, tokens)
        except ClientRefusedError as refused:
            if isinstance(site.auth, AuthorizationCode):
                raise  # the consent stands: a client that is put right goes on with it
            # The client is all that there is: where it is gone, so is the authorisation.
            raise GrantRefusedError(
                site.destination, "the provider does not take its OAuth client any more"
            ) from refused
        return replace(fresh, flow=site.auth.flow)

    async def revoke(self, site: Site, tokens: TokenSet) -> bool:
        """End `tokens` at the provider; False where it cannot be asked to.

        Raises a ProviderError when it was asked and did not do it.
        """
        return await self._of(site).revoke(site, tokens)

    async def abandon(self, site: Site, tokens: TokenSet) -> None:
        """End `tokens` that will not be stored, as far as that can be done now."""
        with suppress(ProviderError):  # what went wrong before is what the caller has to hear
            await self.revoke(site, tokens)

    def _of(self, site: Site) -> Flow:
        return self._flows[site.auth.flow]
