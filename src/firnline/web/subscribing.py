"""Runs subscriptions: the first answer, then another whenever it differs for this person.

Takes a subscription of a verified principal; the GraphQL edge receives the stream. Every answer is
asked for like a question of its own: documents, agents' limits, rights, cost and turns are looked
at each time, and each has a deadline of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

from starlette.types import Receive

from firnline.access.principal import Principal
from firnline.clock import Clock
from firnline.errors import FirnlineError
from firnline.graph.deadline import Deadline, in_time
from firnline.web.authentication import Standing
from firnline.web.departure import while_connected
from firnline.web.events import EventsReply
from firnline.web.gateway import Gateway, GraphAnswer, GraphRequest, Live
from firnline.web.open_streams import OpenStreams
from firnline.web.refusals import graphql_errors

FAILURES_MAX = 3  # one after the other, of what may be over the next time
_FAILED_WAIT_S = 1.0

Ask = Callable[[Principal, GraphRequest], Coroutine[Any, Any, GraphAnswer]]


class Subscribing:
    """The subscriptions of one edge. `ask` answers a request when it is the tenant's turn.

    `together_max` of one tenant are made anew at the same time: a commit wakes all of them, and
    other questions must still find a turn.
    """

    def __init__(
        self,
        gateway: Gateway,
        ask: Ask,
        *,
        places: OpenStreams,
        clock: Clock,
        deadline_s: float,
        together_max: int,
    ) -> None:
        self._gateway = gateway
        self._ask = ask
        self._places = places
        self._clock = clock
        self._deadline_s = deadline_s
        self._together_max = together_max
        self._lines: dict[str, asyncio.Semaphore] = {}

    async def reply(
        self, principal: Principal, request: GraphRequest, receive: Receive, standing: Standing
    ) -> EventsReply:
        """Return the stream of a subscription; raises what refuses it."""
        request = replace(request, takes_events=True)
        with ExitStack() as held:
            held.enter_context(self._places.place(principal.tenant, principal.email))
            work = self._ask(principal, request)
            first = await while_connected(work, receive, Deadline(self._deadline_s))
            following = None
            if first.live is not None and not first.live.is_last:
                following = LiveAnswers(
                    self, principal, request, first.live, standing.check, clock=self._clock
                )
            return EventsReply(first.body, following, standing.seconds_left, held.pop_all())

    async def asked_again(self, principal: Principal, request: GraphRequest) -> GraphAnswer:
        """Return the answer of this moment."""
        line = self._lines.setdefault(principal.tenant, asyncio.Semaphore(self._together_max))
        async with line:
            return await in_time(self._ask(principal, request), Deadline(self._deadline_s))

    async def changed(self, principal: Principal, live: Live, *, within_s: float) -> None:
        """Return when an answer may be another one than before, after `within_s` in any case."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._gateway.changed(principal, live.mark)


class LiveAnswers:
    """The answers of one subscription after the first (`web.events.Following`)."""

    def __init__(
        self,
        subscribing: Subscribing,
        principal: Principal,
        request: GraphRequest,
        first: Live,
        check: Callable[[], Awaitable[None]],
        *,
        clock: Clock,
    ) -> None:
        self._subscribing = subscribing
        self._principal = principal
        self._request = replace(request, known=first.fingerprint)
        self._check = check
        self._clock = clock
        self._live: Live | None = first
        self._asked_s = clock.monotonic()
        self._failures = 0

    async def next(self) -> bytes | None:
        """Return the next answer's body, None after the last."""
        while self._live is not None:
            try:
                answer = await self._answer(self._live)
            except FirnlineError as error:
                self._failures += 1
                if error.retryable and self._failures <= FAILURES_MAX:
                    await self._clock.sleep(_FAILED_WAIT_S * self._failures)
                    continue
                self._live = None
                return graphql_errors(error)
            self._failures = 0
            self._live = None if answer.live is None or answer.live.is_last else answer.live
            if answer.live is None or answer.live.fingerprint != self._request.known:
                if answer.live is not None:
                    self._request = replace(self._request, known=answer.live.fingerprint)
                return answer.body
        return None

    async def _answer(self, before: Live) -> GraphAnswer:
        """Wait until the answer may be another one, and ask for it."""
        if not self._failures:
            since_s = self._clock.monotonic() - self._asked_s
            await self._clock.sleep(max(0.0, before.rest_s - since_s))
            await self._subscribing.changed(
                self._principal, before, within_s=max(0.0, before.renewed_s - before.rest_s)
            )
        # A credential that ended meanwhile ends the stream, before anything else is read.
        await self._check()
        self._asked_s = self._clock.monotonic()
        return await self._subscribing.asked_again(self._principal, self._request)
