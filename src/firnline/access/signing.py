"""The development signing key: issues tokens for `firnline token` and the development sign-in.

Made once in `home/jwt/`, readable by the owner only. A verifier trusts it in development only, so
a key left behind on a production machine opens nothing.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from firnline.clock import Clock
from firnline.errors import FirnlineError
from firnline.settings import Settings

TOKEN_LIFETIME_S = 3600
TOKEN_LIFETIME_MAX_S = 30 * 24 * 3600


class SigningKeyFileError(FirnlineError):
    """The development signing key cannot be read or made."""

    code = "signing_key_file"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"the development signing key {path} {reason}",
            hint=f"Remove {path} to have a new one made; tokens signed before stop working.",
        )


class TokenLifetimeError(FirnlineError):
    """The asked lifetime of a token is out of bounds."""

    code = "token_lifetime"
    status = 400
    exit_code = 2

    def __init__(self, asked_s: int) -> None:
        super().__init__(
            f"a token cannot live {asked_s} seconds",
            hint=f"Choose between 1 and {TOKEN_LIFETIME_MAX_S} seconds.",
        )


class DevelopmentSigner:
    """Signs tokens with the installation's development key, making the key when there is none."""

    def __init__(self, home: Path, *, issuer: str, audience: str, clock: Clock) -> None:
        self._key = _load_or_make(home / "jwt")
        self._issuer = issuer
        self._audience = audience
        self._clock = clock

    @classmethod
    def from_settings(cls, settings: Settings, *, clock: Clock, audience: str = "") -> Self:
        """Sign for this installation's issuer and, unless told otherwise, its audience."""
        return cls(
            settings.home,
            issuer=settings.jwt_issuer,
            audience=audience or settings.jwt_audience,
            clock=clock,
        )

    @property
    def public_keys(self) -> dict[str, list[dict[str, Any]]]:
        """Return the JWK Set that verifies what this signer signs."""
        return _public_set(self._key)

    def issue_token(
        self,
        tenant: str,
        email: str,
        lifetime_s: int = TOKEN_LIFETIME_S,
        *,
        name: str = "",
        more: Mapping[str, Any] | None = None,
    ) -> str:
        """Return a compact ES256 token for `email` at `tenant`, valid from now for `lifetime_s`.

        `more` are further claims; they replace none of the token's own.
        """
        if not 0 < lifetime_s <= TOKEN_LIFETIME_MAX_S:
            raise TokenLifetimeError(lifetime_s)
        now_s = int(self._clock.now().timestamp())
        claims: dict[str, Any] = {
            **(more or {}),
            "iss": self._issuer,
            "aud": self._audience,
            "sub": email,
            "tenant": tenant,
            "iat": now_s,
            "exp": now_s + lifetime_s,
            "jti": secrets.token_urlsafe(12),
        }
        if name:
            claims["name"] = name
        header = {"alg": "ES256", "kid": self._key.thumbprint()}
        return jwt.encode(header, claims, self._key, algorithms=["ES256"])


def _load_or_make(folder: Path) -> ECKey:
    private = folder / "private.json"
    try:
        if not private.exists():
            _make(folder, private)
        key = _load(private)
        _write(folder, folder / "public.json", json.dumps(_public_set(key)), mode=0o644)
    except OSError as error:
        raise SigningKeyFileError(private, f"is out of reach ({error.strerror})") from error
    return key


def _load(private: Path) -> ECKey:
    try:
        key = ECKey.import_key(json.loads(private.read_bytes()))
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise SigningKeyFileError(private, "is damaged") from error
    if not key.is_private or key.curve_name != "P-256":
        raise SigningKeyFileError(private, "is not a private P-256 key")
    return key


def _make(folder: Path, private: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = ECKey.generate_key("P-256")
    draft = folder / f".private-{secrets.token_hex(8)}"
    _create(draft, json.dumps(key.as_dict(private=True)), mode=0o600)
    try:
        # A link, unlike a rename, fails when another program was first: all then use its key.
        private.hardlink_to(draft)
    except FileExistsError:
        return
    finally:
        draft.unlink()


def _write(folder: Path, path: Path, text: str, *, mode: int) -> None:
    if path.exists() and path.read_text() == text:
        return
    draft = folder / f".public-{secrets.token_hex(8)}"
    _create(draft, text, mode=mode)
    draft.replace(path)


def _create(path: Path, text: str, *, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def _public_set(key: ECKey) -> dict[str, list[dict[str, Any]]]:
    public = key.as_dict(private=False, kid=key.thumbprint(), use="sig", alg="ES256")
    return {"keys": [dict(public)]}
