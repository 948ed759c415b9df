"""Decides criteria over rows of columns in memory, as SQL would: true, false or unknown.

Takes the criteria of a level and views; `answers` receives which rows satisfy them. What holds
for related records is worked out once over their whole table, per key that leads to them, and kept
with it where neither a variable nor the clock has a part in it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar, cast

import numpy as np
import pyarrow as pa

from firnline.cache.resident import (
    NULL,
    Coded,
    Codes,
    Comparison,
    Judge,
    Mask,
    Matches,
    Positions,
    Verdict,
)
from firnline.graph.memory.criteria import (
    Aggregated,
    Criterion,
    Joined,
    Negated,
    Operand,
    Quantified,
    Values,
    operands_of,
)
from firnline.graph.memory.views import ResidentReader, View
from firnline.graph.moments import is_timeless

ROWS_AT_ONCE_MAX = 300_000  # more are worked through in a thread, not on the event loop

Kept = TypeVar("Kept", Mask, Coded)


class ResidentWhere:
    """Decides the criteria of one request."""

    def __init__(self, reader: ResidentReader, values: Values | None) -> None:
        self._reader = reader
        self._values = values

    def judge(self, view: View, criterion: Criterion) -> Judge:
        """Return what decides about rows of `view`; raises UnfitError.

        All that needs more than the rows asked about is brought into memory right here.
        """
        match criterion:
            case Operand():
                value = criterion.of(self._values)
                return view.comparison(criterion.field, criterion.operator, value).verdict
            case Joined(parts, is_any):
                return _joined([self.judge(view, each) for each in parts], is_any=is_any)
            case Negated(part):
                return _negated(self.judge(view, part))
            case Quantified():
                return self._quantified(view, criterion)
            case Aggregated():
                return self._aggregated(view, criterion)

    def _quantified(self, view: View, criterion: Quantified) -> Judge:
        way, quantifier = criterion.way, criterion.quantifier
        other = self._reader.view(way.target)
        crossing = view.crossing(way.local, "link", other, way.remote)
        by_key = None if quantifier == "every" else other.by_key(way.remote)
        if by_key is None:
            found = _looked_up(crossing, self._marked(other, criterion))
        else:
            found = _single(crossing, by_key, self._seen(other, criterion.inner))
        return found if quantifier == "some" else _negated(found)

    def _marked(self, other: View, criterion: Quantified) -> Mask:
        """Return, by key, whether a visible record fits, or for "every" whether one does not."""
        way, is_every = criterion.way, criterion.quantifier == "every"

        def mark() -> Mask:
            rows = self._rows(other)
            holds, _ = self.judge(other, criterion.inner)(rows)
            link = other.codes(way.remote, "link")
            marked = np.zeros(len(link.values) + 1, np.bool_)
            marked[link.codes[rows[~holds if is_every else holds]]] = True
            marked[NULL] = False  # null leads nowhere
            return marked

        kind = ("every" if is_every else "some", way.remote)
        return self._kept(other, kind, criterion.inner, mark)

    def _aggregated(self, view: View, criterion: Aggregated) -> Judge:
        way = criterion.way
        other = self._reader.view(way.target)
        crossing = view.crossing(way.local, "link", other, way.remote)
        kind = (criterion.function, way.remote, criterion.field)
        totals = self._kept(*(other, kind, criterion.inner), lambda: self._totals(other, criterion))
        judges = [
            view.compared(
                totals, criterion.scalar, operand.operator, operand.of(self._values)
            ).verdict
            for operand in criterion.operands
        ]
        decide = _joined(judges, is_any=False)
        return lambda rows: decide(crossing[rows])

    def _totals(self, other: View, criterion: Aggregated) -> Coded:
        """Return the aggregate by key; last, where null looks it up, that of no records."""
        rows = self._rows(other)
        link = other.codes(criterion.way.remote, "link")
        holds, _ = self.judge(other, criterion.inner)(rows)
        rows = rows[holds]
        rows = rows[link.codes[rows] != NULL]
        keys, size = link.codes[rows], len(link.values) + 1
        if criterion.function == "count":
            counts = np.bincount(keys, minlength=size).astype(np.int32)
            return Coded(counts, pa.array(np.arange(counts.max() + 1)))
        column = other.codes(criterion.field, "raw")
        codes = column.codes[rows]
        known = codes != NULL
        keys, codes = keys[known], codes[known]
        if criterion.function == "max":
            found = np.full(size, NULL, np.int32)
            np.maximum.at(found, keys, codes)
        else:
            found = np.full(size, len(column.values), np.int32)
            np.minimum.at(found, keys, codes)
            found[found == len(column.values)] = NULL
        return Coded(found, column.values)

    def _seen(self, other: View, inner: Criterion) -> Judge:
        """Return what decides about records, those that the principal does not see never fit."""
        judge, visible = self.judge(other, inner), other.visible
        if visible is None:
            return judge

        def seen(rows: Positions) -> Verdict:
            holds = judge(rows)[0] & visible[rows]
            return holds, ~holds

        return seen

    def _rows(self, view: View) -> Positions:
        if view.table.count > ROWS_AT_ONCE_MAX:
            self._reader.require_thread()
        if view.visible is None:
            return np.arange(view.table.count, dtype=np.int32)
        return np.flatnonzero(view.visible).astype(np.int32)

    def _kept(
        self, other: View, kind: tuple[str, ...], inner: Criterion, compute: Callable[[], Kept]
    ) -> Kept:
        """Return what `compute` gives, kept with the other table where it will be the same again.

        `kind` says what is computed, ended by the fields that it reads.
        """
        if not all(map(_is_constant, operands_of((inner,)))):
            return compute()
        fields = tuple(other.signature(name) for name in kind[1:] if name)
        slot = (kind, fields, other.sight, self._slot(other, inner))
        found = other.table.related.get(slot)
        if found is None:
            found = other.table.related.put_first(slot, compute())
        return cast("Kept", found)

    def _slot(self, view: View, criterion: Criterion) -> Hashable:
        """Return all that decides about a criterion of constants, other tables among it."""
        match criterion:
            case Operand(name, operator, value):
                return (name, operator, repr(value), view.signature(name))
            case Joined(parts, is_any):
                return (is_any, *(self._slot(view, each) for each in parts))
            case Negated(part):
                return ("not", self._slot(view, part))
            case Quantified():
                return (criterion.quantifier, *self._related_slot(view, criterion))
            case Aggregated():
                name = criterion.field
                compared = ((each.operator, repr(each.value)) for each in criterion.operands)
                signed = self._reader.view(criterion.way.target).signature(name) if name else ()
                related = self._related_slot(view, criterion)
                return (criterion.function, name, signed, *compared, *related)

    def _related_slot(self, view: View, criterion: Quantified | Aggregated) -> tuple[Hashable, ...]:
        way = criterion.way
        other = self._reader.view(way.target)
        links = (view.signature(way.local), other.signature(way.remote))
        inner = self._slot(other, criterion.inner)
        return (way.local, way.remote, links, other.table.serial, other.sight, inner)


def matching(
    comparisons: Sequence[Comparison], judges: Sequence[Judge], visible: Mask | None
) -> Matches:
    """Return which rows satisfy everything and are visible; judges see only what is left."""

    def matches(rows: Positions) -> Mask:
        held = np.ones(len(rows), np.bool_) if visible is None else visible[rows]
        for each in comparisons:
            held &= each.holds(rows)
        for judge in judges:
            places = np.flatnonzero(held)
            held[places] = judge(rows[places])[0]
        return held

    return matches


def _is_constant(operand: Operand) -> bool:
    return operand.variable is None and is_timeless(operand.value)


def _joined(judges: Sequence[Judge], *, is_any: bool) -> Judge:
    if len(judges) == 1:
        return judges[0]

    def decide(rows: Positions) -> Verdict:
        holds, fails = np.full(len(rows), not is_any), np.full(len(rows), is_any)
        for judge in judges:
            held, failed = judge(rows)
            holds = holds | held if is_any else holds & held
            fails = fails & failed if is_any else fails | failed
        return holds, fails

    return decide


def _negated(judge: Judge) -> Judge:
    def decide(rows: Positions) -> Verdict:
        holds, fails = judge(rows)
        return fails, holds

    return decide


def _looked_up(crossing: Codes, marked: Mask) -> Judge:
    def decide(rows: Positions) -> Verdict:
        holds = marked[crossing[rows]]
        return holds, ~holds

    return decide


def _single(crossing: Codes, by_key: Positions, seen: Judge) -> Judge:
    """Return what decides by the one record that each key leads to, of the rows asked about."""

    def decide(rows: Positions) -> Verdict:
        codes = crossing[rows]
        known = codes != NULL
        holds = np.zeros(len(rows), np.bool_)
        holds[known] = seen(by_key[codes[known]])[0]
        return holds, ~holds

    return decide
