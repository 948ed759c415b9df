"""What one person's own API calls show, as catalog names and wire values.

The witness that mirrored permissions are checked against: it asks over HTTP, with that person's
token, through endpoints that agents may call (lists and search, never the admins' exports).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from httpx2 import AsyncClient

Row = dict[str, Any]
TICKET = (
    "id",
    "external_id",
    "type",
    "subject",
    "raw_subject",
    "description",
    "priority",
    "status",
    "recipient",
    "requester_id",
    "submitter_id",
    "assignee_id",
    "organization_id",
    "group_id",
    "collaborator_ids",
    "follower_ids",
    "email_cc_ids",
    "problem_id",
    "has_incidents",
    "is_public",
    "due_at",
    "tags",
    "custom_status_id",
    "ticket_form_id",
    "brand_id",
    "created_at",
    "updated_at",
)
USER = (
    "id",
    "name",
    "email",
    "alias",
    "external_id",
    "role",
    "role_type",
    "custom_role_id",
    "active",
    "suspended",
    "verified",
    "moderator",
    "ticket_restriction",
    "restricted_agent",
    "only_private_comments",
    "shared",
    "shared_agent",
    "chat_only",
    "default_group_id",
    "organization_id",
    "phone",
    "time_zone",
    "iana_time_zone",
    "locale",
    "tags",
    "details",
    "notes",
    "signature",
    "last_login_at",
    "created_at",
    "updated_at",
)
ORGANIZATION = (
    "id",
    "name",
    "external_id",
    "details",
    "notes",
    "shared_tickets",
    "shared_comments",
    "domain_names",
    "tags",
    "group_id",
    "created_at",
    "updated_at",
)
GROUP = ("id", "name", "description", "default", "is_public", "created_at", "updated_at")
RECORD = (
    "id",
    "name",
    "external_id",
    "created_by_user_id",
    "updated_by_user_id",
    "created_at",
    "updated_at",
)


class Witness:
    """One person asking."""

    def __init__(self, http: AsyncClient, token: str) -> None:
        self._http = http
        self._headers = {"Authorization": f"Bearer {token}"}

    async def see(self) -> dict[str, dict[str, Row]]:
        """Return object -> key -> field -> value."""
        seen: dict[str, dict[str, Row]] = {}
        tickets = await self._tickets()
        if tickets is not None:
            seen["tickets"] = tickets
        for name, fields, nested in (
            ("users", USER, "user_fields"),
            ("organizations", ORGANIZATION, "organization_fields"),
            ("groups", GROUP, ""),
        ):
            rows = await self._list(f"/api/v2/{name}", name)
            if rows is not None:
                dates = await self._dates(f"/api/v2/{nested}", nested) if nested else set()
                seen[name] = {str(row["id"]): _flat(row, fields, nested, dates) for row in rows}
        for key in await self._custom_object_keys():
            path = f"/api/v2/custom_objects/{key}"
            rows = await self._list(f"{path}/records", "custom_object_records")
            if rows is not None:
                dates = await self._dates(f"{path}/fields", "custom_object_fields")
                seen[f"custom_object_{key}"] = {
                    row["id"]: _flat(row, RECORD, "custom_object_fields", dates) for row in rows
                }
        return seen

    async def _pages(self, path: str, params: Mapping[str, str]) -> AsyncIterator[Row]:
        """Yield the pages of a list; none when the person may not read it."""
        after = ""
        while True:
            asked = {**params, "page[after]": after} if after else dict(params)
            answer = await self._http.get(path, params=asked, headers=self._headers)
            if answer.status_code == 403:
                return
            answer.raise_for_status()
            page = answer.json()
            yield page
            if not page.get("meta", {}).get("has_more"):
                return
            after = page["meta"]["after_cursor"]

    async def _list(self, path: str, name: str, size: int = 100) -> list[Row] | None:
        rows: list[Row] | None = None
        async for page in self._pages(path, {"page[size]": str(size)}):
            rows = (rows or []) + page[name]
        return rows

    async def _tickets(self) -> dict[str, Row] | None:
        # The plain list leaves out what is archived; the search export shows all there is.
        found: dict[str, Row] | None = None
        asked = {
            "query": "created>1990-01-01",
            "filter[type]": "ticket",
            "page[size]": "1000",
        }
        async for page in self._pages("/api/v2/search/export", asked):
            found = {} if found is None else found
            for ticket in page["results"]:
                found[str(ticket["id"])] = _ticket(ticket)
        return found

    async def _dates(self, path: str, name: str) -> set[str]:
        rows = await self._list(path, name) or []
        return {row["key"] for row in rows if row["type"] == "date"}

    async def _custom_object_keys(self) -> list[str]:
        answer = await self._http.get("/api/v2/custom_objects", headers=self._headers)
        if answer.status_code == 403:
            return []
        answer.raise_for_status()
        return [row["key"] for row in answer.json()["custom_objects"]]


def _ticket(wire: Row) -> Row:
    shown = {name: wire[name] for name in TICKET}
    for name in ("collaborator_ids", "follower_ids", "email_cc_ids"):
        shown[name] = [str(number) for number in wire[name]]
    shown["via_channel"] = wire["via"]["channel"]
    shown["satisfaction_rating_score"] = wire["satisfaction_rating"]["score"]
    for custom in wire["custom_fields"]:
        shown[f"field_{custom['id']}"] = custom["value"]
    return shown


def _flat(wire: Row, fields: tuple[str, ...], nested: str, dates: set[str]) -> Row:
    shown = {name: wire[name] for name in fields}
    for key, value in (wire[nested] if nested else {}).items():
        is_date = key in dates and value is not None
        shown[f"{nested}_{key}"] = value[:10] if is_date else value
    return shown
