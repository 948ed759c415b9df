"""Admission: when a call may go out, and what its answer tells about the quota.

`Transport.send` asks a `Governor` before each attempt and tells it each answer. `AccountLanes` is
the governor that knows no more than how many calls an account takes at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol
from weakref import WeakValueDictionary

from firnline.connectors.protocol import Response, Verdict
from firnline.transport.call import OutboundCall


class Governor(Protocol):
    """Keeps calls within what the provider allows this account."""

    def admit(self, call: OutboundCall, ends_at: float) -> AbstractAsyncContextManager[None]:
        """Hold a place for one attempt at `call`, waiting for it as long as needed.

        `ends_at` is on the clock's `monotonic`. The transport ends the waiting then; a governor
        that knows sooner that no place will be free in time raises a ProviderError at once, whose
        `was_sent` is False: nothing has left, so also a write may be sent again.
        """
        ...

    def learn(self, call: OutboundCall, response: Response, verdict: Verdict | None) -> int | None:
        """Take note of an answer, refusals included; return the calls left, None if unknown.

        Called once for each answer while its place is still held. Must not block.
        """
        ...


class AccountLanes:
    """As many calls at a time as `Destination.concurrency_max`, by provider account."""

    def __init__(self) -> None:
        # Weak, so that the lanes of accounts that nobody calls do not pile up.
        self._lanes: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def admit(self, call: OutboundCall, ends_at: float) -> AsyncIterator[None]:
        """Hold one of the account's places."""
        account = call.destination.account
        lane = self._lanes.get(account)
        if lane is None:
            lane = asyncio.Semaphore(call.destination.concurrency_max)
            self._lanes[account] = lane
        async with lane:
            yield

    def learn(self, call: OutboundCall, response: Response, verdict: Verdict | None) -> int | None:
        """Learn nothing."""
        return None
