"""One connection's circuit: whether calls may go out, from how earlier ones went.

Takes starts and ends of calls with the monotonic time; `circuits` acts on the answers. Pure: it
reads no clock and waits for nothing.

Own code, as no library at hand decides by a share of failures: purgatory, aiobreaker, pybreaker
and circuitbreaker count failures in a row, which a provider that fails every second call never
reaches, let any number of calls through while half open, and read the machine's clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

WINDOW_S = 60.0
CALLS_MIN = 10
FAILURE_SHARE = 0.5
OPEN_S = 30.0
OPEN_MAX_S = 300.0
JITTER = 0.2  # so that nodes that opened together do not probe together
PROBE_WAIT_S = 1.0  # what callers are told while a probe is under way
RAMP_S = 10.0
RAMP_CALLS_MAX = 64  # at a time; from there on nothing is held back


class CircuitState(StrEnum):
    """What a circuit does with the next call."""

    CLOSED = "closed"  # lets it out
    OPEN = "open"  # refuses it
    HALF_OPEN = "half_open"  # one call finds out, others are refused


class Step(StrEnum):
    """What a call that wants to start is told, when it may not start now."""

    WAIT = "wait"  # others go first: the circuit has closed a moment ago
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Pass:
    """The permission of one call; what is told about a call of an earlier state counts nothing."""

    era: int
    is_probe: bool = False


@dataclass(slots=True)
class _Second:
    number: int
    calls: int = 0
    failures: int = 0


class Window:
    """Calls and failures of the last minute, by the second: bounded, however many there are."""

    def __init__(self) -> None:
        self._seconds: deque[_Second] = deque()
        self.calls = 0
        self.failures = 0

    def add(self, now: float, *, failed: bool) -> None:
        """Count one call."""
        self.forget(now)
        number = int(now)
        if not self._seconds or self._seconds[-1].number != number:
            self._seconds.append(_Second(number))
        last = self._seconds[-1]
        last.calls += 1
        last.failures += failed
        self.calls += 1
        self.failures += failed

    def forget(self, now: float) -> None:
        """Drop what is older than the window."""
        oldest = now - WINDOW_S
        while self._seconds and self._seconds[0].number < oldest:
            gone = self._seconds.popleft()
            self.calls -= gone.calls
            self.failures -= gone.failures

    def clear(self) -> None:
        """Forget everything."""
        self._seconds.clear()
        self.calls = self.failures = 0

    @property
    def failure_share(self) -> float:
        """Return which part of the calls failed."""
        return self.failures / self.calls if self.calls else 0.0

    @property
    def is_failing(self) -> bool:
        """Say whether enough calls failed to stop asking."""
        return self.calls >= CALLS_MIN and self.failure_share >= FAILURE_SHARE


class Circuit:
    """Closed, open or half open; `now` is monotonic seconds everywhere.

    After closing it lets one call out at a time, then two, then four, as calls succeed: whoever
    waited for the provider must not strike it down again. Opening again within a window of closing
    lasts twice as long, so that a provider that comes and goes is left alone ever longer.
    """

    def __init__(self, now: float) -> None:
        self.state = CircuitState.CLOSED
        self.since = now
        self.window = Window()
        self.running = 0
        self._era = 0
        self._period_s = OPEN_S
        self._open_until = now
        self._share_at_opening = 0.0
        self._ramp: int | None = None  # calls at a time, None: any number
        self._successes = 0

    def retry_after_s(self, now: float) -> float:
        """Return when to ask again: 0 when a call may start or wait for its turn."""
        if self.state is CircuitState.OPEN:
            return max(0.0, self._open_until - now)
        return PROBE_WAIT_S if self.state is CircuitState.HALF_OPEN else 0.0

    def failure_share(self, now: float) -> float:
        """Return the share of failures: of the last minute, or of the one before it opened."""
        if self.state is not CircuitState.CLOSED:
            return self._share_at_opening
        self.window.forget(now)
        return self.window.failure_share

    @property
    def free(self) -> int | None:
        """Return how many calls may start now beside those under way, None: any number."""
        return None if self._ramp is None else max(0, self._ramp - self.running)

    def start(self, now: float) -> Pass | Step:
        """Let a call out, tell it to wait, or refuse it."""
        if self.state is CircuitState.CLOSED:
            if self._ramp is not None and now - self.since >= RAMP_S:
                self._ramp = None
            if self.free == 0:
                return Step.WAIT
            self.running += 1
            return Pass(self._era)
        if self.retry_after_s(now) > 0.0:
            return Step.REFUSED
        self._become(CircuitState.HALF_OPEN, now)
        self.running += 1
        return Pass(self._era, is_probe=True)

    def end(self, given: Pass, now: float, *, failed: bool | None, draw: float) -> None:
        """Take note of how a call went; None: it says nothing about the provider.

        `draw` is uniform in 0..1.
        """
        if given.era != self._era:
            return
        self.running -= 1
        if given.is_probe:
            self._probed(now, failed=failed, draw=draw)
        elif failed is not None:
            self._count(now, failed=failed, draw=draw)

    def _probed(self, now: float, *, failed: bool | None, draw: float) -> None:
        if failed is None:  # nobody knows more than before: the next call probes
            self._become(CircuitState.OPEN, now, since=self.since)
        elif failed:
            self._period_s = min(OPEN_MAX_S, self._period_s * 2)
            self._open(now, draw)
        else:
            self.window.clear()
            self._become(CircuitState.CLOSED, now)
            self._ramp, self._successes = 1, 0

    def _count(self, now: float, *, failed: bool, draw: float) -> None:
        self.window.add(now, failed=failed)
        if failed and self.window.is_failing:
            comes_and_goes = self._era > 0 and now - self.since < WINDOW_S
            self._period_s = min(OPEN_MAX_S, self._period_s * 2) if comes_and_goes else OPEN_S
            self._share_at_opening = self.window.failure_share
            self._open(now, draw)
        elif not failed and self._ramp is not None:
            self._successes += 1
            if self._successes >= self._ramp:
                self._ramp, self._successes = self._ramp * 2, 0
            if self._ramp > RAMP_CALLS_MAX:
                self._ramp = None

    def _open(self, now: float, draw: float) -> None:
        self._open_until = now + self._period_s * (1.0 + JITTER * draw)
        self._become(CircuitState.OPEN, now)

    def _become(self, state: CircuitState, now: float, *, since: float | None = None) -> None:
        self.state = state
        self.since = now if since is None else since
        self._era += 1
        self.running = 0
        self._ramp = None
