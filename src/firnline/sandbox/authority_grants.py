"""What an authorization server remembers: codes, grants, access and refresh tokens.

Pure bookkeeping with a clock, for `authority`. A grant is one consent of one person to one client;
all its tokens live and die together.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from firnline.clock import Clock

Rotation = Literal["reusable", "single_use"]


class GrantRefused(Exception):
    """The token endpoint says no; `error` is the OAuth error code."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(error)
        self.error = error
        self.description = description


@dataclass(frozen=True, slots=True)
class GrantRules:
    """How long tokens live and what a refresh does. Lifetimes of None have no end.

    A replaced refresh token answers for `grace_s` more, with the one that replaced it; after that
    its use ends the whole grant: somebody has a copy of it.
    """

    code_lifetime_s: float = 600
    access_lifetime_s: float | None = 3600
    refresh_lifetime_s: float | None = None
    rotation: Rotation = "reusable"
    grace_s: float = 0
    is_pkce_required: bool = True
    refresh_ends_access: bool = False  # Zendesk: the access token before is deleted
    revocation_ends_access: bool = True  # HubSpot: access tokens live on to their end
    gives_same_token: bool = False  # Marketo: asking again gives the same token till its end


@dataclass(slots=True)
class Grant:
    """One consent of one person (or of the client itself) to one client."""

    client_id: str
    person: str
    scopes: tuple[str, ...]
    is_live: bool = True


@dataclass(frozen=True, slots=True)
class Issued:
    """What the token endpoint gives; lifetimes in whole seconds."""

    grant: Grant
    access_token: str = field(repr=False)
    expires_in: int | None
    refresh_token: str | None = field(default=None, repr=False)
    refresh_expires_in: int | None = None


@dataclass(slots=True)
class _Code:
    grant: Grant
    redirect_uri: str
    challenge: str
    ends: float
    is_used: bool = False


@dataclass(slots=True)
class _Refresh:
    grant: Grant
    ends: float
    replaced_at: float | None = None
    successor: str = ""


@dataclass(frozen=True, slots=True)
class _Access:
    grant: Grant
    ends: float


