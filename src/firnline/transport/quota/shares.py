"""How many calls at a time each process may have under way to one account.

Takes what processes want and use; gives each its share, so that the shares never add up to more
than the provider allows. Pure; the ledger keeps it between processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

SHARE_TTL_S = 10.0  # a process that says nothing for so long is gone, and its share is free
_LOWERED_TO = 0.7
_LOWERED_ONCE_S = 2.0  # refusals of one moment lower the limit once
_RAISED_EVERY_S = 60.0


@dataclass(slots=True)
class _Share:
    granted: int
    wanted: int
    expires_at: float
    since: float  # granted nothing: waiting since; else: granted something since


@dataclass(slots=True)
class ShareBook:
    """The shares of one account. `lowered` is what refusals made of the limit."""

    shares: dict[str, _Share] = field(default_factory=dict)
    lowered: int | None = None
    lowered_at: float = 0.0

    def limit(self, most: int, now: float) -> int:
        """Return how many calls at a time are allowed: lowered by refusals, raised by time."""
        if self.lowered is None:
            return most
        raised = self.lowered + int(max(0.0, now - self.lowered_at) // _RAISED_EVERY_S)
        return max(1, min(most, raised))

    def lower(self, most: int, now: float) -> None:
        """Take note that the provider found too many calls at a time."""
        if self.lowered is not None and 0 <= now - self.lowered_at < _LOWERED_ONCE_S:
            return
        limit = self.limit(most, now)
        self.lowered = max(1, min(limit - 1, int(limit * _LOWERED_TO)))
        self.lowered_at = now

    def claim(self, holder: str, *, wanted: int, in_use: int, most: int, now: float) -> int:
        """Return how many calls `holder` may have under way until it claims again.

        Others' shares are left as they are: who has more than is fair gives it up when it claims
        next, and so a newcomer waits until then.
        """
        self._forget(now)
        limit = self.limit(most, now)
        if not wanted and not in_use:
            self.shares.pop(holder, None)
            return 0
        mine = self.shares.get(holder) or _Share(0, 0, 0.0, now)
        self.shares[holder] = mine
        mine.wanted, mine.expires_at = max(wanted, in_use), now + SHARE_TTL_S
        others = sum(each.granted for name, each in self.shares.items() if name != holder)
        granted = max(in_use, min(self._fair(holder, limit), limit - others), 0)
        if bool(granted) != bool(mine.granted):
            mine.since = now
        mine.granted = granted
        return granted

    def granted(self, now: float) -> int:
        """Return how many calls all processes may have under way."""
        return sum(each.granted for each in self.shares.values() if each.expires_at > now)

    def holders(self, now: float) -> int:
        """Return how many processes have a share or wait for one."""
        return sum(1 for each in self.shares.values() if each.expires_at > now)

    def as_json(self) -> dict[str, Any]:
        """Return what the ledger stores."""
        shares = {
            name: [each.granted, each.wanted, each.expires_at, each.since]
            for name, each in self.shares.items()
        }
        return {"shares": shares, "lowered": self.lowered, "lowered_at": self.lowered_at}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Return what `as_json` gave."""
        shares = {name: _Share(*each) for name, each in stored["shares"].items()}
        return cls(**{**stored, "shares": shares})

    def _forget(self, now: float) -> None:
        # The second bound is for a clock that stepped back.
        self.shares = {
            name: each
            for name, each in self.shares.items()
            if now < each.expires_at <= now + 2 * SHARE_TTL_S
        }

    def _fair(self, holder: str, limit: int) -> int:
        """Return the holder's part: nobody gets more than it wants before all have what they want.

        Who has waited longest comes first, so that with more processes than places each has turns.
        """
        order = sorted(
            self.shares,
            key=lambda name: (
                self.shares[name].granted > 0,
                self.shares[name].since * (-1 if self.shares[name].granted else 1),
                name,
            ),
        )
        parts = dict.fromkeys(order, 0)
        left = limit
        while left and (short := [n for n in order if parts[n] < self.shares[n].wanted]):
            for name in short[:left]:
                parts[name] += 1
            left -= len(short[:left])
        # What nobody wants now saves asking again; one place stays free for who comes next.
        spare = max(0, left - 1) // len(order)
        return parts[holder] + spare
