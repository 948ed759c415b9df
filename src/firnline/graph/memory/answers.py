"""Answers lists and records from columns in memory, as JSON text.

Takes levels and a request's views; loader and compiled receive texts with the number of records in
each. Rows are rendered once per selection and data version, whole levels at a time; no Python
object is made per value of a row that was rendered before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from firnline.cache.resident import NULL, Matches, Picked, Positions, first_matching
from firnline.errors import UsageError
from firnline.graph.cursor import CursorSeal
from firnline.graph.memory.aggregates import aggregated
from firnline.graph.memory.aggregates import load as load_aggregates
from firnline.graph.memory.criteria import Criterion, Operand, Values
from firnline.graph.memory.levels import (
    Level,
    LevelPart,
    Record,
    RecordLevel,
    Related,
    Run,
    Value,
    origins_in,
    records_of,
)
from firnline.graph.memory.views import ResidentReader, UnfitError, View
from firnline.graph.memory.where import ROWS_AT_ONCE_MAX, ResidentWhere, matching

RECORDS_MAX = 100_000  # in one answer
_APART = orjson.Fragment(b"\x00")
Weights = npt.NDArray[np.int64]  # records in each text


class OperationTooCostlyError(UsageError):
    """The operation is small, but what it asks for is not."""

    code = "operation_too_costly"

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(
            f"the operation needs more than {limit} {what}",
            hint="Ask for smaller pages, fewer levels of lists or fewer fields at once.",
        )


@dataclass(frozen=True, slots=True)
class Text:
    """A JSON text and how many records it holds."""

    content: bytes
    weight: int


Missing = Callable[[Related, Sequence[Any]], Sequence[Text]]


@dataclass(frozen=True, slots=True)
class _Texts:
    """One JSON text per row or parent; `weights` None: one record each."""

    contents: list[bytes]
    weights: Weights | None = None


class ResidentAnswers:
    """Answers one request's levels; `missing` asks DuckDB for what is below them."""

    def __init__(
        self,
        reader: ResidentReader,
        seal: CursorSeal,
        *,
        values: Values | None = None,
        missing: Missing | None = None,
    ) -> None:
        self._reader = reader
        self._seal = seal
        self._values = values
        self._missing = missing
        self._where = ResidentWhere(reader, values)

    def connection(self, level: Level) -> Text:
        """Return a list of the root; raises UnfitError when DuckDB has to answer it."""
        if level.object is None:
            return self._single(level, None, _picked_nothing(1))
        with _unfit_types():
            view = self._reader.view(level.object)
            driver, rest = self._driver(view, level.filters, level)
            if (level.criteria or level.aggregates) and len(driver) > ROWS_AT_ONCE_MAX:
                self._reader.require_thread()
            matches = self._matches(view, rest, level.criteria)
            if level.aggregates or any(part.kind == "totalCount" for part in level.parts):
                every = driver[matches(driver)]
                rows = every[: level.first + 1] if level.wants_rows else every[:0]
                picked = _picked(rows, len(every), _picked(every, len(every)))
            else:
                rows = first_matching(driver, matches, level.first + 1)
                picked = _picked(rows if level.wants_rows else rows[:0], len(rows))
            return self._single(level, view, picked)

    def record(self, level: RecordLevel) -> Text | None:
        """Return a record of the root, None when there is none to see."""
        if level.object is None:
            return None
        with _unfit_types():
            view = self._reader.view(level.object)
            driver, rest = self._driver(view, level.filters, None)
            rows = first_matching(driver, self._matches(view, rest), 1)
            if not len(rows):
                return None
            return _first(self._records(view, level.record, rows))

    def ones(self, level: RecordLevel, keys: Sequence[str]) -> dict[str, Text]:
        """Return the record of each key that has one to see."""
        if level.object is None:
            return {}
        with _unfit_types():
            view = self._reader.view(level.object)
            assert level.link is not None
            codes = view.codes(level.link, "link").codes_of(keys)
            picked = self._one_each(view, level, codes)
            texts = self._records(view, level.record, picked.rows)
            return {
                keys[owner]: Text(text, weight)
                for owner, text, weight in zip(
                    picked.owners.tolist(), texts.contents, _weights(texts), strict=True
                )
            }

    def many(self, level: Level, keys: Sequence[str]) -> dict[str, Text]:
        """Return the list of each key."""
        if level.object is None:
            picked, view = _picked_nothing(len(keys)), None
        else:
            with _unfit_types():
                view = self._reader.view(level.object)
                assert level.link is not None
                codes = view.codes(level.link, "link").codes_of(keys)
                picked = self._some_each(view, level, codes)
        with _unfit_types():
            texts = self._lists(level, view, picked)
        return {
            key: Text(text, weight)
            for key, text, weight in zip(keys, texts.contents, _weights(texts), strict=True)
        }

    def load(self, level: Level | RecordLevel) -> None:
        """Bring all that answers a level, and those below, into memory; raises UnfitError."""
        if level.object is None:
            return
        with _unfit_types():
            view = self._reader.view(level.object)
            order = level.order if isinstance(level, Level) else ()
            equal = [each.field for each in level.filters if each.operator == "eq"]
            for operand in level.filters:
                view.codes(operand.field, "raw")
            if level.link is not None:
                view.index(level.link, "link", order)
            elif equal:
                view.index(equal[0], "raw", order)
            else:
                view.order(order)
            view.visible  # noqa: B018 - worked out when it is first looked at
            if isinstance(level, Level):
                view.load(level.cursor)
                self._matches(view, (), level.criteria)
                for shape in level.aggregates:
                    load_aggregates(view, shape)
            for record in records_of(level):
                self._load(view, record)

    def _load(self, view: View, record: Record) -> None:
        for member in record.members:
            if isinstance(member, Run):
                view.load(origins_in(member.values))
                continue
            below = member.one or member.many
            if member.local is None or below is None or below.object is None:
                continue
            assert below.link is not None
            self.load(below)
            view.crossing(*member.local, self._reader.view(below.object), below.link)

    def _single(self, level: Level, view: View | None, picked: Picked) -> Text:
        return _first(self._lists(level, view, picked))

    def _driver(
        self, view: View, filters: Sequence[Operand], level: Level | None
    ) -> tuple[Positions, list[Operand]]:
        """Return the rows to look through, in order, and what is left to compare.

        Rows of one value lie together in an index: an equality looks at nothing else, unless there
        are fewer rows that the principal sees at all.
        """
        order = level.order if level is not None else ()
        few = view.few(order) if level is not None else None
        for operand in filters:
            if operand.operator == "eq":
                rest = [each for each in filters if each is not operand]
                code = view.comparison(operand.field, "eq", operand.of(self._values))
                index = view.index(operand.field, "raw", order)
                group = index.group(code.low if code.high > code.low else NULL)
                if few is None or len(group) <= len(few):
                    return group, rest
        return view.order(order) if few is None else few, list(filters)

    def _matches(
        self, view: View, filters: Sequence[Operand], criteria: Sequence[Criterion] = ()
    ) -> Matches:
        comparisons = [
            view.comparison(each.field, each.operator, each.of(self._values)) for each in filters
        ]
        judges = [self._where.judge(view, each) for each in criteria]
        return matching(comparisons, judges, view.visible)

    def _one_each(self, view: View, level: RecordLevel, codes: Positions) -> Picked:
        assert level.link is not None
        index = view.index(level.link, "link", ())
        return index.pick(codes, self._matches(view, level.filters), 1)

    def _some_each(self, view: View, level: Level, codes: Positions) -> Picked:
        assert level.link is not None
        index = view.index(level.link, "link", level.order)
        limit = level.first + 1 if level.wants_rows else 0
        matches = self._matches(view, level.filters, level.criteria)
        picked = index.pick(codes, matches, limit)
        if not level.aggregates:
            return picked
        return replace(picked, whole=index.pick(codes, matches, None))

    def _records(self, view: View, record: Record, rows: Positions) -> _Texts:
        """Return one text per row. Rows that stand several times are rendered once."""
        if not record.members:  # @skip left nothing of the selection: the records still count
            return _Texts([b"{}"] * len(rows))
        if len(record.members) == 1 and isinstance(record.members[0], Run):
            return _Texts(self._rendered(view, record.members[0], rows, is_whole=True))
        distinct, places = np.unique(rows, return_inverse=True)
        columns = []
        weights = np.ones(len(distinct), np.int64)
        for member in record.members:
            if isinstance(member, Run):
                columns.append(self._rendered(view, member, distinct, is_whole=False))
                continue
            texts = self._related(view, member, distinct)
            columns.append([member.prefix + text for text in texts.contents])
            weights += 1 if texts.weights is None else texts.weights
        joined = [b"{%b}" % b",".join(parts) for parts in zip(*columns, strict=True)]
        return _Texts([joined[place] for place in places.tolist()], weights[places])

    def _rendered(self, view: View, run: Run, rows: Positions, *, is_whole: bool) -> list[bytes]:
        texts = view.texts((run.values, is_whole), run.names)
        numbers = rows.tolist()
        found = list(map(texts.get, numbers))
        if None in found:
            missing = [row for row in dict.fromkeys(numbers) if row not in texts]
            made = _rendered(view, run, missing)
            if not is_whole:
                made = [text[1:-1] for text in made]
            texts.update(zip(missing, made, strict=True))
            view.wrote(made)
            found = list(map(texts.get, numbers))
        return found  # type: ignore[return-value]

    def _related(self, view: View, member: Related, rows: Positions) -> _Texts:
        below = member.one or member.many
        if below is None and member.entry is not None:
            return self._unanswered(view, member, rows)
        if below is None:
            return _nulls(len(rows))
        if below.object is None or member.local is None:
            empty = _picked_nothing(len(rows))
            if isinstance(below, Level):
                return self._lists(below, None, empty)
            return _nulls(len(rows))
        other = self._reader.view(below.object)
        assert below.link is not None
        codes = view.crossing(*member.local, other, below.link)[rows]
        if isinstance(below, Level):
            return self._lists(below, other, self._some_each(other, below, codes))
        picked = self._one_each(other, below, codes)
        return _placed(self._records(other, below.record, picked.rows), picked)

    def _unanswered(self, view: View, member: Related, rows: Positions) -> _Texts:
        if member.local is None:
            keys: list[Any] = [None] * len(rows)
        else:
            keys = view.column(*member.local).take(pa.array(rows)).to_pylist()
        if self._missing is None:
            raise UnfitError
        answers = self._missing(member, keys)
        weights = [each.weight for each in answers]
        return _Texts([each.content for each in answers], np.array(weights, np.int64))

    def _lists(self, level: Level, view: View | None, picked: Picked) -> _Texts:
        """Return one connection per parent, records of all parents made in one go."""
        cut = _Cut(picked, level.first)
        if len(cut.rows) > RECORDS_MAX:
            raise OperationTooCostlyError("records", RECORDS_MAX)
        cursors = self._cursors(level, view, cut.rows)
        weights = np.zeros(len(picked.counts), np.int64)
        columns = []
        for part in level.parts:
            texts = self._part(part, view, cut, cursors)
            columns.append([part.prefix + text for text in texts.contents])
            if texts.weights is not None:
                weights += texts.weights
        _check_weight(weights)
        contents = [b"{%b}" % b",".join(parts) for parts in zip(*columns, strict=True)]
        return _Texts(contents or [b"{}"] * cut.parents, weights)

    def _part(
        self, part: LevelPart, view: View | None, cut: _Cut, cursors: Sequence[bytes]
    ) -> _Texts:
        match part.kind:
            case "nodes" if part.record is not None and view is not None:
                return cut.arrays(self._records(view, part.record, cut.rows))
            case "edges" if view is not None:
                return cut.arrays(self._edges(part, view, cut.rows, cursors))
            case "nodes" | "edges":
                return _Texts([b"[]"] * cut.parents)
            case "pageInfo":
                return _Texts([_page_info(part, *each) for each in cut.pages(cursors)])
            case "totalCount":
                return _Texts([b"%d" % total for total in cut.totals])
            case "aggregate" if part.aggregate is not None:
                return _Texts(aggregated(view, part.aggregate, cut.whole))
            case _:
                return _Texts([orjson.dumps(part.type_name)] * cut.parents)

    def _edges(
        self, part: LevelPart, view: View, rows: Positions, cursors: Sequence[bytes]
    ) -> _Texts:
        records = {key: self._records(view, record, rows) for key, record in part.nodes}
        columns = []
        for key, name in part.names:
            prefix = orjson.dumps(key) + b":"
            if key in records:
                texts: Sequence[bytes] = records[key].contents
            elif name == "cursor":
                texts = cursors
            else:
                texts = [orjson.dumps(name)] * len(rows)
            columns.append([prefix + text for text in texts])
        weights = sum((np.array(_weights(each)) for each in records.values()), np.zeros(len(rows)))
        if not records:
            weights = np.ones(len(rows))
        contents = [b"{%b}" % b",".join(parts) for parts in zip(*columns, strict=True)]
        return _Texts(contents or [b"{}"] * len(rows), weights.astype(np.int64))

    def _cursors(self, level: Level, view: View | None, rows: Positions) -> list[bytes]:
        if not level.cursor or view is None or not len(rows):
            return []
        binding = level.binding(self._reader.context.principal, self._values)
        picked = pa.array(rows)
        columns = [view.column(*origin).take(picked).to_pylist() for origin in level.cursor]
        values = zip(*columns, strict=True)
        return [b'"%b"' % self._seal.seal(each, binding).encode() for each in values]


