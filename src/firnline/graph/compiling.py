"""Compiles operations at publishing, with every right to a tenant's schema.

Takes a text that fits the schema; publishing receives what it costs, what will answer it, and what
stands in its way. Where the tenant has a cache its tables are counted and its columns are those
that can be read; else the catalog's are, and every page counts as full.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from graphql import GraphQLError, GraphQLSchema

from firnline.access.decisions import Decisions, Unrestricted
from firnline.access.principal import Principal
from firnline.cache.database import TenantDatabase
from firnline.clock import Clock
from firnline.errors import FirnlineError
from firnline.graph.cost import COST_MAX, CostError, RowsOf, unknown
from firnline.graph.cursor import CursorSeal
from firnline.graph.guard import DocumentLimits, guarded
from firnline.graph.memory.levels import is_whole
from firnline.graph.operations import OperationInvalidError
from firnline.graph.rehearsal import Rehearsal
from firnline.graph.request import GraphContext
from firnline.graph.samples import Sample, sample_of
from firnline.graph.schema import TenantSchema
from firnline.graph.search import SearchIndex
from firnline.graph.session import LazySnapshot, Session
from firnline.graph.shape import TenantGraph
from firnline.graph.sizes import Countable, TableSizes
from firnline.graph.tenants import TenantGraphs

Stored = Mapping[str, Mapping[str, frozenset[str]]]


@dataclass(frozen=True, slots=True)
class Compilation:
    """What became of one operation's plan at one tenant.

    `cost` is an estimate, with the largest pages where variables give their size; `is_counted` says
    that it is made from the rows there are. `problem` keeps the operation from being planned:
    for good (`is_refused`), or until something is synced or other values are given.
    """

    cost: int
    limit: int
    is_counted: bool
    from_memory: bool = False
    problem: FirnlineError | None = None
    is_refused: bool = False

    def require(self) -> None:
        """Raise what keeps the operation from ever being answered."""
        if self.problem is not None and self.is_refused:
            raise self.problem

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        facts: dict[str, Any] = {
            "compiled": self.problem is None,
            "cost": self.cost,
            "costLimit": self.limit,
            "rowsCounted": self.is_counted,
        }
        if self.problem is None:
            facts["answeredFrom"] = "memory" if self.from_memory else "duckdb"
        else:
            facts["problem"] = self.problem.as_dict()
        return facts


class Compiler:
    """Compiles for all tenants of a project. `caches` gives an open cache, None where none is."""

    def __init__(
        self,
        graphs: TenantGraphs,
        *,
        caches: Callable[[str], Awaitable[TenantDatabase | None]],
        seal: CursorSeal,
        clock: Clock,
        cost_max: int = COST_MAX,
        mask_key: Callable[[str], bytes] | None = None,
    ) -> None:
        self._graphs = graphs
        self._caches = caches
        self._seal = seal
        self._clock = clock
        self._cost_max = cost_max
        self._mask_key = mask_key
        self._sizes = TableSizes()

    async def compile(self, tenant: str, text: str) -> Compilation:
        """Plan a document that holds one valid operation, and render its statements."""
        graph = await self._graphs.graph(tenant)
        schema = await self._graphs.prepared_schema(graph)
        sample = sample_of(guarded(text, DocumentLimits()), schema.core)
        found = await self._planned(graph, schema, text, sample, sample.variables)
        if isinstance(found.problem, CostError) and sample.pages:
            small = await self._planned(graph, schema, text, sample, sample.with_pages(1))
            if small.problem is None:  # so it depends on who asks, and for how much
                return replace(found, is_refused=False)
        return found

    async def _planned(
        self,
        graph: TenantGraph,
        schema: TenantSchema,
        text: str,
        sample: Sample,
        variables: Mapping[str, Any],
    ) -> Compilation:
        database = await self._caches(graph.tenant)
        async with _Uncached() if database is None else Session(database) as session:
            sizes = _NoSizes() if database is None else self._sizes
            if database is not None:
                await session.run(LazySnapshot.settle)
            stored = await session.run(partial(_stored, graph))
            execution = Rehearsal(session, self._seal, None, sizes=sizes, cost_max=self._cost_max)
            execution.context = self._context(graph, schema, stored, execution)
            result = await schema.execute(
                text, variable_values=dict(variables), context_value=execution.context
            )
        problem = _problem(result.errors)
        is_certain = isinstance(problem, CostError) or not sample.made_up
        return Compilation(
            cost=execution.cost,
            limit=self._cost_max,
            is_counted=database is not None,
            from_memory=execution.is_compilable and all(map(is_whole, execution.levels)),
            problem=problem,
            is_refused=problem is not None and is_certain and not problem.retryable,
        )

    def _context(
        self, graph: TenantGraph, schema: TenantSchema, stored: Stored, execution: Rehearsal
    ) -> GraphContext:
        decisions: Decisions = Unrestricted(
            sources={},
            catalogs=graph.catalogs,
            columns=graph.columns,
            stored=stored,
            is_ruled=False,
        )
        return GraphContext(
            principal=Principal(graph.tenant, ""),
            graph=graph,
            decisions=decisions,
            now=self._clock.now(),
            resolve=execution.resolve,
            freshness=dict,
            visible=_Whole(graph, schema),
            mask_key=self._mask_key and partial(self._mask_key, graph.tenant),
        )


@dataclass(frozen=True, slots=True)
class _Whole:
    """All of a graph (`request.VisiblePart`)."""

    whole: TenantGraph
    whole_schema: TenantSchema

    def graph(self) -> TenantGraph:
        return self.whole

    def core_schema(self) -> GraphQLSchema:
        return self.whole_schema.core

    def index(self) -> SearchIndex:
        return SearchIndex.of(self.whole)

    def federated_sdl(self) -> str:
        return self.whole_schema.federated_sdl(self.whole)


class _NoSnapshot(LazySnapshot):
    """Stands where a tenant has no cache: nothing can be read."""

    def __init__(self) -> None:
        self.versions, self.freshness, self._snapshot = {}, {}, None


class _Uncached(Session):
    """Plans without a cache."""

    def __init__(self) -> None:
        self.snapshot, self._running = _NoSnapshot(), set()


class _NoSizes(TableSizes):
    """Knows no number of rows."""

    def of(self, snapshot: Countable) -> RowsOf:
        """Tell none."""
        return unknown


def _stored(graph: TenantGraph, snapshot: LazySnapshot) -> Stored:
    """Return the fields that can be read: those in the cache, without one those of the catalogs."""
    if isinstance(snapshot, _NoSnapshot):
        return {
            connection: {each.name: each.field_names for each in catalog.objects}
            for connection, catalog in graph.catalogs.items()
        }
    names: dict[str, list[str]] = {connection: [] for connection in graph.catalogs}
    for connection, name in snapshot.versions:
        names.setdefault(connection, []).append(name)
    return {connection: snapshot.field_names(connection, own) for connection, own in names.items()}


def _problem(errors: list[GraphQLError] | None) -> FirnlineError | None:
    """Return the first error, as one of ours."""
    for error in errors or ():
        if isinstance(error.original_error, FirnlineError):
            return error.original_error
        return OperationInvalidError(
            f"it cannot be planned: {error.message}",
            hint="Ask it with values of your own, to see whether it can then.",
        )
    return None
