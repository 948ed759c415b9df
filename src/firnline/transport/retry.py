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
from enum import StrEnum

from firnline.connectors.protocol import ErrorClass

ATTEMPTS_MAX = 4
BACKOFF_BASE_S = 0.25
BACKOFF_MAX_S = 8.0
RETRY_AFTER_MIN_S = 1.0
RETRY_AFTER_MAX_S = 900.0


class Wait(StrEnum):
    """How long to wait before a call is sent again."""

    NEVER = "never"  # it is not
    BACKOFF = "backoff"  # longer each time; at least what the answer asks for
    AS_ASKED = "as asked"  # what the answer asks for, and the backoff


WAITS: Mapping[ErrorClass, Wait] = {
    ErrorClass.TRANSIENT: Wait.BACKOFF,
    ErrorClass.RATE_LIMITED: Wait.AS_ASKED,
    # The channel renews the authorisation once; here the same token would be refused again.
    ErrorClass.AUTH_INVALIDATED: Wait.NEVER,
    ErrorClass.FORBIDDEN: Wait.NEVER,
    ErrorClass.NOT_FOUND: Wait.NEVER,
    ErrorClass.INVALID: Wait.NEVER,
    ErrorClass.CONFLICT: Wait.NEVER,
    ErrorClass.CURSOR_GONE: Wait.NEVER,
    ErrorClass.SCHEMA_DRIFT: Wait.NEVER,
    ErrorClass.UNKNOWN: Wait.NEVER,
}


def wait_before_repeating(
    error_class: ErrorClass, *, repeatable: bool, had_no_effect: bool
) -> Wait:
    """Say whether a failed call is sent again.

    `had_no_effect` says that nothing of the request left, or that the provider refused it whole.
    Without it, a call that is not repeatable is never sent again: its outcome is unknown.
    """
    return WAITS[error_class] if repeatable or had_no_effect else Wait.NEVER


def wait_s(wait: Wait, asked_s: float | None, backoff: float) -> float:
    """Return the seconds to wait; `asked_s` is what the answer asked for, if anything."""
    if wait is Wait.AS_ASKED:
        return (RETRY_AFTER_MIN_S if asked_s is None else asked_s) + backoff
    return max(asked_s or 0.0, backoff)


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
