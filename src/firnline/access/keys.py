"""Which keys may sign bearer tokens, and with which algorithms.

Takes JWK Sets: configured ones are read strictly, since a key that cannot be trusted there is a
mistake; published ones (an issuer's JWKS) leave such keys out, since they also hold keys for other
uses. The verifier receives keys that each bring their own fixed algorithms.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, Key, OKPKey, RSAKey

from firnline.errors import FirnlineError

RSA_BITS_MIN = 2048
KEYS_MAX = 100  # of one published set
KEY_ID_LENGTH_MAX = 500


class SigningKeysError(FirnlineError):
    """The configured JWK Set cannot be used to check tokens."""

    code = "signing_keys"
    exit_code = 2

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the configured token keys cannot be used: {reason}",
            hint="FIRNLINE_JWT_KEYS, and `keys` in FIRNLINE_JWT_ISSUERS, must be a JWK Set of "
            "public EC P-256, RSA (2048 bits or more) or Ed25519 keys, each with its own `kid`.",
        )


class KeySetUnusableError(Exception):
    """What an issuer published is no JWK Set; its text says why."""


@dataclass(frozen=True, slots=True, eq=False)
class TrustedKey:
    """A public key with the algorithms that it may be used with. Equal only to itself."""

    key_id: str
    key: Key
    algorithms: frozenset[str]

    def is_same_as(self, other: TrustedKey) -> bool:
        """Say whether the other is this key, with the same id and the same algorithms."""
        return self is other or (
            self.key_id == other.key_id
            and self.algorithms == other.algorithms
            and self.key.thumbprint() == other.key.thumbprint()
        )


class _KeyUnfitError(Exception):
    """A JWK is none that may check tokens; its text says why."""


def configured_keys(
    keys: Mapping[str, Any], *, algorithms: Collection[str] = ()
) -> dict[str, TrustedKey]:
    """Return the keys of a configured JWK Set by id; raises SigningKeysError for any misfit.

    `algorithms` narrows what the keys may be used with; without any, nothing does.
    """
    listed = keys.get("keys", [])
    if not isinstance(listed, list):
        raise SigningKeysError("`keys` must be a list")
    trusted: dict[str, TrustedKey] = {}
    for position, jwk in enumerate(listed):
        try:
            key = _trusted(jwk, algorithms)
        except _KeyUnfitError as unfit:
            raise SigningKeysError(f"key {position + 1} {unfit}") from unfit
        if key.key_id in trusted:
            raise SigningKeysError(f"key {position + 1} repeats a `kid`")
        trusted[key.key_id] = key
    return trusted


def published_keys(document: object, *, algorithms: Collection[str] = ()) -> dict[str, TrustedKey]:
    """Return the usable keys of a JWK Set that an issuer published, by id.

    Two keys under one id leave open which is meant: neither is used. An empty set is the issuer's
    word that it has no key. Raises KeySetUnusableError for what is no JWK Set.
    """
    listed = document.get("keys") if isinstance(document, Mapping) else None
    if not isinstance(listed, list):
        raise KeySetUnusableError("it is not a JWK Set")
    if len(listed) > KEYS_MAX:
        raise KeySetUnusableError(f"it has more than {KEYS_MAX} keys")
    trusted: dict[str, TrustedKey] = {}
    ambiguous: set[str] = set()
    for jwk in listed:
        try:
            key = _trusted(jwk, algorithms)
        except _KeyUnfitError:
            continue
        known = trusted.setdefault(key.key_id, key)
        if not known.is_same_as(key):
            ambiguous.add(key.key_id)
    return {key_id: key for key_id, key in trusted.items() if key_id not in ambiguous}


def _trusted(jwk: object, algorithms: Collection[str]) -> TrustedKey:
    if not isinstance(jwk, Mapping):
        raise _KeyUnfitError("is not an object")
    key_id = jwk.get("kid")
    if not isinstance(key_id, str) or not 0 < len(key_id) <= KEY_ID_LENGTH_MAX:
        raise _KeyUnfitError("has no `kid`")
    if jwk.get("kty") == "oct":
        # A shared secret among public keys is how HS256 confusion starts.
        raise _KeyUnfitError("is a shared secret")
    if "d" in jwk:
        raise _KeyUnfitError("is a private key")
    if jwk.get("use", "sig") != "sig":
        raise _KeyUnfitError("is not for signatures")
    try:
        key = JWKRegistry.import_key(dict(jwk))
        fitting = _algorithms_of(key)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise _KeyUnfitError("is malformed") from error
    if "alg" in jwk:
        fitting = frozenset(each for each in fitting if each == jwk["alg"])
    if algorithms:
        fitting &= frozenset(algorithms)
    if not fitting:
        raise _KeyUnfitError("is of a kind that is not accepted")
    return TrustedKey(key_id, key, fitting)


def _algorithms_of(key: Key) -> frozenset[str]:
    if isinstance(key, ECKey) and key.curve_name == "P-256":
        return frozenset({"ES256"})
    if isinstance(key, RSAKey) and key.public_key.key_size >= RSA_BITS_MIN:
        return frozenset({"RS256", "PS256"})
    if isinstance(key, OKPKey) and key.curve_name == "Ed25519":
        return frozenset({"EdDSA", "Ed25519"})
    return frozenset()
