"""SuiteQL values and scalar functions, as closures over rows. Received by `suiteql_run`.

Rows hold int, Decimal, str and naive datetimes of the session's time zone; booleans are the texts
'T' and 'F', as NetSuite stores them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from .suiteql import SuiteQLError

Row = Mapping[str, Any]
Env = tuple[Row, ...]
Evaluate = Callable[[Env], Any]
_FORMATS = {
    "YYYY": "%Y",
    "MM": "%m",
    "DD": "%d",
    "HH24": "%H",
    "HH12": "%I",
    "HH": "%I",
    "MI": "%M",
    "SS": "%S",
    "AM": "%p",
    "PM": "%p",
    "MON": "%b",
}
_FORMAT_TOKEN = re.compile("|".join(sorted(_FORMATS, key=len, reverse=True)), re.IGNORECASE)


def _python_format(oracle: str) -> str:
    return _FORMAT_TOKEN.sub(lambda token: _FORMATS[token.group().upper()], oracle)


def wire_text(value: Any) -> str | None:
    """Return how NetSuite prints a stored value: dates in the account's format, without time."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, datetime):
        return f"{value.month}/{value.day}/{value.year}"
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    return str(value)


def constant(value: Evaluate) -> Any:
    """Return the value of an expression that names no column; refuse one that does."""
    try:
        return value(())
    except IndexError as error:
        raise SuiteQLError("Search error occurred: a constant is expected here.") from error


def apply(function: Callable[[str], str], value: Evaluate) -> Evaluate:
    """Return `function` of a value's text (LOWER, UPPER)."""
    return lambda env: None if (found := wire_text(value(env))) is None else function(found)


def nvl(first: Evaluate, second: Evaluate) -> Evaluate:
    """Return the first value, or the second where the first is null."""
    return lambda env: second(env) if (found := first(env)) is None else found


def to_char(value: Evaluate, pattern: Evaluate) -> Evaluate:
    """Return a date's text in an Oracle format; the two common ones go the short way."""
    form = str(constant(pattern))
    if form == "YYYY-MM-DD HH24:MI:SS":
        return lambda env: None if (at := value(env)) is None else _moment(at).isoformat(" ")
    if form == "YYYY-MM-DD":
        return lambda env: None if (at := value(env)) is None else _moment(at).isoformat()[:10]
    python = _python_format(form)
    return lambda env: None if (at := value(env)) is None else _moment(at).strftime(python)


def _moment(value: Any) -> datetime:
    if not isinstance(value, datetime):
        raise SuiteQLError("Search error occurred: TO_CHAR with a format takes a date.")
    return value


def to_timestamp(value: Evaluate, pattern: Evaluate) -> Evaluate:
    """Return the date that a constant text means; raises SuiteQLError when it does not parse."""
    text, form = str(constant(value)), _python_format(str(constant(pattern)))
    try:
        moment = datetime.strptime(text, form)
    except ValueError as error:
        raise SuiteQLError(f"Search error occurred: Unparseable date: {text!r}") from error
    return lambda env: moment


def like(left: Evaluate, right: Evaluate) -> Evaluate:
    """Say whether a value's text matches a constant pattern of % and _."""
    text = re.escape(str(constant(right))).replace("%", ".*").replace("_", ".")
    pattern = re.compile(text, re.DOTALL)
    return lambda env: (
        None if (found := wire_text(left(env))) is None else pattern.fullmatch(found) is not None
    )


def comparable(first: Any, second: Any) -> tuple[Any, Any]:
    """Bring two values to one type as the database would, or refuse."""
    if isinstance(first, datetime) or isinstance(second, datetime):
        raise SuiteQLError(
            "Search error occurred: a date must be compared with TO_DATE or TO_TIMESTAMP."
        )
    try:
        return Decimal(first), Decimal(second)
    except (InvalidOperation, TypeError, ValueError) as error:
        raise SuiteQLError(f"Search error occurred: invalid number {second!r}.") from error
