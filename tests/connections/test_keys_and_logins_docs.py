"""docs/keys-and-logins.md: its examples are what connectors may declare, its errors exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter
from typer.testing import CliRunner

from firnline.cli.main import cli
from firnline.connectors.auth_flows import ENTERED, Auth, fields_of
from firnline.connectors.manifest import Csrf

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "keys-and-logins.md").read_text("utf-8")
EXAMPLES = re.findall(r"```yaml (\w+)\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize(("kind", "text"), EXAMPLES)
def test_example_is_a_declaration_that_is_taken(kind: str, text: str) -> None:
    declared = yaml.safe_load(text)

    if kind == "csrf":
        assert Csrf.model_validate(declared).path == declared["path"]
    else:
        assert fields_of(TypeAdapter(Auth).validate_python(declared))


def test_every_way_to_enter_something_has_its_example() -> None:
    shown = {yaml.safe_load(text)["flow"] for kind, text in EXAMPLES if kind == "auth"}

    assert shown == {flow.model_fields["flow"].default for flow in ENTERED}


def test_error_that_the_page_names_exists() -> None:
    known = (DOCS / "errors.md").read_text("utf-8")

    for code in ("credentials_refused", "csrf_refused", "needs_reconnect"):
        assert f"`{code}`" in PAGE
        assert f"| `{code}` |" in known


def test_option_that_the_page_names_exists() -> None:
    shown = CliRunner().invoke(cli, ["connect", "to", "--help"], env={"COLUMNS": "200"}).output

    for option in set(re.findall(r"--[a-z][a-z-]+", PAGE)):
        assert option in shown
