"""What the builder's policy says of one object to one principal, beside the source's own rights.

The graph binds the spec's policy to a verified principal; scans receive the result through
`Decisions`. A ruling can only take away: rows are and-ed to what the source shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Ruling:
    """The builder's policy for one object, with the principal's facts in place.

    `denied` says why nothing of the object may be seen, empty where something may. `rows` are the
    conditions that records must meet; `reads` names the (connection, object) pairs whose records
    decide them. `is_timeless` is false where they change with the clock.
    """

    denied: str = ""
    rows: Mapping[str, Any] = field(default_factory=dict, repr=False)
    reads: frozenset[tuple[str, str]] = frozenset()
    is_timeless: bool = True

    @property
    def facts(self) -> tuple[str, str]:
        """Return all that tells the ruling from those for others."""
        return self.denied, repr(self.rows)


UNRULED = Ruling()
EVERYTHING_DENIED = Ruling(denied="the builder's policy was not applied")
