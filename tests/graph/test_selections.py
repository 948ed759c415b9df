"""Every part of a selection is answered as the GraphQL specification says."""

from __future__ import annotations

import pytest
from tests.graph.world import World


@pytest.fixture(scope="module", params=[False, True], ids=["duckdb", "resident"])
def is_resident(request: pytest.FixtureRequest) -> bool:
    """Hold everything here both ways: from DuckDB alone, and with columns in memory."""
    return bool(request.param)


def test_typename_is_answered_at_every_level(world: World) -> None:
    data = world.data(
        """{ __typename
             accounts(first: 1, orderBy: [{id: ASC}]) { __typename
               nodes { __typename parent { __typename } deals { __typename } }
               edges { __typename node { __typename } }
               pageInfo { __typename }
               aggregate { __typename sum { __typename } max { __typename name } }
             }
             crm { __typename accounts(first: 1) { __typename nodes { __typename } } }
             account(id: "a1") { __typename } _gateway { __typename person { __typename } } }"""
    )

    accounts = data["accounts"]
    assert data["__typename"] == "Query"
    assert accounts["__typename"] == "AccountConnection"
    assert accounts["nodes"][0]["__typename"] == "Account"
    assert accounts["nodes"][0]["deals"] == {"__typename": "DealConnection"}
    assert accounts["edges"] == [{"__typename": "AccountEdge", "node": {"__typename": "Account"}}]
    assert accounts["pageInfo"] == {"__typename": "PageInfo"}
    assert accounts["aggregate"]["__typename"] == "AccountAggregate"
    assert accounts["aggregate"]["sum"] == {"__typename": "AccountSum"}
    assert accounts["aggregate"]["max"]["__typename"] == "AccountMax"
    assert data["crm"]["__typename"] == "Crm"
    assert data["crm"]["accounts"]["__typename"] == "Crm_accountsConnection"
    assert data["crm"]["accounts"]["nodes"] == [{"__typename": "Crm_accounts"}]
    assert data["account"] == {"__typename": "Account"}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("nodes { id @skip(if: true) }", {"nodes": [{}, {}]}),
        ("edges { node { id @include(if: false) } }", {"edges": [{"node": {}}, {"node": {}}]}),
        ("edges { cursor @skip(if: true) }", {"edges": [{}, {}]}),
        ("pageInfo { endCursor @skip(if: true) }", {"pageInfo": {}}),
        ("aggregate { count @skip(if: true) }", {"aggregate": {}}),
        ("aggregate { __typename }", {"aggregate": {"__typename": "AccountAggregate"}}),
        ("aggregate { sum { rating @skip(if: true) } }", {"aggregate": {"sum": {}}}),
        ("totalCount @skip(if: true)", {}),
    ],
)
def test_selection_left_empty_by_directives_still_answers_its_shape(
    world: World, asked: str, expected: object
) -> None:
    assert world.data(f"{{ accounts(first: 2) {{ {asked} }} }}") == {"accounts": expected}


def test_to_one_record_without_selected_fields_is_an_empty_object(world: World) -> None:
    data = world.data(
        """{ accounts(where: {parent: {}}, first: 1) {
               nodes { parent { id @skip(if: true) } deals { nodes { id @skip(if: true) } } } }
             account(id: "a1") { id @skip(if: true) } }"""
    )
    assert data["accounts"]["nodes"][0]["parent"] == {}
    assert data["account"] == {}


def test_aliases_fragments_and_repeated_fields_merge_in_response_order(world: World) -> None:
    data = world.data(
        """query { b: accounts(first: 1, where: {id: {eq: "a1"}}) { ...A nodes { id } ...A }
                 accounts(first: 1, where: {id: {eq: "a1"}}) { nodes { id } }
                 accounts(first: 1, where: {id: {eq: "a1"}}) { nodes { again: id } totalCount } }
           fragment A on AccountConnection { n: nodes { x: id } nodes { y: id ...B } }
           fragment B on Account { z: id ... on Account { w: id } }"""
    )
    record = {"y": "a1", "z": "a1", "w": "a1", "id": "a1"}
    assert list(data) == ["b", "accounts"]
    assert data["b"] == {"n": [{"x": "a1"}], "nodes": [record]}
    assert list(data["b"]["nodes"][0]) == ["y", "z", "w", "id"]
    assert data["accounts"] == {"nodes": [{"id": "a1", "again": "a1"}], "totalCount": 1}


def test_one_relation_twice_under_aliases_keeps_its_arguments_apart(world: World) -> None:
    (node,) = world.data(
        """{ accounts(where: {deals: {aggregate: {count: {gte: 2}}}}, first: 1) { nodes {
               one: deals(first: 1) { nodes { id } pageInfo { hasNextPage } }
               none: deals(where: {id: {eq: "-"}}) { nodes { id } totalCount }
               deals { totalCount } } } }"""
    )["accounts"]["nodes"]
    assert len(node["one"]["nodes"]) == 1
    assert node["one"]["pageInfo"] == {"hasNextPage": True}
    assert node["none"] == {"nodes": [], "totalCount": 0}
    assert node["deals"]["totalCount"] >= 2


def test_alias_named_as_an_internal_key_is_only_an_alias(world: World) -> None:
    data = world.data(
        """{ accounts(first: 1, where: {id: {eq: "a1"}}) {
               cursor: totalCount node: __typename
               edges { cursor: __typename node: cursor parent: node { c0: id parent: id w: id } }
               nodes { parent: id number: id c0: id }
               pageInfo { endCursor: hasNextPage } } }"""
    )["accounts"]
    assert data["cursor"] == 1
    assert data["edges"][0]["cursor"] == "AccountEdge"
    assert data["edges"][0]["parent"] == {"c0": "a1", "parent": "a1", "w": "a1"}
    assert data["nodes"] == [{"parent": "a1", "number": "a1", "c0": "a1"}]
    assert data["pageInfo"] == {"endCursor": False}


def test_variables_defaults_and_nulls_are_coerced_as_specified(world: World) -> None:
    text = """query ($where: AccountWhere, $first: Int = 2, $order: [AccountOrderBy!]) {
                accounts(where: $where, first: $first, orderBy: $order) { nodes { id } } }"""
    assert len(world.data(text)["accounts"]["nodes"]) == 2
    given = {"where": {"id": {"eq": "a3"}}, "first": None, "order": {"name": "DESC"}}
    assert world.data(text, variables=given)["accounts"]["nodes"] == [{"id": "a3"}]


def test_relation_over_numbers_filters_as_it_answers(world: World) -> None:
    data = world.data(
        """{ with: accounts(where: {sized: {some: {}}}, first: 200) { nodes { rating
               sized { totalCount nodes { effort } } } totalCount }
             without: accounts(where: {sized: {none: {}}}) { totalCount } }"""
    )
    for node in data["with"]["nodes"]:
        assert {each["effort"] for each in node["sized"]["nodes"]} == {node["rating"]}
    assert data["with"]["totalCount"] + data["without"]["totalCount"] == 24


def test_counts_are_grouped_by_a_mapped_link(world: World) -> None:
    """The link holds bound values, which GROUP BY must not repeat."""
    nodes = world.data(
        """{ accounts(first: 200) { nodes { segment
               peers(first: 1) { totalCount aggregate { sum { rating } } } } } }"""
    )["accounts"]["nodes"]
    for node in nodes:
        same = sum(other["segment"] == node["segment"] for other in nodes)
        assert node["peers"]["totalCount"] == (same if node["segment"] else 0)
