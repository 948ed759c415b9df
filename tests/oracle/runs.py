"""How many generated structures a run of the oracle takes, and what is told of what it compared.

FIRNLINE_ORACLE_EXAMPLES says how many, FIRNLINE_TESTS=long stands for a thousand per provider; with
FIRNLINE_ORACLE_REPORT, a file, the counts are appended there. A counterexample is shrunk, printed
as a plain value for an explicit `@example`, and kept in Hypothesis' database, from where the next
run takes it first.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from hypothesis import HealthCheck, settings
from tests.graph.runs import IS_LONG, PATIENCE
from tests.oracle.reloading import Oracle

__all__ = ["IS_LONG", "PATIENCE", "counted", "oracle"]
EXAMPLES = int(os.environ.get("FIRNLINE_ORACLE_EXAMPLES", "1000" if IS_LONG else "25"))
REPORT = os.environ.get("FIRNLINE_ORACLE_REPORT", "")
oracle = settings(
    max_examples=EXAMPLES,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@contextmanager
def counted(witness: Oracle) -> Iterator[Oracle]:
    """Close the oracle in the end; a run that compared nothing of a kind would prove nothing."""
    with closing(witness):
        yield witness
    tally = witness.tally
    if REPORT:
        with Path(REPORT).open("a") as report:
            report.write(f"{witness.provider}: {tally}\n")
    assert tally.decisions > tally.shown > tally.structures, tally
