"""Finds an account's objects and fields: REST's catalogue and schemas, checked against SuiteQL.

REST describes types and labels, SuiteQL decides what can be selected: not every REST property is a
column, and a role may lack some. Each object is probed with a query for all its columns; those
that NetSuite does not know are left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from firnline.catalog.model import Catalog, FieldInfo, ObjectInfo, ObjectSupports
from firnline.connectors.protocol import (
    Connector,
    Grounds,
    ProviderRefusal,
    Request,
    Response,
    Steps,
    expect,
)

from .reading import column, source, suiteql
from .records import CUSTOM_RECORD_PREFIX, KNOWN, PERMISSION_OBJECTS
from .schema import CustomField, fields_of, fields_of_custom_record

CATALOGUE_PATH = "/services/rest/record/v1/metadata-catalog"
PROBE_ROUNDS_MAX = 200
_NAMED_COLUMN = re.compile(r"(?:field|identifier|column)\s*['\"‘]?(\w+)['\"’]?", re.IGNORECASE)
_REFUSALS = (Grounds.FORBIDDEN, Grounds.INVALID, Grounds.NOT_FOUND)
_OPENING = (
    "SELECT internalid, scriptid, name FROM CustomRecordType",
    "SELECT scriptid, name, fieldtype, fieldvaluetype, recordtype FROM CustomField",
    "SELECT recordid, type, deleteddate FROM DeletedRecord FETCH FIRST 1 ROWS ONLY",
)


def discover(connector: Connector) -> Steps[Catalog]:
    """Return the catalog; raises ProviderRefusal."""
    opening = [
        Request.get(CATALOGUE_PATH, headers={"Accept": "application/json"}),
        suiteql("SELECT SESSIONTIMEZONE FROM DUAL"),
        *(suiteql(query) for query in _OPENING),
    ]
    answers = yield opening
    listed = expect(connector, opening[0], answers[0])["items"]
    timezone = _timezone(expect(connector, opening[1], answers[1]))
    types = _rows_if_allowed(connector, opening[2], answers[2])
    customs = _custom_fields(_rows_if_allowed(connector, opening[3], answers[3]))
    lists_deleted = _body_if_allowed(connector, opening[4], answers[4]) is not None
    titles = {str(row["scriptid"]).lower(): row for row in types}
    names = _names(listed, titles)
    requests = [
        Request.get(f"{CATALOGUE_PATH}/{name}", headers={"Accept": "application/schema+json"})
        for name in names
    ]
    schemas = yield requests
    drafts: list[ObjectInfo] = []
    for name, request, answer in zip(names, requests, schemas, strict=True):
        schema = _body_if_allowed(connector, request, answer)
        draft = _draft(name, schema, titles.get(name), customs, timezone)
        if draft is not None:
            drafts.append(draft)
    permissions = [_with_timezone(found, timezone) for found in PERMISSION_OBJECTS]
    objects = yield from _probed(connector, [*drafts, *permissions])
    found = [_with_supports(described, lists_deleted) for described in objects]
    return Catalog(provider=connector.provider, objects=_with_known_targets(found))


def _timezone(body: Mapping[str, Any]) -> str:
    """Return the session's time zone; the column's name depends on the release."""
    row = body["items"][0]
    return next(str(value) for name, value in row.items() if name != "links")


def _rows_if_allowed(
    connector: Connector, request: Request, response: Response
) -> Sequence[Mapping[str, Any]]:
    body = _body_if_allowed(connector, request, response)
    return body["items"] if body else ()


def _body_if_allowed(
    connector: Connector, request: Request, response: Response
) -> Mapping[str, Any] | None:
    """Return the answer's body, None when the role lacks this part; raises ProviderRefusal."""
    if not connector.refused(response):
        body: Mapping[str, Any] = response.json()
        return body
    if connector.classify(response).grounds in _REFUSALS:
        return None
    raise ProviderRefusal(request, response)


def _custom_fields(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, CustomField]:
    return {
        name: CustomField(
            name=name,
            label=str(row.get("name") or name),
            value_type=str(row.get("fieldvaluetype") or ""),
            record_type=str(row.get("recordtype") or ""),
        )
        for row in rows
        if (name := str(row.get("scriptid") or "").lower())
    }


