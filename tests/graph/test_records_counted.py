"""Every way of answering counts the records of an answer, wherever they stand in it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.graph.world import PEOPLE, World

from firnline.graph.cursor import CursorSeal
from firnline.graph.memory.tables import ResidentTables
from firnline.graph.respond import Responder

T = "__typename"
QUESTIONS = [
    f"{{ deals(first: 7) {{ totalCount nodes {{ {T} id account {{ {T} name }} }} }} }}",
    f"{{ accounts(first: 9) {{ nodes {{ {T} deals(first: 3) {{ nodes {{ {T} id }} }} }} }} }}",
    f"{{ deals(first: 5) {{ edges {{ node {{ {T} id account {{ {T} name }} }} }} }} }}",
    f'{{ crm {{ accounts_by_key(id: "a3") {{ {T} id }} deals(first: 2) {{ nodes {{ {T} }} }} }} }}',
    f'{{ account(id: "a1") {{ {T} parent {{ {T} parent {{ {T} id }} }} }} }}',
    f'{{ accountsByKey(keys: ["a1", "none", "a1"]) {{ {T} deals(first: 2) '
    f"{{ nodes {{ {T} }} }} }} }}",
    "{ accounts { totalCount aggregate { count } } }",
    f'{{ _entities(representations: [{{__typename: "Account", id: "a1"}}, '
    f'{{__typename: "Account", id: "none"}}]) {{ ... on Account {{ {T} name }} }} }}',
]


def records_in(value: Any, types: set[str]) -> int:
    """Count the records of an answer by their type's name."""
    if isinstance(value, list):
        return sum(records_in(each, types) for each in value)
    if not isinstance(value, dict):
        return 0
    inner = sum(records_in(each, types) for each in value.values())
    return inner + (value.get(T) in types)


@pytest.fixture(scope="module", params=["duckdb", "memory", "kept"])
def answering(request: pytest.FixtureRequest, world: World) -> World:
    """Answer from DuckDB, from columns in memory, or from answers kept."""
    if request.param != "duckdb":
        world.resident = ResidentTables(1 << 28)
        world.renew()
    if request.param == "kept":
        world.responder = Responder(
            world.graphs,
            databases=world._database,
            operations=world.state,
            seal=CursorSeal(b"k" * 32),
            clock=world.clock,
            resident=world.resident,
            kept_bytes=1 << 22,
        )
    return world


@pytest.mark.parametrize("text", QUESTIONS)
@pytest.mark.parametrize("email", PEOPLE)
def test_records_are_counted_however_often_a_question_is_asked(
    answering: World, text: str, email: str
) -> None:
    types = set(answering.runner.run(answering.graphs.graph("acme")).objects)
    for _ in range(3):  # planned, compiled, kept
        answer = answering.answer(text, email)
        assert not answer.errors, answer.errors
        assert answer.records == records_in(orjson.loads(answer.content or b"null"), types)
