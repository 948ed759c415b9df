"""What goes on record: every object and field that is named, and no value of any."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.graph.world import NOW, World, seeded

from firnline.access.principal import Principal
from firnline.access.reach import OperationNotAllowedError
from firnline.audit.auditing import Auditing
from firnline.audit.readings import Readings, fact_of
from firnline.audit.recorder import Mode
from firnline.graph.answer import Question


def reads(world: World, text: str, variables: dict[str, Any] | None = None) -> Any:
    graph = world.runner.run(world.graphs.graph("acme"))
    return Readings().of(graph, world.graphs.schema(graph).core, text, variables)


@pytest.mark.parametrize(
    ("text", "variables", "found"),
    [
        (
            "{ deals { nodes { id account { name } } } }",
            None,
            {"Account": ["name"], "Deal": ["id"]},
        ),
        (
            '{ deals(where: {account: {region: {eq: "north"}}}, orderBy: [{amount: DESC}]) '
            "{ totalCount } }",
            None,
            {"Account": ["region"], "Deal": ["amount"]},
        ),
        (
            "query ($w: DealWhere) { deals(where: $w) { totalCount } }",
            {"w": {"or": [{"account": {"region": {"eq": "north"}}}, {"stage": {"isNull": True}}]}},
            {"Account": ["region"], "Deal": ["stage"]},
        ),
        (
            "query { ...F } fragment F on Query { crm { accounts { nodes { region } } } }",
            None,
            {"Crm_accounts": ["region"]},
        ),
        ("{ accounts { totalCount } }", None, {"Account": []}),
        ("{ __schema { types { name } } }", None, {}),
    ],
)
def test_every_object_and_field_that_decides_or_is_shown_is_named(
    world: World, text: str, variables: dict[str, Any] | None, found: Any
) -> None:
    assert reads(world, text, variables) == found


def test_fact_holds_masks_denials_and_who_asked_but_no_value(world: World) -> None:
    text = '{ accounts(where: {region: {eq: "CANARY"}}) { totalCount nodes { id segment } } }'
    answer = world.answer(text, "masked@x.test")
    principal = Principal("acme", "masked@x.test", agent="bot", purpose="care", credential="jti:1")
    fact = fact_of(
        principal, at=NOW, operation=("Op", "id1"), reads=reads(world, text), answer=answer
    )
    assert fact.content["masked"] == ["Account.segment"]
    assert fact.content["agent"] == "bot"
    assert fact.content["credential"] == "jti:1"
    assert fact.content["outcome"] == "answered"
    assert b"CANARY" not in orjson.dumps(fact.content)


def test_refused_question_is_a_fact_with_its_code() -> None:
    fact = fact_of(Principal("acme", "a@x.test"), at=NOW, refused="agent_refused")
    assert fact.content["outcome"] == "agent_refused"
    assert fact.content["reads"] == {}


async def recorded(world: World, mode: Mode) -> list[dict[str, Any]]:
    """Ask twice and be refused once, and return what is on record then."""
    auditing = Auditing(
        world.state, world.graphs, key=b"k" * 32, clock=world.clock, mode=mode, waiting_max=10
    )
    principal = Principal("acme", "all@x.test", credential="jti:7")
    question = Question("{ accounts { nodes { name } } }")
    for _ in range(2):
        answer = await world.responder.answer(principal, question)
        await auditing.answered(principal, question, answer)
    stranger = Principal("acme", "all@x.test", scopes=frozenset({"operations"}))
    with pytest.raises(OperationNotAllowedError) as refused:
        await world.responder.answer(stranger, question)
    await auditing.refused(stranger, question, refused.value)
    await auditing.close()
    count, _ = await auditing.chain.verify("acme")
    rows = [orjson.loads(row.content) async for row in auditing.chain.entries("acme")]
    assert count == len(rows)
    return rows


@pytest.mark.parametrize("mode", ["on", "strict"])
def test_answers_and_refusals_are_on_record_when_it_closes(own_world: World, mode: Mode) -> None:
    own_world.fill(seeded())
    rows = own_world.runner.run(recorded(own_world, mode))
    answered = rows[:-1]  # two entries where each was waited for, else one that counts both
    assert sum(row["times"] for row in answered) == 2
    assert len(answered) == (2 if mode == "strict" else 1)
    assert {row["outcome"] for row in answered} == {"answered"}
    assert rows[-1]["outcome"] == "operation_not_allowed"
    assert [row["reads"] for row in rows] == [{"Account": ["name"]}] * len(answered) + [{}]
    assert rows[0]["credential"] == "jti:7"


def test_nothing_is_on_record_where_it_is_off(own_world: World) -> None:
    own_world.fill(seeded())
    assert own_world.runner.run(recorded(own_world, "off")) == []
