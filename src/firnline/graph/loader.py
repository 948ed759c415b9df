"""Runs plans level by level: one statement per level and relation, however many parents.

Takes a plan and a snapshot; respond receives JSON-ready values. Everything here is synchronous and
runs in a worker thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from firnline.cache.query import Select
from firnline.cache.render import render
from firnline.graph.cursor import CursorSeal
from firnline.graph.memory.answers import (
    RECORDS_MAX,
    OperationTooCostlyError,
    ResidentAnswers,
    Text,
)
from firnline.graph.memory.levels import Level, RecordLevel, Related, level_of, record_level_of
from firnline.graph.memory.views import ResidentReader, UnfitError, UnloadedError
from firnline.graph.plan import (
    Child,
    Compound,
    Fork,
    Leaf,
    ListPlan,
    Part,
    RecordPlan,
    RecordSelection,
)
from firnline.graph.request import SourceChecks
from firnline.graph.rows import Rows
from firnline.graph.statements import PARENT
from firnline.graph.totals import AggregateShape

KEYS_PER_STATEMENT_MAX = 10_000
STATEMENTS_MAX = 200  # of one operation


class Fetch(Protocol):
    """Reads from one snapshot."""

    def __call__(self, sql: str, parameters: Sequence[Any]) -> Any:
        """Return the rows as a pyarrow.Table."""
        ...


@dataclass(slots=True)
class Loader:
    """Loads the plans of one request."""

    fetch: Fetch
    seal: CursorSeal
    statements: list[tuple[str, int]]
    resident: ResidentReader | None = None
    checks: SourceChecks | None = None
    answered: Level | RecordLevel | None = None  # what memory can answer of the root
    unloaded: list[Level | RecordLevel] = field(default_factory=list)  # what it will, once loaded
    _memory: ResidentAnswers | None = None
    _weights: dict[int, tuple[Any, int]] = field(default_factory=dict)  # id -> value, its records

    def __post_init__(self) -> None:
        """Let what columns in memory cannot answer be asked of DuckDB."""
        if self.resident is not None:
            self._memory = ResidentAnswers(self.resident, self.seal, missing=self._missing)

    def record(self, plan: RecordPlan) -> Any:
        """Return the record that a key names, None when there is none to see."""
        level = self.answered = None if self._memory is None else record_level_of(plan)
        if level is not None and self._memory is not None:
            with self._recalling(level):
                return self._taken(self._memory.record(level))
        rows = self._asked(plan.statement.select, None)
        records = self._records(plan.selection, rows)
        return records[0] if records else None

    def records(self, plan: RecordPlan, keys: Sequence[str]) -> list[Any]:
        """Return the records of `keys`, in that order, None where there is none to see."""
        found = self._ones(plan, list(dict.fromkeys(keys)))
        records = [found.get(key) for key in keys]
        self._weighs(records, sum(map(self.weight, records)))
        return records

    def connection(self, plan: ListPlan) -> Any:
        """Return a root connection."""
        level = self.answered = None if self._memory is None else level_of(plan)
        if level is not None and self._memory is not None:
            with self._recalling(level):
                return self._taken(self._memory.connection(level))
        rows = None if plan.page is None else self._asked(plan.page.select, None)
        totals = None if plan.totals is None else self._asked(plan.totals.select, None)
        groups = self._groups(plan, None)
        return self._connections(plan, [""], rows, {"": totals}, groups)[""]

    @contextmanager
    def _recalling(self, level: Level | RecordLevel) -> Iterator[None]:
        """Go on after the block when columns in memory cannot answer a level, or not yet."""
        try:
            yield
        except UnloadedError:
            self.unloaded.append(level)
        except UnfitError:
            if self.answered is level:
                self.answered = None

    def _taken(self, text: Text | None) -> Any:
        """Return a text from memory as a value of an answer."""
        if text is None:
            return None
        value = orjson.Fragment(text.content)
        self._weighs(value, text.weight)
        return value

    def _missing(self, related: Related, keys: Sequence[Any]) -> list[Text]:
        """Return what DuckDB has below records that came from memory."""
        entry = related.entry
        assert entry is not None
        columns = {} if entry.local is None else {entry.local: list(keys)}
        values = self._column(entry, Rows(columns, len(keys)))
        return [Text(orjson.dumps(value), self.weight(value)) for value in values]

    def _rows(self, select: Select) -> Rows:
        if len(self.statements) >= STATEMENTS_MAX:
            raise OperationTooCostlyError("statements", STATEMENTS_MAX)
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
        records = [dict(zip(keys, values, strict=True)) for values in zip(*columns, strict=True)]
        if _has_children(selection):
            for record in records:
                related = (record[entry.key] for entry in selection.entries if _is_child(entry))
                self._weighs(record, 1 + sum(map(self.weight, related)))
        return records

    def _weighs(self, value: Any, weight: int) -> None:
        # Records that several parents lead to are one value here but many in the answer: unless
        # they are counted, a few levels of lists make a small operation's answer explode.
        if weight > RECORDS_MAX:
            raise OperationTooCostlyError("records", RECORDS_MAX)
        self._weights[id(value)] = (value, weight)  # kept, so that its id stays its own

    def weight(self, value: Any) -> int:
        """Return how many records a value holds that this loader gave."""
        if value is None:
            return 0
        found = self._weights.get(id(value))
        return 1 if found is None else found[1]

    def _column(self, entry: Leaf | Child | Fork | Compound, rows: Rows) -> list[Any]:
        if isinstance(entry, Child):
            return self._related(entry, rows)
        if isinstance(entry, Fork):
            return self._forked(entry, rows)
        if isinstance(entry, Compound):
            return self._records(entry.selection, rows)
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
            empty = self._connections(child.many, [""], None, {"": None})[""]
            return [empty if key is None else connections.get(key, empty) for key in parents]
        found = {} if child.one is None else self._ones(child.one, keys)
        return [None if key is None else found.get(key) for key in parents]

    def _forked(self, fork: Fork, rows: Rows) -> list[Any]:
        """Return the record that each parent leads to: one statement per type, on all keys left."""
        if fork.local is None:
            return [None] * rows.count
        parents = rows.columns[fork.local]
        wanted = dict.fromkeys(key for key in parents if key is not None)
        found: dict[str, Any] = {}
        for plan in fork.ones:
            found |= self._ones(plan, [key for key in wanted if key not in found])
        if fork.missed is not None and len(found) < len(wanted):
            fork.missed()
        return [None if key is None else found.get(key) for key in parents]

    def _ones(self, plan: RecordPlan, keys: Sequence[str]) -> Mapping[str, Any]:
        if not keys:
            return {}
        if self._memory is not None and (level := record_level_of(plan)) is not None:
            with self._recalling(level):
                texts = self._memory.ones(level, keys)
                return {key: self._taken(text) for key, text in texts.items()}
        rows = self._asked(plan.statement.select, keys)
        return dict(zip(rows.columns[PARENT], self._records(plan.selection, rows), strict=True))

    def _many(self, plan: ListPlan, keys: Sequence[str]) -> Mapping[str, Any]:
        if not keys:
            return {}
        if self._memory is not None and (level := level_of(plan)) is not None:
            with self._recalling(level):
                texts = self._memory.many(level, keys)
                return {key: self._taken(text) for key, text in texts.items()}
        rows = None if plan.page is None else self._asked(plan.page.select, keys)
        totals: dict[str, Rows | None] = dict.fromkeys(keys)
        if plan.totals is not None:
            totals |= _grouped(self._asked(plan.totals.select, keys))
        return self._connections(plan, keys, rows, totals, self._groups(plan, keys))

    def _groups(
        self, plan: ListPlan, keys: Sequence[str] | None
    ) -> Mapping[str, Mapping[str, Rows]]:
        """Return the groups that each part of a connection asks for, by parent."""
        return {
            part.key: {"": self._asked(part.groups.select, None)}
            if keys is None
            else _grouped(self._batched(part.groups.select, keys))
            for part in plan.parts
            if part.groups is not None
        }

    def _asked(
        self, select: Callable[[Sequence[str] | None], Select], keys: Sequence[str] | None
    ) -> Rows:
        """Return what DuckDB gives for the parents `keys`, for all records where there are none."""
        if keys is not None:
            return self._batched(select, keys)
        return self._rows(self._settled(select(None)))

    def _settled(self, select: Select) -> Select:
        """Return a statement over records that their source confirmed."""
        return select if self.checks is None else self.checks.settled(select, self.fetch)

    def _batched(self, select: Callable[[Sequence[str]], Select], keys: Sequence[str]) -> Rows:
        batches = [
            self._rows(self._settled(select(keys[start : start + KEYS_PER_STATEMENT_MAX])))
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
        parents: Sequence[str],
        rows: Rows | None,
        totals: Mapping[str, Rows | None],
        groups: Mapping[str, Mapping[str, Rows]] | None = None,
    ) -> dict[str, dict[str, Any]]:
        """Return one connection per parent, records of all parents made in one go."""
        kept, bounds, more = _cut(parents, rows, plan)
        answers: dict[str, dict[str, Any]] = {parent: {} for parent in parents}
        for answer in answers.values():
            self._weighs(answer, 0)  # until a part of it holds records
        cursors = self._cursors(plan, kept)
        for part in plan.parts:
            values = self._part(part, plan, kept, cursors)
            is_nested = any(map(_has_children, part.selections))
            for parent, (start, end) in bounds.items():
                answer = answers[parent]
                if part.groups is not None:
                    found = (groups or {}).get(part.key, {}).get(parent)
                    answer[part.key] = [] if found is None else part.groups.answers(found)
                    self._weighs(answer, self.weight(answer) + len(answer[part.key]))
                    continue
                if values is None:
                    page = cursors[start:end]
                    answer[part.key] = _single(part, plan, totals.get(parent), page, more[parent])
                    continue
                answer[part.key] = values[start:end]
                held = sum(map(self.weight, answer[part.key])) if is_nested else end - start
                known = self.weight(answer)  # of earlier parts
                self._weighs(answer, known + held)
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
        edges = [
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
        if any(map(_has_children, part.selections)):
            for edge in edges:
                self._weighs(edge, sum(self.weight(edge[key]) for key in nodes))
        return edges


def _is_child(entry: Leaf | Child | Fork | Compound) -> bool:
    return isinstance(entry, Child | Fork)


def _has_children(selection: RecordSelection) -> bool:
    return any(map(_is_child, selection.entries))


def _grouped(rows: Rows) -> dict[str, Rows]:
    return {parent: rows.take(each) for parent, each in _positions(rows).items()}


def _positions(rows: Rows) -> Mapping[str, Sequence[int]]:
    """Return where each parent's rows are; those of a root page belong to the empty one."""
    if PARENT not in rows.columns:
        return {"": range(rows.count)}
    positions: dict[str, list[int]] = {}
    for position, parent in enumerate(rows.columns[PARENT]):
        positions.setdefault(parent, []).append(position)
    return positions


