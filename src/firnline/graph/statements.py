"""Statements: the queries of one level, before the keys of its parents are known.

Takes scans and what is asked of them; plan puts statements together, loader renders them per batch
of parents, and resident answers those from memory that are simple enough.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from firnline.cache.query import (
    Bound,
    BoundList,
    Call,
    Column,
    Expression,
    Order,
    RowNumber,
    Select,
)
from firnline.catalog.model import ScalarName
from firnline.graph.filter import SortKey
from firnline.graph.memory.criteria import (
    CriteriaReader,
    Criterion,
    NoCriteriaError,
    Operand,
    split,
)
from firnline.graph.scan import Scan
from firnline.graph.shape import GraphObject, GraphRelation

PARENT = "parent"
NUMBER = "number"


@dataclass(slots=True)
class Columns:
    """The columns that a statement selects, each expression once."""

    named: dict[str, Expression] = field(default_factory=dict)
    origins: dict[str, tuple[str, str]] = field(default_factory=dict)
    _names: dict[Expression, str] = field(default_factory=dict)

    def add(self, expression: Expression, origin: tuple[str, str] | None = None) -> str:
        """Return the name under which `expression` is selected.

        `origin` says what it is: a field and its form ("answer", "link", "text").
        """
        name = self._names.get(expression)
        if name is None:
            name = f"c{len(self.named)}"
            self._names[expression] = name
            self.named[name] = expression
        if origin is not None:
            self.origins.setdefault(name, origin)
        return name


@dataclass(frozen=True, slots=True)
class Outline:
    """What a statement asks in terms of fields, for answering it from columns in memory.

    All `filters` must hold, and all `criteria`; `is_complex` says that there is more to it, which
    only DuckDB can answer. `order` are (field, direction).
    """

    filters: tuple[Operand, ...] = ()
    criteria: tuple[Criterion, ...] = ()
    order: tuple[tuple[str, str], ...] = ()
    link: str | None = None
    is_complex: bool = False


def outlined(
    found: GraphObject,
    where: Mapping[str, Any],
    order: Sequence[SortKey],
    relation: GraphRelation | None,
    *,
    reader: CriteriaReader,
    is_complex: bool,
) -> Outline:
    """Return the outline of a page; complex when it needs more than columns in memory decide."""
    order = [key for key in order if not key.is_tie]  # columns in memory have distinct keys
    filters, criteria = (), ()  # type: tuple[Operand, ...], tuple[Criterion, ...]
    try:
        filters, criteria = split(reader.where(found, where))
    except NoCriteriaError:
        is_complex = True
    if any(found.fields.get(key.field.name) is not key.field for key in order):
        is_complex = True  # sorts by another object's field
    return Outline(
        filters=filters,
        criteria=criteria,
        order=tuple((key.field.name, key.direction) for key in order),
        link=None if relation is None else relation.remote,
        is_complex=is_complex,
    )


@dataclass(slots=True)
class Statement:
    """A query per batch of parent keys. `link` is the expression compared with the keys."""

    scan: Scan
    columns: Columns
    where: list[Expression]
    order: tuple[Order, ...] = ()
    limit: int | None = None
    link: Expression | None = None
    outline: Outline | None = None

    def select(self, keys: Sequence[str] | None) -> Select:
        """Return the query for the parents `keys`, or for everything when there are none."""
        where = list(self.where)
        if keys is not None:
            assert self.link is not None
            self.columns.named[PARENT] = self.link
            where.append(Call("in", (self.link, BoundList(tuple(keys), "VARCHAR"))))
        columns = tuple(self.columns.named.items()) or (("c0", Bound(1, "INTEGER")),)
        select = self.scan.select(columns, where)
        if keys is None or self.limit is None:
            return select.but(order_by=self.order, limit=self.limit)
        assert self.link is not None
        number = RowNumber(self.link, self.order)
        inner = select.but(columns=(*columns, (NUMBER, number)))
        return Select(
            columns=tuple((name, Column("w", name)) for name, _ in columns),
            source=inner,
            alias="w",
            where=Call("lte", (Column("w", NUMBER), Bound(self.limit, "BIGINT"))),
            order_by=(Order(Column("w", NUMBER)),),
        )


@dataclass(slots=True)
class AggregateStatement:
    """Counts and aggregates over all matching rows; grouped by `link` for relations."""

    scan: Scan
    columns: Columns
    where: list[Expression]
    link: Expression | None = None
    outline: Outline | None = None

    def select(self, keys: Sequence[str] | None) -> Select:
        """Return the query for the parents `keys`, or over everything when there are none."""
        columns = tuple(self.columns.named.items()) or (("c0", Call("count", ())),)
        if keys is None:
            return self.scan.select(columns, self.where)
        assert self.link is not None
        where = [*self.where, Call("in", (self.link, BoundList(tuple(keys), "VARCHAR")))]
        return self.scan.select(((PARENT, self.link), *columns), where).but(group_by=(self.link,))


def answered(value: Expression, scalar: ScalarName) -> Expression:
    """Return a value in the form that the JSON answer carries."""
    match scalar:
        case "decimal" | "date" | "time" | "json":
            return Call("text", (value,))
        case "timestamp":
            return Call("iso_timestamp", (value,))
        case _:
            return value
