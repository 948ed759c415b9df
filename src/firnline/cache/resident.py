"""Columns in memory: one object's values, sort codes and key indexes, in one data version.

Takes Arrow columns that DuckDB computed; loaders pick rows from them in microseconds. A `Resident`
is never changed in place: a new data version makes a new one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Positions = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]
NULL = -1


@dataclass(frozen=True)
class Coded:
    """A column as positions in the sorted list of its distinct values; null is -1.

    Order, equality and ranges of values become those of small integers.
    """

    codes: Codes
    values: Any  # pyarrow.Array, sorted, distinct, without null

    @cached_property
    def _codes_by_value(self) -> Mapping[Any, int]:
        return {value: code for code, value in enumerate(self.values.to_pylist())}

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
        return self._codes_by_value.get(self._held(value), NULL)

    def codes_of(self, values: Iterable[Any]) -> list[int]:
        """Return the code of each value as the column holds it, NULL for those no record has."""
        found = self._codes_by_value
        return [found.get(value, NULL) for value in values]

    def _held(self, value: Any) -> Any:
        return pa.scalar(value, self.values.type).as_py()

    def below(self, value: Any) -> int:
        """Return how many distinct values are smaller than `value`."""
        wanted = self._held(value)
        low, high = 0, len(self.values)
        while low < high:
            middle = (low + high) // 2
            if self.values[middle].as_py() < wanted:
                low = middle + 1
            else:
                high = middle
        return low

    def ranks(self, *, descending: bool, nulls_first: bool) -> Codes:
        """Return sort keys: ascending order of these is the wanted order."""
        ranks = -self.codes if descending else self.codes.copy()
        null_rank = np.iinfo(np.int32).min if nulls_first else np.iinfo(np.int32).max
        ranks[self.codes == NULL] = null_rank
        return ranks


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
        rows = np.lexsort((*reversed(sort), link.codes))
        ordered = link.codes[rows]
        starts = np.searchsorted(ordered, np.arange(len(link.values) + 1))
        return cls(rows, starts)

    @property
    def nbytes(self) -> int:
        """Return the memory held."""
        return int(self.rows.nbytes + self.starts.nbytes)

    def group(self, code: int) -> Positions:
        """Return the rows of one key, in order."""
        return self.rows[self.starts[code] : self.starts[code + 1]]


def in_order(sort: Sequence[Codes], count: int) -> Positions:
    """Return all row positions in the order of ranks, the most significant first."""
    if not sort:
        return np.arange(count)
    return np.lexsort(tuple(reversed(sort)))


def compared(coded: Coded, operator: str, value: Any) -> Mask | None:
    """Return which rows satisfy `column operator value`; None for an operator not kept here.

    Null satisfies nothing but isNull, as in SQL.
    """
    codes = coded.codes
    match operator:
        case "eq":
            wanted_code = coded.code(value)
            return _mask(codes == wanted_code) if wanted_code != NULL else _none(codes)
        case "neq":
            return _mask((codes != coded.code(value)) & (codes != NULL))
        case "in" | "notIn":
            wanted = [coded.code(each) for each in value]
            among = np.isin(codes, [code for code in wanted if code != NULL])
            return _mask(among if operator == "in" else ~among & (codes != NULL))
        case "isNull":
            return _mask((codes == NULL) == bool(value))
        case "lt" | "lte" | "gt" | "gte":
            return _range(coded, operator, value)
        case _:
            return None


def _range(coded: Coded, operator: str, value: Any) -> Mask:
    codes = coded.codes
    smaller = coded.below(value)
    present = coded.code(value) != NULL
    match operator:
        case "lt":
            return _mask((codes < smaller) & (codes != NULL))
        case "lte":
            return _mask((codes < smaller + present) & (codes != NULL))
        case "gt":
            return _mask(codes >= smaller + present)
        case _:
            return _mask(codes >= smaller)


def _mask(condition: object) -> Mask:
    return np.asarray(condition, dtype=np.bool_)


def _none(codes: Codes) -> Mask:
    return np.zeros(len(codes), dtype=np.bool_)
