"""Zendesk Support: turns discovery and reads into requests, exports and lists into records.

Tickets, users and custom objects are read by cursor exports, organizations by the time-based
export, everything else by cursor-paged lists. Custom values are flattened to the catalog's names
(`field_<id>`, `user_fields_<key>`, `organization_fields_<key>`, `custom_object_fields_<key>`).
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from firnline.access.grounds import Coordinate, Ground, Naming
from firnline.access.model import PermissionRows, Person, SourceAccess
from firnline.catalog.model import Catalog, ObjectInfo
from firnline.connectors.protocol import (
    Connector,
    Grounds,
    Identity,
    Page,
    ProviderRefusal,
    ReadQuery,
    Request,
    Response,
    Steps,
    Verdict,
    VerifyQuery,
    expect,
)
from firnline.connectors.quotas import QuotaReading, rate_limit_headers

from . import access, discovery, explaining, refusals

EXPORT_MAX = 1000
LIST_MAX = 100
LIST_PAGES_MAX = 200
# Zendesk documents one minute, accounts have been seen to ask for five.
SETTLED_S = 301
DELETED_VALUE = "[DELETED]"
OPTIONAL_LISTS = ("custom_roles", "brand_agents", "custom_objects")  # not on every plan
DEFINITIONS = ("ticket_fields", "user_fields", "organization_fields", *OPTIONAL_LISTS)
Record = dict[str, Any]


class Zendesk(Connector):
    """One connector for every Zendesk Support account."""

    provider = "zendesk"

    def identify(self, settings: Mapping[str, str]) -> Steps[Identity]:
        """Ask who the token belongs to."""
        asked = Request.get("/api/v2/users/me")
        (answer,) = yield [asked]
        user = expect(self, asked, answer)["user"]
        subdomain = settings.get("subdomain", "")
        return Identity(
            account=subdomain,
            account_name=f"{subdomain}.zendesk.com",
            user_key=str(user["id"]),
            user_name=str(user.get("name") or user.get("email") or ""),
        )

    def discover(self, settings: Mapping[str, str]) -> Steps[Catalog]:
        """Read the definitions of custom fields, roles, brand memberships and custom objects."""
        paths = {name: f"/api/v2/{name}" for name in DEFINITIONS}
        found = yield from self._lists(paths, {name: name for name in DEFINITIONS})
        custom_objects = found["custom_objects"] or []
        keys = [str(row["key"]) for row in custom_objects]
        fields = yield from self._lists(
            {key: f"/api/v2/custom_objects/{key}/fields" for key in keys},
            dict.fromkeys(keys, "custom_object_fields"),
        )
        made = discovery.catalog_objects(
            ticket_fields=found["ticket_fields"] or [],
            user_fields=found["user_fields"] or [],
            organization_fields=found["organization_fields"] or [],
            custom_roles=found["custom_roles"],
            brand_agents=found["brand_agents"],
            custom_objects=custom_objects,
            custom_object_fields={key: fields[key] or [] for key in keys},
        )
        return Catalog(provider=self.provider, objects=made)

    def _lists(
        self, paths: Mapping[str, str], rows: Mapping[str, str]
    ) -> Generator[Sequence[Request], Sequence[Response], dict[str, list[Record] | None]]:
        """Read whole lists at the same time, page by page; None for one that the plan lacks."""
        found: dict[str, list[Record] | None] = {name: [] for name in paths}
        pending = {name: _list_request(path, None, LIST_MAX) for name, path in paths.items()}
        for _ in range(LIST_PAGES_MAX):
            if not pending:
                break
            answers = yield list(pending.values())
            following: dict[str, Request] = {}
            for (name, asked), answer in zip(pending.items(), answers, strict=True):
                if name in OPTIONAL_LISTS and answer.status in (403, 404):
                    # A missing scope is not a missing feature.
                    if refusals.classify(answer).grounds is Grounds.SCOPE_MISSING:
                        raise ProviderRefusal(asked, answer)
                    found[name] = None
                    continue
                body = expect(self, asked, answer)
                found[name] = [*(found[name] or []), *body[rows[name]]]
                token = _list_token(body)
                if token is not None:
                    following[name] = _list_request(paths[name], token, LIST_MAX)
            pending = following
        return found

    def build_read(self, query: ReadQuery) -> Request:
        """Return the request for one page."""
        path = query.object.extra["path"]
        read = query.object.extra["read"]
        if read == "list":
            return _list_request(path, query.page, min(query.page_size, LIST_MAX))
        per_page = str(min(query.page_size, EXPORT_MAX))
        if read == "time":
            start = _time_start(query, self.manifest.limits.overlap_s)
            return Request.get(path, start_time=str(start), per_page=per_page)
        cursor = query.page or query.since
        if cursor:
            return Request.get(path, cursor=cursor, per_page=per_page)
        return Request.get(path, start_time="1", per_page=per_page)

    def parse_page(self, query: ReadQuery, response: Response) -> Page:
        """Return the records of one page, deleted ones as keys."""
        body = response.json()
        rows: list[Record] = body[query.object.extra["rows"]]
        read = query.object.extra["read"]
        if read == "time":
            return self._time_page(query, body, rows)
        if read == "list":
            return Page(
                records=[flatten(query.object, row) for row in rows],
                next_page=_list_token(body),
            )
        # The cursor stays valid at the end of the stream: the next run goes on from it.
        cursor = body.get("after_cursor") or query.page or query.since
        is_over = body.get("end_of_stream", True) or not body.get("after_cursor")
        is_stuck = not rows and cursor == query.page
        return _split(query.object, rows, None if is_over or is_stuck else cursor, cursor)

    def _time_page(self, query: ReadQuery, body: Record, rows: list[Record]) -> Page:
        """Return a page of the time-based export, without rows that the last page gave."""
        asked = _time_start(query, self.manifest.limits.overlap_s)
        end = int(body.get("end_time") or asked)
        seen = set(_time_token(query.page)[1]) if query.page else set()
        fresh = {str(row["id"]): row for row in rows if _mark(row) not in seen}
        is_over = body.get("end_of_stream", not rows)
        if is_over or end > query.now.timestamp() - SETTLED_S:
            token = None
        else:
            # A full page of one second gives its own start again: step over it.
            start = end if end > asked else asked + 1
            boundary = [_mark(row) for row in rows if _epoch(row.get("updated_at")) == end]
            token = orjson.dumps([start, boundary]).decode()
        return _split(query.object, list(fresh.values()), token, str(end))

    def classify(self, response: Response) -> Verdict:
        """Say what a refusal means."""
        return refusals.classify(response)

    def quota(self, response: Response) -> Sequence[QuotaReading]:
        """Read what is left of the account's calls this minute."""
        return rate_limit_headers(response, name="account", window_s=60.0)

    def access(self, rows: PermissionRows, catalog: Catalog, person: Person) -> SourceAccess:
        """Return what `person` may read, mirrored from role, groups and organizations."""
        return access.mirror(rows, catalog, person)

    def build_verify(self, query: VerifyQuery) -> Request:
        """Return the call that shows several records; it leaves out what the caller may not see."""
        ids = ",".join(key for key in query.keys if key.isdecimal())
        return Request.get(f"/api/v2/{query.object.name}/show_many", ids=ids)

    def parse_verify(self, query: VerifyQuery, response: Response) -> frozenset[str]:
        """Return the records that came, deleted ones aside."""
        rows: list[Record] = response.json()[query.object.name]
        shown = {str(row["id"]) for row in rows if not is_deleted(query.object, row)}
        return frozenset(query.keys) & shown

    def people(self, rows: PermissionRows) -> Sequence[Person]:
        """Return the active agents and admins."""
        return access.staff(rows)

    def token_request_extras(self, settings: Mapping[str, str]) -> Mapping[str, str]:
        """Name the scope: Zendesk's token endpoint asks for it beside the code."""
        return {"scope": "read"}

    def inactive(self, rows: PermissionRows) -> Sequence[Person]:
        """Return the agents and admins who were suspended or deleted."""
        return access.former_staff(rows)

    def grounds(
        self, rows: PermissionRows, catalog: Catalog, user_key: str, asked: Coordinate
    ) -> Sequence[Ground]:
        """Return which role gives or takes the right."""
        return list(explaining.grounds(rows, catalog, user_key, asked.object))

    def named(self, rows: PermissionRows, catalog: Catalog, user_key: str, value: Naming) -> str:
        """Return which group, organization or person a key stands for."""
        return explaining.named(rows, user_key, value)