class _Cut:
    """Pages of several parents, one row more than asked for cut off."""

    def __init__(self, picked: Picked, first: int) -> None:
        self.parents = len(picked.counts)
        self.totals = picked.totals.tolist()
        self.whole = picked.whole or picked
        self.more = (picked.counts > first).tolist()
        self.rows = picked.rows
        self.counts = np.minimum(picked.counts, first)
        if len(picked.rows) > self.counts.sum():
            before = np.cumsum(picked.counts) - picked.counts
            within = np.arange(len(picked.rows)) - np.repeat(before, picked.counts)
            self.rows = picked.rows[within < first]
        self.ends = np.cumsum(self.counts).tolist()

    def arrays(self, texts: _Texts) -> _Texts:
        """Return one JSON array per parent from the texts of the rows."""
        weights = self._weights(texts)
        _check_weight(weights)  # before texts that stand several times are put together
        contents, start = [], 0
        for end in self.ends:
            contents.append(b"[%b]" % b",".join(texts.contents[start:end]))
            start = end
        return _Texts(contents, weights)

    def _weights(self, texts: _Texts) -> Weights:
        if texts.weights is None:
            return self.counts.astype(np.int64)
        reached = np.concatenate(([0], np.cumsum(texts.weights)))
        ends = np.array(self.ends, np.int64)
        return np.asarray(reached[ends] - reached[ends - self.counts], np.int64)

    def pages(self, cursors: Sequence[bytes]) -> list[tuple[Sequence[bytes], bool]]:
        """Return each parent's cursors, and whether there is more."""
        starts = [0, *self.ends][: len(self.ends)]
        return [
            (cursors[start:end], more)
            for start, end, more in zip(starts, self.ends, self.more, strict=True)
        ]


