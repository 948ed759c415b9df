"""Measures the outbound client: what a call through it costs, and an outage as callers live it.

Takes the origin of the failing provider; the report receives times in ms and a timeline by second.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2

from firnline.clock import SystemClock
from firnline.transport import (
    CircuitState,
    ConnectionCircuits,
    Destination,
    OutboundCall,
    ProviderCircuitOpenError,
    ProviderError,
    Transport,
)

VENDOR = "https://api.vendor.example"
BEFORE_S, AFTER_S = 3.0, 4.0
CALLERS, PACE_S = 16, 0.05
_WARM = 200
_RECOVERY_MAX_S = 320.0
Call = Callable[[], Awaitable[object]]


def destination(connection: str = "crm") -> Destination:
    """Return a connection whose account takes any number of calls."""
    return Destination("vendor", "acme", connection, ("api.vendor.example",), "vendor", 1_000)


def spread(times_s: Sequence[float]) -> dict[str, float]:
    """Return p50 and p99 in ms, and how many there were."""
    ordered = sorted(times_s)
    rank = -(-99 * len(ordered) // 100) - 1
    return {
        "runs": len(ordered),
        "p50_ms": round(statistics.median(ordered) * 1e3, 4),
        "p99_ms": round(ordered[rank] * 1e3, 4),
    }


async def overhead(origin: str, calls: int, at_once: int) -> dict[str, Any]:
    """Return the times of calls through a bare client and through the transport, by turns."""
    limits = httpx2.Limits(max_connections=100, max_keepalive_connections=100)
    call = OutboundCall(destination(), "GET", f"{VENDOR}/records")
    async with (
        httpx2.AsyncClient(limits=limits, trust_env=False) as bare,
        Transport(routes={VENDOR: origin}, clock=SystemClock()) as transport,
    ):
        ways: dict[str, Call] = {
            "bare": lambda: bare.get(f"{origin}/records"),
            "transport": lambda: transport.send(call, deadline_s=30),
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        for way in ways.values():
            await _timed(way, _WARM, at_once)
        share = max(1, calls // 20)
        for _ in range(20):
            for name, way in ways.items():
                times[name] += await _timed(way, share, at_once)
    found = {name: spread(each) for name, each in times.items()}
    return {**found, "ratio_p50": round(found["transport"]["p50_ms"] / found["bare"]["p50_ms"], 3)}


async def _timed(call: Call, count: int, at_once: int) -> list[float]:
    times: list[float] = []

    async def lane() -> None:
        for _ in range(max(1, count // at_once)):
            started = time.perf_counter()
            await call()
            times.append(time.perf_counter() - started)

    await asyncio.gather(*(lane() for _ in range(at_once)))
    return times


async def refusals(origin: str, calls: int) -> dict[str, float]:
    """Return how long an open circuit takes to refuse a call."""
    call = OutboundCall(destination("down"), "GET", f"{VENDOR}/records", repeatable=False)
    async with (
        httpx2.AsyncClient(trust_env=False) as control,
        Transport(routes={VENDOR: origin}, clock=SystemClock()) as transport,
    ):
        await control.get(f"{origin}/outage/2")
        times: list[float] = []
        while len(times) < calls:
            started = time.perf_counter()
            try:
                await transport.send(call, deadline_s=5)
            except ProviderCircuitOpenError:
                times.append(time.perf_counter() - started)
            except ProviderError:
                continue
        await control.get(f"{origin}/outage/0")
        await control.get(f"{origin}/seen")
    return spread(times)


@dataclass(slots=True)
class _Lived:
    """What the callers saw: by whole second from the start, and the refusals' times."""

    started: float
    by_second: Counter[tuple[int, str]] = field(default_factory=Counter)
    refused_s: list[float] = field(default_factory=list)

    def note(self, outcome: str) -> None:
        self.by_second[int(time.monotonic() - self.started), outcome] += 1