def _list_request(path: str, token: str | None, page_size: int) -> Request:
    if token and token.startswith(("https://", "http://")):
        return Request.get(token)  # offset pagination, of accounts whose list has no cursors
    params = {"page[size]": str(page_size)}
    if token:
        params["page[after]"] = token
    return Request("GET", path, params=params)


def _list_token(body: Mapping[str, Any]) -> str | None:
    meta = body.get("meta")
    if meta is not None:
        return meta.get("after_cursor") if meta.get("has_more") else None
    return body.get("next_page")


def _time_token(page: str) -> tuple[int, list[str]]:
    start, boundary = orjson.loads(page)
    return int(start), list(boundary)


def _time_start(query: ReadQuery, overlap_s: int) -> int:
    """Return the second from which a time-based page reads; never a too recent one."""
    if query.page:
        return _time_token(query.page)[0]
    since = int(query.since or 1) - overlap_s
    return max(1, min(since, _settled(query.now)))


def _settled(now: datetime) -> int:
    return int(now.timestamp()) - SETTLED_S


def _epoch(stamp: Any) -> int:
    """Return a vendor stamp as epoch seconds, 0 when it is none."""
    try:
        return int(datetime.fromisoformat(str(stamp)).timestamp())
    except ValueError:
        return 0


def _mark(row: Mapping[str, Any]) -> str:
    return f"{row['id']} {row.get('updated_at')}"


