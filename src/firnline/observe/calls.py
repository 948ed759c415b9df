"""Counts and times the calls that go out to providers.

Takes the record of each call; `/metrics` receives Prometheus' text. Labels are the provider, what
the call was for and the class of its outcome: all from closed lists, never a tenant or an endpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest

from firnline.transport.call_log import CallRecord
from firnline.transport.circuits import CircuitFacts

BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_STATES = ("closed", "open", "half_open")


class CallMetrics:
    """The figures of one process's outgoing calls. Safe to share between threads."""

    def __init__(self, circuits: Callable[[], Sequence[CircuitFacts]] = tuple) -> None:
        self._registry = CollectorRegistry()
        self._calls = Counter(
            "firnline_provider_calls",
            "Calls to providers by the class of their outcome; repetitions are one call.",
            ("provider", "use", "class"),
            registry=self._registry,
        )
        self._attempts = self._counter("attempts", "Requests sent to providers.")
        self._seconds = Histogram(
            "firnline_provider_call_seconds",
            "From a call's begin to its answer, waits and repetitions included.",
            ("provider", "use"),
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        self._bytes = Counter(
            "firnline_provider_bytes",
            "Bytes of bodies sent to and received from providers.",
            ("provider", "direction"),
            registry=self._registry,
        )
        self._registry.register(_OpenCircuits(circuits))

    def _counter(self, name: str, meaning: str) -> Counter:
        return Counter(
            f"firnline_provider_{name}", meaning, ("provider", "use"), registry=self._registry
        )

    def record(self, record: CallRecord) -> None:
        """Add one call to the figures."""
        own = (record.provider, str(record.use))
        self._calls.labels(*own, str(record.error_class or "ok")).inc()
        self._attempts.labels(*own).inc(record.attempts)
        self._seconds.labels(*own).observe(record.duration_s)
        self._bytes.labels(record.provider, "out").inc(record.bytes_out)
        self._bytes.labels(record.provider, "in").inc(record.bytes_in)

    def text(self) -> bytes:
        """Return the figures in Prometheus' text format."""
        return generate_latest(self._registry)


class _OpenCircuits:
    """How many circuits are in which state, counted when somebody looks."""

    def __init__(self, circuits: Callable[[], Sequence[CircuitFacts]]) -> None:
        self._circuits = circuits

    def collect(self) -> list[GaugeMetricFamily]:
        """Return the gauge."""
        found: dict[tuple[str, str], int] = {}
        for facts in self._circuits():
            for state in _STATES:
                key = (facts.provider, state)
                found[key] = found.get(key, 0) + (facts.state == state)
        gauge = GaugeMetricFamily(
            "firnline_provider_circuits",
            "Circuits of connections by state; open ones are not called.",
            labels=("provider", "state"),
        )
        for labels, count in sorted(found.items()):
            gauge.add_metric(labels, count)
        return [gauge]
