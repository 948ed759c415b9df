"""Answers kept until what they were made from changes, and questions asked at the same time.

Takes answers with all that they depend on; respond gives them again to the same person for the same
question while every object they read, or that decided what the person sees, is in the same data
version. Answers that depend on the clock are not kept.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson

from firnline.access.model import objects_of
from firnline.graph.policy.binding import ruling_reads
from firnline.graph.request import AccessNote, GraphContext
from firnline.recent import Recent

T = TypeVar("T")
Versions = Mapping[tuple[str, str], int]
_OVERHEAD_BYTES = 1_000  # of an entry beside its content
_SHARE_MAX = 8  # an answer may take an eighth of the budget


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """`data` as JSON, and what it was made from."""

    content: bytes
    notes: Mapping[tuple[str, str], AccessNote]
    objects_read: frozenset[tuple[str, str]]
    versions: Versions
    records: int

    @property
    def nbytes(self) -> int:
        """Return about how much memory it holds."""
        return len(self.content) + _OVERHEAD_BYTES


class KeptAnswers:
    """Answers by question, within a memory budget; 0 keeps none. The least used go first."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._kept: Recent[Hashable, KeptAnswer] = Recent(budget_bytes)

    @property
    def is_on(self) -> bool:
        """Say whether answers are kept at all."""
        return self._budget_bytes > 0

    @property
    def nbytes(self) -> int:
        """Return the memory held."""
        return self._kept.weight

    def get(self, slot: Hashable, versions: Versions) -> KeptAnswer | None:
        """Return the answer to a question, unless what it was made from has changed since."""
        kept = self._kept.get(slot)
        if kept is None:
            return None
        for name, version in kept.versions.items():
            if versions.get(name) != version:
                self._kept.drop(slot)
                return None
        return kept

    def holds(self, slot: Hashable, kept: KeptAnswer) -> bool:
        """Say whether an answer that was found before is still kept; that is a use of it."""
        return self._kept.get(slot) is kept

    def put(
        self, slot: Hashable, content: bytes, context: GraphContext, versions: Versions
    ) -> None:
        """Keep an answer, where it stays true until data changes."""
        if not self.is_on or not context.is_timeless:
            return
        kept = KeptAnswer(
            content,
            dict(context.notes),
            frozenset(context.objects_read),
            {name: versions[name] for name in _depended_on(context) if name in versions},
            context.records,
        )
        if kept.nbytes * _SHARE_MAX > self._budget_bytes:
            return
        self._kept.put(slot, kept, kept.nbytes)


def _depended_on(context: GraphContext) -> set[tuple[str, str]]:
    """Return the objects whose records made an answer, or decided what the person may see of it."""
    found = set(context.objects_read)
    for connection, name in context.objects_read:
        rule = context.decisions.object(connection, name).rows
        found |= {(connection, other) for other in objects_of(rule)}
    return found | set(ruling_reads(context.graph, context.decisions, context.objects_read))


def question_key(variables: Mapping[str, Any] | None) -> bytes | None:
    """Return variables in one form, None for values that did not come from JSON."""
    if not variables:
        return b""
    try:
        return orjson.dumps(variables, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return None
