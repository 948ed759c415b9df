"""Counts and times operations, per tenant and published operation.

Takes one `Run` per question that was answered or refused; `/metrics` receives Prometheus' text.
Labels hold names that the builder chose, in bounded number: a tenant, a published operation, an
error code. Never a person, a value, or the text of a question.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

AD_HOC = "(ad hoc)"  # no GraphQL name has parentheses
OTHER = "(other)"
OPERATIONS_MAX = 500  # told apart, of one tenant
TENANTS_MAX = 10_000
MEDIA_TYPE = CONTENT_TYPE_PLAIN_0_0_4
BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
Source = Literal["memory", "duckdb", "response_cache"]
_OWN = ("tenant", "operation")


@dataclass(frozen=True, slots=True)
class Run:
    """One question and what came of it.

    `operation` is the name under which its document is published, empty for any other document.
    `refused` is the code of the error that kept it from being executed, or ended it.
    """

    tenant: str
    operation: str = ""
    seconds: float = 0.0
    rows: int = 0
    masked: int = 0
    has_errors: bool = False
    refused: str = ""
    source: Source = "memory"


class OperationMetrics:
    """The figures of one process. Safe to share between threads."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._calls = self._counter("calls", "Questions asked.")
        self._errors = self._counter("errors", "Answers that hold errors.")
        self._rows = self._counter("rows", "Rows that DuckDB gave for answers.")
        self._masked = self._counter("masked", "Fields and objects withheld from answers.")
        self._refused = self._counter("refused", "Questions refused or ended, by code.", "code")
        self._answered = self._counter("answered", "Answers by what they were read from.", "source")
        self._seconds = Histogram(
            "firnline_operation_seconds",
            "From a question's arrival at the gateway to its answer.",
            _OWN,
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        self._series: dict[tuple[str, str], _Series] = {}
        self._operations: dict[str, set[str]] = {}

    def _counter(self, name: str, meaning: str, *more: str) -> Counter:
        return Counter(
            f"firnline_operation_{name}", meaning, (*_OWN, *more), registry=self._registry
        )

    def record(self, run: Run) -> None:
        """Add one question to the figures."""
        labels = self._labels(run)
        series = self._series_of(labels)
        series.calls.inc()
        series.seconds.observe(run.seconds)
        if run.refused:
            self._refused.labels(*labels, run.refused).inc()
            return
        series.answered(run.source).inc()
        series.rows.inc(run.rows)
        if run.masked:
            series.masked.inc(run.masked)
        if run.has_errors:
            series.errors.inc()

    def repeats(self, run: Run) -> Callable[[float], None]:
        """Return what adds a run like `run` that took other seconds, with nothing looked up."""
        series = self._series_of(self._labels(run))
        answered = series.answered(run.source)

        def add(seconds: float) -> None:
            series.calls.inc()
            series.seconds.observe(seconds)
            answered.inc()
            if run.masked:
                series.masked.inc(run.masked)

        return add

    def text(self) -> bytes:
        """Return the figures in Prometheus' text format."""
        return generate_latest(self._registry)

    def _series_of(self, labels: tuple[str, str]) -> _Series:
        series = self._series.get(labels)
        if series is None:
            series = self._series[labels] = self._new(labels)
        return series

    def _new(self, labels: tuple[str, str]) -> _Series:
        return _Series(
            self._calls.labels(*labels),
            self._errors.labels(*labels),
            self._rows.labels(*labels),
            self._masked.labels(*labels),
            self._seconds.labels(*labels),
            partial(self._answered.labels, *labels),
        )

    def _labels(self, run: Run) -> tuple[str, str]:
        known = self._operations.get(run.tenant)
        if known is None:
            if len(self._operations) >= TENANTS_MAX:
                return OTHER, OTHER
            known = self._operations[run.tenant] = set()
        if not run.operation:
            return run.tenant, AD_HOC
        if run.operation not in known:
            # Names come and go with publishing: past this many they are no longer told apart.
            if len(known) >= OPERATIONS_MAX:
                return run.tenant, OTHER
            known.add(run.operation)
        return run.tenant, run.operation


@dataclass(frozen=True, slots=True)
class _Series:
    """One operation's own counters: kept, as looking labels up costs more than adding."""

    calls: Counter
    errors: Counter
    rows: Counter
    masked: Counter
    seconds: Histogram
    answered: Callable[[Source], Counter]
