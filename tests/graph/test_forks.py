"""References to records of several types: unions, answered type by type for all parents at once."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import GraphQLUnionType, build_schema
from tests.graph.reference import Reference
from tests.graph.test_visible import exported, whole
from tests.graph.world import CATALOGS, PEOPLE, World, seeded

from firnline.catalog.model import Catalog
from firnline.graph.diff import compared, read_schema
from firnline.graph.memory.tables import ResidentTables

ROWS = seeded()
TARGETS = {"What": ("accounts", "deals", "users"), "Who": ("users", "accounts")}
LOCAL = {"What": "what_id", "Who": "who_id"}
WITH_NOTES = sorted(email for email, objects in PEOPLE.items() if "notes" in objects)
SHOWN = {"accounts": ("id", "name", "region"), "deals": ("id", "title"), "users": ("id", "team")}
FRAGMENTS = """... on Crm_accounts { id name region } ... on Crm_deals { id title }
               ... on Crm_users { id team }"""
QUESTION = f"""{{ crm {{ notes(first: 200) {{ nodes {{ id
  What {{ __typename {FRAGMENTS} }}
  Who {{ ... on Crm_users {{ id }} again: __typename }} }} }} }} }}"""


@pytest.fixture(scope="module", params=[False, True], ids=["duckdb", "resident"])
def is_resident(request: pytest.FixtureRequest) -> bool:
    """Hold everything here both ways: from DuckDB alone, and with columns in memory."""
    return bool(request.param)


def led_to(reference: Reference, fork: str, key: Any) -> tuple[str, dict[str, Any]] | None:
    """Return the type and the row that a key leads to, as one person sees it."""
    for source in TARGETS[fork]:
        for row in reference.rows["crm", source]:
            if row["id"] == key and reference.sees(source, row):
                return source, row
    return None


def shown(reference: Reference, source: str, row: dict[str, Any]) -> dict[str, Any]:
    hidden = reference.access[source].hidden
    return {name: None if name in hidden else row[name] for name in SHOWN[source]}


@pytest.mark.parametrize("email", WITH_NOTES)
def test_fork_gives_the_record_whatever_its_type_is(world: World, email: str) -> None:
    reference = Reference(ROWS, email)
    expected = []
    for note in ROWS["crm", "notes"]:
        what = led_to(reference, "What", note["what_id"])
        is_cut = "who_id" in reference.access["notes"].hidden
        who = None if is_cut else led_to(reference, "Who", note["who_id"])
        expected.append(
            {
                "id": note["id"],
                "What": what and {"__typename": f"Crm_{what[0]}", **shown(reference, *what)},
                "Who": who
                and {
                    **({"id": who[1]["id"]} if who[0] == "users" else {}),
                    "again": f"Crm_{who[0]}",
                },
            }
        )

    nodes = world.data(QUESTION, email)["crm"]["notes"]["nodes"]

    assert nodes == expected


def test_fork_asks_one_statement_per_type_however_many_parents(world: World) -> None:
    if world.resident is not None:
        return
    few = world.answer(QUESTION.replace("first: 200", "first: 3")).statements
    many = world.answer(QUESTION).statements
    assert len(many) == 1 + len(TARGETS["What"]) + len(TARGETS["Who"])
    assert len(few) <= len(many)


def test_fork_takes_fragments_aliases_directives_and_levels_below(world: World) -> None:
    text = """query ($no: Boolean! = false) { crm { notes(first: 40) { edges { node {
        id
        it: What { ...Record ... on Crm_notes_What { ... on Crm_deals { title @skip(if: true) } } }
        What @include(if: $no) { __typename }
        What { ... on Crm_deals { Account { Notes(first: 2) { totalCount nodes { What {
            ... on Crm_accounts { key: id } } } } } } }
    } } } } }
    fragment Record on Crm_notes_What { __typename
        ... on Crm_accounts @include(if: $no) { name }
        ... on Crm_deals { mine: id ...Deal } }
    fragment Deal on Crm_deals { title ... on Crm_notes_What { __typename } }"""

    edges = world.data(text)["crm"]["notes"]["edges"]

    reference = Reference(ROWS, "all@x.test")
    seen = set()
    for edge, note in zip(edges, ROWS["crm", "notes"], strict=True):
        found = led_to(reference, "What", note["what_id"])
        if found is None:
            assert edge["node"] == {"id": note["id"], "it": None, "What": None}
            continue
        source, row = found
        seen.add(source)
        asked = {"__typename": f"Crm_{source}"}
        if source == "deals":
            asked |= {"mine": row["id"], "title": row["title"]}
        assert edge["node"]["it"] == asked
        inner = edge["node"]["What"]
        if source != "deals":
            assert inner == {}
        elif row["account_id"] in {each["id"] for each in ROWS["crm", "accounts"]}:
            notes = [each for each in ROWS["crm", "notes"] if each["what_id"] == row["account_id"]]
            assert inner["Account"]["Notes"] == {
                "totalCount": len(notes),
                "nodes": [{"What": {"key": row["account_id"]}}] * min(len(notes), 2),
            }
    assert seen == set(TARGETS["What"])


def test_fork_of_a_single_record_and_of_several_by_key(world: World) -> None:
    note = next(row for row in ROWS["crm", "notes"] if str(row["what_id"]).startswith("d"))
    text = """query ($k: ID!) { crm { notes_by_key(id: $k) { What { __typename } }
              notes_by_keys(keys: [$k]) { What { ... on Crm_deals { id } } } } }"""
    assert world.data(text, variables={"k": note["id"]})["crm"] == {
        "notes_by_key": {"What": {"__typename": "Crm_deals"}},
        "notes_by_keys": [{"What": {"id": note["what_id"]}}],
    }


@pytest.mark.parametrize("email", ["all@x.test", "rep@x.test"])
@pytest.mark.parametrize(
    "where",
    [
        {"Crm_accounts": {"region": {"gt": "a"}}},
        {"Crm_accounts": {}, "Crm_deals": {"amount": {"gt": 3}}},
        {"Crm_users": {"team": {"eq": "north"}}},
    ],
)
def test_filter_through_a_fork_holds_for_records_of_a_type_named(
    world: World, email: str, where: dict[str, Any]
) -> None:
    reference = Reference(ROWS, email)

    def fits(source: str, row: dict[str, Any]) -> bool:
        wanted = where.get(f"Crm_{source}")
        if wanted is None:
            return False
        for name, operators in wanted.items():
            ((operator, operand),) = operators.items()
            value = row[name]
            if value is None or not (value == operand if operator == "eq" else value > operand):
                return False
        return True

    expected = []
    for note in ROWS["crm", "notes"]:
        found = led_to(reference, "What", note["what_id"])
        if found is not None and fits(*found):
            expected.append(note["id"])
    text = """query ($w: Crm_notesWhere) { crm { notes(where: $w, first: 200) {
              nodes { id } totalCount } } }"""
    answer = world.data(text, email, variables={"w": {"What": where}})["crm"]["notes"]
    assert [node["id"] for node in answer["nodes"]] == expected
    assert answer["totalCount"] == len(expected) > 0


@pytest.mark.parametrize(
    ("where", "email", "code"),
    [
        ("{What: {}}", "all@x.test", "filter_invalid"),
        ("{What: {Crm_deals: null}}", "all@x.test", "filter_invalid"),
        ("{What: {Crm_accounts: {}}}", "denied@x.test", "object_not_readable"),
        ("{Who: {Crm_users: {}}}", "masked@x.test", "field_not_readable"),
        ("{What: {Crm_users: {team: {eq: 1}}}}", "all@x.test", "operation_refused"),
        ('{What: {Crm_users: {team: {eq: "x"}}}}', "masked@x.test", "field_not_readable"),
    ],
)
def test_filter_through_a_fork_is_refused(world: World, where: str, email: str, code: str) -> None:
    text = f"{{ crm {{ notes(where: {where}) {{ totalCount }} }} }}"
    assert world.code(text, email) == code


def test_record_of_a_denied_type_is_null_and_noted_without_its_name(world: World) -> None:
    answer = world.ask("{ crm { notes { nodes { What { __typename } } } } }", "denied@x.test")
    assert None in [node["What"] for node in answer["data"]["crm"]["notes"]["nodes"]]
    (note,) = answer["extensions"]["access"]
    assert note["coordinate"] == "Crm_notes.What"
    assert note["effect"] == "denied"
    assert "accounts" not in str(answer["extensions"])


def test_denied_type_is_noted_by_name_where_the_document_names_it(world: World) -> None:
    text = "{ crm { notes { nodes { What { ... on Crm_accounts { id } } } } } }"
    notes = world.ask(text, "denied@x.test")["extensions"]["access"]
    assert [note["coordinate"] for note in notes] == ["Crm_accounts", "Crm_notes.What"]


def test_masked_link_gives_null_and_a_note(world: World) -> None:
    answer = world.ask("{ crm { notes { nodes { Who { __typename } } } } }", "masked@x.test")
    assert {str(node["Who"]) for node in answer["data"]["crm"]["notes"]["nodes"]} == {"None"}
    (note,) = answer["extensions"]["access"]
    assert (note["coordinate"], note["effect"]) == ("Crm_notes.Who", "masked")


def members(sdl: str, name: str) -> list[str] | None:
    union = build_schema(sdl).get_type(name)
    if union is None:
        return None
    assert isinstance(union, GraphQLUnionType)
    return sorted(type_.name for type_ in union.types)


def test_person_sees_the_union_with_the_types_they_may_read(world: World) -> None:
    everything = ["Crm_accounts", "Crm_deals", "Crm_users"]
    assert members(exported(world, "all@x.test"), "Crm_notes_What") == everything
    assert members(exported(world, "denied@x.test"), "Crm_notes_What") == everything[1:]
    # One readable type is still the same union, none is no relation at all.
    assert members(exported(world, "denied@x.test"), "Crm_notes_Who") == ["Crm_users"]
    for fork in ("What", "Who"):
        assert members(exported(world, "notesonly@x.test"), f"Crm_notes_{fork}") is None
    assert members(exported(world, "masked@x.test"), "Crm_notes_Who") is None
    assert members(whole(world), "Crm_notes_What") == everything


def test_fork_is_found_by_search_with_an_example_that_runs(world: World) -> None:
    text = '{ _search(text: "notes what") { coordinate type kind path example description } }'
    for email in ("all@x.test", "denied@x.test"):
        hits = {hit["coordinate"]: hit for hit in world.data(text, email)["_search"]}
        hit = hits["Crm_notes.What"]
        assert (hit["type"], hit["kind"]) == ("Crm_notes_What", "RELATION")
        assert world.data(hit["example"], email)["crm"]["notes"]["nodes"]
        assert ("Crm_accounts" in hit["description"]) == (email == "all@x.test")


def test_union_stands_in_definitions_and_in_the_subgraph(world: World) -> None:
    text = '{ _definitions(coordinates: ["Crm_notes_What", "Crm_notes.What"]) _service { sdl } }'
    data = world.data(text, "denied@x.test")
    union = "union Crm_notes_What = Crm_deals | Crm_users"
    assert union in data["_definitions"]
    assert union in data["_service"]["sdl"]


def test_new_member_of_a_union_is_a_dangerous_change_at_the_union(world: World) -> None:
    old, new = exported(world, "denied@x.test"), exported(world, "all@x.test")
    changes = compared(read_schema(old, "old"), read_schema(new, "new")).changes
    found = [change for change in changes if change.coordinate == "Crm_notes_What"]
    assert [change.severity for change in found] == ["dangerous"]
    back = compared(read_schema(new, "new"), read_schema(old, "old")).changes
    found = [change for change in back if change.coordinate == "Crm_notes_What"]
    assert [change.severity for change in found] == ["breaking"]


def test_type_that_is_not_synced_leaves_the_others_answered(own_world: World) -> None:
    own_world.resident = ResidentTables(1 << 26)
    for name, catalog in CATALOGS.items():
        own_world.discovered("acme", name, catalog)
    rows = seeded()
    del rows["crm", "deals"]
    own_world.write(rows)
    answer = own_world.ask("{ crm { notes { nodes { What { __typename } } } } }")
    types = {
        (node["What"] or {}).get("__typename") for node in answer["data"]["crm"]["notes"]["nodes"]
    }
    assert types == {None, "Crm_accounts", "Crm_users"}
    assert [note["coordinate"] for note in answer["extensions"]["access"]] == ["Crm_notes.What"]
    named = "{ crm { notes { nodes { What { ... on Crm_deals { id } } } } } }"
    assert own_world.code(named) == "object_not_synced"


def test_union_takes_no_name_that_an_object_has(own_world: World) -> None:
    notes = CATALOGS["crm"].by_name["notes"]
    rival = CATALOGS["crm"].by_name["users"].model_copy(update={"name": "notes_What"})
    other = rival.model_copy(update={"name": "notes_WhoWhere"})
    catalog = Catalog(provider="alpine", objects=(*CATALOGS["crm"].objects, rival, other))
    own_world.discovered("acme", "crm", catalog)
    graph = own_world.runner.run(own_world.graphs.graph("acme"))
    forks = graph.objects["Crm_notes"].forks
    assert notes.by_name["what_id"].reference is not None
    assert forks["What"].type_name == "Crm_notes_What_x_"
    assert forks["Who"].type_name == "Crm_notes_Who_x_"
    own_world.graphs.schema(graph)


def test_same_document_asked_again_by_others_is_answered_for_each(world: World) -> None:
    for email in (*WITH_NOTES, *WITH_NOTES):
        again = [world.ask(QUESTION, email) for _ in range(3)]
        assert again[0] == again[1] == again[2]
    denied = world.ask(QUESTION, "denied@x.test")
    noted = {note["coordinate"] for note in denied["extensions"]["access"]}
    assert noted >= {"Crm_accounts", "Crm_notes.What"}
    assert world.ask(QUESTION)["extensions"]["access"] == []
    types = {
        (node["What"] or {}).get("__typename")
        for node in world.data(QUESTION)["crm"]["notes"]["nodes"]
    }
    assert "Crm_accounts" in types
