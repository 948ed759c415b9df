"""What benchmarks share: honest summaries, and a result file that names no machine."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

common = pytest.importorskip("benchmarks.common", reason="matplotlib draws the plots")


def test_summary_reports_times_that_were_measured() -> None:
    times = [float(number) for number in range(100, 0, -1)]
    summary = common.Summary.of(times, first_ms=400.0)
    assert (summary.runs, summary.first_ms, summary.min_ms, summary.max_ms) == (100, 400, 1, 100)
    assert (summary.p50_ms, summary.p95_ms) == (50.5, 95)
    assert common.Summary.of([7.0]).p95_ms == 7


@pytest.mark.parametrize(
    ("measured", "at_least", "met"),
    [(9.9, False, True), (10.1, False, False), (9.9, True, False), (10.0, True, True)],
)
def test_target_is_met_on_its_side_of_the_bound(measured: float, at_least: bool, met: bool) -> None:
    assert common.Target("figure", measured, 10, at_least=at_least).met is met


def test_result_file_holds_what_is_needed_to_judge_it_and_no_names(tmp_path: Path) -> None:
    path = common.write_result(
        "demo",
        date=datetime(2026, 11, 22, tzinfo=UTC),
        settings={"scale": 1},
        targets=[common.Target("ratio", 31.0, 10, at_least=True)],
        figures={"acme rep": {"ratio": 31.0}},
        quick=False,
        results=tmp_path,
    )
    facts = orjson.loads(path.read_bytes())
    assert set(facts) == {
        *("benchmark", "quick", "date", "machine", "versions", "settings", "targets", "figures")
    }
    assert facts["targets"] == [{"name": "ratio", "target": ">= 10", "measured": 31.0, "met": True}]
    assert facts["versions"]["python"] == platform.python_version()
    assert platform.node() not in path.read_text()


def test_plot_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "plot.png"
    common.plot_bars(
        path,
        title="t",
        labels=["a", "b"],
        series={"x": [3.0, 4.0], "y": [300.0, 4000.0]},
        axis="ms",
    )
    assert path.read_bytes().startswith(b"\x89PNG")
