"""The plain way in Python: Strawberry types, one resolver per field, its data loaders, DuckDB.

Run as `python -m benchmarks.read.strawberry_app PORT FILE`.
"""

from __future__ import annotations

import asyncio
import queue
import sys
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import duckdb
import strawberry
import uvicorn
from strawberry.asgi import GraphQL
from strawberry.dataloader import DataLoader
from strawberry.extensions import ParserCache, ValidationCache

_CURSORS = 8
_STAMP = "strftime(created_at, '%Y-%m-%dT%H:%M:%S.%gZ') AS created_at"


@strawberry.type
class Opportunity:
    id: strawberry.ID
    name: str
    stage: str
    amount: str
    closes_on: date


@strawberry.type
class Ticket:
    id: strawberry.ID
    subject: str
    status: str
    priority: str
    created_at: str


@strawberry.type
class Invoice:
    id: strawberry.ID
    number: str
    amount: str
    status: str
    due_on: date


def _made(kind: type[Any], row: Sequence[Any]) -> Any:
    """Return a record; Strawberry's classes take names only."""
    return kind(**dict(zip(kind.__annotations__, row, strict=True)))


Info = strawberry.Info[dict[str, Any], None]


@strawberry.type
class Account:
    id: strawberry.ID
    name: str
    segment: str
    revenue: str
    created_at: str

    @strawberry.field
    async def opportunities(self, info: Info) -> list[Opportunity]:
        found: list[Opportunity] = await info.context["opportunities"].load(self.id)
        return found

    @strawberry.field
    async def tickets(self, info: Info) -> list[Ticket]:
        found: list[Ticket] = await info.context["tickets"].load(self.id)
        return found

    @strawberry.field
    async def invoices(self, info: Info) -> list[Invoice]:
        found: list[Invoice] = await info.context["invoices"].load(self.id)
        return found


@strawberry.type
class Query:
    @strawberry.field
    async def accounts(self, info: Info, segment: str, floor: int) -> list[Account]:
        rows = await info.context["fetch"](
            f"SELECT id, name, segment, CAST(revenue AS VARCHAR), {_STAMP} FROM accounts"
            " WHERE segment = $1 AND employees >= $2 ORDER BY accounts.revenue DESC LIMIT 50",
            [segment, floor],
        )
        return [_made(Account, row) for row in rows]

    @strawberry.field
    async def account(self, info: Info, id: strawberry.ID) -> Account | None:  # noqa: A002
        rows = await info.context["fetch"](
            f"SELECT id, name, segment, CAST(revenue AS VARCHAR), {_STAMP} FROM accounts"
            " WHERE id = $1",
            [id],
        )
        return _made(Account, rows[0]) if rows else None


_CHILDREN: dict[str, tuple[type, str, str, str]] = {
    "opportunities": (
        Opportunity,
        "id, name, stage, CAST(amount AS VARCHAR), closes_on",
        "amount",
        "",
    ),
    "tickets": (
        Ticket,
        f"id, subject, status, priority, {_STAMP}",
        "tickets.created_at",
        " WHERE status = 'open'",
    ),
    "invoices": (Invoice, "id, number, CAST(amount AS VARCHAR), status, due_on", "amount", ""),
}


class Site(GraphQL[Any, Any]):
    """Gives every request loaders of its own."""

    def __init__(self, schema: strawberry.Schema, connection: duckdb.DuckDBPyConnection) -> None:
        super().__init__(schema)
        self._cursors: queue.SimpleQueue[duckdb.DuckDBPyConnection] = queue.SimpleQueue()
        for _ in range(_CURSORS):
            self._cursors.put(connection.cursor())

    async def get_context(self, request: Any, response: Any) -> dict[str, Any]:
        loaders = {name: DataLoader(load_fn=self._below(name)) for name in _CHILDREN}
        return {"fetch": self._fetch, **loaders}

    async def _fetch(self, sql: str, values: list[Any]) -> list[Any]:
        return await asyncio.to_thread(self._run, sql, values)

    def _run(self, sql: str, values: list[Any]) -> list[Any]:
        cursor = self._cursors.get()
        try:
            return cursor.execute(sql, values).fetchall()
        finally:
            self._cursors.put(cursor)

    def _below(self, name: str) -> Callable[[list[str]], Any]:
        kind, columns, order, where = _CHILDREN[name]
        sql = (
            # The limit keeps the scan on the key's index where there is another condition.
            f"SELECT account_id, {columns} FROM (SELECT * FROM {name}"
            f" WHERE account_id IN (SELECT unnest($1::VARCHAR[])) LIMIT 1000000) AS {name}{where}"
            " QUALIFY"
            f" row_number() OVER (PARTITION BY account_id ORDER BY {order} DESC) <= 5"
            f" ORDER BY {order} DESC"
        )

        async def load(keys: list[str]) -> list[list[Any]]:
            found: dict[str, list[Any]] = {key: [] for key in keys}
            for account, *row in await self._fetch(sql, [keys]):
                found[account].append(_made(kind, row))
            return [found[key] for key in keys]

        return load


def main(port: int, place: str) -> None:
    """Serve until terminated."""
    schema = strawberry.Schema(Query, extensions=[ParserCache(), ValidationCache()])
    site = Site(schema, duckdb.connect(place, read_only=True, config={"threads": 2}))
    uvicorn.run(site, port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
