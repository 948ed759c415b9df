"""When a call is sent again, and after how long. Pure: the transport does the waiting.

An explicit loop over these functions rather than stamina or tenacity: the wait is decided by the
answer (`Retry-After`, a connector's verdict) as well as by errors, must never outlast the call's
deadline, and has to run on the replaceable clock.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

ATTEMPTS_MAX = 4
BACKOFF_BASE_S = 0.25
BACKOFF_MAX_S = 8.0
RETRY_AFTER_MIN_S = 1.0
RETRY_AFTER_MAX_S = 900.0


def backoff_s(attempt: int, draw: float) -> float:
    """Return the full-jitter wait after `attempt` (1, 2...); `draw` is uniform in 0..1."""
    return draw * min(BACKOFF_MAX_S, BACKOFF_BASE_S * 2.0 ** (attempt - 1))


def clamp_retry_after(seconds: float) -> float:
    """Return a provider's wait within reason: absurd and negative ones are cut to the limits."""
    if math.isnan(seconds):
        return RETRY_AFTER_MIN_S
    return min(RETRY_AFTER_MAX_S, max(RETRY_AFTER_MIN_S, seconds))


def parse_retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the clamped wait that `Retry-After` asks for, in seconds or as a date."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        return clamp_retry_after(float(text))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=now.tzinfo)
    return clamp_retry_after((moment - now).total_seconds())