async def outage(origin: str, outage_s: float) -> dict[str, Any]:
    """Return an outage as sixteen callers live it: what they see, what reaches the provider."""
    circuits = ConnectionCircuits(clock=SystemClock())
    call = OutboundCall(destination("flaky"), "GET", f"{VENDOR}/slow", repeatable=False)
    ended = asyncio.Event()
    async with (
        httpx2.AsyncClient(trust_env=False) as control,
        Transport(routes={VENDOR: origin}, clock=SystemClock(), circuits=circuits) as transport,
    ):
        lived = _Lived(time.monotonic())
        callers = [
            asyncio.create_task(_caller(transport, call, lived, ended)) for _ in range(CALLERS)
        ]
        await asyncio.sleep(BEFORE_S)
        down_until = (await control.get(f"{origin}/outage/{outage_s}")).json()
        opened_at, closed_at = await _open_and_closed(circuits, down_until)
        await asyncio.sleep(AFTER_S)
        ended.set()
        await asyncio.gather(*callers)
        seen = (await control.get(f"{origin}/seen")).json()
    return _told(lived, seen, down_until=down_until, opened_at=opened_at, closed_at=closed_at)


async def _caller(
    transport: Transport, call: OutboundCall, lived: _Lived, ended: asyncio.Event
) -> None:
    while not ended.is_set():
        started = time.perf_counter()
        try:
            await transport.send(call, deadline_s=30)
            lived.note("answered")
        except ProviderCircuitOpenError:
            lived.refused_s.append(time.perf_counter() - started)
            lived.note("refused at once")
        except ProviderError:
            lived.note("failed")
        await asyncio.sleep(PACE_S)


async def _open_and_closed(circuits: ConnectionCircuits, down_until: float) -> tuple[float, float]:
    """Wait until the circuit has opened and closed again; return both moments."""
    opened_at = 0.0
    gives_up_at = down_until + _RECOVERY_MAX_S
    while time.monotonic() < gives_up_at:
        (facts,) = circuits.facts()
        if not opened_at and facts.state is CircuitState.OPEN:
            opened_at = time.monotonic()
        if opened_at and facts.state is CircuitState.CLOSED:
            return opened_at, time.monotonic()
        await asyncio.sleep(0.005)
    raise AssertionError("the circuit did not close")


def _told(
    lived: _Lived,
    seen: Sequence[Sequence[float]],
    *,
    down_until: float,
    opened_at: float,
    closed_at: float,
) -> dict[str, Any]:
    # What left before the circuit opened arrives a moment after it has.
    settled_at = opened_at + 0.2
    probes = [entry for entry in seen if settled_at < entry[0] < closed_at]
    after = [entry for entry in seen if entry[0] >= closed_at]
    seconds = range(int(time.monotonic() - lived.started))
    outcomes = ("answered", "failed", "refused at once")
    arrivals = Counter(int(entry[0] - lived.started) for entry in seen)
    return {
        "refusals": spread(lived.refused_s),
        "failed_calls": sum(n for (_, what), n in lived.by_second.items() if what == "failed"),
        "open_min": round((closed_at - opened_at) / 60, 3),
        "opened_after_s": round(opened_at - (down_until - _length(seen, down_until)), 2),
        "closed_after_recovery_s": round(closed_at - down_until, 2),
        "reached_while_open": len(probes),
        "failed_probes": sum(entry[1] == 503 for entry in probes),
        "probes_answered": sum(entry[1] == 200 for entry in probes),
        "first_at_once": [int(entry[2]) for entry in after[:16]],
        "timeline": {
            **{what: [lived.by_second[second, what] for second in seconds] for what in outcomes},
            "arrived at the provider": [arrivals[second] for second in seconds],
        },
    }


def _length(seen: Sequence[Sequence[float]], down_until: float) -> float:
    failing = [entry[0] for entry in seen if entry[1] == 503]
    return down_until - min(failing, default=down_until)
