"""Levels: the skeleton of a plan that columns in memory can answer, free of one request's parts.

Takes planned lists and records; `answers` answers them, and compiled keeps them to be asked
again with other values of the same variables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import orjson

from firnline.access.principal import Principal
from firnline.graph.memory.criteria import Criterion, Operand, Values, operands_of, with_values
from firnline.graph.narrowing import Narrowing
from firnline.graph.plan import (
    Child,
    Compound,
    Fork,
    Leaf,
    ListPlan,
    Part,
    RecordPlan,
    RecordSelection,
    page_binding,
)
from firnline.graph.shape import GraphObject
from firnline.graph.statements import PARENT, AggregateStatement, Columns, Outline
from firnline.graph.totals import AggregateShape, is_summed_up

Origin = tuple[str, str]  # (field, form)
SortSpec = tuple[tuple[str, str], ...]  # (field, direction)
_KINDS = frozenset({"nodes", "edges", "pageInfo", "totalCount", "aggregate", "__typename"})


@dataclass(frozen=True, slots=True)
class Value:
    """One response key of a run: read from a column, else `constant` for every record."""

    key: str
    origin: Origin | None
    constant: str | None = None
    is_json: bool = False
    members: tuple[Value, ...] | None = None  # of a compound


@dataclass(frozen=True, slots=True)
class Run:
    """Values that follow each other in a record."""

    values: tuple[Value, ...]
    names: tuple[str, ...]  # of the fields read


@dataclass(frozen=True, slots=True)
class Related:
    """A related record or list, found by the parent's link in column `local`.

    With neither `one` nor `many` it is null for every parent, or `entry` has to be asked of DuckDB.
    """

    prefix: bytes
    local: Origin | None
    entry: Child | Fork | None = None
    one: RecordLevel | None = None
    many: Level | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """What is asked of each record, in response order."""

    members: tuple[Run | Related, ...]

    @property
    def related(self) -> list[Related]:
        """Return the relations asked for."""
        return [member for member in self.members if isinstance(member, Related)]


@dataclass(frozen=True, slots=True)
class RecordLevel:
    """At most one record of an object per key; `object` None: nothing to see."""

    object: GraphObject | None
    record: Record
    link: str | None
    filters: tuple[Operand, ...] = ()


@dataclass(frozen=True, slots=True)
class LevelPart:
    """One response key of a connection."""

    prefix: bytes
    kind: str
    record: Record | None = None
    names: tuple[tuple[str, str], ...] = ()  # response key, field
    nodes: tuple[tuple[str, Record], ...] = ()  # of edges, by response key
    type_name: str = ""
    aggregate: AggregateShape | None = None

    @property
    def records(self) -> list[Record]:
        """Return what is asked of each record, once per place where records stand."""
        own = [self.record] if self.record else []
        return own + [record for _, record in self.nodes]


@dataclass(frozen=True, slots=True)
class Level:
    """A list, of the root or per parent; `object` None: nothing to see."""

    object: GraphObject | None
    parts: tuple[LevelPart, ...]
    filters: tuple[Operand, ...] = ()
    order: SortSpec = ()
    first: int = 0
    link: str | None = None
    cursor: tuple[Origin, ...] = ()
    way: str = ""
    narrowing: Narrowing | None = None
    criteria: tuple[Criterion, ...] = ()

    @property
    def wants_rows(self) -> bool:
        """Say whether more than a count is asked for."""
        return any(part.kind in ("nodes", "edges", "pageInfo") for part in self.parts)

    @property
    def aggregates(self) -> list[AggregateShape]:
        """Return what is asked of all records, whatever the page shows."""
        return [part.aggregate for part in self.parts if part.aggregate is not None]

    def binding(self, principal: Principal, values: Values | None) -> bytes:
        """Return what cursors of this list belong to."""
        assert self.narrowing is not None and self.object is not None
        narrowing = self.narrowing
        if values:
            operands = operands_of((*self.filters, *self.criteria))
            where = with_values(narrowing.where, operands, values)
            narrowing = replace(narrowing, where=where)
        return page_binding(principal, self.object.type_name, self.way, narrowing)


def level_of(plan: ListPlan) -> Level | None:
    """Return the level of a planned list, None when DuckDB has to answer it."""
    if any(part.kind not in _KINDS for part in plan.parts):
        return None
    statements = [each for each in (plan.page, plan.totals) if each is not None]
    if any(each.scan.is_at_source for each in statements):
        return None  # what the source says is asked anew each time
    origins = plan.page.columns.origins if plan.page is not None else {}
    parts = tuple(_part(part, origins) for part in plan.parts)
    if not statements or any(each.scan.denied is not None for each in statements):
        return Level(None, parts)
    if plan.page is not None and not _is_plain(plan.page.outline, plan.page.columns):
        return None
    if plan.totals is not None and not _is_totalled(plan.totals, plan.parts):
        return None
    outline = statements[0].outline
    assert outline is not None
    return Level(
        object=statements[0].scan.object,
        parts=parts,
        filters=outline.filters,
        criteria=outline.criteria,
        order=outline.order,
        first=plan.first,
        link=outline.link,
        cursor=tuple(origins[name] for name in plan.cursor_columns),
        way=plan.way,
        narrowing=plan.narrowing,
    )


def record_level_of(plan: RecordPlan) -> RecordLevel | None:
    """Return the level of a planned record, None when DuckDB has to answer it."""
    statement = plan.statement
    if statement.scan.is_at_source:
        return None
    record = _record(plan.selection, statement.columns.origins)
    if statement.scan.denied is not None:
        return RecordLevel(None, record, None)
    outline = statement.outline
    if not _is_plain(outline, statement.columns):
        return None
    assert outline is not None
    return RecordLevel(statement.scan.object, record, outline.link, outline.filters)


def records_of(level: Level | RecordLevel) -> list[Record]:
    """Return what is asked of each record of a level, once per place where records stand."""
    if isinstance(level, RecordLevel):
        return [level.record]
    return [record for part in level.parts for record in part.records]


def origins_in(values: Iterable[Value]) -> list[Origin]:
    """Return what values, and those within compounds, are read from."""
    found: list[Origin] = []
    for value in values:
        if value.members is not None:
            found += origins_in(value.members)
        elif value.origin is not None and value.constant is None:
            found.append(value.origin)
    return found


def operands_in(level: Level | RecordLevel) -> Iterator[Operand]:
    """Yield the operands of a level and of all levels below."""
    yield from level.filters
    if isinstance(level, Level):
        yield from operands_of(level.criteria)
    for record in records_of(level):
        for related in record.related:
            below = related.one or related.many
            if below is not None:
                yield from operands_in(below)


def is_whole(level: Level | RecordLevel) -> bool:
    """Say whether nothing below a level needs DuckDB."""
    return all(_is_answered(each) for record in records_of(level) for each in record.related)


def _is_answered(related: Related) -> bool:
    below = related.one or related.many
    return related.entry is None if below is None else is_whole(below)


def _is_plain(outline: Outline | None, columns: Columns) -> bool:
    if outline is None or outline.is_complex:
        return False
    return not set(columns.named) - {PARENT} - set(columns.origins)


def _is_totalled(totals: AggregateStatement, parts: Iterable[Part]) -> bool:
    if totals.outline is None or totals.outline.is_complex:
        return False
    shapes = [part.aggregate for part in parts if part.aggregate is not None]
    return all(is_summed_up(each, totals.scan.object) for each in shapes)


def _record(selection: RecordSelection, origins: Mapping[str, Origin]) -> Record:
    members: list[Run | Related] = []
    run: list[Value] = []
    for entry in selection.entries:
        if isinstance(entry, Leaf | Compound):
            run.append(_value(entry, origins))
            continue
        if run:
            members.append(_run(run))
            run = []
        members.append(_related(entry, origins))
    if run:
        members.append(_run(run))
    return Record(tuple(members))


def _value(entry: Leaf | Compound, origins: Mapping[str, Origin]) -> Value:
    if isinstance(entry, Leaf):
        origin = None if entry.column is None else origins.get(entry.column)
        return Value(entry.key, origin, entry.constant, entry.is_json)
    members = (each for each in entry.selection.entries if isinstance(each, Leaf | Compound))
    return Value(entry.key, None, members=tuple(_value(each, origins) for each in members))


def _run(values: list[Value]) -> Run:
    return Run(tuple(values), tuple(dict.fromkeys(name for name, _ in origins_in(values))))


def _related(entry: Child | Fork, origins: Mapping[str, Origin]) -> Related:
    local = None if entry.local is None else origins.get(entry.local)
    prefix = orjson.dumps(entry.key) + b":"
    if entry.local is None and not (isinstance(entry, Child) and entry.many):
        return Related(prefix, None)  # the link is withheld: nothing can be found
    if isinstance(entry, Fork):
        return Related(prefix, local, entry)
    one = None if entry.one is None else record_level_of(entry.one)
    many = None if entry.many is None else level_of(entry.many)
    return Related(prefix, local, None if one or many else entry, one, many)


def _part(part: Part, origins: Mapping[str, Origin]) -> LevelPart:
    return LevelPart(
        prefix=orjson.dumps(part.key) + b":",
        kind=part.kind,
        record=None if part.selection is None else _record(part.selection, origins),
        names=tuple(part.names.items()),
        nodes=tuple((key, _record(selection, origins)) for key, selection in part.node_keys),
        type_name=part.type_name,
        aggregate=part.aggregate,
    )
