"""Builds SuiteQL for pages of records and of deletions, and turns answers into pages.

Pages follow a keyset (modification stamp, id), never an offset, which NetSuite ends at 100,000.
NetSuite stamps records in the session's time zone; checkpoints are UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from firnline.catalog.model import FieldInfo, ObjectInfo
from firnline.connectors.protocol import Page, ReadQuery, Request, Response, VerifyQuery
from firnline.errors import FirnlineError

from .records import KNOWN, LINE, RECORD

QUERY_PATH = "/services/rest/query/v1/suiteql"
PAGE_SIZE_MAX = 1000
_STAMP = "YYYY-MM-DD HH24:MI:SS"
_NO_RECORD = "-1"
_FORMATS = {"timestamp": _STAMP, "date": "YYYY-MM-DD"}


class UnreadableAnswerError(FirnlineError):
    """NetSuite answered a query with rows that lack what was selected to go on from."""

    code = "netsuite_answer"

    def __init__(self, object_name: str, column: str) -> None:
        super().__init__(
            f"NetSuite returned a {object_name} without {column}, so the next page is unknown",
            hint=f"Check in NetSuite that the role may see {column} of every {object_name}.",
        )


def suiteql(query: str, *, limit: int = PAGE_SIZE_MAX) -> Request:
    """Return the call that runs a query; it reads only, so it may be repeated."""
    return Request(
        "POST",
        QUERY_PATH,
        params={"limit": str(limit), "offset": "0"},
        headers={"Prefer": "transient"},
        json={"q": query},
    )


def source(described: ObjectInfo) -> str:
    """Return the FROM clause: a transaction's subsidiary stands on its main line."""
    clause = f"FROM {described.extra['table']} {RECORD}"
    if described.extra.get("line_columns"):
        clause += (
            f" INNER JOIN transactionline {LINE}"
            f" ON {LINE}.transaction = {RECORD}.id AND {LINE}.mainline = 'T'"
        )
    return clause


def column(described: ObjectInfo, name: str) -> str:
    """Return the qualified column of a field."""
    on_line = name in described.extra.get("line_columns", "").split(",")
    return f"{LINE if on_line else RECORD}.{name}"


def selected(described: ObjectInfo, field: FieldInfo) -> str:
    """Return the select item of a field: dates lose their time unless formatted."""
    name = column(described, field.name)
    if field.type in _FORMATS:
        return f"TO_CHAR({name}, '{_FORMATS[field.type]}') AS {field.name}"
    return f"{name} AS {field.name}"


def read_request(query: ReadQuery, overlap_s: int) -> Request:
    """Return the request for one page of records."""
    described = query.object
    order = described.extra["order"].split(",")
    wanted = {*query.fields, *order}
    fields = [
        field for field in described.fields if field.name in wanted and not _made(described, field)
    ]
    conditions = [described.extra["where"]] if described.extra.get("where") else []
    if query.page is not None:
        conditions.append(_after(described, order, orjson.loads(query.page)))
    elif query.since is not None and described.cursor:
        floor = _literal_stamp(local_floor(query.since, overlap_s, _zone(described)))
        conditions.append(f"{column(described, described.cursor)} >= {floor}")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    text = (
        f"SELECT {', '.join(selected(described, field) for field in fields)}"
        f" {source(described)}{where}"
        f" ORDER BY {', '.join(column(described, name) for name in order)}"
    )
    return suiteql(text, limit=max(1, min(query.page_size, PAGE_SIZE_MAX)))


def page_of(query: ReadQuery, response: Response) -> Page:
    """Return the records of one answer, with where to go on."""
    described = query.object
    body = response.json()
    items: Sequence[Mapping[str, Any]] = body["items"]
    zone = _zone(described)
    records = [_record(described, item, zone) for item in items]
    if not items:
        return Page(records=[], checkpoint=query.since)
    last = items[-1]
    for name in described.extra["order"].split(","):
        if last.get(name) is None:
            raise UnreadableAnswerError(described.name, name)
    position = [last[name] for name in described.extra["order"].split(",")]
    return Page(
        records=records,
        next_page=orjson.dumps(position).decode() if body.get("hasMore") else None,
        checkpoint=to_utc(last[described.cursor], zone) if described.cursor else None,
    )


