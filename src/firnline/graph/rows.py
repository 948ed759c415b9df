"""Rows: what a statement gave, column by column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Rows:
    """Columns of one answer of the cache, all of one length."""

    columns: Mapping[str, list[Any]]
    count: int

    def take(self, positions: Sequence[int]) -> Rows:
        """Return the rows at `positions`, in that order."""
        taken = {
            name: [values[position] for position in positions]
            for name, values in self.columns.items()
        }
        return Rows(taken, len(positions))
