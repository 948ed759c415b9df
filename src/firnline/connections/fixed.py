"""The credential of a stored key or password: there is no renewing it."""

from __future__ import annotations

from pydantic import SecretStr

from firnline.connections.tokens import StoredTokens


class FixedSecret(StoredTokens):
    """Shows what is stored, and shows it once more before a refusal of it counts."""

    async def renew(self, rejected: SecretStr) -> SecretStr:
        """Return what is stored now: another one when somebody connected again meanwhile.

        The same one otherwise: a single refusal may be a hiccup of what stands before the provider,
        and only a person could mend a connection that was given up for it.
        """
        return await self.token()
