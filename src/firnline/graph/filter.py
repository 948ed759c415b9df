"""`where` and `orderBy` as expressions over scans.

Takes coerced input values; plan receives conditions and sort keys. Everything is read through
scans, so a condition ranges over permitted rows only and a masked field is an error, also when it
is reached through a relation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from firnline.cache.query import (
    Call,
    Column,
    Exists,
    Expression,
    Order,
    Scalar,
    Select,
    all_of,
    any_of,
)
from firnline.catalog.conditions import ConditionError, condition
from firnline.catalog.model import ScalarName
from firnline.errors import UsageError
from firnline.graph.aggregates import aggregate_expression, aggregate_scalar
from firnline.graph.request import GraphContext
from firnline.graph.scan import Aliases, DeniedObjectError, Scan
from firnline.graph.shape import GraphField, GraphFork, GraphObject, GraphRelation

NESTING_MAX = 8
ORDER_NESTING_MAX = 3
CONDITIONS_MAX = 200  # of one `where` or `having`, those of related records among them
SORT_KEYS_MAX = 16


class FilterError(UsageError):
    """A filter or order cannot be understood."""

    code = "filter_invalid"


class FilterTooLargeError(UsageError):
    """A filter or order has more parts than one statement should have."""

    code = "filter_too_large"

    def __init__(self, what: str, count: int, limit: int) -> None:
        super().__init__(
            f"{count} {what} are over the limit of {limit}",
            hint="Give several values of one field as a list (`in`), or split the question.",
        )


class NullFilterError(FilterError):
    """A filter holds null where it needs a condition."""

    def __init__(self, place: str) -> None:
        super().__init__(
            f"{place}: null filters nothing", hint="Leave the key out, or ask for {isNull: true}."
        )


class Filters:
    """Compiles the inputs of one statement."""

    def __init__(self, context: GraphContext, aliases: Aliases) -> None:
        self._context = context
        self._aliases = aliases

    def where(self, scan: Scan, wanted: Mapping[str, Any], depth: int = 0) -> Expression:
        """Return the condition that a `<Type>Where` value states about `scan`.

        Raises FilterError, ConditionError or MaskedFieldError.
        """
        if depth == 0:
            check_size(wanted)
        if depth > NESTING_MAX:
            raise FilterError(
                f"the filter is nested deeper than {NESTING_MAX}",
                hint="Flatten and/or/not, or split the question.",
            )
        return all_of([self._part(scan, key, value, depth) for key, value in wanted.items()])

    def order(self, scan: Scan, wanted: Sequence[Mapping[str, str | None]]) -> list[SortKey]:
        """Return the sort keys of an `orderBy` value, ended by the key so that order is total.

        A builder's key need not be one at the source: the source's own then decides at last.
        """
        if len(wanted) > SORT_KEYS_MAX:
            raise FilterTooLargeError("sort keys", len(wanted), SORT_KEYS_MAX)
        keys: list[SortKey] = []
        for each in wanted:
            keys.append(self._sort_key(scan, each, 0))
        key_field = scan.object.fields[scan.object.key]
        if all(key.field is not key_field for key in keys):
            keys.append(SortKey(key_field, scan.field(key_field.name), "ASC"))
        tie = scan.tie()
        if tie is not None:
            source = scan.object.source
            field = replace(key_field, name="", scalar=source.by_name[source.key].type)
            keys.append(SortKey(field, tie, "ASC", is_tie=True))
        return keys

    def scan(self, found: GraphObject) -> Scan:
        """Return another scan for the same statement."""
        return Scan(self._context, found, self._aliases)

    def sort_key(self, scan: Scan, wanted: Mapping[str, Any]) -> SortKey:
        """Return the one sort key that an entry of `orderBy` or `by` states."""
        return self._sort_key(scan, wanted, 0)

    def compared(
        self, expression: Expression, scalar: ScalarName, wanted: Mapping[str, Any]
    ) -> Expression:
        """Return the condition that an operator input states about `expression`."""
        return self._operators(expression, scalar, wanted, None)

    def _sort_key(self, scan: Scan, wanted: Mapping[str, Any], depth: int) -> SortKey:
        name, chosen = only(wanted, "orderBy")
        field = scan.object.fields.get(name)
        if field is not None:
            return SortKey(field, scan.field(name, "filter"), chosen)
        if depth >= ORDER_NESTING_MAX:
            raise FilterError(
                f"orderBy leads over more than {ORDER_NESTING_MAX} relations",
                hint="Order by a nearer record's field.",
            )
        relation = scan.object.relations[name]
        if relation.many:
            return self._sort_by_aggregate(scan, relation, chosen)
        return self._sort_by_related(scan, relation, chosen, depth)

    def _sort_by_related(
        self, scan: Scan, relation: GraphRelation, wanted: Mapping[str, Any], depth: int
    ) -> SortKey:
        target, link = self._related(scan, relation)
        inner = self._sort_key(target, wanted, depth + 1)
        alias = self._aliases.next()
        columns = (("v", inner.expression), ("k", target.identity()))
        # Over a relation by another field than the key there may be several: the first by key,
        # which is also the one that the relation shows.
        value = Call("first_by", (Column(alias, "v"), Column(alias, "k")))
        rows = target.select(columns, [link])
        expression = Scalar(Select((("v", value),), rows, alias))
        return SortKey(_foreign(inner.field), expression, inner.direction)

    def _sort_by_aggregate(
        self, scan: Scan, relation: GraphRelation, wanted: Mapping[str, Any]
    ) -> SortKey:
        function, chosen = only(wanted["aggregate"], "aggregate")
        restriction = wanted.get("where") or {}
        check_size(restriction)
        name = None
        if function != "count":
            name, chosen = only(chosen, function)
        value = self._aggregate(scan, relation, restriction, function, name, 0)
        target = self._context.graph.objects[relation.target]
        field = target.fields[name or target.key]
        scalar = "int" if name is None else aggregate_scalar(function, field.scalar)
        return SortKey(_foreign(field, scalar), value, chosen)

    def _part(self, scan: Scan, key: str, value: Any, depth: int) -> Expression:
        if value is None:
            raise NullFilterError(key)
        match key:
            case "and":
                return all_of([self.where(scan, each, depth + 1) for each in value])
            case "or":
                return any_of([self.where(scan, each, depth + 1) for each in value])
            case "not":
                return Call("not", (self.where(scan, value, depth + 1),))
        fork = scan.object.forks.get(key)
        if fork is not None:
            return self._forked(scan, fork, value, depth)
        relation = scan.object.relations.get(key)
        if relation is None:
            return self._field(scan, scan.object.fields[key], value)
        if relation.many:
            return self._list(scan, relation, value, depth)
        return self._some(scan, relation, value, depth)

    def _field(self, scan: Scan, field: GraphField, wanted: Mapping[str, Any]) -> Expression:
        expression = scan.field(field.name, "filter")
        return self._operators(expression, field.scalar, wanted, field)

    def _operators(
        self,
        expression: Expression,
        scalar: ScalarName,
        wanted: Mapping[str, Any],
        field: GraphField | None,
    ) -> Expression:
        now = self._context.now
        return all_of(
            [
                operated(expression, scalar, operator, operand, now, words_of=field)
                for operator, operand in wanted.items()
            ]
        )

    def _list(
        self, scan: Scan, relation: GraphRelation, wanted: Mapping[str, Any], depth: int
    ) -> Expression:
        found = []
        for key in wanted:
            if wanted[key] is None:
                raise NullFilterError(f"{relation.name}.{key}")
        for key in ("some", "none", "every"):
            if key in wanted:
                found.append(self._quantified(scan, relation, key, wanted[key], depth))
        if "aggregate" in wanted:
            restriction = wanted.get("where", {})
            found += self._aggregates(scan, relation, restriction, wanted["aggregate"], depth)
        elif "where" in wanted:
            found.append(self._some(scan, relation, wanted["where"], depth))
        return all_of(found)

    def _quantified(
        self, scan: Scan, relation: GraphRelation, key: str, wanted: Any, depth: int
    ) -> Expression:
        if key == "some":
            return self._some(scan, relation, wanted, depth)
        if key == "none":
            return Call("not", (self._some(scan, relation, wanted, depth),))
        target, link = self._related(scan, relation)
        holds = self.where(target, wanted, depth + 1)
        # A null condition does not hold, so it counts as a failure.
        fails = Call("not", (Call("same", (holds, Call("and", ()))),))
        return Call("not", (Exists(_probe(target, [link, fails])),))

    def _some(self, scan: Scan, relation: GraphRelation, wanted: Any, depth: int) -> Expression:
        target, link = self._related(scan, relation)
        return Exists(_probe(target, [link, self.where(target, wanted, depth + 1)]))

    def _forked(
        self, scan: Scan, fork: GraphFork, wanted: Mapping[str, Any], depth: int
    ) -> Expression:
        """Return the condition that the record is of one of the types named, and fits it."""
        ways = [way for way in fork.ways if way.target in wanted]
        if not ways:
            raise FilterError(
                f"{fork.name}: {{}} names no type",
                hint="Name at least one of the types that it may lead to, with its conditions.",
            )
        for way in ways:
            if wanted[way.target] is None:
                raise NullFilterError(f"{fork.name}.{way.target}")
        return any_of([self._some(scan, way, wanted[way.target], depth) for way in ways])

    def _aggregates(
        self,
        scan: Scan,
        relation: GraphRelation,
        restriction: Mapping[str, Any],
        wanted: Mapping[str, Any],
        depth: int,
    ) -> list[Expression]:
        found = []
        for function, operands in wanted.items():
            if operands is None:
                raise NullFilterError(f"{relation.name}.aggregate.{function}")
            if function == "count":
                count = self._aggregate(scan, relation, restriction, "count", None, depth)
                found.append(self._operators(count, "int", operands, None))
                continue
            for name, operators in operands.items():
                if operators is None:
                    raise NullFilterError(f"{function}.{name}")
                value = self._aggregate(scan, relation, restriction, function, name, depth)
                field = self._context.graph.objects[relation.target].fields[name]
                scalar = aggregate_scalar(function, field.scalar)
                found.append(self._operators(value, scalar, operators, None))
        return found

    def _aggregate(
        self,
        scan: Scan,
        relation: GraphRelation,
        restriction: Mapping[str, Any],
        function: str,
        name: str | None,
        depth: int,
    ) -> Expression:
        target, link = self._related(scan, relation)
        condition_ = self.where(target, restriction, depth + 1)
        value: Expression = Call("count", ())
        target.require("aggregate")
        if name is not None:
            field = target.object.fields[name]
            value = aggregate_expression(function, target.field(name, "aggregate"), field.scalar)
        return Scalar(target.select((("v", value),), [link, condition_]))

    def _related(self, scan: Scan, relation: GraphRelation) -> tuple[Scan, Expression]:
        target = Scan(self._context, self._context.graph.objects[relation.target], self._aliases)
        if target.denied is not None:
            raise DeniedObjectError(target.denied)
        scan.require("filter", relation.local)
        target.require("filter", relation.remote)
        # As text, as plans compare them: an implicit cast would fail on a value of some record.
        link = Call("eq", (target.key(relation.remote), scan.key(relation.local)))
        return target, link


class SortKey:
    """One sort key: its field, its expression and where nulls go."""

    def __init__(
        self, field: GraphField, expression: Expression, direction: str, *, is_tie: bool = False
    ) -> None:
        self.is_tie = is_tie  # decides only among records of equal keys
        self.field = field
        self.expression = expression
        self.direction = direction
        self.descending = direction.startswith("DESC")
        self.nulls_first = direction.endswith("NULLS_FIRST")

    @property
    def backward(self) -> SortKey:
        """Return the key that puts everything the other way round, nulls included."""
        direction = "ASC" if self.descending else "DESC"
        return SortKey(
            self.field,
            self.expression,
            direction if self.nulls_first else f"{direction}_NULLS_FIRST",
            is_tie=self.is_tie,
        )

    @property
    def order(self) -> Order:
        """Return the part of ORDER BY."""
        return Order(self.expression, self.descending, self.nulls_first)


def check_size(wanted: Mapping[str, Any]) -> None:
    """Raise FilterTooLargeError when a filter has too many conditions; a list of values is one."""
    waiting: list[Any] = [wanted]
    count = 0
    for each in waiting:  # which grows: variables may nest as deep as they like
        inner = list(each.values()) if isinstance(each, Mapping) else []
        if isinstance(each, list) and any(isinstance(part, Mapping) for part in each):
            inner = each
        waiting.extend(inner)
        count += not inner
    if count > CONDITIONS_MAX:
        raise FilterTooLargeError("conditions", count, CONDITIONS_MAX)


def only(wanted: Mapping[str, Any] | None, place: str) -> tuple[str, Any]:
    """Return the one entry of an input that takes exactly one; raises FilterError."""
    chosen = [(name, value) for name, value in (wanted or {}).items() if value]
    if len(chosen) != 1:
        raise FilterError(
            f"each object in {place} names exactly one field",
            hint="Write orderBy: [{amount: DESC}, {account: {name: ASC}}].",
        )
    return chosen[0]


def _foreign(field: GraphField, scalar: ScalarName | None = None) -> GraphField:
    """Return a field of another object as itself no more: sorting by it is not sorting by ours."""
    return replace(field, scalar=scalar or field.scalar)


def _probe(target: Scan, conditions: list[Expression]) -> Select:
    return target.select((("x", Call("and", ())),), conditions)


def operated(
    expression: Expression,
    scalar: ScalarName,
    operator: str,
    operand: Any,
    now: datetime,
    *,
    words_of: GraphField | None,
) -> Expression:
    """Return `expression operator operand`; raises ConditionError or FilterError."""
    if words_of is not None and words_of.words:
        _check_words(words_of, operator, operand)
    return condition(expression, scalar, operator, operand, now)


def _check_words(field: GraphField, operator: str, operand: Any) -> None:
    if operator not in ("eq", "neq", "in", "notIn") or operand is None:
        return
    given = operand if isinstance(operand, list) else [operand]
    unknown = [word for word in given if word not in field.words]
    if unknown:
        raise ConditionError(
            f"{field.name} is never {', '.join(map(repr, unknown))}",
            hint=f"Its values are {', '.join(field.words)}.",
        )
