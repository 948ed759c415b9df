"""Spans of time as the spec writes them: a whole number of seconds, minutes, hours or days.

Takes texts that the models checked; effective and access receive time spans.
"""

from __future__ import annotations

from datetime import timedelta

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def duration(text: str) -> timedelta:
    """Return the span that a text such as `30s`, `15m`, `24h` or `7d` stands for."""
    return timedelta(**{_UNITS[text[-1]]: int(text[:-1])})


def shorter(one: str | None, other: str | None) -> str | None:
    """Return the shorter of two spans; None is no limit."""
    if one is None or other is None:
        return one or other
    return min(one, other, key=duration)
