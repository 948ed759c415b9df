"""Answers as server-sent events: GraphQL over SSE, each operation on a connection of its own.

Takes the first answer of a request and, of a subscription, those that follow; the client receives
each as `event: next`, then `event: complete`. An answer is made when the one before is out, so a
slow reader misses those in between and none piles up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from firnline.access.principal import TokenExpiredError
from firnline.errors import FirnlineError
from firnline.web.connection import CONNECTION
from firnline.web.departure import until_departure
from firnline.web.refusals import EVENT_MEDIA, graphql_errors

HEARTBEAT_S = 15.0
STALLED_S = 30.0  # a client that reads nothing for so long is gone
_HEADERS = (
    (b"content-type", f"{EVENT_MEDIA}; charset=utf-8".encode()),
    (b"vary", b"Accept, Authorization"),
    (b"x-accel-buffering", b"no"),  # proxies of nginx's kind wait for more otherwise
)
_COMPLETE = b"event: complete\ndata:\n\n"
_HEARTBEAT = b":\n\n"


class ServerStoppingError(FirnlineError):
    """The server stops; the subscription can be opened anew at the next."""

    code = "server_stopping"
    status = 503
    retryable = True

    def __init__(self) -> None:
        super().__init__("this server stops", hint="Subscribe again in a moment.")


class Following(Protocol):
    """What follows the first answer of a subscription."""

    async def next(self) -> bytes | None:
        """Return the next answer's body, None after the last."""
        ...


@dataclass(frozen=True, slots=True)
class Framing:
    """How bodies and the reason for an end are put into a stream; `end` is its last event."""

    body: Callable[[bytes], bytes]
    refusal: Callable[[FirnlineError], bytes]
    end: bytes


def _next(body: bytes) -> bytes:
    """Return an answer as an event; its JSON is one line."""
    return b"event: next\ndata: " + body + b"\n\n"


GRAPHQL_EVENTS = Framing(_next, lambda error: _next(graphql_errors(error)), _COMPLETE)


@dataclass(frozen=True, slots=True)
class EventsReply:
    """The answers of one operation as an ASGI response.

    `place` is left when the stream ends, which is after `seconds_left` at the latest.
    """

    first: bytes
    following: Following | None = None
    seconds_left: float = 0.0
    place: AbstractContextManager[object] | None = None
    heartbeat_s: float = HEARTBEAT_S
    stalled_s: float = STALLED_S
    framing: Framing = GRAPHQL_EVENTS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = (scope.get("extensions") or {}).get(CONNECTION, {}).get("of")
        try:
            async with until_departure(receive):
                await self._send(_Outlet(send, connection, self.stalled_s))
        finally:
            if self.place is not None:
                self.place.__exit__(None, None, None)

    async def _send(self, out: _Outlet) -> None:
        await out.start()
        await out.write(self.framing.body(self.first))
        if self.following is not None:
            reason = await self._follow(self.following, out)
            if reason is not None:
                await out.write(self.framing.refusal(reason))
        await out.write(self.framing.end, is_last=True)

    async def _follow(self, following: Following, out: _Outlet) -> FirnlineError | None:
        """Send what follows; return why there will be no more, None where the answers ended."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self.seconds_left
        stopping = asyncio.ensure_future(out.stopping.wait())
        coming = asyncio.ensure_future(following.next())
        try:
            # Counted from what was sent alone: work that leads to no event must not be seen.
            beats_at = loop.time() + self.heartbeat_s
            while True:
                waits_s = max(0.0, min(beats_at, ends_at) - loop.time())
                await asyncio.wait(
                    {coming, stopping}, timeout=waits_s, return_when=asyncio.FIRST_COMPLETED
                )
                if stopping.done():
                    return ServerStoppingError()
                if loop.time() >= ends_at:
                    return TokenExpiredError()
                if coming.done():
                    body = coming.result()
                    if body is None:
                        return None
                    await out.write(self.framing.body(body))
                    coming = asyncio.ensure_future(following.next())
                elif loop.time() >= beats_at:
                    await out.write(_HEARTBEAT)
                else:
                    continue
                beats_at = loop.time() + self.heartbeat_s
        finally:
            await _ended(coming, stopping)


class _Outlet:
    """Where events go out, with the connection below where the server shows it."""

    def __init__(self, send: Send, connection: Any, stalled_s: float) -> None:
        self._send = send
        self._abort: Callable[[], None] | None = getattr(connection, "abort", None)
        self._stalled_s = stalled_s
        self.stopping: asyncio.Event = getattr(connection, "stopping", None) or asyncio.Event()

    async def start(self) -> None:
        await self._send({"type": "http.response.start", "status": 200, "headers": [*_HEADERS]})

    async def write(self, body: bytes, *, is_last: bool = False) -> None:
        """Send bytes; raises ClientDisconnect when the client reads none for too long."""
        sent: Awaitable[None] = self._send(
            {"type": "http.response.body", "body": body, "more_body": not is_last}
        )
        try:
            async with asyncio.timeout(self._stalled_s):
                await sent
        except TimeoutError:
            if self._abort is not None:
                self._abort()
            raise ClientDisconnect from None


async def _ended(*tasks: asyncio.Future[Any]) -> None:
    """Cancel what still runs, and wait until it gave back what it holds."""
    for task in tasks:
        task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        del ended  # raised already, or nobody's business any more
