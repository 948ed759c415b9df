"""What goes on record: every object and field that is named, and no value of any."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson
import pytest
from graphql import DocumentNode, parse
from tests.graph.world import NOW, World, seeded

from firnline.access.principal import Principal
from firnline.access.reach import OperationNotAllowedError
from firnline.audit.auditing import Auditing
from firnline.audit.readings import Readings, fact_of
from firnline.audit.recorder import Mode
from firnline.graph.answer import Question
from firnline.graph.cursor import CursorSeal
from firnline.graph.memory.tables import ResidentTables
from firnline.graph.respond import Responder


class Asked(NamedTuple):
    """A document as it was asked (`graph.answer.Ran`)."""

    text: str
    document: DocumentNode
    published: tuple[str, ...] = ()


def reads(world: World, text: str, variables: dict[str, Any] | None = None) -> Any:
    graph = world.runner.run(world.graphs.graph("acme"))
    ran = Asked(text, parse(text))
    return Readings().of(graph, world.graphs.schema(graph).core, ran, variables)


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


def auditing_of(world: World, mode: Mode = "strict") -> Auditing:
    return Auditing(
        world.state, world.graphs, key=b"k" * 32, clock=world.clock, mode=mode, waiting_max=100
    )


async def entries(auditing: Auditing) -> list[dict[str, Any]]:
    await auditing.close()
    await auditing.chain.verify("acme")
    return [orjson.loads(row.content) async for row in auditing.chain.entries("acme")]


def test_rows_are_on_record_wherever_the_answer_came_from(own_world: World) -> None:
    own_world.resident = ResidentTables(1 << 28)
    own_world.renew()
    own_world.responder = kept_too(own_world)
    own_world.fill(seeded())

    async def recorded_thrice() -> list[dict[str, Any]]:
        auditing = auditing_of(own_world)
        principal = Principal("acme", "masked@x.test")
        asked = [
            "{ deals(first: 3) { nodes { id amount } } }",
            "{ deals(first: 3) { nodes { id amount } } }",
            '{ deals(first: 4, search: "a") { nodes { id amount } } }',
        ]
        for text in asked:
            question = Question(text)
            answer = await own_world.responder.answer(principal, question)
            await auditing.answered(principal, question, answer)
        return await entries(auditing)

    memory, kept, duckdb = own_world.runner.run(recorded_thrice())
    assert [each["from"] for each in (memory, kept, duckdb)] == [
        "memory",
        "response_cache",
        "duckdb",
    ]
    assert (memory["rows"], kept["rows"], duckdb["rows"]) == (3, 3, 4)
    assert memory["masked"] == kept["masked"] == ["Deal.amount"]
    assert "Deal.amount" in duckdb["masked"]
    assert memory["denied"] == kept["denied"] == []


def test_denied_object_is_on_record_with_no_row(own_world: World) -> None:
    own_world.fill(seeded())

    async def recorded_denial() -> list[dict[str, Any]]:
        auditing = auditing_of(own_world)
        principal = Principal("acme", "denied@x.test")
        question = Question("{ accounts { nodes { id } } }")
        answer = await own_world.responder.answer(principal, question)
        await auditing.answered(principal, question, answer)
        return await entries(auditing)

    (entry,) = own_world.runner.run(recorded_denial())
    assert (entry["denied"], entry["rows"]) == (["Account"], 0)


DEFERRED = """{ accounts(first: 2) { nodes { id } }
  ... @defer(label: "late") { deals(first: 3) { nodes { id amount } } } }"""


@pytest.mark.parametrize("is_refused", [False, True])
def test_part_put_off_is_on_record_with_what_it_adds(own_world: World, is_refused: bool) -> None:
    own_world.fill(seeded())

    async def recorded_parts() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        auditing = auditing_of(own_world)
        principal = Principal("acme", "masked@x.test")
        question = Question(DEFERRED, takes_parts=True)
        answer = await own_world.responder.answer(principal, question)
        later = (await auditing.answered(principal, question, answer)).later
        assert later is not None
        if is_refused:
            auditing._recorder._append = _broken
        parts = []
        while (part := await later.next()) is not None:
            parts.append(part)
            if not part["hasNext"]:
                break
        await later.close()
        return parts, await entries(auditing)

    parts, rows = own_world.runner.run(recorded_parts())
    first, *added = rows
    assert first["reads"] == {"Account": ["id"], "Deal": ["amount", "id"]}
    assert (first["rows"], first["masked"]) == (2, [])
    if is_refused:
        assert added == []
        (error,) = parts[-1]["completed"][0]["errors"]
        assert error["extensions"]["code"] == "audit_unavailable"
        assert b'"amount"' not in orjson.dumps(parts)
        return
    assert sum(each["rows"] for each in added) == 3
    assert [each["outcome"] for each in added] == ["part"] * len(added)
    assert [name for each in added for name in each["masked"]] == ["Deal.amount"]
    assert [name for each in added for name in each["sources"]] == ["crm.deals"]


async def _broken(_tenant: str, _facts: Any) -> None:
    raise OSError("the disk is full")


def kept_too(world: World) -> Responder:
    return Responder(
        world.graphs,
        databases=world._database,
        operations=world.state,
        seal=CursorSeal(b"k" * 32),
        clock=world.clock,
        resident=world.resident,
        kept_bytes=1 << 22,
    )
