"""The graph as a federation's subgraph: entities by key, within the asking person's rights."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from graphql import build_schema
from tests.end_to_end.node import installed
from tests.graph.world import PEOPLE, World

NODE = Path(__file__).parent / "federation"
QUERY = """query Entities($of: [_Any!]!) { _entities(representations: $of) {
  __typename
  ... on Account { id name revenue deals(first: 2) { totalCount nodes { id } } }
  ... on Deal { id title secret account { id } }
  ... on Ticket { id priority }
} }"""


def entities(
    world: World, of: list[dict[str, Any]], email: str = "all@x.test", query: str = QUERY
) -> Any:
    return world.data(query, email, variables={"of": of})["_entities"]


def sdl(world: World, email: str = "all@x.test") -> str:
    return str(world.data("{ _service { sdl } }", email)["_service"]["sdl"])


@pytest.mark.parametrize("email", PEOPLE)
def test_entity_equals_the_record_that_its_root_field_gives(world: World, email: str) -> None:
    fields = {
        "Account": ("account", "id name revenue deals(first: 2) { totalCount nodes { id } }"),
        "Deal": ("deal", "id title secret account { id }"),
        "Ticket": ("ticket", "id priority"),
    }
    of = [
        {"__typename": name, "id": key}
        for name, keys in (("Deal", "d01 d07 d33"), ("Account", "a1 a2"), ("Ticket", "t04 t09"))
        for key in keys.split()
    ]
    parts = [
        f'e{at}: {fields[each["__typename"]][0]}(id: "{each["id"]}") '
        f"{{ __typename {fields[each['__typename']][1]} }}"
        for at, each in enumerate(of)
    ]
    expected = world.data(f"{{ {' '.join(parts)} }}", email)
    assert entities(world, of, email) == [expected[f"e{at}"] for at in range(len(of))]


def test_entities_keep_their_order_and_what_is_not_there_is_null(world: World) -> None:
    of = [
        {"__typename": "Ticket", "id": "t05"},
        {"__typename": "Account", "id": "a2"},
        {"__typename": "Ticket", "id": "nowhere"},
        {"__typename": "Account", "id": "a1"},
        {"__typename": "Ticket", "id": "t05"},
    ]
    found = entities(world, of)
    assert [each and each["id"] for each in found] == ["t05", "a2", None, "a1", "t05"]


def test_many_entities_cost_one_statement_per_type_and_level(world: World) -> None:
    of = [{"__typename": "Account", "id": f"a{n}"} for n in range(1, 25)]
    of += [{"__typename": "Deal", "id": f"d{n:02d}"} for n in range(1, 60)]
    answer = world.answer(QUERY, variables={"of": of})
    assert not answer.errors
    # Accounts, their deals' pages and counts; deals and their accounts.
    assert len(answer.statements) == 5


def test_entity_of_an_object_that_may_not_be_read_is_null_and_said(world: World) -> None:
    of = [{"__typename": "Account", "id": "a1"}]
    answer = world.ask(QUERY, "denied@x.test", variables={"of": of})
    assert answer["data"] == {"_entities": [None]}
    assert answer["extensions"]["access"][0]["effect"] == "denied"


def test_hidden_field_of_an_entity_is_null(world: World) -> None:
    (found,) = entities(world, [{"__typename": "Account", "id": "a1"}], "masked@x.test")
    assert found["revenue"] is None


@pytest.mark.parametrize(
    "of",
    [
        {"__typename": "Nothing", "id": "a1"},
        {"__typename": "Crm_accounts", "id": "a1"},
        {"id": "a1"},
        {"__typename": "Account"},
        {"__typename": "Account", "id": None},
        {"__typename": "Account", "id": True},
        {"__typename": "Account", "id": ["a1"]},
        "a1",
    ],
)
def test_representation_that_names_no_record_is_refused(world: World, of: Any) -> None:
    assert world.code(QUERY, variables={"of": [of]}) == "representation_invalid"


def test_too_many_representations_are_refused(world: World) -> None:
    of = [{"__typename": "Account", "id": "a1"}] * 1001
    assert world.code(QUERY, variables={"of": of}) == "representation_invalid"


def test_no_representations_give_no_entities(world: World) -> None:
    assert entities(world, []) == []


def test_sdl_has_keys_on_the_builders_objects_and_no_machinery(world: World) -> None:
    text = sdl(world)
    for name in ("Account", "Deal", "Ticket"):
        assert f'type {name} @key(fields: "id")' in text
    assert "type Crm_accounts {" in text
    assert "_entities" not in text
    assert "_Any" not in text
    assert text.startswith("extend schema @link(")


def test_sdl_holds_only_what_the_person_may_read(world: World) -> None:
    text = sdl(world, "denied@x.test")
    assert "type Deal @key" in text
    assert "type Account" not in text
    known = world.data('{ __type(name: "_Entity") { possibleTypes { name } } }', "denied@x.test")
    assert known["__type"]["possibleTypes"] == [{"name": "Deal"}, {"name": "Ticket"}]


def test_sdl_of_a_person_without_rights_has_no_entities(world: World) -> None:
    assert "@key(" not in sdl(world, "nobody@x.test")
    assert world.data('{ __type(name: "_Entity") { name } }', "nobody@x.test")["__type"] is None


@pytest.mark.parametrize("email", ["all@x.test", "denied@x.test", "nobody@x.test"])
def test_subgraph_composes_with_another_that_extends_its_entities(
    world: World, email: str, tmp_path: Path
) -> None:
    packages = installed(NODE)
    other = (
        'extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key"])\n'
        "type Query { forecasts: [Forecast!]! }\n"
        "type Forecast { note: String! deal: Deal }\n"
        'type Deal @key(fields: "id") { id: ID! risk: Int }\n'
    )
    (tmp_path / "forecast.graphql").write_text(other)
    (tmp_path / "firnline.graphql").write_text(sdl(world, email))
    composed = tmp_path / "supergraph.graphql"
    names = [str(tmp_path / f"{name}.graphql") for name in ("firnline", "forecast")]
    done = subprocess.run(
        ["node", "compose.mjs", str(composed), *names],
        cwd=packages,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert json.loads(done.stdout)["errors"] == []
    supergraph = build_schema(composed.read_text(), assume_valid_sdl=True)
    assert "risk" in supergraph.type_map["Deal"].fields  # type: ignore[attr-defined]
    assert ("title" in supergraph.type_map["Deal"].fields) == (email != "nobody@x.test")  # type: ignore[attr-defined]
