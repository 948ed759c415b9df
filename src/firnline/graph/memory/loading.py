"""Brings columns into memory behind the answers: who asks first need not wait for it.

Takes levels that DuckDB answered because their columns were not in memory; the next questions find
them there. One thing is loaded at a time, after the requests that are under way had their turn.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable

from firnline.clock import Clock
from firnline.errors import FirnlineError
from firnline.recent import Recent

_LOG = logging.getLogger("firnline.graph")
_DELAY_S = 0.02  # lets the answer go out first
_AGAIN_S = 30.0
_WAITING_MAX = 64
_REMEMBERED_MAX = 4096


class BackgroundLoading:
    """Runs loads one after the other, each slot once in a while.

    What was loaded may be given up for want of memory, or be of yesterday: it is loaded again then.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: Recent[Hashable, float] = Recent(_REMEMBERED_MAX)  # when it was begun
        self._waiting: OrderedDict[Hashable, Callable[[], Awaitable[None]]] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    def begin(self, slot: Hashable, load: Callable[[], Awaitable[None]]) -> None:
        """Load in the background, unless that was begun lately or too much waits already."""
        now = self._clock.monotonic()
        begun = self._seen.get(slot)
        if (begun is not None and now - begun < _AGAIN_S) or len(self._waiting) >= _WAITING_MAX:
            return
        self._seen.put(slot, now)
        self._waiting[slot] = load
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def idle(self) -> None:
        """Return when nothing is being loaded."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def close(self) -> None:
        """Give up what is being loaded."""
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        await self._clock.sleep(_DELAY_S)
        while self._waiting:
            slot, load = self._waiting.popitem(last=False)
            try:
                await load()
            except FirnlineError as error:
                self._seen.drop(slot)  # the next question begins it anew
                _LOG.info("columns were not loaded: %s", error.code)
