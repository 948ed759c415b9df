"""The one outbound HTTP client: every call to a provider goes through `Transport.send`.

It asks the connection's circuit and the governor, keeps a total deadline, repeats what may be
repeated and gives each call's record to the log; `wire` does the exchange. Who may call and what
an answer means is its caller's: `connections.channel` and the token endpoints.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

from firnline.clock import Clock
from firnline.connectors.protocol import (
    ErrorClass,
    Grounds,
    Response,
    Verdict,
    grounds_of_status,
)
from firnline.transport.address import Resolver
from firnline.transport.admission import AccountLanes, Governor
from firnline.transport.call import OutboundCall
from firnline.transport.call_log import CallLog, CallRecord, RecentCalls, template_of
from firnline.transport.circuits import Circuits, ConnectionCircuits, Passage
from firnline.transport.errors import (
    ProviderCircuitOpenError,
    ProviderError,
    ProviderRateLimitedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    provider_text,
)
from firnline.transport.failures import FAILURES, error_of, speaks_against_provider
from firnline.transport.pools import CONNECTIONS_MAX
from firnline.transport.retry import (
    ATTEMPTS_MAX,
    RETRY_AFTER_MIN_S,
    Wait,
    backoff_s,
    clamp_retry_after,
    parse_retry_after,
    wait_before_repeating,
    wait_s,
)
from firnline.transport.routes import Routes
from firnline.transport.wire import Timeouts, Wire

BODY_BYTES_MAX = 64 * 1024 * 1024
CONNECT_TIMEOUT_S = 3.0
READ_TIMEOUT_S = 60.0
ATTEMPT_MIN_S = 0.05  # with less than that left a call is not sent again
READ_SHARE = 0.5  # of the deadline at most, so that time is left to ask again


@dataclass(slots=True)
class _Tally:
    """What a call's attempts come to, for its record."""

    attempts: int = 0
    status: int = 0
    error_class: ErrorClass | None = None
    code: str = ""
    bytes_out: int = 0
    bytes_in: int = 0
    quota_left: int | None = None


