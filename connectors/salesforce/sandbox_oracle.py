"""Asks the org what one person sees, through calls that this person may make.

Shares nothing with the connector: objects and fields are chosen here anew, from list and describe.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from httpx2 import AsyncClient

_STANDARD = frozenset({"User", "Account", "Contact", "Opportunity", "Case", "Event"})
_ROOT = "/services/data/v66.0"


class OracleError(RuntimeError):
    """The sandbox refused a question of its own oracle."""


async def visible_to(
    http: AsyncClient, token: str
) -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    """Return object -> key -> field -> value for everything that the token's owner may read."""
    listing = await _get(http, token, f"{_ROOT}/sobjects")
    names = [
        found["name"]
        for found in listing["sobjects"]
        if found["name"] in _STANDARD or (found["custom"] and found["name"].endswith("__c"))
    ]
    return {name: await _records(http, token, name) for name in names}


async def _records(http: AsyncClient, token: str, name: str) -> dict[str, dict[str, Any]]:
    describe = await _get(http, token, f"{_ROOT}/sobjects/{name}/describe")
    kinds = {
        field["name"]: field["type"]
        for field in describe["fields"]
        if field["type"] not in ("address", "location", "base64") and field["name"] != "IsDeleted"
    }
    soql = f"SELECT {', '.join(kinds)} FROM {name}"  # noqa: S608 - names come from describe
    page = await _get(http, token, f"{_ROOT}/query", q=soql)
    found: dict[str, dict[str, Any]] = {}
    while True:
        for record in page["records"]:
            found[record["Id"]] = {
                field: _value(record[field], kind) for field, kind in kinds.items()
            }
        if page["done"]:
            return found
        page = await _get(http, token, page["nextRecordsUrl"])


def _value(value: Any, kind: str) -> Any:
    if kind == "multipicklist" and value is not None:
        return value.split(";")
    return value


async def _get(http: AsyncClient, token: str, path: str, **params: str) -> Any:
    response = await http.get(
        path, params=params or None, headers={"Authorization": f"Bearer {token}"}
    )
    if response.status_code != 200:
        raise OracleError(f"{path} answered {response.status_code}: {response.text[:200]}")
    return response.json()
