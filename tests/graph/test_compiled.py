"""Operations that are asked again: compiled, kept, and asked by several at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.graph.world import NOW, PEOPLE, World, seeded

from firnline.access.principal import Principal
from firnline.clock import FixedClock
from firnline.graph.answer import Question
from firnline.graph.cursor import CursorSeal
from firnline.graph.memory.compiled import Compiled
from firnline.graph.memory.tables import ResidentTables
from firnline.graph.respond import Responder
from firnline.graph.schema import TenantSchema

SEGMENTS = """query ($segment: String, $least: Decimal, $n: Int = 3, $deep: Boolean = true) {
  accounts(where: {segment: {eq: $segment}, revenue: {gte: $least}}, orderBy: [{revenue: DESC}],
           first: $n) {
    totalCount pageInfo { hasNextPage }
    nodes {
      id name
      deals(first: 2, orderBy: [{amount: DESC}]) @include(if: $deep) {
        totalCount nodes { id amount account { id name } }
      }
    }
  }
}"""
ROUNDS: tuple[dict[str, Any], ...] = (
    {"segment": "enterprise", "least": "0"},
    {"segment": "enterprise", "least": "0"},
    {"segment": "small", "least": "10"},
    {"segment": "other", "least": "1"},
    {"segment": "enterprise", "least": "8", "n": 50},
    {"segment": "small", "least": "5", "n": 50, "deep": False},
    {"segment": "enterprise", "least": "5", "n": 50, "deep": False},
    {"segment": "enterprise", "least": "7", "n": 50, "deep": True},
)


class Counted:
    """How often a document was executed the whole way."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.number = 0
        execute = TenantSchema.execute

        async def counted(schema: TenantSchema, *arguments: Any, **named: Any) -> Any:
            self.number += 1
            return await execute(schema, *arguments, **named)

        patch.setattr(TenantSchema, "execute", counted)


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """Count whole executions."""
    return Counted(monkeypatch)


@pytest.fixture
def is_resident() -> bool:
    """Keep columns in memory, or nothing is compiled."""
    return True


@pytest.fixture
def memory(own_world: World) -> Iterator[World]:
    """Give a world whose columns are in memory."""
    own_world.resident = ResidentTables(1 << 28)
    own_world.renew()
    own_world.fill(seeded())
    return own_world


def with_kept_answers(world: World, *, loads_behind: bool = False) -> World:
    """Let answers be kept."""
    world.responder = Responder(
        world.graphs,
        loads_behind=loads_behind,
        databases=world._database,
        operations=world.state,
        seal=CursorSeal(b"k" * 32),
        clock=world.clock,
        resident=world.resident,
        kept_bytes=0 if loads_behind else 1 << 20,
    )
    return world


def plainly(world: World, query: str, email: str, variables: dict[str, Any]) -> Any:
    """Return what DuckDB answers, with nothing remembered."""
    responder = Responder(
        world.graphs,
        databases=world._database,
        operations=world.state,
        seal=CursorSeal(b"k" * 32),
        clock=world.clock,
    )
    principal = Principal(tenant="acme", email=email)
    answer = world.runner.run(responder.answer(principal, Question(query, None, variables)))
    return answer.data, answer.errors, answer.extensions


def test_operation_asked_again_with_other_values_answers_as_duckdb_does(
    memory: World, executed: Counted
) -> None:
    whole = 0
    for email in sorted(PEOPLE):
        for variables in ROUNDS:
            before = executed.number
            answer = memory.answer(SEGMENTS, email, variables)
            whole += executed.number - before
            assert (answer.data, answer.errors, answer.extensions) == plainly(
                memory, SEGMENTS, email, variables
            )
    assert whole < len(PEOPLE) * len(ROUNDS) * 0.75


def test_values_of_operands_need_no_new_plan_while_those_that_shape_it_do(
    memory: World, executed: Counted
) -> None:
    counts = []
    for variables in ROUNDS:
        before = executed.number
        memory.answer(SEGMENTS, "all@x.test", variables)
        counts.append(executed.number - before)
    assert counts == [1, 0, 0, 0, 1, 1, 0, 1]


