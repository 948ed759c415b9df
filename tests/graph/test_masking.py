"""What a person may not read is null where it is selected, and refused wherever else it stands."""

from __future__ import annotations

from typing import Any

import pytest
from tests.graph.rights import grant
from tests.graph.world import PEOPLE, World, seeded, seen


@pytest.fixture(scope="module", params=[False, True], ids=["duckdb", "resident"])
def is_resident(request: pytest.FixtureRequest) -> bool:
    """Hold everything here both ways: from DuckDB alone, and with columns in memory."""
    return bool(request.param)


MASKED = "masked@x.test"
SELECTING = [
    ("{ deals { nodes { amount } } }", "Deal.amount"),
    ("{ deals { nodes { other: amount } } }", "Deal.amount"),
    ("{ deals { edges { node { amount } } } }", "Deal.amount"),
    ('{ deal(id: "d01") { amount } }', "Deal.amount"),
    ("{ ...Q } fragment Q on Query { deals { ...C } } fragment C on DealConnection"
     " { nodes { ... { ... on Deal { amount } } } }", "Deal.amount"),
    ("{ accounts { nodes { deals { nodes { amount } } } } }", "Deal.amount"),
    ("{ deals { nodes { account { revenue } } } }", "Account.revenue"),
    ("{ accounts { nodes { segment } } }", "Account.segment"),
    ("{ accounts { nodes { isKey } } }", "Account.isKey"),
    ("{ accounts { nodes { contactName } } }", "Account.contactName"),
    ("{ deals { nodes { ownerTeam } } }", "Deal.ownerTeam"),
    ("{ tickets { nodes { priority } } }", "Ticket.priority"),
    ("{ crm { deals { nodes { amount } } } }", "Crm_deals.amount"),
    ('{ crm { deals_by_key(id: "d01") { amount } } }', "Crm_deals.amount"),
    ("{ crm { accounts { nodes { Deals { nodes { amount } } } } } }", "Crm_deals.amount"),
    ("{ crm { deals { nodes { Account { revenue } } } } }", "Crm_accounts.revenue"),
]  # fmt: skip
USING = [
    "deals(where: {amount: {gt: 1}}) { totalCount }",
    "deals(where: {amount: {isNull: true}}) { totalCount }",
    "deals(where: {not: {or: [{amount: {isNull: true}}]}}) { totalCount }",
    "deals(orderBy: [{amount: ASC}]) { nodes { id } }",
    "deals(orderBy: [{title: ASC}, {amount: ASC}], first: 0) { nodes { id } }",
    "deals { aggregate { sum { amount } } }",
    "deals { aggregate { max { amount } } }",
    "deals(where: {ownerTeam: {eq: \"north\"}}) { totalCount }",
    "deals(orderBy: [{ownerTeam: ASC}]) { totalCount }",
    "deals { aggregate { min { ownerTeam } } }",
    "deals(where: {account: {revenue: {gt: 1}}}) { totalCount }",
    "deals(where: {account: {segment: {eq: \"small\"}}}) { totalCount }",
    "accounts(where: {isKey: {eq: true}}) { totalCount }",
    "accounts(where: {contactName: {contains: \"a\"}}) { totalCount }",
    "accounts(orderBy: [{contactName: DESC}]) { totalCount }",
    "accounts(where: {deals: {some: {amount: {gt: 1}}}}) { totalCount }",
    "accounts(where: {deals: {none: {amount: {gt: 1}}}}) { totalCount }",
    "accounts(where: {deals: {every: {amount: {gt: 1}}}}) { totalCount }",
    "accounts(where: {deals: {where: {amount: {gt: 1}}}}) { totalCount }",
    "accounts(where: {deals: {where: {amount: {gt: 1}}, aggregate: {count: {gt: 0}}}})"
    " { totalCount }",
    "accounts(where: {deals: {aggregate: {sum: {amount: {gt: 1}}}}}) { totalCount }",
    "accounts(where: {parent: {parent: {revenue: {gt: 1}}}}) { totalCount }",
    "accounts { nodes { deals(where: {amount: {gt: 1}}) { totalCount } } }",
    "accounts { nodes { deals(orderBy: [{amount: ASC}]) { totalCount } } }",
    "accounts { nodes { deals { aggregate { avg { amount } } } } }",
    "tickets(where: {priority: {eq: \"high\"}}) { totalCount }",
    "crm { deals(where: {amount: {gt: 1}}) { totalCount } }",
    "crm { deals(orderBy: [{amount: ASC}]) { totalCount } }",
    "crm { deals(where: {Account: {revenue: {gt: 1}}}) { totalCount } }",
    "crm { accounts(where: {Deals: {aggregate: {max: {amount: {gt: 1}}}}}) { totalCount } }",
]  # fmt: skip


