"""Values written in a spec: do they fit the type they stand for?

Taken by the rules about mappings and conditions. The types of source fields are known only after
discovery; what can be told before is told here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from firnline.catalog.relative_time import is_relative
from firnline.spec.model import BuilderType

LIST_MAX = 500
_INT_MAX = {"int": 2**31, "long": 2**63}
_NEARLY_RELATIVE = re.compile(r"(now|today|(startOf|endOf)[A-Za-z]*)\s*[+-].*", re.DOTALL)


def fits(value: Any, declared: BuilderType) -> bool:
    """Say whether a value of the spec can stand for a field of the type `declared`."""
    match declared:
        case "bool":
            return isinstance(value, bool)
        case "int" | "long":
            whole = isinstance(value, int) and not isinstance(value, bool)
            return whole and -_INT_MAX[declared] <= value < _INT_MAX[declared]
        case "decimal" | "float":
            return not isinstance(value, bool) and _is_decimal(value)
        case "date":
            return isinstance(value, str) and (is_relative(value) or _parses(date, value))
        case "timestamp":
            return isinstance(value, str) and (is_relative(value) or _parses(datetime, value))
        case "id" | "string" | "enum":
            return isinstance(value, str)
        case "strings":
            return False


def _is_decimal(value: Any) -> bool:
    try:
        return Decimal(str(value)).is_finite()
    except InvalidOperation:
        return False


def _parses(kind: type[date] | type[datetime], text: str) -> bool:
    try:
        kind.fromisoformat(text)
    except ValueError:
        return False
    return True


def _scalar(value: Any) -> str:
    if not isinstance(value, str | int | float):
        return "takes text, a number, true or false"
    if isinstance(value, str) and _NEARLY_RELATIVE.fullmatch(value) and not is_relative(value):
        return "takes a relative time such as now-90d, today+2w or startOfQuarter-1q"
    return ""


def _several(value: Any) -> str:
    if not isinstance(value, tuple | list) or not value:
        return "takes a list with at least one value"
    if len(value) > LIST_MAX:
        return f"takes at most {LIST_MAX} values"
    return next((reason for each in value if (reason := _scalar(each))), "")


def _truth(value: Any) -> str:
    return "" if isinstance(value, bool) else "takes true or false"


def _text(value: Any) -> str:
    return "" if isinstance(value, str) else "takes text"


# Operator -> says what is wrong with its value, nothing when it fits.
OPERATORS: Mapping[str, Callable[[Any], str]] = {
    "eq": _scalar,
    "neq": _scalar,
    "in": _several,
    "notIn": _several,
    "lt": _scalar,
    "lte": _scalar,
    "gt": _scalar,
    "gte": _scalar,
    "isNull": _truth,
    "contains": _text,
    "icontains": _text,
    "startsWith": _text,
    "endsWith": _text,
    "ieq": _text,
    "iin": _several,
    "istartsWith": _text,
    "iendsWith": _text,
    "like": _text,
    "ilike": _text,
    "has": _scalar,
    "hasAny": _several,
    "hasAll": _several,
    "isEmpty": _truth,
}
