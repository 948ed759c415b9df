"""The JWT bearer flow: an assertion about a user is the grant itself (RFC 7523 section 2.1).

An admin approves the client for that user beforehand. There is no refresh token; a new assertion
buys the next access token.
"""

from __future__ import annotations

from firnline.connections.clients import ClientCredentials, ClientUsernameMissingError
from firnline.connections.endpoint import TokenSet
from firnline.connections.flows.flow import FlowTools, Given
from firnline.connections.flows.revocation import revoke_tokens
from firnline.connections.flows.signing import sign
from firnline.connections.site import Site
from firnline.connectors.auth_flows import JwtBearer
from firnline.transport.concealing import HiddenValues

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class JwtBearerFlow:
    """Needs nothing of a sign-in: the registered key signs for the registered user name."""

    def __init__(self, tools: FlowTools) -> None:
        self._tools = tools

    async def obtain(self, site: Site, given: Given) -> TokenSet:
        """Return an access token of the registered user, or of the site's person.

        Raises ClientKeyInvalidError and ClientUsernameMissingError too.
        """
        client = await self._tools.clients.find(site)
        grant = HiddenValues(grant_type=GRANT_TYPE, assertion=self._assertion(site, client))
        # A repeated assertion only asks for one more token.
        return await self._tools.request(site, grant, repeatable=True)

    async def renew(self, site: Site, tokens: TokenSet) -> TokenSet:
        """Sign anew."""
        return await self.obtain(site, {})

    async def revoke(self, site: Site, tokens: TokenSet) -> bool:
        """End the access token where the provider takes that."""
        return await revoke_tokens(site, tokens, self._tools)

    def _assertion(self, site: Site, client: ClientCredentials) -> str:
        auth = site.auth
        assert isinstance(auth, JwtBearer)
        username = client.subjects.get(site.person, "") if site.person else client.username
        if not username:
            raise ClientUsernameMissingError(site)
        claims = {
            "iss": client.client_id,
            "sub": username,
            "aud": site.fill(auth.audience),
            "exp": int(self._tools.clock.now().timestamp()) + auth.assertion_lifetime_s,
        }
        header = {"kid": client.key_id} if client.key_id else {}
        return sign(site, client, claims, algorithms=auth.algorithms, header=header)
