"""`@stream`: lists begin with the answer and go on in parts, from the same snapshot."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from tests.graph.documents import LIMITS, Document, documents, is_small
from tests.graph.parts import parts_of, put_together
from tests.graph.runs import IS_LONG, PATIENCE
from tests.graph.world import World, seeded

from firnline.access.principal import Principal
from firnline.graph.answer import Question

pytestmark = PATIENCE
PEOPLE_ASKING = ("all@x.test", "rep@x.test", "shared@x.test", "masked@x.test")
OVERLAPPING = "they have overlapping stream directives"
# The text, and by path how many items come with the answer.
STREAMED: list[tuple[str, dict[tuple[str | int, ...], int]]] = [
    ("{ deals(first: 5) { nodes @stream(initialCount: 2) { id account { name } } totalCount } }",
     {("deals", "nodes"): 2}),
    ("{ deals(first: 5) { edges @stream { node { id } } } }", {("deals", "edges"): 0}),
    ("{ accounts(first: 3) { nodes { id deals { nodes @stream(initialCount: 1) { id } } } } }",
     {("accounts", "nodes", 1, "deals", "nodes"): 1}),
    ("{ crm { deals(first: 4) { list: nodes @stream(initialCount: 1, label: \"rest\") { id } } } }",
     {("crm", "deals", "list"): 1}),
    ('{ some: accountsByKey(keys: ["a3", "nowhere", "a1"]) @stream(initialCount: 1) { id } }',
     {("some",): 1}),
    ("{ deals { groupBy(by: [{stage: VALUE}]) @stream(initialCount: 1) { key { stage } } } }",
     {("deals", "groupBy"): 1}),
    ("{ ...F } fragment F on Query { deals(first: 3) { ...G } } "
     "fragment G on DealConnection { nodes @stream { id } }", {("deals", "nodes"): 0}),
    ('{ _entities(representations: [{__typename: "Deal", id: "d02"}, '
     '{__typename: "Account", id: "a1"}]) @stream(initialCount: 1) { __typename } }',
     {("_entities",): 1}),
    ('{ _search(text: "deal", first: 4) @stream(initialCount: 3) { path } }', {("_search",): 3}),
    ("{ accounts(first: 1) { totalCount } ... @defer { deals(first: 3) "
     "{ nodes @stream(initialCount: 1) { id } } } }", {("deals", "nodes"): 1}),
    ("query ($n: Int = 1, $on: Boolean = true) "
     "{ deals(first: 3) { nodes @stream(initialCount: $n, if: $on) { id } } }",
     {("deals", "nodes"): 1}),
]  # fmt: skip
WHOLE = [
    "{ deals(first: 2) { nodes @stream(initialCount: 2) { id } } }",
    "{ deals(first: 2) { nodes @stream(if: false) { id } } }",
    "{ deals(first: 0) { nodes @stream { id } } }",
    "{ crm { notes { nodes { What { ...F } } } } } "
    "fragment F on Crm_accounts { Notes { nodes @stream { id } } }",
    "{ deals(first: 2) { nodes { title @skip(if: true) id } } } # @stream",
]


@pytest.fixture(scope="module", params=[False, True], ids=["duckdb", "resident"])
def is_resident(request: pytest.FixtureRequest) -> bool:
    """Hold everything here both ways: from DuckDB alone, and with columns in memory."""
    return bool(request.param)


def asked(world: World, text: str, email: str = "all@x.test", variables: Any = None) -> list[Any]:
    question = Question(text, variables=variables, takes_parts=True)
    return world.runner.run(parts_of(world, email, question))


@pytest.mark.parametrize(("text", "begun"), STREAMED)
def test_list_begins_with_the_answer_and_goes_on_in_parts(
    world: World, text: str, begun: dict[tuple[str | int, ...], int]
) -> None:
    whole = world.ask(text)
    for _ in range(2):  # planned, then as it was kept
        parts = asked(world, text)
        pending = [each for part in parts for each in part.get("pending", ())]
        known = {tuple(each["path"]): each for each in pending}
        for path, count in begun.items():
            assert path in known
            if path[0] in parts[0]["data"]:
                assert len(at(parts[0]["data"], path)) == count
        assert any("items" in each for part in parts for each in part.get("incremental", ()))
        assert put_together(parts) == whole["data"]
        assert parts[-1]["extensions"] == whole["extensions"]


def at(data: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        data = data[step]
    return data


@pytest.mark.parametrize("text", WHOLE)
def test_answer_is_whole_where_nothing_is_left_to_follow(world: World, text: str) -> None:
    (only,) = asked(world, text)
    assert only["data"] == world.data(text)
    assert "hasNext" not in only


def test_label_stands_where_the_rest_is_announced(world: World) -> None:
    first, *_ = asked(world, '{ deals { nodes @stream(label: "later") { id } } }')
    assert [each["label"] for each in first["pending"]] == ["later"]


def test_lists_within_a_streamed_list_come_with_their_records(world: World) -> None:
    text = """{ accounts(first: 4) { nodes @stream(initialCount: 1)
      { id deals(first: 5) { nodes @stream { id } } } } }"""
    parts = asked(world, text)
    assert [each["path"] for each in parts[0]["pending"]] == [["accounts", "nodes"]]
    assert not any("pending" in part for part in parts[1:])
    assert put_together(parts) == world.data(text)


def test_lists_that_stream_at_once_are_bounded(world: World) -> None:
    """Each end is work for client and server: what is over the bound is whole."""
    rows = world.data("{ deals(first: 200) { nodes { account { id } } } }")["deals"]["nodes"]
    assert len(rows) > 40
    text = """{ crm { deals(first: 200) { nodes { a: Account { Deals { nodes @stream { id } } }
      b: Account { Deals { nodes @stream { title } } } c: Account { Notes { nodes @stream { id } } }
      d: Account { Children { nodes @stream { id } } } } } } }"""
    parts = asked(world, text)
    assert len(parts[0]["pending"]) == 100
    assert put_together(parts) == world.data(text)


@pytest.mark.parametrize(
    "text",
    [
        "{ deals { nodes @stream(initialCount: -1) { id } } }",
        '{ _search(text: "deal") @stream(initialCount: -1) { path } }',
    ],
)
def test_count_below_zero_is_refused(world: World, text: str) -> None:
    (only,) = asked(world, text)
    (error,) = only["errors"]
    assert error["extensions"]["code"] == "stream_count"


def test_nodes_of_one_list_stream_alike_or_are_refused(world: World) -> None:
    (only,) = asked(world, "{ deals { nodes @stream { id } nodes { title } } }")
    assert "data" not in only


@pytest.mark.parametrize("email", ["masked@x.test", "shared@x.test", "denied@x.test"])
def test_streamed_records_are_those_that_the_person_may_see(world: World, email: str) -> None:
    text = """{ accounts(first: 9) { nodes @stream(initialCount: 1) { id revenue
      deals(first: 2) { nodes { amount } } } } }"""
    whole, parts = world.ask(text, email), asked(world, text, email)
    assert put_together(parts) == whole["data"]
    assert parts[-1].get("extensions") == whole["extensions"]


def test_all_parts_are_of_one_data_version(own_world: World) -> None:
    """A commit between the answer and its parts changes nothing of them."""
    own_world.fill(seeded())
    text = "{ deals(first: 200) { nodes @stream(initialCount: 1) { id title } } }"
    whole = own_world.data(text)

    async def overtaken() -> list[Any]:
        question = Question(text, takes_parts=True)
        answer = await own_world.responder.answer(Principal("acme", "all@x.test"), question)
        assert answer.later is not None
        changed = [row | {"title": "changed"} for row in seeded()["crm", "deals"]]
        own_world.write({("crm", "deals"): changed})
        found = [{"data": answer.data, **answer.later.first}]
        while found[-1]["hasNext"]:
            found.append(await answer.later.next())
        await answer.later.close()
        return found

    assert put_together(own_world.runner.run(overtaken())) == whole
    assert own_world.data(text) != whole


def test_parts_of_any_document_make_up_its_whole_answer(world: World) -> None:
    streamed: list[bool] = []

    @settings(
        max_examples=1_500 if IS_LONG else 120,
        deadline=None,
        derandomize=not IS_LONG,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(documents(), st.sampled_from(PEOPLE_ASKING), st.integers(0, 999))
    def draw(document: Document, email: str, seed: int) -> None:
        text = with_streams(document.text, random.Random(seed))
        assume(is_small(replace(document, text=text)))
        for variables in document.variables:
            whole = world.ask(document.text, email, variables=variables)
            parts = asked(world, text, email, variables)
            if OVERLAPPING in repr(parts[0].get("errors")):
                return  # the drawing merges lists
            assert parts[0].get("errors") == whole.get("errors"), text
            if whole["data"] is not None:
                assert put_together(parts) == whole["data"], text
            streamed.append(len(parts) > 1)

    draw()
    assert sum(streamed) >= 10  # about a third of what is drawn, in a run of any length


def with_streams(text: str, dice: random.Random) -> str:
    """Return a text some of whose lists stream, within the guard's limits of directives."""

    def streaming(found: re.Match[str]) -> str:
        nonlocal left
        if not left or dice.random() < 0.5:
            return found[0]
        left -= 1
        return f"{found[1]} @stream(initialCount: {dice.choice((0, 1, 2))}) {{"

    left = LIMITS.directives_max - text.count("@")
    return re.sub(r"\b(nodes|edges) \{", streaming, text)
