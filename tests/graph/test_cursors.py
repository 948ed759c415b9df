"""A cursor belongs to one person, tenant and question, and to nobody else."""

from __future__ import annotations

import base64
from datetime import datetime

import pytest
from tests.graph.world import World, seeded

TEXT = """query ($after: String, $where: DealWhere, $order: [DealOrderBy!], $first: Int = 3) {
  deals(after: $after, where: $where, orderBy: $order, first: $first) {
    nodes { id } pageInfo { endCursor hasNextPage } } }"""

BACKWARD = """query ($after: String, $before: String,
  $order: [DealOrderBy!], $first: Int, $last: Int) {
  deals(after: $after, before: $before, orderBy: $order, first: $first, last: $last) {
    nodes { id } edges { cursor }
    pageInfo { startCursor endCursor hasNextPage hasPreviousPage } } }"""


def end_cursor(
    world: World, email: str = "all@x.test", tenant: str = "acme", **variables: object
) -> str:
    data = world.data(TEXT, email, variables=variables, tenant=tenant)
    return str(data["deals"]["pageInfo"]["endCursor"])


def test_cursor_goes_on_where_the_page_ended_with_any_page_size(world: World) -> None:
    after = end_cursor(world)
    rest = world.data(TEXT, variables={"after": after, "first": 200})["deals"]["nodes"]
    whole = world.data(TEXT, variables={"first": 200})["deals"]["nodes"]
    assert whole[3:] == rest


def test_cursor_of_another_person_or_tenant_is_refused(world: World) -> None:
    after = end_cursor(world)
    assert world.code(TEXT, "crmonly@x.test", variables={"after": after}) == "cursor_invalid"
    assert world.code(TEXT, variables={"after": after}, tenant="beta") == "cursor_invalid"


@pytest.mark.parametrize(
    "changes",
    [
        {"where": {"title": {"eq": "Alp"}}},
        {"order": [{"title": "ASC"}]},
        {"order": [{"id": "DESC"}]},
    ],
)
def test_cursor_of_another_question_is_refused(world: World, changes: dict[str, object]) -> None:
    after = end_cursor(world)
    assert world.code(TEXT, variables={"after": after, **changes}) == "cursor_invalid"


def test_cursor_of_another_field_is_refused(world: World) -> None:
    after = end_cursor(world)
    for text in (
        "query ($after: String) { accounts(after: $after) { nodes { id } } }",
        "query ($after: String) { crm { deals(after: $after) { nodes { id } } } }",
        "query ($after: String) { accounts { nodes { deals(after: $after) { totalCount } } } }",
    ):
        assert world.code(text, variables={"after": after}) == "cursor_invalid"


@pytest.mark.parametrize(
    "broken",
    ["", "x", "====", "not base64!", "日本", "A" * 10, "A" * 16, "A" * 200, "\0", "null", "[1]"],
)
def test_text_that_is_no_cursor_is_refused(world: World, broken: str) -> None:
    assert world.code(TEXT, variables={"after": broken}) == "cursor_invalid"


def test_changed_cursor_is_refused_wherever_it_was_changed(world: World) -> None:
    after = end_cursor(world)
    raw = base64.urlsafe_b64decode(after + "=" * (-len(after) % 4))
    for position in range(len(raw)):
        flipped = bytearray(raw)
        flipped[position] ^= 1
        text = base64.urlsafe_b64encode(bytes(flipped)).decode().rstrip("=")
        assert world.code(TEXT, variables={"after": text}) == "cursor_invalid"
    for changed in (after[:-4], after + "AAAA", after[:8], f"{after[:9]}!{after[9:]}", f" {after}"):
        assert world.code(TEXT, variables={"after": changed}) == "cursor_invalid"


def test_cursor_shows_no_value_of_the_record(world: World) -> None:
    after = end_cursor(world, order=[{"title": "DESC"}])
    raw = base64.urlsafe_b64decode(after + "=" * (-len(after) % 4))
    assert b"d0" not in raw
    # Equal questions have equal answers; whose and which question it is makes all the difference.
    assert after == end_cursor(world, order=[{"title": "DESC"}])
    assert after != end_cursor(world, "crmonly@x.test", order=[{"title": "DESC"}])
    assert after != end_cursor(world, order=[{"title": "DESC"}], tenant="beta")
    assert after != end_cursor(world, order=[{"title": "DESC"}, {"id": "DESC"}])


@pytest.mark.parametrize("direction", ["ASC", "DESC", "ASC_NULLS_FIRST", "DESC_NULLS_FIRST"])
@pytest.mark.parametrize("size", [1, 4])
def test_equal_stamps_microseconds_and_nulls_never_skip_or_repeat(
    own_world: World, direction: str, size: int
) -> None:
    rows = seeded()
    base = datetime(2026, 1, 1, 9, 30, 0, 999_998)
    stamps = [base, base, None, base.replace(microsecond=999_999), None, base.replace(second=1)] * 2
    deals = [
        {**rows["crm", "deals"][0], "id": f"e{n}", "stage": "1", "updated": stamp}
        for n, stamp in enumerate(stamps)
    ]
    own_world.fill({**rows, ("crm", "deals"): deals})
    order = [{"updatedAt": direction}]
    whole = own_world.data(TEXT, variables={"order": order, "first": 200})["deals"]["nodes"]
    assert len(whole) == len(deals)

    paged, after = [], None
    for _ in range(len(deals) + 1):
        given = {"order": order, "first": size, "after": after}
        page = own_world.data(TEXT, variables=given)["deals"]
        paged += page["nodes"]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break

    assert paged == whole


