"""Who is asking: turns a bearer token into a `Principal` for the web edge and the planner.

The tenant and the person come from a verified token and from nowhere else. Keys come from the
configured JWK Set and from nowhere else: a token's header may name a key, never bring one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from joserfc import jwt
from joserfc.errors import ExpiredTokenError, InvalidClaimError, JoseError, MissingClaimError
from joserfc.jwk import ECKey, JWKRegistry, Key, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from joserfc.util import json_b64decode

from firnline.access.claims import (
    Attribute,
    Attributes,
    ClaimUnfitError,
    agent_of,
    attributes_of,
    credential_of,
    purpose_of,
    scopes_of,
)
from firnline.access.known_tokens import KnownTokens
from firnline.access.signing import DevelopmentSigner
from firnline.clock import Clock
from firnline.errors import FirnlineError
from firnline.settings import Settings

TOKEN_BYTES_MAX = 8 * 1024
SKEW_MAX_S = 60
RSA_BITS_MIN = 2048

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_TENANT = re.compile(r"[a-z][a-z0-9-]{0,62}")
_EMAIL = re.compile(r"[^\s@\x00-\x1f\x7f]{1,64}@[^\s@\x00-\x1f\x7f]{1,189}")
_TYPES = frozenset({"jwt", "at+jwt"})
# Headers that bring a key, or ask for rules beyond plain compact signatures.
_REFUSED_HEADERS = ("crit", "jwk", "jku", "x5u", "x5c", "b64", "zip", "enc")
_ASCII_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


class TokenRefusedError(FirnlineError):
    """The bearer token is missing or failed a check."""

    code = "token_refused"
    status = 401

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the token was refused: {reason}",
            hint="Send `Authorization: Bearer TOKEN` with a current token signed by a key of "
            "this installation's JWK Set.",
        )


class TokenExpiredError(FirnlineError):
    """The token of a running subscription has expired."""

    code = "token_expired"
    status = 401

    def __init__(self) -> None:
        super().__init__(
            "the token that this subscription was opened with has expired",
            hint="Subscribe again with a current token.",
        )


class SigningKeysError(FirnlineError):
    """The configured JWK Set cannot be used to check tokens."""

    code = "signing_keys"
    exit_code = 2

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the configured token keys cannot be used: {reason}",
            hint="FIRNLINE_JWT_KEYS must be a JWK Set of public EC P-256, RSA (2048 bits or "
            "more) or Ed25519 keys, each with its own `kid`.",
        )


@dataclass(frozen=True, slots=True)
class Principal:
    """A person at a tenant, as a verified token names them; `email` has lower-case ASCII.

    `agent` acts for the person, empty when they ask themselves; `purpose` is what it reads for.
    `attributes` are the session's, such as a region: for conditions of the builder's policy.
    `credential` names the token in records; it decides nothing, so it tells no two askers apart.
    """

    tenant: str
    email: str
    name: str = ""
    scopes: frozenset[str] = frozenset()
    agent: str = ""
    purpose: str = ""
    attributes: Mapping[str, Attribute] = field(default_factory=Attributes)
    credential: str = field(default="", compare=False, repr=False)
    # The published operation that is asked, by name and id: known to the gateway, never a claim.
    # Only set where the policy asks for it, so that answers are shared wherever it does not.
    operation: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not isinstance(self.attributes, Attributes):
            object.__setattr__(self, "attributes", Attributes(self.attributes))


@dataclass(frozen=True, slots=True)
class _TrustedKey:
    key: Key
    algorithms: frozenset[str]


class _FixedRegistry(JWSRegistry):
    """Leaves the choice of algorithm to the trusted key: joserfc only finds the implementation.

    joserfc warns at `EdDSA`, a name that RFC 9864 replaced by `Ed25519`; signers still use it, and
    here it can only mean the curve of the trusted key.
    """

    def get_alg(self, name: str) -> Any:
        return self.algorithms[name]


_REGISTRY = _FixedRegistry(strict_check_header=False)


class TokenVerifier:
    """Checks bearer tokens against a fixed set of keys, one issuer and one audience."""

    def __init__(
        self, keys: Mapping[str, Any], *, issuer: str, audience: str, clock: Clock
    ) -> None:
        """Take a JWK Set; raise `SigningKeysError` when a key in it cannot be trusted."""
        self._keys = _trusted_keys(keys)
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        self._known: KnownTokens[Principal] = KnownTokens(skew_s=SKEW_MAX_S)

    @classmethod
    def from_settings(cls, settings: Settings, *, clock: Clock) -> Self:
        """Trust the configured keys and, in development only, the development key."""
        keys = settings.jwt_keys.get("keys", [])
        if settings.development and isinstance(keys, list):
            keys = keys + DevelopmentSigner.from_settings(settings, clock=clock).public_keys["keys"]
        return cls(
            {"keys": keys},
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience,
            clock=clock,
        )

    def verify(self, token: str) -> Principal:
        """Return the principal named by `token`, or raise `TokenRefusedError`."""
        if len(token) > TOKEN_BYTES_MAX:
            raise TokenRefusedError(f"it is longer than {TOKEN_BYTES_MAX} bytes")
        now_s = int(self._clock.now().timestamp())
        known = self._known.find(token, now_s=now_s)
        if known is not None:
            return known
        claims = self._verified_claims(token, now_s=now_s)
        principal = _principal(claims, token)
        self._known.remember(token, principal, claims)
        return principal

    def seconds_left(self, token: str) -> float:
        """Return for how long a token that was just verified goes on being accepted."""
        expires_s = self._known.expiry_s(token)
        if expires_s is None:
            return 0.0
        return expires_s + SKEW_MAX_S - self._clock.now().timestamp()

    def _verified_claims(self, token: str, *, now_s: int) -> Mapping[str, Any]:
        if not _COMPACT.fullmatch(token):
            raise TokenRefusedError("it is not a compact signed token")
        trusted = self._key_for(_read_header(token))
        claims = _read_claims(token, trusted)
        self._check_claims(claims, now_s=now_s)
        return claims

    def _key_for(self, header: Mapping[str, Any]) -> _TrustedKey:
        for name in _REFUSED_HEADERS:
            if name in header:
                raise TokenRefusedError(f"the header parameter {name!r} is not accepted")
        if str(header.get("typ", "JWT")).lower() not in _TYPES:
            raise TokenRefusedError("its type is not JWT")
        key_id = header.get("kid")
        trusted = self._keys.get(key_id) if isinstance(key_id, str) else None
        if trusted is None:
            raise TokenRefusedError("its key id (kid) is missing or not among the trusted keys")
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in trusted.algorithms:
            raise TokenRefusedError("its algorithm does not belong to the key it names")
        return trusted

    def _check_claims(self, claims: Mapping[str, Any], *, now_s: int) -> None:
        # The registry accepts lists that contain the expected value; we want the one string.
        if claims.get("iss") != self._issuer:
            raise TokenRefusedError("its issuer (iss) is not the configured one")
        if claims.get("aud") != self._audience:
            raise TokenRefusedError("its audience (aud) is not this installation")
        times = jwt.JWTClaimsRegistry(now=now_s, leeway=SKEW_MAX_S, exp={"essential": True})
        try:
            times.validate(dict(claims))
        except MissingClaimError as error:
            raise TokenRefusedError("it has no expiry (exp)") from error
        except ExpiredTokenError as error:
            raise TokenRefusedError("it has expired") from error
        except InvalidClaimError as error:
            raise TokenRefusedError(f"its claim {error.claim!r} is not acceptable now") from error


def _trusted_keys(keys: Mapping[str, Any]) -> dict[str, _TrustedKey]:
    listed = keys.get("keys", [])
    if not isinstance(listed, list):
        raise SigningKeysError("`keys` must be a list")
    trusted: dict[str, _TrustedKey] = {}
    for position, jwk in enumerate(listed):
        where = f"key {position + 1}"
        if not isinstance(jwk, Mapping):
            raise SigningKeysError(f"{where} is not an object")
        key_id = jwk.get("kid")
        if not isinstance(key_id, str) or not key_id:
            raise SigningKeysError(f"{where} has no `kid`")
        if key_id in trusted:
            raise SigningKeysError(f"{where} repeats a `kid`")
        trusted[key_id] = _trust(dict(jwk), where)
    return trusted


def _trust(jwk: dict[str, Any], where: str) -> _TrustedKey:
    if jwk.get("kty") == "oct":
        # A shared secret among public keys is how HS256 confusion starts.
        raise SigningKeysError(f"{where} is a shared secret")
    if "d" in jwk:
        raise SigningKeysError(f"{where} is a private key")
    if jwk.get("use", "sig") != "sig":
        raise SigningKeysError(f"{where} is not for signatures")
    try:
        key = JWKRegistry.import_key(jwk)
        algorithms = _algorithms_of(key)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise SigningKeysError(f"{where} is malformed") from error
    if "alg" in jwk:
        algorithms &= {jwk["alg"]}
    if not algorithms:
        raise SigningKeysError(f"{where} is of a kind that is not accepted")
    return _TrustedKey(key, algorithms)


def _algorithms_of(key: Key) -> frozenset[str]:
    if isinstance(key, ECKey) and key.curve_name == "P-256":
        return frozenset({"ES256"})
    if isinstance(key, RSAKey) and key.public_key.key_size >= RSA_BITS_MIN:
        return frozenset({"RS256", "PS256"})
    if isinstance(key, OKPKey) and key.curve_name == "Ed25519":
        return frozenset({"EdDSA", "Ed25519"})
    return frozenset()


def _read_header(token: str) -> Mapping[str, Any]:
    try:
        header = json_b64decode(token.partition(".")[0].encode())
    except (ValueError, TypeError, RecursionError) as error:
        raise TokenRefusedError("its header is not JSON") from error
    if not isinstance(header, dict):
        raise TokenRefusedError("its header is not JSON")
    return header


def _read_claims(token: str, trusted: _TrustedKey) -> Mapping[str, Any]:
    try:
        return jwt.decode(token, trusted.key, registry=_REGISTRY).claims
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise TokenRefusedError("its signature or payload is not valid") from error


def _principal(claims: Mapping[str, Any], token: str) -> Principal:
    tenant = claims.get("tenant")
    if not isinstance(tenant, str) or not _TENANT.fullmatch(tenant):
        raise TokenRefusedError("it names no tenant (tenant)")
    email = claims.get("email", claims.get("sub"))
    if not isinstance(email, str) or not _EMAIL.fullmatch(email):
        raise TokenRefusedError("it names no person by e-mail address (email or sub)")
    if claims.get("email_verified", True) is not True:
        raise TokenRefusedError("its e-mail address is not verified (email_verified)")
    name = claims.get("name")
    try:
        return Principal(
            tenant=tenant,
            # Only ASCII: full Unicode lower-casing would make two different addresses equal.
            email=email.translate(_ASCII_LOWER),
            name=name[:200] if isinstance(name, str) else "",
            scopes=scopes_of(claims),
            agent=agent_of(claims),
            purpose=purpose_of(claims),
            attributes=attributes_of(claims),
            credential=credential_of(claims, token),
        )
    except ClaimUnfitError as error:
        raise TokenRefusedError(str(error)) from None
