"""API keys for programs: how one looks, what it may open, and for whom it asks.

Takes a bearer token of the form `fl_ID_SECRET`; the edges receive what its holder may do. The
secret has 256 random bits, so that a plain digest of it is safe at rest; the id is public.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Literal, get_args

from firnline.errors import FirnlineError

KEY_PREFIX = "fl_"
INSTALLATION = "*"  # the tenant of a key that belongs to no single one

Scope = Literal[
    "graphql", "connections:read", "connections:write", "connect-links:write", "metrics:read"
]
SCOPES: frozenset[str] = frozenset(get_args(Scope))

_FORM = re.compile(r"fl_([0-9a-f]{16})_([0-9a-f]{64})")


class ApiKeyRefusedError(FirnlineError):
    """The API key is unknown, expired or revoked, or may not be used here; which, is not told."""

    code = "api_key_refused"
    status = 401

    def __init__(self) -> None:
        super().__init__(
            "the API key was refused",
            hint="Look at `firnline keys list`: the key must be current and have this scope.",
        )


class ScopeMissingError(FirnlineError):
    """The credential is good, and opens other things than this one."""

    code = "scope_missing"
    status = 403

    def __init__(self, scope: Scope) -> None:
        super().__init__(
            f"the credential does not have the scope {scope!r}",
            hint="Use a key that was made with this scope: firnline keys create --scope ...",
        )


@dataclass(frozen=True, slots=True)
class KeyText:
    """An API key as its holder sends it."""

    key_id: str
    digest: str  # of its secret

    @classmethod
    def of(cls, token: str) -> KeyText:
        """Return the parts of a token; raises ApiKeyRefusedError for another form."""
        found = _FORM.fullmatch(token)
        if found is None:
            raise ApiKeyRefusedError
        return cls(found[1], digest_of(found[2]))

    def opens(self, digest: str | None) -> bool:
        """Say whether this is the secret of the stored digest; None: of no key at all."""
        # Compared in any case, so that ids that exist take as long as those that do not.
        is_equal = hmac.compare_digest(self.digest, digest or digest_of(""))
        return digest is not None and is_equal


def digest_of(secret: str) -> str:
    """Return what is stored of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def draw_key() -> tuple[str, str]:
    """Return the id of a new key, and its whole text, which is shown once."""
    key_id, secret = secrets.token_hex(8), secrets.token_hex(32)
    return key_id, f"{KEY_PREFIX}{key_id}_{secret}"


def is_key(token: str) -> bool:
    """Say whether a bearer token is an API key; anything else is a signed token."""
    return token.startswith(KEY_PREFIX)
