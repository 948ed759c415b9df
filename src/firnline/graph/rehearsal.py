"""Rehearses operations: plans what would be asked, and loads nothing of it.

Takes a document and the rights to plan it with; publishing receives what stands in its way and what
it costs, and respond the levels that columns in memory will answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from firnline.cache.query import Select
from firnline.cache.render import render
from firnline.graph.execution import Execution
from firnline.graph.loader import Loader
from firnline.graph.memory.compiled import levels_of
from firnline.graph.memory.levels import Level, RecordLevel, level_of, record_level_of
from firnline.graph.plan import Child, Fork, ListPlan, RecordPlan, RecordSelection

_KEYS = ("",)  # of parents: what is asked of them is the same for any


class RehearsedLoader(Loader):
    """A loader that asks nobody: it renders each statement and gives nothing."""

    def connection(self, plan: ListPlan) -> Any:
        """Return nothing of a root connection."""
        _render(plan, None)
        self.answered = level_of(plan)

    def record(self, plan: RecordPlan) -> Any:
        """Return nothing of a record."""
        _render(plan, None)
        self.answered = record_level_of(plan)

    def records(self, plan: RecordPlan, keys: Sequence[str]) -> list[Any]:
        """Return nothing for each key."""
        _render(plan, _KEYS)
        return [None] * len(keys)


class Rehearsal(Execution):
    """Plans the root fields of one operation; `roots` and cost are those of asking it."""

    loader_type = RehearsedLoader

    @property
    def is_told_cost(self) -> bool:
        """Say that somebody looks at the estimate."""
        return True

    @property
    def levels(self) -> list[Level | RecordLevel]:
        """Return the levels that columns in memory can answer."""
        roots = [root for root in self.roots.values() if root is not None]
        return [level for root in roots for level in levels_of(root)]


def _render(plan: ListPlan | RecordPlan, keys: Sequence[str] | None) -> None:
    for select in _selects(plan):
        render(select(keys))
    for below in _below(plan):
        _render(below, _KEYS)


def _selects(
    plan: ListPlan | RecordPlan,
) -> Iterator[Callable[[Sequence[str] | None], Select]]:
    if isinstance(plan, RecordPlan):
        yield plan.statement.select
        return
    yield from (each.select for each in (plan.page, plan.totals) if each is not None)
    yield from (part.groups.select for part in plan.parts if part.groups is not None)


def _below(plan: ListPlan | RecordPlan) -> Iterator[ListPlan | RecordPlan]:
    for selection in _selections(plan):
        for entry in selection.entries:
            if isinstance(entry, Fork):
                yield from entry.ones
            elif isinstance(entry, Child):
                yield from filter(None, (entry.one, entry.many))


def _selections(plan: ListPlan | RecordPlan) -> list[RecordSelection]:
    if isinstance(plan, RecordPlan):
        return [plan.selection]
    return [selection for part in plan.parts for selection in part.selections]
