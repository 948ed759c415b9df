"""Judges signed client assertions as an authorization server does (RFC 7523 section 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from firnline.clock import Clock

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LIFETIME_MAX_S = 600


@dataclass(frozen=True, slots=True)
class ClientKey:
    """A public key that an admin registered for a client, and how assertions name it."""

    key: RSAKey | ECKey
    key_id: str
    algorithm: str
    header: str = "kid"


class AssertionJudge:
    """Accepts an assertion once."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[str, float] = {}

    def accepts(
        self,
        assertion: str,
        *,
        kind: str,
        client_id: str,
        keys: Sequence[ClientKey],
        audience: str,
    ) -> bool:
        """Say whether the assertion is the client's own, for this endpoint, fresh and new."""
        if kind != ASSERTION_TYPE:
            return False
        signed = next((found for each in keys if (found := _verified(assertion, each))), None)
        return signed is not None and self._are_good(signed, client_id, audience)

    def _are_good(self, claims: Mapping[str, Any], client_id: str, audience: str) -> bool:
        now = self._clock.now().timestamp()
        expires, jti = claims.get("exp"), claims.get("jti")
        if not isinstance(expires, int) or not isinstance(jti, str) or jti in self._seen:
            return False
        if not now < expires <= now + LIFETIME_MAX_S or claims.get("nbf", 0) > now:
            return False
        self._seen[jti] = expires
        named = (claims.get("iss"), claims.get("sub"), claims.get("aud"))
        return named == (client_id, client_id, audience)


def _verified(assertion: str, registered: ClientKey) -> Mapping[str, Any] | None:
    try:
        signed = jwt.decode(assertion, registered.key, algorithms=[registered.algorithm])
    except (JoseError, ValueError):
        return None
    return signed.claims if signed.header.get(registered.header) == registered.key_id else None
