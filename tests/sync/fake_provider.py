"""An in-memory provider with paging, incremental reads and a deletion list; its connector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from firnline.access.model import PermissionRows, Person, SourceAccess
from firnline.cache.database import TenantDatabase
from firnline.cache.naming import column_names, quote_identifier, table_reference
from firnline.catalog.model import Catalog, FieldInfo, ObjectInfo
from firnline.connectors.auth_flows import ClientAssertion
from firnline.connectors.limits import Limits
from firnline.connectors.manifest import Manifest
from firnline.connectors.protocol import (
    Connector,
    Grounds,
    Identity,
    Page,
    ReadQuery,
    Request,
    Response,
    Steps,
    Verdict,
    expect,
)

TICKETS = ObjectInfo(
    name="tickets",
    key="id",
    cursor="updated",
    fields=(
        FieldInfo(name="id", type="id"),
        FieldInfo(name="subject", type="string"),
        FieldInfo(name="updated", type="long"),
    ),
)
SHARES = ObjectInfo(
    name="shares",
    key="id",
    exposed=False,
    fields=(FieldInfo(name="id", type="id"), FieldInfo(name="subject", type="string")),
)


def manifest(**limits: Any) -> Manifest:
    return Manifest(
        provider="fake",
        name="Fake",
        description="",
        category="crm",
        docs_url="",
        base_url="https://fake.example",
        hosts=("fake.example",),
        auth=(ClientAssertion(token_url="", scopes=(), algorithms=()),),
        limits=Limits(**{"page_size": 10, **limits}),
    )


class FakeProvider:
    """Records in (updated, id) order. Many writes share a stamp: the clock is coarse."""

    def __init__(self, *objects: ObjectInfo) -> None:
        self.catalog = Catalog(provider="fake", objects=objects or (TICKETS, SHARES))
        self.records: dict[str, dict[str, dict[str, Any]]] = {
            found.name: {} for found in self.catalog.objects
        }
        self.deleted: dict[str, list[tuple[int, str]]] = {name: [] for name in self.records}
        self.lists_deletes = True
        self.requests: list[Request] = []
        self.refusals: list[Response] = []  # given instead of answers, first come first served
        self._ticks = 0

    def stamp(self) -> int:
        self._ticks += 1
        return self._ticks // 25

    def put(self, name: str, key: str, **values: Any) -> None:
        self.records[name][key] = {"id": key, "updated": self.stamp(), **values}

    def fill(self, name: str, count: int, *, first: int = 0) -> None:
        for number in range(first, first + count):
            self.put(name, f"{number:04d}", subject=f"{name} {number}")

    def remove(self, name: str, key: str) -> None:
        del self.records[name][key]
        self.deleted[name].append((self.stamp(), key))

    async def send(self, request: Request) -> Response:
        self.requests.append(request)
        if self.refusals:
            return self.refusals.pop(0)
        what, name = request.path.strip("/").split("/")
        answer = (
            self._records(name, request.params) if what == "list" else self._gone(name, request)
        )
        return Response(200, {}, orjson.dumps(answer))

    def _records(self, name: str, params: Mapping[str, str]) -> dict[str, Any]:
        since, size = int(params.get("since", -1)), int(params["size"])
        after = tuple(orjson.loads(params["page"])) if "page" in params else (-1, "")
        ordered = sorted(
            (record["updated"], key)
            for key, record in self.records[name].items()
            if record["updated"] >= since
        )
        left = [place for place in ordered if place > after]
        shown = [self.records[name][key] for _, key in left[:size]]
        return {"rows": shown, "next": left[size - 1] if len(left) > size else None}

    def _gone(self, name: str, request: Request) -> dict[str, Any]:
        since = int(request.params.get("since", -1))
        return {"gone": [key for stamp, key in self.deleted[name] if stamp >= since]}


class FakeConnector(Connector):
    """Describes FakeProvider."""

    provider = "fake"

    def __init__(self, provider: FakeProvider, **limits: int) -> None:
        super().__init__(manifest(**limits))
        self._provider = provider

    def identify(self, settings: Mapping[str, str]) -> Steps[Identity]:
        raise NotImplementedError

    def discover(self, settings: Mapping[str, str]) -> Steps[Catalog]:
        request = Request.get("/catalog")
        (response,) = yield [request]
        return Catalog.model_validate(expect(self, request, response))

    def build_read(self, query: ReadQuery) -> Request:
        params = {"size": str(query.page_size)}
        if query.since is not None:
            params["since"] = query.since
        if query.page is not None:
            params["page"] = query.page
        return Request("GET", f"/list/{query.object.name}", params=params)

    def parse_page(self, query: ReadQuery, response: Response) -> Page:
        answer = response.json()
        rows = answer["rows"]
        stamp = str(rows[-1]["updated"]) if rows else query.since
        return Page(
            records=rows,
            next_page=orjson.dumps(answer["next"]).decode() if answer["next"] else None,
            checkpoint=stamp if query.object.cursor else None,
        )

    def build_deletes(self, query: ReadQuery) -> Request | None:
        if not self._provider.lists_deletes:
            return None
        params = {} if query.since is None else {"since": query.since}
        return Request("GET", f"/gone/{query.object.name}", params=params)

    def parse_deletes(self, query: ReadQuery, response: Response) -> Page:
        return Page(records=(), deleted=response.json()["gone"])

    def classify(self, response: Response) -> Verdict:
        return Verdict(Grounds(response.headers.get("grounds", "unknown")), "the provider says no")

    def access(self, rows: PermissionRows, catalog: Catalog, person: Person) -> SourceAccess:
        raise NotImplementedError


def refusal(grounds: Grounds) -> Response:
    return Response(400, {"grounds": str(grounds)}, b"")


def cached(database: TenantDatabase, object_: ObjectInfo) -> dict[str, dict[str, Any]]:
    """Return the cached records of one object of connection "crm", by key."""
    columns = column_names(field.name for field in object_.fields)
    chosen = ", ".join(quote_identifier(column) for column in columns.values())
    with database.snapshot() as snapshot:
        if ("crm", object_.name) not in snapshot.versions:
            return {}
        rows = snapshot.fetch(f"SELECT {chosen} FROM {table_reference('crm', object_.name)}")
    records = rows.rename_columns(list(columns)).to_pylist()
    found = {record[object_.key]: record for record in records}
    assert len(found) == len(records), "a key is cached twice"
    return found


def expected(provider: FakeProvider, object_: ObjectInfo) -> dict[str, dict[str, Any]]:
    """Return what the cache must hold."""
    return {
        key: {field.name: record.get(field.name) for field in object_.fields}
        for key, record in provider.records[object_.name].items()
    }


def tenant_file(directory: Path) -> Path:
    return directory / "cache" / "acme.duckdb"


def both(database: TenantDatabase, provider: FakeProvider) -> Sequence[tuple[Any, Any]]:
    """Return (cached, expected) of every object."""
    return [
        (cached(database, found), expected(provider, found)) for found in provider.catalog.objects
    ]
