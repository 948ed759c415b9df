"""Groups: records of a connection put together by keys, with aggregates of each group.

Takes a `groupBy` field; loader runs the statement and hands out its rows. Keys and operands come
from scans, so groups hold permitted records only, and a masked field cannot be a key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphql import GraphQLObjectType, get_named_type

from firnline.cache.query import (
    Bound,
    BoundList,
    Call,
    Cast,
    Column,
    Expression,
    Order,
    RowNumber,
    Select,
    all_of,
)
from firnline.catalog.conditions import COLUMN_TYPES
from firnline.catalog.model import ScalarName
from firnline.errors import UsageError
from firnline.graph.aggregates import aggregate_expression, aggregate_scalar, fraction_of
from firnline.graph.filter import FilterError, Filters, NullFilterError, SortKey, check_size, only
from firnline.graph.rows import Rows
from firnline.graph.scan import Scan
from firnline.graph.selection import Selected, Selections

GROUPS_DEFAULT = 100
GROUPS_MAX = 1_000
KEYS_MAX = 8
_PARENT = "parent"
_NUMBER = "number"
Path = tuple[str, ...]


class GroupCountError(UsageError):
    """The caller asked for more groups than one answer may hold, or for less than none."""

    code = "group_count"

    def __init__(self, asked: int) -> None:
        super().__init__(
            f"first: {asked} groups is outside 0..{GROUPS_MAX}",
            hint="Restrict the groups by `having`, or truncate times further.",
        )


@dataclass(frozen=True, slots=True)
class _Key:
    path: Path
    column: str
    scalar: ScalarName


@dataclass(slots=True)
class GroupStatement:
    """Groups of records, per parent for relations: rows, then groups, then the chosen ones."""

    scan: Scan
    where: list[Expression]
    link: Expression | None
    first: int
    keys: list[_Key] = field(default_factory=list)
    values: dict[str, Expression] = field(default_factory=dict)  # what is read of each row
    aggregates: dict[str, Expression] = field(default_factory=dict)
    shown: dict[str, Expression] = field(default_factory=dict)
    having: list[Expression] = field(default_factory=list)
    order: list[Order] = field(default_factory=list)
    shape: dict[str, Any] = field(default_factory=dict)  # response key -> column, shape or text

    def select(self, parents: Sequence[str] | None) -> Select:
        """Return the query for `parents`, or over everything when there are none."""
        values, where = dict(self.values), list(self.where)
        names = [key.column for key in self.keys]
        if parents is not None:
            assert self.link is not None
            values[_PARENT] = self.link
            names.append(_PARENT)
            where.append(Call("in", (self.link, BoundList(tuple(parents), "VARCHAR"))))
        rows = self.scan.select(tuple(values.items()) or (("x", Bound(1, "INTEGER")),), where)
        by = tuple(Column("r", name) for name in names)
        groups = Select(
            columns=(*((each.name, each) for each in by), *self.aggregates.items()),
            source=rows,
            alias="r",
            group_by=by,
        )
        chosen = Select(
            columns=tuple(self.shown.items()) or (("c", Bound(1, "INTEGER")),),
            source=groups,
            alias="g",
            where=all_of(self.having) if self.having else None,
        )
        if parents is None:
            return chosen.but(order_by=tuple(self.order), limit=self.first)
        parent = Column("g", _PARENT)
        number = RowNumber(parent, tuple(self.order))
        numbered = chosen.but(columns=(*chosen.columns, (_PARENT, parent), (_NUMBER, number)))
        return Select(
            columns=tuple((name, Column("w", name)) for name in (*self.shown, _PARENT)),
            source=numbered,
            alias="w",
            where=Call("lte", (Column("w", _NUMBER), Bound(self.first, "BIGINT"))),
            order_by=(Order(Column("w", _NUMBER)),),
        )

    def answers(self, rows: Rows) -> list[dict[str, Any]]:
        """Return one value per group."""
        return [_answer(self.shape, rows, position) for position in range(rows.count)]


@dataclass(frozen=True, slots=True)
class _Shown:
    column: str


def _answer(shape: Mapping[str, Any], rows: Rows, position: int) -> dict[str, Any]:
    return {
        key: _answer(entry, rows, position)
        if isinstance(entry, dict)
        else rows.columns[entry.column][position]
        if isinstance(entry, _Shown)
        else entry
        for key, entry in shape.items()
    }


class Grouper:
    """Plans one `groupBy` field."""

    def __init__(
        self, statement: GroupStatement, filters: Filters, selections: Selections, answered: Any
    ) -> None:
        self._statement = statement
        self._scan = statement.scan
        self._filters = filters
        self._selections = selections
        self._answered = answered
        self._names: dict[Expression, str] = {}

    def plan(self, selected: Selected) -> GroupStatement:
        """Return the statement of the field; raises FilterError, MaskedFieldError and the like."""
        arguments = self._selections.arguments(selected)
        self._keys(arguments["by"])
        having = arguments.get("having") or {}
        check_size(having)
        for function, wanted in having.items():
            self._statement.having += self._having(function, wanted)
        for each in arguments.get("orderBy") or []:
            self._statement.order.append(self._order(each))
        # By all keys in the end, so that equal aggregates never change places.
        self._statement.order += [Order(Column("g", key.column)) for key in self._statement.keys]
        self._statement.shape = self._group(selected)
        return self._statement

    def _keys(self, wanted: Sequence[Mapping[str, Any]]) -> None:
        if not 1 <= len(wanted) <= KEYS_MAX:
            raise FilterError(
                f"groupBy takes 1 to {KEYS_MAX} keys, not {len(wanted)}",
                hint="Write by: [{region: VALUE}, {createdAt: MONTH}].",
            )
        for each in wanted:
            path, expression, scalar = grouping_key(self._filters, self._scan, each)
            if any(key.path == path for key in self._statement.keys):
                raise FilterError(
                    f"{'.'.join(path)} is a key twice", hint="Ask for it in two groupBy fields."
                )
            column = f"k{len(self._statement.keys)}"
            self._statement.keys.append(_Key(path, column, scalar))
            self._statement.values[column] = expression

    def _having(self, function: str, wanted: Any) -> list[Expression]:
        if wanted is None:
            raise NullFilterError(f"having.{function}")
        if function == "count":
            return [self._filters.compared(self._count(), "int", wanted)]
        found = []
        for name, operators in wanted.items():
            if operators is None:
                raise NullFilterError(f"having.{function}.{name}")
            value, scalar = self._aggregate(function, name)
            found.append(self._filters.compared(value, scalar, operators))
        return found

    def _order(self, wanted: Mapping[str, Any]) -> Order:
        place, chosen = only(wanted, "groupBy.orderBy")
        if place == "key":
            path, direction = _steps(chosen)
            key = self._key(path)
            field_ = self._scan.object.fields[self._scan.object.key]
            return SortKey(field_, Column("g", key.column), direction).order
        function, chosen = only(chosen, "aggregate")
        if function == "count":
            return SortKey(self._any_field(), self._count(), chosen).order
        name, direction = only(chosen, function)
        return SortKey(self._any_field(), self._aggregate(function, name)[0], direction).order

    def _any_field(self) -> Any:
        return self._scan.object.fields[self._scan.object.key]

    def _key(self, path: Path) -> _Key:
        found = next((key for key in self._statement.keys if key.path == path), None)
        if found is None:
            raise FilterError(
                f"{'.'.join(path)} is not among the keys of groupBy",
                hint="Name it in `by`, or ask for an aggregate of it.",
            )
        return found

    def _count(self) -> Expression:
        return self._aggregated(Call("count", ()))

    def _aggregate(
        self, function: str, name: str, fraction: float = 0.5
    ) -> tuple[Expression, ScalarName]:
        scalar = self._scan.object.fields[name].scalar
        operand = self._operand(self._scan.field(name, "aggregate"))
        value = aggregate_expression(function, operand, scalar, fraction)
        return self._aggregated(value), aggregate_scalar(function, scalar)

    def _operand(self, expression: Expression) -> Expression:
        values = self._statement.values
        name = next((name for name, each in values.items() if each == expression), None)
        if name is None:
            name = f"v{len(values)}"
            values[name] = expression
        return Column("r", name)

    def _aggregated(self, value: Expression) -> Expression:
        name = self._names.setdefault(value, f"a{len(self._names)}")
        self._statement.aggregates[name] = value
        return Column("g", name)

    def _show(self, value: Expression, scalar: ScalarName) -> _Shown:
        column = f"c{len(self._statement.shown)}"
        self._statement.shown[column] = self._answered(value, scalar)
        return _Shown(column)

    def _group(self, selected: Selected) -> dict[str, Any]:
        shape: dict[str, Any] = {}
        for each in self._of(selected):
            if each.name == "key":
                shape[each.key] = self._shown_keys(each, ())
            elif each.name == "aggregate":
                shape[each.key] = self._shown_aggregates(each)
            else:
                shape[each.key] = each.type.name
        return shape

    def _shown_keys(self, selected: Selected, path: Path) -> dict[str, Any]:
        shape: dict[str, Any] = {}
        for each in self._of(selected):
            if each.name == "__typename":
                shape[each.key] = each.type.name
            elif each.nodes[0].selection_set is not None:
                shape[each.key] = self._shown_keys(each, (*path, each.name))
            else:
                key = self._key((*path, each.name))
                shape[each.key] = self._show(Column("g", key.column), key.scalar)
        return shape

    def _shown_aggregates(self, selected: Selected) -> dict[str, Any]:
        shape: dict[str, Any] = {}
        for each in self._of(selected):
            if each.name == "__typename":
                shape[each.key] = each.type.name
            elif each.name == "count":
                shape[each.key] = self._show(self._count(), "int")
            else:
                fraction = fraction_of(self._selections.arguments(each))
                shape[each.key] = {
                    inner.key: inner.type.name
                    if inner.name == "__typename"
                    else self._show(*self._aggregate(each.name, inner.name, fraction))
                    for inner in self._of(each)
                }
        return shape

    def _of(self, selected: Selected) -> list[Selected]:
        assert selected.definition is not None
        type_ = get_named_type(selected.definition.type)
        assert isinstance(type_, GraphQLObjectType)
        return self._selections.of(type_, selected.nodes)


def grouping_key(
    filters: Filters, scan: Scan, wanted: Mapping[str, Any]
) -> tuple[Path, Expression, ScalarName]:
    """Return the way, the expression and the type of one `<Type>GroupBy` value."""
    path, truncation = _steps(wanted)
    key = filters.sort_key(scan, wanted)
    scalar = key.field.scalar
    if truncation == "VALUE":
        return path, key.expression, scalar
    start = Call("date_trunc", (Bound(truncation.lower(), "VARCHAR"), key.expression))
    return path, Cast(start, COLUMN_TYPES[scalar]), scalar


def group_limit(asked: int | None) -> int:
    """Return how many groups to answer; raises GroupCountError."""
    wanted = GROUPS_DEFAULT if asked is None else asked
    if not 0 <= wanted <= GROUPS_MAX:
        raise GroupCountError(wanted)
    return wanted


def _steps(wanted: Any) -> tuple[Path, str]:
    """Return the names that lead to a choice, and the choice."""
    path: list[str] = []
    while isinstance(wanted, Mapping):
        name, wanted = only(wanted, "groupBy")
        path.append(name)
    return tuple(path), wanted
