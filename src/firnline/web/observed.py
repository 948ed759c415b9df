"""Watches one question from its arrival at the gateway to its answer, for the figures.

Takes the tenant; `observe.metrics` receives one run, whatever the end: an answer, a refusal, or a
client or deadline that cut it short.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from firnline.clock import Clock
from firnline.errors import FirnlineError
from firnline.graph.answer import Answer
from firnline.observe.metrics import OperationMetrics, Run, Source

CANCELLED = "cancelled"


@dataclass(slots=True)
class Observed:
    """What became known of a question so far."""

    operation: str = ""  # the name under which its document is published
    answer: Answer | None = None


@contextmanager
def observing(metrics: OperationMetrics, tenant: str, *, clock: Clock) -> Iterator[Observed]:
    """Record what the block makes of one question."""
    observed = Observed()
    refused = ""
    started = clock.monotonic()
    try:
        yield observed
    except FirnlineError as error:
        refused = error.code
        raise
    except asyncio.CancelledError:
        refused = CANCELLED
        raise
    except Exception:
        refused = FirnlineError.code
        raise
    finally:
        metrics.record(_run(tenant, observed, clock.monotonic() - started, refused))


def repeated(metrics: OperationMetrics, tenant: str, observed: Observed) -> Callable[[float], None]:
    """Return what counts the answer once more, given its seconds."""
    return metrics.repeats(_run(tenant, observed, 0.0, ""))


def _run(tenant: str, observed: Observed, seconds: float, refused: str) -> Run:
    answer = observed.answer
    if answer is None or refused:
        return Run(tenant, observed.operation, seconds, refused=refused)
    if not answer.executed:
        return Run(tenant, observed.operation, seconds, refused=_first_code(answer))
    return Run(
        tenant,
        observed.operation,
        seconds,
        rows=sum(rows for _, rows in answer.statements),
        masked=len(answer.extensions.get("access", ())),
        has_errors=bool(answer.errors),
        source=_source(answer),
    )


def _source(answer: Answer) -> Source:
    if answer.is_kept:
        return "response_cache"
    return "duckdb" if answer.statements else "memory"


def _first_code(answer: Answer) -> str:
    for error in answer.errors:
        return str(error.get("extensions", {}).get("code", FirnlineError.code))
    return FirnlineError.code
