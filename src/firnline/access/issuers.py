"""Whose tokens are accepted: each issuer with its audience, its claims, its tenants and its keys.

Takes the settings; the verifier receives issuers by name. An issuer's keys serve its own tokens
alone, and are replaced whole when what it publishes was read again.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from firnline.access.keys import SigningKeysError, TrustedKey, configured_keys
from firnline.access.signing import DevelopmentSigner
from firnline.clock import Clock
from firnline.settings import IssuerSettings, Settings


@dataclass(frozen=True, slots=True)
class Issuer:
    """What a token of one issuer must say, and where its tenant and its person stand.

    `tenants` are those that it may speak for; empty: all. With `implied_tenant` a token need not
    name its tenant. `email_claim` empty means `email`, else `sub`.
    """

    name: str
    audience: str
    tenant_claim: str = "tenant"
    email_claim: str = ""
    tenants: frozenset[str] = frozenset()
    implied_tenant: str = ""
    algorithms: frozenset[str] = frozenset()
    jwks_url: str = ""
    jwks_file: Path | None = None


class IssuerKeys:
    """The keys of one issuer as they are known now; `ends_s` is when they must be read again.

    Beyond that moment there are none: what an issuer withdrew may not go on for ever because
    nobody reaches it.
    """

    def __init__(
        self,
        issuer: Issuer,
        keys: Mapping[str, TrustedKey] | None = None,
        *,
        ends_s: float = math.inf,
    ) -> None:
        self.issuer = issuer
        self._keys = dict(keys or {})
        self._ends_s = ends_s

    def find(self, key_id: str, *, now_s: float) -> TrustedKey | None:
        """Return the key of that id, None when there is none now."""
        return self._keys.get(key_id) if now_s < self._ends_s else None

    def holds(self, key: TrustedKey, *, now_s: float) -> bool:
        """Say whether a key that was found before still counts."""
        return self.find(key.key_id, now_s=now_s) is key

    def replace(self, keys: Mapping[str, TrustedKey], *, ends_s: float) -> bool:
        """Put what was read now in place; return whether any key came, went or changed.

        A key that is the same as before stays the one that tokens were verified with.
        """
        kept = {
            key_id: known
            for key_id, key in keys.items()
            if (known := self._keys.get(key_id)) is not None and known.is_same_as(key)
        }
        is_changed = not len(kept) == len(keys) == len(self._keys)
        self._keys = {**keys, **kept}
        self._ends_s = ends_s
        return is_changed


def issuers_from(settings: Settings, *, clock: Clock) -> list[IssuerKeys]:
    """Return the issuers that the settings trust; in development also the development key.

    Those whose keys are read from a file or an address have none yet. Raises SigningKeysError.
    """
    keys = settings.jwt_keys.get("keys", [])
    if settings.development and isinstance(keys, list):
        keys = keys + DevelopmentSigner.from_settings(settings, clock=clock).public_keys["keys"]
    own = Issuer(settings.jwt_issuer, settings.jwt_audience)
    short = [] if keys == [] else [IssuerKeys(own, configured_keys({"keys": keys}))]
    issuers = short + [_issuer_of(each) for each in settings.jwt_issuers]
    if len({each.issuer.name for each in issuers}) < len(issuers):
        raise SigningKeysError("FIRNLINE_JWT_ISSUERS lists the issuer of FIRNLINE_JWT_KEYS again")
    return issuers


def _issuer_of(declared: IssuerSettings) -> IssuerKeys:
    tenants: Collection[str] = declared.tenants
    issuer = Issuer(
        name=declared.issuer,
        audience=declared.audience,
        tenant_claim=declared.tenant_claim,
        email_claim=declared.email_claim,
        tenants=frozenset(tenants),
        implied_tenant=declared.tenants[0] if len(tenants) == 1 else "",
        algorithms=frozenset(declared.algorithms),
        jwks_url=declared.jwks_url,
        jwks_file=declared.jwks_file,
    )
    if declared.keys is None:
        return IssuerKeys(issuer)
    return IssuerKeys(issuer, configured_keys(declared.keys, algorithms=issuer.algorithms))
