"""The `q` parameter of record collections -> a predicate over rows.

`field OPERATOR value` with AND and OR (AND binds tighter), no parentheses. Dates are in the
account's format, month first, as NetSuite wants them here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from .sandbox_errors import ApiRefusal
from .sandbox_fields import Field, RecordType

Predicate = Callable[[Mapping[str, Any]], bool]
_TOKEN = re.compile(r'\s*(?:"(?P<quoted>[^"]*)"|(?P<list>\[[^\]]*\])|(?P<word>[^\s"]+))')
_DATE_FORMATS = ("%m/%d/%Y", "%m/%d/%Y %I:%M %p", "%m/%d/%Y %I:%M:%S %p")
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "IS": lambda found, value: found == value,
    "EQUAL": lambda found, value: found == value,
    "CONTAIN": lambda found, value: value in found,
    "START_WITH": lambda found, value: found.startswith(value),
    "END_WITH": lambda found, value: found.endswith(value),
    "GREATER": lambda found, value: found > value,
    "GREATER_OR_EQUAL": lambda found, value: found >= value,
    "LESS": lambda found, value: found < value,
    "LESS_OR_EQUAL": lambda found, value: found <= value,
    "ANY_OF": lambda found, value: found in value,
    "ON": lambda found, value: found.date() == value.date(),
    "AFTER": lambda found, value: found > value,
    "ON_OR_AFTER": lambda found, value: found >= value,
    "BEFORE": lambda found, value: found < value,
    "ON_OR_BEFORE": lambda found, value: found <= value,
}


def _invalid(detail: str) -> ApiRefusal:
    return ApiRefusal(400, "INVALID_PARAMETER", detail, errorQueryParam="q")


def _tokens(text: str) -> list[str]:
    return [match.group(match.lastgroup or 0) for match in _TOKEN.finditer(text)]


def predicate(record: RecordType, q: str) -> Predicate:
    """Return what `q` keeps; raises ApiRefusal."""
    tokens = _tokens(q)
    alternatives: list[list[Predicate]] = [[]]
    while tokens:
        alternatives[-1].append(_condition(record, tokens))
        if tokens:
            joint = tokens.pop(0).upper()
            if joint not in ("AND", "OR") or not tokens:
                raise _invalid(f"Invalid query near '{joint}'.")
            if joint == "OR":
                alternatives.append([])
    return lambda row: any(all(keep(row) for keep in one) for one in alternatives)


def _condition(record: RecordType, tokens: list[str]) -> Predicate:
    name = tokens.pop(0)
    field = next((one for one in record.fields if one.prop == name and one.column), None)
    if field is None:
        raise _invalid(f"Unknown field '{name}'.")
    operator = tokens.pop(0).upper() if tokens else ""
    column = field.column
    if operator in ("EMPTY", "EMPTY_NOT"):
        is_empty = operator == "EMPTY"
        return lambda row: (row.get(column) is None) is is_empty
    positive = operator.removesuffix("_NOT")
    if positive not in _OPERATORS or not tokens:
        raise _invalid(f"Unknown operator '{operator}'.")
    compare, negated = _OPERATORS[positive], operator != positive
    value = _value(field, tokens.pop(0), positive)
    return lambda row: row.get(column) is not None and compare(row[column], value) is not negated


def _value(field: Field, text: str, operator: str) -> Any:
    if operator == "ANY_OF":
        return [_value(field, part.strip(), "") for part in text.strip("[]").split(",")]
    match field.kind:
        case "id" | "record" | "integer" | "money" | "float":
            try:
                return Decimal(text)
            except InvalidOperation as error:
                raise _invalid(f"Invalid number: {text}") from error
        case "boolean":
            return "T" if text.lower() in ("true", "t") else "F"
        case "date" | "datetime":
            return _date(text)
        case _:
            return text


def _date(text: str) -> datetime:
    for form in _DATE_FORMATS:
        try:
            return datetime.strptime(text, form)
        except ValueError:
            continue
    raise _invalid(f"Unparseable date: {text}")
