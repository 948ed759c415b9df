"""Incremental exports, by cursor and by time, with the vendor's delay."""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_left, bisect_right
from typing import Any

from starlette.requests import Request

from .sandbox_store import Key, Row, Store, Table
from .sandbox_wire import link, refusal, whole

EXPORT_MAX = 1000


def cursor_of(at: int, key: Key) -> str:
    """Return the cursor that points after one change."""
    return base64.b64encode(f"{at}.0||{key}|".encode()).decode()


def position_of(cursor: str, table: Table) -> tuple[int, Key]:
    """Return the change that a cursor points after; raises the vendor's 400 for a foreign one."""
    try:
        at, key = base64.b64decode(cursor, validate=True).decode().rstrip("|").split("||")
        custom = table.name.startswith("custom_object_")
        return int(float(at)), key if custom else int(key)
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise refusal(400, "InvalidCursor", "cursor is not valid") from error


class Exports:
    """The export endpoints over one store. `delay_s` hides changes younger than that."""

    def __init__(self, store: Store, *, delay_s: float) -> None:
        self._store = store
        self._delay_s = delay_s

    def by_cursor(self, request: Request, table: Table, rows_name: str) -> dict[str, Any]:
        """Return one page of a cursor export."""
        params = request.query_params
        ordered = self._settled(table)
        cursor = params.get("cursor")
        if cursor:
            begin = bisect_right(ordered, position_of(cursor, table))
        else:
            begin = bisect_left(ordered, (self._start(request),))
        size = self._size(request)
        window = ordered[begin : begin + size]
        after = cursor_of(*window[-1]) if window else cursor
        shown = self._rows(request, table, window)
        following = {"cursor": after or "", "per_page": str(size)}
        return {
            rows_name: shown,
            "after_url": link(request, following) if after else None,
            "before_url": None,
            "after_cursor": after,
            "before_cursor": None,
            "end_of_stream": begin + size >= len(ordered),
        }

    def by_time(self, request: Request, table: Table, rows_name: str) -> dict[str, Any]:
        """Return one page of a time-based export; rows at its end come again on the next page."""
        start = self._start(request)
        ordered = self._settled(table)
        begin = bisect_left(ordered, (start,))
        size = self._size(request)
        end = min(begin + size, len(ordered))
        # A page never ends between two changes of one second, or the next would not move on.
        while end < len(ordered) and ordered[end][0] == ordered[end - 1][0]:
            end += 1
        window = ordered[begin:end]
        end_time = window[-1][0] if window else start
        following = {"start_time": str(end_time), "per_page": str(size)}
        return {
            rows_name: self._rows(request, table, window),
            "count": len(window),
            "next_page": link(request, following) if window else None,
            "end_time": end_time,
            "end_of_stream": end >= len(ordered),
        }

    def _settled(self, table: Table) -> list[tuple[int, Any]]:
        ordered = self._store.by_stamp(table)
        newest = int(self._store.clock() - self._delay_s)
        return ordered[: bisect_left(ordered, (newest + 1,))]

    def _start(self, request: Request) -> int:
        text = request.query_params.get("start_time")
        if text is None:
            raise refusal(400, "InvalidValue", "start_time or cursor is required")
        start = whole(text, "start_time", 0)
        if start > self._store.clock() - self._delay_s:
            raise refusal(
                422,
                "InvalidValue",
                "Too recent start_time. Use a start_time older than 1 minute",
            )
        return start

    def _size(self, request: Request) -> int:
        asked = whole(request.query_params.get("per_page"), "per_page", EXPORT_MAX)
        return max(1, min(asked, EXPORT_MAX))

    def _rows(self, request: Request, table: Table, window: list[tuple[int, Any]]) -> list[Row]:
        params = request.query_params
        wanted = params.get("exclude_deleted") or params.get("filter[exclude_deleted]")
        shown = []
        for at, key in window:
            if wanted == "true" and key in table.deleted:
                continue
            row = self._store.render(table, key)
            if table.name == "tickets":
                row["generated_timestamp"] = at
            shown.append(row)
        return shown
