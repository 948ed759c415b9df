"""The client credentials flow: the client acts as itself, by a secret or by a certificate."""

from __future__ import annotations

import secrets

from firnline.connections.clients import ClientCredentials as Client
from firnline.connections.endpoint import TokenSet
from firnline.connections.flows.flow import FlowTools, Given
from firnline.connections.flows.revocation import revoke_tokens
from firnline.connections.flows.signing import CLIENT_ASSERTION_TYPE, sign
from firnline.connections.site import Site
from firnline.connectors.auth_flows import ClientCredentials
from firnline.errors import UsageError
from firnline.transport.concealing import HiddenValues

ASSERTION_LIFETIME_S = 300
# A token that ends within this time is waited for, where asking again gives the same one till then.
SAME_TOKEN_WAIT_MAX_S = 2.0
SAME_TOKEN_MARGIN_S = 1.0  # what is left is told in whole seconds


class ClientIsNobodyError(UsageError):
    """A person's own connection was asked of a flow that knows no people."""

    code = "client_is_nobody"


class ClientCredentialsFlow:
    """Needs nothing of a sign-in: the registered client is enough."""

    def __init__(self, tools: FlowTools) -> None:
        self._tools = tools

    async def obtain(self, site: Site, given: Given) -> TokenSet:
        """Return an access token of the client.

        Raises ClientKeyInvalidError and ClientIsNobodyError too.
        """
        if site.person:
            raise ClientIsNobodyError(
                f"{site.manifest.name}: a client acts as itself, not as {site.person}",
                hint="Connect people by a flow in which they sign in themselves.",
            )
        client = await self._tools.clients.find(site)
        auth = site.auth
        assert isinstance(auth, ClientCredentials)
        grant = HiddenValues(grant_type="client_credentials")
        if auth.scopes:
            grant["scope"] = auth.scope_separator.join(map(site.fill, auth.scopes))
        named: Client | None = client
        if auth.assertion_algorithms and client.private_key_pem is not None:
            grant.update(self._by_assertion(site, auth, client))
            named = None
        # One more token for the same client harms nobody.
        return await self._tools.request(site, grant, repeatable=True, client=named)

    async def renew(self, site: Site, tokens: TokenSet) -> TokenSet:
        """Ask again.

        Where the provider gives the same token until its end, the last moments of it are waited
        out, so that nobody goes on with a token that dies on the way.
        """
        fresh = await self.obtain(site, {})
        if fresh.access_token != tokens.access_token or fresh.expires_at is None:
            return fresh
        clock = self._tools.clock
        left_s = (fresh.expires_at - clock.now()).total_seconds()
        if left_s > SAME_TOKEN_WAIT_MAX_S:
            return fresh
        await clock.sleep(max(0.0, left_s) + SAME_TOKEN_MARGIN_S)
        return await self.obtain(site, {})

    async def revoke(self, site: Site, tokens: TokenSet) -> bool:
        """End the access token where the provider takes that."""
        return await revoke_tokens(site, tokens, self._tools)

    def _by_assertion(self, site: Site, auth: ClientCredentials, client: Client) -> dict[str, str]:
        issued_at = int(self._tools.clock.now().timestamp())
        claims = {
            "iss": client.client_id,
            "sub": client.client_id,
            "aud": site.fill(auth.token_url),
            "iat": issued_at,
            "nbf": issued_at,
            "exp": issued_at + ASSERTION_LIFETIME_S,
            "jti": secrets.token_urlsafe(24),
        }
        signed = sign(
            site,
            client,
            claims,
            algorithms=auth.assertion_algorithms,
            header={auth.assertion_key_header: client.key_id},
        )
        return {
            "client_id": client.client_id,
            "client_assertion_type": CLIENT_ASSERTION_TYPE,
            "client_assertion": signed,
        }
