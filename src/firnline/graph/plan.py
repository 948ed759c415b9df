"""Plans: what one root field asks, as set operations per level.

Takes a selection; loader runs the plan level by level. A plan holds queries with permitted scans
already bound into them. What may not be read is noted and planned as null.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from firnline.access.principal import Principal
from firnline.cache.query import (
    Call,
    Expression,
    Order,
)
from firnline.catalog.conditions import COLUMN_TYPES, bound, condition
from firnline.graph.branches import Branches
from firnline.graph.cursor import CursorSeal, after, before
from firnline.graph.filter import Filters, SortKey
from firnline.graph.grouping import Grouper, GroupStatement, group_limit
from firnline.graph.memory.criteria import CriteriaReader, Operand
from firnline.graph.narrowing import Narrowing
from firnline.graph.request import AccessNote, GraphContext
from firnline.graph.scan import Aliases, MaskedFieldError, Scan
from firnline.graph.selection import Selected, Selections
from firnline.graph.shape import GraphObject, GraphRelation
from firnline.graph.statements import (
    AggregateStatement,
    Columns,
    Outline,
    Statement,
    answered,
    outlined,
)
from firnline.graph.totals import AggregateShape, aggregate_shape, empty_aggregate
from firnline.graph.window import PAGE_MAX, PageSizeError, Window


@dataclass(slots=True)
class Leaf:
    """A value read from column `column`; None: null for every record. `constant` wins."""

    key: str
    column: str | None = None
    constant: str | None = None
    is_json: bool = False


@dataclass(slots=True)
class Child:
    """A relation: the parent's key is in column `local`, None when it may not be read."""

    key: str
    local: str | None
    one: RecordPlan | None = None
    many: ListPlan | None = None


@dataclass(slots=True)
class Fork:
    """A relation to a record of one of several types: the first of `ones` that has the key.

    `missed` is called when a record leads to none of them though some types were left out.
    """

    key: str
    local: str | None
    ones: tuple[RecordPlan, ...] = ()
    missed: Callable[[], None] | None = None


@dataclass(slots=True)
class Compound:
    """Fields of the record itself as one object, which is never null."""

    key: str
    selection: RecordSelection


@dataclass(slots=True)
class RecordSelection:
    """What is asked of each record of a scan, in response order."""

    entries: list[Leaf | Child | Fork | Compound] = field(default_factory=list)


@dataclass(slots=True)
class RecordPlan:
    """At most one record per key: a to-one relation, or a record by its key."""

    selection: RecordSelection
    statement: Statement


@dataclass(slots=True)
class Part:
    """One response key of a connection."""

    key: str
    kind: str  # nodes, edges, pageInfo, totalCount, aggregate, groupBy, __typename
    selection: RecordSelection | None = None
    names: Mapping[str, str] = field(default_factory=dict)  # response key -> field
    node_keys: tuple[tuple[str, RecordSelection], ...] = ()
    aggregate: AggregateShape | None = None
    column: str = ""
    type_name: str = ""
    groups: GroupStatement | None = None

    @property
    def selections(self) -> list[RecordSelection]:
        """Return what is asked of each record, once per place where records stand."""
        own = [self.selection] if self.selection else []
        return own + [selection for _, selection in self.node_keys]


@dataclass(slots=True)
class ListPlan:
    """A connection: a page of records per parent, with counts and aggregates when asked."""

    parts: list[Part]
    page: Statement | None
    totals: AggregateStatement | None
    first: int
    has_after: bool
    cursor_columns: tuple[str, ...]
    binding: bytes
    has_before: bool = False
    is_backward: bool = False  # read from the end, so that each page arrives upside down
    narrowing: Narrowing | None = None
    way: str = ""  # the relation's name


