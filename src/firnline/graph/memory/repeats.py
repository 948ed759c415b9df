"""Whether a kept answer may be given again, looked at without the question being read again.

Takes a kept answer with all that has to stay as it is; whoever remembers the exact request receives
the answer's content, or the word that the request must be asked anew.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime

from firnline.cache.database import TenantDatabase
from firnline.clock import Clock
from firnline.graph.freshness import Freshness, KnownFreshness
from firnline.graph.memory.kept_answers import KeptAnswer, KeptAnswers
from firnline.graph.shape import TenantGraph


@dataclass(frozen=True, slots=True)
class Repeat:
    """One kept answer, as one person may have it: with the rights and the data of that moment."""

    slot: Hashable
    kept: KeptAnswer
    among: KeptAnswers
    graph: TenantGraph
    is_of_today: Callable[[TenantGraph], bool]
    known_freshness: KnownFreshness
    freshness: Freshness  # that the answer tells
    database: TenantDatabase
    generation: int  # of the database: no commit came in between
    valid_until: datetime | None  # of the rights
    clock: Clock

    def content(self) -> bytes | None:
        """Return `data` as JSON, None where anything that made the answer may have changed.

        Rights and data come from the cache, so whatever could change either is a commit, a new
        graph, or time.
        """
        if self.database.generation != self.generation or self.database.has_moved_on:
            return None
        if not self.is_of_today(self.graph):
            return None
        if self.known_freshness.of(self.database) is not self.freshness:
            return None
        if self.valid_until is not None and self.clock.now() > self.valid_until:
            return None
        return self.kept.content if self.among.holds(self.slot, self.kept) else None
