"""Trouble on the line, for any sandbox: latency, resets, slow and torn answers, plain statuses.

Stands between the HTTP server and a sandbox's app and knows nothing of the provider. A provider's
own misbehaviour (its error bodies, its quotas) is its sandbox's.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from firnline.clock import Clock

FaultKind = Literal["reset", "slow", "truncate", "status"]

# A connection, by the address of its client.
Transports = Mapping[tuple[str, int], asyncio.Transport]

_SLOW_PIECES = 10
# SO_LINGER with no time: closing sends RST, as a crashed peer or a dropped NAT entry does.
_LINGER_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault to serve.

    `path` is a part of the paths that it hits, empty: all. `times` is how often, None: until
    cleared. `reset` cuts the connection, `truncate` ends the answer in the middle of its body,
    `slow` spreads the body over `delay_s`, `status` answers `status` with `body` and `headers`.
    `applied` says whether the sandbox carries out the call before a reset or status: the caller
    then cannot know, as with a real answer that got lost.
    """

    kind: FaultKind
    path: str = ""
    times: int | None = 1
    applied: bool = False
    delay_s: float = 1.0
    status: int = 503
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


class Line:
    """An ASGI app that passes calls on to `app`, late and with the faults that were set."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        latency_ms: tuple[int, int],
        rng: Random,
        transports: Transports,
        clock: Clock,
    ) -> None:
        self.calls = 0
        self._app = app
        self._latency_ms = latency_ms
        self._rng = rng
        self._transports = transports
        self._clock = clock
        self._armed: list[tuple[Fault, int | None]] = []

    def add(self, fault: Fault) -> None:
        """Serve `fault` from the next call on; several are served in the order they were set."""
        self._armed.append((fault, fault.times))

    def clear(self) -> None:
        """Serve no fault any more."""
        self._armed.clear()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self.calls += 1
        if self._latency_ms != (0, 0):
            await self._clock.sleep(self._rng.uniform(*self._latency_ms) / 1_000)
        fault = self._take(scope["path"])
        if fault is None:
            await self._app(scope, receive, send)
        else:
            await self._serve(fault, scope, receive, send)

    def _take(self, path: str) -> Fault | None:
        for place, (fault, left) in enumerate(self._armed):
            if fault.path in path:
                if left is not None and left <= 1:
                    del self._armed[place]
                elif left is not None:
                    self._armed[place] = (fault, left - 1)
                return fault
        return None

    async def _serve(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        answer: list[Message] = []
        if fault.applied or fault.kind in ("slow", "truncate"):
            answer = await _answer(self._app, scope, receive)
        if fault.kind == "status":
            refusal = Response(fault.body, fault.status, dict(fault.headers))
            await refusal(scope, receive, send)
        elif fault.kind == "reset":
            self._reset(scope)
        elif fault.kind == "slow":
            await self._send_slowly(fault, answer, send)
        else:
            await self._send_half(scope, answer, send)

    def _reset(self, scope: Scope) -> None:
        transport = self._transports[tuple(scope["client"])]
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
        transport.abort()

    async def _send_slowly(self, fault: Fault, answer: Sequence[Message], send: Send) -> None:
        body = _body(answer)
        size = max(-(-len(body) // _SLOW_PIECES), 1)
        await send(answer[0])
        for start in range(0, len(body), size):
            await self._clock.sleep(fault.delay_s / _SLOW_PIECES)
            piece = body[start : start + size]
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _send_half(self, scope: Scope, answer: Sequence[Message], send: Send) -> None:
        body = _body(answer)
        await send(answer[0])
        half = body[: len(body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        self._transports[tuple(scope["client"])].close()


async def _answer(app: ASGIApp, scope: Scope, receive: Receive) -> list[Message]:
    """Return all messages of the app's answer."""
    messages: list[Message] = []

    async def keep(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, keep)
    return messages


def _body(answer: Sequence[Message]) -> bytes:
    return b"".join(message.get("body", b"") for message in answer[1:])
