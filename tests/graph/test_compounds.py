"""Compound fields: several fields of a record as one object, whose parts stay fields, too."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
from tests.graph.test_visible import exported
from tests.graph.world import CATALOGS, World, seeded

from firnline.catalog.model import Catalog, CompoundInfo

NOTES = seeded()["crm", "notes"]
QUESTION = """{ crm { notes(first: 200) { nodes { id
  Place { __typename street town: city latitude } place_city } } } }"""


@pytest.fixture(scope="module", params=[False, True], ids=["duckdb", "resident"])
def is_resident(request: pytest.FixtureRequest) -> bool:
    """Hold everything here both ways: from DuckDB alone, and with columns in memory."""
    return bool(request.param)


def decimal(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:.2f}"


def place(row: dict[str, Any], *, street: bool = True) -> dict[str, Any]:
    return {
        "__typename": "Crm_notes_Place",
        "street": row["place_street"] if street else None,
        "town": row["place_city"],
        "latitude": decimal(row["place_latitude"]),
    }


def test_compound_is_an_object_of_its_parts_even_where_all_are_null(world: World) -> None:
    nodes = world.data(QUESTION)["crm"]["notes"]["nodes"]
    assert nodes == [
        {"id": row["id"], "Place": place(row), "place_city": row["place_city"]} for row in NOTES
    ]


def test_masked_part_is_null_in_the_object_and_noted(world: World) -> None:
    answer = world.ask(QUESTION, "masked@x.test")
    nodes = answer["data"]["crm"]["notes"]["nodes"]
    assert [node["Place"] for node in nodes] == [place(row, street=False) for row in NOTES]
    assert any(row["place_street"] for row in NOTES)
    (note,) = answer["extensions"]["access"]
    assert (note["coordinate"], note["effect"]) == ("Crm_notes.place_street", "masked")


def test_compound_takes_fragments_aliases_directives_and_merging_below_relations(
    world: World,
) -> None:
    text = """query ($no: Boolean! = false) { crm { accounts(first: 24) { nodes { id
        Notes { edges { node { id
            Place { ...P street @include(if: $no) }
            Place { latitude }
            at: Place { ... @include(if: $no) { city } } } } } } } } }
    fragment P on Crm_notes_Place { city }"""
    accounts = world.data(text)["crm"]["accounts"]["nodes"]
    checked = 0
    for account in accounts:
        wanted = [row for row in NOTES if row["what_id"] == account["id"]][:20]
        assert [edge["node"] for edge in account["Notes"]["edges"]] == [
            {
                "id": row["id"],
                "Place": {
                    "city": row["place_city"],
                    "latitude": decimal(row["place_latitude"]),
                },
                "at": {},
            }
            for row in wanted
        ]
        checked += len(wanted)
    assert checked


def test_compound_costs_no_statement_of_its_own(world: World) -> None:
    statements = world.answer(QUESTION).statements
    assert len(statements) <= 1


def test_compound_named_like_a_field_stands_beside_it(world: World) -> None:
    text = "{ crm { notes(first: 2) { nodes { name name_parts { firstName } } } } }"
    nodes = world.data(text)["crm"]["notes"]["nodes"]
    assert nodes == [
        {"name": row["name"], "name_parts": {"firstName": row["first_name"]}} for row in NOTES[:2]
    ]
    # A part that the object does not have is none.
    assert "gone" not in exported(world, "all@x.test")


def test_person_sees_the_parts_they_may_read_and_no_empty_object(world: World) -> None:
    def parts(email: str) -> set[str] | None:
        found = re.search(r"^type Crm_notes_Place {(.*?)^}", exported(world, email), re.S | re.M)
        return None if found is None else set(re.findall(r"^  (\w+):", found[1], re.M))

    assert parts("all@x.test") == {"street", "city", "latitude"}
    assert parts("masked@x.test") == {"city", "latitude"}
    assert parts("notesonly@x.test") is None
    assert "Place" not in exported(world, "notesonly@x.test")


def test_parts_have_the_types_and_descriptions_of_their_fields(world: World) -> None:
    text = """{ __type(name: "Crm_notes_Place") { fields { name type { name } } }
        _definitions(coordinates: ["Crm_notes.Place"]) }"""
    data = world.data(text)
    assert {each["name"]: each["type"]["name"] for each in data["__type"]["fields"]} == {
        "street": "String",
        "city": "String",
        "latitude": "Decimal",
    }
    assert "Place: Crm_notes_Place!" in data["_definitions"]


def test_compound_is_found_by_its_label_with_an_example_that_runs(world: World) -> None:
    found = world.data('{ _search(text: "meeting place") { coordinate type example } }')["_search"]
    hit = next(each for each in found if each["coordinate"] == "Crm_notes.Place")
    assert hit["type"] == "Crm_notes_Place!"
    assert world.data(hit["example"])["crm"]["notes"]["nodes"][0]["Place"].keys() == {
        "street",
        "city",
        "latitude",
    }


def test_type_of_a_compound_takes_no_name_that_an_object_has(own_world: World) -> None:
    rival = CATALOGS["crm"].by_name["users"].model_copy(update={"name": "notes_Place"})
    catalog = Catalog(provider="alpine", objects=(*CATALOGS["crm"].objects, rival))
    own_world.discovered("acme", "crm", catalog)
    graph = own_world.runner.run(own_world.graphs.graph("acme"))
    assert graph.objects["Crm_notes"].compounds["Place"].type_name == "Crm_notes_Place_x_"
    own_world.graphs.schema(graph)


def test_compound_without_a_free_name_is_left_out(own_world: World) -> None:
    notes = CATALOGS["crm"].by_name["notes"]
    taken = CompoundInfo(name="subject", parts={"x": "name"})
    again = CompoundInfo(name="subject", parts={"y": "name"})
    changed = notes.model_copy(update={"compounds": (taken, again)})
    others = (each for each in CATALOGS["crm"].objects if each.name != "notes")
    objects = (changed, *others)
    own_world.discovered("acme", "crm", Catalog(provider="alpine", objects=objects))
    graph = own_world.runner.run(own_world.graphs.graph("acme"))
    compounds = graph.objects["Crm_notes"].compounds
    assert {name: dict(each.parts) for name, each in compounds.items()} == {
        "subject_parts": {"x": "name"}
    }
