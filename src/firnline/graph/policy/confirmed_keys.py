"""Remembers for a short time what sources said about single records.

Takes verdicts with the moment they were asked for; the checks of each request look here before they
ask. Kept apart by tenant, connection, version of the permission records, person and object: nobody
is ever answered with what was said about somebody else, or before rights were synced anew.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

KEYS_MAX = 200_000

Holder = tuple[str, ...]  # tenant, connection, version of rights, person, user key, about what


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the source said of one record; `asked_s` is of the monotonic clock."""

    is_visible: bool
    asked_at: datetime
    asked_s: float


class ConfirmedKeys:
    """Verdicts by whom and what they are about; the least used go first. Safe between threads."""

    def __init__(self, keys_max: int = KEYS_MAX) -> None:
        self._keys_max = keys_max
        self._kept: OrderedDict[Holder, dict[str, Verdict]] = OrderedDict()
        self._count = 0
        self._turn = threading.Lock()

    def __len__(self) -> int:
        """Return how many verdicts are kept."""
        return self._count

    def find(self, holder: Holder, keys: Iterable[str], *, since_s: float) -> dict[str, Verdict]:
        """Return what was said about keys at `since_s` or later."""
        with self._turn:
            kept = self._kept.get(holder)
            if kept is None:
                return {}
            self._kept.move_to_end(holder)
            found = {key: kept[key] for key in keys if key in kept}
        return {key: each for key, each in found.items() if each.asked_s >= since_s}

    def keep(self, holder: Holder, verdicts: Mapping[str, Verdict]) -> None:
        """Remember what was said; newer words replace older ones."""
        with self._turn:
            kept = self._kept.setdefault(holder, {})
            self._kept.move_to_end(holder)
            before = len(kept)
            kept.update(verdicts)
            self._count += len(kept) - before
            while self._count > self._keys_max:
                _, gone = self._kept.popitem(last=False)
                self._count -= len(gone)
