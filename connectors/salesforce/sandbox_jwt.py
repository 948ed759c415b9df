"""Judges JWT bearer assertions as the org does: signature, audience, time, approval.

Takes what the app registered; gives `sandbox_oauth` the user name that an assertion stands for.
An assertion may come again until it expires.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LIFETIME_MAX_S = 180


class AssertionRefused(Exception):
    """The assertion buys no token."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(error)
        self.error = error
        self.description = description


@dataclass(frozen=True)
class AssertionDesk:
    """One app: its certificate (None: it registered none) and whom an admin approved for it."""

    client_id: str
    certificate: RSAKey | None
    approved: set[str]
    audience: str
    now: Callable[[], datetime]

    def username_in(self, assertion: str) -> str:
        """Return the user name that the assertion is about; raises AssertionRefused."""
        claims = self._verified(assertion)
        if claims.get("iss") != self.client_id:
            raise AssertionRefused("invalid_client_id", "client identifier invalid")
        if claims.get("aud") != self.audience:
            raise AssertionRefused("invalid_grant", "audience is invalid")
        expires, now = claims.get("exp"), self.now().timestamp()
        if not isinstance(expires, int) or not now < expires <= now + LIFETIME_MAX_S:
            raise AssertionRefused("invalid_grant", "assertion has expired or lasts too long")
        username = claims.get("sub")
        if username not in self.approved:
            raise AssertionRefused("invalid_grant", "user hasn't approved this consumer")
        return str(username)

    def _verified(self, assertion: str) -> Mapping[str, Any]:
        if self.certificate is None:
            raise AssertionRefused("invalid_client", "the app has no certificate")
        try:
            return jwt.decode(assertion, self.certificate, algorithms=["RS256"]).claims
        except (JoseError, ValueError):
            raise AssertionRefused("invalid_grant", "invalid assertion") from None


def audience_of(domain: str) -> str:
    """Return the login host of an org: sandboxes have their own."""
    host = "test" if domain.endswith(".sandbox") else "login"
    return f"https://{host}.salesforce.com"
