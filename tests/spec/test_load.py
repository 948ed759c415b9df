"""A project is loaded whole or refused with every mistake and its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.spec.conftest import Copy, listed

from firnline.spec.load import load_project
from firnline.spec.model import FromField, FromTags, When
from firnline.spec.problems import SpecError


def test_demo_project_loads_with_both_tenants(demo: Path) -> None:
    project = load_project(demo)

    assert set(project.tenants) == {"acme", "globex"}
    deal = project.integration.objects["Deal"]
    assert deal.fields["stage"].values[-2:] == ("won", "lost")
    assert isinstance(deal.sources["salesforce"].fields["isOpen"], When)
    globex = project.tenants["globex"].mappings
    assert isinstance(globex["Ticket"].fields["priority"], FromTags)
    meeting = globex["Meeting"].fields["type"]
    assert isinstance(meeting, FromField)
    assert meeting.otherwise == "keep"


def test_loaded_project_cannot_be_changed(demo: Path) -> None:
    project = load_project(demo)
    with pytest.raises(ValueError, match="frozen"):
        project.integration.name = "other"  # type: ignore[misc]


def test_missing_directory_names_the_way_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load_project(tmp_path / "none")
    (problem,) = caught.value.problems
    assert problem.code == "no_project"
    assert f"firnline init {tmp_path / 'none'}" in problem.hint


def test_directory_without_a_project_names_the_way_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load_project(tmp_path)
    assert caught.value.code == "spec_invalid"
    assert caught.value.exit_code == 2
    assert "firnline init" in caught.value.problems[0].hint


def test_project_without_tenants_is_a_beginning(copy: Copy) -> None:
    for path in (copy.directory / "tenants").iterdir():
        path.unlink()
    assert copy.load().tenants == {}


@pytest.mark.parametrize("content", ["", "# nothing yet\n", "- a\n", "text\n", "~\n"])
def test_file_that_is_no_mapping_is_refused(copy: Copy, content: str) -> None:
    copy.write("tenants/acme.yaml", content)
    assert copy.problem().code == "not_a_mapping"


def test_mistakes_of_all_files_come_at_once_and_in_order(copy: Copy) -> None:
    copy.replace("firnline.yaml", "version: 1", "version: 2")
    copy.replace("tenants/acme.yaml", "domain: acme", "domain: [acme]")
    copy.replace("tenants/globex.yaml", "mappings:", "mapings:")

    found = copy.problems()

    places = [(problem.file, problem.code) for problem in found]
    assert places == [
        ("firnline.yaml", "wrong_value"),
        ("tenants/acme.yaml", "wrong_type"),
        ("tenants/globex.yaml", "unknown_key"),
    ], listed(found)


@pytest.mark.parametrize(
    ("old", "new", "code", "points_at", "says"),
    [
        ("version: 1", "version: 2", "wrong_value", "2", "'version' must be 1"),
        ("version: 1", 'version: "1"', "wrong_value", '"1"', "'version' must be 1"),
        ("version: 1", "version: true", "wrong_value", "true", "'version' must be 1"),
        ("version: 1\n", "", "missing_key", "name:", "'version' is missing"),
        ("sync:\n", "synch:\n", "unknown_key", "synch:", "Did you mean 'sync'?"),
        ("values: [enter", "value: [enter", "unknown_key", "value:", "Did you mean 'values'?"),
        (
            "{type: id}",
            "{typ: id}",
            "unknown_key",
            "typ:",
            "'typ' is not a key of 'objects.Account.fields.ownerId'",
        ),
        ("{type: bool}", "{type: boolean}", "wrong_value", "boolean", "must be 'id', 'string'"),
        ("{type: bool}", "{type: 1}", "wrong_value", "1}", "'type' must be 'id', 'string'"),
        ("many: true", "many: 1", "wrong_type", "1,", "'many' must be true or false"),
        ("many: true", "many: yes", "wrong_type", "yes,", "It is the text 'yes'."),
        ("on: {ownerId: id}", "on: {}", "too_few", "{}", "'on' must hold at least 1"),
        (
            "on: {ownerId: id}",
            "on: {ownerId: id, name: name}",
            "too_many",
            "{ownerId",
            "'on' must hold at most 1",
        ),
        ("on: {ownerId: id}", "on: ownerId", "wrong_type", "ownerId", "must be a mapping"),
        ("every: 15m", "every: 15", "wrong_type", "15", "'every' must be text"),
        ("every: 15m", "every: 15 min", "wrong_form", "15 min", "such as 15m"),
        ("every: 15m", "every: 0m", "wrong_form", "0m", "such as 15m"),
        ("  Account:", "  account:", "wrong_form", "account:", "a capital letter first"),
        ("      id: {", "      Id: {", "wrong_form", "Id:", "a small letter first"),
        ("      id: {", "      __id: {", "wrong_form", "__id:", "a small letter first"),
        ("name: revenue-assistant", "name: Revenue", "wrong_form", "Revenue", "a letter first"),
        (
            *("{mode: mirror}", "{mode: all}", "wrong_value", "all}"),
            "'mirror', 'verify', 'policy' or 'deny'",
        ),
        ("{mode: mirror}", "{mode: mirror, hide: memo}", "wrong_type", "memo", "must be a list"),
        (
            "{mode: mirror}",
            "{mode: mirror, hide: [1]}",
            "wrong_type",
            "1]",
            "item 1 of 'hide' must be text",
        ),
        ("id: Id", "id: {form: Id}", "mapping_kind", "{form", "hold one of: from, tags, when"),
        ("id: Id", "id: 7", "mapping_kind", "7", "must be a source field"),
        ("id: Id", "id: {from: A.b.c.d.e}", "wrong_form", "A.b.c.d.e", "joined by dots"),
        ("id: Id", "id: a..b", "wrong_form", "a..b", "joined by dots"),
        ("id: Id", "id: {from: Id, vals: {a: b}}", "unknown_key", "vals:", "'values'"),
        ("id: Id", "id: {first_of: Id}", "wrong_type", "Id}", "must be a list"),
        ("id: Id", "id: {first_of: []}", "too_few", "[]", "at least 1"),
        (
            "id: Id",
            "id: {constant: [1]}",
            "wrong_type",
            "[1]",
            "must be text, a number, true or false",
        ),
        ("id: Id", "id: {constant: ~}", "wrong_type", "~}", "must be text, a number"),
    ],
)
def test_wrong_value_is_reported_where_it_stands(
    copy: Copy, old: str, new: str, code: str, points_at: str, says: str
) -> None:
    copy.replace("firnline.yaml", old, new)
    problem = next(found for found in copy.problems() if found.code == code)
    assert copy.pointed_at(problem).startswith(points_at), str(problem)
    assert says in f"{problem.message} {problem.hint}"


def test_one_wrong_mapping_is_one_problem(copy: Copy) -> None:
    """A mapping has five kinds; the one that was meant is judged, not all five."""
    copy.replace("firnline.yaml", "website: Website", "website: {from: Website, values: [a]}")
    problem = copy.problem()
    assert problem.code == "wrong_type"
    assert copy.pointed_at(problem) == "[a]}"


def test_comma_inside_braces_is_explained(copy: Copy) -> None:
    copy.replace("firnline.yaml", "{type: decimal}", "{type: decimal, description: a, b}")
    problem = copy.problem()
    assert problem.code == "unknown_key"
    assert "quote a text that holds a comma" in problem.hint


def test_messages_never_show_the_validator_behind_them(copy: Copy) -> None:
    for old, new in (("version: 1", "version: x"), ("many: true", "many: 3"), ("sync:", "s:")):
        copy.replace("firnline.yaml", old, new)
    text = listed(copy.problems()) + " ".join(problem.hint for problem in copy.problems())
    assert "pydantic" not in text.lower()
    assert "http" not in text


def test_long_and_hostile_words_are_cut_in_messages(copy: Copy) -> None:
    copy.replace("firnline.yaml", "sync:\n", f"{'x' * 5000}:\n")
    assert len(str(copy.problems()[0])) < 300


@pytest.mark.parametrize("name", ["acme2.yml", "acme2.json"])
def test_tenant_file_that_would_be_overlooked_is_a_problem(copy: Copy, name: str) -> None:
    copy.write(f"tenants/{name}", copy.text("tenants/acme.yaml"))
    problem = copy.problem()
    assert (problem.code, problem.file) == ("file_ending", f"tenants/{name}")


def test_editor_leftovers_are_no_tenants(copy: Copy) -> None:
    copy.write("tenants/.acme.yaml.swp", "\0")
    copy.write("tenants/.hidden.yaml", "{")
    copy.write("tenants/notes.md", "# notes")
    assert set(copy.load().tenants) == {"acme", "globex"}


def test_file_name_cannot_disturb_the_terminal(copy: Copy) -> None:
    copy.write("tenants/a\x1b[31m.yaml", copy.text("tenants/acme.yaml"))
    assert "\x1b" not in listed(copy.problems())


def test_dangling_link_is_a_problem(copy: Copy) -> None:
    (copy.directory / "firnline.yaml").unlink()
    (copy.directory / "firnline.yaml").symlink_to("nowhere")
    assert copy.problem().code == "unreadable"


def test_error_carries_every_problem_as_json(copy: Copy) -> None:
    copy.replace("firnline.yaml", "version: 1", "version: 2")
    with pytest.raises(SpecError) as caught:
        copy.load()
    facts = caught.value.as_dict()
    assert facts["code"] == "spec_invalid"
    assert facts["problems"] == [
        {
            "file": "firnline.yaml",
            "line": 5,
            "column": 10,
            "code": "wrong_value",
            "message": "'version' must be 1",
        }
    ]
