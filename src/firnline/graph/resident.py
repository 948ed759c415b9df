"""Answers pages from columns in memory where a page is simple enough; DuckDB answers the rest.

Takes planned statements; the loader receives their rows, or None and asks DuckDB. A page is simple
when it filters by plain comparisons of its own fields and sorts by its own fields. Everything is
computed through scans, so values, memberships and row filters are those that DuckDB would give,
and is kept for as long as the data versions it was computed from are current.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from firnline.access.decisions import Decisions
from firnline.access.model import (
    AllOf,
    AnyOf,
    Everything,
    Listed,
    ObjectAccess,
    RowRule,
    SourceAccess,
    Via,
    ViaChild,
)
from firnline.cache.query import Call, Order
from firnline.cache.render import render
from firnline.cache.resident import Coded, LinkIndex, Mask, Positions, compared, in_order
from firnline.catalog.conditions import COLUMN_TYPES, bound
from firnline.catalog.mapping import path_steps, source_paths
from firnline.catalog.model import ScalarName
from firnline.catalog.relative_time import is_relative
from firnline.graph.request import GraphContext
from firnline.graph.rows import Rows
from firnline.graph.scan import Aliases, Scan
from firnline.graph.shape import GraphField, GraphObject
from firnline.graph.statements import PARENT, AggregateStatement, Outline, Statement, answered
from firnline.spec.model import When

Fetch = Callable[[str, Sequence[Any]], Any]
Versions = Mapping[tuple[str, str], int]
SortSpec = tuple[tuple[str, str], ...]  # (field, direction)
_MASKS_MAX = 32  # comparisons remembered per object, such as status = "open"
_UNSORTED = frozenset({"json", "strings", "time"})


class _Unfit(Exception):
    """The page needs DuckDB."""


@dataclass(slots=True)
class _Table:
    """One graph object in one data version, rows in order of key."""

    count: int
    keys: Any  # pyarrow.Array
    columns: dict[Any, Any] = field(default_factory=dict)
    codes: dict[Any, Coded] = field(default_factory=dict)
    indexes: dict[Any, LinkIndex] = field(default_factory=dict)
    orders: dict[Any, Positions] = field(default_factory=dict)
    visible: dict[Any, Mask] = field(default_factory=dict)
    masks: OrderedDict[Any, Mask] = field(default_factory=OrderedDict)

    @property
    def nbytes(self) -> int:
        held = [self.keys, *self.columns.values(), *self.codes.values(), *self.indexes.values()]
        held += [*self.orders.values(), *self.visible.values(), *self.masks.values()]
        return sum(int(each.nbytes) for each in held)


class ResidentTables:
    """The columns of all tenants, within one memory budget; the least used go first."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._tables: OrderedDict[Any, _Table] = OrderedDict()
        self._building = threading.Lock()

    def reader(self, context: GraphContext, fetch: Fetch, versions: Versions) -> ResidentReader:
        """Return what one request reads through."""
        return ResidentReader(self, context, fetch, versions)

    def table(self, slot: Any, build: Callable[[], _Table]) -> _Table:
        """Return the table of `slot`, built when absent."""
        with self._building:
            table = self._tables.get(slot)
            if table is None:
                table = self._tables[slot] = build()
                # The same object in an older version serves nobody any more.
                for other in [old for old in self._tables if old[:2] == slot[:2] and old != slot]:
                    del self._tables[other]
            self._tables.move_to_end(slot)
            return table

    def trim(self) -> None:
        """Give up the least used tables until the budget is kept."""
        with self._building:
            held = sum(table.nbytes for table in self._tables.values())
            while held > self._budget_bytes and len(self._tables) > 1:
                _, dropped = self._tables.popitem(last=False)
                held -= dropped.nbytes


