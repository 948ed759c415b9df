"""Reads what answers tell about quotas, in the ways that providers tell it.

Takes a `Response`, gives `QuotaReading`s: pure, so that any connector's `quota` is one of these
functions or a few of them together. A number that makes no sense is left out: a limit that cannot
be read must not stop calls.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from firnline.connectors.limits import DAILY, DAY_S
from firnline.connectors.protocol import Response

CONCURRENCY = "concurrency"

_SFORCE = re.compile(r"\bapi-usage=(\d{1,12})/(\d{1,12})")
_MARKETO_RATE = re.compile(r"rate limit '(\d{1,9})' exceeded with ?in '(\d{1,9})' secs")
_NUMBERS = re.compile(r"([a-z]{1,20})=(\d{1,12})")


@dataclass(frozen=True, slots=True)
class QuotaReading:
    """What an answer says about one budget; None where it does not say.

    `name` is that of a declared budget, or `concurrency`. `remaining` 0 on a refusal names the
    budget that was used up; `resets_in_s` is when it will have room again.
    """

    name: str
    limit: float | None = None
    remaining: float | None = None
    resets_in_s: float | None = None
    window_s: float | None = None


def salesforce_limit_info(response: Response) -> Sequence[QuotaReading]:
    """Read `Sforce-Limit-Info: api-usage=18/5000`: the org's calls of the last 24 hours."""
    found = _SFORCE.search(response.headers.get("sforce-limit-info", ""))
    if found is None:
        return ()
    used, limit = float(found[1]), float(found[2])
    if not limit:
        return ()
    return (QuotaReading(DAILY, limit, max(0.0, limit - used), window_s=DAY_S),)


def rate_limit_headers(response: Response, *, name: str, window_s: float) -> list[QuotaReading]:
    """Read `ratelimit-*` and `X-Rate-Limit*`: limit, remaining, and seconds to the reset."""
    limit = _number(response, "ratelimit-limit", "x-rate-limit", "x-rate-limit-limit")
    remaining = _number(response, "ratelimit-remaining", "x-rate-limit-remaining")
    if limit is None and remaining is None:
        return []
    resets_in_s = _number(response, "ratelimit-reset", "x-rate-limit-reset")
    return [QuotaReading(name, limit, remaining, resets_in_s, window_s)]


def counted_header(response: Response, header: str, *, name: str) -> list[QuotaReading]:
    """Read one header of the form `total=100; remaining=99; resets=41`."""
    said = dict(_NUMBERS.findall(response.headers.get(header, "").lower()))
    if "remaining" not in said:
        return []
    numbers = {key: float(value) for key, value in said.items()}
    total, resets_in_s = numbers.get("total"), numbers.get("resets")
    return [QuotaReading(name, total, numbers["remaining"], resets_in_s)]


def hubspot_quota(
    response: Response, *, rate: str = "ten_secondly", search: str = "search"
) -> Sequence[QuotaReading]:
    """Read HubSpot's headers, and from a 429 which of its policies was broken.

    Search answers carry no headers; `SECONDLY` is the limit on searches alone.
    """
    readings: list[QuotaReading] = []
    limit = _number(response, "x-hubspot-ratelimit-max")
    remaining = _number(response, "x-hubspot-ratelimit-remaining")
    interval_ms = _number(response, "x-hubspot-ratelimit-interval-milliseconds")
    if limit is not None or remaining is not None:
        window_s = None if interval_ms is None else interval_ms / 1000
        readings.append(QuotaReading(rate, limit, remaining, window_s=window_s))
    day = _number(response, "x-hubspot-ratelimit-daily")
    left = _number(response, "x-hubspot-ratelimit-daily-remaining")
    if day is not None or left is not None:
        readings.append(QuotaReading(DAILY, day, left, window_s=DAY_S))
    policy = str(_object(response).get("policyName", "")) if response.status == 429 else ""
    broken = {
        "TEN_SECONDLY_ROLLING": QuotaReading(rate, None, 0.0, 10.0, 10.0),
        "SECONDLY": QuotaReading(search, None, 0.0, 1.0, 1.0),
        "DAILY": QuotaReading(DAILY, None, 0.0, None, DAY_S),
    }.get(policy)
    return [*readings, *([broken] if broken else [])]