class Grants:
    """All grants of one authorization server."""

    def __init__(self, rules: GrantRules, *, clock: Clock) -> None:
        self.rules = rules
        self._clock = clock
        self._codes: dict[str, _Code] = {}
        self._access: dict[str, _Access] = {}
        self._refresh: dict[str, _Refresh] = {}

    def new_code(self, grant: Grant, *, redirect_uri: str, challenge: str) -> str:
        """Return a single-use code for a consent that was given."""
        code = secrets.token_urlsafe(32)
        ends = self._now() + self.rules.code_lifetime_s
        self._codes[code] = _Code(grant, redirect_uri, challenge, ends)
        return code

    def redeem(self, code: str, *, client_id: str, redirect_uri: str, verifier: str) -> Issued:
        """Return the tokens of a code.

        A code that comes twice ends what it gave (RFC 6749 section 4.1.2). Raises GrantRefused.
        """
        held = self._codes.get(code)
        if held is None or held.grant.client_id != client_id:
            raise GrantRefused("invalid_grant", "the code is unknown")
        if held.is_used:
            held.grant.is_live = False
            raise GrantRefused("invalid_grant", "the code was used before")
        held.is_used = True
        if self._now() >= held.ends:
            raise GrantRefused("invalid_grant", "the code has expired")
        if redirect_uri != held.redirect_uri:
            raise GrantRefused("invalid_grant", "redirect_uri is not that of the request")
        if held.challenge and not hmac.compare_digest(challenge_of(verifier), held.challenge):
            raise GrantRefused("invalid_grant", "code_verifier does not fit")
        return self._issued(held.grant, self._new_refresh(held.grant))

    def refresh(self, token: str, *, client_id: str) -> Issued:
        """Return fresh tokens for a refresh token; raises GrantRefused."""
        held = self._refresh.get(token)
        if held is None or held.grant.client_id != client_id or not held.grant.is_live:
            raise GrantRefused("invalid_grant", "the refresh token is unknown or revoked")
        if self._now() >= held.ends:
            raise GrantRefused("invalid_grant", "the refresh token has expired")
        if held.replaced_at is not None:
            if self._now() >= held.replaced_at + self.rules.grace_s:
                held.grant.is_live = False
                raise GrantRefused("invalid_grant", "the refresh token was used before")
            return self._issued(held.grant, held.successor)
        if self.rules.refresh_ends_access:
            self._drop_access(held.grant)
        if self.rules.rotation == "reusable":
            return self._issued(held.grant, token)
        held.replaced_at = self._now()
        held.successor = self._new_refresh(held.grant)
        return self._issued(held.grant, held.successor)

    def for_client(self, client_id: str, person: str, scopes: Sequence[str]) -> Issued:
        """Return an access token for the client itself, acting as `person`."""
        if self.rules.gives_same_token:
            for token, held in self._access.items():
                if held.grant.client_id == client_id and self._is_good(held):
                    return Issued(held.grant, token, int(held.ends - self._now()))
        return self._issued(Grant(client_id, person, tuple(scopes)), None)

    def grant_of(self, access_token: str) -> Grant | None:
        """Return the live grant behind an access token."""
        held = self._access.get(access_token)
        return held.grant if held is not None and self._is_good(held) else None

    def has_expired(self, access_token: str) -> bool:
        """Say whether a token was once good and only ran out, for providers that tell."""
        held = self._access.get(access_token)
        return held is not None and held.grant.is_live and self._now() >= held.ends

    def revoke(self, token: str, *, client_id: str = "") -> bool:
        """End a refresh token with its grant, or one access token; say whether it was known."""
        held = self._refresh.get(token)
        if held is not None and client_id in ("", held.grant.client_id):
            held.ends = 0.0
            if self.rules.revocation_ends_access:
                held.grant.is_live = False
            return True
        access = self._access.get(token)
        if access is None or client_id not in ("", access.grant.client_id):
            return False
        del self._access[token]
        return True

    def revoke_person(self, person: str) -> None:
        """End every grant of a person, as an uninstallation or an admin does."""
        tables: tuple[Mapping[str, _Code | _Refresh | _Access], ...] = (
            self._codes,
            self._refresh,
            self._access,
        )
        for table in tables:
            for held in table.values():
                held.grant.is_live &= held.grant.person != person

    def expire_access(self) -> None:
        """Let every access token run out now."""
        now = self._now()
        self._access = {token: _Access(held.grant, now) for token, held in self._access.items()}

    def _issued(self, grant: Grant, refresh_token: str | None) -> Issued:
        if not grant.is_live:
            raise GrantRefused("invalid_grant", "the consent was withdrawn")
        rules, token = self.rules, secrets.token_urlsafe(32)
        self._access[token] = _Access(grant, self._end(rules.access_lifetime_s))
        held = self._refresh.get(refresh_token or "")
        left_s = None if held is None else held.ends - self._now()
        return Issued(
            grant,
            token,
            None if rules.access_lifetime_s is None else int(rules.access_lifetime_s),
            refresh_token,
            None if left_s in (None, float("inf")) else int(left_s or 0),
        )

    def _new_refresh(self, grant: Grant) -> str:
        token = secrets.token_urlsafe(32)
        self._refresh[token] = _Refresh(grant, self._end(self.rules.refresh_lifetime_s))
        return token

    def _drop_access(self, grant: Grant) -> None:
        self._access = {
            token: held for token, held in self._access.items() if held.grant is not grant
        }

    def _is_good(self, held: _Access) -> bool:
        return held.grant.is_live and self._now() < held.ends

    def _end(self, lifetime_s: float | None) -> float:
        return float("inf") if lifetime_s is None else self._now() + lifetime_s

    def _now(self) -> float:
        return self._clock.monotonic()


def challenge_of(verifier: str) -> str:
    """Return the S256 challenge of a verifier (RFC 7636)."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
