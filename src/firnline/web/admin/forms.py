"""The JSON of the admin API: what is answered, and what is taken.

Takes rows of connections and their events; clients receive these forms, and `schema/` describes
them. No token, and nothing that opens anything but a connect link's address, is part of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from firnline.connections.consent.links import LIFETIME, LIFETIME_MAX, LIFETIME_MIN, MadeLink
from firnline.connections.statuses import ConnectionStatus
from firnline.connectors.protocol import Identity
from firnline.state import ConnectionEvent

REASON_LENGTH_MAX = 300
NAMES_MAX = 50

Name = Annotated[str, Field(min_length=1, max_length=200)]


class Form(BaseModel):
    """A JSON object with exactly the members that are declared."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Connection(Form):
    """A tenant's connection, or one person's own, as it stands."""

    name: str
    provider: str
    flow: str = Field(description="How it signs in.")
    person: str | None = Field(description="Whose own it is; null: the organisation's.")
    state: str = Field(
        description="not_connected, pending, active, expiring, needs_reconnect, revoked, disabled"
    )
    reason: str
    state_at: datetime | None = Field(description="Since when it is in that state.")
    account: str
    account_name: str
    user_name: str
    scopes: tuple[str, ...]
    expires_at: datetime | None = Field(description="When its token ends.")
    ends_at: datetime | None = Field(description="When nothing renews it any more.")
    last_error: str = Field(description="What renewing it failed with last.")
    updated_at: datetime | None
    declared: bool = Field(description="Whether the tenant's YAML declares it.")

    @classmethod
    def of(cls, status: ConnectionStatus) -> Connection:
        """Return the form of a status."""
        return cls(
            name=status.name,
            provider=status.provider,
            flow=status.flow,
            person=status.person or None,
            state=status.state,
            reason=status.reason,
            state_at=status.state_at,
            account=status.account,
            account_name=status.account_name,
            user_name=status.user_name,
            scopes=status.scopes,
            expires_at=status.expires_at,
            ends_at=status.ends_at,
            last_error=status.last_error,
            updated_at=status.updated_at,
            declared=status.is_declared,
        )


class ConnectionList(Form):
    """The connections of a tenant: the organisation's in order of name, then people's own."""

    tenant: str
    connections: tuple[Connection, ...]

    @classmethod
    def of(cls, tenant: str, statuses: Iterable[ConnectionStatus]) -> ConnectionList:
        """Return the form of a tenant's statuses."""
        return cls(tenant=tenant, connections=tuple(Connection.of(each) for each in statuses))


class Tested(Form):
    """Who the provider says that a connection is."""

    account: str
    account_name: str
    user_key: str
    user_name: str
    connection: Connection

    @classmethod
    def of(cls, who: Identity, connection: Connection) -> Tested:
        """Return the form of an answer of the provider."""
        return cls(
            account=who.account,
            account_name=who.account_name,
            user_key=who.user_key,
            user_name=who.user_name,
            connection=connection,
        )


class Reason(Form):
    """Why a connection is ended or switched off; it stands in its status and its event."""

    reason: str = Field(default="", max_length=REASON_LENGTH_MAX, pattern=r"^[^\x00-\x1f\x7f]*$")


class ConnectLinkOrder(Form):
    """A link for connecting systems in a browser: for a tenant's admin, or for one person."""

    person: str = Field(default="", max_length=300, description="For this person's own alone.")
    connections: tuple[Name, ...] = Field(
        default=(), max_length=NAMES_MAX, strict=False, description="Those alone; empty: all."
    )
    lifetime_s: int = Field(
        default=int(LIFETIME.total_seconds()),
        ge=int(LIFETIME_MIN.total_seconds()),
        le=int(LIFETIME_MAX.total_seconds()),
    )
    return_to: str = Field(
        default="", max_length=1000, description="Where the page leads in the end."
    )
    shared: bool = Field(default=False, description="Whether several browsers may use it.")


class ConnectLinkMade(Form):
    """A connect link. Its address is a secret until it is used."""

    url: str
    tenant: str
    person: str | None
    connections: tuple[str, ...]
    expires_at: datetime

    @classmethod
    def of(cls, made: MadeLink) -> ConnectLinkMade:
        """Return the form of a link that was just made."""
        link = made.link
        return cls(
            url=made.url,
            tenant=link.tenant,
            person=link.person or None,
            connections=link.connections,
            expires_at=link.expires_at,
        )


class Event(Form):
    """A connection's state became another one. Numbers grow in the order of what happened."""

    number: int
    tenant: str
    name: str
    person: str | None
    provider: str
    before: str | None = Field(description="The state before; null: the connection is new.")
    state: str
    reason: str
    at: datetime

    @classmethod
    def of(cls, event: ConnectionEvent) -> Event:
        """Return the form of an event."""
        return cls(
            number=event.number,
            tenant=event.tenant,
            name=event.name,
            person=event.person or None,
            provider=event.provider,
            before=event.before or None,
            state=event.state,
            reason=event.reason,
            at=event.at,
        )


class EventPage(Form):
    """Events after a number, the oldest first; `after` asks for what follows them."""

    events: tuple[Event, ...]
    after: int
    has_more: bool
