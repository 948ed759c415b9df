"""Ends work that takes too long, or that nobody waits for any more.

Takes a request's work; the GraphQL edge receives the result, the deadline's refusal, or the news
that the client went away. The work has then been cancelled down to its last thread. Most work ends
without ever waiting: only what waits is worth a timer and a task that listens for the client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from firnline.graph.deadline import Deadline, in_time

T = TypeVar("T")


async def while_connected(work: Coroutine[Any, Any, T], receive: Receive, deadline: Deadline) -> T:
    """Like `in_time`, and raise ClientDisconnect when the client leaves before.

    The request's body must have been read: whatever arrives now can only be the departure.
    """
    return await in_time(work, deadline, waiting=_Departure(receive))


def until_departure(receive: Receive) -> AbstractAsyncContextManager[None]:
    """Return what cancels the block inside when the client leaves, and raises ClientDisconnect.

    The request's body must have been read.
    """
    return _Departure(receive)


class _Departure:
    """Cancels the task inside when the client leaves, and says so as ClientDisconnect."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._has_left = False

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None, "an ASGI application runs in a task"
        self._task = task
        self._cancelling = task.cancelling()
        self._watch = asyncio.ensure_future(_departure(self._receive))
        self._watch.add_done_callback(self._end_work)

    def _end_work(self, watch: asyncio.Future[None]) -> None:
        if watch.cancelled():
            return
        watch.exception()  # a broken connection is a departure, too
        self._has_left = True
        self._task.cancel()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._watch.remove_done_callback(self._end_work)
        self._watch.cancel()
        if not self._has_left:
            return
        is_only_ours = self._task.uncancel() <= self._cancelling
        # What cancelled work says of itself matters to nobody any more.
        if error is not None and (is_only_ours or isinstance(error, Exception)):
            raise ClientDisconnect from error


async def _departure(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass  # the empty body of a GET
