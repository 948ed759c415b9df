"""Work that several want at the same time is done once.

Takes work under a key; whoever asks for the same key meanwhile waits for the same outcome, be it a
value or a failure. Afterwards it is done anew: nothing is kept here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Outcome = TypeVar("Outcome")


@dataclass(slots=True)
class _Flight(Generic[Outcome]):
    task: asyncio.Task[Outcome]
    waiters: int = 0


class Flights(Generic[Key, Outcome]):
    """One task per key at a time, within one event loop.

    What `goes_on` ends in its own time, even when everybody who waited has given up; anything else
    is cancelled then.
    """

    def __init__(self, *, goes_on: bool) -> None:
        self._goes_on = goes_on
        self._flights: dict[Key, _Flight[Outcome]] = {}

    def __len__(self) -> int:
        """Return how much is under way."""
        return len(self._flights)

    async def join(self, key: Key, work: Callable[[], Coroutine[Any, Any, Outcome]]) -> Outcome:
        """Return what `work` returns, or what the same work under way returns."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.ensure_future(work()))
            flight.task.add_done_callback(lambda done: self._landed(key, done))
        flight.waiters += 1
        try:
            return await asyncio.shield(flight.task)
        except asyncio.CancelledError:
            if flight.waiters == 1 and not self._goes_on and not flight.task.done():
                # The work ends before this does: it gives back what it holds.
                self._flights.pop(key, None)
                flight.task.cancel()
                await asyncio.wait([flight.task])
            raise
        finally:
            flight.waiters -= 1

    async def finish(self) -> None:
        """Wait for what is under way."""
        tasks = [flight.task for flight in self._flights.values()]
        await asyncio.gather(*tasks, return_exceptions=True)

    def _landed(self, key: Key, done: asyncio.Task[Outcome]) -> None:
        flight = self._flights.get(key)
        if flight is not None and flight.task is done:  # and not the next of that key
            del self._flights[key]
        if not done.cancelled():
            done.exception()  # seen here, even when nobody waits any more