@pytest.mark.parametrize(("text", "coordinate"), SELECTING)
def test_masked_field_is_null_and_listed_on_every_path(
    world: World, text: str, coordinate: str
) -> None:
    response = world.ask(text, MASKED)

    assert "errors" not in response
    values = list(leaves(response["data"]))
    assert values
    assert set(values) == {None}
    (note,) = [n for n in response["extensions"]["access"] if n["coordinate"] == coordinate]
    assert note["effect"] == "masked"
    assert note["reason"] in ("finance only", "nobody")
    assert note["source"] in ("crm", "desk")


@pytest.mark.parametrize("asked", USING)
def test_masked_field_may_not_decide_anything(world: World, asked: str) -> None:
    response = world.ask(f"{{ {asked} }}", MASKED)

    (error,) = response["errors"]
    assert error["extensions"]["code"] == "field_not_readable"
    assert error["extensions"]["hint"] in ("finance only", "nobody")
    assert response["data"] is None
    assert "errors" not in world.ask(f"{{ {asked} }}", "all@x.test")


def test_denied_object_is_empty_and_listed(world: World) -> None:
    response = world.ask(
        """{ accounts { nodes { id name } totalCount aggregate { count max { ownerName } } }
             account(id: "a1") { id }
             crm { accounts { totalCount } accounts_by_key(id: "a1") { id } }
             deals(first: 3) { nodes { id account { id } } } }""",
        "denied@x.test",
    )

    data = response["data"]
    assert "errors" not in response
    assert data["accounts"] == {
        "nodes": [],
        "totalCount": 0,
        "aggregate": {"count": 0, "max": {"ownerName": None}},
    }
    assert data["account"] is None
    assert data["crm"] == {"accounts": {"totalCount": 0}, "accounts_by_key": None}
    assert {deal["account"] for deal in data["deals"]["nodes"]} == {None}
    reasons = {note["coordinate"]: note["reason"] for note in response["extensions"]["access"]}
    assert reasons == {
        "Account": "the profile gives no access to accounts",
        "Crm_accounts": "the profile gives no access to accounts",
    }


@pytest.mark.parametrize(
    "where",
    ["{account: {}}", '{not: {account: {name: {eq: "Alp"}}}}', "{account: {deals: {some: {}}}}"],
)
def test_denied_object_may_not_decide_about_other_records(world: World, where: str) -> None:
    text = f"{{ deals(where: {where}) {{ totalCount }} }}"
    assert world.code(text, "denied@x.test") == "object_not_readable"


def test_path_through_a_denied_object_is_masked(world: World) -> None:
    response = world.ask("{ deals { nodes { accountRegion } } }", "denied@x.test")
    assert {node["accountRegion"] for node in response["data"]["deals"]["nodes"]} == {None}
    assert response["extensions"]["access"][0]["coordinate"] == "Deal.accountRegion"
    text = '{ deals(where: {accountRegion: {eq: "north"}}) { totalCount } }'
    assert world.code(text, "denied@x.test") == "field_not_readable"


def test_relation_over_a_masked_link_is_empty_and_listed(world: World) -> None:
    response = world.ask(
        """{ deals(first: 5) { nodes { account { id } } }
             accounts(first: 5) { nodes { parent { id }
               deals { nodes { id } totalCount aggregate { count sum { quantity } } }
               tickets { edges { cursor } pageInfo { hasNextPage endCursor } }
               children { __typename } } }
             tickets(first: 5) { nodes { account { id } } } }""",
        "linkless@x.test",
    )

    assert "errors" not in response
    data = response["data"]
    assert {node["account"] for node in data["deals"]["nodes"] + data["tickets"]["nodes"]} == {None}
    for node in data["accounts"]["nodes"]:
        assert node["parent"] is None
        assert node["deals"] == {
            "nodes": [],
            "totalCount": 0,
            "aggregate": {"count": 0, "sum": {"quantity": None}},
        }
        assert node["tickets"]["edges"] == []
        assert node["tickets"]["pageInfo"] == {"hasNextPage": False, "endCursor": None}
        assert node["children"] == {"__typename": "AccountConnection"}
    assert {note["coordinate"] for note in response["extensions"]["access"]} == {
        "Account.parent", "Account.deals", "Account.tickets", "Account.children",
        "Deal.account", "Ticket.account",
    }  # fmt: skip


def test_masked_link_used_in_a_nested_filter_is_an_error_not_an_empty_list(world: World) -> None:
    text = "{ tickets { nodes { account { deals(where: {amount: {gt: 1}}) { totalCount } } } } }"
    assert world.code(text, MASKED) == "field_not_readable"
    text = "{ accounts { nodes { sized { nodes { account { parent { id } } } } } } }"
    assert "errors" not in world.ask(text, "linkless@x.test")


