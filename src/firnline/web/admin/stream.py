"""Connections' events as a stream: each one soon after it was committed, none twice, none left out.

Takes events in order of their numbers; the client receives them as server-sent events whose ids are
the numbers, so that a stream that broke off goes on with `Last-Event-ID`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from firnline.errors import FirnlineError
from firnline.state import ConnectionEvent
from firnline.web.admin.forms import Event
from firnline.web.events import Framing
from firnline.web.refusals import graphql_errors

CHECK_EVERY_S = 5.0  # whether the credential still counts, while nothing happens
OPENING = b"retry: 2000\n\n"


def _refusal(error: FirnlineError) -> bytes:
    return b"event: refused\ndata: " + graphql_errors(error) + b"\n\n"


EVENT_FRAMES = Framing(lambda frame: frame, _refusal, b"event: end\ndata:\n\n")


class EventFeed:
    """The events of one stream (`web.events.Following`); `check` raises when nobody may read on."""

    def __init__(
        self,
        events: AsyncIterator[ConnectionEvent],
        check: Callable[[], Awaitable[None]],
        *,
        check_every_s: float = CHECK_EVERY_S,
    ) -> None:
        self._events = events
        self._check = check
        self._check_every_s = check_every_s
        self._has_ended = False

    async def next(self) -> bytes | None:
        """Return the next event's frame, None after the last."""
        if self._has_ended:
            return None
        try:
            return framed(await self._event())
        except FirnlineError as error:
            self._has_ended = True
            return _refusal(error)

    async def _event(self) -> ConnectionEvent:
        coming = asyncio.ensure_future(anext(self._events))
        try:
            while not coming.done():
                await asyncio.wait([coming], timeout=self._check_every_s)
                await self._check()
        except BaseException:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
            raise
        return coming.result()


def framed(event: ConnectionEvent) -> bytes:
    """Return an event as it goes over the wire."""
    text = Event.of(event).model_dump_json()
    return f"id: {event.number}\nevent: connection\ndata: {text}\n\n".encode()
