"""The recorded operations are whole, and together they ask for everything the surface offers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from graphql import DirectiveNode, FieldNode, ObjectFieldNode, parse, visit
from graphql.language import Node, Visitor

from firnline.catalog.conditions import OPERATORS
from firnline.graph.aggregates import AGGREGATES
from firnline.graph.inputs import GROUP_BY_TIME

SNAPSHOTS = Path(__file__).parent / "snapshots"
FILES = {"operation.graphql", "access.txt", "answer.json", "plan.json", "sql.txt"}
ALSO = {"extensions.json", "parts.json", "policy.json"}
# Field names, argument keys and directives that an operation can ask with, by bullet.
SURFACE = {
    "operators": " ".join(sorted({name for names in OPERATORS.values() for name in names})),
    "logic": "and or not",
    "relations": "some none every aggregate where",
    "pages": "first after last before totalCount pageInfo edges nodes",
    "keys": "account accountsByKey accounts_by_key accounts_by_keys",
    "aggregates": " ".join(["count", "percentile", *AGGREGATES]),
    "groups": "groupBy by having key closesOn",
    "narrowing": "distinctOn search",
    "agents": "_search _definitions _values _access _gateway __type __schema",
    "federation": "_entities _service",
    "directives": "include skip defer stream",
}
WORDS = ("now-", "startOf", "NULLS_FIRST", "...", "$", *GROUP_BY_TIME.values)


class _Names(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def enter(self, node: Node, *_rest: object) -> None:
        if isinstance(node, FieldNode):
            self.found.add(node.name.value)
            self.found |= {argument.name.value for argument in node.arguments or ()}
        if isinstance(node, ObjectFieldNode | DirectiveNode):
            self.found.add(node.name.value)


def operations() -> list[str]:
    return [path.read_text("utf-8") for path in sorted(SNAPSHOTS.glob("*/operation.graphql"))]


@pytest.mark.parametrize("folder", sorted(SNAPSHOTS.iterdir()), ids=lambda each: each.name)
def test_recorded_operation_has_its_files_and_no_other(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert FILES <= names <= FILES | ALSO
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


@pytest.mark.parametrize("name", sorted(ALSO))
def test_what_is_may_be_recorded_beside_the_data_is_recorded_somewhere(name: str) -> None:
    assert list(SNAPSHOTS.glob(f"*/{name}"))
