"""The durable facts as frozen rows; `State` stores and returns them.

Ciphertext never shows in a repr.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Self

import orjson

ConnectionState = Literal[
    "pending",  # signed in, waits for a person's confirmation
    "active",
    "expiring",  # works, but ends at a known time unless a person connects again
    "needs_reconnect",  # the provider does not take it any more
    "revoked",  # ended here on purpose: there is no token any more
    "disabled",  # switched off here, the token is kept
]
WORKING: tuple[ConnectionState, ...] = ("active", "expiring")

_SUMS = ("times", "bytes", "rows")


@dataclass(frozen=True, slots=True)
class ConnectionRow:
    """One tenant's authorisation at one provider.

    `settings` are those that the token was obtained with. `version` is 0 for a row that was never
    stored and grows with each save; saving an outdated row is refused. `person` is the e-mail of
    whom a personal connection belongs to, empty for the organisation's own. `state_at`, when the
    state began, is the store's to know: what a saved row says is not looked at.
    `expires_at` is the end of its token, `ends_at` of the whole authorisation, as far as they are
    known: of its refresh token, or of a token that nothing renews.
    `renewal_began_at` stands while the provider is asked for a new token, and stays when nobody
    learned the answer; `renewal_error` is what the last attempt failed with.
    """

    tenant: str
    name: str
    provider: str
    settings: Mapping[str, str]
    state: ConnectionState
    updated_at: datetime
    state_reason: str = ""
    account: str = ""
    account_name: str = ""
    user_key: str = ""
    user_name: str = ""
    token_ciphertext: bytes | None = field(default=None, repr=False)
    expires_at: datetime | None = None
    version: int = 0
    person: str = ""
    state_at: datetime | None = None
    flow: str = ""
    scopes: tuple[str, ...] = ()
    ends_at: datetime | None = None
    renewal_began_at: datetime | None = None
    renewal_error: str = ""

    @property
    def is_working(self) -> bool:
        """Say whether calls may be made with it."""
        return self.state in WORKING


@dataclass(frozen=True, slots=True)
class ConnectionEvent:
    """A connection's state became another; `before` is "" for one that is new."""

    number: int
    tenant: str
    name: str
    person: str
    provider: str
    before: str
    state: ConnectionState
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class OperationRow:
    """A version of a persisted operation; `documentId` names the one that is not retired."""

    tenant: str
    operation_id: str
    name: str
    text: str
    published_at: datetime
    version: int = 1
    retired_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AskerRow:
    """Somebody who asked an operation: what tells their rights, and how the question was shaped.

    `shape` is JSON. Nothing here is a credential: rights are found anew for the person named.
    """

    tenant: str
    operation_id: str
    email: str
    asked_at: datetime
    agent: str = ""
    purpose: str = ""
    scopes: tuple[str, ...] = ()
    shape: str = "[{},[]]"

    @property
    def digest(self) -> str:
        """Return what tells it from others who asked the same operation."""
        told = [self.email, self.agent, self.purpose, sorted(self.scopes), self.shape]
        return hashlib.sha256(orjson.dumps(told)).hexdigest()


@dataclass(frozen=True, slots=True)
class AuthorizationRow:
    """A sign-in that was started and not finished; usable once, until `expires_at`."""

    tenant: str
    connection: str
    provider: str
    settings: Mapping[str, str]
    redirect_uri: str
    state_digest: str = field(repr=False)
    verifier_ciphertext: bytes = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class AuditFact:
    """Who read what, before it has a place in a tenant's chain. It holds no value of any field.

    Facts that are alike but for their sizes may be counted as one: `times`, `bytes` and `rows` of
    `content` are sums.
    """

    tenant: str
    person: str
    at: datetime
    content: dict[str, Any]

    def alike(self) -> Hashable:
        """Return what is equal for facts that may be counted together."""
        told = {name: each for name, each in self.content.items() if name not in _SUMS}
        return self.tenant, self.person, orjson.dumps(told)

    def add(self, other: Self) -> None:
        """Count a fact that is alike, too."""
        for name in _SUMS:
            mine, theirs = self.content.get(name), other.content.get(name)
            if theirs is not None:
                self.content[name] = theirs if mine is None else mine + theirs


@dataclass(frozen=True, slots=True)
class AuditRow:
    """An entry of a tenant's chain; `content` is JSON, exactly as the digest covers it."""

    tenant: str
    number: int
    at: datetime
    person: str
    content: str
    previous: str
    digest: str


@dataclass(frozen=True, slots=True)
class ClientRow:
    """An OAuth client as an admin registered it. "*" stands for every tenant or connection."""

    tenant: str
    provider: str
    connection: str
    updated_at: datetime
    ciphertext: bytes = field(repr=False)
