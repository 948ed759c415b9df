"""The REST endpoints of the account: catalogue, records, SuiteQL, governance.

Takes a session's view of the store; gives the vendor's JSON or raises `ApiRefusal`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from . import suiteql, suiteql_run
from .sandbox_auth import link_base
from .sandbox_errors import ApiRefusal, not_permitted
from .sandbox_fields import Field, RecordType
from .sandbox_filter import predicate
from .sandbox_roles import ADMINISTRATOR, NotPermitted, View

RECORD_PATH = "/services/rest/record/v1"
LIMIT_MAX = 1000
RESULTS_MAX = 100_000
QUERY_LENGTH_MAX = 100_000
_SINGULAR = "application/vnd.oracle.resource+json; type=singular"
_COLLECTION = "application/vnd.oracle.resource+json; type=collection"
_UNPROCESSED = "Invalid search query. Detailed unprocessed description follows. "


def _answer(body: Any, media_type: str = "application/json", **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(orjson.dumps(body), headers=named, media_type=media_type)


def _window(request: Request) -> tuple[int, int]:
    """Return (limit, offset) of a collection call; raises ApiRefusal when they break the rules."""
    found: dict[str, int] = {}
    for name, fallback in (("limit", LIMIT_MAX), ("offset", 0)):
        text = request.query_params.get(name, str(fallback))
        if not text.isdecimal():
            raise _bad_parameter(name, f"Invalid value for the query parameter {name}: {text}.")
        found[name] = int(text)
    limit, offset = found["limit"], found["offset"]
    if not 1 <= limit <= LIMIT_MAX:
        raise _bad_parameter("limit", f"The limit must be between 1 and {LIMIT_MAX}.")
    if offset % limit:
        raise _bad_parameter("offset", "The offset must be divisible by the limit.")
    if offset + limit > RESULTS_MAX:
        raise _bad_parameter("offset", f"At most {RESULTS_MAX} results can be reached by offset.")
    return limit, offset


def _bad_parameter(name: str, detail: str) -> ApiRefusal:
    return ApiRefusal(400, "INVALID_PARAMETER", detail, errorQueryParam=name)


def _page(request: Request, items: list[Any], total: int, limit: int, offset: int) -> Any:
    base = f"{link_base(request)}{request.url.path}?limit={limit}"
    has_more = offset + len(items) < total
    links = [{"rel": "self", "href": f"{base}&offset={offset}"}]
    if has_more:
        last = (total - 1) // limit * limit
        links.append({"rel": "next", "href": f"{base}&offset={offset + limit}"})
        links.append({"rel": "last", "href": f"{base}&offset={last}"})
    if offset:
        links.append({"rel": "previous", "href": f"{base}&offset={offset - limit}"})
        links.append({"rel": "first", "href": f"{base}&offset=0"})
    return {
        "links": links,
        "count": len(items),
        "hasMore": has_more,
        "items": items,
        "offset": offset,
        "totalResults": total,
    }


class Rest:
    """Answers calls of the REST API for one view."""

    def __init__(self, permission_error: str, concurrency: int) -> None:
        self._permission_error = permission_error
        self._concurrency = concurrency

    def catalogue(self, request: Request, view: View) -> Response:
        """List the record types that the role opens."""
        selected = request.query_params.get("select")
        if selected is not None and " " in selected:
            raise ApiRefusal(400, "INVALID_REQUEST", "The select parameter has malformed syntax.")
        wanted = None if selected is None else {name.lower() for name in selected.split(",")}
        items = [
            {"name": record.name, "links": _catalogue_links(request, record)}
            for record in view.store.records.values()
            if view.may_read(record) and (wanted is None or record.name in wanted)
        ]
        return _answer({"items": items})

    def schema(self, request: Request, view: View, name: str) -> Response:
        """Describe one record type, as JSON schema when asked for it."""
        record = self._record(view, name)
        if "application/schema+json" not in request.headers.get("accept", ""):
            return _answer({"name": record.name, "links": _catalogue_links(request, record)})
        hidden = view.hidden(record)
        shown = [field for field in record.fields if field.prop and field.column not in hidden]
        body = {
            "type": "object",
            "$schema": "https://json-schema.org/draft-06/hyper-schema#",
            "properties": {
                "links": {"title": "Links", "type": "array", "readOnly": True},
                **{field.prop: field.schema for field in shown},
            },
            "x-ns-filterable": [field.prop for field in shown if field.column],
        }
        return _answer(body, "application/schema+json")

    def collection(self, request: Request, view: View, name: str) -> Response:
        """List the ids of the visible records that `q` keeps."""
        record = self._record(view, name)
        limit, offset = _window(request)
        rows = view.table(record.table).rows
        q = request.query_params.get("q", "")
        keep = predicate(record, q) if q else None
        keys = sorted(row["id"] for row in rows if keep is None or keep(row))
        base = f"{link_base(request)}{RECORD_PATH}/{record.name}"
        items = [
            {"links": [{"rel": "self", "href": f"{base}/{key}"}], "id": str(key)}
            for key in keys[offset : offset + limit]
        ]
        return _answer(_page(request, items, len(keys), limit, offset), _COLLECTION)

    def singular(self, request: Request, view: View, name: str, key: str) -> Response:
        """Return one record by its id or external id (`eid:`)."""
        record = self._record(view, name)
        row = _find(view, record, key)
        hidden = view.hidden(record)
        fields = request.query_params.get("fields")
        wanted = None if fields is None else set(fields.split(","))
        base = f"{link_base(request)}{RECORD_PATH}"
        body: dict[str, Any] = {
            "links": [{"rel": "self", "href": f"{base}/{record.name}/{row['id']}"}]
        }
        for field in record.fields:
            if not field.prop or field.column in hidden or (wanted and field.prop not in wanted):
                continue
            value = _json_value(view, record, field, row, base)
            if value is not None:
                body[field.prop] = value
        return _answer(body, _SINGULAR)

    async def query(self, request: Request, view: View) -> Response:
        """Run SuiteQL."""
        if "transient" not in request.headers.get("prefer", ""):
            raise ApiRefusal(
                400,
                "INVALID_HEADER",
                "The required request header 'Prefer' is missing or not 'transient'.",
                errorHeader="Prefer",
            )
        limit, offset = _window(request)
        text = _query_text(await request.body())
        try:
            rows, total = suiteql_run.run(suiteql.parse(text), view, offset=offset, limit=limit)
        except suiteql.SuiteQLError as error:
            raise ApiRefusal(400, "INVALID_PARAMETER", f"{_UNPROCESSED}{error}") from error
        except RecursionError as error:
            detail = f"{_UNPROCESSED}The query is nested too deeply."
            raise ApiRefusal(400, "INVALID_PARAMETER", detail) from error
        except NotPermitted as error:
            raise not_permitted(self._permission_error) from error
        page = _page(request, list(rows), total, limit, offset)
        return _answer(page, Preference_Applied="transient")

    def governance(self, view: View) -> Response:
        """Return the concurrency limits, to an administrator."""
        if view.role.id != ADMINISTRATOR:
            raise not_permitted(self._permission_error)
        return _answer(
            {
                "accountConcurrencyLimit": self._concurrency,
                "accountUnallocatedConcurrencyLimit": self._concurrency,
                "integrationConcurrencyLimit": self._concurrency,
                "integrationLimitType": "accountLimit",
            }
        )

    def _record(self, view: View, name: str) -> RecordType:
        record = view.store.records.get(name.lower())
        if record is None:
            detail = f"Record type '{name}' does not exist."
            raise ApiRefusal(404, "NOT_FOUND", detail, urlPath=name)
        if not view.may_read(record):
            raise not_permitted(self._permission_error)
        return record


def _catalogue_links(request: Request, record: RecordType) -> list[Mapping[str, str]]:
    base = f"{link_base(request)}{RECORD_PATH}"
    href = f"{base}/metadata-catalog/{record.name}"
    return [
        {"rel": "canonical", "href": href, "mediaType": "application/json"},
        {"rel": "alternate", "href": href, "mediaType": "application/schema+json"},
        {"rel": "describes", "href": f"{base}/{record.name}"},
    ]


def _query_text(body: bytes) -> str:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ApiRefusal(400, "INVALID_CONTENT", "The request body is not valid JSON.") from error
    text = parsed.get("q") if isinstance(parsed, dict) else None
    if not isinstance(text, str) or not text.strip():
        raise ApiRefusal(400, "INVALID_CONTENT", "The request body must hold 'q'.", errorPath="q")
    if len(text) > QUERY_LENGTH_MAX:
        raise ApiRefusal(400, "INVALID_CONTENT", "The query is too long.", errorPath="q")
    return text


def _find(view: View, record: RecordType, key: str) -> Mapping[str, Any]:
    rows = view.table(record.table).rows
    column, wanted = ("externalid", key[4:]) if key.startswith("eid:") else ("id", key)
    for row in rows:
        if str(row.get(column)) == wanted:
            return row
    raise ApiRefusal(
        404,
        "NONEXISTENT_ID",
        "The record instance does not exist. Provide a valid record instance ID.",
        urlPath=f"{record.name}/{key}",
    )


def _json_value(
    view: View, record: RecordType, field: Field, row: Mapping[str, Any], base: str
) -> Any:
    value = row.get(field.column) if field.column else _computed(view, record, field, row)
    if value is None:
        return None
    match field.kind:
        case "boolean":
            return value == "T"
        case "money" | "float":
            return float(value)
        case "date":
            return value.date().isoformat()
        case "datetime":
            return view.store.utc(value).strftime("%Y-%m-%dT%H:%M:%SZ")
        case "select":
            return {"id": str(value), "refName": dict(field.choices).get(value, str(value))}
        case "record":
            target = f"{base}/{field.target}/{value}"
            return {
                "links": [{"rel": "self", "href": target}],
                "id": str(value),
                "refName": view.name_of(field.target, value),
            }
        case "id":
            return str(value)
        case _:
            return value


def _computed(view: View, record: RecordType, field: Field, row: Mapping[str, Any]) -> Any:
    """Return a REST property that is no column: the customer's balance, the invoice's totals."""
    columns = {
        "total": "foreigntotal",
        "amountPaid": "foreignamountpaid",
        "amountRemaining": "foreignamountunpaid",
        "subsidiary": "subsidiary",
    }
    if record.name == "invoice":
        return row.get(columns[field.prop])
    invoices = view.store.tables["transaction"].values()
    return sum(one["foreignamountunpaid"] for one in invoices if one["entity"] == row["id"])
