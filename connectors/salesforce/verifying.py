"""Asks an org what one user sees now: takes keys and an object, gives queries and their meaning.

`UserRecordAccess` answers for one user and up to 200 records a query. It holds object rights and
sharing; restriction and scoping rules are not part of it, nor is field-level security: that is read
from describe with the person's own token, from the field permissions of all their permission sets
with the organisation's.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from firnline.connectors.protocol import (
    Connector,
    Request,
    Response,
    Steps,
    VerifyQuery,
    expect,
)

from .discovery import API
from .grants import secured_fields

_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")
_NO_RECORD = "'000000000000000AAA'"
_PAGES_MAX = 50
_ASSIGNED = (
    "SELECT PermissionSetId FROM PermissionSetAssignment"
    " WHERE AssigneeId = '{user}' AND IsActive = true"
)


def verify_request(query: VerifyQuery) -> Request:
    """Return the query; ids that are none are left out, for nobody sees them."""
    ids = ", ".join(f"'{key}'" for key in query.keys if _ID.fullmatch(key))
    # Only ids stand in it, and their form was checked.
    soql = (
        "SELECT RecordId, HasReadAccess FROM UserRecordAccess"  # noqa: S608
        f" WHERE UserId = '{_user(query)}' AND RecordId IN ({ids or _NO_RECORD})"
    )
    return Request.get(f"{API}/query", q=soql)


def visible_in(query: VerifyQuery, response: Response) -> frozenset[str]:
    """Return the asked keys that the answer shows; ids come back in either length."""
    seen = {
        str(row["RecordId"])[:15]
        for row in response.json()["records"]
        if row.get("HasReadAccess") is True
    }
    return frozenset(key for key in query.keys if _ID.fullmatch(key) and key[:15] in seen)


def hidden_fields(connector: Connector, query: VerifyQuery) -> Steps[frozenset[str]]:
    """Find the fields of the object that field-level security keeps back from the user now."""
    if query.is_own:
        described = Request.get(f"{API}/sobjects/{query.object.name}/describe")
        (response,) = yield [described]
        body = expect(connector, described, response)
        shown = {field["name"] for field in body["fields"]}
        return frozenset(query.object.by_name) - shown
    assigned = _ASSIGNED.format(user=_user(query))
    of_object = f"SobjectType = '{query.object.name}' AND ParentId IN ({assigned})"
    # Names come from the org's own describe, the id's form was checked.
    whole = f"PermissionsViewAllFields = true AND {of_object}"
    whole = f"SELECT Id FROM ObjectPermissions WHERE {whole}"  # noqa: S608
    single = f"PermissionsRead = true AND {of_object}"
    single = f"SELECT Field FROM FieldPermissions WHERE {single}"  # noqa: S608
    if (yield from _rows(connector, whole)):
        return frozenset()
    granted = {str(row["Field"]) for row in (yield from _rows(connector, single))}
    return frozenset(
        name
        for name, governing in secured_fields(query.object).items()
        if f"{query.object.name}.{governing}" not in granted
    )


def _rows(
    connector: Connector, soql: str
) -> Generator[Sequence[Request], Sequence[Response], list[Mapping[str, Any]]]:
    """Read a whole result; one without an end gives what came so far, which grants less."""
    rows: list[Mapping[str, Any]] = []
    request = Request.get(f"{API}/query", q=soql)
    for _ in range(_PAGES_MAX):
        (response,) = yield [request]
        page = expect(connector, request, response)
        rows += page["records"]
        if page["done"]:
            break
        request = Request.get(page["nextRecordsUrl"])
    return rows


def _user(query: VerifyQuery) -> str:
    return query.user_key if _ID.fullmatch(query.user_key) else ""
