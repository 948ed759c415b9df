"""The part of a tenant's graph that one person may read.

Takes a graph and a person's decisions; introspection, SDL exports and field search answer from the
result. Documents are still validated against the whole graph: a field that the person may not read
is null there, and never an error that tells it exists.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Iterator
from dataclasses import replace
from datetime import datetime
from threading import Lock

from graphql import GraphQLResolveInfo

from firnline.access.decisions import Decisions
from firnline.access.principal import Principal
from firnline.graph.request import Completed, GraphContext
from firnline.graph.scan import Aliases, MaskedFieldError, Scan
from firnline.graph.schema import TenantSchema
from firnline.graph.shape import GraphObject, GraphRelation, TenantGraph

_GRAPHS_MAX = 256
_SCHEMAS_MAX = 64


def visible_graph(
    graph: TenantGraph, decisions: Decisions, *, principal: Principal, now: datetime
) -> TenantGraph:
    """Return the graph without denied objects, masked fields and ways that lead to them.

    Asks the same scans that execution asks, so that the two cannot disagree.
    """
    context = GraphContext(
        principal=principal,
        graph=graph,
        decisions=replace(decisions, stored=_everything(graph)),
        now=now,
        resolve=_nothing,
        freshness=dict,
    )
    readable = {
        name: fields
        for name, found in graph.objects.items()
        if (fields := _readable(found, context)) is not None
    }
    objects = {
        name: replace(
            graph.objects[name],
            fields={each: graph.objects[name].fields[each] for each in fields},
            relations=dict(_relations(graph.objects[name], readable)),
        )
        for name, fields in readable.items()
    }
    return replace(graph, objects=objects)


def _everything(graph: TenantGraph) -> dict[str, dict[str, frozenset[str]]]:
    # Rights do not depend on what was synced already.
    return {
        connection: {each.name: frozenset(each.by_name) for each in catalog.objects}
        for connection, catalog in graph.catalogs.items()
    }


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
        scan.field(name)
    except MaskedFieldError:
        return False
    return True


def _relations(
    found: GraphObject, readable: dict[str, list[str]]
) -> Iterator[tuple[str, GraphRelation]]:
    for name, relation in found.relations.items():
        here, there = readable[found.type_name], readable.get(relation.target, ())
        if relation.local in here and relation.remote in there:
            yield name, relation


def _nothing(_info: GraphQLResolveInfo[GraphContext]) -> Awaitable[Completed]:
    raise AssertionError("nothing is executed here")


class VisibleSchemas:
    """What people may read, once per graph and set of rights. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._graphs: OrderedDict[tuple[str, str], TenantGraph] = OrderedDict()
        self._schemas: OrderedDict[str, TenantSchema] = OrderedDict()

    def graph(
        self, graph: TenantGraph, decisions: Decisions, *, principal: Principal, now: datetime
    ) -> TenantGraph:
        """Return what the principal may read of the graph."""
        slot = (f"{graph.tenant}:{graph.version}", decisions.fingerprint)
        with self._lock:
            known = self._graphs.get(slot)
            if known is None:
                known = visible_graph(graph, decisions, principal=principal, now=now)
                self._graphs[slot] = known
                if len(self._graphs) > _GRAPHS_MAX:
                    self._graphs.popitem(last=False)
            self._graphs.move_to_end(slot)
            return known

    def schema(self, visible: TenantGraph) -> TenantSchema:
        """Return the schema of a visible graph; people who see the same share it."""
        with self._lock:
            known = self._schemas.get(visible.shape)
            if known is None:
                known = self._schemas[visible.shape] = TenantSchema(visible)
                if len(self._schemas) > _SCHEMAS_MAX:
                    self._schemas.popitem(last=False)
            self._schemas.move_to_end(visible.shape)
            return known
