"""A provider with a strict limit, as far from Firnline's own reckoning as can be.

Serves any path on loopback; counts what arrives by the clock of its own process, refuses with a
429 what is over the limit, and tells what it saw under /seen. Run as a process of its own:
`python -m benchmarks.transport.limited --calls 10 --per-s 1`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import deque

from benchmarks.transport.plain_http import answer_all, response

SLIDING, FIXED = "sliding", "fixed"


class Limiter:
    """So many calls in any window (sliding), or in each window that begins at a full one (fixed).

    A call that is refused does not count.
    """

    def __init__(self, calls: int, per_s: float, *, kind: str = SLIDING) -> None:
        self.calls = calls
        self.per_s = per_s
        self.kind = kind
        self._counted: deque[float] = deque()
        self.arrived: list[tuple[float, int]] = []

    def admit(self, now: float) -> int:
        """Return the status of a call that arrives now."""
        edge = now - self.per_s if self.kind == SLIDING else now // self.per_s * self.per_s
        while self._counted and self._counted[0] <= edge:
            self._counted.popleft()
        status = 429 if len(self._counted) >= self.calls else 200
        if status == 200:
            self._counted.append(now)
        self.arrived.append((now, status))
        return status


class LimitedServer:
    """Serves a limiter over HTTP/1.1 with open connections."""

    def __init__(self, limiter: Limiter, *, takes_s: float = 0.0) -> None:
        self.limiter = limiter
        self.takes_s = takes_s
        self.running = 0
        self.running_max = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        """Listen on loopback and return the origin."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    def close(self) -> None:
        """Listen no longer."""
        if self._server is not None:
            self._server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer_all(reader, writer, self._answer)

    async def _answer(self, path: str) -> bytes:
        if path == "/seen":
            return response(200, json.dumps(self.seen()))
        status = self.limiter.admit(time.monotonic())
        self.running += 1
        self.running_max = max(self.running, self.running_max)
        try:
            if self.takes_s:
                await asyncio.sleep(self.takes_s)
        finally:
            self.running -= 1
        return response(status, "{}", "" if status == 200 else "Retry-After: 1\r\n")

    def seen(self) -> dict[str, object]:
        """Return when each call arrived, in seconds after the first, and its status."""
        arrived = self.limiter.arrived
        start = arrived[0][0] if arrived else 0.0
        return {
            "arrived": [[round(at - start, 4), status] for at, status in arrived],
            "running_max": self.running_max,
        }


async def _serve(arguments: argparse.Namespace) -> None:
    limiter = Limiter(arguments.calls, arguments.per_s, kind=arguments.kind)
    server = LimitedServer(limiter, takes_s=arguments.takes_s)
    print(await server.start(), flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=10)
    parser.add_argument("--per-s", type=float, default=1.0)
    parser.add_argument("--kind", choices=[SLIDING, FIXED], default=SLIDING)
    parser.add_argument("--takes-s", type=float, default=0.0)
    asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