class Transport:
    """Sends calls to providers. One per process; close it when done, or use `async with`."""

    def __init__(
        self,
        *,
        routes: Mapping[str, str],
        clock: Clock,
        resolver: Resolver | None = None,
        draw: Callable[[], float] = random.random,
        body_bytes_max: int = BODY_BYTES_MAX,
        read_timeout_s: float = READ_TIMEOUT_S,
        connections_max: int = CONNECTIONS_MAX,
        governor: Governor | None = None,
        circuits: Circuits | None = None,
        call_log: CallLog | None = None,
    ) -> None:
        self.routes = Routes(routes)
        self._clock = clock
        self._draw = draw
        self._read_timeout_s = read_timeout_s
        self._governor: Governor = governor or AccountLanes()
        self.circuits: Circuits = circuits or ConnectionCircuits(clock=clock, draw=draw)
        self.calls: CallLog = call_log or RecentCalls()
        self._listeners: list[Callable[[CallRecord], None]] = [self.calls.add]
        self._wire = Wire(
            self.routes,
            resolver=resolver,
            body_bytes_max=body_bytes_max,
            connections_max=connections_max,
        )
        # httpx2 logs whole URLs at INFO, and a provider's query strings hold people's records.
        for name in ("httpx2", "httpcore2"):
            logging.getLogger(name).setLevel(logging.WARNING)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_raised: object) -> None:
        await self.close()

    def tell(self, listener: Callable[[CallRecord], None]) -> None:
        """Give every further call's record to `listener`, too; it must not block or fail."""
        self._listeners.append(listener)

    async def close(self) -> None:
        """Close all connections."""
        await self._wire.close()

    async def send(self, call: OutboundCall, *, deadline_s: float) -> Response:
        """Return the provider's answer within `deadline_s`, waits and repetitions included.

        An answer that the call's judge finds rate limited or unavailable is asked for again where
        that can do no harm, and becomes an error when it does not help. Other refusals are returned
        as they are. Raises a ProviderError; a ProviderCircuitOpenError at once.
        """
        started_at = self._clock.monotonic()
        tally = _Tally()
        try:
            return await self._repeated(call, started_at + deadline_s, deadline_s, tally)
        except ProviderError as error:
            tally.error_class, tally.code = error.error_class, error.code
            raise
        except BaseException as failure:
            is_cancelled = isinstance(failure, asyncio.CancelledError)
            tally.error_class = ErrorClass.UNKNOWN
            tally.code = "cancelled" if is_cancelled else "internal"
            raise
        finally:
            record = self._record(call, tally, self._clock.monotonic() - started_at)
            for listener in self._listeners:
                listener(record)

    async def _repeated(
        self, call: OutboundCall, ends_at: float, deadline_s: float, tally: _Tally
    ) -> Response:
        read_s = min(self._read_timeout_s, deadline_s * READ_SHARE)
        failure: ProviderError | None = None
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                self.circuits.check(call)
                outcome = await self._attempt(call, ends_at, read_s, tally)
            except ProviderCircuitOpenError as refused:
                # It opened over this call, too: what the provider did says more.
                raise failure or refused from None
            if isinstance(outcome, Response):
                return outcome
            failure = outcome
            pause_s = self._pause_s(call, outcome, attempt, answered=tally.status)
            left_s = ends_at - self._clock.monotonic()
            if pause_s is None or pause_s + ATTEMPT_MIN_S >= left_s:
                raise outcome
            await self._clock.sleep(pause_s)
        raise AssertionError("the last attempt has no pause after it")  # pragma: no cover

    def _pause_s(
        self, call: OutboundCall, failure: ProviderError, attempt: int, *, answered: int
    ) -> float | None:
        """Return how long to wait before the next attempt, None when there is none."""
        # In a 200 parts of a batch may have been done; a refusal by its status refuses all of it.
        is_refused = failure.error_class is ErrorClass.RATE_LIMITED and answered >= 400
        wait = wait_before_repeating(
            failure.error_class,
            repeatable=call.repeatable,
            had_no_effect=is_refused or not failure.was_sent,
        )
        if wait is Wait.NEVER or attempt == ATTEMPTS_MAX:
            return None
        return wait_s(wait, failure.retry_after_s, backoff_s(attempt, self._draw()))

    async def _attempt(
        self, call: OutboundCall, ends_at: float, read_s: float, tally: _Tally
    ) -> Response | ProviderError:
        """Send once, when there is a place; return the answer, or why there is none to use."""
        try:
            async with asyncio.timeout(max(0.0, ends_at - self._clock.monotonic())) as waiting:
                async with (
                    self._governor.admit(call, ends_at),
                    self.circuits.passing(call) as passage,
                ):
                    waiting.reschedule(None)
                    return await self._exchanged(call, ends_at, read_s, passage, tally)
        except ProviderCircuitOpenError:
            raise
        except ProviderError as refused:  # by the governor
            return refused
        except TimeoutError:
            late = ProviderTimeoutError(
                call.destination, f"{call.endpoint} found no free place in time"
            )
            late.was_sent = False
            return late

    async def _exchanged(
        self,
        call: OutboundCall,
        ends_at: float,
        read_s: float,
        passage: Passage,
        tally: _Tally,
    ) -> Response | ProviderError:
        left_s = max(0.0, ends_at - self._clock.monotonic())
        timeouts = Timeouts.within(left_s, connect_s=CONNECT_TIMEOUT_S, read_s=read_s)
        tally.attempts += 1
        tally.status = 0
        try:
            async with asyncio.timeout(left_s):
                received = await self._wire.exchange(call, timeouts)
        except FAILURES as failure:
            passage.failed = speaks_against_provider(failure, allowed_s=timeouts.read_s)
            return error_of(call, failure)
        response = received.response
        tally.status = response.status
        tally.bytes_out += received.bytes_out
        tally.bytes_in += received.bytes_in
        verdict = call.judge(response)
        tally.error_class = _class_of(response, verdict)
        tally.quota_left = self._governor.learn(call, response, verdict)
        passage.failed = _is_providers_trouble(response, verdict)
        return self._judged(call, response, verdict)

    def _judged(
        self, call: OutboundCall, response: Response, verdict: Verdict | None
    ) -> Response | ProviderError:
        if verdict is None:
            return response
        said = provider_text(response.cut(verdict.message))
        what = f"{call.endpoint} answered {response.status}" + (f": {said}" if said else "")
        asked_s = self._retry_after_s(verdict, response)
        if verdict.grounds is Grounds.RATE_LIMITED:
            wait = RETRY_AFTER_MIN_S if asked_s is None else asked_s
            return ProviderRateLimitedError(call.destination, what, retry_after_s=wait)
        if verdict.grounds is Grounds.UNAVAILABLE:
            return ProviderUnavailableError(call.destination, what, retry_after_s=asked_s)
        return response

    def _retry_after_s(self, verdict: Verdict, response: Response) -> float | None:
        if verdict.retry_after_s is not None:
            return clamp_retry_after(verdict.retry_after_s)
        return parse_retry_after(response.headers, self._clock.now())

    def _record(self, call: OutboundCall, tally: _Tally, duration_s: float) -> CallRecord:
        return CallRecord(
            at=self._clock.now(),
            tenant=call.destination.tenant,
            provider=call.destination.provider,
            connection=call.destination.connection,
            target=call.target,
            use=call.use,
            method=call.method,
            template=template_of(call),
            status=tally.status,
            error_class=tally.error_class,
            code=tally.code,
            attempts=tally.attempts,
            duration_s=duration_s,
            bytes_out=tally.bytes_out,
            bytes_in=tally.bytes_in,
            quota_left=tally.quota_left,
        )


def _class_of(response: Response, verdict: Verdict | None) -> ErrorClass | None:
    if verdict is not None:
        return verdict.grounds.error_class
    # Token endpoints are judged by their callers; their refusals are none the less refusals.
    return grounds_of_status(response.status).error_class if response.status >= 400 else None


def _is_providers_trouble(response: Response, verdict: Verdict | None) -> bool:
    # A record that is locked is unavailable, too, but says nothing of the provider as a whole.
    is_unavailable = verdict is not None and verdict.grounds is Grounds.UNAVAILABLE
    return is_unavailable and not 400 <= response.status < 500
