"""The battery of non-interference notices where what is hidden is let through on purpose.

Each mutant breaks one way in which rights are bound into plans; some operation of the battery must
then be answered otherwise for a person whose hidden part was scrambled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from tests.graph.test_non_interference import NAMED, OPEN, ROWS, SCRAMBLED, scrambled, told
from tests.graph.world import World

from firnline.access.decisions import Decisions
from firnline.access.model import Everything, ObjectAccess
from firnline.access.row_filter import RowFilters
from firnline.cache.query import TRUE
from firnline.graph.answer import Question
from firnline.graph.memory.tables import ResidentTables
from firnline.graph.memory.views import View

Break = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Mutant:
    """What is broken, for whom it must show, and from where answers come."""

    breaks: Break
    email: str
    is_resident: bool = False


def _every_row(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Decisions, "rows", lambda self, connection, name, alias: TRUE)


def _changed_access(change: Callable[[ObjectAccess], ObjectAccess]) -> Break:
    whole = Decisions.object

    def breaks(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(
            Decisions,
            "object",
            lambda self, connection, name: change(whole(self, connection, name)),
        )

    return breaks


def _inner_rules_ignored(patch: pytest.MonkeyPatch) -> None:
    whole: Any = RowFilters._in

    def loose(self: RowFilters, value: Any, target: str, field_name: str, rule: Any) -> Any:
        return whole(self, value, target, field_name, Everything())

    patch.setattr(RowFilters, "_in", loose)


def _every_row_in_memory(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(View, "visible", property(lambda self: None))


MUTANTS = {
    "rows": Mutant(_every_row, "rep@x.test"),
    "rows of related objects": Mutant(_inner_rules_ignored, "shared@x.test"),
    "hidden fields": Mutant(
        _changed_access(lambda access: replace(access, hidden={})), "masked@x.test"
    ),
    "denied objects": Mutant(
        _changed_access(lambda access: replace(access, readable=True, rows=Everything())),
        "denied@x.test",
    ),
    "rows in memory": Mutant(_every_row_in_memory, "rep@x.test", is_resident=True),
}


@pytest.fixture(scope="module")
def noticing(connectors: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Give a world whose second tenant is scrambled anew for each person."""
    world = World.open(tmp_path_factory.mktemp("home"))
    for tenant in (OPEN, SCRAMBLED):
        world.fill(ROWS, tenant)
    yield world
    world.close()


def differing(world: World, email: str) -> list[str]:
    """Return the kinds of operations that the two tenants answer otherwise."""
    return [
        kind
        for kind, texts in NAMED.items()
        if any(
            told(world, OPEN, email, Question(text))
            != told(world, SCRAMBLED, email, Question(text))
            for text in texts
        )
    ]


@pytest.mark.parametrize("name", MUTANTS)
def test_right_that_is_not_bound_is_noticed(
    noticing: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant = MUTANTS[name]
    noticing.write(scrambled(mutant.email, seed=len(mutant.email)), tenant=SCRAMBLED)
    noticing.resident = ResidentTables(1 << 28) if mutant.is_resident else None
    noticing.renew()
    assert differing(noticing, mutant.email) == []

    mutant.breaks(monkeypatch)
    noticing.renew()

    kinds = differing(noticing, mutant.email)
    assert len(kinds) > 3, kinds
