"""Relative dates and times: "now-90d", "today", "startOfQuarter+2w".

Taken by filters of the graph and by `when` mappings of the spec; resolved against the clock when
the plan runs, in UTC.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal

Unit = Literal["min", "h", "d", "w", "mo", "q", "y"]

_FORM = re.compile(
    r"(now|today|startOf(?:Day|Week|Month|Quarter|Year)|endOf(?:Day|Week|Month|Quarter|Year))"
    r"(?:([+-])([0-9]{1,5})(min|h|d|w|mo|q|y))?"
)
_FIXED: Mapping[str, timedelta] = {
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_MONTHS: Mapping[str, int] = {"mo": 1, "q": 3, "y": 12}
_LONGEST = timedelta(days=366 * 200)


def is_relative(text: str) -> bool:
    """Say whether `text` is a relative time."""
    return _FORM.fullmatch(text) is not None


def resolve(text: str, now: datetime) -> datetime:
    """Return the moment that `text` means at `now`; raises ValueError for another form."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError(
            f"{text!r} is not a relative time; use now, today, startOfQuarter... "
            "optionally with an offset such as -90d (min, h, d, w, mo, q, y)"
        )
    anchor, sign, amount, unit = found.groups()
    moment = _anchored(anchor, now)
    if amount is None:
        return moment
    steps = int(amount) * (1 if sign == "+" else -1)
    if unit in _MONTHS:
        return _add_months(moment, steps * _MONTHS[unit])
    shift = _FIXED[unit] * steps
    if abs(shift) > _LONGEST:
        raise ValueError(f"{text!r} reaches further than 200 years")
    return moment + shift


def _anchored(anchor: str, now: datetime) -> datetime:
    if anchor == "now":
        return now
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if anchor == "today":
        return midnight
    if anchor.startswith("startOf"):
        return _start(anchor.removeprefix("startOf"), midnight)
    period = anchor.removeprefix("endOf")
    return _next_start(period, _start(period, midnight)) - timedelta(microseconds=1)


def _start(period: str, midnight: datetime) -> datetime:
    match period:
        case "Week":
            return midnight - timedelta(days=midnight.weekday())
        case "Month":
            return midnight.replace(day=1)
        case "Quarter":
            return midnight.replace(day=1, month=(midnight.month - 1) // 3 * 3 + 1)
        case "Year":
            return midnight.replace(day=1, month=1)
        case _:
            return midnight


def _next_start(period: str, start: datetime) -> datetime:
    if period in ("Day", "Week"):
        return start + timedelta(days=1 if period == "Day" else 7)
    return _add_months(start, {"Month": 1, "Quarter": 3, "Year": 12}[period])


def _add_months(moment: datetime, months: int) -> datetime:
    if abs(months) > 2400:
        raise ValueError("a relative time may reach 200 years at most")
    whole = moment.year * 12 + moment.month - 1 + months
    year, month = divmod(whole, 12)
    day = min(moment.day, calendar.monthrange(year, month + 1)[1])
    return moment.replace(year=year, month=month + 1, day=day)
