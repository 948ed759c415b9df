"""Who is asking: turns a bearer token into a `Principal` for the web edge and the planner.

The tenant and the person come from a verified token and from nowhere else. Keys are those of the
configured issuers and no others: a token's header may name a key, never bring one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from joserfc import jws, jwt
from joserfc.errors import ExpiredTokenError, InvalidClaimError, JoseError, MissingClaimError
from joserfc.jws import JWSRegistry
from joserfc.util import urlsafe_b64decode

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
from firnline.access.issuers import Issuer, IssuerKeys, issuers_from
from firnline.access.keys import TrustedKey, configured_keys
from firnline.access.known_tokens import KnownTokens
from firnline.clock import Clock
from firnline.errors import FirnlineError
from firnline.settings import Settings

TOKEN_BYTES_MAX = 8 * 1024
SKEW_MAX_S = 60

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
            "an issuer that this installation trusts, or with an API key.",
        )


class UnknownKeyError(TokenRefusedError):
    """The token names a key that its issuer is not known to have; it may be a new one."""

    def __init__(self, issuer: str) -> None:
        super().__init__("its key id (kid) is not among the trusted keys of its issuer")
        self.issuer = issuer


class TokenExpiredError(FirnlineError):
    """The token of a running subscription has expired."""

    code = "token_expired"
    status = 401

    def __init__(self) -> None:
        super().__init__(
            "the token that this subscription was opened with has expired",
            hint="Subscribe again with a current token.",
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


class _FixedRegistry(JWSRegistry):
    """Leaves the choice of algorithm to the trusted key: joserfc only finds the implementation.

    joserfc warns at `EdDSA`, a name that RFC 9864 replaced by `Ed25519`; signers still use it, and
    here it can only mean the curve of the trusted key.
    """

    def get_alg(self, name: str) -> Any:
        return self.algorithms[name]


_REGISTRY = _FixedRegistry(strict_check_header=False)


class _OnceDecoder(json.JSONDecoder):
    """Refuses an object with two members of one name: readers differ about which one counts."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "object_pairs_hook": _members_once})


@dataclass(frozen=True, slots=True)
class _Verified:
    """A principal with the key that vouches for it."""

    principal: Principal
    key: TrustedKey
    keys: IssuerKeys


class TokenVerifier:
    """Checks bearer tokens against the keys of the issuers that are trusted.

    A token is accepted only with a key of the very issuer that it names.
    """

    def __init__(self, issuers: Iterable[IssuerKeys], *, clock: Clock) -> None:
        self.issuers = {each.issuer.name: each for each in issuers}
        self._clock = clock
        self._known: KnownTokens[_Verified] = KnownTokens(skew_s=SKEW_MAX_S)

    @classmethod
    def from_settings(cls, settings: Settings, *, clock: Clock) -> Self:
        """Trust the configured issuers and, in development only, the development key."""
        return cls(issuers_from(settings, clock=clock), clock=clock)

    @classmethod
    def of_keys(cls, keys: Mapping[str, Any], *, issuer: str, audience: str, clock: Clock) -> Self:
        """Trust a fixed JWK Set for one issuer and audience; raises SigningKeysError."""
        return cls([IssuerKeys(Issuer(issuer, audience), configured_keys(keys))], clock=clock)

    def verify(self, token: str) -> Principal:
        """Return the principal named by `token`.

        Raises TokenRefusedError; UnknownKeyError where the issuer's keys, read again, may help.
        """
        if len(token) > TOKEN_BYTES_MAX:
            raise TokenRefusedError(f"it is longer than {TOKEN_BYTES_MAX} bytes")
        now_s = int(self._clock.now().timestamp())
        known = self._known.find(token, now_s=now_s)
        # A key that was withdrawn ends the tokens that it signed, also those verified before.
        if known is not None and known.keys.holds(known.key, now_s=now_s):
            return known.principal
        verified, claims = self._verified(token, now_s=now_s)
        self._known.remember(token, verified, claims)
        return verified.principal

    def seconds_left(self, token: str) -> float:
        """Return for how long a token that was just verified goes on being accepted."""
        expires_s = self._known.expiry_s(token)
        if expires_s is None:
            return 0.0
        return expires_s + SKEW_MAX_S - self._clock.now().timestamp()

    def _verified(self, token: str, *, now_s: int) -> tuple[_Verified, Mapping[str, Any]]:
        if not _COMPACT.fullmatch(token):
            raise TokenRefusedError("it is not a compact signed token")
        header = _read_part(token, 0, "header")
        _check_header(header)
        # Nothing is believed yet: the name decides only whose keys the signature must be of.
        claims = _read_part(token, 1, "payload")
        named = claims.get("iss")
        keys = self.issuers.get(named) if isinstance(named, str) else None
        if keys is None:
            raise TokenRefusedError("its issuer (iss) is not a configured one")
        key = _key_for(header, keys, now_s=now_s)
        _check_signature(token, key)
        _check_claims(claims, keys.issuer, now_s=now_s)
        return _Verified(_principal(claims, token, keys.issuer), key, keys), claims


