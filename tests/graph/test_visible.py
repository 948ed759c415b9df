"""Introspection and SDL hold what the asking person may read, and nothing else."""

from __future__ import annotations

import re
from typing import Any

import pytest
from graphql import build_client_schema, get_introspection_query, print_schema
from tests.graph.world import CRM, DESK, PEOPLE, World

from firnline.access.principal import Principal

SOURCES = {f"Crm_{each.name}" for each in CRM.objects} | {
    f"Desk_{each.name}" for each in DESK.objects
}


def introspected(world: World, email: str) -> str:
    """Return the SDL that a tool makes of the person's introspection."""
    # Named and short: the standard query is deep, the gateway's limits must let it pass.
    return print_schema(build_client_schema(world.data(get_introspection_query(), email)))


def exported(world: World, email: str) -> str:
    """Return the SDL of `firnline schema TENANT --as PERSON`."""
    principal = Principal("acme", email)
    return world.runner.run(world.responder.visible_schema(principal)).as_str()


def whole(world: World) -> str:
    """Return the SDL of everything."""
    return world.graphs.schema(world.runner.run(world.graphs.graph("acme"))).as_str()


def test_person_with_every_right_sees_the_whole_schema(world: World) -> None:
    assert exported(world, "all@x.test") == whole(world)


@pytest.mark.parametrize("email", PEOPLE)
def test_introspection_and_export_agree_for_everybody(world: World, email: str) -> None:
    def types(sdl: str) -> set[str]:
        return set(re.findall(r"^(?:type|input|enum) (\w+)", sdl, re.MULTILINE))

    assert types(introspected(world, email)) == types(exported(world, email))


@pytest.mark.parametrize(
    ("email", "words"),
    [
        # Account.segment is read from tier, contactName from nickname.
        ("masked@x.test", ("revenue", "segment", "contactName", "secret", "amount", "updatedAt",
                           "ownerTeam", "nickname", "priority", "peers")),
        ("child@x.test", ("secret", "satisfaction")),
        ("denied@x.test", ("Account", "accounts", "account", "accountRegion", "Crm_accounts")),
        ("crmonly@x.test", ("Ticket", "tickets", "Desk_tickets", "desk", "User", "owner_id_name")),
        ("match@x.test", ("ownerName", "contactName")),
        ("linkless@x.test", ("legacyNo", "parentId", "parent_id", "legacy_no", "Children")),
        ("nobody@x.test", ("Account", "Deal", "Ticket", "crm", "desk")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("sdl_of", [introspected, exported])
def test_what_a_person_may_not_read_is_named_nowhere(
    world: World, email: str, words: tuple[str, ...], sdl_of: Any
) -> None:
    sdl = re.sub(r'"""(.|\n)*?"""', "", sdl_of(world, email))
    everything = whole(world)
    for word in words:
        assert not re.search(rf"\b{word}\b", sdl), word
    assert any(re.search(rf"\b{word}\b", everything) for word in words)


def test_what_a_person_may_read_stays(world: World) -> None:
    sdl = exported(world, "denied@x.test")
    for name in ("Deal", "DealWhere", "DealOrderBy", "DealAggregate", "Ticket", "Crm_deals"):
        assert re.search(rf"^(type|input) {name} ", sdl, re.MULTILINE), name
    assert "accountId" in sdl  # the key of the denied object, a field of the deal's own


@pytest.mark.parametrize("email", PEOPLE)
def test_every_visible_field_is_answered_without_a_note(world: World, email: str) -> None:
    """Ask for all leaves of all visible builder's objects: nothing of it is withheld."""
    fields = "fields { name args { name } type { kind ofType { kind } } }"
    for name, root in (("Account", "accounts"), ("Deal", "deals"), ("Ticket", "tickets")):
        type_ = world.data(f'{{ __type(name: "{name}") {{ {fields} }} }}', email)["__type"]
        if type_ is None:
            note = world.ask(f"{{ {root} {{ totalCount }} }}", email)["extensions"]["access"]
            assert note[0]["effect"] == "denied"
            continue
        leaves = [
            each["name"]
            for each in type_["fields"]
            if "OBJECT" not in (each["type"]["kind"], (each["type"]["ofType"] or {}).get("kind"))
        ]
        answer = world.ask(f"{{ {root} {{ nodes {{ {' '.join(leaves)} }} }} }}", email)
        assert "errors" not in answer
        assert answer["extensions"]["access"] == []


def test_type_that_a_person_may_not_read_is_not_found(world: World) -> None:
    query = '{ __type(name: "Account") { name } }'
    assert world.data(query, "denied@x.test") == {"__type": None}
    assert world.data(query, "rep@x.test") == {"__type": {"name": "Account"}}


def test_masked_field_is_still_null_and_never_an_error(world: World) -> None:
    answer = world.ask("{ accounts(first: 1) { nodes { id revenue } } }", "masked@x.test")
    assert "errors" not in answer
    assert answer["data"]["accounts"]["nodes"][0]["revenue"] is None


@pytest.mark.parametrize(
    "query",
    [
        "{ deals { nodes { secre } } }",
        "{ deals(where: {secre: {eq: 1}}) { totalCount } }",
        "{ deals(orderBy: [{secre: ASC}]) { totalCount } }",
        "query Q($w: DealWher) { deals(where: $w) { totalCount } }",
        "{ deal { id } }",
        "{ deals(wher: {}) { totalCount } }",
        "{ deals { nodes { ... on Dea { id } } } }",
        "{ deals(orderBy: [{id: AS}]) { totalCount } }",
    ],
)
def test_refusal_suggests_no_name(world: World, query: str) -> None:
    errors = world.ask(query)["errors"]
    assert errors
    assert "Did you mean" not in str(errors)


def test_refused_variable_suggests_no_name(world: World) -> None:
    query = "query Q($w: DealWhere) { deals(where: $w) { totalCount } }"
    errors = world.ask(query, variables={"w": {"secre": {"eq": "x"}}})["errors"]
    assert "Did you mean" not in str(errors)


@pytest.mark.parametrize("email", PEOPLE)
def test_gateway_names_no_source_that_the_person_may_not_read(world: World, email: str) -> None:
    text = "{ _gateway { sources { connection object } } __schema { types { name } } }"
    data = world.data(text, email)
    types = {each["name"] for each in data["__schema"]["types"]}
    named = {
        f"{each['connection'].capitalize()}_{each['object']}"
        for each in data["_gateway"]["sources"]
    }
    assert named == {name for name in types if name in SOURCES}
    assert named or email == "nobody@x.test"
