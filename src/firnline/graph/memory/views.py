"""Columns in memory: finds the records of simple lists without DuckDB.

Takes a request's context and its snapshot; `answers` answers lists and records through a
`View` per object. A list is simple when it filters by plain comparisons of its own fields and
sorts by its own fields. Everything is computed through scans, so values, memberships and row
filters are those that DuckDB would give, and is kept for as long as the data versions it was
computed from are current.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from firnline.access.decisions import Decisions
from firnline.access.model import (
    Everything,
    ObjectAccess,
    SourceAccess,
    objects_of,
)
from firnline.cache.query import Bound, Call, Order
from firnline.cache.render import render
from firnline.cache.resident import (
    Coded,
    Codes,
    Comparison,
    LinkIndex,
    Mask,
    Positions,
    in_order,
)
from firnline.catalog.conditions import COLUMN_TYPES, bound
from firnline.catalog.mapping import find_path, path_steps, source_paths
from firnline.catalog.model import ScalarName
from firnline.graph.filter import operated
from firnline.graph.memory.levels import SortSpec
from firnline.graph.memory.tables import ResidentTables, Table
from firnline.graph.moments import bounds_of, is_timeless
from firnline.graph.policy.binding import ruling_on
from firnline.graph.request import GraphContext
from firnline.graph.scan import Aliases, Scan
from firnline.graph.shape import GraphField, GraphObject
from firnline.graph.statements import answered

Fetch = Callable[[str, Sequence[Any]], Any]
Versions = Mapping[tuple[str, str], int]
_FEW = 8  # an eighth of the rows are few
_SMALL = 2_000  # rows: more are worked on in a thread, not on the event loop


class UnfitError(Exception):
    """DuckDB has to answer this."""


class UnloadedError(UnfitError):
    """Columns in memory could answer this, but are not there yet."""


class ResidentReader:
    """Finds the records of one request's simple lists.

    Unless it `may_load`, what is not in memory yet raises UnloadedError. `require_thread` raises
    where long work would hold others up: on the event loop.
    """

    def __init__(
        self,
        tables: ResidentTables,
        context: GraphContext,
        fetch: Fetch,
        versions: Versions,
        *,
        may_load: bool = True,
        require_thread: Callable[[], None] = lambda: None,
    ) -> None:
        self.tables = tables
        self.context = context
        self.fetch = fetch
        self.versions = versions
        self.may_load = may_load
        self.require_thread = require_thread
        self._views: dict[str, View] = {}

    def view(self, found: GraphObject) -> View:
        """Return an object as the principal may see it; raises UnfitError."""
        view = self._views.get(found.type_name)
        if view is None:
            view = self._views[found.type_name] = View(self, found)
        return view


class View:
    """One graph object as one principal may see it."""

    def __init__(self, reader: ResidentReader, found: GraphObject) -> None:
        self._reader = reader
        self._context = reader.context
        self._object = found
        self._signatures: dict[str, Any] = {}
        self._ruling = ruling_on(found, self._context.decisions)
        is_lasting = is_timeless(found.where) and self._ruling.is_timeless
        is_at_source = found.type_name in self._context.decisions.at_source
        if not is_lasting or self._ruling.denied or is_at_source:
            raise UnfitError
        # Other objects that decide which records are members: the answer depends on them, too.
        paths = (path_steps(found.source, path) for path in found.where)
        self._deciding = frozenset(self._joined_names(paths))
        self._context.objects_read.update((found.connection, name) for name in self._deciding)
        slot = (
            self._context.tenant,
            found.type_name,
            self._context.graph.version,
            reader.versions.get((found.connection, found.source.name)),
            self._connection_versions if found.where else (),
        )
        self.table = reader.tables.table(slot, self._build)

    def scalar(self, name: str) -> ScalarName:
        """Return a field's type."""
        return self._object.fields[name].scalar

    @cached_property
    def sight(self) -> Hashable:
        """Return what decides which rows the principal sees, None when that is all of them."""
        access = self._context.decisions.object(self._object.connection, self._object.source.name)
        rule, ruling = access.rows, self._ruling
        if isinstance(rule, Everything) and not self._object.where and not ruling.rows:
            return None
        depends = frozenset(
            (name, self._reader.versions.get((self._object.connection, name)))
            for name in objects_of(rule)
        )
        ruled = frozenset((each, self._reader.versions.get(each)) for each in ruling.reads)
        if not self._object.where:
            return (rule, depends, ruling.facts, ruled)
        # Members are told by other fields, which not everybody under the same rule may read, or
        # by other records, which not everybody sees.
        decisions = self._context.decisions
        rights = decisions.fingerprint if self._deciding else decisions.fields_fingerprint
        return (rule, depends, ruling.facts, ruled, self._connection_versions, rights)

    @cached_property
    def visible(self) -> Mask | None:
        """Return which rows the principal sees, None for all."""
        slot = self.sight
        if slot is None:
            return None
        mask = self.table.visible.get(slot)
        if mask is None:
            self._begin()
            context = replace(self._context, notes={}, objects_read=set())
            scan = Scan(context, self._object, Aliases())
            keys = self._rows(scan, [("k", scan.key(self._object.key))]).column("k")
            if context.notes:
                raise UnfitError  # what decides membership may not be known: DuckDB's path says so
            seen = pc.is_in(self.table.keys, value_set=keys.combine_chunks())
            mask = self.table.visible.put_first(slot, seen.to_numpy(zero_copy_only=False))
        return mask

    def comparison(self, name: str, operator: str, value: Any) -> Comparison:
        """Return `field operator value`; raises ConditionError, FilterError or UnfitError."""
        declared = self._object.fields[name]
        coded = self.codes(name, "raw")
        return self.compared(coded, declared.scalar, operator, value, words_of=declared)

    def compared(
        self,
        coded: Coded,
        scalar: ScalarName,
        operator: str,
        value: Any,
        *,
        words_of: GraphField | None = None,
    ) -> Comparison:
        """Return `coded operator value`; raises ConditionError, FilterError or UnfitError."""
        now = self._context.now
        nothing = Bound(None, COLUMN_TYPES[scalar])
        # What a filter refuses is refused here, too.
        operated(nothing, scalar, operator, value, now, words_of=words_of)
        try:
            found = Comparison.of(coded, operator, _operand(scalar, operator, value, now))
        except (pa.ArrowException, TypeError, OverflowError) as error:
            raise UnfitError from error
        if found is None:
            raise UnfitError
        return found

    def order(self, sort: SortSpec) -> Positions:
        """Return all rows in an order."""
        slot = (sort, *(self.signature(name) for name, _ in sort))
        found = self.table.orders.get(slot)
        if found is None:
            self._begin()
            ranks = self._ranks(sort)
            found = self.table.orders.put_first(slot, in_order(ranks, self.table.count))
        return found

    def few(self, sort: SortSpec) -> Positions | None:
        """Return the rows that the principal sees, in an order; None where they are not few.

        Whoever sees little would otherwise look through everybody's rows for them.
        """
        visible = self.visible
        if visible is None or np.count_nonzero(visible) * _FEW > self.table.count:
            return None
        slot = (sort, self.sight, *(self.signature(name) for name, _ in sort))
        found = self.table.few.get(slot)
        if found is None:
            if self.table.count > _SMALL:
                self._reader.require_thread()
            rows = np.flatnonzero(visible).astype(np.int32)
            ranks = [each[rows] for each in self._ranks(sort)]
            found = self.table.few.put_first(slot, rows[in_order(ranks, len(rows))])
        return found

    def index(self, name: str, form: str, sort: SortSpec) -> LinkIndex:
        """Return the rows by a field's value, in an order within each value."""
        named = (name, *(each for each, _ in sort))
        slot = (name, form, sort, *(self.signature(each) for each in named))
        found = self.table.indexes.get(slot)
        if found is None:
            self._begin()
            link, ranks = self.codes(name, form), self._ranks(sort)
            found = self.table.indexes.put_first(slot, LinkIndex.of(link, ranks))
        return found

    def by_key(self, name: str) -> Positions | None:
        """Return the one row of each code of a link, None where several rows have the same."""
        index = self.index(name, "link", ())
        rows = index.rows[index.starts[0] :]
        return rows if len(rows) == len(index.starts) - 1 else None

    def crossing(self, name: str, form: str, other: View, link: str) -> Codes:
        """Return, for each row, the code that its field `name` has in the other's field `link`."""
        theirs = other.codes(link, "link")
        versions = self.signature(name), other.table.serial, other.signature(link)
        slot = (name, form, other._object.type_name, link, *versions)
        found = self.table.crossings.get(slot)
        if found is None:
            column = self.column(name, form)
            self._begin()
            found = self.table.crossings.put_first(slot, theirs.codes_in(column))
        return found

    def codes(self, name: str, form: str) -> Coded:
        """Return a field's codes."""
        slot = (name, form, self.signature(name))
        found = self.table.codes.get(slot)
        if found is None:
            column = self.column(name, form)
            self._begin()
            found = self.table.codes.put_first(slot, Coded.of(column))
        return found

    def column(self, name: str, form: str) -> Any:
        """Return a field's values in a form: "raw", "answer", "link" or "text"."""
        slot = (name, form, self.signature(name))
        found = self.table.columns.get(slot)
        if found is None:
            self.load([(name, form)])
            found = self.table.columns.get(slot)
            if found is None:
                raise UnfitError
        return found

    def texts(self, entries: Hashable, names: Sequence[str]) -> dict[int, bytes]:
        """Return the rows rendered so far of one selection, which reads the fields `names`."""
        slot = (entries, *(self.signature(name) for name in names))
        found = self.table.texts.get(slot)
        return found if found is not None else self.table.texts.put_first(slot, {})

    def wrote(self, texts: Sequence[bytes]) -> None:
        """Count texts that were added."""
        self._reader.tables.wrote(self.table, sum(map(len, texts)), len(texts))

    def load(self, wanted: Sequence[tuple[str, str]]) -> None:
        """Compute the columns that are not there yet, in one statement per kind of rights."""
        missing: dict[bool, list[tuple[str, str]]] = {}
        for name, form in dict.fromkeys(wanted):
            if self.table.columns.get((name, form, self.signature(name))) is None:
                missing.setdefault(bool(self.signature(name)), []).append((name, form))
        if missing:
            self._begin()
        for is_personal, columns in missing.items():
            context = self._personal() if is_personal else self._free
            scan = Scan(context, self._object, Aliases())
            selected = [
                (f"c{number}", _formed(scan, name, form))
                for number, (name, form) in enumerate(columns)
            ]
            table = self._rows(scan, selected)
            if table.num_rows != self.table.count:
                raise UnfitError
            for number, (name, form) in enumerate(columns):
                column = table.column(f"c{number}").combine_chunks()
                self.table.columns.put_first((name, form, self.signature(name)), column)
            self._reader.tables.trim()

    def _begin(self) -> None:
        """Raise where what is missing may not be computed now, or not here."""
        if not self._reader.may_load:
            raise UnloadedError
        if self.table.count > _SMALL:
            self._reader.require_thread()

    def _ranks(self, sort: SortSpec) -> list[Codes]:
        return [
            self.codes(name, "raw").ranks(
                descending=direction.startswith("DESC"),
                nulls_first=direction.endswith("NULLS_FIRST"),
            )
            for name, direction in sort
        ]

    def _build(self) -> Table:
        if not self._reader.may_load:
            raise UnloadedError
        scan = Scan(self._free, self._object, Aliases())
        keys = self._rows(scan, [("k", scan.key(self._object.key))]).column("k").combine_chunks()
        if keys.null_count or len(keys.unique()) != len(keys):
            raise UnfitError  # without distinct keys columns cannot be lined up
        return Table(len(keys), keys)

    def _rows(self, scan: Scan, columns: Sequence[tuple[str, Any]]) -> Any:
        key = scan.key(self._object.key)
        select = scan.select(tuple(columns), []).but(order_by=(Order(key),))
        return self._reader.fetch(*render(select))

    def signature(self, name: str) -> Any:
        """Return what else than the object's own data a field's values depend on."""
        found = self._signatures.get(name)
        if found is None:
            found = self._signatures[name] = self._signed(name)
        return found

    def _signed(self, name: str) -> Any:
        declared = self._object.fields[name]
        times = bounds_of(declared, self._source_scalar, self._context.now)
        if times is None:
            raise UnfitError
        if times:
            self._context.is_timeless = False
        times = (*times, *self._cell(name))
        steps = [path_steps(self._object.source, path) for path in source_paths(declared.mapping)]
        if all(len(each) == 1 for each in steps):
            return times
        joined = list(self._joined(steps))
        if all(isinstance(access.rows, Everything) and access.readable for access in joined):
            return (*times, *self._connection_versions)  # the same for everybody
        return (self._context.decisions.fingerprint, *times, *self._connection_versions)

    def _cell(self, name: str) -> tuple[Hashable, ...]:
        """Return what decides on which records the policy shows a field; nothing for all."""
        ruled = self._ruling.fields.get(name)
        if ruled is None:
            return ()
        if "read" in ruled.refused or not ruled.is_timeless:
            raise UnfitError
        if not ruled.rows:
            return ()
        reads = frozenset((each, self._reader.versions.get(each)) for each in ruled.reads)
        return (ruled.facts, reads)

    def _source_scalar(self, path: str) -> ScalarName:
        catalog = self._context.graph.catalogs[self._object.connection]
        return find_path(catalog, self._object.source.name, path).type

    @cached_property
    def _connection_versions(self) -> tuple[int, ...]:
        return tuple(
            version
            for (owner, _), version in sorted(self._reader.versions.items())
            if owner == self._object.connection
        )

    def _joined(self, paths: Sequence[Sequence[str]]) -> Iterator[ObjectAccess]:
        for name in self._joined_names(paths):
            yield self._context.decisions.object(self._object.connection, name)

    def _joined_names(self, paths: Iterable[Sequence[str]]) -> Iterator[str]:
        catalog = self._context.graph.catalogs[self._object.connection]
        for steps in paths:
            owner = self._object.source
            for step in steps[:-1]:
                reference = owner.by_name[step].reference
                assert reference is not None
                owner = next(catalog.by_name[t] for t in reference.targets if t in catalog.by_name)
                yield owner.name

    @cached_property
    def _free(self) -> GraphContext:
        """Return a context with everything of the connection."""
        catalog = self._context.graph.catalogs[self._object.connection]
        objects = {each.name: _everything() for each in catalog.objects}
        return _with(self._context, {self._object.connection: SourceAccess("*", "", objects)})

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
            return answered(scan.shown(name), scalar)
        case "link":
            return scan.key(name)
        case "text":
            value = scan.field(name)
            return value if COLUMN_TYPES[scalar] == "VARCHAR" else Call("text", (value,))
        case _:
            return scan.field(name)


def _operand(scalar: ScalarName, operator: str, value: Any, now: datetime) -> Any:
    if operator == "isNull":
        return value
    if operator in ("in", "notIn"):
        return [_native(each, scalar, now) for each in value]
    return _native(value, scalar, now)


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
        raise UnfitError from error


def _everything() -> ObjectAccess:
    return ObjectAccess(readable=True, reason="", rows=Everything())


def _with(context: GraphContext, sources: Mapping[str, SourceAccess]) -> GraphContext:
    decisions = context.decisions
    freed = Decisions(
        sources=sources,
        catalogs=decisions.catalogs,
        columns=decisions.columns,
        stored=decisions.stored,
        # All rows are read, but of each only what the policy shows to the principal.
        rulings=decisions.rulings,
        is_ruled=False,
    )
    return replace(context, decisions=freed, notes={}, objects_read=set())
