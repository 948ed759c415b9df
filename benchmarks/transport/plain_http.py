"""HTTP/1.1 as the benchmarks' own providers speak it: open connections, requests without bodies.

Takes what answers a path; a server of asyncio streams receives whole answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

_REASONS = {200: "OK", 429: "Too Many Requests", 503: "Unavailable"}


async def answer_all(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    answer: Callable[[str], Awaitable[bytes]],
) -> None:
    """Answer the requests of one connection until it ends."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            writer.write(await answer(head.split(" ", 2)[1]))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


def response(status: int, body: str, more: str = "") -> bytes:
    """Return an answer as its bytes; `more` are whole header lines."""
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\ncontent-type: application/json\r\n"
        f"{more}content-length: {len(body)}\r\n\r\n"
    )
    return (head + body).encode()
