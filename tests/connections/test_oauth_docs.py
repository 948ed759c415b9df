"""docs/oauth.md: its examples are what connectors may declare, its errors and options exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter, ValidationError
from typer.testing import CliRunner

from firnline.cli.main import cli
from firnline.connectors.auth_flows import OAUTH, Auth, AuthorizationCode

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "oauth.md").read_text("utf-8")
EXAMPLES = [yaml.safe_load(text) for text in re.findall(r"```yaml auth\n(.*?)```", PAGE, re.DOTALL)]


@pytest.mark.parametrize("declared", EXAMPLES, ids=lambda declared: declared["flow"])
def test_example_is_a_declaration_that_is_taken(declared: dict[str, object]) -> None:
    taken = TypeAdapter(Auth).validate_python(declared)

    assert isinstance(taken, OAUTH)
    assert taken.flow == declared["flow"]


def test_every_oauth_flow_has_its_example_and_its_line() -> None:
    flows = {flow.model_fields["flow"].default for flow in OAUTH}

    assert {declared["flow"] for declared in EXAMPLES} == flows
    assert all(f"| `{flow}` |" in PAGE for flow in flows)


def test_every_fact_of_the_code_flow_is_shown() -> None:
    shown = next(each for each in EXAMPLES if each["flow"] == "authorization_code")
    common = {"scope_separator", "token_parameters"}

    assert set(shown) | common == set(AuthorizationCode.model_fields)


def test_error_that_the_page_names_exists() -> None:
    known = (DOCS / "errors.md").read_text("utf-8")
    named = re.findall(r"`((?:provider|grant|client|scope|forbidden)_[a-z_]+)`", PAGE)
    flows = {declared["flow"] for declared in EXAMPLES}

    assert len(set(named) - flows) >= 7
    for code in set(named) - flows:
        assert f"| `{code}` |" in known


def test_option_that_the_page_names_exists() -> None:
    shown = CliRunner().invoke(cli, ["connect", "to", "--help"], env={"COLUMNS": "200"}).output

    for option in set(re.findall(r"--[a-z][a-z-]+", PAGE)):
        assert option in shown


def test_parameter_that_is_the_flows_own_cannot_be_declared() -> None:
    shown = next(each for each in EXAMPLES if each["flow"] == "authorization_code")

    for name in ("state", "code_challenge_method", "redirect_uri"):
        with pytest.raises(ValidationError):
            TypeAdapter(Auth).validate_python({**shown, "authorize_parameters": {name: "x"}})