@dataclass(slots=True)
class Planner:
    """Plans the root fields of one operation."""

    context: GraphContext
    selections: Selections
    seal: CursorSeal

    def connection(
        self, found: GraphObject, selected: Selected, relation: GraphRelation | None = None
    ) -> ListPlan:
        """Plan a connection field, of the root or of a relation."""
        arguments = self.selections.arguments(selected)
        window = Window.of(arguments)
        narrowing = Narrowing.of(arguments)
        scan, filters = self._scan(found)
        conditions = narrowing.conditions(scan, filters, relation)
        order = filters.order(scan, narrowing.order_by)
        way = relation.name if relation else ""
        binding = page_binding(self.context.principal, found.type_name, way, narrowing)
        page = Statement(
            scan=scan,
            columns=Columns(),
            where=conditions,
            order=tuple((key.backward if window.is_backward else key).order for key in order),
            limit=window.size + 1,
            link=self._link(scan, relation),
        )
        is_complex = window.is_backward or bool(window.after or window.before)
        is_complex = is_complex or not narrowing.is_plain
        reader = CriteriaReader(self.context.graph.objects, self.selections.operands(selected))
        page.outline = outlined(
            found, narrowing.where, order, relation, reader=reader, is_complex=is_complex
        )
        if window.after is not None:
            conditions.append(after(order, self.seal.open(window.after, binding)))
        if window.before is not None:
            conditions.append(before(order, self.seal.open(window.before, binding)))
        totals = self._totals(found, narrowing, relation)
        totals.outline = outlined(
            *(found, narrowing.where, (), relation),
            reader=reader,
            is_complex=not narrowing.is_plain,
        )
        parts = self._parts(selected, scan, page.columns, totals, narrowing, relation)
        kinds = {part.kind for part in parts}
        wants_rows = bool(kinds & {"nodes", "edges", "pageInfo"})
        wants_cursor = bool(kinds & {"edges", "pageInfo"})
        return ListPlan(
            parts=parts,
            page=page if wants_rows else None,
            totals=totals if kinds & {"totalCount", "aggregate"} else None,
            first=window.size,
            has_after=window.after is not None,
            cursor_columns=_cursor_columns(page.columns, order) if wants_cursor else (),
            binding=binding,
            has_before=window.before is not None,
            is_backward=window.is_backward,
            narrowing=narrowing,
            way=way,
        )

    def record(
        self, found: GraphObject, selected: Selected, relation: GraphRelation | None = None
    ) -> RecordPlan:
        """Plan a single record: the target of a to-one relation, or one named by its key."""
        scan, _ = self._scan(found)
        columns = Columns()
        link = self._link(scan, relation)
        where: list[Expression] = []
        if relation is None:
            key = found.fields[found.key]
            value = self.selections.arguments(selected)[found.key]
            where = [condition(scan.field(key.name), key.scalar, "eq", value, self.context.now)]
        selection = self._records(scan, selected, columns)
        outline = None
        if relation is not None and relation.remote == found.key:
            outline = Outline(link=relation.remote)
            if scan.tie() is None:
                statement = Statement(scan, columns, where, link=link, outline=outline)
                return RecordPlan(selection, statement)
        # By another field than the source's key there could be several: the first by that key.
        order = (Order(scan.identity()),)
        if relation is None:
            variable = self.selections.variable(selected, found.key)
            outline = Outline((Operand(found.key, "eq", value, variable),))
        return RecordPlan(selection, Statement(scan, columns, where, order, 1, link, outline))

    def records(self, found: GraphObject, selected: Selected) -> tuple[RecordPlan, list[str]]:
        """Plan several records by their keys, which are returned as relations compare them."""
        asked = self.selections.arguments(selected)["keys"]
        if len(asked) > PAGE_MAX:
            raise PageSizeError(len(asked), "keys")
        scan, _ = self._scan(found)
        key = found.fields[found.key]
        columns = Columns()
        keys = [str(bound(each, key.scalar, self.context.now).value) for each in asked]
        link = scan.key(found.key)
        selection = self._records(scan, selected, columns)
        order, limit = ((), None) if scan.tie() is None else ((Order(scan.identity()),), 1)
        by_key = Outline(link=found.key)
        statement = Statement(scan, columns, [], order, limit, link, by_key)
        return RecordPlan(selection, statement), keys

    def _scan(self, found: GraphObject) -> tuple[Scan, Filters]:
        aliases = Aliases()
        scan = Scan(self.context, found, aliases)
        if scan.denied is not None:
            self.context.note(scan.denied)
        return scan, Filters(self.context, aliases)

    def _link(self, scan: Scan, relation: GraphRelation | None) -> Expression | None:
        return None if relation is None else scan.key(relation.remote)

    def _totals(
        self, found: GraphObject, narrowing: Narrowing, relation: GraphRelation | None
    ) -> AggregateStatement:
        scan, filters = self._scan(found)
        conditions = narrowing.conditions(scan, filters, relation)
        return AggregateStatement(scan, Columns(), conditions, self._link(scan, relation))

    def _parts(
        self,
        selected: Selected,
        scan: Scan,
        columns: Columns,
        totals: AggregateStatement,
        narrowing: Narrowing,
        relation: GraphRelation | None,
    ) -> list[Part]:
        connection = selected.object_type
        found = []
        for each in self.selections.of(connection, selected.nodes):
            part = Part(each.key, each.name, type_name=connection.name)
            if each.name in ("totalCount", "aggregate", "groupBy"):
                scan.require("aggregate")
            match each.name:
                case "nodes":
                    part.selection = self._records(scan, each, columns)
                case "edges":
                    part.names, part.node_keys = self._edges(scan, each, columns)
                case "pageInfo":
                    part.names = self._names(each)
                case "totalCount":
                    part.column = totals.columns.add(Call("count", ()))
                case "aggregate":
                    part.aggregate = aggregate_shape(self.selections, each, totals)
                case "groupBy":
                    part.groups = self._groups(each, scan.object, narrowing, relation)
            found.append(part)
        return found

    def _groups(
        self,
        selected: Selected,
        found: GraphObject,
        narrowing: Narrowing,
        relation: GraphRelation | None,
    ) -> GroupStatement:
        first = group_limit(self.selections.arguments(selected).get("first"))
        scan, filters = self._scan(found)
        conditions = narrowing.conditions(scan, filters, relation)
        statement = GroupStatement(scan, conditions, self._link(scan, relation), first)
        return Grouper(statement, filters, self.selections, answered).plan(selected)

    def _names(self, selected: Selected) -> Mapping[str, str]:
        return {
            each.key: each.name for each in self.selections.of(selected.object_type, selected.nodes)
        }

    def _edges(
        self, scan: Scan, selected: Selected, columns: Columns
    ) -> tuple[Mapping[str, str], tuple[tuple[str, RecordSelection], ...]]:
        edge = selected.object_type
        names: dict[str, str] = {}
        nodes = []
        for each in self.selections.of(edge, selected.nodes):
            names[each.key] = edge.name if each.name == "__typename" else each.name
            if each.name == "node":
                nodes.append((each.key, self._records(scan, each, columns)))
        return names, tuple(nodes)

    def _records(self, scan: Scan, selected: Selected, columns: Columns) -> RecordSelection:
        record = selected.object_type
        selection = RecordSelection()
        for each in self.selections.of(record, selected.nodes):
            if each.name == "__typename":
                selection.entries.append(Leaf(each.key, constant=record.name))
            elif each.name in scan.object.fields:
                selection.entries.append(self._leaf(scan, each, columns))
            elif each.name in scan.object.forks:
                selection.entries.append(self._fork(scan, each, columns))
            elif each.name in scan.object.compounds:
                selection.entries.append(self._compound(scan, each, columns))
            else:
                selection.entries.append(self._child(scan, each, columns))
        return selection

    def _compound(self, scan: Scan, selected: Selected, columns: Columns) -> Compound:
        parts = scan.object.compounds[selected.name].parts
        type_ = selected.object_type
        selection = RecordSelection()
        for each in self.selections.of(type_, selected.nodes):
            if each.name == "__typename":
                selection.entries.append(Leaf(each.key, constant=type_.name))
            else:
                selection.entries.append(self._leaf(scan, each, columns, parts[each.name]))
        return Compound(selected.key, selection)

    def _leaf(self, scan: Scan, selected: Selected, columns: Columns, name: str = "") -> Leaf:
        name = name or selected.name
        scalar = scan.object.fields[name].scalar
        try:
            value = scan.shown(name)
        except MaskedFieldError as masked:
            self.context.note(masked.note)
            return Leaf(selected.key)
        return Leaf(
            selected.key,
            columns.add(answered(value, scalar), (name, "answer")),
            is_json=scalar == "json",
        )

    def _child(self, scan: Scan, selected: Selected, columns: Columns) -> Child:
        relation = scan.object.relations[selected.name]
        target = self.context.graph.objects[relation.target]
        try:
            local = columns.add(scan.key(relation.local), (relation.local, "link"))
            Scan(self.context, target, Aliases()).key(relation.remote)
        except MaskedFieldError as masked:
            self.context.note(_cut_off(scan, relation.name, masked))
            if not relation.many:
                return Child(selected.key, None)
            return Child(selected.key, None, many=self._empty(selected))
        if relation.many:
            return Child(selected.key, local, many=self.connection(target, selected, relation))
        return Child(selected.key, local, one=self.record(target, selected, relation))

    def _fork(self, scan: Scan, selected: Selected, columns: Columns) -> Fork:
        fork = scan.object.forks[selected.name]
        try:
            local = columns.add(scan.key(fork.local), (fork.local, "link"))
        except MaskedFieldError as masked:
            self.context.note(_cut_off(scan, fork.name, masked))
            return Fork(selected.key, None)
        branches = Branches(self.context, self.selections, fork)
        ones = tuple(
            self.record(branch.target, branch.selected, branch.way)
            for branch in branches.open(selected)
        )
        missed = branches.note_of(scan.object) if len(ones) < len(fork.ways) else None
        return Fork(selected.key, local, ones, missed)

    def _empty(self, selected: Selected) -> ListPlan:
        """Plan a connection that is empty for every parent because its link is masked."""
        connection = selected.object_type
        parts = []
        for each in self.selections.of(connection, selected.nodes):
            part = Part(each.key, each.name, type_name=connection.name)
            if each.name == "pageInfo":
                part.names = self._names(each)
            elif each.name == "aggregate":
                part.aggregate = empty_aggregate(self.selections, each)
            parts.append(part)
        return ListPlan(parts, None, None, 0, False, (), b"")


def _cut_off(scan: Scan, name: str, masked: MaskedFieldError) -> AccessNote:
    """Return the note of a relation whose link may not be read."""
    reason = f"needs {masked.note.coordinate}: {masked.note.reason}"
    return AccessNote(f"{scan.object.type_name}.{name}", "masked", reason, masked.note.source)


def page_binding(principal: Principal, type_name: str, way: str, narrowing: Narrowing) -> bytes:
    """Return what the cursors of a list belong to: who asks, and for what."""
    return orjson.dumps(
        [
            *(principal.tenant, principal.email, type_name, way, narrowing.where),
            *(narrowing.order_by, narrowing.search, narrowing.distinct_on),
        ]
    )


def _cursor_columns(columns: Columns, order: Sequence[SortKey]) -> tuple[str, ...]:
    # As text with full precision: the answer's own form of a timestamp ends at milliseconds.
    return tuple(
        columns.add(
            key.expression
            if COLUMN_TYPES[key.field.scalar] == "VARCHAR"
            else Call("text", (key.expression,)),
            None if key.is_tie else (key.field.name, "text"),
        )
        for key in order
    )
