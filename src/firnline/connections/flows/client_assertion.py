"""The machine-to-machine flow: a signed assertion buys an access token (RFC 7523)."""

from __future__ import annotations

import secrets

from firnline.connections.clients import ClientCredentials
from firnline.connections.endpoint import TokenSet
from firnline.connections.flows.flow import FlowTools, Given
from firnline.connections.flows.revocation import revoke_tokens
from firnline.connections.flows.signing import CLIENT_ASSERTION_TYPE, ClientKeyInvalidError, sign
from firnline.connections.site import Site
from firnline.connectors.auth_flows import ClientAssertion
from firnline.transport.concealing import HiddenValues


class ClientAssertionFlow:
    """Needs nothing of a sign-in: the registered key signs, for the client or for a person."""

    def __init__(self, tools: FlowTools) -> None:
        self._tools = tools

    async def obtain(self, site: Site, given: Given) -> TokenSet:
        """Return an access token for the client's own user, or for the site's person.

        Raises ClientKeyInvalidError too.
        """
        client = await self._tools.clients.find(site)
        grant = HiddenValues(
            grant_type="client_credentials",
            client_assertion_type=CLIENT_ASSERTION_TYPE,
            client_assertion=self._assertion(site, client),
        )
        # A repeated assertion only asks for one more token.
        return await self._tools.request(site, grant, repeatable=True)

    async def renew(self, site: Site, tokens: TokenSet) -> TokenSet:
        """Sign anew: there is no refresh token."""
        return await self.obtain(site, {})

    async def revoke(self, site: Site, tokens: TokenSet) -> bool:
        """End the access token where the provider takes that."""
        return await revoke_tokens(site, tokens, self._tools)

    def _assertion(self, site: Site, client: ClientCredentials) -> str:
        auth = site.auth
        assert isinstance(auth, ClientAssertion)
        if site.person and site.person not in client.subjects:
            raise ClientKeyInvalidError(
                f"{site.destination.label}: no key is registered for that person",
                hint="Map a certificate to the person at the provider and register its key id.",
            )
        issued_at = int(self._tools.clock.now().timestamp())
        claims = {
            "iss": client.client_id,
            "aud": site.fill(auth.token_url),
            "scope": list(auth.scopes),
            "iat": issued_at,
            "exp": issued_at + auth.assertion_lifetime_s,
            "jti": secrets.token_urlsafe(24),
        }
        key_id = client.subjects[site.person] if site.person else client.key_id
        return sign(site, client, claims, algorithms=auth.algorithms, header={"kid": key_id})