class _unfit_types:  # noqa: N801 - reads as the context it opens
    """Turns what Arrow cannot do with a column's type into UnfitError."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, pa.ArrowInvalid | pa.ArrowNotImplementedError):
            raise UnfitError from error


def _page_info(part: LevelPart, cursors: Sequence[bytes], has_more: bool) -> bytes:
    facts = {
        "hasNextPage": b"true" if has_more else b"false",
        "hasPreviousPage": b"false",
        "startCursor": cursors[0] if cursors else b"null",
        "endCursor": cursors[-1] if cursors else b"null",
        "__typename": b'"PageInfo"',
    }
    return b"{%b}" % b",".join(orjson.dumps(key) + b":" + facts[name] for key, name in part.names)


def _rendered(view: View, run: Run, rows: Sequence[int]) -> list[bytes]:
    objects = _objects(view, run.values, pa.array(rows, pa.int32()))
    # One call for all rows, told apart by a byte that no JSON text holds: six times as fast.
    parted: list[Any] = [_APART] * (2 * len(objects))
    parted[::2] = objects
    return orjson.dumps(parted)[1:-3].split(b",\x00,")


def _objects(view: View, values: Sequence[Value], picked: Any) -> list[dict[str, Any]]:
    """Return one object per picked row."""
    if not values:
        return [{} for _ in range(len(picked))]
    keys = [value.key for value in values]
    columns = [_column(view, value, picked) for value in values]
    return [dict(zip(keys, each, strict=True)) for each in zip(*columns, strict=True)]


def _column(view: View, value: Value, picked: Any) -> Sequence[Any]:
    if value.members is not None:
        return _objects(view, value.members, picked)
    if value.origin is None or value.constant is not None:
        return [value.constant] * len(picked)
    found = view.column(*value.origin).take(picked).to_pylist()
    if value.is_json:
        return [None if each is None else orjson.loads(each) for each in found]
    return found  # type: ignore[no-any-return]


def _placed(texts: _Texts, picked: Picked) -> _Texts:
    """Return the text of each parent's record, null where it has none."""
    contents = [b"null"] * len(picked.counts)
    weights = np.zeros(len(picked.counts), np.int64)
    for owner, text in zip(picked.owners.tolist(), texts.contents, strict=True):
        contents[owner] = text
    weights[picked.owners] = 1 if texts.weights is None else texts.weights
    return _Texts(contents, weights)


def _nulls(count: int) -> _Texts:
    return _Texts([b"null"] * count, np.zeros(count, np.int64))


def _picked(rows: Positions, total: int, whole: Picked | None = None) -> Picked:
    """Return the rows of the root."""
    counts, totals = np.array([len(rows)], np.int32), np.array([total], np.int32)
    return Picked(rows, np.zeros(len(rows), np.int32), counts, totals, whole)


def _picked_nothing(parents: int) -> Picked:
    nothing, none = np.empty(0, np.int32), np.zeros(parents, np.int32)
    return Picked(nothing, nothing, none, none)


def _weights(texts: _Texts) -> list[int]:
    return [1] * len(texts.contents) if texts.weights is None else texts.weights.tolist()


def _first(texts: _Texts) -> Text:
    return Text(texts.contents[0], _weights(texts)[0])


def _check_weight(weights: Weights) -> None:
    if weights.size and weights.max() > RECORDS_MAX:
        raise OperationTooCostlyError("records", RECORDS_MAX)
