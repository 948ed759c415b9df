"""`search` and `distinctOn` choose the records that plain Python chooses."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.graph.asking import literal, wheres
from tests.graph.reference import KINDS, LIST_FIELDS, Ask, Reference, Refused
from tests.graph.test_grouping import groupings, nested, truncated
from tests.graph.test_reference import bounded
from tests.graph.world import PEOPLE, Row, World, seeded

ROWS = seeded()
ENUMS = {("Account", "segment"), ("Ticket", "priority")}
TEXTS = st.sampled_from(
    ("alp", "ALP", "ather", "Äther", "o'neil 50%", "_", "日本", "", "north alp")
)


def plain(text: str) -> str:
    apart = unicodedata.normalize("NFD", text.lower())
    return "".join(each for each in apart if not unicodedata.combining(each))


def is_found(reference: Reference, kind: str, row: Row, text: str) -> bool:
    held = [
        plain(value)
        for name, field in KINDS[kind].fields.items()
        if field[0] == "string" and (kind, name) not in ENUMS and not reference.hides(kind, name)
        if (value := reference.value(kind, row, name)) is not None
    ]
    return all(any(plain(word) in each for each in held) for word in text.split())


@bounded
@given(
    kind=st.sampled_from(sorted(KINDS)), text=TEXTS, email=st.sampled_from(sorted(PEOPLE)),
    data=st.data(),
)  # fmt: skip
def test_search_finds_what_readable_text_fields_hold(
    world: World, kind: str, text: str, email: str, data: Any
) -> None:
    where = data.draw(wheres(kind, 1))
    reference = Reference(ROWS, email)
    query = f"""{{ answer: {LIST_FIELDS[kind]}(where: {literal(where)}, search: {literal(text)},
                first: 200) {{ totalCount nodes {{ id }} }} }}"""

    response = world.ask(query, email)

    try:
        rows = reference.ordered(Ask(kind, where))
    except Refused:
        assert response["errors"]
        return
    expected = [row["id"] for row in rows if is_found(reference, kind, row, text)]
    assert "errors" not in response, (query, response["errors"])
    assert [node["id"] for node in response["data"]["answer"]["nodes"]] == expected, query
    assert response["data"]["answer"]["totalCount"] == len(expected)


def test_search_leaves_masked_fields_out_and_says_so(world: World) -> None:
    text = '{ deals(search: "s1") { totalCount } }'
    assert world.data(text)["deals"]["totalCount"] > 0
    response = world.ask(text, "child@x.test")
    assert response["data"]["deals"]["totalCount"] == 0
    notes = {note["coordinate"] for note in response["extensions"]["access"]}
    assert "Deal.secret" in notes


@bounded
@given(grouping=groupings(), email=st.sampled_from(sorted(PEOPLE)), is_down=st.booleans())
def test_distinct_on_keeps_the_first_record_of_equal_keys(
    world: World, grouping: Any, email: str, is_down: bool
) -> None:
    kind, where, keys, _ = grouping
    reference = Reference(ROWS, email)
    name = "id" if not is_down else {"Account": "name", "Deal": "title", "Ticket": "subject"}[kind]
    ask = Ask(kind, where, order=[(name, "DESC_NULLS_FIRST")])
    on = ", ".join(nested(path, unit) for path, unit in keys)
    asked = f"{LIST_FIELDS[kind]}(where: {literal(where)}, distinctOn: [{on}], first: 200, " \
        f"orderBy: [{{{name}: DESC_NULLS_FIRST}}])"  # fmt: skip
    query = f"{{ answer: {asked} {{ nodes {{ id }} aggregate {{ count }} }} }}"

    response = world.ask(query, email)

    try:
        rows = reference.ordered(ask)
        for path, _ in keys:
            reference._check_order(kind, path)
    except Refused:
        assert response["errors"]
        return
    firsts: dict[Any, str] = {}
    for row in rows:
        key = tuple(truncated(reference.sorted_by(kind, row, path), unit) for path, unit in keys)
        firsts.setdefault(key, row["id"])
    assert "errors" not in response, (query, response["errors"])
    assert [node["id"] for node in response["data"]["answer"]["nodes"]] == list(firsts.values())
    assert response["data"]["answer"]["aggregate"]["count"] == len(firsts)


def test_distinct_records_of_a_relation_are_distinct_within_each_parent(world: World) -> None:
    text = """{ accounts(first: 200) { nodes { all: deals(first: 200) { nodes { stage } }
                some: deals(distinctOn: [{stage: VALUE}]) { totalCount nodes { stage } } } } }"""
    for node in world.data(text)["accounts"]["nodes"]:
        stages = {each["stage"] for each in node["all"]["nodes"]}
        assert {each["stage"] for each in node["some"]["nodes"]} == stages
        assert node["some"]["totalCount"] == len(node["some"]["nodes"]) == len(stages)


@pytest.mark.parametrize("search", ["x" * 201, "a " * 11])
def test_search_for_too_much_is_refused(world: World, search: str) -> None:
    assert world.code(f'{{ deals(search: "{search}") {{ totalCount }} }}') == "filter_invalid"


def test_cursor_belongs_to_its_search_and_distinct_keys(world: World) -> None:
    page = "{ pageInfo { endCursor } }"
    after = world.data(f'{{ deals(search: "a", first: 1) {page} }}')["deals"]["pageInfo"]
    cursor = literal(after["endCursor"])
    assert world.data(f'{{ deals(search: "a", after: {cursor}) {page} }}')
    for changed in ('search: "b"', 'search: "a", distinctOn: [{stage: VALUE}]'):
        text = f"{{ deals({changed}, after: {cursor}) {page} }}"
        assert world.code(text) == "cursor_invalid"