def dynamics_quota(
    response: Response, *, requests: str = "requests", execution: str = "execution"
) -> Sequence[QuotaReading]:
    """Read Dataverse's service protection: what is left of 5 minutes, and which limit was broken.

    `x-ms-ratelimit-time-remaining-xrm-requests` is in seconds or written as a span (00:19:59.9).
    """
    code = str(_mapping(_object(response).get("error")).get("code", "")).lower()
    wait_s = response.retry_after_s() if response.status == 429 else None
    broken = {"0x80072322": requests, "0x80072321": execution, "0x80072326": CONCURRENCY}
    if response.status == 429 and code in broken:
        return [QuotaReading(broken[code], None, 0.0, wait_s)]
    left = _number(response, "x-ms-ratelimit-burst-remaining-xrm-requests")
    seconds = _span_s(response.headers.get("x-ms-ratelimit-time-remaining-xrm-requests", ""))
    return [
        *([QuotaReading(requests, None, left, window_s=300.0)] if left is not None else []),
        *([QuotaReading(execution, None, seconds, window_s=300.0)] if seconds is not None else []),
    ]


def marketo_quota(response: Response, *, rate: str = "rate") -> Sequence[QuotaReading]:
    """Read Marketo's refusals, which come inside a 200: 606 rate, 607 day, 615 concurrency."""
    errors = _object(response).get("errors")
    for error in errors if isinstance(errors, list) else ():
        code, said = str(_mapping(error).get("code")), str(_mapping(error).get("message"))
        if code == "606":
            found = _MARKETO_RATE.search(said)
            limit = float(found[1]) if found and float(found[1]) else None
            window_s = float(found[2]) if found and float(found[2]) else 20.0
            # Nothing says when; part of the window has passed as a rule.
            return [QuotaReading(rate, limit, 0.0, window_s / 2, window_s)]
        if code == "607":
            return [QuotaReading(DAILY, None, 0.0, None, DAY_S)]
        if code == "615":
            return [QuotaReading(CONCURRENCY, None, 0.0)]
    return []


def retry_after_quota(
    response: Response, *, rate: str, day_from_s: float = 600.0
) -> Sequence[QuotaReading]:
    """Read a 429 with nothing but `Retry-After` (Gong): a long wait means that the day is used up.

    Raises nothing; a 429 without the header says which budget, not for how long.
    """
    if response.status != 429:
        return []
    wait_s = response.retry_after_s()
    name = DAILY if wait_s is not None and wait_s >= day_from_s else rate
    return [QuotaReading(name, None, 0.0, wait_s)]


def sage_quota(response: Response) -> Sequence[QuotaReading]:
    """Read Sage Intacct's X-IA headers, whose dashes and case differ between versions."""
    plain = {re.sub(r"[-_]", "", name): text for name, text in response.headers.items()}

    def number(name: str) -> float | None:
        return _finite(plain.get(name, ""))

    readings = [
        QuotaReading(
            name,
            number(f"xia{name}ratelimit"),
            number(f"xia{name}ratelimitremaining"),
            number(f"xia{name}ratelimitretryafter"),
            window_s,
        )
        for name, window_s in (("minute", 60.0), ("hour", 3600.0))
    ]
    throttle = QuotaReading(CONCURRENCY, number("xiathrottlelimit"), number("xiathrottleremaining"))
    return [each for each in (*readings, throttle) if (each.limit, each.remaining) != (None, None)]


def _number(response: Response, *names: str) -> float | None:
    for name in names:
        found = _finite(response.headers.get(name, ""))
        if found is not None:
            return found
    return None


def _finite(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _span_s(text: str) -> float | None:
    hours, minutes, seconds = ([0.0, 0.0, *map(_finite, text.split(":"))])[-3:]
    if hours is None or minutes is None or seconds is None:
        return None
    return hours * 3600 + minutes * 60 + seconds


def _object(response: Response) -> Mapping[str, Any]:
    try:
        return _mapping(response.json())
    except ValueError:
        return {}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
