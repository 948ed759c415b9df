"""The scalars of every tenant's schema.

Values leave the cache already in their JSON form, so output coercion passes them through; input
coercion checks form only and leaves relative times to the plan, which knows the clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from graphql import (
    GraphQLBoolean,
    GraphQLFloat,
    GraphQLID,
    GraphQLInt,
    GraphQLScalarType,
    GraphQLString,
)
from graphql.error import GraphQLError
from graphql.language import FloatValueNode, IntValueNode, StringValueNode, ValueNode
from graphql.utilities import value_from_ast_untyped

from firnline.catalog.model import ScalarName
from firnline.catalog.relative_time import is_relative

_LONG = range(-(2**63), 2**63)


def _refuse(value: Any, expected: str) -> GraphQLError:
    return GraphQLError(f"{value!r} is not {expected}")


def _parse_date(value: Any) -> str:
    if isinstance(value, str):
        if is_relative(value):
            return value
        try:
            return date.fromisoformat(value).isoformat()
        except ValueError:
            pass
    raise _refuse(value, 'a date: use "2026-12-31" or a relative form such as "today+30d"')


def _parse_timestamp(value: Any) -> str:
    if isinstance(value, str):
        if is_relative(value):
            return value
        try:
            datetime.fromisoformat(value)
        except ValueError:
            pass
        else:
            return value
    raise _refuse(value, 'a time: use "2026-12-31T09:00:00Z" or a relative form such as "now-90d"')


def _parse_decimal(value: Any) -> str:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            parsed = Decimal(str(value))
        except InvalidOperation:
            pass
        else:
            if parsed.is_finite() and abs(parsed) < Decimal(10) ** 29:
                return str(parsed)
    raise _refuse(value, "a decimal number below 10^29")


def _parse_long(value: Any) -> int:
    if isinstance(value, str | int) and not isinstance(value, bool):
        try:
            parsed = int(value)
        except ValueError:
            pass
        else:
            if parsed in _LONG:
                return parsed
    raise _refuse(value, "a whole number of 64 bits")


def _unchanged(value: Any) -> Any:
    return value


def _scalar(name: str, description: str, parse: Any) -> GraphQLScalarType:
    def literal(node: ValueNode, _variables: Mapping[str, Any] | None = None) -> Any:
        if isinstance(node, StringValueNode | IntValueNode | FloatValueNode):
            return parse(node.value)
        raise GraphQLError(f"{name} takes a string or a number", node)

    return GraphQLScalarType(
        name=name, description=description, parse_value=parse, parse_literal=literal
    )


DATE = _scalar(
    "Date",
    'A calendar date, "2026-12-31". Filters also take "today+30d", "startOfQuarter".',
    _parse_date,
)
TIMESTAMP = _scalar(
    "DateTime",
    'A moment in UTC, "2026-12-31T09:00:00.000Z". Filters also take "now-90d".',
    _parse_timestamp,
)
DECIMAL = _scalar("Decimal", 'An exact decimal number, as a string: "1250.00".', _parse_decimal)
LONG = _scalar("Long", "A whole number of 64 bits, as a JSON number.", _parse_long)
TIME = _scalar("Time", 'A time of day, "09:30:00".', str)
JSON = GraphQLScalarType(
    name="JSON",
    description="Any JSON value, as the provider gave it.",
    parse_value=_unchanged,
    parse_literal=value_from_ast_untyped,
)

SCALARS: Mapping[ScalarName, GraphQLScalarType] = {
    "id": GraphQLID,
    "string": GraphQLString,
    "int": GraphQLInt,
    "long": LONG,
    "decimal": DECIMAL,
    "float": GraphQLFloat,
    "bool": GraphQLBoolean,
    "date": DATE,
    "timestamp": TIMESTAMP,
    "time": TIME,
    "json": JSON,
    "strings": GraphQLString,  # in a list
}
