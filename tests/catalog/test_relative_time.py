"""Relative times mean what people mean by them, at any day of any year."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from firnline.catalog.relative_time import is_relative, resolve

NOW = datetime(2026, 11, 22, 12, 34, 56, 789, tzinfo=UTC)  # a Sunday


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", "2026-11-22T12:34:56.000789"),
        ("now-90d", "2026-08-24T12:34:56.000789"),
        ("now+30min", "2026-11-22T13:04:56.000789"),
        ("today", "2026-11-22T00:00:00"),
        ("today-2w", "2026-11-08T00:00:00"),
        ("startOfWeek", "2026-11-16T00:00:00"),
        ("startOfMonth-1mo", "2026-10-01T00:00:00"),
        ("startOfQuarter", "2026-10-01T00:00:00"),
        ("startOfQuarter+1q", "2027-01-01T00:00:00"),
        ("endOfQuarter", "2026-12-31T23:59:59.999999"),
        ("endOfYear-1y", "2025-12-31T23:59:59.999999"),
        ("endOfDay", "2026-11-22T23:59:59.999999"),
    ],
)
def test_form_is_resolved_in_utc(text: str, expected: str) -> None:
    assert is_relative(text)
    assert resolve(text, NOW).replace(tzinfo=None) == datetime.fromisoformat(expected)


def test_month_ends_are_kept_inside_their_month() -> None:
    leap = datetime(2024, 2, 29, tzinfo=UTC)
    assert resolve("now+1y", leap).date().isoformat() == "2025-02-28"
    assert resolve("now-1mo", datetime(2026, 3, 31, tzinfo=UTC)).day == 28


@pytest.mark.parametrize("text", ["", "now-", "now-1", "now 1d", "yesterday", "now-1d\n", "NOW", "now-999999d"])  # fmt: skip # noqa: E501
def test_other_text_is_not_relative(text: str) -> None:
    assert not is_relative(text)
    with pytest.raises(ValueError, match="is not a relative time"):
        resolve(text, NOW)


@pytest.mark.parametrize("text", ["now-99999y", "now+99999w", "today+99999q"])
def test_far_time_is_an_error_not_an_overflow(text: str) -> None:
    with pytest.raises(ValueError, match="200 years"):
        resolve(text, NOW)
