"""`--help` of every command: complete sentences, and what happens where an option is absent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import typer.main
from typer.testing import CliRunner

from firnline.cli.main import cli


def commands(
    command: object, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], object]]:
    yield path, command
    for name, each in getattr(command, "commands", {}).items():
        yield from commands(each, (*path, name))


ALL = list(commands(typer.main.get_command(cli)))


@pytest.mark.parametrize(
    ("path", "command"),
    ALL,
    ids=lambda each: "-".join(each) or "root" if isinstance(each, tuple) else "",
)
def test_help_shows_all_that_is_written_of_each_option(
    path: tuple[str, ...], command: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Brackets are markup to what prints the help: a word in them would be missing there."""
    monkeypatch.setenv("COLUMNS", "250")
    page = " ".join(CliRunner().invoke(cli, [*path, "--help"]).stdout.split())

    for parameter in getattr(command, "params", []):
        words = getattr(parameter, "help", None) or ""
        assert " ".join(words.split()) in page


@pytest.mark.parametrize("path", [path for path, each in ALL if hasattr(each, "commands")])
def test_group_without_a_command_shows_its_help(path: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(cli, list(path))

    assert shown.exit_code == 2
    assert "Commands" in shown.output
