"""What a sign-in obtained, as the vault keeps it and channels use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self

from pydantic import SecretStr


@dataclass(frozen=True, slots=True)
class TokenSet:
    """What a flow obtained. `expires_at` is None when the provider does not say."""

    access_token: SecretStr
    refresh_token: SecretStr | None
    issued_at: datetime
    expires_at: datetime | None
    flow: str = ""  # what it was obtained by; empty: before this was noted
    refresh_expires_at: datetime | None = None
    """When the refresh token ends, as far as that is known."""

    scopes: tuple[str, ...] = ()
    """What was granted, which may be less than was asked."""

    base_url: str = ""
    """The account's own base URL where the provider named one; checked against the hosts."""

    entered: Mapping[str, SecretStr] = field(default_factory=dict)
    """What a person entered, where logging in again needs it."""

    def renewed_from(self, old: Self) -> Self:
        """Return these tokens, completed by what a renewal does not say again.

        A refresh token that is not replaced stays good for as long as it was.
        """
        is_same = self.refresh_token in (None, old.refresh_token)
        return replace(
            self,
            refresh_token=self.refresh_token or old.refresh_token,
            refresh_expires_at=self.refresh_expires_at
            or (is_same and old.refresh_expires_at)
            or None,
            scopes=self.scopes or old.scopes,
            base_url=self.base_url or old.base_url,
        )

    def as_json(self) -> dict[str, Any]:
        """Return the plain form that only the vault may see."""
        return {
            "access_token": self.access_token.get_secret_value(),
            "refresh_token": _plain(self.refresh_token),
            "issued_at": self.issued_at.isoformat(),
            "expires_at": _text(self.expires_at),
            "flow": self.flow,
            "refresh_expires_at": _text(self.refresh_expires_at),
            "scopes": list(self.scopes),
            "base_url": self.base_url,
            "entered": {name: each.get_secret_value() for name, each in self.entered.items()},
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Return what `as_json` made, now or in an earlier version."""
        refresh = stored["refresh_token"]
        return cls(
            access_token=SecretStr(stored["access_token"]),
            refresh_token=None if refresh is None else SecretStr(refresh),
            issued_at=datetime.fromisoformat(stored["issued_at"]),
            expires_at=_moment(stored["expires_at"]),
            flow=stored.get("flow", ""),
            refresh_expires_at=_moment(stored.get("refresh_expires_at")),
            scopes=tuple(stored.get("scopes", ())),
            base_url=stored.get("base_url", ""),
            entered={name: SecretStr(each) for name, each in stored.get("entered", {}).items()},
        )


def _plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _moment(stored: str | None) -> datetime | None:
    return None if stored is None else datetime.fromisoformat(stored)
