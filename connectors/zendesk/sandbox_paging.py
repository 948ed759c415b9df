"""Cursor and offset pagination of lists, as the vendor's list endpoints do it."""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from starlette.requests import Request

from .sandbox_store import Key, Row
from .sandbox_wire import link, refusal, whole

PAGE_MAX = 100
OFFSET_PAGES_MAX = 100
Render = Callable[[Sequence[Key]], list[Row]]


def encode(value: Any) -> str:
    """Return an opaque cursor."""
    return base64.b64encode(orjson.dumps({"o": "id", "v": value})).decode()


def decode(cursor: str) -> Any:
    """Return what a cursor holds; raises the vendor's 400 for a foreign one."""
    try:
        return orjson.loads(base64.b64decode(cursor, validate=True))["v"]
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise refusal(400, "InvalidCursor", "The cursor is invalid") from error


def paged(request: Request, name: str, keys: Sequence[Key], render: Render) -> dict[str, Any]:
    """Return one page of `keys`: by cursor when a `page[...]` is asked for, else by number."""
    params = request.query_params
    if any(given.startswith("page[") for given in params):
        return by_cursor(request, name, keys, render, size_max=PAGE_MAX)
    return by_offset(request, name, keys, render)


def by_cursor(
    request: Request, name: str, keys: Sequence[Key], render: Render, *, size_max: int
) -> dict[str, Any]:
    """Return one page by cursor, ordered by id (`sort=-id`: descending)."""
    params = request.query_params
    size = max(1, min(whole(params.get("page[size]"), "page[size]", PAGE_MAX), size_max))
    sort = params.get("sort", "id")
    if sort not in ("id", "-id"):
        raise refusal(400, "InvalidValue", "sort is not valid")
    ordered: Sequence[Any] = keys if sort == "id" else [*reversed(keys)]
    start = _start(params, ordered, size, descending=sort == "-id")
    window = ordered[start : start + size]
    has_more = start + size < len(ordered)
    after = encode(window[-1]) if window else None
    before = encode(window[0]) if window else None
    kept = {key: value for key, value in params.items() if not key.startswith("page[")}
    following = {**kept, "page[after]": after or "", "page[size]": str(size)}
    preceding = {**kept, "page[before]": before or "", "page[size]": str(size)}
    return {
        name: render(window),
        "meta": {"has_more": has_more, "after_cursor": after, "before_cursor": before},
        "links": {
            "next": link(request, following) if has_more else None,
            "prev": link(request, preceding) if start else None,
        },
    }


def _start(
    params: Mapping[str, str], ordered: Sequence[Any], size: int, *, descending: bool
) -> int:
    """Return where the page begins, after or before the record that a cursor names."""
    sign = (lambda key: -key) if descending else None
    after, before = params.get("page[after]"), params.get("page[before]")
    if after:
        mark = decode(after)
        return bisect_right(ordered, sign(mark) if sign else mark, key=sign)
    if before:
        mark = decode(before)
        return max(0, bisect_left(ordered, sign(mark) if sign else mark, key=sign) - size)
    return 0


def by_offset(request: Request, name: str, keys: Sequence[Key], render: Render) -> dict[str, Any]:
    """Return one page by number; past 100 pages the vendor answers 400."""
    params = request.query_params
    size = max(1, min(whole(params.get("per_page"), "per_page", PAGE_MAX), PAGE_MAX))
    number = max(1, whole(params.get("page"), "page", 1))
    if number > OFFSET_PAGES_MAX:
        raise refusal(
            400,
            "InvalidPaginationDepth",
            "Number of pages exceeds the limit of 100; use cursor pagination",
        )
    window = keys[(number - 1) * size : number * size]
    return {name: render(window), **offset_links(request, number, size, len(keys))}


def offset_links(request: Request, number: int, size: int, count: int) -> dict[str, Any]:
    """Return next_page, previous_page and count."""
    kept = {key: value for key, value in request.query_params.items() if key != "page"}

    def page(at: int) -> str:
        return link(request, {**kept, "page": str(at)})

    return {
        "next_page": page(number + 1) if number * size < count else None,
        "previous_page": page(number - 1) if number > 1 else None,
        "count": count,
    }
