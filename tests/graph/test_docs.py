"""The examples of the graph's reference are answered."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.graph.world import World

from firnline.catalog.conditions import OPERATORS
from firnline.graph.aggregates import AGGREGATES

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "graph.md").read_text("utf-8")
ACCESS = (DOCS / "access.md").read_text("utf-8")
EXAMPLES = re.findall(r"```graphql\n(.*?)```", PAGE + ACCESS, re.DOTALL)


@pytest.mark.parametrize("text", EXAMPLES, ids=range(len(EXAMPLES)))
def test_example_of_the_reference_is_answered(world: World, text: str) -> None:
    data = world.data(text)
    assert data and all(value is not None for value in data.values())


def test_reference_names_every_operator_and_aggregate() -> None:
    operators = {operator for each in OPERATORS.values() for operator in each}
    unnamed = {name for name in operators | set(AGGREGATES) if f"`{name}" not in PAGE}
    assert not unnamed
