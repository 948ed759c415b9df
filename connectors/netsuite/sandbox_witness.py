"""What one person sees, by their own SuiteQL calls: the oracle that caches are compared with.

Takes a token and the account's record types; shares nothing with the connector beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from httpx2 import AsyncClient

from .sandbox_fields import Field, RecordType

_QUERY = "/services/rest/query/v1/suiteql"
_PAGE = 1000
_ON_LINE = ("subsidiary", "department", "class", "location")
_NOT_FOUND = re.compile(r"Field '(\w+)' not found")


class WitnessError(Exception):
    """A call that should have worked was refused."""


async def visible_to(
    http: AsyncClient, token: str, records: Iterable[RecordType], timezone: str
) -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    """Return object -> key -> field -> value as the person's own calls show them."""
    found: dict[str, Mapping[str, Mapping[str, Any]]] = {}
    for record in records:
        rows = await _rows(http, token, record)
        if rows is not None:
            zone = ZoneInfo(timezone)
            found[record.name] = {row["id"]: _values(record, row, zone) for row in rows}
    return found


async def _rows(http: AsyncClient, token: str, record: RecordType) -> list[dict[str, Any]] | None:
    fields = [field for field in record.fields if field.column not in ("", "type")]
    rows: list[dict[str, Any]] = []
    while True:
        params = {"limit": str(_PAGE), "offset": str(len(rows))}
        headers = {"Authorization": f"Bearer {token}", "Prefer": "transient"}
        query = {"q": _select(record, fields)}
        response = await http.post(_QUERY, params=params, headers=headers, json=query)
        if response.status_code in (400, 403):
            lacking = _NOT_FOUND.search(response.text)
            if lacking is None:
                if "ermission" not in response.text:
                    raise WitnessError(response.text)
                return None
            fields = [field for field in fields if field.column != lacking.group(1)]
            continue
        if response.status_code != 200:
            raise WitnessError(response.text)
        page = response.json()
        rows += page["items"]
        if not page["hasMore"]:
            return rows


def _select(record: RecordType, fields: Sequence[Field]) -> str:
    forms = {"datetime": "YYYY-MM-DD HH24:MI:SS", "date": "YYYY-MM-DD"}
    columns = [
        f"TO_CHAR(r.{field.column}, '{forms[field.kind]}') AS {field.column}"
        if field.kind in forms
        else f"r.{field.column}"
        for field in fields
    ]
    source = f"FROM {record.table} r"
    if record.table == "transaction":
        on_line = [field.prop for field in record.fields if not field.column]
        columns += [f"l.{name}" for name in on_line if name in _ON_LINE]
        source += (
            " JOIN transactionline l ON l.transaction = r.id AND l.mainline = 'T'"
            " WHERE r.type = 'CustInvc'"
        )
    return f"SELECT {', '.join(columns)} {source} ORDER BY r.id"


def _values(record: RecordType, row: Mapping[str, Any], zone: ZoneInfo) -> dict[str, Any]:
    moments = {field.column for field in record.fields if field.kind == "datetime"}
    return {
        name: _utc(value, zone) if name in moments else value
        for name, value in row.items()
        if name != "links"
    }


def _utc(text: str, zone: ZoneInfo) -> str:
    local = datetime.fromisoformat(text).replace(tzinfo=zone)
    return local.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
