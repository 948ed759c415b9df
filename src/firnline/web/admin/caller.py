"""Who calls the admin API, and what they may do there.

Takes what a verified credential names; the endpoints receive a caller that knows its own tenant and
scopes. Of tenants that are not a caller's own nothing is told, not even whether they exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from firnline.access.api_keys import INSTALLATION, Scope, ScopeMissingError
from firnline.access.principal import Principal
from firnline.errors import FirnlineError
from firnline.state.api_keys import ApiKeyRow

# What the words of a signed token's `scope` open here: a closed list, at the token's tenant alone.
OF_TOKENS: Mapping[str, frozenset[Scope]] = {
    "firnline.admin": frozenset({"connections:read", "connections:write", "connect-links:write"}),
    "firnline.admin.read": frozenset({"connections:read"}),
}


class NothingHereError(FirnlineError):
    """The admin API has nothing at this address for this caller."""

    code = "not_found"
    status = 404

    def __init__(self) -> None:
        super().__init__(
            "there is nothing at this address for this credential",
            hint="Check the tenant's name, and which tenant the key or token is for.",
        )


@dataclass(frozen=True, slots=True)
class Caller:
    """A program or person: of one tenant, or of the installation ("*").

    `name` is a key's name or a person's e-mail, `credential` names the key or token in records.
    """

    tenant: str
    scopes: frozenset[str]
    credential: str
    name: str = ""
    person: str = ""

    def require(self, scope: Scope) -> None:
        """Raise ScopeMissingError unless the credential has the scope."""
        if scope not in self.scopes:
            raise ScopeMissingError(scope)

    def require_tenant(self, tenant: str) -> None:
        """Raise NothingHereError unless the caller may know of the tenant."""
        if self.tenant not in (INSTALLATION, tenant):
            raise NothingHereError


def of_key(row: ApiKeyRow) -> Caller:
    """Return the caller that an API key stands for."""
    return Caller(row.tenant, frozenset(row.scopes), f"key:{row.key_id}", name=row.name)


def of_principal(principal: Principal) -> Caller:
    """Return the caller that a signed token stands for."""
    scopes: frozenset[str] = frozenset()
    for word in principal.scopes:
        scopes |= OF_TOKENS.get(word, frozenset())
    return Caller(
        *(principal.tenant, scopes, principal.credential),
        name=principal.email,
        person=principal.email,
    )
