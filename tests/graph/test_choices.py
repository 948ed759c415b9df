"""Values of picklists keep their names, and people's labels stand beside them."""

from __future__ import annotations

from typing import Any

import pytest
from tests.graph.notes import MOODS
from tests.graph.world import CATALOGS, World, seeded

from firnline.catalog.model import Catalog, EnumValue, FieldInfo, ObjectInfo
from firnline.graph.choices import choices_of, choices_text
from firnline.spec.model import Constant, FromField


def values(world: World, coordinate: str, email: str = "all@x.test", **more: Any) -> list[str]:
    text = """query V($c: String!, $t: String! = "", $n: Int! = 50) {
      _values(coordinate: $c, text: $t, first: $n) { value label isActive } }"""
    found = world.data(text, email, variables={"c": coordinate, **more})["_values"]
    return [f"{each['value']}={each['label']}{'' if each['isActive'] else '!'}" for each in found]


def test_values_of_a_picklist_are_listed_with_their_labels(world: World) -> None:
    assert values(world, "Crm_notes.mood") == [
        "1=Very happy",
        "2=Unhappy",
        "calm=Calm",
        "0=Happy enough!",
    ]


def test_text_is_found_in_labels_and_values_beginnings_first(world: World) -> None:
    assert values(world, "Crm_notes.mood", t="HAPPY") == [
        "0=Happy enough!",
        "1=Very happy",
        "2=Unhappy",
    ]
    assert values(world, "Crm_notes.mood", t="happy", n=1) == ["0=Happy enough!"]
    assert values(world, "Crm_notes.mood", t="ca") == ["calm=Calm"]
    assert values(world, "Crm_notes.mood", t="sad") == []


def test_words_of_the_builder_are_listed_and_open_fields_have_none(world: World) -> None:
    assert values(world, "Account.segment") == [
        "enterprise=enterprise",
        "small=small",
        "other=other",
    ]
    assert values(world, "Account.name") == []


@pytest.mark.parametrize(
    ("coordinate", "email"),
    [
        ("Crm_notes.mood", "notesonly@x.test"),
        ("Crm_notes.mood", "nobody@x.test"),
        ("Crm_notes.nothing", "all@x.test"),
        ("Nothing.mood", "all@x.test"),
        ("Crm_notes", "all@x.test"),
    ],
)
def test_values_of_a_hidden_field_are_refused_like_those_of_none(
    world: World, coordinate: str, email: str
) -> None:
    text = f'{{ _values(coordinate: "{coordinate}") {{ value }} }}'
    (error,) = world.ask(text, email)["errors"]
    assert error["extensions"]["code"] == "search_invalid"
    assert error["message"] == ("there is no such field for you to see, or the text is too long")
    assert world.code('{ _values(coordinate: "Crm_notes.mood", first: 201) { value } }') == (
        "page_size"
    )


def test_answers_and_filters_take_the_stored_values(world: World) -> None:
    text = '{ crm { notes(where: {mood: {in: ["1", "calm"]}}, first: 200) { nodes { mood } } } }'
    nodes = world.data(text)["crm"]["notes"]["nodes"]
    stored = [row["mood"] for row in seeded()["crm", "notes"]]
    assert [node["mood"] for node in nodes] == [each for each in stored if each in ("1", "calm")]


def test_description_shows_values_in_use_and_search_finds_them_by_label(world: World) -> None:
    text = '{ __type(name: "Crm_notes") { fields { name description } } }'
    found = world.data(text)["__type"]["fields"]
    (mood,) = (each["description"] for each in found if each["name"] == "mood")
    assert mood == ('Mood (picklist). Known values: 1 ("Very happy"), 2 ("Unhappy"), calm.')
    hits = world.data('{ _search(text: "unhappy") { coordinate } }')["_search"]
    assert hits[0]["coordinate"] == "Crm_notes.mood"
    hidden = world.data('{ _search(text: "unhappy") { coordinate } }', "notesonly@x.test")
    assert hidden["_search"] == []


SOURCE = ObjectInfo(
    name="s", key="id", fields=(FieldInfo(name="mood", type="string", values=MOODS),)
)


def mapped(values_: dict[str, str], otherwise: str | None = None) -> FromField:
    return FromField.model_construct(from_="mood", values=values_, otherwise=otherwise)


@pytest.mark.parametrize(
    ("mapping", "words", "expected"),
    [
        (mapped({}), (), ["1=Very happy", "2=Unhappy", "calm=Calm", "0=Happy enough"]),
        (
            mapped({"1": "good", "0": "good", "2": "bad", "old": "bad"}),
            ("bad", "good", "other"),
            ["bad=Unhappy", "good=Very happy, Happy enough", "other="],
        ),
        (
            mapped({"1": "good", "calm": "good", "0": "good"}, "keep"),
            (),
            ["good=Very happy, Calm, Happy enough", "2=Unhappy"],
        ),
        (mapped({"1": "good"}, "none"), (), ["good=Very happy"]),
        (Constant(constant="x"), ("x",), ["x="]),
        (Constant(constant="x"), (), []),
    ],
)  # fmt: skip
def test_word_of_the_builder_is_labelled_as_the_values_that_it_stands_for(
    mapping: Any, words: tuple[str, ...], expected: list[str]
) -> None:
    found = choices_of(mapping, words, SOURCE)
    assert [f"{each.value}={each.label}" for each in found] == expected


def test_long_picklist_is_cut_in_the_description_alone() -> None:
    many = tuple(EnumValue(value=f"v{n}") for n in range(40))
    text = choices_text(many, is_closed=True)
    assert text.startswith("One of: v0, v1,")
    assert text.endswith("v11 and 28 more.")


def test_value_that_a_rediscovery_brings_is_suggested(own_world: World) -> None:
    own_world.fill(seeded())
    notes = CATALOGS["crm"].by_name["notes"]
    changed = notes.by_name["mood"].model_copy(update={"values": (EnumValue(value="new"),)})
    fields = tuple(changed if each.name == "mood" else each for each in notes.fields)
    others = (each for each in CATALOGS["crm"].objects if each.name != "notes")
    objects = (notes.model_copy(update={"fields": fields}), *others)
    assert values(own_world, "Crm_notes.mood")[0] == "1=Very happy"
    own_world.discovered("acme", "crm", Catalog(provider="alpine", objects=objects))
    own_world.renew()
    assert values(own_world, "Crm_notes.mood") == ["new=new"]
