"""One budget's account: which calls count in its window, and when the next one may go out.

Takes bookings, refusals and readings on the shared clock (seconds since the epoch); the ledger
keeps it between processes. Pure: nothing here waits or stores.

A booking is allowed when the window that it falls into stays within the limit, so the provider's
own window, sliding or fixed, is never over it. Half of a window's calls may go at once; beyond
that, and in short windows always, those nobody waits for are spaced evenly.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from firnline.transport.call import Use
from firnline.transport.quota.terms import NO_LIMIT, Term

_GROUPS = 64  # of calls in one window: those that are near each other are counted together
_HEAPED_FROM_S = 5.0  # a heap of calls takes its time to arrive, and shorter windows have none
_HEAPED = 0.5  # of the window
_PACE = 0.9
_DRIFT_SHARE = 0.05  # readings run behind our count by what is under way
_DRIFT_CALLS = 2.0
_BLOCK_MIN_S = 1.0
_BLOCK_MAX_S = 900.0
_STRIKES_MAX = 6
_SLACK_MAX = 2
_SLACK_SHARE = 0.25  # of the margin
_RECENT_S = 60.0

USES = (Use.INTERACTIVE, Use.WRITE, Use.SYNC)
_RANK = {use: rank for rank, use in enumerate(USES)}


@dataclass(order=True, slots=True)
class _Group:
    """Calls near each other. `last` decides when they stop counting, so that none does early."""

    last: float
    first: float
    counts: list[float]


@dataclass(slots=True)
class BudgetBook:
    """What is known about one budget over all processes.

    `foreign` are calls that the provider counts and we did not make, until `foreign_until`.
    `slack` widens the window's margin: refusals that our count does not explain raise it, as calls
    then arrive less evenly than they are sent.
    """

    groups: list[_Group] = field(default_factory=list)
    paced_at: float = 0.0
    blocked_until: float = 0.0
    strikes: int = 0
    slack: int = 0
    stated: float | None = None
    foreign: float = 0.0
    foreign_until: float = 0.0

    # -- bookings -------------------------------------------------------------------------------

    def limit(self, term: Term) -> float:
        """Return the limit that holds: the provider's own word, within the tenant's."""
        declared = float(term.budget.calls)
        if self.stated is None:
            return declared
        return min(self.stated, declared) if term.budget.firm else self.stated

    def used(self, term: Term, now: float) -> float:
        """Return how much of the window is used."""
        return max(0.0, sum(self._counts(term, now)) + self._foreign(now))

    def earliest(
        self, term: Term, use: Use, now: float, *, lately: frozenset[Use] = frozenset()
    ) -> float:
        """Return when a call may go out: `now` or later, infinity for never."""
        limit = self.limit(term)
        at = max(now, self.blocked_until)
        if use is not Use.INTERACTIVE and self._is_paced(term, at, limit):
            at = max(at, self.paced_at)
        for _ in range(2):  # once more, as `foreign` may end meanwhile
            at = max(at, self._room_at(term, use, at, limit, lately))
        return at

    def take(self, term: Term, use: Use, at: float, *, cost: float = 1.0) -> None:
        """Book a call, or the seconds that one took."""
        counts = [0.0, 0.0, 0.0]
        counts[_RANK[use]] = cost
        near_s = term.span_s / _GROUPS
        for group in reversed(self.groups):
            if abs(at - group.first) <= near_s and abs(at - group.last) <= near_s:
                group.last = max(group.last, at)
                group.first = min(group.first, at)
                group.counts = [a + b for a, b in zip(group.counts, counts, strict=True)]
                self.groups.sort()
                break
            if group.last < at - near_s:
                insort(self.groups, _Group(at, at, counts))
                break
        else:
            insort(self.groups, _Group(at, at, counts))
        if use is not Use.INTERACTIVE:
            # A little faster than the limit, which the window itself keeps: what is spaced at
            # exactly its pace never makes up for a moment that was lost.
            self.paced_at = at + _PACE * term.budget.per_s / max(1.0, self.limit(term))

    def give_back(self, use: Use, at: float) -> None:
        """Take back a booking that no call was sent for."""
        rank = _RANK[use]
        for group in self.groups:
            if group.first <= at <= group.last and group.counts[rank] >= 1:
                group.counts[rank] -= 1
                return

    def forget(self, term: Term, now: float) -> None:
        """Drop what does not count any more; cut what a clock that stepped back left ahead."""
        ahead = now + term.span_s
        self.groups = [
            group
            for group in self.groups
            if group.first <= ahead and any(group.counts) and self._gone_at(term, group) > now
        ]
        self.paced_at = min(self.paced_at, ahead)
        self.blocked_until = min(self.blocked_until, now + max(_BLOCK_MAX_S, term.span_s))
        if self._foreign(now) == 0:
            self.foreign = self.foreign_until = 0.0
        if self.slack and now > self.blocked_until + term.budget.per_s + _RECENT_S:
            self.slack = 0

    def oldest(self) -> list[float]:
        """Return the moments from which calls count, the first to stop counting first."""
        return [group.last for group in self.groups]

    # -- what answers tell ----------------------------------------------------------------------

    def block(self, term: Term, now: float, wait_s: float | None) -> None:
        """Let nobody book until a refusal is over: as long as it says, or longer each time."""
        if now < self.blocked_until:
            if wait_s is not None:
                self.blocked_until = max(self.blocked_until, now + wait_s)
            return
        recent = now - self.blocked_until < term.budget.per_s + _RECENT_S
        self.strikes = min(_STRIKES_MAX, self.strikes + 1) if recent else 1
        if self.foreign <= 0 and self.strikes > 1:  # one alone may be the first second's
            self.slack = min(_SLACK_MAX, self.slack + 1)
        if wait_s is None:
            wait_s = min(_BLOCK_MAX_S, _BLOCK_MIN_S * 2.0 ** (self.strikes - 1))
        self.blocked_until = now + wait_s

    def correct(
        self,
        term: Term,
        now: float,
        *,
        limit: float | None,
        remaining: float | None,
        resets_in_s: float | None,
    ) -> None:
        """Take over what the provider counts, where it differs from our count by more than noise.

        `now` is when the answer came.
        """
        if limit is not None and limit >= 1:
            self.stated = limit
        if remaining is None:
            return
        limit = self.limit(term) if self.stated is None else self.stated
        if limit >= NO_LIMIT:  # of an unknown number nobody can tell how much is used
            return
        own = sum(self._counts(term, now))
        foreign = limit - remaining - own
        noise = max(_DRIFT_CALLS, limit * _DRIFT_SHARE if not term.is_counted else 0.0)
        fewer_count = term.is_counted and term.budget.unit == "calls"
        if foreign > noise or (fewer_count and foreign < -noise):
            self.foreign = max(foreign, -own)
            lasts_s = term.span_s if resets_in_s is None else resets_in_s
            self.foreign_until = now + lasts_s
        elif foreign <= 0 or term.is_counted:
            self.foreign = self.foreign_until = 0.0
        if remaining <= 0 and resets_in_s:
            self.blocked_until = max(self.blocked_until, now + resets_in_s)

    # -- storing --------------------------------------------------------------------------------

    def as_json(self) -> dict[str, Any]:
        """Return what the ledger stores."""
        return {
            "groups": [[each.last, each.first, *each.counts] for each in self.groups],
            "paced_at": self.paced_at,
            "blocked_until": self.blocked_until,
            "strikes": self.strikes,
            "slack": self.slack,
            "stated": self.stated,
            "foreign": self.foreign,
            "foreign_until": self.foreign_until,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Return what `as_json` gave."""
        groups = [_Group(last, first, counts) for last, first, *counts in stored["groups"]]
        return cls(**{**stored, "groups": groups})

    def _gone_at(self, term: Term, group: _Group) -> float:
        return term.gone_at(group.last) + self.slack * _SLACK_SHARE * term.margin_s

    def _counts(self, term: Term, now: float) -> list[float]:
        """Return what counts at `now` by use; what is booked ahead counts as well."""
        sums = [0.0, 0.0, 0.0]
        for group in self.groups:
            if self._gone_at(term, group) > now:
                sums = [a + b for a, b in zip(sums, group.counts, strict=True)]
        return sums

    def _foreign(self, now: float) -> float:
        return self.foreign if now < self.foreign_until else 0.0

    def _is_paced(self, term: Term, at: float, limit: float) -> bool:
        if term.is_counted or term.budget.unit != "calls":
            return False
        return term.budget.per_s < _HEAPED_FROM_S or self.used(term, at) >= limit * _HEAPED

    def _room_at(
        self, term: Term, use: Use, at: float, limit: float, lately: frozenset[Use]
    ) -> float:
        """Return when the window has room for one more of `use`: `at` or later."""
        kept = term.kept_from(use, limit, lately=lately)
        # Interactive calls fill what is kept for them first; the day's cap is on everything.
        ranks = range(3) if use is Use.INTERACTIVE or term.is_counted else range(1, 3)
        bounds = [(range(3), limit), (ranks, limit - kept)]
        return max(self._below(term, at, among, most) for among, most in bounds)

    def _below(self, term: Term, at: float, ranks: range, most: float) -> float:
        cost = 1.0 if term.budget.unit == "calls" else 0.0
        foreign = self._foreign(at)
        excess = sum(self._counts(term, at)[rank] for rank in ranks) + foreign + cost - most
        if excess < 0 or (excess == 0 and cost):
            return at
        for group in self.groups:
            gone_at = self._gone_at(term, group)
            if gone_at <= at:
                continue
            excess -= sum(group.counts[rank] for rank in ranks)
            if excess < 0 or (excess <= 0 and cost):
                return min(gone_at, self.foreign_until) if foreign > 0 else gone_at
        return self.foreign_until if foreign > 0 else math.inf