@pytest.mark.parametrize("size", [1, 2, 7, 200])
@pytest.mark.parametrize(
    "order",
    [
        [],
        [{"title": "DESC_NULLS_FIRST"}, {"amount": "ASC"}],
        [{"account": {"name": "DESC"}}],
        [{"account": {"parent": {"createdAt": "ASC_NULLS_FIRST"}}}],
        [{"account": {"tickets": {"aggregate": {"median": {"effort": "DESC"}}}}}],
    ],
)
def test_paging_from_the_end_shows_the_same_list(
    world: World, order: list[object], size: int
) -> None:
    given = {"order": order}
    whole = world.data(TEXT, variables={**given, "first": 200})["deals"]["nodes"]
    paged: list[object] = []
    before, more = None, True
    while more:
        variables = {**given, "last": size, "before": before}
        page = world.data(BACKWARD, variables=variables)["deals"]
        paged = page["nodes"] + paged
        assert [edge["cursor"] for edge in page["edges"]][-1:] == [page["pageInfo"]["endCursor"]]
        assert page["pageInfo"]["hasNextPage"] == (before is not None)
        before, more = page["pageInfo"]["startCursor"], page["pageInfo"]["hasPreviousPage"]
        assert len(paged) <= len(whole)
    assert paged == whole


def test_window_between_two_cursors_is_read_from_both_ends(world: World) -> None:
    order = [{"account": {"deals": {"aggregate": {"count": "DESC"}}}}]
    text = """query ($order: [DealOrderBy!]) { deals(orderBy: $order, first: 200) {
                edges { cursor node { id } } } }"""
    edges = world.data(text, variables={"order": order})["deals"]["edges"]
    nodes = [edge["node"] for edge in edges]
    given = {"order": order, "after": edges[3]["cursor"], "before": edges[9]["cursor"]}

    forward = world.data(BACKWARD, variables={**given, "first": 2})["deals"]
    backward = world.data(BACKWARD, variables={**given, "last": 2})["deals"]
    inside = world.data(BACKWARD, variables={**given, "last": 5})["deals"]

    assert (forward["nodes"], backward["nodes"]) == (nodes[4:6], nodes[7:9])
    assert inside["nodes"] == nodes[4:9]
    for page in (forward, backward, inside):
        assert page["pageInfo"]["hasNextPage"] and page["pageInfo"]["hasPreviousPage"]


def test_last_records_of_each_parent_stand_in_the_order_of_the_list(world: World) -> None:
    text = """{ accounts(first: 200) { nodes { whole: deals(orderBy: [{amount: DESC}], first: 200) {
                nodes { id } } end: deals(orderBy: [{amount: DESC}], last: 2) { nodes { id }
                pageInfo { hasPreviousPage hasNextPage } } } } }"""
    for node in world.data(text)["accounts"]["nodes"]:
        whole = node["whole"]["nodes"]
        assert node["end"]["nodes"] == whole[-2:]
        facts = {"hasPreviousPage": len(whole) > 2, "hasNextPage": False}
        assert node["end"]["pageInfo"] == facts


def test_first_and_last_together_are_refused(world: World) -> None:
    assert world.code("{ deals(first: 1, last: 1) { totalCount } }") == "page_invalid"
    assert world.code("{ deals(last: 201) { totalCount } }") == "page_size"


def test_several_keys_give_records_in_their_order_and_null_for_what_is_not_seen(
    world: World,
) -> None:
    keys = ["a3", "nothing", "a1", "a3", "' OR 1=1 --"]
    text = """query ($keys: [ID!]!) { accountsByKey(keys: $keys) { id deals { totalCount } }
                crm { accounts_by_keys(keys: $keys) { id } } }"""

    data = world.data(text, variables={"keys": keys})

    shown = [record and record["id"] for record in data["accountsByKey"]]
    assert shown == ["a3", None, "a1", "a3", None]
    assert data["crm"]["accounts_by_keys"][:2] == [{"id": "a3"}, None]
    rep = world.data(text, "rep@x.test", variables={"keys": [f"a{n}" for n in range(1, 25)]})
    visible = world.data("{ accounts(first: 200) { nodes { id } } }", "rep@x.test")
    assert [each for each in rep["crm"]["accounts_by_keys"] if each] == sorted(
        visible["accounts"]["nodes"], key=lambda each: int(each["id"][1:])
    )
    assert world.code(text, variables={"keys": ["a"] * 201}) == "page_size"


def test_page_size_outside_its_bounds_is_refused(world: World) -> None:
    for first in (-1, 201, 2**31 - 1):
        assert world.code(TEXT, variables={"first": first}) == "page_size"
