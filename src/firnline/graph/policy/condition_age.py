"""Whether records that the builder's conditions look at are young enough to decide anything.

Takes the limits that policies state and when each object was last read whole; binding refuses what
depends on records that are too old, and says until when the others decide. The limit is that of the
object whose rows or fields are decided, and of each object that conditions lead to, the shortest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from firnline.graph.policy.facts import UnboundError
from firnline.graph.policy.permission_age import Stamps, readable_stamp
from firnline.spec.durations import duration


@dataclass(slots=True)
class ConditionAges:
    """Judges the age of one person's conditions at `now`; `ends` is when that changes."""

    tenant: str
    stamps: Stamps | None  # None: there is nothing to be old
    now: datetime
    ends: list[datetime] = field(default_factory=list)

    @property
    def valid_until(self) -> datetime | None:
        """Return until when nothing changes by time; None: ever."""
        return min(self.ends, default=None)

    def require(self, connection: str, object_name: str, limit: str | None) -> None:
        """Raise UnboundError where records are older than a limit; no limit requires nothing."""
        if limit is None or self.stamps is None:
            return
        stamp = readable_stamp(self.stamps.get((connection, object_name)), self.now)
        if stamp is not None and self.now - stamp <= duration(limit):
            self.ends.append(stamp + duration(limit))
            return
        raise UnboundError(
            f"depends on records of {connection} that {_state(stamp)}, and may be {limit} old:"
            f" run `firnline sync {self.tenant} --connection {connection}`"
        )


def _state(stamp: datetime | None) -> str:
    if stamp is None:
        return "were not all read whole yet"
    text = stamp.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return f"are of {text}"
