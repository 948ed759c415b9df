"""How many generated structures a run of the oracle takes: FIRNLINE_ORACLE_EXAMPLES says so."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

EXAMPLES = int(os.environ.get("FIRNLINE_ORACLE_EXAMPLES", "20"))
oracle = settings(
    max_examples=EXAMPLES,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
