"""Drawing by seed: streams, shares of a total and points in time.

Only operations that give the same bits on every machine are used (no logarithms or powers), so
that one seed is one world everywhere.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

DAY_S = 86_400


def stream(tenant: str, seed: int, topic: str) -> random.Random:
    """Return the random numbers of one topic; topics do not disturb one another."""
    # Plausible data, not secrets; text seeds are hashed the same way in every process.
    return random.Random(f"{tenant}:{seed}:{topic}")  # noqa: S311


def allot(weights: Sequence[float], total: int, least: Sequence[int] | None = None) -> list[int]:
    """Split `total` by `weights` into whole parts that add up to it, none under its `least`."""
    floors = list(least) if least is not None else [0] * len(weights)
    free = max(total - sum(floors), 0)
    whole = sum(weights)
    if whole <= 0:
        return floors
    exact = [weight * free / whole for weight in weights]
    parts = [int(share) for share in exact]
    # What rounding down left over goes to the largest remainders, the earlier first among equals.
    order = sorted(range(len(parts)), key=lambda place: (parts[place] - exact[place], place))
    for place in order[: free - sum(parts)]:
        parts[place] += 1
    return [part + floor for part, floor in zip(parts, floors, strict=True)]


def stamp(seconds: int) -> datetime:
    """Return an epoch second as an aware UTC time."""
    return datetime.fromtimestamp(seconds, UTC)


@dataclass(frozen=True, slots=True)
class Stamps:
    """Draws creation and modification times of one kind of record, in epoch seconds.

    Some records share a stamp exactly, as bulk imports and mass updates leave behind: paging that
    follows a modification time must survive that.
    """

    rng: random.Random
    now_s: int
    imports_s: tuple[int, ...] = ()
    mass_updates_s: tuple[int, ...] = ()
    mass_share: float = 0.08

    def created(self, after_s: int, before_s: int) -> int:
        """Return a creation time in the open span, or the moment of an import that lies in it."""
        before_s = min(before_s, self.now_s)
        if before_s <= after_s:
            return before_s
        if self.imports_s and self.rng.random() < self.mass_share:
            moment = self.imports_s[int(self.rng.random() * len(self.imports_s))]
            if after_s <= moment <= before_s:
                return moment
        return after_s + int(self.rng.random() * (before_s - after_s))

    def updated(self, created_s: int, until_s: int) -> int:
        """Return a modification time from `created_s` to `until_s`, never after now."""
        if self.mass_updates_s and self.rng.random() < self.mass_share:
            moment = self.mass_updates_s[int(self.rng.random() * len(self.mass_updates_s))]
            if created_s <= moment:
                return moment
        until_s = min(max(until_s, created_s), self.now_s)
        return created_s + int(self.rng.random() * (until_s - created_s + 1))