def deletes_request(query: ReadQuery, overlap_s: int) -> Request:
    """Return the request for one page of deleted keys of the object."""
    described = query.object
    known = KNOWN.get(described.name)
    names = (known.deleted_types if known else ()) or (described.name,)
    conditions = [f"LOWER(d.type) IN ({', '.join(_text(name) for name in names)})"]
    if query.page is not None:
        stamp, key = orjson.loads(query.page)
        at = _literal_stamp(stamp)
        conditions.append(
            f"(d.deleteddate > {at} OR (d.deleteddate = {at} AND d.recordid > {_number(key)}))"
        )
    elif query.since is not None:
        floor = local_floor(query.since, overlap_s, _zone(described))
        conditions.append(f"d.deleteddate >= {_literal_stamp(floor)}")
    columns = f"d.recordid, TO_CHAR(d.deleteddate, '{_STAMP}') AS deleteddate"
    where = " AND ".join(conditions)
    # Literals are quoted by _text and _number; the rest is our own.
    text = f"SELECT {columns} FROM deletedrecord d WHERE {where}"  # noqa: S608
    text += " ORDER BY d.deleteddate, d.recordid"
    return suiteql(text, limit=max(1, min(query.page_size, PAGE_SIZE_MAX)))


def deletes_of(query: ReadQuery, response: Response) -> Page:
    """Return the deleted keys of one answer."""
    body = response.json()
    items = body["items"]
    if not items:
        return Page(records=[], checkpoint=query.since)
    last = items[-1]
    position = orjson.dumps([last["deleteddate"], last["recordid"]]).decode()
    return Page(
        records=[],
        deleted=[str(item["recordid"]) for item in items],
        next_page=position if body.get("hasMore") else None,
        checkpoint=to_utc(last["deleteddate"], _zone(query.object)),
    )


def verify_request(query: VerifyQuery) -> Request:
    """Return the request that finds which of some records the token's role sees."""
    described = query.object
    key = column(described, described.key)
    ids = ", ".join(_number(each) for each in query.keys if each.isdecimal())
    conditions = [described.extra["where"]] if described.extra.get("where") else []
    conditions.append(f"{key} IN ({ids or _NO_RECORD})")
    # Names come from the catalog, ids are numbers.
    text = f"SELECT {key} AS id {source(described)} WHERE {' AND '.join(conditions)}"
    return suiteql(text)


def verified_of(query: VerifyQuery, response: Response) -> frozenset[str]:
    """Return the asked keys that an answer holds."""
    return frozenset(query.keys) & {str(item["id"]) for item in response.json()["items"]}


def to_utc(stamp: str, zone: ZoneInfo) -> str:
    """Return a session-local stamp as UTC; of an hour that happens twice, the first is meant."""
    local = datetime.fromisoformat(stamp).replace(tzinfo=zone)
    return local.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def local_floor(since: str, overlap_s: int, zone: ZoneInfo) -> str:
    """Return the session-local stamp to read from so that nothing after `since` is missed.

    When clocks were set back the local hour happened twice and later records may carry earlier
    stamps: a checkpoint inside such an hour goes back before it.
    """
    local = datetime.fromisoformat(since).astimezone(zone)
    again = local.replace(fold=1).utcoffset() or timedelta()
    first = local.replace(fold=0).utcoffset() or timedelta()
    floor = (
        local.replace(tzinfo=None) - timedelta(seconds=overlap_s) - max(first - again, timedelta())
    )
    return floor.isoformat(" ", "seconds")


def _zone(described: ObjectInfo) -> ZoneInfo:
    return ZoneInfo(described.extra.get("timezone", "UTC"))


def _made(described: ObjectInfo, field: FieldInfo) -> bool:
    """Say whether the field is the key that `_record` makes of several columns."""
    return field.name == described.key and described.key not in described.extra["order"].split(",")


def _record(described: ObjectInfo, item: Mapping[str, Any], zone: ZoneInfo) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for name, value in item.items():
        field = described.by_name.get(name)
        if field is None or value is None:
            continue
        if field.type == "timestamp":
            record[name] = to_utc(value, zone)
        elif field.type == "strings":
            record[name] = [part.strip() for part in str(value).split(",") if part.strip()]
        else:
            record[name] = value
    order = described.extra["order"].split(",")
    if described.key not in order:
        record[described.key] = ":".join(str(item.get(name, "")) for name in order)
    return record


def _after(described: ObjectInfo, order: Sequence[str], position: Sequence[str]) -> str:
    """Return the condition "after this position in the total order"."""
    alternatives = []
    for depth in range(len(order)):
        equal = [
            f"{column(described, name)} = {_literal(described, name, value)}"
            for name, value in zip(order[:depth], position[:depth], strict=True)
        ]
        name = order[depth]
        more = f"{column(described, name)} > {_literal(described, name, position[depth])}"
        alternatives.append(f"({' AND '.join([*equal, more])})")
    return f"({' OR '.join(alternatives)})"


def _literal(described: ObjectInfo, name: str, value: str) -> str:
    match described.by_name[name].type:
        case "timestamp":
            return _literal_stamp(value)
        case "id":
            return _number(value)
        case _:
            return _text(value)


def _literal_stamp(local: str) -> str:
    return f"TO_TIMESTAMP({_text(local)}, '{_STAMP}')"


def _number(value: Any) -> str:
    return str(int(value))


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
