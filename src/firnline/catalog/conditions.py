"""Conditions: an operator and a value applied to a typed expression.

Taken from filters of the graph and from `where` and `when` of the spec; the plan receives
expressions. Comparison with null is never true, as in SQL; `isNull` asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from firnline.cache.query import Bound, BoundList, Call, Cast, Expression, Operator
from firnline.catalog.model import ScalarName
from firnline.catalog.relative_time import is_relative, resolve
from firnline.errors import UsageError

LIST_MAX = 500
_DECIMAL_LIMIT = Decimal(10) ** 29  # of DECIMAL(38,9)

_SIMPLE: Mapping[str, Operator] = {
    "eq": "eq",
    "neq": "neq",
    "lt": "lt",
    "lte": "lte",
    "gt": "gt",
    "gte": "gte",
    "contains": "contains",
    "icontains": "icontains",
    "startsWith": "starts_with",
    "endsWith": "ends_with",
}
# Operators that disregard case: both sides are lowered, then compared by the plain one.
_ANY_CASE: Mapping[str, Operator] = {
    "ieq": "eq",
    "istartsWith": "starts_with",
    "iendsWith": "ends_with",
}
_PATTERNS: Mapping[str, Operator] = {"like": "matches", "ilike": "imatches"}
PATTERN_LENGTH_MAX = 500
_ORDERED = ("eq", "neq", "in", "notIn", "lt", "lte", "gt", "gte", "isNull")
_TEXT = (
    *(*_ORDERED, "contains", "icontains", "startsWith", "istartsWith", "endsWith", "iendsWith"),
    *("ieq", "iin", "like", "ilike"),
)
_EQUAL = ("eq", "neq", "in", "notIn", "isNull")

OPERATORS: Mapping[ScalarName, tuple[str, ...]] = {
    "id": _EQUAL,
    "string": _TEXT,
    "int": _ORDERED,
    "long": _ORDERED,
    "decimal": _ORDERED,
    "float": _ORDERED,
    "bool": ("eq", "neq", "isNull"),
    "date": _ORDERED,
    "timestamp": _ORDERED,
    "time": _ORDERED,
    "json": ("isNull", "contains"),
    "strings": ("has", "hasAny", "hasAll", "isNull", "isEmpty"),
}

COLUMN_TYPES: Mapping[ScalarName, str] = {
    "id": "VARCHAR",
    "string": "VARCHAR",
    "int": "INTEGER",
    "long": "BIGINT",
    "decimal": "DECIMAL(38,9)",
    "float": "DOUBLE",
    "bool": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "time": "TIME",
    "json": "VARCHAR",
    "strings": "VARCHAR[]",
}


_FORMS: Mapping[ScalarName, str] = {
    "date": "Write 2026-12-31, or a relative form such as today+30d.",
    "timestamp": "Write 2026-12-31T09:00:00Z, or a relative form such as now-90d.",
    "time": "Write 09:30:00.",
    "decimal": "Write a number below 10^29 such as 1250.00.",
    "int": "Write a whole number of 32 bits.",
    "long": "Write a whole number of 64 bits.",
    "float": "Write a number such as 0.5.",
    "bool": "Write true or false.",
}


class ConditionError(UsageError):
    """An operator does not fit the field's type, or its value cannot be read as that type."""

    code = "condition_invalid"


def condition(
    expression: Expression, scalar: ScalarName, operator: str, value: Any, now: datetime
) -> Expression:
    """Return `expression operator value` for an expression of type `scalar`.

    Raises ConditionError when the operator does not exist for the type or the value does not fit.
    """
    if operator not in OPERATORS[scalar]:
        raise ConditionError(
            f"operator {operator!r} does not exist for type {scalar}",
            hint=f"Operators of {scalar}: {', '.join(OPERATORS[scalar])}.",
        )
    if value is None:
        raise ConditionError(
            f"{operator}: null is not a comparison", hint="Ask for {isNull: true} instead."
        )
    if scalar == "json" and operator == "contains":
        return Call("json_contains", (expression, Bound(_json(value), "VARCHAR")))
    match operator:
        case "isNull":
            return _negated_unless(bool(value), Call("is_null", (expression,)))
        case "isEmpty":
            return _negated_unless(bool(value), Call("is_empty_list", (expression,)))
        case "in":
            return Call("in", (expression, _several(value, scalar, now)))
        case "notIn":
            return Call("not", (Call("in", (expression, _several(value, scalar, now))),))
        case "has":
            return Call("list_has", (expression, bound(value, "string", now)))
        case "hasAny":
            return Call("list_has_any", (expression, _several(value, "string", now)))
        case "hasAll":
            return Call("list_has_all", (expression, _several(value, "string", now)))
        case "iin":
            values = _several(value, scalar, now)
            lowered = BoundList(tuple(each.lower() for each in values.values), values.type)
            return Call("in", (Call("lower", (expression,)), lowered))
        case "like" | "ilike":
            pattern = Bound(_pattern(str(value)), "VARCHAR")
            return Call(_PATTERNS[operator], (expression, pattern))
        case "ieq" | "istartsWith" | "iendsWith":
            wanted = bound(value, scalar, now)
            sides = (Call("lower", (expression,)), Call("lower", (wanted,)))
            return Call(_ANY_CASE[operator], sides)
        case _:
            return Call(_SIMPLE[operator], (expression, bound(value, scalar, now)))