def _names(
    listed: Sequence[Mapping[str, Any]], titles: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Return the record types to describe: the standard ones we know, and every custom one."""
    present = [str(item["name"]).lower() for item in listed]
    custom = sorted({*titles, *(name for name in present if name.startswith(CUSTOM_RECORD_PREFIX))})
    return [*(name for name in KNOWN if name in present), *custom]


def _draft(
    name: str,
    schema: Mapping[str, Any] | None,
    custom_type: Mapping[str, Any] | None,
    customs: Mapping[str, CustomField],
    timezone: str,
) -> ObjectInfo | None:
    """Return what descriptions say of an object, before SuiteQL was asked; None for nothing."""
    known = KNOWN.get(name)
    if schema is not None:
        fields = fields_of(name, schema, customs)
    elif custom_type is not None:
        # Without the REST description the custom fields alone describe the record.
        fields = fields_of_custom_record(str(custom_type["internalid"]), customs)
    else:
        return None
    present = {field.name for field in fields}
    if known is not None:
        fields += tuple(field for field in known.columns if field.name not in present)
    cursors = (known.cursor,) if known else ("lastmodified", "lastmodifieddate")
    cursor = next((one for one in cursors if one in present), "")
    title = str(custom_type["name"]) if custom_type else name
    extra = {
        "table": known.table if known else name,
        "where": known.where if known else "",
        "line_columns": ",".join(sorted(known.line_columns & present)) if known else "",
        "order": f"{cursor},id" if cursor else "id",
        "timezone": timezone,
    }
    return ObjectInfo(
        name=name,
        key="id",
        label=known.label if known else title,
        label_plural=known.label_plural if known else title,
        custom=known is None,
        cursor=cursor,
        fields=fields,
        extra=extra,
    )


def _with_timezone(described: ObjectInfo, timezone: str) -> ObjectInfo:
    return described.model_copy(update={"extra": {**described.extra, "timezone": timezone}})


def _probed(connector: Connector, drafts: Sequence[ObjectInfo]) -> Steps[list[ObjectInfo]]:
    """Return the drafts with the columns that SuiteQL knows; drop tables the role lacks."""
    accepted: dict[str, ObjectInfo] = {}
    pending = list(drafts)
    for _ in range(PROBE_ROUNDS_MAX):
        if not pending:
            break
        requests = [_probe(draft, _columns(draft)) for draft in pending]
        answers = yield requests
        doubtful: list[ObjectInfo] = []
        again: list[ObjectInfo] = []
        for draft, request, answer in zip(pending, requests, answers, strict=True):
            if _body_if_allowed(connector, request, answer) is not None:
                accepted[draft.name] = draft
                continue
            verdict = connector.classify(answer)
            named = _NAMED_COLUMN.findall(verdict.message)
            unknown = {name.lower() for name in named} & set(_columns(draft))
            if unknown:
                again.append(_without(draft, unknown))
            elif verdict.grounds is Grounds.INVALID:
                doubtful.append(draft)
        for draft in doubtful:
            tried = yield from _column_by_column(connector, draft)
            if tried is not None:
                accepted[draft.name] = tried
        pending = [draft for draft in again if "id" in draft.by_name]
    return [accepted[draft.name] for draft in drafts if draft.name in accepted]


def _column_by_column(connector: Connector, draft: ObjectInfo) -> Steps[ObjectInfo | None]:
    """Ask for each column alone, when NetSuite does not say which one it refuses."""
    names = _columns(draft)
    requests = [_probe(draft, [name]) for name in names]
    answers = yield requests
    refused = {
        name
        for name, request, answer in zip(names, requests, answers, strict=True)
        if _body_if_allowed(connector, request, answer) is None
    }
    return None if refused & {*draft.extra["order"].split(",")} else _without(draft, refused)


def _columns(draft: ObjectInfo) -> list[str]:
    order = draft.extra["order"].split(",")
    return [field.name for field in draft.fields if field.name != draft.key or draft.key in order]


def _probe(draft: ObjectInfo, names: Sequence[str]) -> Request:
    columns = ", ".join(column(draft, name) for name in names)
    return suiteql(f"SELECT {columns} {source(draft)} FETCH FIRST 1 ROWS ONLY", limit=1)


def _without(draft: ObjectInfo, unknown: set[str]) -> ObjectInfo:
    extra, cursor = dict(draft.extra), draft.cursor
    if cursor in unknown:
        cursor, extra["order"] = "", "id"
    on_line = set(extra.get("line_columns", "").split(",")) - unknown
    extra["line_columns"] = ",".join(sorted(on_line - {""}))
    fields = tuple(field for field in draft.fields if field.name not in unknown)
    return draft.model_copy(update={"fields": fields, "cursor": cursor, "extra": extra})


def _with_supports(described: ObjectInfo, lists_deleted: bool) -> ObjectInfo:
    """Say what is possible: objects without a cursor are read whole, which shows deletions."""
    has_cursor = bool(described.cursor)
    supports = ObjectSupports(changes=has_cursor, deletes=has_cursor and lists_deleted)
    return described.model_copy(update={"supports": supports})


def _with_known_targets(objects: Sequence[ObjectInfo]) -> tuple[ObjectInfo, ...]:
    """Drop references to objects that are not in the catalog; their fields stay plain keys."""
    exposed = {found.name for found in objects if found.exposed}

    def resolved(field: FieldInfo) -> FieldInfo:
        if field.reference is None or set(field.reference.targets) <= exposed:
            return field
        return field.model_copy(update={"reference": None})

    return tuple(
        found.model_copy(update={"fields": tuple(resolved(field) for field in found.fields)})
        for found in objects
    )
