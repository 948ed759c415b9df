"""Queries as values: what graph, access and catalog ask of the cache, without SQL text.

Expressions name columns of aliases and hold values to bind; `cache.render` turns a `Select` into
SQL. Everything is immutable and hashable by content, so that plans can be compared and cached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Operator = Literal[
    "eq",
    "neq",
    "lt",
    "lte",
    "gt",
    "gte",
    "in",
    "is_null",
    "same",  # equal, null equals null
    "contains",
    "starts_with",
    "ends_with",
    "icontains",
    "and",
    "or",
    "not",
    "coalesce",
    "list_has",
    "list_has_any",
    "list_has_all",
    "json_contains",
    "matches",  # a regular expression that covers the whole text
    "imatches",  # the same, whatever the case
    "is_empty_list",
    "lower",
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "count_distinct",
    "stddev",  # of a sample
    "median",
    "search_text",  # texts as one, without case and accents
    "date_trunc",  # the unit, then the time
    "quantile",  # continuous; arguments are the value and the fraction
    "first_by",  # the first value in order of the second argument, null or not
    "list_json",  # a list as JSON text
    "iso_timestamp",
    "text",
    "last_four",  # of a text, never more than half of it
    "redact",  # a text with *** for every match of a pattern
]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the relation known as `alias`."""

    alias: str
    name: str


@dataclass(frozen=True, slots=True)
class Bound:
    """A value sent beside the SQL text and cast to `type`, a column type of `cache.columns`."""

    value: Any
    type: str


@dataclass(frozen=True, slots=True)
class BoundList:
    """Several values of one type, sent as one list."""

    values: tuple[Any, ...]
    type: str


@dataclass(frozen=True, slots=True)
class Call:
    """An operator applied to arguments. `count` without arguments counts rows."""

    operator: Operator
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Cast:
    """A value as another type; what cannot be converted becomes null."""

    value: Expression
    type: str


@dataclass(frozen=True, slots=True)
class Case:
    """The value of the first branch whose condition holds."""

    branches: tuple[tuple[Expression, Expression], ...]
    otherwise: Expression | None = None


@dataclass(frozen=True, slots=True)
class Scalar:
    """The single value of a one-column, one-row query."""

    select: Select


@dataclass(frozen=True, slots=True)
class Exists:
    """Whether the query has a row."""

    select: Select


@dataclass(frozen=True, slots=True)
class InSelect:
    """Whether the value is among the query's one column."""

    value: Expression
    select: Select


@dataclass(frozen=True, slots=True)
class RowNumber:
    """1, 2, 3... in `order` within each group of equal `partition`."""

    partition: Expression
    order: tuple[Order, ...]
    also: tuple[Expression, ...] = ()  # more to partition by


@dataclass(frozen=True, slots=True)
class Withheld:
    """A condition that is not shown, in a query that is only looked at; `what` stands for it."""

    what: str


@dataclass(frozen=True, slots=True)
class RowFilter:
    """A condition that tells who may see which rows, where it stands outside of a table's query."""

    condition: Expression


@dataclass(frozen=True, slots=True)
class Verified:
    """Whether the source shows the person the record of that key now; only the source knows.

    It stands among the conditions of a scan until it was asked. Rendered, no record is confirmed.
    """

    connection: str
    object: str
    key: Expression


@dataclass(frozen=True, slots=True)
class KeyedHash:
    """A text's HMAC-SHA-256, so that it can be compared under the same key and nowhere else."""

    value: Expression
    key: bytes = field(repr=False)


Expression = (
    Column
    | Bound
    | BoundList
    | Call
    | Cast
    | Case
    | Scalar
    | Exists
    | InSelect
    | RowNumber
    | Withheld
    | RowFilter
    | Verified
    | KeyedHash
)


@dataclass(frozen=True, slots=True)
class Order:
    """One sort key; nulls last unless told otherwise."""

    by: Expression
    descending: bool = False
    nulls_first: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A synced object of a connection."""

    connection: str
    object: str


@dataclass(frozen=True, slots=True)
class Join:
    """A left join: at most one row of `source` per row, so that rows never multiply."""

    source: Table | Select
    alias: str
    on: Expression


@dataclass(frozen=True, slots=True)
class Select:
    """One query block. `columns` are (name, expression) pairs."""

    columns: tuple[tuple[str, Expression], ...]
    source: Table | Select
    alias: str
    joins: tuple[Join, ...] = ()
    where: Expression | None = None
    group_by: tuple[Expression, ...] = ()
    order_by: tuple[Order, ...] = ()
    limit: int | None = None

    def but(self, **changes: Any) -> Select:
        """Return a copy with other parts."""
        return replace(self, **changes)


TRUE = Call("and", ())
FALSE = Call("or", ())


def all_of(conditions: Sequence[Expression]) -> Expression:
    """Return the conjunction, simplified; true when empty."""
    kept = [condition for condition in conditions if condition != TRUE]
    if FALSE in kept:
        return FALSE
    return kept[0] if len(kept) == 1 else Call("and", tuple(kept))


def any_of(conditions: Sequence[Expression]) -> Expression:
    """Return the disjunction, simplified; false when empty."""
    kept = [condition for condition in conditions if condition != FALSE]
    if TRUE in kept:
        return TRUE
    return kept[0] if len(kept) == 1 else Call("or", tuple(kept))


def texts(values: Sequence[str] | frozenset[str]) -> BoundList:
    """Return texts as one bound list, in a stable order."""
    return BoundList(tuple(sorted(values)), "VARCHAR")