def bound(value: Any, scalar: ScalarName, now: datetime) -> Bound:
    """Return `value` as a bound value of type `scalar`; relative times are resolved at `now`."""
    return Bound(_native(value, scalar, now), COLUMN_TYPES[scalar])


def coerced(expression: Expression, source: ScalarName, target: ScalarName) -> Expression:
    """Return an expression of type `source` as type `target`; null where it does not convert."""
    if COLUMN_TYPES[source] == COLUMN_TYPES[target]:
        return expression
    if target in ("id", "string"):
        return Call("list_json" if source == "strings" else "text", (expression,))
    return Cast(expression, COLUMN_TYPES[target])


def _pattern(like: str) -> str:
    """Return a LIKE pattern as a regular expression that is matched in linear time.

    `%` stands for any text, `_` for one character, a backslash takes the next one literally.
    DuckDB's own LIKE tries every way to place the `%`, which a caller could make take for ever.
    """
    if len(like) > PATTERN_LENGTH_MAX:
        raise ConditionError(
            f"a pattern of {len(like)} characters is over the limit of {PATTERN_LENGTH_MAX}",
            hint="Combine contains, startsWith and endsWith instead.",
        )
    _text(like)
    parts: list[str] = []
    characters = iter(like)
    for character in characters:
        if character == "%":
            if parts[-1:] != [".*"]:
                parts.append(".*")
        elif character == "_":
            parts.append(".")
        else:
            literal = next(characters, None) if character == "\\" else character
            if literal is None:
                raise ConditionError(
                    "the pattern ends in a backslash", hint=r"Write \\ for the character itself."
                )
            parts.append(literal if literal.isalnum() else f"\\x{{{ord(literal):x}}}")
    return "".join(parts)


def _json(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except (TypeError, ValueError) as error:
        raise ConditionError("the value is not JSON", hint="Send JSON of UTF-8 text.") from error


def _negated_unless(wanted: bool, positive: Expression) -> Expression:
    return positive if wanted else Call("not", (positive,))


def _several(values: Any, scalar: ScalarName, now: datetime) -> BoundList:
    if not isinstance(values, list | tuple):
        values = [values]
    if len(values) > LIST_MAX:
        raise ConditionError(
            f"a list of {len(values)} values is over the limit of {LIST_MAX}",
            hint=f"Ask in portions of {LIST_MAX}.",
        )
    if any(value is None for value in values):
        raise ConditionError("a list holds null", hint="Ask for {isNull: true} beside the list.")
    return BoundList(tuple(_native(value, scalar, now) for value in values), COLUMN_TYPES[scalar])


def _native(value: Any, scalar: ScalarName, now: datetime) -> Any:
    try:
        match scalar:
            case "date":
                return _date(value, now)
            case "timestamp":
                return _timestamp(value, now)
            case "decimal":
                return _decimal(value)
            case "int" | "long":
                return _whole(value, bits=32 if scalar == "int" else 64)
            case "float":
                return float(value)
            case "bool":
                return _boolean(value)
            case "time":
                return time.fromisoformat(str(value)).replace(tzinfo=None).isoformat()
            case _:
                return _text(value)
    except (ValueError, InvalidOperation, OverflowError) as error:
        hint = str(error) if "relative" in str(error) else _FORMS.get(scalar, "Send text.")
        raise ConditionError(f"{value!r} is not a {scalar}", hint=hint) from error


def _decimal(value: Any) -> str:
    found = Decimal(str(value))
    if not found.is_finite() or abs(found) >= _DECIMAL_LIMIT or abs(found.adjusted()) > 40:
        raise ValueError(f"{value!r} is out of range")
    return f"{found:f}"


def _whole(value: Any, *, bits: int) -> int:
    found = int(value)
    if not -(2 ** (bits - 1)) <= found < 2 ** (bits - 1):
        raise ValueError(f"{value!r} is out of range")
    return found


def _text(value: Any) -> str:
    found = str(value)
    found.encode()  # half a surrogate pair is no text; UnicodeEncodeError is a ValueError
    return found


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise ValueError(f"{value!r} is neither true nor false")


def _date(value: Any, now: datetime) -> str:
    if isinstance(value, datetime):
        return value.date().isoformat()
    if isinstance(value, date):
        return value.isoformat()
    text = str(value)
    if is_relative(text):
        return resolve(text, now).date().isoformat()
    return date.fromisoformat(text).isoformat()


def _timestamp(value: Any, now: datetime) -> str:
    text = str(value)
    if isinstance(value, datetime):
        moment = value
    elif is_relative(text):
        moment = resolve(text, now)
    else:
        moment = datetime.fromisoformat(text)
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return moment.isoformat(sep=" ")
