"""`firnline token` prints a token that the development server accepts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from firnline.access.principal import Principal, TokenRefusedError, TokenVerifier
from firnline.access.signing import TokenLifetimeError
from firnline.cli.init import init
from firnline.cli.token import DevelopmentOnlyError, token
from firnline.clock import SystemClock
from firnline.errors import FirnlineError, UnknownTenantError, UsageError
from firnline.settings import Settings
from firnline.spec.load import load_project

cli = typer.Typer()
cli.command()(token)


@pytest.fixture
def tenant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A project in the working directory, in development; return the name of its tenant."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FIRNLINE_DEVELOPMENT", "true")
    init(Path())
    return next(iter(load_project(Path()).tenants))


def test_printed_token_names_the_person_at_the_tenant(tenant: str) -> None:
    done = CliRunner().invoke(cli, [tenant, "--as", "Ana@acme.example", "--lifetime", "60"])
    assert done.exit_code == 0, done.output
    verifier = TokenVerifier.from_settings(Settings(), clock=SystemClock())
    assert verifier.verify(done.stdout.strip()) == Principal(tenant, "ana@acme.example")


def test_options_become_claims_of_the_token(tenant: str) -> None:
    options = ["--agent", "bot", "--scope", "read:Account operations", "--purpose", "support"]
    attributes = ["--attribute", "region=EMEA", "--attribute", "unit=a", "--attribute", "unit=b"]
    done = CliRunner().invoke(cli, [tenant, "--as", "ana@acme.example", *options, *attributes])
    assert done.exit_code == 0, done.output
    assert TokenVerifier.from_settings(Settings(), clock=SystemClock()).verify(
        done.stdout.strip()
    ) == Principal(
        tenant,
        "ana@acme.example",
        scopes=frozenset({"read:Account", "operations"}),
        agent="bot",
        purpose="support",
        attributes={"region": "EMEA", "unit": ("a", "b")},
    )


def test_json_output_holds_the_token_and_whose_it_is(tenant: str) -> None:
    done = CliRunner().invoke(cli, [tenant, "--as", "ana@acme.example", "--json"])
    facts = json.loads(done.stdout)
    assert facts["token"].count(".") == 2
    assert (facts["tenant"], facts["person"]) == (tenant, "ana@acme.example")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["TENANT"], UsageError),
        (["nowhere", "--as", "ana@acme.example"], UnknownTenantError),
        (["TENANT", "--as", "ana"], TokenRefusedError),
        (["TENANT", "--as", "ana@acme.example", "--lifetime", "0"], TokenLifetimeError),
        (["TENANT", "--as", "ana@acme.example", "--attribute", "region"], UsageError),
        (["TENANT", "--as", "ana@acme.example", "--attribute", "a b=c"], TokenRefusedError),
    ],
)
def test_wrong_input_is_an_error_with_a_next_step(
    tenant: str, arguments: list[str], error: type[FirnlineError]
) -> None:
    given = [tenant if argument == "TENANT" else argument for argument in arguments]
    done = CliRunner().invoke(cli, given)
    assert isinstance(done.exception, error)
    assert done.exception.hint
    assert done.stdout == ""


def test_outside_development_nothing_is_signed(
    tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRNLINE_DEVELOPMENT", "false")
    done = CliRunner().invoke(cli, [tenant, "--as", "ana@acme.example"])
    assert isinstance(done.exception, DevelopmentOnlyError)
    assert not Path(".firnline/jwt").exists()
