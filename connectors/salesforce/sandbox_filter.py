"""The conditions of SOQL: takes a comparison and a field, gives a test of one record."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from typing import Any

from . import sandbox_soql as soql
from .sandbox_org import Row, full_id, wire_time
from .sandbox_schema import FieldDef

Getter = Callable[[Row], Any]
Test = Callable[[Row], bool]
_DAYS_MAX = 36_500
NUMBERS = ("int", "double", "currency", "percent")


def folded(value: Any, field: FieldDef) -> Any:
    """Return a value as comparisons see it: text without case, ids with it."""
    if isinstance(value, str) and field.type not in ("id", "reference", "date", "datetime"):
        return value.casefold()
    return value


def comparison(condition: soql.Comparison, field: FieldDef, get: Getter, now: datetime) -> Test:
    """Return the test of `field sign value`; raises SoqlError when they do not fit."""
    if condition.sign == "LIKE":
        return _like(condition, get)
    low, high = literal(condition.value, field, now)
    sign = condition.sign
    if low is None and sign not in ("=", "!="):
        raise soql.SoqlError("MALFORMED_QUERY", f"null cannot be compared by {sign}")
    if sign == "=":
        return lambda row: _within(folded(get(row), field), low, high)
    if sign == "!=":
        return lambda row: not _within(folded(get(row), field), low, high)
    tests: Mapping[str, Callable[[Any], bool]] = {
        "<": lambda value: value < low,
        "<=": lambda value: value <= high,
        ">": lambda value: value > high,
        ">=": lambda value: value >= low,
    }
    test = tests[sign]

    def compare(row: Row) -> bool:
        value = folded(get(row), field)
        return value is not None and test(value)

    return compare


def _within(value: Any, low: Any, high: Any) -> bool:
    if low is None or value is None:
        return value is None and low is None
    return bool(low <= value <= high)


def _like(condition: soql.Comparison, get: Getter) -> Test:
    if condition.value.kind != "string":
        raise soql.SoqlError("INVALID_FIELD", "LIKE takes a string")
    marks = {"%": ".*", "_": "."}
    pattern = "".join(marks.get(mark, re.escape(mark)) for mark in condition.value.text)
    matches = re.compile(pattern, re.IGNORECASE | re.DOTALL).fullmatch

    def test(row: Row) -> bool:
        value = get(row)
        return isinstance(value, str) and matches(value) is not None

    return test


def literal(value: soql.Value, field: FieldDef, now: datetime) -> tuple[Any, Any]:
    """Return the least and the greatest stored value that a literal stands for."""
    kind = field.type
    if value.kind == "null":
        return None, None
    if value.kind == "boolean" and kind == "boolean":
        return (value.text == "true",) * 2
    if value.kind == "number" and kind in NUMBERS:
        return (float(value.text),) * 2
    if value.kind == "string" and kind in ("id", "reference"):
        return (full_id(value.text) if len(value.text) == 15 else value.text,) * 2
    if value.kind == "string" and kind not in (*NUMBERS, "date", "datetime", "boolean"):
        return (value.text.casefold(),) * 2
    if value.kind == "datetime" and kind == "datetime":
        return (wire_time(_moment(value.text)),) * 2
    if value.kind in ("date", "relative") and kind in ("date", "datetime"):
        first, last = _days(value, now.date())
        if kind == "date":
            return first.isoformat(), last.isoformat()
        start = datetime.combine(first, time(), tzinfo=now.tzinfo)
        end = datetime.combine(last, time(23, 59, 59), tzinfo=now.tzinfo)
        return wire_time(start), wire_time(end)
    raise soql.SoqlError(
        "INVALID_FIELD",
        f"value of filter criterion for field '{field.name}' must be of type {kind} and should "
        f"{'not ' if value.kind == 'string' else ''}be enclosed in quotes",
    )


def _moment(text: str) -> datetime:
    # A plus sign that nobody escaped in the URL arrives as a space.
    try:
        return datetime.fromisoformat(re.sub(r" (?=\d\d:?\d\d$)", "+", text))
    except ValueError as error:
        raise soql.SoqlError("MALFORMED_QUERY", f"{text} is not a valid dateTime") from error


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise soql.SoqlError("MALFORMED_QUERY", f"{text} is not a valid date") from error


def _days(value: soql.Value, today: date) -> tuple[date, date]:
    """Return the first and the last day of a date or a date literal."""
    if value.kind == "date":
        day = _date(value.text)
        return day, day
    if value.amount > _DAYS_MAX:
        raise soql.SoqlError("NUMBER_OUTSIDE_VALID_RANGE", f"{value.text}:{value.amount}")
    amount = timedelta(days=value.amount)
    one = timedelta(days=1)
    month = today.replace(day=1)
    next_month = (month + timedelta(days=32)).replace(day=1)
    quarter = today.replace(month=(today.month - 1) // 3 * 3 + 1, day=1)
    next_quarter = (quarter + timedelta(days=95)).replace(day=1)
    spans: Mapping[str, tuple[date, date]] = {
        "TODAY": (today, today),
        "YESTERDAY": (today - one, today - one),
        "TOMORROW": (today + one, today + one),
        "LAST_N_DAYS": (today - amount, today),
        "NEXT_N_DAYS": (today + one, today + amount),
        "N_DAYS_AGO": (today - amount, today - amount),
        "LAST_90_DAYS": (today - timedelta(days=90), today),
        "NEXT_90_DAYS": (today + one, today + timedelta(days=90)),
        "THIS_MONTH": (month, next_month - one),
        "THIS_QUARTER": (quarter, next_quarter - one),
        "THIS_YEAR": (date(today.year, 1, 1), date(today.year, 12, 31)),
    }
    if value.text not in spans:
        raise soql.SoqlError("MALFORMED_QUERY", f"unexpected token: '{value.text}'")
    return spans[value.text]
