"""Figures of operations: what is counted, under which names, and how it is read back."""

from __future__ import annotations

import pytest

from firnline.observe.figures import quantile, read_figures
from firnline.observe.metrics import AD_HOC, OPERATIONS_MAX, OTHER, OperationMetrics, Run


def lines(metrics: OperationMetrics) -> dict[str, float]:
    """Return the value of each sample by its name and labels as written."""
    text = metrics.text().decode()
    pairs = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def test_answers_and_refusals_are_counted_under_tenant_and_operation() -> None:
    metrics = OperationMetrics()
    metrics.record(Run("acme", "Renewals", 0.004, rows=12, masked=2, source="duckdb"))
    metrics.record(Run("acme", "Renewals", 0.004, rows=3, has_errors=True))
    metrics.record(Run("acme", "Renewals", 0.2, refused="deadline"))
    metrics.record(Run("globex", "Renewals", 0.004, source="response_cache"))

    found = lines(metrics)

    own = 'operation="Renewals",tenant="acme"'
    assert found[f"firnline_operation_calls_total{{{own}}}"] == 3
    assert found[f"firnline_operation_rows_total{{{own}}}"] == 15
    assert found[f"firnline_operation_masked_total{{{own}}}"] == 2
    assert found[f"firnline_operation_errors_total{{{own}}}"] == 1
    refused = 'code="deadline",operation="Renewals",tenant="acme"'
    assert found[f"firnline_operation_refused_total{{{refused}}}"] == 1
    for source, count in (("duckdb", 1), ("memory", 1)):
        labels = f'operation="Renewals",source="{source}",tenant="acme"'
        assert found[f"firnline_operation_answered_total{{{labels}}}"] == count
    assert found[f"firnline_operation_seconds_count{{{own}}}"] == 3
    other = 'operation="Renewals",source="response_cache",tenant="globex"'
    assert found[f"firnline_operation_answered_total{{{other}}}"] == 1


def test_unpublished_documents_share_one_label_however_many_there_are() -> None:
    metrics = OperationMetrics()
    for _ in range(50):
        metrics.record(Run("acme"))

    figures = read_figures(metrics.text().decode())

    assert {key: each.calls for key, each in figures.items()} == {("acme", AD_HOC): 50}


def test_names_beyond_the_bound_are_counted_together() -> None:
    metrics = OperationMetrics()
    for number in range(OPERATIONS_MAX + 30):
        metrics.record(Run("acme", f"Operation{number}"))
    metrics.record(Run("acme", "Operation0"))
    metrics.record(Run("globex", "Operation0"))

    figures = read_figures(metrics.text().decode())

    assert figures["acme", OTHER].calls == 30
    assert figures["acme", "Operation0"].calls == 2
    assert figures["globex", "Operation0"].calls == 1
    assert len(figures) == OPERATIONS_MAX + 2


def test_times_are_read_back_within_their_bucket() -> None:
    metrics = OperationMetrics()
    for _ in range(95):
        metrics.record(Run("acme", "Quick", 0.003))
    for _ in range(5):
        metrics.record(Run("acme", "Quick", 0.8, refused="deadline"))

    figures = read_figures(metrics.text().decode())["acme", "Quick"]

    middle, late = figures.quantile_s(0.5), figures.quantile_s(0.99)
    assert middle is not None and 0.0025 <= middle <= 0.005
    assert late is not None and 0.5 <= late <= 1.0
    assert (figures.calls, figures.refused) == (100, 5)


@pytest.mark.parametrize(
    ("buckets", "fraction", "value"),
    [
        ([], 0.5, None),
        ([(1.0, 0.0), (float("inf"), 0.0)], 0.5, None),
        ([(1.0, 4.0), (2.0, 8.0), (float("inf"), 8.0)], 0.5, 1.0),
        ([(1.0, 4.0), (2.0, 8.0), (float("inf"), 8.0)], 0.75, 1.5),
        ([(1.0, 0.0), (float("inf"), 3.0)], 0.95, 1.0),
    ],
)
def test_quantile_is_interpolated_and_never_beyond_the_last_bound(
    buckets: list[tuple[float, float]], fraction: float, value: float | None
) -> None:
    assert quantile(buckets, fraction) == value
