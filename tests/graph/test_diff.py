"""Schema differences: what is breaking, dangerous or safe, and whom it affects."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.graph.world import World, seeded
from typer.testing import CliRunner

from firnline.cli.main import cli
from firnline.errors import UsageError
from firnline.graph.diff import SchemaDiff, SchemaTextError, compared, read_schema
from firnline.state.rows import OperationRow

OLD = """
type Query { deals(where: DealWhere, first: Int): [Deal!]! users: [User!] }
type Deal { id: ID! title: String amount: String stage: Stage }
type User { id: ID! }
input DealWhere { title: String amount: String }
enum Stage { open won lost }
"""


def row(text: str, name: str = "Q") -> OperationRow:
    return OperationRow("acme", f"id-{name}", name, text, datetime(2026, 1, 1, tzinfo=UTC))


def diff(new: str, *operations: OperationRow) -> SchemaDiff:
    return compared(read_schema(OLD, "old"), read_schema(new, "new"), operations)


@pytest.mark.parametrize(
    ("change", "severity", "coordinate"),
    [
        (("amount: String stage", "stage"), "breaking", "Deal.amount"),
        (("title: String amount: String stage", "title: Int amount: String stage"), "breaking",
         "Deal.title"),
        (("{ open won lost }", "{ open won }"), "breaking", "Stage.lost"),
        (("{ open won lost }", "{ open won lost stuck }"), "dangerous", "Stage.stuck"),
        (("first: Int)", "first: Int!)"), "breaking", "Query.deals(first:)"),
        (("first: Int)", "first: Int, after: String)"), "dangerous", "Query.deals(after:)"),
        (("input DealWhere { title: String", "input DealWhere {"), "breaking", "DealWhere.title"),
        (("stage: Stage", "stage: Stage closesOn: String"), "safe", "Deal.closesOn"),
    ],
)  # fmt: skip
def test_change_has_its_severity_and_coordinate(
    change: tuple[str, str], severity: str, coordinate: str
) -> None:
    assert OLD.count(change[0]) == 1
    found = diff(OLD.replace(*change))
    assert [(each.severity, each.coordinate) for each in found.changes] == [(severity, coordinate)]
    assert found.is_breaking == (severity == "breaking")


def test_equal_schemas_have_no_changes() -> None:
    found = diff(OLD, row("query Q { deals { id } }"))
    assert found == SchemaDiff((), ())


def test_operation_that_the_new_schema_refuses_is_broken_and_others_are_left_out() -> None:
    found = diff(
        OLD.replace("amount: String stage", "stage"),
        row("query Uses { deals { id amount } }", "Uses"),
        row("query Not { deals { id title } }", "Not"),
    )
    (affected,) = found.operations
    assert affected.name == "Uses"
    assert affected.is_broken
    assert affected.coordinates == ("Deal.amount",)
    assert "amount" in affected.problems[0]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (("title: String amount: String stage", "title: Int amount: String stage"),
         "query Q { deals { title } }"),
        (("{ open won lost }", "{ open won lost stuck }"), "query Q { deals { stage } }"),
        (("input DealWhere { title: String", "input DealWhere { title: ID"),
         "query Q($where: DealWhere) { deals(where: $where) { id } }"),
    ],
)  # fmt: skip
def test_operation_that_still_runs_but_uses_what_changed_is_touched(
    change: tuple[str, str], text: str
) -> None:
    assert OLD.count(change[0]) == 1
    found = diff(OLD.replace(*change), row(text))
    (affected,) = found.operations
    assert not affected.is_broken
    assert affected.coordinates


def test_text_that_is_no_schema_is_named() -> None:
    with pytest.raises(SchemaTextError, match=r"old\.graphql"):
        read_schema("type {", "old.graphql")


def test_schema_of_a_tenant_equals_itself_and_every_field_can_be_told(own_world: World) -> None:
    own_world.fill(seeded())
    schema = own_world.graphs.schema(own_world.runner.run(own_world.graphs.graph("acme")))
    sdl = schema.as_str()
    before = read_schema(sdl, "acme")
    assert not compared(before, read_schema(sdl, "acme")).changes
    after = read_schema(sdl.replace("\n  segment: String\n", "\n  tier: String\n"), "acme")
    kinds = {(each.severity, each.coordinate) for each in compared(before, after).changes}
    assert ("breaking", "Account.segment") in kinds


def test_command_tells_changes_as_json_and_exits_with_one_when_breaking(tmp_path: Path) -> None:
    old, new = tmp_path / "old.graphql", tmp_path / "new.graphql"
    old.write_text(OLD)
    new.write_text(OLD.replace("amount: String stage", "stage"))
    done = CliRunner().invoke(cli, ["schema", "diff", str(old), str(new), "--json"])
    assert done.exit_code == 1
    facts = json.loads(done.stdout)
    assert facts["counts"] == {"breaking": 1, "dangerous": 0, "safe": 0}
    assert facts["changes"][0]["coordinate"] == "Deal.amount"
    backwards = CliRunner().invoke(cli, ["schema", "diff", str(new), str(old)])
    assert backwards.exit_code == 0
    assert "1 safe" in backwards.stdout


def test_command_with_one_schema_says_what_is_missing(tmp_path: Path) -> None:
    old = tmp_path / "old.graphql"
    old.write_text(OLD)
    done = CliRunner().invoke(cli, ["schema", "diff", str(old)])
    assert isinstance(done.exception, UsageError)
