"""Turns one JSON value into the Python value that its catalog type stores, or says why not.

Takes single values that the column-wise path of `sync.normalize` could not take whole. A reason
never quotes the value: it may be a person's.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation, localcontext
from functools import partial
from typing import Any, TypeVar

import orjson

from firnline.cache.columns import decimal_shape
from firnline.catalog.model import FieldInfo, ScalarName

TEXT_LENGTH_MAX = 1_000_000  # characters of one value; longer ones are quarantined
_NUMBER_LENGTH_MAX = 100  # digits that are worth reading: no column holds more than 38
_TRUE = frozenset({"true", "t", "1"})
_FALSE = frozenset({"false", "f", "0"})
# Python 3.11 reads these as well as Arrow, except for the offset's missing colon or minutes.
_OFFSET = re.compile(r"([+-]\d\d)(\d\d)?$")
_FRACTION = re.compile(r"(\.\d{6})\d+")

Convert = Callable[[Any], Any]
Parsed = TypeVar("Parsed")


class UnfitValue(ValueError):
    """A value does not fit its type; the message is the reason, without the value."""


def converter(field: FieldInfo) -> Convert:
    """Return the function that converts one non-null value of `field`; it raises UnfitValue."""
    if field.type == "decimal":
        precision, scale = decimal_shape(field)
        return partial(_decimal, precision=precision, scale=scale)
    return _CONVERTERS[field.type]


def key_text(value: Any) -> str | None:
    """Return a record's key as text, None when it cannot be one."""
    try:
        return _text(value) or None
    except UnfitValue:
        return None


def _unfit(wanted: str, value: Any) -> UnfitValue:
    return UnfitValue(f"expected {wanted}, got {_described(value)}")


def _described(value: Any) -> str:
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float | Decimal):
        return "a number"
    if isinstance(value, str):
        return f"text of {len(value)} characters"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    return f"a {type(value).__name__}"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    if isinstance(value, int | float | Decimal):
        return _number_text(value)
    if not isinstance(value, str):
        raise _unfit("text", value)
    if len(value) > TEXT_LENGTH_MAX:
        raise UnfitValue(f"text of {len(value)} characters is over {TEXT_LENGTH_MAX}")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise UnfitValue("text with half a surrogate pair, which UTF-8 cannot carry")
    return value


def _number_text(value: int | float | Decimal) -> str:
    if isinstance(value, int) and value.bit_length() > _NUMBER_LENGTH_MAX * 4:
        raise UnfitValue("a number of too many digits")
    return str(value)


def _integer(value: Any, bits: int) -> int:
    if isinstance(value, str) and len(value) <= _NUMBER_LENGTH_MAX:
        value = _parsed(int, value, "a whole number")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _unfit("a whole number", value)
    if not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
        raise UnfitValue(f"a whole number that {bits} bits cannot hold")
    return value


def _float(value: Any) -> float:
    if isinstance(value, str) and len(value) <= _NUMBER_LENGTH_MAX:
        value = _parsed(float, value, "a number")
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise _unfit("a number", value)
    try:
        number = float(value)
    except OverflowError:
        raise UnfitValue("a number too large for its type") from None
    if not math.isfinite(number):
        raise UnfitValue("a number that is not finite")
    return number


def _decimal(value: Any, *, precision: int, scale: int) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        raise _unfit("a number", value)
    if isinstance(value, int) and value.bit_length() > _NUMBER_LENGTH_MAX * 4:
        raise UnfitValue("a number of too many digits")
    text = repr(value) if isinstance(value, float) else str(value).strip()
    if len(text) > _NUMBER_LENGTH_MAX:
        raise UnfitValue("a number of too many digits")
    try:
        number = Decimal(text)
        if not number.is_finite():
            raise UnfitValue("a number that is not finite")
        with localcontext() as context:
            context.prec = precision + 1
            fitted = number.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_EVEN)
    except InvalidOperation:
        raise _unfit(f"a number of at most {precision} digits", value) from None
    if fitted and fitted.adjusted() >= precision - scale:
        raise UnfitValue(f"a number of more than {precision - scale} digits before the point")
    return fitted


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | str):
        word = str(value).lower() if not isinstance(value, int) or value in (0, 1) else ""
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
    raise _unfit("true or false", value)


def _date(value: Any) -> date:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    if not isinstance(value, str) or not 10 <= len(value) <= 40:
        raise _unfit("a date", value)
    if len(value) > 10:
        return _timestamp(value).date()
    return _parsed(date.fromisoformat, value, "a date")


def _timestamp(value: Any) -> datetime:
    if isinstance(value, str) and 10 <= len(value) <= 40:
        value = _parsed(datetime.fromisoformat, _python_iso(value), "a timestamp")
    if not isinstance(value, datetime):
        raise _unfit("a timestamp", value)
    if value.tzinfo is None:
        return value  # the provider's stamps are UTC unless they say otherwise
    try:
        return value.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        raise UnfitValue("a timestamp outside the years 1 to 9999") from None


def _python_iso(text: str) -> str:
    text = _FRACTION.sub(r"\1", text.strip())
    head, tail = text[:10], text[10:]
    return head + _OFFSET.sub(lambda found: f"{found[1]}:{found[2] or '00'}", tail)


def _time(value: Any) -> time:
    if isinstance(value, time):
        return value.replace(tzinfo=None)
    if not isinstance(value, str) or not 5 <= len(value) <= 20:
        raise _unfit("a time of day", value)
    text = _FRACTION.sub(r"\1", value.strip().removesuffix("Z"))
    return _parsed(time.fromisoformat, text, "a time of day").replace(tzinfo=None)


def _json(value: Any) -> str:
    try:
        text = orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        text = _wide_json(value)
    if len(text) > TEXT_LENGTH_MAX:
        raise UnfitValue(f"JSON of {len(text)} characters is over {TEXT_LENGTH_MAX}")
    return text


def _wide_json(value: Any) -> str:
    """Return JSON that orjson cannot write: whole numbers over 64 bits."""
    try:
        text = json.dumps(value, allow_nan=False)
        orjson.loads(text)  # half surrogate pairs and great depth fail here, not in DuckDB
    except (ValueError, TypeError, RecursionError):
        raise UnfitValue("JSON that cannot be stored") from None
    return text


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [_text(value)]
    if not isinstance(value, list | tuple):
        raise _unfit("a list of texts", value)
    if len(value) > TEXT_LENGTH_MAX // 10:
        raise UnfitValue(f"a list of {len(value)} texts")
    return [_text(item) for item in value if item is not None]


def _parsed(parse: Callable[[str], Parsed], text: str, wanted: str) -> Parsed:
    try:
        return parse(text)
    except (ValueError, OverflowError):
        raise _unfit(wanted, text) from None


_CONVERTERS: Mapping[ScalarName, Convert] = {
    "id": _text,
    "string": _text,
    "int": partial(_integer, bits=32),
    "long": partial(_integer, bits=64),
    "float": _float,
    "bool": _bool,
    "date": _date,
    "timestamp": _timestamp,
    "time": _time,
    "json": _json,
    "strings": _strings,
}
