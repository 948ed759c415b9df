"""Follows one root field through planning and loading, level by level.

Takes the place of planner, loader and answers from memory in a request that is to be explained;
explain receives one tree per root field: what each level asks, where it was answered, how many
rows it gave, and the SQL where DuckDB was asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from firnline.cache.query import Select
from firnline.cache.render import render
from firnline.cache.resident import Picked, Positions
from firnline.cache.withheld import without_row_filters
from firnline.clock import Clock
from firnline.graph.explain.wording import filter_words, order_words, path_words, shown
from firnline.graph.federation import ENTITIES
from firnline.graph.loader import Loader
from firnline.graph.memory.answers import ResidentAnswers, Text
from firnline.graph.memory.levels import Level, Record, RecordLevel
from firnline.graph.memory.views import View
from firnline.graph.plan import (
    Child,
    Compound,
    Fork,
    Leaf,
    ListPlan,
    Planner,
    RecordPlan,
    RecordSelection,
)
from firnline.graph.rows import Rows
from firnline.graph.selection import Selected
from firnline.graph.shape import GraphObject, GraphRelation
from firnline.graph.statements import Statement

Plan = ListPlan | RecordPlan
MEMORY, DUCKDB = "memory", "duckdb"


@dataclass(slots=True)
class Step:
    """What one level asked and got."""

    key: str
    object: GraphObject
    relation: str
    arguments: Mapping[str, Any]
    sources: set[str] = field(default_factory=set)
    rows: int = 0
    statements: list[dict[str, Any]] = field(default_factory=list)


class Trace:
    """What became of one root field. One thread at a time follows it."""

    def __init__(self, clock: Clock, *, is_full: bool) -> None:
        self.clock = clock
        self.planning_s = 0.0
        self.loading_s = 0.0
        self.roots: list[Plan] = []
        self._is_full = is_full
        self._steps: dict[int, Step] = {}  # by plan: roots keep every plan alive
        self._levels: dict[int, Step] = {}  # by level in memory
        self._current: list[tuple[Plan, Step]] = []

    def planned(self, plan: Plan, step: Step) -> None:
        """Remember what a plan is about."""
        self._steps[id(plan)] = step

    @contextmanager
    def at(self, plan: Plan) -> Iterator[None]:
        """Take what is asked within the block for what this plan asks."""
        step = self._steps.get(id(plan))
        if step is None:  # a list that is empty for every parent, and asks nothing
            yield
            return
        self._current.append((plan, step))
        try:
            yield
        finally:
            self._current.pop()

    def asked(self, select: Select, rows: Rows, seconds: float) -> None:
        """Remember a statement that DuckDB answered."""
        sql, values = render(select if self._is_full else without_row_filters(select))
        _, step = self._current[-1]
        step.sources.add(DUCKDB)
        step.statements.append(
            {
                "sql": sql,
                "parameters": [shown(each) for each in values],
                "rows": rows.count,
                "milliseconds": round(seconds * 1000, 3),
            }
        )

    def gave(self, rows: int) -> None:
        """Add records that DuckDB gave."""
        self._current[-1][1].rows += rows

    def began(self, level: Level | RecordLevel) -> None:
        """Take a level in memory, and those below it, for what the current plan asks."""
        if self._current:
            self._matched(level, self._current[-1][0])

    def _matched(self, level: Level | RecordLevel, plan: Plan) -> None:
        step = self._steps.get(id(plan))
        if step is None:
            return
        self._levels[id(level)] = step
        # A level is made from its plan part by part: what stands at one place is the same.
        for record, selection in zip(_records(level), _selections(plan), strict=True):
            entries = [each for each in selection.entries if isinstance(each, Child | Fork)]
            for related, entry in zip(record.related, entries, strict=True):
                below = related.many or related.one
                if below is not None and isinstance(entry, Child):
                    planned = entry.many or entry.one
                    assert planned is not None
                    self._matched(below, planned)

    def remembered(self, counts: Mapping[int, int]) -> None:
        """Add the rows that memory gave, by level."""
        for level, rows in counts.items():
            step = self._levels.get(level)
            if step is not None:
                step.sources.add(MEMORY)
                step.rows += rows

    def answered_from(self) -> set[str]:
        """Return where anything was read."""
        return {source for step in self._steps.values() for source in step.sources}

    def fields(self) -> list[dict[str, Any]]:
        """Return each root as a tree."""
        return [self._node(plan) for plan in self.roots]

    def _node(self, plan: Plan) -> dict[str, Any]:
        step = self._steps[id(plan)]
        node: dict[str, Any] = {"key": step.key, "object": step.object.type_name}
        if step.relation:
            node["relation"] = step.relation
        node["tables"] = _tables(plan)
        node["fields"] = _fields(plan)
        node |= _asked(step.arguments)
        if isinstance(plan, ListPlan):
            node["parts"] = [part.kind for part in plan.parts if part.kind != "__typename"]
            node["limit"] = plan.first
        node["from"] = sorted(step.sources)
        node["rows"] = step.rows
        if step.statements:
            node["statements"] = step.statements
        below = [self._node(each) for each in _below(plan) if id(each) in self._steps]
        if below:
            node["below"] = below
        return node


@dataclass(slots=True)
class TracedPlanner(Planner):
    """A planner that tells what each plan is about."""

    trace: Trace = field(kw_only=True)

    def connection(
        self, found: GraphObject, selected: Selected, relation: GraphRelation | None = None
    ) -> ListPlan:
        """Plan a connection field."""
        with self._timed(is_nested=relation is not None):
            plan = Planner.connection(self, found, selected, relation)
        self._planned(plan, found, selected, relation)
        return plan

    def record(
        self, found: GraphObject, selected: Selected, relation: GraphRelation | None = None
    ) -> RecordPlan:
        """Plan a single record."""
        is_nested = relation is not None and relation.name != ENTITIES
        with self._timed(is_nested=is_nested):
            plan = Planner.record(self, found, selected, relation)
        self._planned(plan, found, selected, relation)
        return plan

    def records(self, found: GraphObject, selected: Selected) -> tuple[RecordPlan, list[str]]:
        """Plan several records by their keys."""
        with self._timed(is_nested=False):
            plan, keys = Planner.records(self, found, selected)
        self._planned(plan, found, selected, None)
        return plan, keys

    def _planned(
        self, plan: Plan, found: GraphObject, selected: Selected, relation: GraphRelation | None
    ) -> None:
        way = relation.name if relation is not None else ""
        is_root = way in ("", ENTITIES)
        arguments = self.selections.arguments(selected)
        self.trace.planned(plan, Step(selected.key, found, "" if is_root else way, arguments))
        if is_root:
            self.trace.roots.append(plan)

    @contextmanager
    def _timed(self, *, is_nested: bool) -> Iterator[None]:
        started = self.trace.clock.monotonic()
        yield
        if not is_nested:  # whose time is part of its owner's
            self.trace.planning_s += self.trace.clock.monotonic() - started


@dataclass(slots=True)
class TracedLoader(Loader):
    """A loader that tells where each level was answered."""

    trace: Trace = field(kw_only=True)

    def __post_init__(self) -> None:
        """Follow what columns in memory answer, too."""
        if self.resident is not None:
            self._memory = TracedAnswers(
                self.resident, self.seal, missing=self._missing, trace=self.trace
            )

    def record(self, plan: RecordPlan) -> Any:
        """Return the record that a key names."""
        with self._timed(), self.trace.at(plan):
            return Loader.record(self, plan)

    def records(self, plan: RecordPlan, keys: Sequence[str]) -> list[Any]:
        """Return the records of `keys`."""
        with self._timed():
            return Loader.records(self, plan, keys)

    def connection(self, plan: ListPlan) -> Any:
        """Return a root connection."""
        with self._timed(), self.trace.at(plan):
            return Loader.connection(self, plan)

    def _ones(self, plan: RecordPlan, keys: Sequence[str]) -> Mapping[str, Any]:
        with self.trace.at(plan):
            return Loader._ones(self, plan, keys)

    def _many(self, plan: ListPlan, keys: Sequence[str]) -> Mapping[str, Any]:
        with self.trace.at(plan):
            return Loader._many(self, plan, keys)

    def _asked(
        self, select: Callable[[Sequence[str] | None], Select], keys: Sequence[str] | None
    ) -> Rows:
        rows = Loader._asked(self, select, keys)
        if isinstance(getattr(select, "__self__", None), Statement):  # counts are no records
            self.trace.gave(rows.count)
        return rows

    def _rows(self, select: Select) -> Rows:
        started = self.trace.clock.monotonic()
        rows = Loader._rows(self, select)
        self.trace.asked(select, rows, self.trace.clock.monotonic() - started)
        return rows

    @contextmanager
    def _timed(self) -> Iterator[None]:
        started = self.trace.clock.monotonic()
        try:
            yield
        finally:
            self.trace.loading_s += self.trace.clock.monotonic() - started


class TracedAnswers(ResidentAnswers):
    """Answers from memory that count the rows of each level."""

    def __init__(self, *args: Any, trace: Trace, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._trace = trace
        self._counts: dict[int, int] = {}

    def connection(self, level: Level) -> Text:
        """Return a list of the root."""
        with self._counted(level):
            return super().connection(level)

    def record(self, level: RecordLevel) -> Text | None:
        """Return a record of the root."""
        with self._counted(level):
            text = super().record(level)
            self._count(level, 0 if text is None else 1)
            return text

    def ones(self, level: RecordLevel, keys: Sequence[str]) -> dict[str, Text]:
        """Return the record of each key that has one to see."""
        with self._counted(level):
            return super().ones(level, keys)

    def many(self, level: Level, keys: Sequence[str]) -> dict[str, Text]:
        """Return the list of each key."""
        with self._counted(level):
            return super().many(level, keys)

    def _one_each(self, view: View, level: RecordLevel, codes: Positions) -> Picked:
        picked = super()._one_each(view, level, codes)
        self._count(level, len(picked.rows))
        return picked

    def _lists(self, level: Level, view: View | None, picked: Picked) -> Any:
        self._count(level, int(np.minimum(picked.counts, level.first).sum()))
        return super()._lists(level, view, picked)

    def _count(self, level: Level | RecordLevel, rows: int) -> None:
        self._counts[id(level)] = self._counts.get(id(level), 0) + rows

    @contextmanager
    def _counted(self, level: Level | RecordLevel) -> Iterator[None]:
        self._trace.began(level)
        above, self._counts = self._counts, {}
        try:
            yield
            self._trace.remembered(self._counts)  # unless it raised: DuckDB then answers all of it
        finally:
            self._counts = above


def _below(plan: Plan) -> Iterator[Plan]:
    for selection in _selections(plan):
        for entry in selection.entries:
            if isinstance(entry, Fork):
                yield from entry.ones
            elif isinstance(entry, Child):
                below = entry.many or entry.one
                if below is not None:
                    yield below


def _records(level: Level | RecordLevel) -> list[Record]:
    if isinstance(level, RecordLevel):
        return [level.record]
    return [record for part in level.parts for record in part.records]


def _selections(plan: Plan) -> list[RecordSelection]:
    if isinstance(plan, RecordPlan):
        return [plan.selection]
    return [selection for part in plan.parts for selection in part.selections]


def _fields(plan: Plan) -> list[str]:
    """Return the fields that are read for the answer; withheld ones have no column."""
    statement = plan.statement if isinstance(plan, RecordPlan) else plan.page
    if statement is None:
        return []
    names = [
        statement.columns.origins.get(leaf.column, ("", ""))[0]
        for selection in _selections(plan)
        for leaf in _leaves(selection)
        if leaf.column is not None
    ]
    return list(dict.fromkeys(name for name in names if name))


def _leaves(selection: RecordSelection) -> Iterator[Leaf]:
    for entry in selection.entries:
        if isinstance(entry, Leaf):
            yield entry
        elif isinstance(entry, Compound):
            yield from _leaves(entry.selection)


def _tables(plan: Plan) -> list[str]:
    if isinstance(plan, RecordPlan):
        scans = [plan.statement.scan]
    else:
        scans = [each.scan for each in (plan.page, plan.totals) if each is not None]
        scans += [part.groups.scan for part in plan.parts if part.groups is not None]
    named = (f"{owner}.{name}" for scan in scans for owner, name in scan.sources)
    return list(dict.fromkeys(named))


def _asked(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a field's arguments ask, in words."""
    told: dict[str, Any] = {}
    for name, value in arguments.items():
        match name:
            case "where" if value:
                told["filters"] = filter_words(value)
            case "orderBy" if value:
                told["order"] = order_words(value)
            case "distinctOn" if value:
                told["distinctOn"] = path_words(value)
            case "search" if value is not None:
                told["search"] = shown(value)
            case "where" | "orderBy" | "distinctOn" | "search" | "first" | "representations":
                continue
            case "after" | "before":
                told[name] = "a cursor"
            case _:
                told[name] = shown(value)
    return told
