"""The transport benchmark measures what it says, against a provider in a process of its own."""

from __future__ import annotations

import pytest

pytest.importorskip("matplotlib", reason="the benchmarks draw plots")

from benchmarks.transport import failing, measure
from benchmarks.transport.__main__ import judged


async def test_both_ways_are_timed_alike_and_an_open_circuit_refuses() -> None:
    with failing.running() as origin:
        found = await measure.overhead(origin, 40, 2)
        refused = await measure.refusals(origin, 50)

    assert found["bare"]["runs"] == found["transport"]["runs"] == 40
    assert found["ratio_p50"] > 0
    assert refused["runs"] == 50
    assert refused["p50_ms"] < found["transport"]["p50_ms"]


def test_spread_is_of_times_that_were_measured() -> None:
    times_s = [number / 1_000 for number in range(1, 101)]
    assert measure.spread(times_s) == {"runs": 100, "p50_ms": 50.5, "p99_ms": 99.0}


def test_targets_are_missed_by_a_circuit_that_lets_the_herd_through() -> None:
    figures = {
        "overhead": {"1": {"ratio_p50": 1.2}},
        "refusals": {"p99_ms": 0.1},
        "outage": {
            "refusals": {"p99_ms": 0.1},
            "reached_while_open": 40,
            "open_min": 0.5,
            "probes_answered": 16,
            "first_at_once": [1, 9, 16],
        },
    }
    missed = {target.name.partition(":")[0] for target in judged(figures) if not target.met}
    assert missed == {"outage", "after closing"}