def _cut(
    parents: Sequence[str], rows: Rows | None, plan: ListPlan
) -> tuple[Rows, dict[str, tuple[int, int]], dict[str, bool]]:
    """Return the rows of all pages as one, where each parent's begin and end, and who has more."""
    positions = {} if rows is None else _positions(rows)
    chosen: list[int] = []
    bounds: dict[str, tuple[int, int]] = {}
    more: dict[str, bool] = {}
    for parent in parents:
        own = positions.get(parent, ())
        held = own[: plan.first]
        start = len(chosen)
        chosen.extend(held[::-1] if plan.is_backward else held)
        bounds[parent] = (start, len(chosen))
        more[parent] = len(own) > plan.first
    if rows is None:
        return Rows({}, 0), bounds, more
    is_whole = len(chosen) == rows.count and chosen == list(range(rows.count))
    return (rows if is_whole else rows.take(chosen)), bounds, more


def _single(
    part: Part, plan: ListPlan, totals: Rows | None, cursors: Sequence[str], has_more: bool
) -> Any:
    match part.kind:
        case "pageInfo":
            facts = {
                "hasNextPage": plan.has_before or (has_more and not plan.is_backward),
                "hasPreviousPage": plan.has_after or (has_more and plan.is_backward),
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
        case "groupBy":  # of a relation whose link is masked
            return []
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
