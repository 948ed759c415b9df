"""One process of callers: sends calls through Firnline's transport and governor, all at once.

`python -m benchmarks.transport.caller --origin http://127.0.0.1:1234 --home DIR --count 100`;
prints one JSON line about how it went.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path

from firnline.clock import SystemClock
from firnline.connectors.limits import RateLimit
from firnline.settings import Settings
from firnline.state.quotas import QuotaStore
from firnline.transport import Destination, OutboundCall, ProviderError, Transport, Use
from firnline.transport.quota.allowance import Allowance
from firnline.transport.quota.governor import QuotaGovernor

VENDOR = "https://api.vendor.example"


def destination_of(calls: int, per_s: float, *, concurrency_max: int = 30) -> Destination:
    """Return an account with one limit."""
    budgets = (RateLimit(name="rate", calls=calls, per_s=per_s),)
    return Destination(
        provider="vendor",
        tenant="acme",
        connection="vendor",
        hosts=("api.vendor.example",),
        account=f"vendor {VENDOR}",
        concurrency_max=concurrency_max,
        allowance=Allowance(budgets),
    )


async def call_all(arguments: argparse.Namespace) -> dict[str, float]:
    """Send the calls and return how many succeeded, failed, and how long it took."""
    clock = SystemClock()
    store = await QuotaStore.open(Settings(home=Path(arguments.home)), clock=clock)
    governor = QuotaGovernor(store=store, clock=clock)
    destination = destination_of(arguments.calls, arguments.per_s)
    deadline_s = 10 + 3 * arguments.count * arguments.processes * arguments.per_s / arguments.calls

    async def one(transport: Transport, number: int) -> bool:
        call = OutboundCall(destination, "GET", f"{VENDOR}/records/{number}", use=Use.SYNC)
        try:
            await transport.send(call, deadline_s=deadline_s)
        except ProviderError:
            return False
        return True

    async with Transport(
        routes={VENDOR: arguments.origin}, clock=clock, governor=governor
    ) as transport:
        started = time.monotonic()
        numbers = range(arguments.count)
        done = await asyncio.gather(*(one(transport, number) for number in numbers))
        took_s = time.monotonic() - started
    await governor.close()
    await store.close()
    return {"succeeded": sum(done), "failed": len(done) - sum(done), "took_s": took_s}


def main() -> None:
    """Send the calls and print how it went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--origin", required=True)
    parser.add_argument("--home", required=True)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--calls", type=int, default=10)
    parser.add_argument("--per-s", type=float, default=1.0)
    parser.add_argument("--processes", type=int, default=1)
    print(json.dumps(asyncio.run(call_all(parser.parse_args()))))


if __name__ == "__main__":
    main()
