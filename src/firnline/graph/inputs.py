"""Filter and order inputs: shared operator inputs per scalar, and those of each object.

Takes graph objects; schema hangs the results on list fields as `where` and `orderBy`.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from functools import cache, partial
from types import MappingProxyType
from typing import Any, TypeVar

from graphql import (
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLEnumValue,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLString,
)

from firnline.catalog.conditions import OPERATORS
from firnline.catalog.model import ScalarName
from firnline.graph.aggregates import (
    AGGREGATE_TYPES,
    AGGREGATES,
    COMPARABLE,
    SORTABLE,
    SUMMABLE,
    aggregate_scalar,
)
from firnline.graph.scalars import SCALARS
from firnline.graph.shape import GraphField, GraphFork, GraphObject

ORDER_DIRECTION = GraphQLEnumType(
    "OrderDirection",
    {
        "ASC": GraphQLEnumValue("ASC", description="Smallest first, nulls last."),
        "DESC": GraphQLEnumValue("DESC", description="Largest first, nulls last."),
        "ASC_NULLS_FIRST": GraphQLEnumValue("ASC_NULLS_FIRST"),
        "DESC_NULLS_FIRST": GraphQLEnumValue("DESC_NULLS_FIRST"),
    },
)
GROUP_BY_VALUE = GraphQLEnumType("GroupByValue", {"VALUE": GraphQLEnumValue("VALUE")})
GROUP_BY_TIME = GraphQLEnumType(
    "GroupByTime",
    {unit: GraphQLEnumValue(unit) for unit in ("VALUE", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR")},
    description="By the value itself, or by the start of its period in UTC; weeks start on Monday.",
)
Element = TypeVar("Element", GraphQLField, GraphQLInputField)
_NOTHING: Any = MappingProxyType({})  # cannot be written by one who holds a single field
_TIMES = frozenset({"date", "timestamp"})
_GROUP_FIELDS = (GraphQLInputField(GROUP_BY_VALUE), GraphQLInputField(GROUP_BY_TIME))
_ORDER_FIELD = GraphQLInputField(ORDER_DIRECTION)  # without any state, so one serves every key
_LISTS = frozenset({"in", "notIn", "iin", "hasAny", "hasAll"})
_YES_NO = frozenset({"isNull", "isEmpty"})
_OPERATOR_NAMES: Mapping[ScalarName, str] = {
    "id": "IDOperators",
    "string": "StringOperators",
    "int": "IntOperators",
    "long": "LongOperators",
    "decimal": "DecimalOperators",
    "float": "FloatOperators",
    "bool": "BooleanOperators",
    "date": "DateOperators",
    "timestamp": "DateTimeOperators",
    "time": "TimeOperators",
    "json": "JSONOperators",
    "strings": "StringListOperators",
}


@cache
def operators_of(scalar: ScalarName) -> GraphQLInputObjectType:
    """Return the operator input of a scalar; one instance serves every schema."""
    value = GraphQLString if scalar == "strings" else SCALARS[scalar]
    fields: dict[str, GraphQLInputField] = {}
    for operator in OPERATORS[scalar]:
        if operator in _YES_NO:
            fields[operator] = GraphQLInputField(GraphQLBoolean)
        elif operator in _LISTS:
            fields[operator] = GraphQLInputField(GraphQLList(GraphQLNonNull(value)))
        else:
            fields[operator] = GraphQLInputField(value)
    return GraphQLInputObjectType(_OPERATOR_NAMES[scalar], fields)


@cache
def operator_field(scalar: ScalarName) -> GraphQLInputField:
    """Return the operators of a scalar as a field, the same one wherever it needs no description.

    A wide schema has tens of thousands of them.
    """
    return GraphQLInputField(operators_of(scalar))


class Inputs:
    """Builds the inputs of every object, each once and only when something refers to it."""

    def __init__(self, objects: Mapping[str, GraphObject]) -> None:
        self._objects = objects
        self._where: dict[str, GraphQLInputObjectType] = {}
        self._order: dict[str, GraphQLInputObjectType] = {}
        self._list_where: dict[str, GraphQLInputObjectType] = {}
        self._list_order: dict[str, GraphQLInputObjectType] = {}
        self._aggregate_where: dict[str, GraphQLInputObjectType] = {}
        self._group_by: dict[str, GraphQLInputObjectType] = {}
        self._aggregate_order: dict[str, GraphQLInputObjectType] = {}

    def where(self, type_name: str) -> GraphQLInputObjectType:
        """Return `<Type>Where`."""
        if type_name not in self._where:
            self._where[type_name] = GraphQLInputObjectType(
                f"{type_name}Where",
                lambda: dict(self._where_fields(type_name)),
                description="Every condition must hold.",
            )
        return self._where[type_name]

    def order(self, type_name: str) -> GraphQLInputObjectType:
        """Return `<Type>OrderBy`."""
        if type_name not in self._order:
            self._order[type_name] = GraphQLInputObjectType(
                f"{type_name}OrderBy",
                lambda: self._order_fields(type_name),
                description="One field; give several objects for several keys.",
            )
        return self._order[type_name]

    def group_by(self, type_name: str) -> GraphQLInputObjectType:
        """Return `<Type>GroupBy`."""
        if type_name not in self._group_by:
            self._group_by[type_name] = GraphQLInputObjectType(
                f"{type_name}GroupBy",
                lambda: self._group_fields(type_name),
                description="One key: a field, or one of a related record.",
            )
        return self._group_by[type_name]

    def group_order(self, type_name: str) -> GraphQLInputObjectType:
        """Return `<Type>GroupOrderBy`; ask once per type."""
        return GraphQLInputObjectType(
            f"{type_name}GroupOrderBy",
            lambda: {
                "key": GraphQLInputField(self.order(type_name)),
                "aggregate": GraphQLInputField(self.aggregate_order(type_name)),
            },
            description="One of the keys, or one aggregate.",
        )

    def _group_fields(self, type_name: str) -> dict[str, GraphQLInputField]:
        found = self._objects[type_name]
        fields = {
            each.name: _GROUP_FIELDS[each.scalar in _TIMES]
            for each in found.fields.values()
            if is_sortable(each)
        }
        for relation in found.relations.values():
            if not relation.many:
                fields[relation.name] = GraphQLInputField(self.group_by(relation.target))
        return fields

    def aggregate_where(self, type_name: str) -> GraphQLInputObjectType:
        """Return `<Type>AggregateWhere`."""
        if type_name not in self._aggregate_where:
            self._aggregate_where[type_name] = GraphQLInputObjectType(
                f"{type_name}AggregateWhere", lambda: self._aggregate_fields(type_name)
            )
        return self._aggregate_where[type_name]

    def aggregate_order(self, type_name: str) -> GraphQLInputObjectType:
        """Return `<Type>AggregateOrderBy`."""
        if type_name not in self._aggregate_order:
            self._aggregate_order[type_name] = GraphQLInputObjectType(
                f"{type_name}AggregateOrderBy",
                lambda: self._aggregate_order_fields(type_name),
                description="One aggregate.",
            )
        return self._aggregate_order[type_name]

    def _order_fields(self, type_name: str) -> dict[str, GraphQLInputField]:
        found = self._objects[type_name]
        fields = {each.name: _ORDER_FIELD for each in found.fields.values() if is_sortable(each)}
        for relation in found.relations.values():
            target = relation.target
            kind = self._list_order_of(target) if relation.many else self.order(target)
            fields[relation.name] = GraphQLInputField(kind)
        return fields

    def _list_order_of(self, type_name: str) -> GraphQLInputObjectType:
        if type_name not in self._list_order:
            self._list_order[type_name] = GraphQLInputObjectType(
                f"{type_name}ListOrderBy",
                lambda: {
                    "aggregate": GraphQLInputField(GraphQLNonNull(self.aggregate_order(type_name))),
                    "where": GraphQLInputField(
                        self.where(type_name), description="Which related records count."
                    ),
                },
                description="An aggregate over the related records of one record.",
            )
        return self._list_order[type_name]

    def _aggregate_order_fields(self, type_name: str) -> dict[str, GraphQLInputField]:
        fields = {"count": _ORDER_FIELD}
        kinds: dict[frozenset[ScalarName], GraphQLInputObjectType] = {}
        for name, scalars in (("Sum", SUMMABLE), ("Min", COMPARABLE), ("CountDistinct", SORTABLE)):
            operands = operands_of(self._objects[type_name], scalars)
            if operands:
                kinds[scalars] = GraphQLInputObjectType(
                    f"{type_name}{name}OrderBy", partial(_order_operands, operands)
                )
        for function, scalars in AGGREGATES.items():
            if scalars in kinds:
                fields[function] = GraphQLInputField(kinds[scalars])
        return fields

    def _where_fields(self, type_name: str) -> Iterator[tuple[str, GraphQLInputField]]:
        own = self.where(type_name)
        several = GraphQLList(GraphQLNonNull(own))
        found = self._objects[type_name]
        for each in found.fields.values():
            operators = operators_of(each.scalar)
            yield (
                each.name,
                lean(GraphQLInputField(operators, description=each.description or None)),
            )
        for relation in found.relations.values():
            target = relation.target
            kind = self._list(target) if relation.many else self.where(target)
            yield relation.name, GraphQLInputField(kind)
        for fork in found.forks.values():
            yield fork.name, GraphQLInputField(self._fork_where(fork))
        yield "and", GraphQLInputField(several)
        yield "or", GraphQLInputField(several)
        yield "not", GraphQLInputField(own)

    def _fork_where(self, fork: GraphFork) -> GraphQLInputObjectType:
        return GraphQLInputObjectType(
            f"{fork.type_name}Where",
            lambda: {way.target: GraphQLInputField(self.where(way.target)) for way in fork.ways},
            description="The record is of one of the types named, and meets its conditions.",
        )

    def _list(self, type_name: str) -> GraphQLInputObjectType:
        if type_name not in self._list_where:
            self._list_where[type_name] = GraphQLInputObjectType(
                f"{type_name}ListWhere",
                lambda: self._list_fields(type_name),
                description="Conditions on the related records of one record.",
            )
        return self._list_where[type_name]

    def _list_fields(self, type_name: str) -> dict[str, GraphQLInputField]:
        own = self.where(type_name)
        return {
            "some": GraphQLInputField(own, description="At least one related record matches."),
            "none": GraphQLInputField(own, description="No related record matches."),
            "every": GraphQLInputField(own, description="No related record fails to match."),
            "where": GraphQLInputField(
                own, description="Which related records `aggregate` counts; alone: like `some`."
            ),
            "aggregate": GraphQLInputField(self.aggregate_where(type_name)),
        }

    def _aggregate_fields(self, type_name: str) -> dict[str, GraphQLInputField]:
        fields = {"count": operator_field("int")}
        kinds: dict[str, GraphQLInputObjectType] = {}
        for function, scalars in AGGREGATES.items():
            operands = operands_of(self._objects[type_name], scalars)
            if not operands:
                continue
            name = f"{type_name}{AGGREGATE_TYPES[function]}Where"
            if name not in kinds:
                kinds[name] = GraphQLInputObjectType(
                    name, partial(_where_operands, function, operands)
                )
            fields[function] = GraphQLInputField(kinds[name])
        return fields


# Types are given functions that make their fields, not the fields: graphql-core keeps what it is
# given beside its own copy, and a wide schema has thousands of entries in each.


def operands_of(found: GraphObject, scalars: Container[ScalarName]) -> tuple[GraphField, ...]:
    """Return the fields of an object that have one of `scalars`."""
    return tuple(each for each in found.fields.values() if each.scalar in scalars)


def _order_operands(operands: Sequence[GraphField]) -> dict[str, GraphQLInputField]:
    return {each.name: _ORDER_FIELD for each in operands}


def _where_operands(function: str, operands: Sequence[GraphField]) -> dict[str, GraphQLInputField]:
    return {each.name: operator_field(aggregate_scalar(function, each.scalar)) for each in operands}


def lean(field: Element) -> Element:
    """Return the field without the empty dictionaries of its own that nobody ever fills.

    A wide schema has thousands of fields; these were a seventh of its memory.
    """
    if not field.extensions:
        field.extensions = _NOTHING
    if isinstance(field, GraphQLField) and not field.args:
        field.args = _NOTHING
    return field


def is_sortable(field: GraphField) -> bool:
    """Say whether records can be put in order by `field`."""
    return field.scalar in SORTABLE
