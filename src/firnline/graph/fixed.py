"""The fixed part of every tenant's schema, in Strawberry's own terms."""

from __future__ import annotations

import asyncio
from functools import partial

import strawberry
from strawberry.types import Info

from firnline.graph.explain.own_access import Access, own_access
from firnline.graph.freshness import Fresh
from firnline.graph.request import GraphContext, VisiblePart
from firnline.graph.search import definitions, values
from firnline.graph.window import PAGE_MAX, PageSizeError


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


@strawberry.type(description="Why what is cached of a connection cannot grow younger.")
class Stale:
    """The state of a connection that cannot be read from."""

    connection: str = strawberry.field(description="Its state, such as needs_reconnect.")
    since: str = strawberry.field(description="UTC.")


@strawberry.type(description="One synced object of one connection, that the person may read.")
class Source:
    """What the cache holds, and of when."""

    connection: str
    object: str
    synced_at: str | None = strawberry.field(description="Start of the last complete read, UTC.")
    stale: Stale | None = strawberry.field(
        description="Why it cannot be read again now; null where it can."
    )


@strawberry.type(description="The gateway itself.")
class Gateway:
    """Facts about the tenant and the asking person."""

    tenant: str
    person: Person
    sources: list[Source]


@strawberry.type(description="Something found in the schema.")
class SearchHit:
    """One hit of a field search."""

    coordinate: str = strawberry.field(description="Type or Type.field.")
    kind: str = strawberry.field(description="OBJECT, FIELD or RELATION.")
    type: str
    description: str
    path: list[str] = strawberry.field(description="Field names from the root.")
    example: str = strawberry.field(description="A query that reads it.")


@strawberry.type(description="One value that a field takes.")
class FieldValue:
    """A value of a picklist, as filters take it, with the source's label."""

    value: str
    label: str = strawberry.field(description="What people see at the source.")
    is_active: bool = strawberry.field(description="False: only old records have it.")


@strawberry.type(name="_Service", description="This subgraph, for a federation's router.")
class Service:
    """The subgraph's own description."""

    sdl: str


@strawberry.type
class Query:
    """The fixed root fields; the tenant's own are added beside them."""

    @strawberry.field(  # type: ignore[untyped-decorator]
        name="_gateway", description="Tenant, person and freshness, as this gateway sees them."
    )
    async def gateway(self, info: Info[GraphContext, None]) -> Gateway:
        context = info.context
        visible = context.visible
        assert visible is not None
        seen = await asyncio.to_thread(lambda: _sources(visible))
        return Gateway(
            tenant=context.tenant,
            person=Person(email=context.principal.email, name=context.principal.name),
            sources=[
                _source(connection, name, told)
                for (connection, name), told in sorted(context.freshness().items())
                if (connection, name) in seen
            ],
        )

    @strawberry.field(  # type: ignore[untyped-decorator]
        name="_search",
        description="Objects, fields and relations that you may read, best match first: names, "
        "labels and descriptions, also beginnings of words and misspelt ones.",
    )
    async def search(
        self, info: Info[GraphContext, None], text: str, first: int = 10
    ) -> list[SearchHit]:
        if not 0 <= first <= PAGE_MAX:
            raise PageSizeError(first)
        visible = info.context.visible
        assert visible is not None
        hits = await asyncio.to_thread(lambda: visible.index().find(text, first))
        return [
            SearchHit(
                coordinate=hit.coordinate,
                kind=hit.kind,
                type=hit.type,
                description=hit.description,
                path=list(hit.path),
                example=hit.example,
            )
            for hit in hits
        ]

    @strawberry.field(  # type: ignore[untyped-decorator]
        name="_values",
        description="The values that a field (`Deal.stage`) takes, with their labels; with `text` "
        "those that hold it in value or label. None where the source names none.",
    )
    async def values(
        self, info: Info[GraphContext, None], coordinate: str, text: str = "", first: int = 50
    ) -> list[FieldValue]:
        if not 0 <= first <= PAGE_MAX:
            raise PageSizeError(first)
        visible = info.context.visible
        assert visible is not None
        found = await asyncio.to_thread(lambda: values(visible.graph(), coordinate, text, first))
        return [
            FieldValue(value=each.value, label=each.label or each.value, is_active=each.active)
            for each in found
        ]

    @strawberry.field(  # type: ignore[untyped-decorator]
        name="_definitions",
        description="The definitions of types (`Deal`, `DealWhere`) and fields (`Deal.stage`).",
    )
    async def definitions(self, info: Info[GraphContext, None], coordinates: list[str]) -> str:
        visible = info.context.visible
        assert visible is not None
        return await asyncio.to_thread(lambda: definitions(visible.core_schema(), coordinates))

    @strawberry.field(  # type: ignore[untyped-decorator]
        name="_access",
        description="What you may read of an object (`Deal`), of one of its fields, and whether "
        "you see the record of a key. Null: there is no such object.",
    )
    async def access(
        self,
        info: Info[GraphContext, None],
        object: str,  # noqa: A002 - the argument's name in GraphQL
        id: strawberry.ID | None = None,  # noqa: A002
        field: str | None = None,
    ) -> Access | None:
        context = info.context
        found: Access | None = await context.look(partial(own_access, context, object, id, field))
        return found

    @strawberry.field(  # type: ignore[untyped-decorator]
        name="_service", description="What you may read, in the form that federation composes."
    )
    async def service(self, info: Info[GraphContext, None]) -> Service:
        visible = info.context.visible
        assert visible is not None
        return Service(sdl=await asyncio.to_thread(visible.federated_sdl))


def _sources(visible: VisiblePart) -> frozenset[tuple[str, str]]:
    """Return (connection, object) of what the person may read records of."""
    objects = visible.graph().objects.values()
    return frozenset((each.connection, each.source.name) for each in objects)


def _source(connection: str, name: str, told: Fresh) -> Source:
    stale = told.get("stale")
    return Source(
        connection=connection,
        object=name,
        synced_at=told["syncedAt"],
        stale=None if stale is None else Stale(**stale),
    )
