"""What a connect page offers: a tenant's declared systems, or those that one person can sign in to.

Takes the session of a browser and the tenant's declaration; the page receives each system with how
it is connected and what is stored of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from firnline.connections.links import ConnectSession, signs_in_people
from firnline.connections.site import Site, UnknownConnectionError, declared_site
from firnline.connectors.auth_flows import EntryField, fields_of
from firnline.spec.model import TenantSpec
from firnline.state import ConnectionRow

# A person signs in at the provider, enters a secret here, or a registered key does it all.
Way = Literal["sign_in", "enter", "key"]


@dataclass(frozen=True, slots=True)
class Offer:
    """One system on the page; `row` is what is stored, None where nobody connected it."""

    site: Site
    row: ConnectionRow | None

    @property
    def name(self) -> str:
        """Return the connection's name."""
        return self.site.name

    @property
    def title(self) -> str:
        """Return what people call the provider."""
        return self.site.manifest.name

    @property
    def fields(self) -> tuple[EntryField, ...]:
        """Return what a person enters to connect it."""
        return fields_of(self.site.auth)

    @property
    def way(self) -> Way:
        """Return how it is connected."""
        if self.site.auth.flow == "authorization_code":
            return "sign_in"
        return "enter" if self.fields else "key"


def offers_to(
    session: ConnectSession, tenant_spec: TenantSpec, stored: Mapping[str, ConnectionRow]
) -> list[Offer]:
    """Return what a session is offered, in the order of the declaration.

    `stored` are the rows of whom the session is about, by the connection's name.
    """
    return [
        Offer(declared_site(tenant_spec, name).of(session.person), stored.get(name))
        for name in tenant_spec.connections
        if _is_offered(session, tenant_spec, name)
    ]


def offered(
    session: ConnectSession, tenant_spec: TenantSpec, name: str, row: ConnectionRow | None
) -> Offer:
    """Return one system of a session; raises UnknownConnectionError where it is not offered."""
    if name not in tenant_spec.connections or not _is_offered(session, tenant_spec, name):
        raise UnknownConnectionError(session.tenant, name, list(session.link.connections))
    return Offer(declared_site(tenant_spec, name).of(session.person), row)


def _is_offered(session: ConnectSession, tenant_spec: TenantSpec, name: str) -> bool:
    return session.offers(name) and (not session.person or signs_in_people(tenant_spec, name))
