"""Circuits of all connections: a provider that is down is not asked, and its callers need not wait.

`Transport.send` checks the connection's circuit first and holds its `Passage` during each attempt;
status pages and figures read `facts`. Circuits are of this process alone and keep no state.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from firnline.clock import Clock
from firnline.recent import Recent
from firnline.transport.call import Destination, OutboundCall, Target
from firnline.transport.circuit import Circuit, CircuitState, Pass, Step
from firnline.transport.errors import ProviderCircuitOpenError

CIRCUITS_MAX = 20_000

_LOG = logging.getLogger("firnline.transport")

Key = tuple[str, str, Target]


@dataclass(slots=True)
class Passage:
    """One attempt under way. Whoever sends it sets `failed`: None says nothing of the provider."""

    failed: bool | None = None


@dataclass(frozen=True, slots=True)
class CircuitFacts:
    """A circuit as it stands now; `failure_share` is of the last minute with calls."""

    provider: str
    tenant: str
    connection: str
    target: Target
    state: CircuitState
    since: datetime
    failure_share: float
    retry_after_s: float


class Circuits(Protocol):
    """Decides whether a connection's provider is asked at all."""

    def check(self, call: OutboundCall) -> None:
        """Raise ProviderCircuitOpenError when a call would be refused now; takes no time."""
        ...

    def passing(self, call: OutboundCall) -> AbstractAsyncContextManager[Passage]:
        """Hold a passage for one attempt, waiting for a turn after the circuit has closed.

        Raises ProviderCircuitOpenError.
        """
        ...

    def facts(self) -> Sequence[CircuitFacts]:
        """Return the circuits of all connections that were called lately."""
        ...

    def of(self, tenant: str, connection: str) -> Sequence[CircuitFacts]:
        """Return a connection's circuits: none before its first call."""
        ...


class ConnectionCircuits:
    """A circuit per connection and face of its provider: the token endpoint has its own."""

    def __init__(self, *, clock: Clock, draw: Callable[[], float] = random.random) -> None:
        self._clock = clock
        self._draw = draw
        self._kept: Recent[Key, _Held] = Recent(CIRCUITS_MAX)

    def check(self, call: OutboundCall) -> None:
        """Raise ProviderCircuitOpenError when the connection's circuit is open."""
        held = self._kept.get(_key(call))
        if held is not None and held.circuit.retry_after_s(self._clock.monotonic()) > 0.0:
            raise self._refusal(held)

    @asynccontextmanager
    async def passing(self, call: OutboundCall) -> AsyncIterator[Passage]:
        """Hold a passage for one attempt."""
        held = self._held(call)
        given = await self._pass(held)
        passage = Passage()
        try:
            yield passage
        finally:
            held.circuit.end(
                given, self._clock.monotonic(), failed=passage.failed, draw=self._draw()
            )
            self._tell(held)
            held.wake()

    def facts(self) -> Sequence[CircuitFacts]:
        """Return the circuits of all connections that were called lately."""
        return [self._facts(held) for held in self._kept.values()]

    def of(self, tenant: str, connection: str) -> Sequence[CircuitFacts]:
        """Return a connection's circuits: none before its first call."""
        return [
            each for each in self.facts() if (each.tenant, each.connection) == (tenant, connection)
        ]

    def _held(self, call: OutboundCall) -> _Held:
        key = _key(call)
        held = self._kept.get(key)
        if held is None:
            held = _Held(call.destination, call.target, Circuit(self._clock.monotonic()))
            self._kept.put(key, held)
        return held

    async def _pass(self, held: _Held) -> Pass:
        came_first = False
        while True:
            step = held.circuit.start(self._clock.monotonic())
            if isinstance(step, Pass):
                self._tell(held)
                if held.circuit.free is None:
                    held.wake()
                return step
            if step is Step.REFUSED:
                raise self._refusal(held)
            await held.turn(came_first=came_first)
            came_first = True

    def _refusal(self, held: _Held) -> ProviderCircuitOpenError:
        wait_s = held.circuit.retry_after_s(self._clock.monotonic())
        return ProviderCircuitOpenError(held.destination, held.face, retry_after_s=wait_s)

    def _facts(self, held: _Held) -> CircuitFacts:
        now = self._clock.monotonic()
        circuit, destination = held.circuit, held.destination
        return CircuitFacts(
            provider=destination.provider,
            tenant=destination.tenant,
            connection=destination.connection,
            target=held.target,
            state=circuit.state,
            since=self._clock.now() - timedelta(seconds=now - circuit.since),
            failure_share=circuit.failure_share(now),
            retry_after_s=circuit.retry_after_s(now),
        )

    def _tell(self, held: _Held) -> None:
        """Log a change, once."""
        state = held.circuit.state
        if state is held.told:
            return
        before, held.told = held.told, state
        if state is CircuitState.OPEN:
            now = self._clock.monotonic()
            _LOG.warning(
                "%s: %s is not called for %.0f s: %.0f %% of its calls failed",
                held.destination.label,
                held.face,
                held.circuit.retry_after_s(now),
                held.circuit.failure_share(now) * 100,
            )
        elif state is CircuitState.CLOSED and before is CircuitState.HALF_OPEN:
            _LOG.warning("%s: %s answers again", held.destination.label, held.face)


@dataclass(slots=True, eq=False)
class _Held:
    """A circuit with those who wait for their turn after it has closed, first come first served."""

    destination: Destination
    target: Target
    circuit: Circuit
    told: CircuitState = CircuitState.CLOSED
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)

    @property
    def face(self) -> str:
        return "the token endpoint" if self.target == "token" else "the provider"

    async def turn(self, *, came_first: bool) -> None:
        """Wait to be woken; whoever was woken in vain goes back to the front."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self.waiting.appendleft if came_first else self.waiting.append)(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter in self.waiting:
                self.waiting.remove(waiter)
            elif not waiter.cancelled():
                self.wake()  # its turn passes to the next
            raise

    def wake(self) -> None:
        """Wake as many as may start now; all of them when the circuit has opened."""
        free = self.circuit.free
        while self.waiting and (free is None or free > 0):
            waiter = self.waiting.popleft()
            if not waiter.done():  # cancelled, and not yet gone
                waiter.set_result(None)
                free = None if free is None else free - 1


def _key(call: OutboundCall) -> Key:
    destination = call.destination
    return destination.tenant, destination.connection, call.target