def test_compiled_operation_still_refuses_a_wrong_value(memory: World) -> None:
    for segment in ("enterprise", "small"):
        memory.data(SEGMENTS, variables={"segment": segment, "least": "1"})
    wrong = memory.ask(SEGMENTS, variables={"segment": "enterprise", "least": "much"})
    assert wrong["errors"]
    assert "data" not in wrong or wrong["data"] is None
    unknown = memory.ask(SEGMENTS, variables={"segment": "none such", "least": "1"})
    assert unknown["errors"][0]["extensions"]["code"] == "condition_invalid"
    nothing = memory.ask(SEGMENTS, variables={"segment": None, "least": "1"})
    assert nothing["errors"][0]["extensions"]["code"] == "condition_invalid"


def test_people_of_equal_fields_share_a_plan_and_see_their_own_rows(
    memory: World, executed: Counted
) -> None:
    text = "query ($n: Int) { accounts(first: $n) { totalCount nodes { id name } } }"
    variables = {"n": 200}
    everything = memory.data(text, "all@x.test", variables=variables)
    before = executed.number
    own = memory.data(text, "rep@x.test", variables=variables)
    assert executed.number - before <= 1
    assert 0 < own["accounts"]["totalCount"] < everything["accounts"]["totalCount"]
    again = memory.data(text, "all@x.test", variables=variables)
    assert again == everything
    assert executed.number - before <= 1


def test_withheld_fields_are_told_again_by_a_compiled_operation(memory: World) -> None:
    text = "{ accounts(first: 2) { nodes { id revenue deals(first: 1) { nodes { amount } } } } }"
    first = memory.ask(text, "masked@x.test")
    for _ in range(3):
        assert memory.ask(text, "masked@x.test") == first
    assert {note["coordinate"] for note in first["extensions"]["access"]} >= {"Account.revenue"}


def test_cursors_of_a_compiled_operation_lead_to_the_next_page(memory: World) -> None:
    text = """query ($segment: String, $after: String) {
      accounts(where: {segment: {eq: $segment}}, first: 2, after: $after, orderBy: [{name: ASC}]) {
        edges { cursor node { id } } pageInfo { endCursor hasNextPage startCursor } } }"""
    for segment in ("enterprise", "small", "enterprise"):
        page = memory.data(text, variables={"segment": segment})["accounts"]
        assert page["pageInfo"]["startCursor"] == page["edges"][0]["cursor"]
        after = page["pageInfo"]["endCursor"]
        more = memory.data(text, variables={"segment": segment, "after": after})["accounts"]
        both = memory.data(text.replace("first: 2", "first: 4"), variables={"segment": segment})[
            "accounts"
        ]
        ids = [edge["node"]["id"] for edge in (*page["edges"], *more["edges"])]
        assert ids == [edge["node"]["id"] for edge in both["edges"]]


def test_answer_is_kept_until_an_object_it_read_changes(memory: World, executed: Counted) -> None:
    with_kept_answers(memory)
    text = "{ deals(first: 3, orderBy: [{amount: DESC}]) { nodes { id amount } } }"
    first = memory.ask(text)
    kept = memory.ask(text)
    assert kept["extensions"].pop("cache") == "hit"
    assert kept == first
    rows = seeded()
    memory.write({("desk", "tickets"): rows["desk", "tickets"][:5]})
    assert memory.ask(text)["extensions"]["cache"] == "hit"  # it read no tickets
    changed = [dict(row, amount=None) for row in rows["crm", "deals"]]
    memory.write({("crm", "deals"): changed})
    fresh = memory.ask(text)
    assert "cache" not in fresh["extensions"]
    assert [node["amount"] for node in fresh["data"]["deals"]["nodes"]] == [None] * 3


def test_kept_answer_goes_when_the_rows_a_person_sees_change(memory: World) -> None:
    """`shared@x.test` sees what share records list: those are no part of the question."""
    with_kept_answers(memory)
    text = "{ accounts(first: 200) { totalCount } }"
    before = memory.data(text, "shared@x.test")["accounts"]["totalCount"]
    assert memory.ask(text, "shared@x.test")["extensions"]["cache"] == "hit"
    memory.write({("crm", "shares"): []})
    after = memory.data(text, "shared@x.test")["accounts"]["totalCount"]
    assert after < before
    assert after == plainly(memory, text, "shared@x.test", {})[0]["accounts"]["totalCount"]


