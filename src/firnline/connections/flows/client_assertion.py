"""The machine-to-machine flow: a signed assertion buys an access token (RFC 7523)."""

from __future__ import annotations

import secrets

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from firnline.clock import Clock
from firnline.connections.clients import ClientCredentials
from firnline.connections.endpoint import TokenSet, request_tokens
from firnline.connections.flows.flow import FlowTools, Given
from firnline.connections.site import Site
from firnline.connectors.auth_flows import ClientAssertion
from firnline.errors import UsageError

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class ClientKeyInvalidError(UsageError):
    """The registered key cannot sign an assertion that the provider takes."""

    code = "client_key_invalid"


class ClientAssertionFlow:
    """Needs nothing of a sign-in: the registered key signs, for the client or for a person."""

    def __init__(self, tools: FlowTools) -> None:
        self._tools = tools

    async def obtain(self, site: Site, given: Given) -> TokenSet:
        """Return an access token for the client's own user, or for the site's person.

        Raises ClientKeyInvalidError too.
        """
        auth, tools = site.auth, self._tools
        assert isinstance(auth, ClientAssertion)
        client = await tools.clients.find(site)
        grant = {
            "grant_type": "client_credentials",
            "client_assertion_type": JWT_BEARER,
            "client_assertion": _assertion(site, auth, client, site.person, tools.clock),
        }
        # A repeated assertion only asks for one more token.
        return await request_tokens(
            site,
            grant,
            repeatable=True,
            transport=tools.transport,
            clock=tools.clock,
            deadline_s=tools.deadline_s,
        )

    async def renew(self, site: Site, tokens: TokenSet) -> TokenSet:
        """Sign anew: there is no refresh token."""
        return await self.obtain(site, {})

    async def revoke(self, site: Site, tokens: TokenSet) -> bool:
        """Not yet asked of any provider."""
        return False


def _assertion(
    site: Site, auth: ClientAssertion, client: ClientCredentials, subject: str, clock: Clock
) -> str:
    place = site.destination.label
    algorithm = client.algorithm or auth.algorithms[0]
    if client.private_key_pem is None or algorithm not in auth.algorithms:
        raise ClientKeyInvalidError(
            f"{place}: a private key for {' or '.join(auth.algorithms)} is needed",
            hint=f"Run: firnline connect {site.tenant} {site.name} --client-id ID "
            "--key-file PEM --key-id ID",
        )
    if subject and subject not in client.subjects:
        raise ClientKeyInvalidError(
            f"{place}: no key is registered for that person",
            hint="Map a certificate to the person at the provider and register its key id.",
        )
    issued_at = int(clock.now().timestamp())
    header = {
        "typ": "JWT",
        "alg": algorithm,
        "kid": client.subjects[subject] if subject else client.key_id,
    }
    claims = {
        "iss": client.client_id,
        "aud": site.fill(auth.token_url),
        "scope": list(auth.scopes),
        "iat": issued_at,
        "exp": issued_at + auth.assertion_lifetime_s,
        "jti": secrets.token_urlsafe(24),
    }
    kind = ECKey if algorithm.startswith("ES") else RSAKey
    try:
        key = kind.import_key(client.private_key_pem.get_secret_value())
        return jwt.encode(header, claims, key, algorithms=[algorithm])
    except (JoseError, ValueError, TypeError):
        # The cause may quote the key: its text is dropped.
        raise ClientKeyInvalidError(
            f"{place}: the registered key cannot sign with {algorithm}",
            hint="Register the private key as PEM, of the kind that the algorithm needs.",
        ) from None
