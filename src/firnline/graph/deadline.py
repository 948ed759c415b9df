"""Ends work that takes too long.

Takes a question's work; the CLI and the edges receive its result or the deadline's refusal. The
work has then been cancelled down to the statement that DuckDB ran for it. Most work ends without
ever waiting: only what waits is worth a timer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Generic, TypeVar

from firnline.errors import FirnlineError

T = TypeVar("T")


class DeadlineError(FirnlineError):
    """The request could not be answered in time."""

    code = "deadline"
    status = 504
    retryable = True

    def __init__(self, deadline_s: float) -> None:
        super().__init__(
            f"the request was not answered within {deadline_s:g} seconds",
            hint="Ask for fewer records or fields, or try again; FIRNLINE_REQUEST_DEADLINE_S "
            "is the limit.",
        )


class Deadline:
    """The moment until which a request must be answered."""

    __slots__ = ("at", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.at = asyncio.get_running_loop().time() + seconds


async def in_time(
    work: Coroutine[Any, Any, T],
    deadline: Deadline,
    *,
    waiting: AbstractAsyncContextManager[object] | None = None,
) -> T:
    """Return what `work` returns; cancel it and raise DeadlineError when the deadline passes.

    `waiting` is entered when the work has to wait for something.
    """
    try:
        pending = work.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return] # StopIteration does not say of what
    try:
        async with asyncio.timeout_at(deadline.at) as timer, waiting or nullcontext():
            return await _Resumed(work, pending)
    except TimeoutError as error:
        if timer.expired():
            raise DeadlineError(deadline.seconds) from error
        raise
    finally:
        work.close()


class _Resumed(Generic[T]):
    """Awaits a coroutine that has begun: hands on what it waits for, then all that follows.

    All of it happens in one task, so that timeouts inside the work cancel what they mean to.
    """

    def __init__(self, work: Coroutine[Any, Any, T], pending: Any) -> None:
        self._work = work
        self._pending = pending

    def __await__(self) -> Generator[Any, Any, T]:
        pending = self._pending
        try:
            while True:
                try:
                    answer = yield pending
                except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - it goes on
                    pending = self._work.throw(error)
                else:
                    pending = self._work.send(answer)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return] # StopIteration does not say of what
