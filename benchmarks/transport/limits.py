"""Calls against a limit: how close to it they come, how many are refused, what admitting costs.

`python -m benchmarks.transport.limits --count 1000`: that many calls at a server limited to 10 a
second by a reckoning of its own, from one process and from three that share a database; and calls
one after the other where nothing limits them, with the governor and without.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.common import Target
from benchmarks.transport.caller import VENDOR, destination_of
from benchmarks.transport.limited import LimitedServer, Limiter
from firnline.clock import SystemClock
from firnline.settings import Settings
from firnline.state.quotas import QuotaStore
from firnline.transport import OutboundCall, Transport
from firnline.transport.admission import Governor
from firnline.transport.quota.governor import QuotaGovernor

COUNT, COUNT_FULL = 200, 1_000
CALLS, PER_S = 10, 1.0
PROCESSES = (1, 3)
FREE_CALLS = 400
APART_CALLS = 20
REFUSED_SHARE_MAX = 0.02
TIME_RATIO_MAX = 1.15
ADMIT_RATIO_MAX = 2.0


async def figures(count: int = COUNT) -> dict[str, Any]:
    """Return what came of limited calls by number of processes, and what admitting costs."""
    limited = {str(processes): await _limited(count, processes) for processes in PROCESSES}
    return {"count": count, "limited": limited, "admitting": await _admitting()}


def targets(found: Mapping[str, Any]) -> list[Target]:
    """Return what the governor must keep to."""
    judged = []
    for processes, each in found["limited"].items():
        who = f"{found['count']} calls at 10/s from {processes} process(es)"
        judged += [
            Target(f"{who}: share refused after 1 s", each["refused_share"], REFUSED_SHARE_MAX),
            Target(f"{who}: time / the limit's", each["time_ratio"], TIME_RATIO_MAX),
        ]
    ratio = found["admitting"]["ratio_p50"]
    return [*judged, Target("a free call with the governor / without, p50", ratio, ADMIT_RATIO_MAX)]


async def _started(module: str, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"benchmarks.transport.{module}", *arguments),
        stdout=asyncio.subprocess.PIPE,
    )


async def _limited(count: int, processes: int) -> dict[str, float]:
    limit = ["--calls", str(CALLS), "--per-s", str(PER_S)]
    server = await _started("limited", *limit)
    assert server.stdout is not None
    try:
        origin = (await server.stdout.readline()).decode().strip()
        with tempfile.TemporaryDirectory() as home:
            more = ["--origin", origin, "--home", home, "--count", str(count // processes)]
            more += ["--processes", str(processes)]
            running = [await _started("caller", *limit, *more) for _ in range(processes)]
            told = [json.loads((await each.communicate())[0]) for each in running]
        async with httpx2.AsyncClient(trust_env=False) as http:
            arrived = (await http.get(f"{origin}/seen")).json()["arrived"]
    finally:
        server.kill()
        await server.wait()
    later = [status for at, status in arrived if at > PER_S]
    ideal_s = count // processes * processes * PER_S / CALLS
    return {
        "succeeded": sum(each["succeeded"] for each in told),
        "refused_share": round(later.count(429) / max(1, len(later)), 4),
        "took_s": arrived[-1][0],
        "time_ratio": round(arrived[-1][0] / ideal_s, 3),
    }


async def _admitting() -> dict[str, float]:
    server = LimitedServer(Limiter(1_000_000, 1.0))
    origin = await server.start()
    clock = SystemClock()
    try:
        with tempfile.TemporaryDirectory() as home:
            store = await QuotaStore.open(Settings(home=Path(home)), clock=clock)
            governor = QuotaGovernor(store=store, clock=clock)
            plain, governed = [], []
            for _ in range(3):  # in turns, so that a busy moment meets both
                plain += await _free_calls(origin, None)
                governed += await _free_calls(origin, governor)
            apart = await _apart(governor)
            await governor.close()
            await store.close()
    finally:
        server.close()
    without, with_it = statistics.median(plain), statistics.median(governed)
    return {
        "plain_p50_ms": round(without * 1000, 3),
        "governed_p50_ms": round(with_it * 1000, 3),
        "ratio_p50": round(with_it / without, 3),
        "apart_p50_ms": round(apart * 1000, 3),
    }


async def _free_calls(origin: str, governor: Governor | None) -> list[float]:
    destination = destination_of(1_000_000, 60.0)
    clock = SystemClock()
    took = []
    async with Transport(routes={VENDOR: origin}, clock=clock, governor=governor) as transport:
        for number in range(FREE_CALLS):
            began = time.perf_counter()
            call = OutboundCall(destination, "GET", f"{VENDOR}/records/{number}")
            await transport.send(call, deadline_s=10)
            took.append(time.perf_counter() - began)
    return took


async def _apart(governor: QuotaGovernor) -> float:
    """Return what admitting costs a call that comes alone: it books for itself."""
    call = OutboundCall(destination_of(10, PER_S), "GET", f"{VENDOR}/records")
    took = []
    for _ in range(APART_CALLS):
        await asyncio.sleep(1.5 * PER_S / CALLS)
        began = time.perf_counter()
        async with governor.admit(call, time.monotonic() + 10):
            took.append(time.perf_counter() - began)
    return statistics.median(took)


def main() -> None:
    """Measure and print; fails when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT)
    found = asyncio.run(figures(parser.parse_args().count))
    print(json.dumps(found, indent=2))
    reached = targets(found)
    for target in reached:
        print("met" if target.met else "missed", target.name, round(target.measured, 3))
    sys.exit(not all(target.met for target in reached))


if __name__ == "__main__":
    main()
