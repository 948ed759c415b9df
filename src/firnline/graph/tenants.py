"""Keeps every tenant's graph, schema and people's rights, each until what it was made from changes.

Takes the project, the state's catalogs and the tenants' caches; respond asks for them per request.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from firnline.access.decisions import Decisions
from firnline.access.model import Person, SourceAccess
from firnline.access.principal import Principal
from firnline.cache.opening import NoDataYetError
from firnline.cache.permission_rows import CachedPermissionRows
from firnline.catalog.model import Catalog
from firnline.clock import Clock, SystemClock
from firnline.connectors.registry import load_connector
from firnline.errors import UnknownTenantError
from firnline.graph.schema import TenantSchema
from firnline.graph.shape import TenantGraph, build_graph
from firnline.spec.model import Project

_SCHEMAS_MAX = 64
_PEOPLE_MAX = 4096
_CATALOG_AGE_S = 1.0  # another process may discover: looked for this often

Versions = Mapping[tuple[str, str], int]


class Snapshot(Protocol):
    """One data version of a tenant's cache."""

    @property
    def versions(self) -> Versions:
        """Return (connection, object) -> data version."""
        ...

    def fetch(self, sql: str, parameters: Any = ()) -> Any:
        """Return the rows as a pyarrow.Table."""
        ...

    def columns(self, connection: str, object_name: str) -> Mapping[str, Any]:
        """Return the readable columns of one object by field name."""
        ...


class Catalogs(Protocol):
    """Where discovery's results are kept."""

    async def catalog_versions(self, tenant: str) -> Mapping[str, int]:
        """Return the number of the newest catalog of each connection."""
        ...

    async def catalog(self, tenant: str, connection: str) -> tuple[int, Catalog] | None:
        """Return the newest version of a connection's catalog and its number."""
        ...


@dataclass(frozen=True, slots=True)
class _Known:
    versions: tuple[tuple[str, int], ...]
    graph: TenantGraph
    asked_at: float  # when the state last confirmed these versions, monotonic seconds


@dataclass(frozen=True, slots=True)
class _Rights:
    access: SourceAccess
    read: tuple[tuple[str, int], ...]  # permission objects and the versions they were read in


class TenantGraphs:
    """The graphs of all tenants of one project."""

    def __init__(self, project: Project, *, catalogs: Catalogs, clock: Clock | None = None) -> None:
        self.project = project
        self._clock = clock or SystemClock()
        self._catalogs = catalogs
        self._graphs: dict[str, _Known] = {}
        self._schemas: OrderedDict[str, TenantSchema] = OrderedDict()
        self._rights: OrderedDict[tuple[str, str, str, str], _Rights] = OrderedDict()
        self._decided: OrderedDict[tuple[str, str], tuple[str, Versions, Decisions]] = OrderedDict()
        self._stored: dict[tuple[str, str, str], tuple[int, frozenset[str]]] = {}

    async def graph(self, tenant: str) -> TenantGraph:
        """Return the tenant's graph of today.

        Raises UnknownTenantError, NoDataYetError or MappingError.
        """
        if tenant not in self.project.tenants:
            raise UnknownTenantError(tenant, list(self.project.tenants))
        known = self._graphs.get(tenant)
        asked_at = self._clock.monotonic()
        if known is not None and asked_at - known.asked_at < _CATALOG_AGE_S:
            return known.graph
        declared = self.project.tenants[tenant].connections
        latest = await self._catalogs.catalog_versions(tenant)
        versions = tuple(sorted((name, latest[name]) for name in declared if name in latest))
        if not versions:
            raise NoDataYetError(tenant)
        if known is None or known.versions != versions:
            catalogs = {name: await self._catalogs.catalog(tenant, name) for name, _ in versions}
            built = build_graph(
                self.project,
                tenant,
                {name: entry[1] for name, entry in catalogs.items() if entry is not None},
            )
            known = _Known(versions, built, asked_at)
        self._graphs[tenant] = replace(known, asked_at=asked_at)
        return known.graph

    def schema(self, graph: TenantGraph) -> TenantSchema:
        """Return the schema of a graph; graphs of equal shape share one."""
        schema = self._schemas.get(graph.shape)
        if schema is None:
            schema = self._schemas[graph.shape] = TenantSchema(graph)
            if len(self._schemas) > _SCHEMAS_MAX:
                self._schemas.popitem(last=False)
        self._schemas.move_to_end(graph.shape)
        return schema

    def decisions(self, graph: TenantGraph, principal: Principal, snapshot: Snapshot) -> Decisions:
        """Return the principal's rights as the snapshot's permission records give them."""
        slot = (graph.tenant, principal.email)
        decided = self._decided.get(slot)
        if decided is not None and decided[0] == graph.version and decided[1] == snapshot.versions:
            self._decided.move_to_end(slot)
            return decided[2]
        decisions = self._decide(graph, principal, snapshot)
        self._decided[slot] = (graph.version, snapshot.versions, decisions)
        if len(self._decided) > _PEOPLE_MAX:
            self._decided.popitem(last=False)
        return decisions

    def _decide(self, graph: TenantGraph, principal: Principal, snapshot: Snapshot) -> Decisions:
        stored = {name: self._stored_fields(graph, name, snapshot) for name in graph.catalogs}
        sources = {
            name: self._source(graph, name, principal, snapshot, stored[name])
            for name in graph.catalogs
        }
        return Decisions(
            sources=sources, catalogs=graph.catalogs, columns=graph.columns, stored=stored
        )

    def people(self, graph: TenantGraph, snapshot: Snapshot) -> Mapping[str, Sequence[Person]]:
        """Return, by connection, the active users whom its provider knows."""
        found = {}
        for name, catalog in graph.catalogs.items():
            stored = self._stored_fields(graph, name, snapshot)
            rows = CachedPermissionRows(snapshot.fetch, name, catalog, graph.columns[name], stored)
            found[name] = load_connector(catalog.provider).people(rows)
        return found

    def _stored_fields(
        self, graph: TenantGraph, connection: str, snapshot: Snapshot
    ) -> Mapping[str, frozenset[str]]:
        found: dict[str, frozenset[str]] = {}
        for (owner, name), version in snapshot.versions.items():
            if owner != connection:
                continue
            slot = (graph.tenant, connection, name)
            known = self._stored.get(slot)
            if known is None or known[0] != version:
                fields = frozenset(snapshot.columns(connection, name))
                known = self._stored[slot] = (version, fields)
            found[name] = known[1]
        return found

    def _source(
        self,
        graph: TenantGraph,
        connection: str,
        principal: Principal,
        snapshot: Snapshot,
        stored: Mapping[str, frozenset[str]],
    ) -> SourceAccess:
        catalog = graph.catalogs[connection]
        slot = (graph.tenant, connection, principal.email, catalog.fingerprint)
        known = self._rights.get(slot)
        if known is None or any(
            snapshot.versions.get((connection, name), -1) != version for name, version in known.read
        ):
            rows = CachedPermissionRows(
                snapshot.fetch, connection, catalog, graph.columns[connection], stored
            )
            person = Person(email=principal.email, name=principal.name)
            access = load_connector(catalog.provider).access(rows, catalog, person)
            read = tuple(
                (name, snapshot.versions.get((connection, name), -1))
                for name in sorted(rows.objects_read)
            )
            known = self._rights[slot] = _Rights(access, read)
            if len(self._rights) > _PEOPLE_MAX:
                self._rights.popitem(last=False)
        self._rights.move_to_end(slot)
        return known.access
