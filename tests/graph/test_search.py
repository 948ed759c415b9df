"""Field search: words lead to what exists and may be read, with queries that run."""

from __future__ import annotations

from typing import Any

import pytest
from tests.graph.world import PEOPLE, World

QUERY = """query Find($text: String!, $first: Int! = 10) {
  _search(text: $text, first: $first) { coordinate kind type description path example }
}"""


def search(world: World, text: str, email: str = "all@x.test", first: int = 10) -> list[Any]:
    found: list[Any] = world.data(QUERY, email, variables={"text": text, "first": first})["_search"]
    return found


def coordinates(world: World, text: str, email: str = "all@x.test", first: int = 10) -> list[str]:
    return [hit["coordinate"] for hit in search(world, text, email, first)]


@pytest.mark.parametrize(
    ("text", "best"),
    [
        ("account", "Account"),
        ("Account.revenue", "Account.revenue"),
        ("revenue", "Account.revenue"),
        ("closes on", "Deal.closesOn"),
        ("closesOn", "Deal.closesOn"),
        ("deal stage", "Deal.stage"),
        ("satisf", "Ticket.satisfaction"),  # a beginning
        ("probabilty", "Deal.probability"),  # misspelt
        ("enterprise", "Account.segment"),  # a value
        ("customer", "Account"),  # the description
        ("account tickets", "Account.tickets"),
        ("legacy_no", "Account.legacyNo"),
    ],
)
def test_best_hit_is_what_the_words_mean(world: World, text: str, best: str) -> None:
    assert coordinates(world, text)[0] == best


def test_hit_tells_kind_type_path_and_example(world: World) -> None:
    (hit,) = search(world, "closesOn", first=1)
    assert hit["kind"] == "FIELD"
    assert hit["type"] == "Date"
    assert hit["path"] == ["deals", "nodes", "closesOn"]
    assert hit["example"] == "{ deals(first: 3) { nodes { id closesOn } } }"


def test_hits_are_the_same_each_time_and_a_page_is_the_beginning_of_a_longer_one(
    world: World,
) -> None:
    longer = coordinates(world, "account id owner", first=50)
    assert len(longer) == len(set(longer)) > 10
    assert coordinates(world, "account id owner", first=50) == longer
    assert coordinates(world, "account id owner", first=5) == longer[:5]


def test_builders_field_comes_before_the_providers_own(world: World) -> None:
    found = coordinates(world, "amount")
    assert found.index("Deal.amount") < found.index("Crm_deals.amount")


@pytest.mark.parametrize("email", PEOPLE)
def test_examples_run_and_nothing_found_is_withheld(world: World, email: str) -> None:
    for text in ("account revenue tier", "deal secret amount", "ticket tags", "user team name"):
        for hit in search(world, text, email, first=30):
            answer = world.ask(hit["example"], email)
            assert "errors" not in answer, hit
            assert answer["extensions"]["access"] == [], hit


@pytest.mark.parametrize("email", PEOPLE)
def test_definition_of_every_hit_is_given(world: World, email: str) -> None:
    found = coordinates(world, "account deal ticket name", email, first=40)
    sdl = world.data(
        "query D($c: [String!]!) { _definitions(coordinates: $c) }", email, variables={"c": found}
    )["_definitions"]
    assert "# " not in sdl
    assert sdl.count("type ") >= len(found)


def test_hidden_names_are_not_found_and_not_defined(world: World) -> None:
    assert "Deal.secret" in coordinates(world, "secret")
    assert "secret" not in str(search(world, "secret", "child@x.test", first=50))
    query = '{ _definitions(coordinates: ["Deal.secret", "Account", "Deal.stage", "No\\nsuch"]) }'
    sdl = world.data(query, "denied@x.test")["_definitions"]
    assert "# Account: there is no such type" in sdl
    assert "stage(" in sdl or "stage:" in sdl
    assert "\nsuch" not in sdl
    hidden = world.data('{ _definitions(coordinates: ["Deal.secret"]) }', "child@x.test")
    assert hidden["_definitions"].startswith("# Deal.secret: there is no such")


@pytest.mark.parametrize(
    ("text", "first", "code"),
    [
        ("", 10, "search_invalid"),
        ("?!", 10, "search_invalid"),
        ("x" * 201, 10, "search_invalid"),
        ("deal", -1, "page_size"),
        ("deal", 201, "page_size"),
    ],
)
def test_search_out_of_bounds_is_refused(world: World, text: str, first: int, code: str) -> None:
    assert world.code(QUERY, variables={"text": text, "first": first}) == code


def test_too_many_definitions_are_refused(world: World) -> None:
    query = "query D($c: [String!]!) { _definitions(coordinates: $c) }"
    assert world.code(query, variables={"c": ["Deal"] * 51}) == "search_invalid"


def test_nothing_is_found_for_words_that_are_nowhere(world: World) -> None:
    assert search(world, "zzqx") == []


def test_descriptions_tell_where_a_value_is_read(world: World) -> None:
    fields = world.data('{ __type(name: "Account") { description fields { name description } } }')
    told = {each["name"]: each["description"] for each in fields["__type"]["fields"]}
    assert fields["__type"]["description"] == "A customer. From alpine.accounts."
    assert told["revenue"] == "From alpine.accounts.revenue."
    assert told["segment"].startswith("From alpine.accounts.tier, values mapped.")
    assert told["isKey"] == "True where alpine.accounts.tier and rating meet conditions."
    assert (
        told["contactName"] == "The first that is set of alpine.accounts.nickname, owner_id.name."
    )
    assert told["origin"] == "Always the same: crm."
    assert told["deals"] == "The Deal records whose accountId is this one's id."
    assert told["parent"] == "The Account whose id is this one's parentId."
