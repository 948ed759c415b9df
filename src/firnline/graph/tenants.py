"""Keeps every tenant's graph, schema and people's rights, each until what it was made from changes.

Takes the project, the state's catalogs and the tenants' caches; respond asks for them per request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from firnline.access.decisions import Decisions
from firnline.access.model import Person, SourceAccess
from firnline.access.people import Links, link_of, linked, person_at, unlinked
from firnline.access.principal import Principal
from firnline.access.reach import Reach, reach_of
from firnline.cache.permission_rows import CachedPermissionRows
from firnline.clock import Clock, SystemClock
from firnline.connectors.registry import load_connector
from firnline.graph.policy.at_source import checked_at_source
from firnline.graph.policy.binding import rulings
from firnline.graph.policy.condition_age import ConditionAges
from firnline.graph.policy.permission_age import Ages, Stamps, ages_of
from firnline.graph.schema import TenantSchema
from firnline.graph.shape import TenantGraph
from firnline.graph.sharing import FIELDS_MAX, Catalogs, SharedGraphs, SharedSchemas
from firnline.recent import Recent
from firnline.spec.agents import AgentSpec, effective_agents
from firnline.spec.effective import asks_for_operations, effective_access
from firnline.spec.model import Project
from firnline.spec.verbs import OperationPolicy

_PEOPLE_MAX = 4096

Versions = Mapping[tuple[str, str], int]
Operations = Mapping[str, OperationPolicy]


class Snapshot(Protocol):
    """One data version of a tenant's cache."""

    @property
    def versions(self) -> Versions:
        """Return (connection, object) -> data version."""
        ...

    def fetch(self, sql: str, parameters: Any = ()) -> Any:
        """Return the rows as a pyarrow.Table."""
        ...

    def field_names(
        self, connection: str, object_names: Sequence[str]
    ) -> Mapping[str, frozenset[str]]:
        """Return the names of the readable fields of several objects, by object."""
        ...


class DatedSnapshot(Snapshot, Protocol):
    """A snapshot that knows how old it is."""

    @property
    def freshness(self) -> Stamps:
        """Return (connection, object) -> when the last complete read of it began."""
        ...


@dataclass(frozen=True, slots=True)
class _Rights:
    access: SourceAccess
    read: tuple[tuple[str, int], ...]  # permission objects and the versions they were read in


@dataclass(frozen=True, slots=True)
class _Decided:
    """Decisions, and what they were made from."""

    graph_version: str
    versions: Versions
    freshness: Stamps
    decisions: Decisions

    def holds(self, graph: TenantGraph, snapshot: DatedSnapshot, now: datetime) -> bool:
        """Say whether the same would be decided now."""
        if self.graph_version != graph.version or self.versions != snapshot.versions:
            return False
        until = self.decisions.valid_until
        # Where no policy states a limit it does not matter how old anything is.
        is_as_old = self.freshness is snapshot.freshness or not graph.has_age_limits
        return is_as_old and (until is None or now <= until)


