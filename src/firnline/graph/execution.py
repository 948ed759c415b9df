"""Executes the root fields of one operation: plan, load, and the value that answers the field.

Takes what graphql-core says of a root field; respond receives completed values, and the levels that
columns in memory answered, to be compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import orjson
from graphql import GraphQLObjectType, GraphQLResolveInfo, get_named_type

from firnline.graph.cost import COST_MAX, CostError, Planned, cost_of, unknown
from firnline.graph.cursor import CursorSeal
from firnline.graph.explain.explanation import Explanation
from firnline.graph.explain.trace import Trace, TracedLoader, TracedPlanner
from firnline.graph.federation import ENTITIES, entities
from firnline.graph.loader import Loader
from firnline.graph.memory.compiled import Root
from firnline.graph.memory.levels import Level, RecordLevel
from firnline.graph.memory.tables import ResidentTables
from firnline.graph.memory.views import ResidentReader
from firnline.graph.plan import Planner
from firnline.graph.policy.checks import until_settled
from firnline.graph.request import Completed, GraphContext
from firnline.graph.selection import Selected, Selections
from firnline.graph.session import LazySnapshot, Session
from firnline.graph.sizes import TableSizes


class Execution:
    """Plans and loads the root fields of one operation.

    `roots` holds, by response key, what columns in memory can answer; None where DuckDB is needed.
    `unloaded` are levels whose columns are not in memory yet. `records` are how many each root
    field gave.
    """

    loader_type: type[Loader] = Loader

    def __init__(
        self,
        session: Session,
        seal: CursorSeal,
        resident: ResidentTables | None,
        *,
        may_load: bool = True,
        explanation: Explanation | None = None,
        sizes: TableSizes | None = None,
        cost_max: int = COST_MAX,
    ) -> None:
        self._session = session
        self._sizes = sizes or TableSizes()
        self._cost_max = cost_max
        self._explanation = explanation
        self._seal = seal
        self._resident = resident
        self._may_load = may_load
        self.unloaded: list[Level | RecordLevel] = []
        self.context: GraphContext | None = None
        self.statements: list[tuple[str, int]] = []
        self.records: list[int] = []
        self.roots: dict[str, Root | None] = {}
        self._planned: dict[str, list[Planned]] = {}  # by root field
        self._traces: dict[str, Trace] = {}
        self.cost = 0  # by estimate, of what was planned so far
        self.asked: GraphQLResolveInfo[Any] | None = None

    def bind(self, context: GraphContext) -> None:
        """Take the context of the request, and let its resolvers look at the snapshot."""
        self.context = context
        context.look = self._asked_until_settled

    async def resolve(self, info: GraphQLResolveInfo[Any]) -> Completed:
        """Return the completed value of a root field."""
        self.asked = info
        return Completed(await self._asked_until_settled(self._resolve, info))

    async def _asked_until_settled(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Return what work on the snapshot gives, once the sources said what it has to know."""
        assert self.context is not None
        return await until_settled(
            partial(self._session.run, work, *arguments), self.context.checks
        )

    @property
    def is_compilable(self) -> bool:
        """Say whether columns in memory alone answered the operation, for whoever asks it again.

        What costs too much for somebody who sees other rows is estimated anew for each asker:
        nobody may learn from an answer that somebody else's estimate was lower.
        """
        is_whole = bool(self.roots) and all(root is not None for root in self.roots.values())
        return is_whole and self._cost_at_most <= self._cost_max

    @property
    def is_told_cost(self) -> bool:
        """Say whether somebody looks at the estimate, and not only at whether it is too much."""
        return self._explanation is not None

    @property
    def _cost_at_most(self) -> int:
        """Return what the planned root fields cost if every page is full."""
        return cost_of(self._everything, rows_of=unknown, scanned_of=unknown)

    @property
    def _everything(self) -> list[Planned]:
        return [each for planned in list(self._planned.values()) for each in planned]

    def _resolve(self, info: GraphQLResolveInfo[Any], snapshot: LazySnapshot) -> Any:
        assert self.context is not None
        selections = Selections(info, self.context.variables)
        node = info.field_nodes[0]
        key = node.alias.value if node.alias else node.name.value
        reader = None
        if self._resident is not None:
            reader = ResidentReader(
                self._resident,
                self.context,
                snapshot.fetch,
                snapshot.versions,
                may_load=self._may_load,
                require_thread=snapshot.require_thread,
            )
        if self._explanation is None:
            planner = Planner(self.context, selections, self._seal)
            loader = self.loader_type(snapshot.fetch, self._seal, self.statements, reader)
        else:
            trace = self._traces[key] = self._explanation.trace(self._traces.get(key))
            planner = TracedPlanner(self.context, selections, self._seal, trace=trace)
            loader = TracedLoader(snapshot.fetch, self._seal, self.statements, reader, trace=trace)
        loader.unloaded, loader.checks = self.unloaded, self.context.checks
        root = Selected(key, info.parent_type, node)
        root.nodes = list(info.field_nodes)
        self.roots[key] = None
        self._planned[key] = []  # what was planned before a source was asked is planned anew
        spend = partial(self._spend, key, snapshot)
        namespace = self._namespace(info)
        if (namespace, root.name) in self.context.graph.entries:
            value, self.roots[key] = self._load(namespace, root, planner, loader, spend)
            return value
        if root.name == ENTITIES:
            found = entities(
                root,
                schema=info.schema,
                context=self.context,
                selections=selections,
                planner=planner,
                loader=loader,
                spend=lambda plan, times: spend(Planned(plan, times)),
            )
            self.records += map(loader.weight, found)
            return found
        assert root.definition is not None
        namespace_type = get_named_type(root.definition.type)
        assert isinstance(namespace_type, GraphQLObjectType)
        values: dict[str, Any] = {}
        members: list[tuple[bytes, Root]] = []
        for selected in selections.of(namespace_type, root.nodes):
            values[selected.key], member = self._load(root.name, selected, planner, loader, spend)
            if member is not None:
                members.append((orjson.dumps(selected.key) + b":", member))
        if len(members) == len(values):
            self.roots[key] = tuple(members)
        return values

    def _namespace(self, info: GraphQLResolveInfo[Any]) -> str:
        """Return the namespace that the field stands in, empty at the root."""
        assert self.context is not None
        if info.path.prev is None:
            return ""
        query = info.schema.query_type
        assert query is not None
        names = {namespace for namespace, _ in self.context.graph.entries if namespace}
        types = {get_named_type(query.fields[name].type): name for name in names}
        return types[info.parent_type]

    def _load(
        self,
        namespace: str,
        selected: Selected,
        planner: Planner,
        loader: Loader,
        spend: Callable[[Planned], None],
    ) -> tuple[Any, Root | None]:
        """Return the value of one entry field, and what answered it from memory."""
        assert self.context is not None
        if selected.name == "__typename":
            return selected.type.name, orjson.dumps(selected.type.name)
        type_name, way = self.context.graph.entries[namespace, selected.name]
        found = self.context.graph.objects[type_name]
        match way:
            case "list":
                listed = planner.connection(found, selected)
                spend(Planned(listed))
                value = loader.connection(listed)
            case "one":
                record = planner.record(found, selected)
                spend(Planned(record))
                value = loader.record(record)
            case _:
                several, keys = planner.records(found, selected)
                spend(Planned(several, len(keys)))
                records = loader.records(several, keys)
                self.records.append(loader.weight(records))
                return records, None
        self.records.append(loader.weight(value))
        return value, loader.answered

    def _spend(self, key: str, snapshot: LazySnapshot, planned: Planned) -> None:
        """Count what a root field costs; raises CostError when it is too much in all."""
        self._planned[key].append(planned)
        every = self._everything
        rows_of = self._sizes.of(snapshot)
        # Rows of pages only lower the estimate: mostly they need not be looked up.
        self.cost = cost_of(every, rows_of=unknown, scanned_of=rows_of)
        if self.cost > self._cost_max or self.is_told_cost:
            self.cost = cost_of(every, rows_of=rows_of, scanned_of=rows_of)
        if self._explanation is not None:
            self._explanation.cost = (self.cost, self._cost_max)
        if self.cost > self._cost_max:
            raise CostError(self.cost, self._cost_max)
