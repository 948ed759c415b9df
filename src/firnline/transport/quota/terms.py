"""The terms on which calls are booked: what a budget's window is, and what is kept for whom.

Takes a connection's allowance and the installation's shares; the governor makes `Lane`s of the
budgets that apply to a call, the ledger books on their `Term`s.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from zoneinfo import ZoneInfo

from firnline.connectors.limits import DAILY, RateLimit
from firnline.transport.call import Use
from firnline.transport.quota.allowance import Allowance

COUNTED_FROM_S = 600.0  # longer windows are counted, not paced: a day's calls may go at once
WRITE_RESERVE = 20  # percent kept from syncs for writes, while there are any

# What calls count against that no limit is known of: a refusal without a name blocks it.
NO_LIMIT = 1_000_000_000
UNCOUNTED = RateLimit(name="calls", calls=NO_LIMIT, per_s=COUNTED_FROM_S)

# A call arrives later than it was sent, some by more than others: without room for that, the last
# calls of one window would meet the first ones of the window before at the provider.
_MARGIN_SHARE = 0.06
_MARGIN_MAX_S = 0.4
_MARGIN_COUNTED_S = 10.0
_WASTE_SHARE = 0.02  # of a window


@dataclass(frozen=True)
class Shares:
    """How the quota is divided between uses, in percent."""

    interactive_reserve: int = 20
    sync_daily_max: int = 80


@dataclass(frozen=True)
class Term:
    """One budget as a call meets it. `key` names the ledger that it is kept in."""

    key: str
    budget: RateLimit
    shares: Shares

    @property
    def name(self) -> str:
        """Return what the budget is called."""
        return self.budget.name

    @cached_property
    def is_counted(self) -> bool:
        """Whether calls may go at once, up to the limit of a long window."""
        return self.budget.per_s >= COUNTED_FROM_S

    @cached_property
    def margin_s(self) -> float:
        """How much longer than the provider's its window is taken to be."""
        if self.is_counted:
            return _MARGIN_COUNTED_S
        return min(_MARGIN_MAX_S, self.budget.per_s * _MARGIN_SHARE)

    @property
    def span_s(self) -> float:
        """How long a call counts."""
        return self.budget.per_s + self.margin_s

    @property
    def grace_s(self) -> float:
        """How much later than booked a call may go out; the rest of the margin is the network's."""
        return self.margin_s * 0.6

    def gone_at(self, at: float) -> float:
        """Return when a call of the moment `at` does not count any more."""
        if self.budget.resets == "rolling":
            return at + self.span_s
        return next_reset(self.budget.resets, at // 60 * 60)

    def kept_from(self, use: Use, limit: float, *, lately: frozenset[Use]) -> float:
        """Return how many calls of the window are kept from `use`, for those seen lately."""
        if use is Use.INTERACTIVE:
            return 0.0
        if self.name == DAILY:
            return limit * (100 - self.shares.sync_daily_max) / 100 if use is Use.SYNC else 0.0
        kept = 0
        if Use.INTERACTIVE in lately:
            kept = int(limit * self.shares.interactive_reserve / 100)
        if use is Use.SYNC and Use.WRITE in lately:
            kept += int(limit * WRITE_RESERVE / 100)
        return float(min(kept, max(0.0, limit - 1)))


@dataclass(frozen=True, eq=False)
class Lane:
    """The budgets that a call counts against; the same object for all calls of its kind."""

    terms: tuple[Term, ...]

    @cached_property
    def grace_s(self) -> float:
        """How much later than booked a call may go out."""
        return min(term.grace_s for term in self.terms)

    @cached_property
    def waste_max(self) -> int:
        """How many slots may be booked for calls that are only expected."""
        return min(int(term.budget.calls * _WASTE_SHARE) for term in self.terms)

    @cached_property
    def rate(self) -> float:
        """How many calls a second its budgets allow in the long run."""
        paced = [term for term in self.terms if term.budget.unit == "calls"]
        return min((term.budget.calls / term.span_s for term in paced), default=math.inf)


def lane_of(
    allowance: Allowance, account: str, budgets: Sequence[RateLimit], *, shares: Shares
) -> Lane:
    """Return the lane of calls that count against `budgets`."""
    own = Shares(
        _chosen(allowance.interactive_reserve, shares.interactive_reserve),
        _chosen(allowance.sync_daily_max, shares.sync_daily_max),
    )
    return Lane(
        tuple(
            Term(user_key(account, allowance) if budget.per == "user" else account, budget, own)
            for budget in budgets or [UNCOUNTED]
        )
    )


def user_key(account: str, allowance: Allowance) -> str:
    """Return the ledger of a user's own limits."""
    return f"{account} {allowance.user}"


@lru_cache(maxsize=4096)
def next_reset(resets: str, at: float) -> float:
    """Return the first moment after `at`, a full minute, that is the time of day in its zone."""
    clock, _, zone = resets.partition(" ")
    hour, minute = map(int, clock.split(":"))
    local = datetime.fromtimestamp(at, ZoneInfo(zone or "UTC"))
    reset = local.replace(hour=hour, minute=minute, second=0, microsecond=0)
    if reset.astimezone(UTC) <= local.astimezone(UTC):
        reset = reset + timedelta(days=1)
    return reset.timestamp()


def _chosen(own: int | None, installation: int) -> int:
    return installation if own is None else own
