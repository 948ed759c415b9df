"""How a tenant's connections stand, as one list: declared, stored and people's own.

Takes the tenant's YAML and the stored rows; the CLI, the admin API and the pages show what it says.
No secret is part of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from firnline.connections.closed import changed_since
from firnline.connections.site import (
    NoOwnConnectionError,
    Site,
    UnknownConnectionError,
    address_of,
    declared_site,
)
from firnline.spec.model import TenantSpec
from firnline.state import ConnectionRow, State

NOT_CONNECTED = "not_connected"


@dataclass(frozen=True, slots=True)
class ConnectionStatus:
    """One connection as it stands. `person` is whose own it is, "" for the organisation's.

    `state` is a connection's state, or `not_connected`. `expires_at` is the end of its token,
    `ends_at` of the whole authorisation; `last_error` what renewing it failed with last.
    """

    name: str
    provider: str
    flow: str
    state: str
    person: str = ""
    reason: str = ""
    state_at: datetime | None = None
    account: str = ""
    account_name: str = ""
    user_name: str = ""
    scopes: tuple[str, ...] = ()
    expires_at: datetime | None = None
    ends_at: datetime | None = None
    updated_at: datetime | None = None
    last_error: str = ""
    is_declared: bool = True


async def statuses_of(state: State, spec: TenantSpec) -> list[ConnectionStatus]:
    """Return the organisation's connections in order of name, then people's own."""
    stored = {row.name: row for row in await state.connections(spec.tenant)}
    own = await state.personal_connections(spec.tenant)
    return [*_organisation(spec, stored), *(status_of(spec, row) for row in own)]


def chosen(
    spec: TenantSpec, statuses: Iterable[ConnectionStatus], name: str, person: str = ""
) -> ConnectionStatus:
    """Return one of a tenant's statuses: the organisation's of that name, or a person's own.

    Raises UnknownConnectionError, and NoOwnConnectionError where that person has none.
    """
    whose = address_of(person)
    for status in statuses:
        if (status.name, status.person) == (name, whose):
            return status
    if whose and name in spec.connections:
        raise NoOwnConnectionError(declared_site(spec, name).of(whose))
    raise UnknownConnectionError(spec.tenant, name, list(spec.connections))


def status_of(spec: TenantSpec, row: ConnectionRow) -> ConnectionStatus:
    """Return how a stored connection stands beside what is declared today."""
    is_declared = row.name in spec.connections
    site = declared_site(spec, row.name) if is_declared else None
    why = "" if site is None else _gone(site, row)
    return ConnectionStatus(
        name=row.name,
        provider=row.provider,
        flow=row.flow or ("" if site is None else site.auth.flow),
        state="needs_reconnect" if why else row.state,
        person=row.person,
        reason=why or row.state_reason,
        state_at=row.state_at,
        account=row.account,
        account_name=row.account_name,
        user_name=row.user_name,
        scopes=row.scopes,
        expires_at=row.expires_at,
        ends_at=row.ends_at,
        updated_at=row.updated_at,
        last_error=row.renewal_error,
        is_declared=is_declared,
    )


def _organisation(spec: TenantSpec, stored: dict[str, ConnectionRow]) -> Iterator[ConnectionStatus]:
    for name in sorted({*spec.connections, *stored}):
        row = stored.get(name)
        if row is not None:
            yield status_of(spec, row)
            continue
        site = declared_site(spec, name)
        yield ConnectionStatus(name, site.connector.provider, site.auth.flow, NOT_CONNECTED)


def _gone(site: Site, row: ConnectionRow) -> str:
    """Return why a connection that works by itself does not work for what is declared."""
    return changed_since(site, row) if row.is_working else ""