def _check_header(header: Mapping[str, Any]) -> None:
    for name in _REFUSED_HEADERS:
        if name in header:
            raise TokenRefusedError(f"the header parameter {name!r} is not accepted")
    if str(header.get("typ", "JWT")).lower() not in _TYPES:
        raise TokenRefusedError("its type is not JWT")


def _key_for(header: Mapping[str, Any], keys: IssuerKeys, *, now_s: int) -> TrustedKey:
    key_id = header.get("kid")
    if not isinstance(key_id, str):
        raise TokenRefusedError("its key id (kid) is missing")
    key = keys.find(key_id, now_s=now_s)
    if key is None:
        raise UnknownKeyError(keys.issuer.name)
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in key.algorithms:
        raise TokenRefusedError("its algorithm does not belong to the key it names")
    return key


def _check_claims(claims: Mapping[str, Any], issuer: Issuer, *, now_s: int) -> None:
    # The registry accepts lists that contain the expected value; we want the one string.
    if claims.get("aud") != issuer.audience:
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


def _members_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a member is given twice")
    return members


def _read_part(token: str, position: int, what: str) -> Mapping[str, Any]:
    try:
        text = urlsafe_b64decode(token.split(".")[position].encode())
        part = json.loads(text, cls=_OnceDecoder)
    except (ValueError, TypeError, RecursionError) as error:
        raise TokenRefusedError(f"its {what} is not JSON, or says something twice") from error
    if not isinstance(part, dict):
        raise TokenRefusedError(f"its {what} is not a JSON object")
    return part


def _check_signature(token: str, trusted: TrustedKey) -> None:
    try:
        jws.deserialize_compact(token, trusted.key, registry=_REGISTRY)
    except (JoseError, ValueError, TypeError) as error:
        raise TokenRefusedError("its signature is not valid") from error


def _principal(claims: Mapping[str, Any], token: str, issuer: Issuer) -> Principal:
    places = [issuer.email_claim] if issuer.email_claim else ["email", "sub"]
    email = person_of(next((claims[place] for place in places if place in claims), None))
    if email is None:
        raise TokenRefusedError(f"it names no person by e-mail address ({' or '.join(places)})")
    if claims.get("email_verified", True) is not True:
        raise TokenRefusedError("its e-mail address is not verified (email_verified)")
    name = claims.get("name")
    try:
        return Principal(
            tenant=_tenant(claims, issuer),
            email=email,
            name=name[:200] if isinstance(name, str) else "",
            scopes=scopes_of(claims),
            agent=agent_of(claims),
            purpose=purpose_of(claims),
            attributes=attributes_of(claims),
            credential=credential_of(claims, token),
        )
    except ClaimUnfitError as error:
        raise TokenRefusedError(str(error)) from None


def person_of(email: object) -> str | None:
    """Return an e-mail address as principals have it, None for what is none."""
    if not isinstance(email, str) or not _EMAIL.fullmatch(email):
        return None
    # Only ASCII: full Unicode lower-casing would make two different addresses equal.
    return email.translate(_ASCII_LOWER)


def _tenant(claims: Mapping[str, Any], issuer: Issuer) -> str:
    tenant = claims.get(issuer.tenant_claim, issuer.implied_tenant)
    if not isinstance(tenant, str) or not _TENANT.fullmatch(tenant):
        raise TokenRefusedError(f"it names no tenant ({issuer.tenant_claim})")
    if issuer.tenants and tenant not in issuer.tenants:
        raise TokenRefusedError("its issuer does not speak for the tenant that it names")
    return tenant
