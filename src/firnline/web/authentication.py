"""Who asks: a bearer token, signed by an issuer or drawn as an API key, becomes a principal.

Takes the request's head; the edges receive whom the credential names. Tenant and person come from
it and from nothing else in the request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from firnline.access.api_keys import ApiKeyRefusedError, is_key
from firnline.access.principal import (
    Principal,
    TokenExpiredError,
    TokenRefusedError,
    TokenVerifier,
    UnknownKeyError,
)
from firnline.web.admin.caller import Caller, of_key, of_principal
from firnline.web.api_keys import ApiKeys
from firnline.web.head import RequestHead


class LookAgain(Protocol):
    """Reads an issuer's keys anew where that may help (`web.key_sources.KeySources`)."""

    async def look_again(self, issuer: str) -> None:
        """Return once what the issuer publishes is as new as one may ask for."""
        ...


@dataclass(frozen=True, slots=True)
class Standing:
    """How long a credential holds that opens a stream: `seconds_left` by its own word.

    `check` raises when it ended before, and is asked for each answer.
    """

    seconds_left: float
    check: Callable[[], Awaitable[None]]


class Authentication:
    """Checks the credentials of all edges. Without `keys` there are no API keys."""

    def __init__(
        self,
        verifier: TokenVerifier,
        *,
        sources: LookAgain | None = None,
        keys: ApiKeys | None = None,
    ) -> None:
        self._verifier = verifier
        self._sources = sources
        self.keys = keys

    async def principal(self, token: str) -> Principal:
        """Return whom a bearer token names.

        Raises TokenRefusedError or ApiKeyRefusedError.
        """
        if is_key(token):
            if self.keys is None:
                raise ApiKeyRefusedError
            return await self.keys.principal(token)
        try:
            return self._verifier.verify(token)
        except UnknownKeyError as error:
            if self._sources is None:
                raise
            await self._sources.look_again(error.issuer)
        return self._verifier.verify(token)

    async def caller(self, token: str) -> Caller:
        """Return who calls the admin API; raises TokenRefusedError or ApiKeyRefusedError."""
        if self.keys is not None and is_key(token):
            return of_key(await self.keys.verify(token))
        return of_principal(await self.principal(token))

    async def standing(self, token: str) -> Standing:
        """Return how long a token holds that was just verified."""

        async def check() -> None:
            try:
                await self.caller(token)
            except TokenRefusedError:
                if self._verifier.seconds_left(token) <= 0:
                    raise TokenExpiredError from None
                raise

        if self.keys is not None and is_key(token):
            return Standing(self.keys.seconds_left(await self.keys.verify(token)), check)
        return Standing(self._verifier.seconds_left(token), check)


def bearer_of(head: RequestHead) -> str:
    """Return the one bearer token of a request; raises TokenRefusedError."""
    value = head.text(b"authorization")
    if not value or "," in value:  # no token has a comma: it joins repeated headers
        raise TokenRefusedError("there must be exactly one Authorization header")
    scheme, _, token = value.partition(" ")
    if scheme.lower() != "bearer":
        raise TokenRefusedError("the Authorization header is not of the Bearer scheme")
    return token
