"""A provider that answers at once, and fails for as long as it is told to.

Serves any path on loopback in a process of its own, so that its work is not the caller's:
`python -m benchmarks.transport.failing`. `/outage/10` makes it answer 503 for 10 s from now;
`/seen` tells what arrived since it was asked last. Times are the machine's monotonic clock, which
all its processes share.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.transport.plain_http import answer_all, response

BODY = json.dumps({"records": [{"id": f"{number:08}", "name": "Acme"} for number in range(40)]})
_DOWN = '{"error": "unavailable"}'


class Failing:
    """The server's state."""

    def __init__(self) -> None:
        self.down_until = 0.0
        self.running = 0
        self.seen: list[tuple[float, int, int]] = []

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        await answer_all(reader, writer, self._answer)

    async def _answer(self, path: str) -> bytes:
        if path.startswith("/outage/"):
            self.down_until = time.monotonic() + float(path.removeprefix("/outage/"))
            return response(200, json.dumps(self.down_until))
        if path == "/seen":
            seen, self.seen = self.seen, []
            return response(200, json.dumps(seen))
        now = time.monotonic()
        status = 503 if now < self.down_until else 200
        self.running += 1
        self.seen.append((now, status, self.running))
        if path.startswith("/slow"):
            await asyncio.sleep(0.05)
        self.running -= 1
        return response(status, BODY if status == 200 else _DOWN)


@contextmanager
def running() -> Iterator[str]:
    """Run the provider as a process of its own and give its origin."""
    command = [sys.executable, "-m", "benchmarks.transport.failing"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            yield child.stdout.readline().strip()
        finally:
            child.terminate()


async def _serve() -> None:
    server = await asyncio.start_server(Failing().connected, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
