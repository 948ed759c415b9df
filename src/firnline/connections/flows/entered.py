"""Keys and passwords that a person entered: shown as they are, never renewed.

`obtain` asks nobody: the caller tries what was entered before it stores it.
"""

from __future__ import annotations

from firnline.connections.authorisation import basic_token
from firnline.connections.endpoint import GrantRefusedError, TokenSet
from firnline.connections.flows.flow import FlowTools, Given
from firnline.connections.site import Site


class CredentialsRefusedError(GrantRefusedError):
    """The provider does not take what a person entered."""

    code = "credentials_refused"
    status = 422
    advice = "Check it at the provider, then enter it again: nothing was stored."


class ApiKeyFlow:
    """Takes `api_key`."""

    def __init__(self, tools: FlowTools) -> None:
        self._clock = tools.clock

    async def obtain(self, site: Site, given: Given) -> TokenSet:
        """Return the key as it was entered."""
        return TokenSet(given["api_key"], None, self._clock.now(), None)

    async def renew(self, site: Site, tokens: TokenSet) -> TokenSet:
        """Raise GrantRefusedError: only a person can enter another."""
        raise GrantRefusedError(site.destination, "its key cannot be renewed")

    async def revoke(self, site: Site, tokens: TokenSet) -> bool:
        """Only whoever made a key can end it."""
        return False


class BasicFlow:
    """Takes `username` and `password`."""

    def __init__(self, tools: FlowTools) -> None:
        self._clock = tools.clock

    async def obtain(self, site: Site, given: Given) -> TokenSet:
        """Return both as one header shows them."""
        shown = basic_token(given["username"], given["password"])
        return TokenSet(shown, None, self._clock.now(), None)

    async def renew(self, site: Site, tokens: TokenSet) -> TokenSet:
        """Raise GrantRefusedError: only a person can enter another."""
        raise GrantRefusedError(site.destination, "its password cannot be renewed")

    async def revoke(self, site: Site, tokens: TokenSet) -> bool:
        """Only the user can change their password."""
        return False
