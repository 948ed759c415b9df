"""Files named on the command line: what cannot be read or written is told with a next step."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from firnline.cli.files import FileUnusableError
from firnline.cli.main import cli
from firnline.errors import UnknownTenantError


def refused(*arguments: str, given: bytes = b"") -> Exception:
    """Run `firnline`; return the error it ends with."""
    error = CliRunner().invoke(cli, list(arguments), input=given).exception
    assert isinstance(error, Exception)
    return error


@pytest.fixture
def latin(tmp_path: Path) -> Path:
    path = tmp_path / "latin.graphql"
    path.write_bytes(b"query \xff\xfe")
    return path


def test_documents_that_cannot_be_read_are_errors_of_the_file(tmp_path: Path, latin: Path) -> None:
    nowhere = str(tmp_path / "nowhere.graphql")
    for path in (nowhere, str(tmp_path), str(latin)):
        error = refused("query", "acme", path, "--as", "a@b.example")

        assert isinstance(error, FileUnusableError), error
        assert path in error.message
        assert error.hint


def test_standard_input_that_is_no_text_is_an_error() -> None:
    error = refused("query", "acme", "-", "--as", "a@b.example", given=b"{\xff}")

    assert isinstance(error, FileUnusableError)


@pytest.mark.parametrize("name", ["../../etc", "ACME", "", "a\nb", "[bold]x[/]", "a" * 300, "."])
def test_unknown_tenant_of_an_impossible_name_is_not_told_to_write_a_file(name: str) -> None:
    error = UnknownTenantError(name, ["acme"])

    assert error.hint == "Declared tenants: acme."


def test_unknown_tenant_of_a_possible_name_is_told_which_file_declares_it() -> None:
    assert "Add tenants/globex.yaml" in UnknownTenantError("globex", ["acme"]).hint
