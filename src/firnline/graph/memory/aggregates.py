"""Aggregates over rows of columns in memory, one answer per parent.

Takes the rows that match a list and whose they are; `answers` puts the texts in its answers.
Only what comes out as DuckDB has it, digit by digit, is worked out here: no sums of floats.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from firnline.cache.resident import NULL, Picked
from firnline.graph.aggregates import aggregate_scalar
from firnline.graph.memory.views import UnfitError, View
from firnline.graph.totals import AggregateColumn, AggregateShape, columns_in

_WHOLE_MAX = 2**63
_DIGITS_MAX = 38


def load(view: View, shape: AggregateShape) -> None:
    """Bring all that answers an aggregate into memory."""
    for column in columns_in(shape):
        if column.field:
            view.codes(column.field, "raw")
            view.column(column.field, "raw" if column.function == "sum" else "answer")


def aggregated(view: View | None, shape: AggregateShape, every: Picked) -> list[bytes]:
    """Return the answer of each parent as JSON; `every` are all rows, whatever the page shows."""
    return [orjson.dumps(each) for each in _answers(view, shape, every)]


def _answers(view: View | None, shape: AggregateShape, every: Picked) -> list[dict[str, Any]]:
    columns: list[Sequence[Any]] = []
    for entry in shape.entries.values():
        if isinstance(entry, AggregateShape):
            columns.append(_answers(view, entry, every))
        elif isinstance(entry, str):
            columns.append([entry] * len(every.counts))
        else:
            columns.append(_values(view, entry, every))
    if not columns:
        return [{} for _ in every.counts]
    return [dict(zip(shape.entries, each, strict=True)) for each in zip(*columns, strict=True)]


def _values(view: View | None, column: AggregateColumn, every: Picked) -> Sequence[Any]:
    if view is None:
        return [column.empty] * len(every.counts)
    match column.function:
        case "count":
            return list(every.totals.tolist())
        case "sum":
            return _sums(view, column.field, every)
        case _:
            return _extremes(view, column.field, every, is_most=column.function == "max")


def _extremes(view: View, name: str, every: Picked, *, is_most: bool) -> list[Any]:
    codes = view.codes(name, "raw").codes[every.rows]
    known = codes != NULL
    rows, owners, codes = every.rows[known], every.owners[known], codes[known]
    ranks = -codes if is_most else codes
    best = np.full(len(every.counts), np.iinfo(np.int32).max, np.int32)
    np.minimum.at(best, owners, ranks)
    is_best = ranks == best[owners]
    chosen = np.full(len(every.counts), NULL, np.int64)
    chosen[owners[is_best]] = rows[is_best]  # any of them: they have the same value
    picked = pa.array(chosen, mask=chosen == NULL)
    return view.column(name, "answer").take(picked).to_pylist()  # type: ignore[no-any-return]


def _sums(view: View, name: str, every: Picked) -> list[Any]:
    column, coded = view.column(name, "raw"), view.codes(name, "raw")
    known = coded.codes[every.rows] != NULL
    rows, owners = every.rows[known], every.owners[known]
    found: list[Any] = [None] * len(every.counts)
    if not len(rows):
        return found
    # The greatest that a sum could be: where DuckDB might refuse it, DuckDB is asked.
    most = max(abs(coded.values[0].as_py()), abs(coded.values[-1].as_py())) * len(rows)
    is_decimal = pa.types.is_decimal(column.type)
    limit = 10 ** (_DIGITS_MAX - column.type.scale) if is_decimal else _WHOLE_MAX
    if most >= limit or not (is_decimal or pa.types.is_integer(column.type)):
        raise UnfitError
    table = pa.table({"owner": owners, "value": column.take(pa.array(rows))})
    sums = table.group_by("owner").aggregate([("value", "sum")])
    is_text = aggregate_scalar("sum", view.scalar(name)) == "decimal"
    for owner, total in zip(
        *(sums[each].to_pylist() for each in ("owner", "value_sum")), strict=True
    ):
        found[owner] = f"{total:f}" if is_decimal else str(total) if is_text else total
    return found