def test_answer_kept_for_one_person_is_no_other_persons(memory: World) -> None:
    with_kept_answers(memory)
    text = "{ accounts(first: 200) { totalCount nodes { id revenue } } }"
    for _ in range(2):
        for email in sorted(PEOPLE):
            answer = memory.answer(text, email)
            found = (answer.data, answer.errors)
            assert found == plainly(memory, text, email, {})[:2]


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ('{ deals(where: {updatedAt: {lt: "now-1d"}}) { totalCount } }', {}),
        (
            "query ($t: DateTime) { deals(where: {updatedAt: {lt: $t}}) { totalCount } }",
            {"t": "now-1d"},
        ),
    ],
)
def test_answer_that_depends_on_the_clock_is_not_kept(
    memory: World, text: str, variables: dict[str, Any]
) -> None:
    with_kept_answers(memory)
    for _ in range(3):
        assert "cache" not in memory.ask(text, variables=variables)["extensions"]
    memory.runner.run(memory.clock.sleep(400 * 86_400))
    counted = memory.data(text, variables=variables)["deals"]["totalCount"]
    assert counted == plainly(memory, text, "all@x.test", variables)[0]["deals"]["totalCount"]
    assert memory.clock.now() != NOW


def test_columns_are_loaded_behind_the_first_answer_and_again_after_a_commit(
    memory: World,
) -> None:
    with_kept_answers(memory, loads_behind=True)
    text = "query ($n: Int) { accounts(first: $n) { nodes { id deals { nodes { id amount } } } } }"

    def asked(**variables: Any) -> tuple[bool, Any]:
        answer = memory.answer(text, "rep@x.test", variables)
        assert answer.errors == ()
        assert answer.data == plainly(memory, text, "rep@x.test", variables)[0]
        return bool(answer.statements), answer.data

    assert asked(n=5)[0]  # by DuckDB
    memory.runner.run(memory.responder.loading.idle())
    assert not asked(n=5)[0]
    deals = seeded()[("crm", "deals")]
    memory.write({("crm", "deals"): deals[: len(deals) // 2]})
    by_duckdb, before = asked(n=200)
    assert by_duckdb
    memory.runner.run(memory.responder.loading.idle())
    assert asked(n=200) == (False, before)


def test_what_only_duckdb_can_answer_is_loaded_once(memory: World) -> None:
    with_kept_answers(memory, loads_behind=True)
    text = """{ accounts(where: {name: {contains: "a"}}) {
      nodes { id deals(first: 2) { nodes { id } } } } }"""
    counts = []
    for _ in range(3):
        counts.append(len(memory.answer(text).statements))
        memory.runner.run(memory.responder.loading.idle())
    assert counts == [2, 1, 1]  # the list below comes from memory, the root cannot


class Ticking(FixedClock):
    """A clock on which everything takes long."""

    def monotonic(self) -> float:
        """Return a second more each time."""
        self._monotonic += 1.0
        return self._monotonic


def test_question_that_takes_long_from_memory_moves_into_a_thread(
    memory: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.clock = Ticking(NOW)
    memory.renew()
    text = "query ($n: Int) { accounts(first: $n) { nodes { id } } }"
    threads = []
    answer = Compiled.answer

    def followed(compiled: Compiled, answers: Any) -> bytes:
        threads.append(threading.current_thread() is threading.main_thread())
        return answer(compiled, answers)

    monkeypatch.setattr(Compiled, "answer", followed)
    for n in (5, 5, 5, 5):
        assert len(memory.data(text, variables={"n": n})["accounts"]["nodes"]) == n
    assert threads == [True, False, False]


def test_columns_given_up_for_want_of_memory_are_loaded_again(memory: World) -> None:
    with_kept_answers(memory, loads_behind=True)
    text = "{ accounts(first: 5) { nodes { id name } } }"

    def by_duckdb() -> bool:
        answer = memory.answer(text)
        memory.runner.run(memory.responder.loading.idle())
        return bool(answer.statements)

    assert [by_duckdb(), by_duckdb()] == [True, False]
    assert memory.resident is not None
    memory.resident.forget("acme")
    assert [by_duckdb(), by_duckdb()] == [True, True]  # not twice in a row
    memory.runner.run(memory.clock.sleep(60))
    assert [by_duckdb(), by_duckdb()] == [True, False]
