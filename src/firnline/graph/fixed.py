"""The fixed part of every tenant's schema, in Strawberry's own terms."""

from __future__ import annotations

import strawberry
from strawberry.types import Info

from firnline.graph.request import GraphContext


@strawberry.type(description="Where a connection of Relay stands.")
class PageInfo:
    """Relay's page info."""

    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


@strawberry.type(description="Who is asking.")
class Person:
    """The principal, as this gateway understood the token."""

    email: str
    name: str


@strawberry.type(description="One synced object of one connection.")
class Source:
    """What the cache holds, and of when."""

    connection: str
    object: str
    synced_at: str | None = strawberry.field(description="Start of the last complete read, UTC.")


@strawberry.type(description="The gateway itself.")
class Gateway:
    """Facts about the tenant and the asking person."""

    tenant: str
    person: Person
    sources: list[Source]


@strawberry.type
class Query:
    """The fixed root fields; the tenant's own are added beside them."""

    @strawberry.field(  # type: ignore[untyped-decorator]
        name="_gateway", description="Tenant, person and freshness, as this gateway sees them."
    )
    def gateway(self, info: Info[GraphContext, None]) -> Gateway:
        context = info.context
        return Gateway(
            tenant=context.tenant,
            person=Person(email=context.principal.email, name=context.principal.name),
            sources=[
                Source(connection=connection, object=name, synced_at=stamp)
                for (connection, name), stamp in sorted(context.freshness().items())
            ],
        )