class ResidentReader:
    """Answers the simple pages of one request."""

    def __init__(
        self, tables: ResidentTables, context: GraphContext, fetch: Fetch, versions: Versions
    ) -> None:
        self._tables = tables
        self._context = context
        self._fetch = fetch
        self._versions = versions

    def page(self, statement: Statement, keys: Sequence[str] | None) -> Rows | None:
        """Return the rows of a page for the parents `keys`, None when DuckDB has to answer."""
        outline = statement.outline
        if outline is None or outline.is_complex or statement.scan.denied is not None:
            return None
        if set(statement.columns.named) - {PARENT} - set(statement.columns.origins):
            return None
        try:
            view = _View(self, statement.scan.object)
            return view.page(statement, outline, keys)
        except (_Unfit, pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return None

    def totals(self, statement: AggregateStatement, keys: Sequence[str] | None) -> Rows | None:
        """Return the counts of an aggregate that counts only, None when DuckDB has to answer."""
        outline = statement.outline
        if outline is None or outline.is_complex or statement.scan.denied is not None:
            return None
        counts = [name for name, each in statement.columns.named.items() if name != PARENT]
        if any(statement.columns.named[name] != Call("count", ()) for name in counts):
            return None
        try:
            view = _View(self, statement.scan.object)
            return view.counts(counts, outline, keys)
        except (_Unfit, pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return None


class _View:
    """One graph object as one principal may see it."""

    def __init__(self, reader: ResidentReader, found: GraphObject) -> None:
        self._reader = reader
        self._context = reader._context
        self._object = found
        if found.where:
            raise _Unfit  # membership may depend on the moment
        self._free = _unrestricted(self._context, found)
        base = (found.connection, found.source.name)
        slot = (
            self._context.tenant,
            found.type_name,
            self._context.graph.version,
            reader._versions.get(base),
        )
        self._table = reader._tables.table(slot, self._build)

    def page(
        self, statement: Statement, outline: Outline, keys: Sequence[str] | None
    ) -> Rows | None:
        self._load(
            [*statement.columns.origins.values(), *((name, "raw") for name in _coded(outline))]
        )
        mask = self._mask(outline)
        if keys is None:
            order = self._order(outline.order)
            chosen = order[mask[order]][: statement.limit]
            parents: list[str] = []
        else:
            chosen, parents = self._related(outline, keys, mask, statement.limit)
        picked = pa.array(chosen)
        columns: dict[str, list[Any]] = {
            name: self._column(*origin).take(picked).to_pylist()
            for name, origin in statement.columns.origins.items()
        }
        if keys is not None:
            columns[PARENT] = parents
        return Rows(columns, len(chosen))

    def counts(
        self, names: Sequence[str], outline: Outline, keys: Sequence[str] | None
    ) -> Rows | None:
        self._load([(name, "raw") for name in _coded(outline)])
        mask = self._mask(outline)
        if keys is None:
            return Rows({name: [int(mask.sum())] for name in names}, 1)
        held = replace(outline, order=())
        _, parents = self._related(held, keys, mask, None)
        counted: dict[str, int] = {}
        for parent in parents:
            counted[parent] = counted.get(parent, 0) + 1
        columns: dict[str, list[Any]] = {name: list(counted.values()) for name in names}
        columns[PARENT] = list(counted)
        return Rows(columns, len(counted))

    def _related(
        self, outline: Outline, keys: Sequence[str], mask: Mask, limit: int | None
    ) -> tuple[Positions, list[str]]:
        assert outline.link is not None
        self._load([(outline.link, "link")])
        link = self._codes(outline.link, "link")
        index = self._index(outline.link, link, outline.order)
        groups, parents = [], []
        for key, code in zip(keys, link.codes_of(keys), strict=True):
            if code < 0:
                continue
            rows = index.group(code)
            rows = rows[mask[rows]][:limit]
            if len(rows):
                groups.append(rows)
                parents += [key] * len(rows)
        return (np.concatenate(groups) if groups else np.empty(0, np.int64)), parents

    def _mask(self, outline: Outline) -> Mask:
        mask = self._visible()
        for name, operator, value in outline.filters:
            mask = mask & self._compared(name, operator, self._operand(name, operator, value))
        return mask

    def _compared(self, name: str, operator: str, operand: Any) -> Mask:
        kept = tuple(operand) if isinstance(operand, list) else operand
        slot = (name, operator, kept, self._signature(name))
        found = self._table.masks.get(slot)
        if found is None:
            found = compared(self._codes(name, "raw"), operator, operand)
            if found is None:
                raise _Unfit
            self._table.masks[slot] = found
            if len(self._table.masks) > _MASKS_MAX:
                self._table.masks.popitem(last=False)
        return found

    def _operand(self, name: str, operator: str, value: Any) -> Any:
        scalar = self._object.fields[name].scalar
        if operator == "isNull":
            return value
        if operator in ("in", "notIn"):
            return [_native(each, scalar, self._context.now) for each in value]
        return _native(value, scalar, self._context.now)

    def _visible(self) -> Mask:
        access = self._context.decisions.object(self._object.connection, self._object.source.name)
        rule = access.rows
        depends = frozenset(
            (name, self._reader._versions.get((self._object.connection, name)))
            for name in _objects_of(rule)
        )
        slot = (rule, depends)
        mask = self._table.visible.get(slot)
        if mask is None:
            mask = np.ones(self._table.count, np.bool_)
            if not isinstance(rule, Everything):
                context = replace(self._context, notes={}, objects_read=set())
                scan = Scan(context, self._object, Aliases())
                keys = self._rows(scan, [("k", scan.key(self._object.key))]).column("k")
                seen = pc.is_in(self._table.keys, value_set=keys.combine_chunks())
                mask = seen.to_numpy(zero_copy_only=False)
            self._table.visible[slot] = mask
        return mask

    def _order(self, sort: SortSpec) -> Positions:
        slot = (sort, *(self._signature(name) for name, _ in sort))
        if slot not in self._table.orders:
            self._table.orders[slot] = in_order(self._ranks(sort), self._table.count)
        return self._table.orders[slot]

    def _index(self, name: str, link: Coded, sort: SortSpec) -> LinkIndex:
        named = (name, *(each for each, _ in sort))
        slot = (name, sort, *(self._signature(each) for each in named))
        if slot not in self._table.indexes:
            self._table.indexes[slot] = LinkIndex.of(link, self._ranks(sort))
        return self._table.indexes[slot]

    def _ranks(self, sort: SortSpec) -> list[Any]:
        return [
            self._codes(name, "raw").ranks(
                descending=direction.startswith("DESC"),
                nulls_first=direction.endswith("NULLS_FIRST"),
            )
            for name, direction in sort
        ]

    def _codes(self, name: str, form: str) -> Coded:
        slot = (name, form, self._signature(name))
        if slot not in self._table.codes:
            self._table.codes[slot] = Coded.of(self._column(name, form))
        return self._table.codes[slot]

    def _column(self, name: str, form: str) -> Any:
        return self._table.columns[name, form, self._signature(name)]

    def _load(self, wanted: Sequence[tuple[str, str]]) -> None:
        """Compute the columns that are not there yet, in one statement per kind of rights."""
        missing: dict[bool, list[tuple[str, str]]] = {}
        for name, form in dict.fromkeys(wanted):
            if (name, form, self._signature(name)) not in self._table.columns:
                missing.setdefault(bool(self._signature(name)), []).append((name, form))
        for is_personal, columns in missing.items():
            context = self._personal() if is_personal else self._free
            scan = Scan(context, self._object, Aliases())
            selected = [
                (f"c{number}", _formed(scan, name, form))
                for number, (name, form) in enumerate(columns)
            ]
            table = self._rows(scan, selected)
            if table.num_rows != self._table.count:
                raise _Unfit
            for number, (name, form) in enumerate(columns):
                column = table.column(f"c{number}").combine_chunks()
                self._table.columns[name, form, self._signature(name)] = column
            self._reader._tables.trim()

    def _build(self) -> _Table:
        scan = Scan(self._free, self._object, Aliases())
        keys = self._rows(scan, [("k", scan.key(self._object.key))]).column("k").combine_chunks()
        if keys.null_count or len(keys.unique()) != len(keys):
            raise _Unfit  # without distinct keys columns cannot be lined up
        return _Table(len(keys), keys)

    def _rows(self, scan: Scan, columns: Sequence[tuple[str, Any]]) -> Any:
        key = scan.key(self._object.key)
        select = scan.select(tuple(columns), []).but(order_by=(Order(key),))
        return self._reader._fetch(*render(select))

    def _signature(self, name: str) -> Any:
        """Return what else than the object's own data a field's values depend on."""
        declared = self._object.fields[name]
        _check_time(declared)
        steps = [path_steps(self._object.source, path) for path in source_paths(declared.mapping)]
        if all(len(each) == 1 for each in steps):
            return ()
        versions = tuple(
            version
            for (owner, _), version in sorted(self._reader._versions.items())
            if owner == self._object.connection
        )
        joined = list(self._joined(steps))
        if all(isinstance(access.rows, Everything) and access.readable for access in joined):
            return versions  # the same for everybody
        return (self._context.decisions.fingerprint, versions)

    def _joined(self, paths: Sequence[Sequence[str]]) -> Iterator[ObjectAccess]:
        catalog = self._context.graph.catalogs[self._object.connection]
        for steps in paths:
            owner = self._object.source
            for step in steps[:-1]:
                reference = owner.by_name[step].reference
                assert reference is not None
                owner = next(catalog.by_name[t] for t in reference.targets if t in catalog.by_name)
                yield self._context.decisions.object(self._object.connection, owner.name)

    def _personal(self) -> GraphContext:
        """Return a context with all rows of this object, but the principal's of all others."""
        decisions = self._context.decisions
        connection = self._object.connection
        source = decisions.sources[connection]
        objects = {**source.objects, self._object.source.name: _everything()}
        return _with(
            self._context,
            {**decisions.sources, connection: SourceAccess(source.user_key, "", objects)},
        )


def _formed(scan: Scan, name: str, form: str) -> Any:
    scalar = scan.object.fields[name].scalar
    match form:
        case "answer":
            return answered(scan.field(name), scalar)
        case "link":
            return scan.key(name)
        case "text":
            value = scan.field(name)
            return value if COLUMN_TYPES[scalar] == "VARCHAR" else Call("text", (value,))
        case _:
            return scan.field(name)


def _coded(outline: Outline) -> list[str]:
    return [name for name, _, _ in outline.filters] + [name for name, _ in outline.order]


def _native(value: Any, scalar: ScalarName, now: datetime) -> Any:
    text = bound(value, scalar, now).value
    try:
        match scalar:
            case "date":
                return date.fromisoformat(text)
            case "timestamp":
                return datetime.fromisoformat(text)
            case "decimal":
                return Decimal(text)
            case "bool":
                return int(text)
            case _:
                return text
    except (ValueError, InvalidOperation) as error:
        raise _Unfit from error


def _check_time(declared: GraphField) -> None:
    """Raise _Unfit for a field whose value changes with the clock."""
    if declared.scalar in _UNSORTED and not isinstance(declared.mapping, When):
        return
    if isinstance(declared.mapping, When):
        for operators in declared.mapping.when.values():
            for value in operators.values():
                several = value if isinstance(value, list | tuple) else [value]
                if any(isinstance(each, str) and is_relative(each) for each in several):
                    raise _Unfit


def _objects_of(rule: RowRule) -> Iterator[str]:
    match rule:
        case AnyOf(rules) | AllOf(rules):
            for each in rules:
                yield from _objects_of(each)
        case Listed():
            yield rule.object
        case Via(_, target, inner) | ViaChild(target, _, inner):
            yield target
            yield from _objects_of(inner)
        case _:
            return


def _everything() -> ObjectAccess:
    return ObjectAccess(readable=True, reason="", rows=Everything())


def _unrestricted(context: GraphContext, found: GraphObject) -> GraphContext:
    catalog = context.graph.catalogs[found.connection]
    objects = {each.name: _everything() for each in catalog.objects}
    return _with(context, {found.connection: SourceAccess("*", "", objects)})


def _with(context: GraphContext, sources: Mapping[str, SourceAccess]) -> GraphContext:
    decisions = context.decisions
    freed = Decisions(
        sources=sources,
        catalogs=decisions.catalogs,
        columns=decisions.columns,
        stored=decisions.stored,
    )
    return replace(context, decisions=freed, notes={}, objects_read=set())