def _split(
    described: ObjectInfo, rows: Sequence[Record], token: str | None, checkpoint: str | None
) -> Page:
    """Return a page with the deleted rows set apart as keys."""
    # A row that changed while the page was cut stands in it twice: the later one counts.
    latest = {str(row["id"]): row for row in rows}
    gone = [key for key, row in latest.items() if is_deleted(described, row)]
    kept = [row for row in latest.values() if not is_deleted(described, row)]
    return Page(
        records=[flatten(described, row) for row in kept],
        next_page=token,
        checkpoint=checkpoint,
        deleted=gone,
    )


def is_deleted(described: ObjectInfo, row: Mapping[str, Any]) -> bool:
    """Say whether an exported row stands for a record that lists no longer show."""
    if described.name == "tickets":
        return row.get("status") == "deleted"
    if described.name == "users":
        return row.get("active") is False
    if described.extra.get("custom_object"):
        return row.get("name") == DELETED_VALUE
    return row.get("deleted_at") is not None


def flatten(described: ObjectInfo, row: Mapping[str, Any]) -> Record:
    """Return a wire record under the catalog's flat names."""
    wire = dict(row)
    via, score = wire.get("via"), wire.get("satisfaction_rating")
    if described.name == "tickets":
        wire["via_channel"] = via.get("channel") if isinstance(via, dict) else None
        wire["satisfaction_rating_score"] = score.get("score") if isinstance(score, dict) else None
        for custom in row.get("custom_fields") or ():
            wire[f"field_{custom['id']}"] = custom.get("value")
    nested = described.extra.get("nested", "")
    for key, value in (row.get(nested) or {}).items() if nested else ():
        wire[described.extra.get(f"key:{key}", f"{nested}_{key}")] = value
    return {field.name: _value(field.type, wire.get(field.name)) for field in described.fields}


def _value(kind: str, value: Any) -> Any:
    """Return one value; dates lose the midnight that some objects write, lists hold texts."""
    if kind == "date" and isinstance(value, str):
        return value[:10] or None
    if kind == "strings" and isinstance(value, list):
        return [str(one) for one in value]
    if kind == "id" and value is not None:
        return str(value) or None
    return value
