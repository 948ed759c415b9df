"""What a connect page offers: a tenant's declared systems, or those that one person can sign in to.

Takes the session of a browser and how the tenant's connections stand; the page receives each system
with the way to connect it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from firnline.connections.consent.links import ConnectSession, signs_in_people
from firnline.connections.site import Site, declared_site
from firnline.connections.statuses import NOT_CONNECTED, ConnectionStatus
from firnline.connectors.auth_flows import EntryField, fields_of
from firnline.spec.model import TenantSpec

# A person signs in at the provider, enters a secret here, or a registered key does it all.
Way = Literal["sign_in", "enter", "key"]


@dataclass(frozen=True, slots=True)
class Offer:
    """One system on the page; `status` is None where nobody connected it."""

    site: Site
    status: ConnectionStatus | None

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

    @property
    def is_closed(self) -> bool:
        """Say whether it was switched off by who runs the installation, and stays so."""
        return self.status is not None and self.status.state == "disabled"


def offers_to(
    session: ConnectSession, tenant_spec: TenantSpec, statuses: Iterable[ConnectionStatus]
) -> list[Offer]:
    """Return what a session is offered, in the order of the declaration."""
    connected = {
        status.name: status
        for status in statuses
        if status.person == session.person and status.state != NOT_CONNECTED
    }
    return [
        Offer(declared_site(tenant_spec, name).of(session.person), connected.get(name))
        for name in tenant_spec.connections
        if session.offers(name) and (not session.person or signs_in_people(tenant_spec, name))
    ]
