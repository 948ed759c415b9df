"""The access benchmark measures what it says: equal questions, people with different rights."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="the benchmarks draw plots")

from benchmarks.access import measure, org
from benchmarks.access.__main__ import judged


async def test_rep_manager_and_administrator_ask_alike_and_see_differently(
    tmp_path: Path,
) -> None:
    """Of five thousand records all are for the administrator alone."""
    await org.fill(tmp_path, 5_000)

    found = await measure.measured(tmp_path, 3)

    seen = {person: sum(counts.values()) for person, counts in found["seen"].items()}
    assert 0 < seen["rep"] < seen["manager"] < seen["administrator"] == 5_000
    assert set(found["questions"]) == {"list", "count", "nested"}
    for times in found["questions"].values():
        assert {person: each["runs"] for person, each in times.items()} == dict.fromkeys(seen, 3)


def test_target_is_missed_by_whoever_waits_half_again_as_long() -> None:
    times = {"administrator": {"p50_ms": 2.0}, "rep": {"p50_ms": 3.0}}
    (target,) = judged({"list": times})
    assert (target.measured, target.met) == (1.5, False)
