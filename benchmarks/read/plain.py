"""The hand-written peers: one statement per request behind bare Starlette, and a static answer.

Run as `python -m benchmarks.read.plain KIND PORT PLACE`; PLACE is the database's file, the port of
PostgreSQL, or the folder of the static answers.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.read.dialects import DUCKDB, POSTGRES, SQLITE
from benchmarks.read.peers import python_packages
from benchmarks.read.sql import parameters, statements

Ask = Callable[[str, Sequence[Any]], Awaitable[str]]
_CONNECTIONS = 8


async def static(place: str) -> Ask:
    """Answer the same text to all questions of a case: what HTTP alone costs."""
    files = Path(place).glob("*.json")  # noqa: ASYNC240 - before anything is served
    texts = {file.stem: file.read_text("utf-8") for file in files}

    async def ask(case: str, values: Sequence[Any]) -> str:
        return texts[case]

    return ask


async def sqlite(place: str) -> Ask:
    """Answer on the event loop: for one process the fastest way, as SQLite never waits."""
    connection = sqlite3.connect(f"file:{place}?mode=ro&immutable=1", uri=True)
    connection.execute("PRAGMA cache_size = -524288")
    connection.execute("PRAGMA mmap_size = 1073741824")
    texts = statements(SQLITE)

    async def ask(case: str, values: Sequence[Any]) -> str:
        return str(connection.execute(texts[case], values).fetchone()[0])

    return ask


async def duck(place: str) -> Ask:
    """Answer in threads, each with a cursor of its own."""
    connection = duckdb.connect(place, read_only=True, config={"threads": 2})
    cursors: queue.SimpleQueue[duckdb.DuckDBPyConnection] = queue.SimpleQueue()
    for _ in range(_CONNECTIONS):
        cursors.put(connection.cursor())
    texts = statements(DUCKDB)

    def run(case: str, values: Sequence[Any]) -> str:
        cursor = cursors.get()
        try:
            row = cursor.execute(texts[case], list(values)).fetchone()
        finally:
            cursors.put(cursor)
        assert row is not None
        return str(row[0])

    async def ask(case: str, values: Sequence[Any]) -> str:
        return await asyncio.to_thread(run, case, values)

    return ask


async def postgres(place: str) -> Ask:
    """Answer over a pool of connections with prepared statements."""
    python_packages("asyncpg")
    import asyncpg

    pool = await asyncpg.create_pool(
        host="127.0.0.1",
        port=int(place),
        user="postgres",
        database="postgres",
        min_size=_CONNECTIONS,
        max_size=_CONNECTIONS,
    )
    texts = statements(POSTGRES)

    async def ask(case: str, values: Sequence[Any]) -> str:
        return str(await pool.fetchval(texts[case], *values))

    return ask


KINDS = {"static": static, "sqlite": sqlite, "duckdb": duck, "postgres": postgres}


def application(ask: Ask) -> Starlette:
    """Return the application: `{"case", "variables"}` in, the database's JSON out."""

    async def answer(request: Request) -> Response:
        asked = orjson.loads(await request.body())
        text = await ask(asked["case"], parameters(asked["case"], asked["variables"]))
        return Response(text, media_type="application/json")

    return Starlette(routes=[Route("/graphql", answer, methods=["POST"])])


async def serve(kind: str, port: int, place: str) -> None:
    """Serve one kind until terminated."""
    web = application(await KINDS[kind](place))
    config = uvicorn.Config(web, port=port, log_level="warning", access_log=False)
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
