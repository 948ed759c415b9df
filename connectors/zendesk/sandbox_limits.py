"""Rate limits of the sandbox and the faults that a test puts in the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .sandbox_wire import ApiError

PLANS = {"team": 200, "growth": 400, "professional": 400, "enterprise": 700}
HIGH_VOLUME = 2500
EXPORTS, EXPORTS_HIGH_VOLUME = 10, 30
SEARCH_EXPORTS = 100
DELETED_TICKETS = 10
LISTS = ("tickets", "users", "organizations")
MESSAGE = "Number of allowed API requests per minute exceeded"


@dataclass(slots=True)
class Fault:
    """An answer given in place of the real one, `times` times, to paths that contain `path`."""

    path: str
    times: int = 1
    status: int = 500
    body: Any = field(default_factory=lambda: {"status": 500, "error": "Internal Server Error"})
    headers: Mapping[str, str] = field(default_factory=dict)


class Limits:
    """Counts requests of the account by the minute. Off: counts nothing, says nothing."""

    def __init__(
        self, *, on: bool, switches: Mapping[str, Any], clock: Callable[[], float]
    ) -> None:
        self._on = on
        self._clock = clock
        self._json = bool(switches.get("json_rate_limit", False))
        high_volume = bool(switches.get("high_volume", False))
        plan = str(switches.get("plan", "enterprise"))
        self.account = HIGH_VOLUME if high_volume else PLANS[plan]
        self.exports = EXPORTS_HIGH_VOLUME if high_volume else EXPORTS
        self._minute = -1
        self._used: dict[str, int] = {}

    def spend(self, path: str) -> dict[str, str]:
        """Count one request and return the headers that tell; raises the vendor's 429."""
        if not self._on:
            return {}
        now = self._clock()
        if int(now // 60) != self._minute:
            self._minute, self._used = int(now // 60), {}
        resets = 60 - int(now % 60)
        remaining = self._take("account", self.account, resets)
        headers = {"X-Rate-Limit": str(self.account), "X-Rate-Limit-Remaining": str(remaining)}
        for prefix, name, most in (
            ("incremental/", "exports", self.exports),
            ("search/export", "search_export", SEARCH_EXPORTS),
            ("deleted_tickets", "deleted_tickets", DELETED_TICKETS),
        ):
            if path.startswith(prefix):
                self._take(name, most, resets)
        if path in LISTS:
            headers |= {
                "ratelimit-limit": str(self.account),
                "ratelimit-remaining": str(remaining),
                "ratelimit-reset": str(resets),
            }
        return headers

    def _take(self, name: str, most: int, resets: int) -> int:
        used = self._used.get(name, 0) + 1
        self._used[name] = used
        if used > most:
            body: Any = MESSAGE
            if self._json:
                body = {"error": "APIRateLimitExceeded", "description": MESSAGE}
            raise ApiError(429, body, {"Retry-After": str(resets)})
        return most - used
