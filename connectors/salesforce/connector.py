"""Salesforce: turns reads into SOQL requests, answers into records, refusals into verdicts.

Discovery lives in `discovery`, the mirrored permissions in `sharing`, the meaning of refusals in
`refusals`. Receives settings, cached permission rows and answers from the engine; does no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote_plus

from firnline.access.grounds import Coordinate, Ground, Naming
from firnline.access.model import PermissionRows, Person, SourceAccess
from firnline.catalog.model import Catalog
from firnline.connectors.protocol import (
    Connector,
    Identity,
    Page,
    ReadQuery,
    Request,
    Response,
    Steps,
    Verdict,
    VerifyQuery,
    expect,
)
from firnline.connectors.quotas import QuotaReading
from firnline.errors import FirnlineError

from . import explaining
from .discovery import API, discovery
from .refusals import usage, verdict
from .sharing import mirrored_access
from .verifying import hidden_fields, verify_request, visible_in

# The documented cap on a REST URI is 16,384 bytes; the rest is room for host and path.
_QUERY_LENGTH_MAX = 16_000
_SOQL_STAMP = "%Y-%m-%dT%H:%M:%SZ"


class QueryTooLongError(FirnlineError):
    """An object has more fields than one SOQL query in a URL can name."""

    code = "salesforce_query_too_long"

    def __init__(self, object_name: str, fields_count: int, length: int) -> None:
        super().__init__(
            f"reading {fields_count} fields of {object_name} takes a query of {length} characters; "
            f"Salesforce accepts {_QUERY_LENGTH_MAX}",
            hint=f"Hide fields of {object_name} from the integration user by field-level security.",
        )


class Salesforce(Connector):
    """The REST API of one org, version 66.0."""

    provider = "salesforce"

    def derived_settings(self, settings: Mapping[str, str]) -> Mapping[str, str]:
        """Add the login host that assertions are meant for: sandboxes have one of their own."""
        # A My Domain label such as acme--uat.sandbox belongs to a sandbox, scratch orgs included.
        is_sandbox = settings["domain"].endswith((".sandbox", ".scratch"))
        host = "test.salesforce.com" if is_sandbox else "login.salesforce.com"
        return {**settings, "login_host": host}

    def identify(self, settings: Mapping[str, str]) -> Steps[Identity]:
        """Ask the user-info endpoint who the token is, and the org for its name."""
        requests = [
            Request.get("/services/oauth2/userinfo"),
            Request.get(f"{API}/query", q="SELECT Id, Name FROM Organization LIMIT 1"),
        ]
        responses = yield requests
        who, org = (
            expect(self, request, response)
            for request, response in zip(requests, responses, strict=True)
        )
        return Identity(
            account=who["organization_id"],
            account_name=org["records"][0]["Name"] if org["records"] else settings["domain"],
            user_key=who["user_id"],
            user_name=who.get("name") or who.get("preferred_username", ""),
        )

    def discover(self, settings: Mapping[str, str]) -> Steps[Catalog]:
        """List the org's objects, then describe the ones worth having, all at once."""
        return discovery(self, settings)

    def build_read(self, query: ReadQuery) -> Request:
        """Return a SOQL query, or the locator path that the previous page gave, untouched."""
        headers = {"Sforce-Query-Options": f"batchSize={min(max(query.page_size, 200), 2000)}"}
        if query.page:
            return Request.get(query.page, headers=headers)
        found = query.object
        soql = self._soql(query)
        length = len(quote_plus(soql))
        if length > _QUERY_LENGTH_MAX:
            raise QueryTooLongError(found.name, len(query.fields), length)
        resource = "queryAll" if found.supports.deletes else "query"
        return Request.get(f"{API}/{resource}", headers=headers, q=soql)

    def _soql(self, query: ReadQuery) -> str:
        found = query.object
        deletes = ("IsDeleted",) if found.supports.deletes else ()
        cursor = (found.cursor,) if found.cursor else ()
        names = dict.fromkeys((found.key, *query.fields, *cursor, *deletes))
        conditions = [found.extra["where"]] if found.extra.get("where") else []
        if found.cursor and query.since:
            conditions.append(f"{found.cursor} >= {self._overlapped(query.since)}")
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        # Equal stamps are common (bulk loads), so the key completes the order.
        order = ", ".join(dict.fromkeys((*cursor, found.key)))
        # Names come from the org's own describe.
        return f"SELECT {','.join(names)} FROM {found.name}{where} ORDER BY {order}"  # noqa: S608

    def _overlapped(self, since: str) -> str:
        start = _instant(since) - timedelta(seconds=self.manifest.limits.overlap_s)
        return start.strftime(_SOQL_STAMP)

    def parse_page(self, query: ReadQuery, response: Response) -> Page:
        """Return the page's live records, and the keys of those in the recycle bin."""
        answer = response.json()
        found = query.object
        lists = {name for name in query.fields if _is_type(query, name, "strings")}
        times = {name for name in query.fields if _is_type(query, name, "time")}
        records: list[dict[str, Any]] = []
        deleted: list[str] = []
        for raw in answer["records"]:
            if raw.get("IsDeleted") and found.supports.deletes:
                deleted.append(raw[found.key])
                continue
            record = {name: raw.get(name) for name in query.fields}
            for name in lists:
                record[name] = record[name].split(";") if record[name] else None
            for name in times:
                record[name] = record[name].rstrip("Z") if record[name] else None
            records.append(record)
        return Page(
            records=records,
            next_page=None if answer["done"] else answer["nextRecordsUrl"],
            checkpoint=_checkpoint(query, answer["records"]),
            deleted=deleted,
        )

    def classify(self, response: Response) -> Verdict:
        """Say what a refusal means."""
        return verdict(response)

    def quota(self, response: Response) -> Sequence[QuotaReading]:
        """Read what is left of the org's calls, and whether too many long ones run."""
        return usage(response)

    def access(self, rows: PermissionRows, catalog: Catalog, person: Person) -> SourceAccess:
        """Return what the person's profile, permission sets and sharing let them read."""
        return mirrored_access(rows, catalog, person)

    def build_verify(self, query: VerifyQuery) -> Request:
        """Return a query of UserRecordAccess; anybody may ask about themselves."""
        return verify_request(query)

    def parse_verify(self, query: VerifyQuery, response: Response) -> frozenset[str]:
        """Return the records that the user may read."""
        return visible_in(query, response)

    def verify_fields(self, query: VerifyQuery) -> Steps[frozenset[str]]:
        """Find the fields that field-level security keeps back from the user."""
        return hidden_fields(self, query)

    def people(self, rows: PermissionRows) -> Sequence[Person]:
        """Return the active users."""
        return [
            Person(user["Email"], user.get("Name") or "", user.get("Title") or "", user["Id"])
            for user in rows.rows("User", IsActive="true")
            if user.get("Email")
        ]

    def inactive(self, rows: PermissionRows) -> Sequence[Person]:
        """Return the users who were deactivated."""
        return [
            Person(user["Email"], user.get("Name") or "", "deactivated", user["Id"])
            for user in rows.rows("User", IsActive="false")
            if user.get("Email")
        ]

    def grounds(
        self, rows: PermissionRows, catalog: Catalog, user_key: str, asked: Coordinate
    ) -> Sequence[Ground]:
        """Return which profile, permission sets and groups give or take the right."""
        secured = catalog.by_name[asked.object].extra.get("secured", "")
        return list(explaining.grounds(rows, user_key, asked, secured))

    def named(self, rows: PermissionRows, catalog: Catalog, user_key: str, value: Naming) -> str:
        """Return which user, queue, group or role a key stands for."""
        return explaining.named(rows, user_key, value)


def _is_type(query: ReadQuery, name: str, scalar: str) -> bool:
    found = query.object.by_name.get(name)
    return found is not None and found.type == scalar


def _checkpoint(query: ReadQuery, records: list[dict[str, Any]]) -> str | None:
    """Return the highest stamp read so far: records come in order of it."""
    cursor = query.object.cursor
    if not cursor:
        return None
    if not records:
        return query.since
    last = str(records[-1][cursor])
    # The overlap reaches behind the checkpoint, and a quiet run must not move it back.
    return query.since if query.since and _instant(query.since) > _instant(last) else last


def _instant(text: str) -> datetime:
    """Return a vendor timestamp (2024-09-10T13:57:45.000+0000 or with Z) as UTC."""
    return datetime.fromisoformat(re.sub(r"([+-]\d\d)(\d\d)$", r"\1:\2", text)).astimezone(UTC)
