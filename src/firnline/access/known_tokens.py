"""Remembers which tokens were verified, so that their signatures are checked once.

Takes a token and what was read from it; the verifier receives its principal again while the token's
own times allow it. Tokens are kept as keyed digests: a dump of this memory opens nothing.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from firnline.recent import Recent

TOKENS_MAX = 4096

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Known(Generic[T]):
    holder: T
    begins_s: float
    expires_s: float


class KnownTokens(Generic[T]):
    """The tokens verified last, each with whom it names.

    Whether the key that signed one still counts is the verifier's to say, each time.
    """

    def __init__(self, *, skew_s: int, tokens_max: int = TOKENS_MAX) -> None:
        self._skew_s = skew_s
        self._key = secrets.token_bytes(32)
        self._known: Recent[bytes, _Known[T]] = Recent(tokens_max)

    def find(self, token: str, *, now_s: int) -> T | None:
        """Return whom a token names that was verified before and whose times allow it now."""
        digest = self._digest(token)
        known = self._known.get(digest)
        if known is None:
            return None
        is_current = (
            known.expires_s > now_s - self._skew_s and known.begins_s <= now_s + self._skew_s
        )
        if not is_current:
            self._known.drop(digest)
            return None
        return known.holder

    def expiry_s(self, token: str) -> float | None:
        """Return when a token that was verified ends, by its own word; None where it is unknown."""
        known = self._known.get(self._digest(token))
        return None if known is None else known.expires_s

    def remember(self, token: str, holder: T, claims: Mapping[str, Any]) -> None:
        """Keep `holder` under a token whose signature and `claims` have all been checked."""
        begins_s = max(claims.get("nbf", 0), claims.get("iat", 0))
        self._known.put(self._digest(token), _Known(holder, begins_s, claims["exp"]))

    def _digest(self, token: str) -> bytes:
        # Unencodable text cannot be a token; as a digest it is merely unknown.
        text = token.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, key=self._key, digest_size=32).digest()
