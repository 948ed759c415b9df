"""Columns in memory: sort codes and key indexes of one object's values, in one data version.

Takes Arrow columns that DuckDB computed; graph.memory finds rows through them in microseconds.
Nothing here is changed in place: a new data version makes new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Positions = npt.NDArray[np.int32]
Codes = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]
Matches = Callable[[Positions], Mask]
Verdict = tuple[Mask, Mask]  # which rows satisfy it, which do not; in neither: unknown
Judge = Callable[[Positions], Verdict]
NULL = -1
_MOST = np.iinfo(np.int32).max
_FEW = 512  # values that are cheaper looked up one by one than by a hash of the whole column
_CHUNK_MIN, _CHUNK_MAX = 256, 65_536


@dataclass(frozen=True, slots=True)
class Coded:
    """A column as positions in the sorted list of its distinct values; null is -1.

    Order, equality and ranges of values become those of small integers.
    """

    codes: Codes
    values: Any  # pyarrow.Array, sorted, distinct, without null

    @classmethod
    def of(cls, column: Any) -> Coded:
        """Code a pyarrow.Array."""
        if pa.types.is_boolean(column.type):
            column = column.cast(pa.int8())  # Arrow does not sort truth
        distinct = pc.unique(column).drop_null()
        ordered = distinct.take(pc.sort_indices(distinct))
        codes = pc.fill_null(pc.index_in(column, value_set=ordered), NULL)
        return cls(codes.to_numpy(zero_copy_only=False).astype(np.int32), ordered)

    @property
    def nbytes(self) -> int:
        """Return the memory held."""
        return int(self.codes.nbytes + self.values.nbytes)

    def code(self, value: Any) -> int:
        """Return the code of `value`, NULL when no record has it.

        Raises pyarrow.ArrowInvalid for a value that the column's type cannot hold.
        """
        place, is_present = self._place(value)
        return place if is_present else NULL

    def codes_of(self, values: Sequence[Any]) -> Codes:
        """Return the code of each value as the column holds it, NULL for those no record has."""
        if len(values) <= _FEW:
            return np.array([self.code(value) for value in values], np.int32)
        return self.codes_in(pa.array(values, self.values.type))

    def codes_in(self, column: Any) -> Codes:
        """Return the code of each value of another column of the same type."""
        codes = pc.fill_null(pc.index_in(column, value_set=self.values), NULL)
        return np.asarray(codes.to_numpy(zero_copy_only=False), np.int32)

    def ranks(self, *, descending: bool, nulls_first: bool) -> Codes:
        """Return sort keys: ascending order of these is the wanted order."""
        ranks = -self.codes if descending else self.codes.copy()
        null_rank = np.iinfo(np.int32).min if nulls_first else _MOST
        ranks[self.codes == NULL] = null_rank
        return ranks

    def _place(self, value: Any) -> tuple[int, bool]:
        """Return how many distinct values are smaller, and whether `value` is among them."""
        wanted = pa.scalar(value, self.values.type).as_py()
        values = self.values
        low, high = 0, len(values)
        while low < high:
            middle = (low + high) // 2
            if values[middle].as_py() < wanted:
                low = middle + 1
            else:
                high = middle
        return low, low < len(values) and values[low].as_py() == wanted


@dataclass(frozen=True, slots=True)
class Comparison:
    """`column operator value` as a span of codes, or a choice of them. Null satisfies only isNull.

    `spared` turns it round: everything but that, and but null.
    """

    codes: Codes
    low: int = 0
    high: int = 0
    chosen: Codes | None = None
    spared: bool = False
    knows_null: bool = False  # decides about null, too

    @classmethod
    def of(cls, coded: Coded, operator: str, value: Any) -> Comparison | None:
        """Return the comparison, None for an operator that is not kept here."""
        codes = coded.codes
        if operator == "notIn" and not len(value):
            return cls(codes, NULL, _MOST)  # as in SQL, where nothing is among none: null neither
        if operator == "in" and not len(value):
            return cls(codes, knows_null=True)
        if operator in ("in", "notIn"):
            wanted = coded.codes_of(value)
            return cls(codes, chosen=wanted[wanted != NULL], spared=operator == "notIn")
        if operator == "isNull":
            low, high = (NULL, 0) if value else (0, _MOST)
            return cls(codes, low, high, knows_null=True)
        if operator not in ("eq", "neq", "lt", "lte", "gt", "gte"):
            return None
        place, is_present = coded._place(value)
        match operator:
            case "lt":
                return cls(codes, 0, place)
            case "lte":
                return cls(codes, 0, place + is_present)
            case "gt":
                return cls(codes, place + is_present, _MOST)
            case "gte":
                return cls(codes, place, _MOST)
            case _:
                return cls(codes, place, place + is_present, spared=operator == "neq")

    def holds(self, rows: Positions) -> Mask:
        """Return which of `rows` satisfy it."""
        return self._holds(self.codes[rows])

    def verdict(self, rows: Positions) -> Verdict:
        """Return which of `rows` satisfy it, and which do not. Of null most know neither."""
        codes = self.codes[rows]
        holds = self._holds(codes)
        return holds, ~holds if self.knows_null else ~holds & (codes != NULL)

    def _holds(self, codes: Codes) -> Mask:
        if self.chosen is not None:
            found = np.isin(codes, self.chosen)
        else:
            found = (codes >= self.low) & (codes < self.high)
        return np.asarray(~found & (codes != NULL) if self.spared else found, np.bool_)


@dataclass(frozen=True, slots=True)
class Picked:
    """Rows of several groups: group `n` holds the next `counts[n]` of `rows`.

    `totals` are the counts before the limit, `whole` are the groups before it, where asked for.
    """

    rows: Positions
    owners: Positions
    counts: Positions
    totals: Positions
    whole: Picked | None = None


@dataclass(frozen=True, slots=True)
class LinkIndex:
    """Rows grouped by a key and in a wanted order within each group.

    Group `code` holds `rows[starts[code]:starts[code + 1]]`.
    """

    rows: Positions
    starts: Positions

    @classmethod
    def of(cls, link: Coded, sort: Sequence[Codes]) -> LinkIndex:
        """Group by `link`; `sort` are ranks, the most significant first."""
        rows = np.lexsort((*reversed(sort), link.codes)).astype(np.int32)
        ordered = link.codes[rows]
        starts = np.searchsorted(ordered, np.arange(len(link.values) + 1))
        return cls(rows, starts.astype(np.int32))

    @property
    def nbytes(self) -> int:
        """Return the memory held."""
        return int(self.rows.nbytes + self.starts.nbytes)

    def group(self, code: int) -> Positions:
        """Return the rows of one key, in order; none for NULL."""
        if code == NULL:
            return self.rows[:0]
        return self.rows[self.starts[code] : self.starts[code + 1]]

    def pick(self, codes: Codes, matches: Matches | None, limit: int | None) -> Picked:
        """Return, of each key's group, the first `limit` rows that match."""
        known = codes != NULL
        starts = np.where(known, self.starts[codes], 0)
        lengths = np.where(known, self.starts[codes + 1] - starts, 0)
        owners = np.repeat(np.arange(len(codes), dtype=np.int32), lengths)
        rows = self.rows[np.arange(len(owners)) + np.repeat(starts - _before(lengths), lengths)]
        totals = lengths
        if matches is not None:
            kept = matches(rows)
            rows, owners = rows[kept], owners[kept]
            totals = np.bincount(owners, minlength=len(codes))
        counts = totals
        if limit is not None and len(totals) and totals.max() > limit:
            first = np.arange(len(rows)) - np.repeat(_before(totals), totals) < limit
            rows, owners = rows[first], owners[first]
            counts = np.minimum(totals, limit)
        return Picked(rows, owners, counts.astype(np.int32), totals.astype(np.int32))


def _before(lengths: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return how much lies before each of several stretches that follow each other."""
    return np.asarray(np.cumsum(lengths) - lengths)


def in_order(sort: Sequence[Codes], count: int) -> Positions:
    """Return all row positions in the order of ranks, the most significant first."""
    if not sort:
        return np.arange(count, dtype=np.int32)
    return np.lexsort(tuple(reversed(sort))).astype(np.int32)


def first_matching(rows: Positions, matches: Matches, limit: int) -> Positions:
    """Return the first `limit` of `rows` that match, looking no further than needed."""
    found: list[Positions] = []
    wanted, start, size = limit, 0, _CHUNK_MIN
    while wanted > 0 and start < len(rows):
        chunk = rows[start : start + size]
        kept = chunk[matches(chunk)][:wanted]
        found.append(kept)
        wanted -= len(kept)
        start += size
        size = min(4 * size, _CHUNK_MAX)
    return np.concatenate(found) if found else rows[:0]
