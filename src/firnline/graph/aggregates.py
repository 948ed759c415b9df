"""Aggregate functions: which there are, what they take and give, and their expressions.

Takes fields of scans; inputs, filter, plan and grouping build types and statements from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firnline.cache.query import Bound, Call, Cast, Expression, Operator
from firnline.catalog.model import ScalarName
from firnline.errors import UsageError

SUMMABLE: frozenset[ScalarName] = frozenset({"int", "long", "decimal", "float"})
COMPARABLE: frozenset[ScalarName] = SUMMABLE | {"date", "timestamp", "string"}
SORTABLE: frozenset[ScalarName] = COMPARABLE | {"id", "bool", "time"}

AGGREGATES: Mapping[str, frozenset[ScalarName]] = {
    "sum": SUMMABLE,
    "avg": SUMMABLE,
    "min": COMPARABLE,
    "max": COMPARABLE,
    "countDistinct": SORTABLE,
    "stddev": SUMMABLE,
    "median": SUMMABLE,
}
# The end of the name of the type that holds a function's fields.
AGGREGATE_TYPES: Mapping[str, str] = {
    "sum": "Sum",
    "avg": "Avg",
    "min": "Min",
    "max": "Max",
    "countDistinct": "CountDistinct",
    "stddev": "Statistics",
    "median": "Statistics",
    "percentile": "Statistics",
}
_OPERATORS: Mapping[str, Operator] = {
    "sum": "sum",
    "avg": "avg",
    "min": "min",
    "max": "max",
    "countDistinct": "count_distinct",
    "stddev": "stddev",
    "median": "median",
}
_SUMS: Mapping[ScalarName, ScalarName] = {"int": "long", "long": "decimal"}


class PercentileError(UsageError):
    """A percentile lies outside of all values."""

    code = "percentile_invalid"

    def __init__(self, asked: float) -> None:
        super().__init__(f"p: {asked} is outside 0..1", hint="Ask for p: 0.95, not p: 95.")


def aggregate_scalar(function: str, scalar: ScalarName) -> ScalarName:
    """Return the type of an aggregate over a field of type `scalar`."""
    match function:
        case "avg" | "stddev" | "median" | "percentile":
            return "float"
        case "sum":
            return _SUMS.get(scalar, scalar)
        case "countDistinct":
            return "int"
        case _:
            return scalar


def aggregate_expression(
    function: str, value: Expression, scalar: ScalarName, fraction: float = 0.5
) -> Expression:
    """Return the aggregate of `value`, a field of type `scalar`, over the rows of a group.

    `fraction` is the place of a percentile, from 0 to 1.
    """
    if function in ("stddev", "median", "percentile"):  # else decimals would give decimals
        value = Cast(value, "DOUBLE")
    if function == "percentile":
        return Call("quantile", (value, Bound(fraction, "DOUBLE")))
    found = Call(_OPERATORS[function], (value,))
    if aggregate_scalar(function, scalar) == "long":  # DuckDB sums whole numbers into 128 bits
        return Cast(found, "BIGINT")
    return found


def fraction_of(arguments: Mapping[str, Any]) -> float:
    """Return the place that a percentile asks for, the middle where the function takes none."""
    found = float(arguments.get("p", 0.5))
    if not 0 <= found <= 1:
        raise PercentileError(found)
    return found
