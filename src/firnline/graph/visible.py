"""The part of a tenant's graph that one person may read.

Takes a graph and a person's decisions; introspection, SDL exports and field search answer from the
result. Documents are still validated against the whole graph: a field that the person may not read
is null there, and never an error that tells it exists.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Lock
from typing import TypeVar

from graphql import GraphQLSchema

from firnline.access.decisions import Decisions
from firnline.access.principal import Principal
from firnline.graph.federation import federated_sdl
from firnline.graph.policy.checks import Unasked
from firnline.graph.policy.reduction import reduced
from firnline.graph.request import GraphContext, unexecuted
from firnline.graph.scan import Aliases, MaskedFieldError, Scan
from firnline.graph.schema import TenantSchema
from firnline.graph.search import SearchIndex
from firnline.graph.shape import GraphObject, TenantGraph, everything_stored
from firnline.graph.sharing import FIELDS_MAX, weight_of
from firnline.recent import Recent

_OBJECTS_MAX = 20_000  # of all parts kept; their fields are the whole graph's own

Key = TypeVar("Key")
Kept = TypeVar("Kept")


def visible_graph(
    graph: TenantGraph, decisions: Decisions, *, principal: Principal, now: datetime
) -> TenantGraph:
    """Return the graph without denied objects, masked fields and ways that lead to them.

    Asks the same scans that execution asks, so that the two cannot disagree.
    """
    context = GraphContext(
        principal=principal,
        graph=graph,
        decisions=replace(decisions, stored=everything_stored(graph)),
        now=now,
        resolve=unexecuted,
        freshness=dict,
        checks=Unasked(decisions.at_source),
    )
    readable = {
        name: fields
        for name, found in graph.objects.items()
        if (fields := _readable(found, context)) is not None
    }
    return replace(graph, objects=reduced(graph.objects, readable))


def _readable(found: GraphObject, context: GraphContext) -> list[str] | None:
    scan = Scan(context, found, Aliases())
    if scan.denied is not None:
        return None
    scan.select((), [])
    if (found.type_name, "denied") in context.notes:  # membership itself may not be known
        return None
    return [name for name in found.fields if _is_readable(scan, name)]


def _is_readable(scan: Scan, name: str) -> bool:
    try:
        scan.shown(name)
    except MaskedFieldError:
        return False
    return True


class VisibleGraphs:
    """What people may read, once per graph and set of rights. Safe to share between threads."""

    def __init__(self, schema_of: Callable[[TenantGraph], TenantSchema]) -> None:
        self._schema_of = schema_of
        self._building = Lock()
        self._graphs: Recent[tuple[str, str], TenantGraph] = Recent(_OBJECTS_MAX)
        self._schemas: Recent[str, TenantSchema] = Recent(FIELDS_MAX)
        self._sdls: Recent[str, str] = Recent(FIELDS_MAX)
        self._indexes: Recent[str, SearchIndex] = Recent(FIELDS_MAX)

    def of(
        self, graph: TenantGraph, decisions: Decisions, *, principal: Principal, now: datetime
    ) -> Visible:
        """Return the principal's part of a graph; nothing is computed before it is asked for."""
        return Visible(self, graph, decisions, principal, now)

    def graph(self, visible: Visible) -> TenantGraph:
        """Return the part as a graph."""
        whole = visible.whole
        slot = (f"{whole.tenant}:{whole.version}", visible.decisions.fingerprint)
        return self._kept(
            self._graphs,
            slot,
            lambda: visible_graph(
                whole, visible.decisions, principal=visible.principal, now=visible.now
            ),
            len(whole.objects),
        )

    def schema(self, visible: Visible) -> TenantSchema:
        """Return the part's schema; people who see the same share it."""
        graph = self.graph(visible)
        if graph.shape == visible.whole.shape:
            return self._schema_of(visible.whole)
        return self._kept(self._schemas, graph.shape, lambda: TenantSchema(graph), weight_of(graph))

    def index(self, visible: Visible) -> SearchIndex:
        """Return what can be found in the part."""
        graph = self.graph(visible)
        return self._kept(
            self._indexes, graph.shape, lambda: SearchIndex.of(graph), weight_of(graph)
        )

    def federated_sdl(self, visible: Visible) -> str:
        """Return the part as a subgraph's SDL."""
        graph, schema = self.graph(visible), self.schema(visible)._schema
        return self._kept(
            self._sdls, graph.shape, lambda: federated_sdl(schema, graph), weight_of(graph)
        )

    def _kept(
        self, kept: Recent[Key, Kept], key: Key, make: Callable[[], Kept], weight: int
    ) -> Kept:
        # What is there is given without waiting: the event loop asks, too, for every field of an
        # introspection, while a thread may be building for somebody else.
        found = kept.get(key)
        if found is None:
            with self._building:
                found = kept.get(key)
                if found is None:
                    found = make()
                    kept.put(key, found, weight)
        return found


@dataclass(frozen=True, slots=True)
class Visible:
    """One principal's part of a graph (`request.VisiblePart`)."""

    graphs: VisibleGraphs
    whole: TenantGraph
    decisions: Decisions
    principal: Principal
    now: datetime

    def graph(self) -> TenantGraph:
        """Return the part as a graph."""
        return self.graphs.graph(self)

    def schema(self) -> TenantSchema:
        """Return its schema."""
        return self.graphs.schema(self)

    def core_schema(self) -> GraphQLSchema:
        """Return its schema as graphql-core knows it."""
        return self.schema()._schema

    def index(self) -> SearchIndex:
        """Return what can be found in it."""
        return self.graphs.index(self)

    def federated_sdl(self) -> str:
        """Return it as a subgraph's SDL."""
        return self.graphs.federated_sdl(self)
