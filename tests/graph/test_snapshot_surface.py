"""The recorded operations are whole, and together they ask for everything the surface offers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from graphql import FieldNode, ObjectFieldNode, parse, visit
from graphql.language import Node, Visitor

SNAPSHOTS = Path(__file__).parent / "snapshots"
FILES = {"operation.graphql", "access.txt", "answer.json", "plan.json", "sql.txt"}
# What an operation can ask: field names and argument keys, by the bullet they belong to.
SURFACE = {
    "operators": "eq neq in notIn lt gt gte isNull contains ilike ieq iin hasAny hasAll isEmpty",
    "logic": "and or not",
    "relations": "some none every aggregate",
    "pages": "first last totalCount pageInfo edges nodes",
    "keys": "account accountsByKey accounts_by_key accounts_by_keys",
    "aggregates": "count sum avg min max stddev median percentile countDistinct",
    "groups": "groupBy having key closesOn",
    "narrowing": "distinctOn search",
    "agents": "_search _definitions __type",
    "federation": "_entities",
}
WORDS = ("now-", "startOf", "NULLS_FIRST", "@include", "@skip", "...", "$", "QUARTER")


class _Names(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def enter(self, node: Node, *_rest: object) -> None:
        if isinstance(node, FieldNode):
            self.found.add(node.name.value)
            self.found |= {argument.name.value for argument in node.arguments or ()}
        if isinstance(node, ObjectFieldNode):
            self.found.add(node.name.value)


def operations() -> list[str]:
    return [path.read_text("utf-8") for path in sorted(SNAPSHOTS.glob("*/operation.graphql"))]


@pytest.mark.parametrize("folder", sorted(SNAPSHOTS.iterdir()), ids=lambda each: each.name)
def test_recorded_operation_has_its_files_and_no_other(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == FILES
    assert re.fullmatch(r"\S+@\S+", (folder / "access.txt").read_text("utf-8").splitlines()[0])


@pytest.mark.parametrize("part", SURFACE)
def test_recorded_operations_ask_for_every_part_of_the_surface(part: str) -> None:
    names = _Names()
    for text in operations():
        visit(parse(text), names)
    assert set(SURFACE[part].split()) - names.found == set()


@pytest.mark.parametrize("word", WORDS)
def test_recorded_operations_use_every_means_of_the_language(word: str) -> None:
    assert any(word in text for text in operations())
