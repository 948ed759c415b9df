"""Bounds how many queries of one tenant run at once, and lets its people take turns.

Takes the tenant and person of a request; the GraphQL edge receives a turn, or the refusal. Tenants
do not share turns, so a busy one never slows another's queue.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass, field

from firnline.errors import FirnlineError

RETRY_AFTER_S = 1


class TooManyQueriesError(FirnlineError):
    """The tenant has as many queries running and waiting as it may."""

    code = "too_many_queries"
    status = 429
    retryable = True

    def __init__(self, reason: str) -> None:
        super().__init__(
            reason,
            hint="Repeat after the seconds of Retry-After, and ask fewer questions at once.",
        )


@dataclass(slots=True)
class _Line:
    """One tenant's running queries, and those that wait: each person has an own queue."""

    running: int = 0
    waiting: OrderedDict[str, deque[asyncio.Future[None]]] = field(default_factory=OrderedDict)

    def count(self) -> int:
        return sum(len(queue) for queue in self.waiting.values())


class QueryLimiter:
    """Gives turns: `running_max` at once per tenant, the next by person and then by arrival.

    One person may hold at most half of a tenant's places to wait (of `waiting_max`), so that the
    others still find one.
    """

    def __init__(self, *, running_max: int, waiting_max: int, wait_s: float) -> None:
        self.running_max = running_max
        self._waiting_max = waiting_max
        self._wait_s = wait_s
        self._lines: dict[str, _Line] = {}

    def turn(self, tenant: str, person: str) -> _Turn:
        """Return what waits for a turn and holds it; entering raises TooManyQueriesError."""
        return _Turn(self, tenant, person)

    async def _take(self, tenant: str, person: str) -> _Line:
        line = self._lines.get(tenant)
        if line is None:
            line = self._lines[tenant] = _Line()
        if line.running < self.running_max:
            line.running += 1
        else:
            await self._wait(tenant, line, person)
        return line

    async def _wait(self, tenant: str, line: _Line, person: str) -> None:
        queue = line.waiting.get(person, deque())
        share_max = (self._waiting_max + 1) // 2
        if line.count() >= self._waiting_max or len(queue) >= share_max:
            raise TooManyQueriesError(
                f"{self.running_max} queries of this tenant run and {line.count()} wait; "
                f"{self._waiting_max} may wait, {share_max} of one person"
            )
        line.waiting[person] = queue
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            async with asyncio.timeout(self._wait_s):
                await turn
        except (TimeoutError, asyncio.CancelledError) as error:
            if turn.done() and not turn.cancelled():
                self._pass_on(tenant, line)  # it came at the very moment of giving up
            if isinstance(error, asyncio.CancelledError):
                raise
            raise TooManyQueriesError(
                f"{self.running_max} queries of this tenant run; "
                f"none ended within {self._wait_s:g} seconds"
            ) from None
        finally:
            if turn in queue:
                queue.remove(turn)
            if not queue and line.waiting.get(person) is queue:
                del line.waiting[person]

    def _pass_on(self, tenant: str, line: _Line) -> None:
        """Give the turn to the person who has waited longest for one, or let it lapse."""
        while line.waiting:
            person, queue = line.waiting.popitem(last=False)
            turn = queue.popleft()
            if queue:
                line.waiting[person] = queue  # behind the others
            if not turn.done():
                turn.set_result(None)
                return
        line.running -= 1
        if not line.running:
            del self._lines[tenant]


class _Turn:
    """One query's turn, as an `async with` holds it."""

    __slots__ = ("_limiter", "_line", "_person", "_tenant")

    def __init__(self, limiter: QueryLimiter, tenant: str, person: str) -> None:
        self._limiter = limiter
        self._tenant = tenant
        self._person = person

    async def __aenter__(self) -> None:
        self._line = await self._limiter._take(self._tenant, self._person)

    async def __aexit__(self, *_: object) -> None:
        self._limiter._pass_on(self._tenant, self._line)
