"""A command typed wrongly is told like any other error: as JSON when JSON was asked for."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import firnline
from firnline.cli.main import main


def run(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> tuple[object, str, str]:
    """Run `firnline` in this process; return its exit code and what it printed."""
    monkeypatch.setattr(sys, "argv", ["firnline", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr()
    return ended.value.code, told.out, told.err


@pytest.mark.parametrize(
    ("arguments", "named", "command"),
    [
        (["serve", "--nope", "--json"], "--nope", "serve"),
        (["--json", "serve"], "--json", "firnline"),
        (["serve", "--json", "--port", "many"], "--port", "serve"),
        (["sync", "--json"], "tenant", "sync"),
        (["schema", "acme", "--nope", "--json"], "--nope", "schema"),
        (["nothing", "--json"], "nothing", "firnline"),
    ],
)
def test_wrong_arguments_are_one_json_object_with_the_next_step(
    arguments: list[str],
    named: str,
    command: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code, out, err = run(arguments, capsys, monkeypatch)

    assert (code, err) == (2, "")
    (line,) = out.splitlines()
    error = json.loads(line)["error"]
    assert error["code"] == "usage"
    assert named in error["message"]
    assert error["hint"].startswith("Run: ")
    assert command in error["hint"]
    assert error["hint"].endswith("--help")


def test_wrong_arguments_are_for_people_without_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = run(["serve", "--nope"], capsys, monkeypatch)

    assert (code, out) == (2, "")
    assert "--nope" in err
    assert "Usage" in err


def test_path_of_connectors_that_leads_nowhere_is_told_at_the_door(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Passed over, it would make its connectors unknown, or let others take their place."""
    nowhere = tmp_path / "conectors"
    project = Path(firnline.__file__).parent / "demo" / "project"
    monkeypatch.setenv("FIRNLINE_CONNECTORS", f"{tmp_path}:{nowhere}")
    code, out, _ = run(["check", "--json", str(project)], capsys, monkeypatch)

    assert code == 2
    error = json.loads(out)["error"]
    assert error["code"] == "connectors_path"
    assert str(nowhere) in error["message"]
    assert error["hint"]


def test_command_that_works_still_ends_with_nothing_wrong(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = run(["version"], capsys, monkeypatch)

    assert code in {None, 0}
    assert out.startswith("firnline ")
