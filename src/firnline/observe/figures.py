"""Reads a server's figures back: calls, errors and times of each operation.

Takes the text of `/metrics`; `firnline operations list` receives one `Figures` per operation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

Key = tuple[str, str]  # tenant, operation


@dataclass(slots=True)
class Figures:
    """What one operation did since its server started; times are seconds."""

    calls: int = 0
    errors: int = 0
    refused: int = 0
    buckets: list[tuple[float, float]] = field(default_factory=list)  # upper bound, count so far

    def quantile_s(self, fraction: float) -> float | None:
        """Return the time that `fraction` of the calls took at most, None before any call.

        Interpolated within a bucket; the last bucket's lower bound where it is in the open one.
        """
        return quantile(sorted(self.buckets), fraction)


def read_figures(text: str) -> Mapping[Key, Figures]:
    """Return the figures by tenant and operation; raises ValueError for another text."""
    found: dict[Key, Figures] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if not sample.name.startswith("firnline_operation_") or "tenant" not in sample.labels:
                continue
            key = (sample.labels["tenant"], sample.labels["operation"])
            figures = found.setdefault(key, Figures())
            match sample.name.removeprefix("firnline_operation_"):
                case "calls_total":
                    figures.calls += int(sample.value)
                case "errors_total":
                    figures.errors += int(sample.value)
                case "refused_total":
                    figures.refused += int(sample.value)
                case "seconds_bucket":
                    figures.buckets.append((float(sample.labels["le"]), sample.value))
    return found


def quantile(buckets: Sequence[tuple[float, float]], fraction: float) -> float | None:
    """Return the value below which `fraction` of a histogram's observations lie."""
    total = buckets[-1][1] if buckets else 0
    if not total:
        return None
    wanted = fraction * total
    lower, before = 0.0, 0.0
    for upper, count in buckets:
        if count >= wanted:
            if math.isinf(upper):
                return lower
            share = (wanted - before) / (count - before) if count > before else 0.0
            return lower + (upper - lower) * share
        lower, before = upper, count
    return lower