class TenantGraphs:
    """The graphs of all tenants of one project."""

    def __init__(
        self,
        project: Project,
        *,
        catalogs: Catalogs,
        clock: Clock | None = None,
        fields_max: int = FIELDS_MAX,
    ) -> None:
        self.project = project
        self._clock = clock or SystemClock()
        self._graphs = SharedGraphs(
            project,
            catalogs=catalogs,
            clock=self._clock,
            forget=self._forget,
            fields_max=fields_max,
        )
        self._schemas = SharedSchemas(fields_max)
        self._rights: Recent[tuple[str, str, str, str], _Rights] = Recent(_PEOPLE_MAX)
        self._decided: Recent[tuple[str, Principal], _Decided] = Recent(_PEOPLE_MAX)
        self._stored: dict[str, dict[tuple[str, str], tuple[int, frozenset[str]]]] = {}
        self._asks_for_operations: dict[str, bool] = {}
        self._limits: dict[str, tuple[Mapping[str, AgentSpec], Operations]] = {}

    async def graph(self, tenant: str) -> TenantGraph:
        """Return the tenant's graph of today.

        Raises UnknownTenantError, NoDataYetError or MappingError.
        """
        return await self._graphs.graph(tenant)

    def is_of_today(self, graph: TenantGraph) -> bool:
        """Say whether `graph` would give the very same, as far as is known without asking."""
        return self._graphs.current(graph.tenant) is graph

    def schema(self, graph: TenantGraph) -> TenantSchema:
        """Return the schema of a graph; graphs of equal shape share one."""
        return self._schemas.schema(graph)

    async def prepared_schema(self, graph: TenantGraph) -> TenantSchema:
        """Return the schema of a graph without holding up the event loop."""
        return await self._schemas.prepared(graph)

    @property
    def is_full(self) -> bool:
        """Say whether another graph would drive one out."""
        return self._graphs.is_full

    def _forget(self, tenants: Sequence[str]) -> None:
        """Give up what was worked out with graphs that had to go; it would keep them alive."""
        for tenant in tenants:
            self._stored.pop(tenant, None)
        self._decided.drop_where(lambda slot: slot[0] in tenants)
        self._rights.drop_where(lambda slot: slot[0] in tenants)

    def decisions(
        self, graph: TenantGraph, principal: Principal, snapshot: DatedSnapshot
    ) -> Decisions:
        """Return the principal's rights as the snapshot's permission records give them."""
        slot = (graph.tenant, principal)
        decided = self._decided.get(slot)
        now = self._clock.now()
        if decided is not None and decided.holds(graph, snapshot, now):
            return decided.decisions
        decisions = self._decide(graph, principal, snapshot, now)
        decided = _Decided(graph.version, snapshot.versions, snapshot.freshness, decisions)
        self._decided.put(slot, decided)
        return decisions

    def term(self, graph: TenantGraph, principal: Principal) -> tuple[datetime | None, bool]:
        """Return until when what was decided last holds, and whether that is over.

        Answers that are being made in different terms are made from different decisions.
        """
        decided = self._decided.get((graph.tenant, principal))
        until = None if decided is None else decided.decisions.valid_until
        return until, until is not None and self._clock.now() > until

    def _decide(
        self, graph: TenantGraph, principal: Principal, snapshot: DatedSnapshot, now: datetime
    ) -> Decisions:
        stored = {name: self._stored_fields(graph, name, snapshot) for name in graph.catalogs}
        rights = {
            name: self._rights_in(graph, name, principal, snapshot, stored[name])
            for name in graph.catalogs
        }
        sources = {name: found.access for name, found in rights.items()}
        ages = Ages()
        if graph.age_limits:
            read = {name: [each for each, _ in found.read] for name, found in rights.items()}
            ages = ages_of(graph, sources, read, stamps=snapshot.freshness, now=now)
        versions = {name: found.read for name, found in rights.items()}
        condition_ages = ConditionAges(graph.tenant, snapshot.freshness, now)
        ruled = rulings(graph, principal, stored=stored, ages=condition_ages)
        ends = filter(None, (ages.valid_until, condition_ages.valid_until))
        at_source, denied = checked_at_source(graph, sources, versions, ages.too_old)
        return Decisions(
            sources=sources,
            catalogs=graph.catalogs,
            columns=graph.columns,
            stored=stored,
            too_old=denied,
            at_source=at_source,
            valid_until=min(ends, default=None),
            rulings=ruled,
            reach=self.reach(principal),
        )

    def reach(self, principal: Principal) -> Reach:
        """Return how far the principal's agent and scopes reach; raises what refuses them."""
        name, integration = principal.tenant, self.project.integration
        if name not in self._limits:
            tenant = self.project.tenants[name]
            operations = effective_access(integration, tenant).operations
            self._limits[name] = (effective_agents(integration, tenant), operations)
        return reach_of(principal, *self._limits[name])

    def running(self, principal: Principal, published: Sequence[str]) -> Principal:
        """Return the principal with the operation that they run, where a policy asks for it."""
        name, integration = principal.tenant, self.project.integration
        if name not in self._asks_for_operations:
            access = effective_access(integration, self.project.tenants[name])
            self._asks_for_operations[name] = asks_for_operations(access)
        if not published or not self._asks_for_operations[name]:
            return principal
        return replace(principal, operation=frozenset(published))

    def _people(self, tenant: str) -> Links:
        return self.project.tenants[tenant].people

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
        known = self._stored.setdefault(graph.tenant, {})
        names = [name for owner, name in snapshot.versions if owner == connection]
        changed = [
            name
            for name in names
            if known.get((connection, name), (-1,))[0] != snapshot.versions[connection, name]
        ]
        if changed:
            catalog = graph.catalogs[connection].by_name
            for name, fields in snapshot.field_names(connection, changed).items():
                # Mostly all there are: then the one set of the catalog serves every tenant.
                whole = catalog[name].field_names if name in catalog else fields
                version = snapshot.versions[connection, name]
                known[connection, name] = (version, whole if whole == fields else fields)
        return {name: known[connection, name][1] for name in names}

    def _rights_in(
        self,
        graph: TenantGraph,
        connection: str,
        principal: Principal,
        snapshot: Snapshot,
        stored: Mapping[str, frozenset[str]],
    ) -> _Rights:
        catalog = graph.catalogs[connection]
        slot = (graph.tenant, connection, principal.email, catalog.fingerprint)
        known = self._rights.get(slot)
        if known is None or any(
            snapshot.versions.get((connection, name), -1) != version for name, version in known.read
        ):
            rows = CachedPermissionRows(
                snapshot.fetch, connection, catalog, graph.columns[connection], stored
            )
            connector = load_connector(catalog.provider)
            link = link_of(self._people(graph.tenant), principal.email, connection)
            person = person_at(principal.email, link, lambda: connector.people(rows))
            if person is None:
                access = unlinked(link)
            else:
                access = linked(connector.access(rows, catalog, person), link)
            read = tuple(
                (name, snapshot.versions.get((connection, name), -1))
                for name in sorted(rows.objects_read)
            )
            known = _Rights(access, read)
            self._rights.put(slot, known)
        return known
