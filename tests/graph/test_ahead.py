"""Published operations are compiled before they are asked, each for the rights of who will ask."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.graph.test_warming import warming
from tests.graph.verified import verified_world
from tests.graph.world import World, seeded

from firnline.access.principal import Principal
from firnline.graph.answer import Question
from firnline.graph.askers import row_of
from firnline.graph.execution import Execution
from firnline.graph.memory.recall import Asked
from firnline.graph.memory.tables import ResidentTables
from firnline.graph.plan import Planner
from firnline.graph.samples import Shape
from firnline.state.database import StateUnavailableError
from firnline.state.rows import AskerRow

TEXT = """query Rich($n: Int!, $least: Int, $deals: Boolean = true) {
  crm { accounts(first: $n, where: {rating: {gte: $least}}, orderBy: [{id: ASC}]) { nodes {
    id name revenue Deals(first: 3) @include(if: $deals) { nodes { id title secret } } } } } }"""
ASKED = {"n": 5, "least": 2}
REP, ALL, MASKED = "rep@x.test", "all@x.test", "masked@x.test"


@dataclass
class Work:
    """What was done for answers: lists planned, rows asked of DuckDB."""

    planned: list[str] = field(default_factory=list)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    found = Work()
    plan = Planner.connection

    def connection(self: Planner, object_: Any, *more: Any) -> Any:
        found.planned.append(object_.type_name)
        return plan(self, object_, *more)

    monkeypatch.setattr(Planner, "connection", connection)
    yield found


@pytest.fixture
def served(own_world: World) -> World:
    """Give a world with data and columns in memory, as a server has it."""
    own_world.resident = ResidentTables(1 << 28)
    own_world.renew()
    own_world.fill(seeded())
    return own_world


def restart(world: World) -> None:
    """End the process: what is noted is stored, everything in memory is gone."""
    world.runner.run(world.askers.write())
    world.resident = ResidentTables(1 << 28)
    world.renew()


def warm(world: World) -> None:
    assert world.runner.run(warming(world).run(["acme"])) == ["acme"]


def ask(world: World, operation: str, email: str, variables: Any = None) -> Any:
    """Return the answer to a published operation, which has no errors."""
    answer = world.answer(None, email, variables or ASKED, document_id=operation)
    assert not answer.errors
    return answer


def askers(world: World, operation: str) -> list[AskerRow]:
    world.runner.run(world.askers.write())
    return world.runner.run(world.state.askers.of("acme", operation, now=world.clock.now()))


@pytest.mark.parametrize("email", [ALL, REP, MASKED])
def test_first_answer_after_a_restart_is_compiled_already(
    served: World, work: Work, email: str
) -> None:
    operation = served.publish(TEXT)
    before = ask(served, operation, email)
    restart(served)
    warm(served)
    work.planned.clear()

    answer = ask(served, operation, email)

    assert (answer.data, answer.extensions) == (before.data, before.extensions)
    assert work.planned == []
    assert answer.statements == ()


def test_without_warming_the_first_answer_is_planned(served: World, work: Work) -> None:
    operation = served.publish(TEXT)
    ask(served, operation, ALL)
    restart(served)
    work.planned.clear()

    ask(served, operation, ALL)

    assert work.planned


def test_what_is_compiled_ahead_serves_other_operands_and_people_of_equal_rights(
    served: World, work: Work
) -> None:
    other = {"n": 5, "least": 1}
    expected = served.data(TEXT, ALL, variables=other)
    served.renew()
    operation = served.publish(TEXT)
    ask(served, operation, REP, {"n": 5, "least": 4})
    restart(served)
    warm(served)
    work.planned.clear()

    assert ask(served, operation, ALL, other).data == expected
    assert work.planned == []


def test_nobody_gets_the_rights_that_something_was_compiled_for(served: World) -> None:
    """Compiled for one person alone, then asked by everybody: the answers are those of before."""
    people = (ALL, REP, MASKED, "shared@x.test", "child@x.test", "linkless@x.test", "nobody@x.test")
    operation = served.publish(TEXT)
    before = {each: served.answer(TEXT, each, ASKED).body() for each in people}
    for first in (ALL, MASKED):
        served.renew()
        ask(served, operation, first)
        restart(served)
        warm(served)

        for each in people:
            assert served.answer(None, each, ASKED, document_id=operation).body() == before[each]


def test_rights_are_found_anew_at_warming(served: World, work: Work) -> None:
    operation = served.publish(TEXT)
    ask(served, operation, MASKED)
    rows = seeded()
    for grant in rows["crm", "grants"]:  # what was masked is readable now
        if grant["email"] == MASKED and grant["object"] in ("accounts", "deals"):
            twin = next(
                each
                for each in rows["crm", "grants"]
                if each["email"] == ALL and each["object"] == grant["object"]
            )
            grant["access"] = twin["access"]
    restart(served)
    served.write(rows)
    warm(served)
    work.planned.clear()

    answer = ask(served, operation, MASKED)

    assert work.planned == []
    assert answer.data == ask(served, operation, ALL).data
    assert answer.extensions["access"] == []


def test_who_lost_all_rights_meanwhile_gets_nothing_of_what_is_compiled(served: World) -> None:
    operation = served.publish(TEXT)
    ask(served, operation, REP)
    restart(served)
    rows = seeded()
    rows["crm", "grants"] = [each for each in rows["crm", "grants"] if each["email"] != REP]
    served.write(rows)
    warm(served)

    assert served.data(TEXT, REP, variables=ASKED)["crm"]["accounts"]["nodes"] == []


def test_an_asker_is_kept_without_what_was_asked(served: World) -> None:
    operation = served.publish(TEXT)
    principal = Principal(
        "acme", REP, name="Rep", attributes={"region": "north"}, credential="token-id"
    )
    question = Question(None, operation, {"n": 7, "least": 3, "deals": False})
    served.runner.run(served.responder.answer(principal, question))

    (row,) = askers(served, operation)

    assert (row.email, row.agent, row.scopes) == (REP, "", ())
    assert row.shape == '[{"deals":false,"n":7},["least"]]'
    database = (served.home / "state.db").read_bytes()
    log = (served.home / "state.db-wal").read_bytes()
    for secret in (b"token-id", b"north"):
        assert secret not in database + log


def test_askers_are_few_and_of_different_rights(served: World) -> None:
    operation = served.publish(TEXT)
    for email in (ALL, "crmonly@x.test", REP):
        ask(served, operation, email)

    # The first and the third may read the same fields: one compiled operation serves both.
    first = {row.email for row in askers(served, operation)}
    for size in range(1, 9):
        served.clock._now = served.clock.now().replace(second=size)
        ask(served, operation, MASKED, {"n": size})
    last = askers(served, operation)

    assert ALL in first and REP not in first
    assert len(last) == 4
    assert {row.email for row in last} == {MASKED}


def test_texts_that_nobody_published_leave_no_asker(served: World) -> None:
    operation = served.publish(TEXT)
    served.answer(TEXT, REP, ASKED)

    assert askers(served, operation) == []


def test_retired_operations_have_no_askers(served: World) -> None:
    operation = served.publish(TEXT)
    ask(served, operation, REP)
    assert askers(served, operation)

    served.runner.run(served.state.retire_operation("acme", operation, at=served.clock.now()))

    assert askers(served, operation) == []


def test_askers_who_do_not_come_back_are_forgotten_and_others_are_not(served: World) -> None:
    operation = served.publish(TEXT)
    ask(served, operation, REP)
    for _ in range(3):  # each start after twenty days
        restart(served)
        served.runner.run(served.clock.sleep(20 * 86_400))
        warm(served)
        ask(served, operation, REP)
    assert [row.email for row in askers(served, operation)] == [REP]

    restart(served)
    served.runner.run(served.clock.sleep(31 * 86_400))
    assert askers(served, operation) == []


def test_memory_without_room_is_not_filled_ahead(served: World) -> None:
    operation = served.publish(TEXT)
    ask(served, operation, ALL)
    restart(served)
    served.resident._budget_bytes = 0  # type: ignore[union-attr]
    warm(served)

    assert served.resident is not None
    assert not served.resident._tables


def test_what_is_published_later_is_compiled_for_its_askers_and_nothing_else_is(
    served: World, work: Work
) -> None:
    """Another version of a published operation, put there by another process."""
    operation = served.publish(TEXT)
    other = served.publish("query Other { crm { deals { nodes { id } } } }")
    ask(served, operation, ALL)
    restart(served)
    newer = TEXT.replace("id title secret", "id title")
    follow = warming(served)

    async def published() -> None:
        known = await follow.published()
        following = asyncio.create_task(follow.follow(known, tenants=["acme"], every_s=5))
        await asyncio.sleep(0.05)
        assert work.planned == []  # what was there before is not prepared here
        done = asyncio.create_task(compiled(served, newer))
        await served.state.publish_operation(
            "acme", operation, "Rich", newer, at=served.clock.now()
        )
        await asyncio.wait_for(done, 60)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    work.planned.clear()
    served.runner.run(published())
    work.planned.clear()

    assert ask(served, operation, ALL).statements == ()
    assert work.planned == []
    served.answer(None, ALL, document_id=other)
    assert work.planned


async def compiled(world: World, text: str) -> None:
    """Return when a text is compiled."""
    found, recall = asyncio.Event(), world.responder._recall
    compile_ = recall.compile

    def watched(asked: Asked, execution: Execution) -> Any:
        kept = compile_(asked, execution)
        if asked.text == text and kept is not None:
            found.set()
        return kept

    recall.compile = watched  # type: ignore[method-assign]
    await found.wait()


def test_state_that_cannot_be_read_does_not_end_the_following(served: World) -> None:
    calls = []

    class Failing:
        async def newest_publications(self, count: int) -> list[tuple[str, str, int]]:
            calls.append(count)
            if len(calls) < 4:
                raise StateUnavailableError("away")
            raise asyncio.CancelledError

    follow = warming(served)
    follow._operations = Failing()  # type: ignore[assignment]

    with pytest.raises(asyncio.CancelledError):
        served.runner.run(follow.follow(frozenset(), tenants=["acme"], every_s=5))
    assert len(calls) == 4


def test_token_that_reaches_less_is_compiled_for_apart(served: World, work: Work) -> None:
    """One person, once in full and once with a token of fewer scopes: neither gets the other's."""
    operation = served.publish("query Both { accounts { totalCount } deals { totalCount } }")
    narrow = Principal("acme", ALL, scopes=frozenset({"read:Deal"}))
    full = Principal("acme", ALL)

    def answer(principal: Principal) -> bytes:
        return served.runner.run(
            served.responder.answer(principal, Question(None, operation))
        ).body()

    before = {each: answer(each) for each in (narrow, full)}
    served.renew()
    answer(narrow)
    assert [row.scopes for row in askers(served, operation)] == [("read:Deal",)]
    restart(served)
    warm(served)
    work.planned.clear()

    assert answer(narrow) == before[narrow]
    assert work.planned == []
    assert answer(full) == before[full] != before[narrow]
    assert work.planned


def test_warming_asks_no_source_about_records(connectors: None, tmp_path: Path) -> None:
    """What a source has to confirm is asked about when a person asks, and not before."""
    verified = verified_world(tmp_path, is_resident=True)
    operation = verified.publish(TEXT)
    principal = Principal("acme", ALL)
    asker = row_of(principal, operation, Shape({"n": 5}, ("least",)), verified.clock)
    verified.runner.run(verified.state.askers.remember([asker]))

    warm(verified)
    before = list(verified.source.asked)
    answer = ask(verified, operation, ALL)

    assert before == []
    assert verified.source.asked
    assert answer.data["crm"]["accounts"]["nodes"]
    verified.close()
