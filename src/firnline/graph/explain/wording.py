"""Filters and orders in words, as the person wrote them in GraphQL.

Takes coerced arguments of a list field; explain shows the result to people and agents.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

_LENGTH_MAX = 200
_SHOWN_MAX = 5


def filter_words(where: Mapping[str, Any]) -> list[str]:
    """Return one text per condition, all of which must hold."""
    return list(_conditions(where, ()))


def order_words(order_by: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return one text per sort key: the way to it, then its direction."""
    return [" ".join(_path(each)) for each in order_by]


def path_words(keys: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return one text per key of `distinctOn`."""
    return [" ".join(_path(each)).removesuffix(" true") for each in keys]


def shown(value: Any) -> Any:
    """Return a value short enough to look at: of a long list its count and first members."""
    if isinstance(value, list | tuple):
        if len(value) <= _SHOWN_MAX:
            return [shown(each) for each in value]
        return {"count": len(value), "first": [shown(each) for each in value[:_SHOWN_MAX]]}
    if isinstance(value, str) and len(value) > _LENGTH_MAX:
        return f"{value[:_LENGTH_MAX]}..."
    if isinstance(value, bytes):  # the key of a mask, and nothing else
        return "(secret)"
    return value if value is None or isinstance(value, str | int | float) else str(value)


def _conditions(where: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    for name, wanted in where.items():
        if name in ("and", "or") and isinstance(wanted, list | tuple):
            parts = [" and ".join(_conditions(each, path)) or "anything" for each in wanted]
            joined = f" {name} ".join(f"({part})" for part in parts)
            yield joined or ("anything" if name == "and" else "nothing")
        elif name == "not" and isinstance(wanted, Mapping):
            yield f"not ({' and '.join(_conditions(wanted, path)) or 'anything'})"
        elif isinstance(wanted, Mapping):
            yield from _conditions(wanted, (*path, name))
        else:
            yield f"{'.'.join(path)} {name} {_text(wanted)}".strip()


def _text(value: Any) -> str:
    return orjson.dumps(shown(value)).decode()


def _path(each: Any) -> tuple[str, str]:
    names = []
    while isinstance(each, Mapping) and each:
        name, each = next(iter(each.items()))
        names.append(name)
    return ".".join(names), "true" if each is True else str(each)
