"""docs/connect-pages.md: its commands run, its branding loads, its numbers are the code's."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml
from tests.spec.test_branding import SVG
from typer.testing import CliRunner

import firnline.demo
from firnline.cli.main import cli
from firnline.connections.consent.arrivals import ARRIVAL_LIFETIME
from firnline.connections.consent.authorize import AUTHORIZATION_LIFETIME
from firnline.connections.consent.links import LIFETIME, LIFETIME_MAX, SESSION_MIN
from firnline.connectors.auth_flows import ENTERED, OAUTH
from firnline.settings import Settings
from firnline.spec.branding import LOGO_BYTES_MAX, LOGO_KINDS, Branding, logo_problem
from firnline.web.connect.colors import CONTRAST_MIN
from firnline.web.connect.theme import LOGO_KEPT_S

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "connect-pages.md").read_text("utf-8")
PROJECT = Path(firnline.demo.__file__).parent / "project"
COMMANDS = re.findall(r"^    firnline (.*)$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_command_of_the_page_makes_a_link(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRNLINE_HOME", str(tmp_path))
    monkeypatch.setenv("FIRNLINE_RETURN_TO", '["https://app.example.com/settings"]')
    done = CliRunner().invoke(cli, [*shlex.split(command), "--dir", str(PROJECT)])

    assert done.exit_code == 0, done.output
    assert "/connect/acme?link=" in done.stdout


def test_page_has_commands_to_try() -> None:
    assert len(COMMANDS) == 3


def test_branding_of_the_page_is_taken(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    branding = Branding.model_validate(yaml.safe_load(text)["branding"])
    logo = tmp_path / branding.logo
    logo.parent.mkdir()
    logo.write_bytes(SVG)

    assert set(Branding.model_fields) == branding.model_fields_set
    assert logo_problem(tmp_path, branding.logo) == ""
    assert LOGO_KINDS in PAGE and f"{LOGO_BYTES_MAX // 1024} KB" in PAGE


def test_numbers_of_the_page_are_the_codes() -> None:
    assert LIFETIME.total_seconds() == 3600 and "after an hour" in PAGE
    assert LIFETIME_MAX.days == 7 and "up to seven days" in PAGE
    assert SESSION_MIN.total_seconds() == 1800 and "at least half an\n  hour" in PAGE
    assert ARRIVAL_LIFETIME.total_seconds() == 900 and "a quarter of an hour" in PAGE
    assert AUTHORIZATION_LIFETIME.total_seconds() == 600 and "ten minutes" in PAGE
    assert f"{CONTRAST_MIN} to 1" in PAGE
    assert LOGO_KEPT_S == 3600 and "once an hour" in PAGE


def test_every_flow_and_every_setting_is_told() -> None:
    flows = {flow.model_fields["flow"].default for flow in (*OAUTH, *ENTERED)}
    assert all(f"`{flow}`" in PAGE for flow in flows)
    for name in re.findall(r"`FIRNLINE_([A-Z_]+)`", PAGE):
        assert name.lower() in Settings.model_fields


def test_errors_and_files_of_the_page_exist() -> None:
    known = (DOCS / "errors.md").read_text("utf-8")
    assert "| `connect_link_used` |" in known
    for link in re.findall(r"\]\(([a-z][^)#]*)", PAGE):
        assert (DOCS / link).is_file(), link
