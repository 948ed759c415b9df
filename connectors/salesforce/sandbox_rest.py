"""The org's REST API: list, describe, query, records, changes, limits.

Takes an org, its token desk and its viewers; gives `sandbox` the application.
"""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .sandbox_describe import API_PATH, described, listed
from .sandbox_oauth import Grant, TokenDesk, bearer_of
from .sandbox_org import Org, Row, full_id, wire_time
from .sandbox_query import Result, compound_value, run
from .sandbox_record_access import USER_RECORD_ACCESS, record_access
from .sandbox_rights import OrgFacts, Viewer
from .sandbox_schema import ObjectDef
from .sandbox_soql import SoqlError, parse

VERSIONS = (("Winter '26", "65.0"), ("Spring '26", "66.0"), ("Summer '26", "67.0"))
_PAGE_MAX = 2000
_LOCATORS_MAX = 200
_URI_LENGTH_MAX = 16_384
_REPLICATION_DAYS_MAX = 30


class Refusal(Exception):
    """An answer outside 200..299: the vendor's array with one error."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class _Locator:
    user: str
    result: Result
    page_size: int


class Desk:
    """What all endpoints share: viewers, locators, the daily allowance."""

    def __init__(self, org: Org, tokens: TokenDesk, daily_requests: int, enforced: bool) -> None:
        self.org = org
        self.tokens = tokens
        self.daily_requests = daily_requests
        self.enforced = enforced
        self.used = 0
        self.locators: OrderedDict[str, _Locator] = OrderedDict()
        self._facts: OrgFacts | None = None
        self._viewers: dict[str, Viewer] = {}

    def viewer(self, user: str) -> Viewer:
        """Return the user's view of the org as it is now."""
        if self._facts is None or self._facts.version != self.org.version:
            self._facts = OrgFacts(self.org)
            self._viewers = {}
        if user not in self._viewers:
            self._viewers[user] = Viewer(self._facts, user)
        return self._viewers[user]

    def admit(self, request: Request) -> Grant:
        """Return the grant behind the request, counting it; raises Refusal."""
        if "authorization" not in request.headers:
            raise Refusal(401, "INVALID_SESSION_ID", "Session expired or invalid")
        token = bearer_of(request)
        if not token:
            raise Refusal(401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE")
        grant = self.tokens.grant_for(token)
        if grant is None:
            raise Refusal(401, "INVALID_SESSION_ID", "Session expired or invalid")
        if not {"api", "full"} & set(grant.scopes):
            raise Refusal(
                401, "INVALID_SESSION_ID", "This session is not valid for use with the REST API"
            )
        if self.enforced and self.used >= self.daily_requests:
            raise Refusal(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
        self.used += 1
        return grant


def _json(body: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json;charset=UTF-8")


Endpoint = Callable[[Request], Awaitable[Response]]
Answer = Callable[[Request, Viewer], Any]


class RestEndpoints:
    """The HTTP face of a desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        """Return the endpoints under /services/data; the query ones with and without a slash."""
        paths: list[tuple[str, Answer]] = [
            ("", self._resources),
            ("/limits", self._limits),
            ("/sobjects", self._list),
            ("/sobjects/{name}/describe", self._describe),
            ("/sobjects/{name}/deleted", self._deleted),
            ("/sobjects/{name}/updated", self._updated),
            ("/sobjects/{name}/{key}", self._record),
            ("/query", lambda request, viewer: self._query(request, viewer, bin_too=False)),
            ("/queryAll", lambda request, viewer: self._query(request, viewer, bin_too=True)),
            ("/query/{locator}", self._more),
            ("/queryAll/{locator}", self._more),
        ]
        versions = "/services/data"
        routes = [Route(f"{versions}{slash}", self._versions) for slash in ("", "/")]
        for path, answer in paths:
            for slash in ("", "/"):
                routes.append(Route(f"{versions}/v{{version}}{path}{slash}", self._as_user(answer)))
        routes.append(Route("/services/data/{rest:path}", self._unknown))
        return routes

    async def _versions(self, request: Request) -> Response:
        return _json(
            [
                {"label": label, "url": f"/services/data/v{version}", "version": version}
                for label, version in VERSIONS
            ]
        )

    async def _unknown(self, request: Request) -> Response:
        return refused(Refusal(404, "NOT_FOUND", "The requested resource does not exist"))

    def _as_user(self, answer: Answer) -> Endpoint:
        """Wrap an endpoint: version, token, allowance, errors, and the usage header."""

        async def endpoint(request: Request) -> Response:
            try:
                self._check(request)
                grant = self._desk.admit(request)
                response = _json(answer(request, self._desk.viewer(grant.user)))
            except SoqlError as error:
                response = refused(Refusal(400, error.code, error.message))
            except Refusal as refusal:
                response = refused(refusal)
            usage = f"api-usage={self._desk.used}/{self._desk.daily_requests}"
            response.headers["Sforce-Limit-Info"] = usage
            return response

        return endpoint

    def _check(self, request: Request) -> None:
        if len(str(request.url.path)) + len(request.url.query) > _URI_LENGTH_MAX:
            raise Refusal(414, "URI_TOO_LONG", "The URI is longer than 16384 bytes")
        version = request.path_params["version"]
        if not re.fullmatch(r"\d\d\.0", version):
            raise Refusal(404, "NOT_FOUND", "The requested resource does not exist")
        if float(version) < 31:
            raise Refusal(410, "UNSUPPORTED_API_VERSION", f"API version {version} is retired")

    def _resources(self, request: Request, viewer: Viewer) -> Any:
        names = ("sobjects", "query", "queryAll", "limits")
        return {name: f"{API_PATH}/{name}" for name in names}

    def _limits(self, request: Request, viewer: Viewer) -> Any:
        most = self._desk.daily_requests
        return {"DailyApiRequests": {"Max": most, "Remaining": max(most - self._desk.used, 0)}}

    def _list(self, request: Request, viewer: Viewer) -> Any:
        return {
            "encoding": "UTF-8",
            "maxBatchSize": 200,
            "sobjects": [listed(found) for found in viewer.objects.values()],
        }

    def _object(self, request: Request, viewer: Viewer) -> ObjectDef:
        found = viewer.objects_by_lower.get(request.path_params["name"].lower())
        if found is None:
            raise Refusal(404, "NOT_FOUND", "The requested resource does not exist")
        return found

    def _describe(self, request: Request, viewer: Viewer) -> Any:
        found = self._object(request, viewer)
        return described(found, viewer.objects, viewer.readable(found))

    def _record(self, request: Request, viewer: Viewer) -> Any:
        found = self._object(request, viewer)
        key = request.path_params["key"]
        key = full_id(key) if re.fullmatch(r"\w{15}", key) else key
        row = viewer.record(found.name, key)
        if row is None:
            self._explain_absence(found, viewer, key)
        assert row is not None
        readable = viewer.readable(found)
        fields = [field for field in found.fields if field.name in readable]
        asked = request.query_params.get("fields")
        if asked:
            by_lower = {field.name.lower(): field for field in fields}
            unknown = [name for name in asked.split(",") if name.strip().lower() not in by_lower]
            if unknown:
                raise Refusal(
                    400,
                    "INVALID_FIELD",
                    f"No such column '{unknown[0]}' on sobject of type {found.name}",
                )
            fields = [by_lower[name.strip().lower()] for name in asked.split(",")]
        path = f"{API_PATH}/sobjects/{found.name}/{key}"
        values = {
            field.name: compound_value(found, field.name, row)
            if field.type in ("address", "location")
            else row[field.name]
            for field in fields
        }
        return {"attributes": {"type": found.name, "url": path}, **values}

    def _explain_absence(self, found: ObjectDef, viewer: Viewer, key: str) -> None:
        gone: Row | None = self._desk.org.rows[found.name].get(key)
        if gone is not None and gone.get("IsDeleted") and viewer.sees(found.name, gone):
            raise Refusal(404, "ENTITY_IS_DELETED", "entity is deleted")
        if not re.fullmatch(r"\w{18}", key):
            raise Refusal(
                400, "MALFORMED_ID", f"{found.name} ID: id value of incorrect type: {key}"
            )
        raise Refusal(
            404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible"
        )

    def _query(self, request: Request, viewer: Viewer, *, bin_too: bool) -> Any:
        text = request.query_params.get("q")
        if not text:
            raise Refusal(400, "MALFORMED_QUERY", "SOQL statements cannot be empty or null")
        query = parse(text)
        if query.source.lower() == USER_RECORD_ACCESS:
            result = record_access(query, viewer, self._desk.viewer)
        else:
            result = run(query, viewer, self._desk.org.now(), bin_too=bin_too)
        size = _page_size(request)
        locator = ""
        if len(result.rows) > size:
            if query.source.lower() == "entitydefinition":
                raise Refusal(
                    400,
                    "EXCEEDED_ID_LIMIT",
                    "EntityDefinition does not support queryMore(), use LIMIT to restrict the "
                    "results to a single batch",
                )
            locator = f"01g5g0000{secrets.token_hex(4)}AQA"
            self._desk.locators[locator] = _Locator(viewer.user, result, size)
            while len(self._desk.locators) > _LOCATORS_MAX:
                self._desk.locators.popitem(last=False)
        return _page(locator, result, 0, size)

    def _more(self, request: Request, viewer: Viewer) -> Any:
        key, _, start = request.path_params["locator"].rpartition("-")
        found = self._desk.locators.get(key)
        if found is None or found.user != viewer.user or not start.isdigit():
            raise Refusal(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        return _page(key, found.result, int(start), found.page_size)

    def _replicated(self, request: Request, viewer: Viewer) -> ObjectDef:
        found = self._object(request, viewer)
        if not listed(found)["replicateable"] or not found.has("LastModifiedDate"):
            raise Refusal(400, "INVALID_TYPE_FOR_OPERATION", f"{found.name} is not replicateable")
        return found

    def _window(self, request: Request) -> tuple[str, str]:
        now = self._desk.org.now()
        try:
            # A plus sign that nobody escaped in the URL arrives as a space.
            start, end = (
                datetime.fromisoformat(request.query_params[name].replace(" ", "+"))
                for name in ("start", "end")
            )
        except (KeyError, ValueError) as error:
            raise Refusal(400, "INVALID_REPLICATION_DATE", "start and end are required") from error
        if start.tzinfo is None or end.tzinfo is None:
            raise Refusal(400, "INVALID_REPLICATION_DATE", "start and end need a time zone")
        if end - start < timedelta(minutes=1):
            raise Refusal(400, "INVALID_REPLICATION_DATE", "startDate before endDate by a minute")
        if now - start > timedelta(days=_REPLICATION_DAYS_MAX):
            raise Refusal(
                400, "INVALID_REPLICATION_DATE", "startDate cannot be more than 30 days ago"
            )
        return wire_time(start), wire_time(end)

    def _updated(self, request: Request, viewer: Viewer) -> Any:
        found = self._replicated(request, viewer)
        start, end = self._window(request)
        rows = [row for row in viewer.records(found.name) if not row.get("IsDeleted")]
        ids = [row["Id"] for row in rows if start <= row["LastModifiedDate"] <= end]
        return {"ids": ids, "latestDateCovered": end}

    def _deleted(self, request: Request, viewer: Viewer) -> Any:
        found = self._replicated(request, viewer)
        start, end = self._window(request)
        seen = {row["Id"] for row in viewer.records(found.name)}
        gone = [
            {"deletedDate": when, "id": key}
            for name, key, when in self._desk.org.removed
            if name == found.name and start <= when <= end and key in seen
        ]
        return {
            "deletedRecords": gone,
            "earliestDateAvailable": wire_time(self._desk.org.now() - timedelta(days=30)),
            "latestDateCovered": end,
        }


def refused(refusal: Refusal) -> Response:
    """Return the vendor's form of an error."""
    return _json([{"message": refusal.message, "errorCode": refusal.code}], refusal.status)


def _page_size(request: Request) -> int:
    match = re.search(r"batchSize=(\d{1,5})", request.headers.get("sforce-query-options", ""))
    return min(max(int(match[1]), 200), _PAGE_MAX) if match else _PAGE_MAX


def _page(locator: str, result: Result, start: int, size: int) -> dict[str, Any]:
    end = start + size
    answer: dict[str, Any] = {"totalSize": result.total, "done": end >= len(result.rows)}
    if not answer["done"]:
        answer["nextRecordsUrl"] = f"{API_PATH}/query/{locator}-{end}"
    answer["records"] = [result.wire(row) for row in result.rows[start:end]]
    return answer
