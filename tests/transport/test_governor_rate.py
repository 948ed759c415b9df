"""Against a strictly limited server: hardly a 429, in hardly more time than the limit takes.

The server is a process of its own with its own reckoning (`benchmarks.transport.limited`), the
callers are real processes that share a database. FIRNLINE_TESTS=long runs the full size.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

ROOT = Path(__file__).resolve().parents[2]
IS_LONG = os.environ.get("FIRNLINE_TESTS") == "long"


@dataclass(frozen=True)
class Limit:
    calls: int
    per_s: float
    kind: str = "sliding"

    @property
    def options(self) -> list[str]:
        return ["--calls", str(self.calls), "--per-s", str(self.per_s)]

    def takes_s(self, count: int) -> float:
        return count * self.per_s / self.calls


async def started(module: str, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"benchmarks.transport.{module}", *arguments),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )


@asynccontextmanager
async def limited(limit: Limit) -> AsyncIterator[str]:
    server = await started("limited", *limit.options, "--kind", limit.kind)
    assert server.stdout is not None
    try:
        yield (await server.stdout.readline()).decode().strip()
    finally:
        server.kill()
        await server.wait()


async def outcome(limit: Limit, home: Path, count: int, callers: int) -> dict[str, Any]:
    """Send `count` calls from so many processes and return what the server saw."""
    async with limited(limit) as origin:
        arguments = ["--origin", origin, "--home", str(home), "--count", str(count // callers)]
        arguments += [*limit.options, "--processes", str(callers)]
        running = [await started("caller", *arguments) for _ in range(callers)]
        told = [json.loads((await each.communicate())[0]) for each in running]
        async with httpx2.AsyncClient(trust_env=False) as http:
            seen = (await http.get(f"{origin}/seen")).json()
    assert [each["failed"] for each in told] == [0] * callers
    arrived: list[list[float]] = seen["arrived"]
    return {
        "succeeded": sum(1 for _, status in arrived if status == 200),
        "refused_later": sum(1 for at, status in arrived if status == 429 and at > 1),
        "arrived": len(arrived),
        "took_s": arrived[-1][0],
    }


@pytest.mark.parametrize(("kind", "callers"), [("sliding", 1), ("sliding", 3), ("fixed", 1)])
async def test_limited_calls_are_hardly_refused_and_hardly_late(
    tmp_path: Path, kind: str, callers: int
) -> None:
    limit, count = Limit(60, 2.0, kind), 240
    seen = await outcome(limit, tmp_path, count, callers)

    assert seen["succeeded"] == count
    assert seen["refused_later"] <= 0.02 * seen["arrived"]
    assert seen["took_s"] <= 1.15 * limit.takes_s(count)


@pytest.mark.skipif(not IS_LONG, reason="takes four minutes: FIRNLINE_TESTS=long runs it")
@pytest.mark.parametrize("callers", [1, 3])
async def test_thousand_calls_at_ten_a_second(tmp_path: Path, callers: int) -> None:
    limit, count = Limit(10, 1.0), 1_000 // callers * callers
    seen = await outcome(limit, tmp_path, count, callers)

    assert seen["succeeded"] == count
    assert seen["refused_later"] <= 0.02 * seen["arrived"]
    assert seen["took_s"] <= 1.15 * limit.takes_s(count)
