"""Runs plans level by level: one statement per level and relation, however many parents.

Takes a plan and a snapshot; respond receives JSON-ready values. Everything here is synchronous and
runs in a worker thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from firnline.cache.query import Select
from firnline.cache.render import render
from firnline.graph.cursor import CursorSeal
from firnline.graph.plan import (
    PARENT,
    AggregateShape,
    Child,
    Leaf,
    ListPlan,
    Part,
    RecordPlan,
    RecordSelection,
)

KEYS_PER_STATEMENT_MAX = 10_000


class Fetch(Protocol):
    """Reads from one snapshot."""

    def __call__(self, sql: str, parameters: Sequence[Any]) -> Any:
        """Return the rows as a pyarrow.Table."""
        ...


@dataclass(frozen=True, slots=True)
class Rows:
    """Columns of one answer of the cache, all of one length."""

    columns: Mapping[str, list[Any]]
    count: int

    def take(self, positions: Sequence[int]) -> Rows:
        """Return the rows at `positions`, in that order."""
        taken = {
            name: [values[position] for position in positions]
            for name, values in self.columns.items()
        }
        return Rows(taken, len(positions))


@dataclass(slots=True)
class Loader:
    """Loads the plans of one request."""

    fetch: Fetch
    seal: CursorSeal
    statements: list[tuple[str, int]]

    def record(self, plan: RecordPlan) -> Any:
        """Return the record that a key names, None when there is none to see."""
        rows = self._rows(plan.statement.select(None))
        records = self._records(plan.selection, rows)
        return records[0] if records else None

    def connection(self, plan: ListPlan) -> dict[str, Any]:
        """Return a root connection."""
        rows = None if plan.page is None else self._rows(plan.page.select(None))
        totals = None if plan.totals is None else self._rows(plan.totals.select(None))
        return self._connections(plan, {"": rows}, {"": totals})[""]

    def _rows(self, select: Select) -> Rows:
        sql, parameters = render(select)
        table = self.fetch(sql, parameters)
        self.statements.append((sql, table.num_rows))
        columns = {
            name: table.column(position).to_pylist()
            for position, name in enumerate(table.column_names)
        }
        return Rows(columns, table.num_rows)

    def _records(self, selection: RecordSelection, rows: Rows) -> list[dict[str, Any]]:
        keys = [entry.key for entry in selection.entries]
        columns = [self._column(entry, rows) for entry in selection.entries]
        if not columns:  # @skip left nothing of the selection: the records still count
            return [{} for _ in range(rows.count)]
        return [dict(zip(keys, values, strict=True)) for values in zip(*columns, strict=True)]

    def _column(self, entry: Leaf | Child, rows: Rows) -> list[Any]:
        if isinstance(entry, Child):
            return self._related(entry, rows)
        if entry.constant is not None or entry.column is None:
            return [entry.constant] * rows.count
        values = rows.columns[entry.column]
        if entry.is_json:
            return [None if value is None else orjson.loads(value) for value in values]
        return values

    def _related(self, child: Child, rows: Rows) -> list[Any]:
        parents = [None] * rows.count if child.local is None else rows.columns[child.local]
        keys = list(dict.fromkeys(key for key in parents if key is not None))
        if child.many is not None:
            connections = self._many(child.many, keys)
            empty = self._connections(child.many, {"": None}, {"": None})[""]
            return [empty if key is None else connections.get(key, empty) for key in parents]
        found = {} if child.one is None else self._ones(child.one, keys)
        return [None if key is None else found.get(key) for key in parents]

    def _ones(self, plan: RecordPlan, keys: Sequence[str]) -> Mapping[str, Any]:
        if not keys:
            return {}
        rows = self._batched(plan.statement.select, keys)
        return dict(zip(rows.columns[PARENT], self._records(plan.selection, rows), strict=True))

    def _many(self, plan: ListPlan, keys: Sequence[str]) -> Mapping[str, dict[str, Any]]:
        if not keys:
            return {}
        pages: dict[str, Rows | None] = dict.fromkeys(keys)
        totals: dict[str, Rows | None] = dict.fromkeys(keys)
        if plan.page is not None:
            pages |= _grouped(self._batched(plan.page.select, keys))
        if plan.totals is not None:
            totals |= _grouped(self._batched(plan.totals.select, keys))
        return self._connections(plan, pages, totals)

    def _batched(self, select: Callable[[Sequence[str]], Select], keys: Sequence[str]) -> Rows:
        batches = [
            self._rows(select(keys[start : start + KEYS_PER_STATEMENT_MAX]))
            for start in range(0, len(keys), KEYS_PER_STATEMENT_MAX)
        ]
        if len(batches) == 1:
            return batches[0]
        columns = {
            name: [value for batch in batches for value in batch.columns[name]]
            for name in batches[0].columns
        }
        return Rows(columns, sum(batch.count for batch in batches))

    def _connections(
        self,
        plan: ListPlan,
        pages: Mapping[str, Rows | None],
        totals: Mapping[str, Rows | None],
    ) -> dict[str, dict[str, Any]]:
        """Return one connection per parent, records of all parents made in one go."""
        kept, bounds, more = _cut(pages, plan.first)
        answers: dict[str, dict[str, Any]] = {parent: {} for parent in pages}
        cursors = self._cursors(plan, kept)
        for part in plan.parts:
            values = self._part(part, plan, kept, cursors)
            for parent, (start, end) in bounds.items():
                answers[parent][part.key] = (
                    values[start:end]
                    if values is not None
                    else _single(part, plan, totals.get(parent), cursors[start:end], more[parent])
                )
        return answers

    def _cursors(self, plan: ListPlan, rows: Rows) -> list[str]:
        if not plan.cursor_columns or not rows.count:
            return []
        values = zip(*(rows.columns[name] for name in plan.cursor_columns), strict=True)
        return [self.seal.seal(each, plan.binding) for each in values]

    def _part(
        self, part: Part, plan: ListPlan, rows: Rows, cursors: Sequence[str]
    ) -> list[Any] | None:
        """Return one value per record for `nodes` and `edges`, None for the other parts."""
        if part.kind == "nodes":
            if part.selection is None or not rows.count:
                return []
            return self._records(part.selection, rows)
        if part.kind != "edges":
            return None
        if not rows.count:
            return []
        nodes = {key: self._records(selection, rows) for key, selection in part.node_keys}
        return [
            {
                key: nodes[key][position]
                if key in nodes
                else cursors[position]
                if name == "cursor"
                else name
                for key, name in part.names.items()
            }
            for position in range(rows.count)
        ]


def _grouped(rows: Rows) -> dict[str, Rows]:
    positions: dict[str, list[int]] = {}
    for position, parent in enumerate(rows.columns[PARENT]):
        positions.setdefault(parent, []).append(position)
    return {parent: rows.take(each) for parent, each in positions.items()}


def _cut(
    pages: Mapping[str, Rows | None], first: int
) -> tuple[Rows, dict[str, tuple[int, int]], dict[str, bool]]:
    """Return the rows of all pages as one, where each parent's begin and end, and who has more."""
    columns: dict[str, list[Any]] = {}
    bounds: dict[str, tuple[int, int]] = {}
    more: dict[str, bool] = {}
    start = 0
    for parent, page in pages.items():
        held = 0 if page is None else min(page.count, first)
        more[parent] = page is not None and page.count > first
        if page is not None:
            for name, values in page.columns.items():
                columns.setdefault(name, []).extend(values[:held])
        bounds[parent] = (start, start + held)
        start += held
    return Rows(columns, start), bounds, more


def _single(
    part: Part, plan: ListPlan, totals: Rows | None, cursors: Sequence[str], has_more: bool
) -> Any:
    match part.kind:
        case "pageInfo":
            facts = {
                "hasNextPage": has_more,
                "hasPreviousPage": plan.has_after,
                "startCursor": cursors[0] if cursors else None,
                "endCursor": cursors[-1] if cursors else None,
                "__typename": "PageInfo",
            }
            return {key: facts[name] for key, name in part.names.items()}
        case "totalCount":
            return totals.columns[part.column][0] if totals and totals.count else 0
        case "aggregate":
            assert part.aggregate is not None
            return _aggregated(part.aggregate, totals)
        case _:
            return part.type_name


def _aggregated(shape: AggregateShape, totals: Rows | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, entry in shape.entries.items():
        if isinstance(entry, AggregateShape):
            found[key] = _aggregated(entry, totals)
        elif isinstance(entry, str):
            found[key] = entry
        elif totals is not None and totals.count:
            found[key] = totals.columns[entry.name][0]
        else:
            found[key] = entry.empty
    return found
