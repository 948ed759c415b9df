"""Asks an org which records one user sees now: takes keys, gives a query of UserRecordAccess.

One user and up to 200 records a query. The answer holds object rights and sharing; field-level
security, restriction rules and scoping rules are not part of it.
"""

from __future__ import annotations

import re

from firnline.connectors.protocol import Request, Response, VerifyQuery

from .discovery import API

_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")


def verify_request(query: VerifyQuery) -> Request:
    """Return the query; ids that are none are left out, for nobody sees them."""
    ids = ", ".join(f"'{key}'" for key in query.keys if _ID.fullmatch(key))
    user = query.user_key if _ID.fullmatch(query.user_key) else ""
    # Only ids stand in it, and their form was checked.
    soql = (
        "SELECT RecordId, HasReadAccess FROM UserRecordAccess"  # noqa: S608
        f" WHERE UserId = '{user}' AND RecordId IN ({ids or _NO_RECORD})"
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


_NO_RECORD = "'000000000000000AAA'"
