"""Names and values as hostile as providers and clients can make them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.graph.rights import grant
from tests.graph.world import CATALOGS, World, fields, seeded, seen

from firnline.catalog.model import Catalog, FieldInfo, ObjectInfo, Reference
from firnline.graph.names import field_name, graphql_name, object_names

NAMES = [
    'a"b', "a'b", "a;b", "a--b", "a b", "a.b", "a\0b", "é", "日本", "\u202e", "😀", "1a", "_x", "a_x",  # noqa: E501
    "Case", "case", "CASE", "and", "or", "not", "aggregate", "nodes", "where", "some", "count",
    "__typename", "__schema", "typename", "null", "true", "rowid", "_run", "select", "parent", "c0",
    "number", "w", "t0", "t0_raw", "k", "and_x_", "first", "after", "orderBy", "node", "edges",
]  # fmt: skip
OBJECTS = [
    "x", "xWhere", "xConnection", "xEdge", "x_by_key", "xSumWhere", 'x"; DROP TABLE x; --',
    "__type", "Query", "日本", "and", "1",
]  # fmt: skip
VALUES = [
    "", "'", '"', "''", "\\", ";--", "' OR '1'='1", '"); DROP TABLE "c_crm"."accounts"; --', "%",
    "_", "a\0b", "\u202eabc", "😀", "\U0010ffff", "\x7f", "\n", "\t", "x" * 5_000, "$1", "?",
]  # fmt: skip


def hostile(name: str) -> ObjectInfo:
    own = tuple(FieldInfo(name=each, type="string") for each in NAMES if each != "count")
    up = Reference(targets=("x",), relation="way up", inverse="back")
    return ObjectInfo(
        name=name,
        key="id",
        fields=(
            *fields(id="id", count="int"),
            *own,
            FieldInfo(name="up", type="id", reference=up),
        ),
    )


@pytest.fixture
def hostile_world(own_world: World) -> World:
    catalog = Catalog(provider="alpine", objects=(*map(hostile, OBJECTS), *CATALOGS["crm"].objects))
    own_world.discovered("acme", "crm", catalog)
    rows = {
        ("crm", name): [
            {"id": "1", "up": None, "count": 5, **{each: f"{each}!" for each in NAMES[:-1]}}
            | {"count": 5},
            {"id": "2", "up": "1", "count": None},
        ]
        for name in OBJECTS
    }
    grants = [grant("all@x.test", name, seen()) for name in (*OBJECTS, "accounts")]
    world_rows = {**rows, ("crm", "grants"): grants, ("crm", "accounts"): []}
    own_world.write(world_rows, catalogs={"crm": catalog})
    return own_world


def test_every_hostile_field_is_selected_filtered_and_ordered(hostile_world: World) -> None:
    for name in (each for each in NAMES if each not in ("count", NAMES[-1])):
        legal = field_name(name)
        text = f"""query ($value: String!) {{ crm {{ x(where: {{{legal}: {{eq: $value}}}},
                   orderBy: [{{{legal}: DESC}}], first: 5) {{ nodes {{ id found: {legal} }}
                   totalCount aggregate {{ max {{ {legal} }} }} }} }} }}"""
        answer = hostile_world.data(text, variables={"value": f"{name}!"})["crm"]["x"]
        assert answer["nodes"] == [{"id": "1", "found": f"{name}!"}], name
        assert answer["aggregate"]["max"][legal] == f"{name}!"


def test_every_hostile_field_groups_is_distinct_and_is_sorted_by_over_relations(
    hostile_world: World,
) -> None:
    for name in (each for each in NAMES if each not in ("count", NAMES[-1])):
        legal = field_name(name)
        text = f"""query ($value: String!) {{ crm {{
          x(distinctOn: [{{{legal}: VALUE}}], orderBy: [{{way_x20_up: {{{legal}: DESC}}}}]) {{
            nodes {{ id }}
            groupBy(by: [{{{legal}: VALUE}}, {{way_x20_up: {{{legal}: VALUE}}}}],
                    having: {{max: {{{legal}: {{eq: $value}}}}}},
                    orderBy: [{{key: {{{legal}: ASC}}}},
                              {{aggregate: {{max: {{{legal}: ASC}}}}}}]) {{
              key {{ {legal} way_x20_up {{ {legal} }} }}
              aggregate {{ count countDistinct {{ {legal} }} }} }} }}
          sorted: x(orderBy: [{{back: {{aggregate: {{max: {{{legal}: DESC}}}}}}}}]) {{
            nodes {{ id }} }}
          found: x(search: $value) {{ totalCount }}
          x_by_keys(keys: ["2", "1"]) {{ {legal} }} }} }}"""
        answer = hostile_world.data(text, variables={"value": f"{name}!"})["crm"]
        assert [each["id"] for each in answer["x"]["nodes"]] == ["2", "1"], name
        key = {legal: f"{name}!", "way_x20_up": {legal: None}}
        aggregate = {"count": 1, "countDistinct": {legal: 1}}
        assert answer["x"]["groupBy"] == [{"key": key, "aggregate": aggregate}]
        assert len(answer["sorted"]["nodes"]) == 2
        assert answer["x_by_keys"] == [{legal: None}, {legal: f"{name}!"}]
        assert answer["found"]["totalCount"] == 1, name


def test_every_hostile_object_has_its_list_its_record_and_its_relations(
    hostile_world: World,
) -> None:
    for own in object_names(OBJECTS).values():
        text = f"""{{ crm {{ __typename {own}(first: 1,
                     where: {{way_x20_up: {{id: {{eq: "1"}}}}}}) {{
                     nodes {{ id way_x20_up {{ id }} }} }}
                     one: {own}_by_key(id: "1") {{ id count }} }} }}"""
        answer = hostile_world.data(text)["crm"]
        assert answer[own]["nodes"] == [{"id": "2", "way_x20_up": {"id": "1"}}]
        assert answer["one"] == {"id": "1", "count": 5}


def test_field_called_count_is_aggregated_beside_the_count(hostile_world: World) -> None:
    text = "{ crm { x { aggregate { count sum { count } max { count } } } } }"
    aggregate = hostile_world.data(text)["crm"]["x"]["aggregate"]
    assert aggregate == {"count": 2, "sum": {"count": 5}, "max": {"count": 5}}


def test_filter_words_stay_operators_beside_fields_of_that_name(hostile_world: World) -> None:
    text = """{ crm { x(where: {or: [{and_x_: {eq: "and!"}}, {not: {id: {in: ["1", "2"]}}}]}) {
                nodes { id and_x_ or_x_ } } } }"""
    nodes = hostile_world.data(text)["crm"]["x"]["nodes"]
    assert nodes == [{"id": "1", "and_x_": "and!", "or_x_": "or!"}]


@given(names=st.lists(st.text(max_size=8) | st.sampled_from([*NAMES, *OBJECTS]), unique=True))
@settings(max_examples=300, derandomize=True, deadline=None)
def test_names_become_legal_and_stay_different(names: list[str]) -> None:
    legal = re.compile(r"(?!__)[_A-Za-z][_0-9A-Za-z]*")
    for renamed in (
        [graphql_name(name) for name in names],
        [field_name(name) for name in names],
        list(object_names(names).values()),
    ):
        assert all(legal.fullmatch(each) for each in renamed)
        assert len(set(renamed)) == len(names)


def vendors_name(name: str) -> str:
    """Read a name back as docs/graph.md says, without a look at how it was written."""
    read = re.compile("_x([0-9a-f]*)_")  # from left to right
    return read.sub(lambda found: chr(int(found[1], 16)) if found[1] else "", name)


@given(name=st.text(max_size=12) | st.text("_x_5f0a ", max_size=12) | st.sampled_from(NAMES))
@settings(max_examples=600, derandomize=True, deadline=None)
def test_name_tells_the_vendors_name(name: str) -> None:
    assert vendors_name(graphql_name(name)) == name
    assert vendors_name(field_name(name)) == name
    beside = object_names([name, name + "Where", name + "_by_key"])
    assert [vendors_name(each) for each in beside.values()] == list(beside)


@given(name=st.from_regex(r"(?!__)[_A-Za-z][_0-9A-Za-z]{0,20}", fullmatch=True))
@settings(max_examples=300, derandomize=True, deadline=None)
def test_legal_name_is_kept_as_it_is(name: str) -> None:
    if "_x" not in name:
        assert graphql_name(name) == name
        assert field_name(name) in (name, f"{name}_x_")


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_hostile_text_is_only_ever_a_value(own_world: World, value: str) -> None:
    rows = seeded()
    template = rows["crm", "accounts"][0]
    rows["crm", "accounts"] = [
        {**template, "id": value or "e", "name": value, "tags": [value], "region": "here"},
        {**template, "id": "other", "name": "something else", "tags": []},
    ]
    own_world.fill(rows)
    text = """query ($v: String!, $k: ID!) {
      eq: accounts(where: {name: {eq: $v}}) { nodes { name labels } }
      among: accounts(where: {name: {in: [$v]}}) { totalCount }
      starts: accounts(where: {name: {startsWith: $v}, region: {eq: "here"}}) { totalCount }
      ends: accounts(where: {name: {endsWith: $v}, region: {eq: "here"}}) { totalCount }
      holds: accounts(where: {name: {contains: $v}, region: {eq: "here"}}) { totalCount }
      any: accounts(where: {name: {icontains: $v}, region: {eq: "here"}}) { totalCount }
      tagged: accounts(where: {labels: {has: $v}}) { totalCount }
      tags: accounts(where: {labels: {hasAny: [$v]}}) { totalCount }
      record: account(id: $k) { name }
      page: accounts(first: 1, orderBy: [{name: ASC}]) { pageInfo { endCursor } } }"""

    data = own_world.data(text, variables={"v": value, "k": value or "e"})

    assert data["eq"]["nodes"] == [{"name": value, "labels": [value]}]
    assert data["record"] == {"name": value}
    for key in ("among", "starts", "ends", "holds", "any", "tagged", "tags"):
        assert data[key] == {"totalCount": 1}, key
    after = data["page"]["pageInfo"]["endCursor"]
    rest = own_world.data(
        "query ($a: String) { accounts(first: 1, orderBy: [{name: ASC}], after: $a)"
        " { nodes { name } } }",
        variables={"a": after},
    )
    assert len(rest["accounts"]["nodes"]) == 1
