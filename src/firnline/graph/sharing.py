"""Shares what tenants of equal shape have in common: catalogs, graphs and schemas.

Takes the project and the state's catalogs; `tenants` asks for a tenant's graph and its schema. What
is kept is bounded by the number of fields it describes, because a graph of a thousand fields costs
megabytes and one of ten nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar
from weakref import WeakValueDictionary

from firnline.cache.opening import NoDataYetError
from firnline.catalog.model import Catalog
from firnline.clock import Clock
from firnline.errors import UnknownTenantError
from firnline.flights import Flights
from firnline.graph.schema import TenantSchema
from firnline.graph.shape import TenantGraph, build_graph
from firnline.recent import Recent
from firnline.spec.model import Project

FIELDS_MAX = 200_000  # of all graphs kept; the same of all schemas
_CATALOG_AGE_S = 1.0  # another process may discover: looked for this often

Fingerprints = tuple[tuple[str, str], ...]  # (connection, fingerprint of its catalog), in order
Key = TypeVar("Key")
Kept = TypeVar("Kept")


class Catalogs(Protocol):
    """Where discovery's results are kept."""

    async def catalog_fingerprints(self, tenant: str) -> Mapping[str, str]:
        """Return the fingerprint of the newest catalog of each connection."""
        ...

    async def catalog(self, tenant: str, connection: str) -> tuple[int, Catalog] | None:
        """Return the newest version of a connection's catalog and its number."""
        ...


@dataclass(frozen=True, slots=True)
class _Shape:
    """One graph under the names of all tenants that have it."""

    graph: TenantGraph
    by_tenant: dict[str, TenantGraph] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Known:
    fingerprints: Fingerprints
    key: str
    asked_at: float  # when the state last confirmed these catalogs, monotonic seconds


class SharedGraphs:
    """The graph of every tenant; tenants whose mappings, access and catalogs are equal share one.

    `forget` is told the tenants whose graphs had to go.
    """

    def __init__(
        self,
        project: Project,
        *,
        catalogs: Catalogs,
        clock: Clock,
        forget: Callable[[Sequence[str]], None],
        fields_max: int = FIELDS_MAX,
    ) -> None:
        self._project = project
        self._catalogs = catalogs
        self._clock = clock
        self._forget = forget
        self._known: dict[str, _Known] = {}
        self._shapes: Recent[str, _Shape] = Recent(fields_max)
        self._loaded: WeakValueDictionary[str, Catalog] = WeakValueDictionary()
        self._building: Flights[str, _Shape] = Flights(goes_on=True)

    async def graph(self, tenant: str) -> TenantGraph:
        """Return the tenant's graph of today.

        Raises UnknownTenantError, NoDataYetError or MappingError.
        """
        if tenant not in self._project.tenants:
            raise UnknownTenantError(tenant, list(self._project.tenants))
        known = self._known.get(tenant)
        asked_at = self._clock.monotonic()
        if known is None or asked_at - known.asked_at >= _CATALOG_AGE_S:
            known = self._known[tenant] = await self._looked_up(tenant, known, asked_at)
        shape = self._shapes.get(known.key)
        if shape is None:
            shape = await self._building.join(
                known.key, lambda: self._built(tenant, known.key, known.fingerprints)
            )
        graph = shape.by_tenant.get(tenant)
        if graph is None:
            graph = shape.by_tenant[tenant] = _of_tenant(shape.graph, tenant)
        return graph

    def current(self, tenant: str) -> TenantGraph | None:
        """Return the tenant's graph of today if nobody has to be asked for it."""
        known = self._known.get(tenant)
        if known is None or self._clock.monotonic() - known.asked_at >= _CATALOG_AGE_S:
            return None
        shape = self._shapes.get(known.key)
        return None if shape is None else shape.by_tenant.get(tenant)

    @property
    def is_full(self) -> bool:
        """Say whether another shape would drive one out."""
        return self._shapes.is_full

    async def _looked_up(self, tenant: str, known: _Known | None, asked_at: float) -> _Known:
        declared = self._project.tenants[tenant].connections
        latest = await self._catalogs.catalog_fingerprints(tenant)
        fingerprints = tuple(sorted((name, latest[name]) for name in declared if name in latest))
        if not fingerprints:
            raise NoDataYetError(tenant)
        if known is not None and known.fingerprints == fingerprints:
            return replace(known, asked_at=asked_at)
        return _Known(fingerprints, _key(self._project, tenant, fingerprints), asked_at)

    async def _built(self, tenant: str, key: str, fingerprints: Fingerprints) -> _Shape:
        catalogs = {name: await self._catalog(tenant, name, mark) for name, mark in fingerprints}
        graph = await asyncio.to_thread(_complete_graph, self._project, tenant, catalogs)
        shape = _Shape(graph)
        for gone in self._shapes.put(key, shape, weight_of(graph)):
            self._forget(list(gone.by_tenant))
        return shape

    async def _catalog(self, tenant: str, connection: str, fingerprint: str) -> Catalog:
        catalog = self._loaded.get(fingerprint)
        if catalog is None:
            found = await self._catalogs.catalog(tenant, connection)
            if found is None:  # forgotten in this very moment
                raise NoDataYetError(tenant)
            catalog = found[1]
            # Under its own fingerprint: a newer one may have come since the question.
            self._loaded[await asyncio.to_thread(lambda: found[1].fingerprint)] = catalog
        return catalog


class SharedSchemas:
    """The schema of every shape, built when first asked for. Safe between threads."""

    def __init__(self, fields_max: int = FIELDS_MAX) -> None:
        self._schemas: Recent[str, TenantSchema] = Recent(fields_max)
        self._building = threading.Lock()

    def schema(self, graph: TenantGraph) -> TenantSchema:
        """Return the schema of a graph; graphs of equal shape share one."""
        schema = self._schemas.get(graph.shape)
        if schema is not None:
            return schema
        with self._building:
            schema = self._schemas.get(graph.shape)
            if schema is None:
                schema = TenantSchema(graph)
                self._schemas.put(graph.shape, schema, weight_of(graph))
        return schema

    async def prepared(self, graph: TenantGraph) -> TenantSchema:
        """Return the schema of a graph; what must be built is built in a thread."""
        schema = self._schemas.get(graph.shape)
        return schema if schema is not None else await asyncio.to_thread(self.schema, graph)


def weight_of(graph: TenantGraph) -> int:
    """Return how many fields a graph describes, the least of what its objects cost included."""
    return sum(len(found.fields) + 1 for found in graph.objects.values())


def _complete_graph(project: Project, tenant: str, catalogs: Mapping[str, Catalog]) -> TenantGraph:
    graph = build_graph(project, tenant, catalogs)
    # Digests take as long as half the building: not on the event loop, at the first use.
    assert graph.shape and graph.version
    return graph


def _of_tenant(graph: TenantGraph, tenant: str) -> TenantGraph:
    found = replace(graph, tenant=tenant)
    vars(found).update(shape=graph.shape, version=graph.version)  # not computed again
    return found


def _key(project: Project, tenant: str, fingerprints: Fingerprints) -> str:
    """Return a digest of everything a tenant's graph is made from, its name aside."""
    spec = project.tenants[tenant]
    providers = [(name, connection.provider) for name, connection in spec.connections.items()]
    declared = spec.model_dump_json(include={"mappings", "access"})
    return hashlib.sha256(repr((declared, providers, fingerprints)).encode()).hexdigest()