def test_person_unknown_to_a_provider_sees_nothing_of_it_and_is_told(world: World) -> None:
    response = world.ask("{ accounts { totalCount } tickets { totalCount } }", "crmonly@x.test")
    assert response["data"] == {"accounts": {"totalCount": 24}, "tickets": {"totalCount": 0}}
    (note,) = response["extensions"]["access"]
    assert note == {
        "coordinate": "Ticket", "effect": "denied", "reason": "no active user", "source": "desk",
    }  # fmt: skip


def test_object_whose_key_may_not_be_read_is_denied_as_a_whole(own_world: World) -> None:
    rows = seeded()
    rows["crm", "grants"].append(grant("keyless@x.test", "accounts", seen(id="keys are internal")))
    own_world.fill(rows)

    response = own_world.ask("{ accounts { nodes { id name } totalCount } }", "keyless@x.test")

    assert response["data"]["accounts"] == {"nodes": [], "totalCount": 0}
    (note,) = response["extensions"]["access"]
    assert note["effect"] == "denied"
    assert note["reason"] == "needs Account.id: keys are internal"


@pytest.mark.parametrize("email", sorted(set(PEOPLE) - {"all@x.test"}))
def test_changes_to_what_a_person_may_not_see_change_no_byte_of_any_answer(
    own_world: World, email: str
) -> None:
    """Non-interference: hidden values and invisible rows replaced, same operations, same bytes."""
    from tests.graph.reference import Reference

    rows = seeded()
    own_world.fill(rows)
    before = [answers(own_world, text, email) for text in OPERATIONS]

    own_world.write(disturbed(rows, Reference(rows, email)))

    for text, expected in zip(OPERATIONS, before, strict=True):
        assert answers(own_world, text, email) == expected, text


OPERATIONS = [
    *(text for text, _ in SELECTING),
    *(f"{{ {asked} }}" for asked in USING),
    "{ accounts(first: 200) { nodes { id name ownerName deals { totalCount aggregate { sum"
    " { quantity big } avg { probability } max { updatedAt title } } } tickets(first: 1, orderBy:"
    " [{satisfaction: DESC}]) { nodes { id } totalCount } parent { name } children { totalCount } }"
    " totalCount aggregate { count max { name } sum { rating } } } }",
    "{ deals(first: 7, orderBy: [{quantity: DESC_NULLS_FIRST}], where: {account: {tickets:"
    " {aggregate: {count: {gte: 1}}}}}) { nodes { id accountRegion account { name } } totalCount"
    " pageInfo { hasNextPage } } }",
    "{ crm { accounts(first: 200, where: {Owner: {team: {eq: \"north\"}}}) { nodes { id Owner"
    " { name } Parent { id } } totalCount } users { totalCount } } }",
    "{ accounts(where: {deals: {every: {probability: {gte: 0}}}}) { totalCount } }",
    "{ accounts(where: {deals: {none: {quantity: {gte: 2}}}}) { nodes { id } totalCount } }",
]  # fmt: skip


def answers(world: World, text: str, email: str) -> bytes:
    return world.answer(text, email).body()


def disturbed(rows: Any, reference: Any) -> Any:
    """Return rows with every hidden value changed and every invisible row's plain values, too.

    Fields that decide who sees what, links and keys stay: changing them would change rights.
    """
    deciding = {
        "accounts": {"id", "owner_id", "parent_id"},
        "deals": {"id", "owner_id", "account_id", "stage"},
        "users": {"id", "team"},
        "tickets": {"id", "org", "effort"},
    }
    changed = {}
    for (connection, name), records in rows.items():
        if name not in deciding:
            continue
        hidden = reference.access[name].hidden if reference.readable(name) else {}
        changed[connection, name] = [
            {
                key: disturb(value)
                if key not in deciding[name] and (key in hidden or not reference.sees(name, row))
                else value
                for key, value in row.items()
            }
            for row in records
        ]
    return changed


def disturb(value: Any) -> Any:
    match value:
        case None:
            return None
        case bool():
            return not value
        case str():
            return value if value.startswith(("{", "[", '"')) else f"{value}~"
        case list():
            return [*value, "urgent"]
        case _ if hasattr(value, "year"):
            return value.replace(year=value.year - 1, day=1)
        case _:
            return value + 1


def leaves(value: Any) -> Any:
    if isinstance(value, dict):
        for each in value.values():
            yield from leaves(each)
    elif isinstance(value, list):
        for each in value:
            yield from leaves(each)
    else:
        yield value
