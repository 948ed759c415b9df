"""Redeems codes and refresh tokens of the authorization code flow."""

from __future__ import annotations

from firnline.connections.endpoint import GrantRefusedError, TokenSet
from firnline.connections.flows.flow import FlowTools, Given
from firnline.connections.flows.revocation import revoke_tokens
from firnline.connections.site import Site
from firnline.connectors.auth_flows import AuthorizationCode
from firnline.transport.concealing import HiddenValues


class AuthorizationCodeFlow:
    """Takes `code`, `redirect_uri` and `verifier`; renews with the refresh token."""

    def __init__(self, tools: FlowTools) -> None:
        self._tools = tools

    async def obtain(self, site: Site, given: Given) -> TokenSet:
        """Exchange a code for tokens."""
        grant = HiddenValues(
            grant_type="authorization_code",
            code=given["code"].get_secret_value(),
            redirect_uri=given["redirect_uri"].get_secret_value(),
            code_verifier=given["verifier"].get_secret_value(),
        )
        # A code works once: asking twice could revoke what the first call obtained.
        return await self._ask(site, grant, repeatable=False)

    async def renew(self, site: Site, tokens: TokenSet) -> TokenSet:
        """Exchange the refresh token for fresh tokens."""
        auth = site.auth
        assert isinstance(auth, AuthorizationCode)
        if tokens.refresh_token is None:
            raise GrantRefusedError(site.destination, "it ran out and cannot be renewed")
        grant = HiddenValues(
            grant_type="refresh_token",
            refresh_token=tokens.refresh_token.get_secret_value(),
        )
        repeatable = auth.refresh == "reusable" or auth.refresh_grace_s > 0
        fresh = await self._ask(site, grant, repeatable=repeatable)
        return fresh.renewed_from(tokens)

    async def revoke(self, site: Site, tokens: TokenSet) -> bool:
        """End the refresh token, and with it what it was good for."""
        return await revoke_tokens(site, tokens, self._tools)

    async def _ask(self, site: Site, grant: HiddenValues, *, repeatable: bool) -> TokenSet:
        client = await self._tools.clients.find(site)
        return await self._tools.request(site, grant, repeatable=repeatable, client=client)
