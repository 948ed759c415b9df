"""The search endpoints: `/search`, `/search/count`, `/search/export`.

What a query means is `sandbox_search`'s; here are pages, their limits and their links.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from .sandbox_paging import decode, encode, offset_links
from .sandbox_search import TYPES, Search
from .sandbox_store import Key, Row
from .sandbox_wire import json_answer, link, refusal, whole

if TYPE_CHECKING:
    from .sandbox_api import Api

SEARCH_MAX = 1000
SEARCH_CURSOR_S = 3600


class SearchApi:
    """Answers searches with what the caller of an `Api` may see."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def _found(self, request: Request, kinds: Sequence[str], query: str) -> list[tuple[str, Key]]:
        caller = self._api.caller(request, "search")
        self._api.permissions.require_agent(caller)
        search = Search(self._api.store, caller)
        return [
            (kind, key)
            for kind in kinds
            for key in search.matches(
                TYPES[kind], query, self._api.permissions.visible(caller, TYPES[kind])
            )
        ]

    def _query(self, request: Request) -> tuple[list[str], str]:
        params = request.query_params
        if "query" not in params:
            raise refusal(400, "ParameterMissing", "Parameter query is required")
        kind, query = Search(self._api.store, {}).split_type(params["query"])
        wanted = params.get("filter[type]", kind)
        if wanted is not None and (wanted not in TYPES or kind not in (None, wanted)):
            raise refusal(400, "invalid", "Invalid search: filter[type] is not valid")
        return [wanted] if wanted else list(TYPES), query

    def _results(self, found: Sequence[tuple[str, Key]]) -> list[Row]:
        return [
            {**self._api.store.render(self._api.store.table(TYPES[kind]), key), "result_type": kind}
            for kind, key in found
        ]

    async def search(self, request: Request) -> Response:
        """Answer with one page of at most 1,000 results."""
        params = request.query_params
        size = max(1, min(whole(params.get("per_page"), "per_page", 100), 100))
        number = max(1, whole(params.get("page"), "page", 1))
        if number * size > SEARCH_MAX:
            raise refusal(
                422,
                "invalid",
                "Invalid search: Requested response size was greater than Search Response Limits",
            )
        found = self._found(request, *self._query(request))
        field = params.get("sort_by", "created_at")
        if field not in ("created_at", "updated_at", "priority", "status", "ticket_type"):
            raise refusal(422, "invalid", f"Invalid search: cannot sort by {field}")
        found.sort(
            key=lambda one: str(self._api.store.table(TYPES[one[0]]).rows[one[1]].get(field) or ""),
            reverse=params.get("sort_order", "desc") == "desc",
        )
        window = found[(number - 1) * size : number * size]
        body = {
            "results": self._results(window),
            "facets": None,
            **offset_links(request, number, size, len(found)),
        }
        if number * size >= SEARCH_MAX:
            body["next_page"] = None
        return json_answer(body)

    async def search_count(self, request: Request) -> Response:
        """Answer with the number of results."""
        return json_answer({"count": len(self._found(request, *self._query(request)))})

    async def search_export(self, request: Request) -> Response:
        """Answer with up to 1,000 results of one type in order of creation, by cursor."""
        params = request.query_params
        if params.get("filter[type]") not in TYPES:
            raise refusal(400, "invalid", "Parameter filter[type] is required")
        size = max(1, min(whole(params.get("page[size]"), "page[size]", 100), 1000))
        kinds, query = self._query(request)
        ordered = self._in_order(request, kinds[0], query)
        begin = 0
        if params.get("page[after]"):
            given_at, *mark = decode(params["page[after]"])
            if self._api.store.clock() - given_at > SEARCH_CURSOR_S:
                raise refusal(400, "InvalidCursor", "The cursor has expired")
            begin = bisect_right(ordered, tuple(mark))
        window = ordered[begin : begin + size]
        has_more = begin + size < len(ordered)
        after = encode([self._api.store.clock(), *window[-1]]) if has_more else None
        following = {**params, "page[after]": after or ""}
        return json_answer(
            {
                "results": self._results([(kinds[0], key) for _, key in window]),
                "facets": None,
                "meta": {"has_more": has_more, "after_cursor": after, "before_cursor": None},
                "links": {"prev": None, "next": link(request, following) if has_more else None},
            }
        )

    def _in_order(self, request: Request, kind: str, query: str) -> list[tuple[str, Key]]:
        """Return (created_at, key) of what the caller finds; kept while nothing changes."""
        rows = self._api.store.table(TYPES[kind]).rows
        user_id = self._api.grant(request).user_id

        def build() -> list[tuple[str, Key]]:
            found = self._found(request, [kind], query)
            return sorted((rows[key]["created_at"], key) for _, key in found)

        ordered: list[tuple[str, Key]] = self._api.store.cached(f"{kind}:{user_id}:{query}", build)
        return ordered
