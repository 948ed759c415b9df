"""`firnline connect link`: what it makes opens the pages, and `firnline connect TENANT` stays."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.connections.served import PROJECT, TENANT
from typer.testing import CliRunner, Result

from firnline.app import opened
from firnline.cli.main import cli
from firnline.connections.clients import ClientMissingError
from firnline.errors import FirnlineError


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two tenants, of which one is called as the command is."""
    (tmp_path / "firnline.yaml").write_text(PROJECT)
    (tmp_path / "tenants").mkdir()
    for name in ("acme", "link"):
        text = TENANT.replace("tenant: acme", f"tenant: {name}")
        (tmp_path / "tenants" / f"{name}.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FIRNLINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FIRNLINE_PUBLIC_URL", "https://firnline.example.com")
    monkeypatch.setenv("FIRNLINE_RETURN_TO", '["https://app.example.com/done"]')
    monkeypatch.setenv("FIRNLINE_CONNECTORS", str(Path(__file__).parent / "providers"))
    return tmp_path


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(cli, ["connect", *arguments])
    if isinstance(result.exception, FirnlineError):
        raise result.exception
    return result


def made(*arguments: str) -> Any:
    return orjson.loads(run("link", *arguments, "--json").stdout)


async def test_made_link_opens_the_tenants_pages(project: Path) -> None:
    options = ["--person", "Ann@north.test", "--connection", "clips", "--hours", "48"]
    facts = await asyncio.to_thread(
        lambda: made("acme", *options, "--return-to", "https://app.example.com/done?x=1")
    )

    assert facts["url"].startswith("https://firnline.example.com/connect/acme?link=")
    assert (facts["tenant"], facts["person"]) == ("acme", "ann@north.test")
    assert facts["connections"] == ["clips"]
    async with opened(project) as app:
        session = await app.connect_links.enter(facts["url"].split("link=")[1], "acme")
    assert session.link.connections == ("clips",)
    assert session.link.return_to == "https://app.example.com/done?x=1"


def test_address_alone_is_printed_for_a_pipe() -> None:
    shown = run("link", "acme").stdout

    assert shown.startswith("https://firnline.example.com/connect/acme?link=")
    assert len(shown.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["nobody"], "unknown_tenant"),
        (["acme", "--connection", "nope"], "unknown_connection"),
        (["acme", "--person", "nobody"], "connect_link"),
        (["acme", "--person", "ann@north.test", "--connection", "staples"], "connect_link"),
        (["acme", "--return-to", "https://evil.example/"], "return_to"),
    ],
)
def test_wrong_link_is_a_coded_error_with_a_next_step(arguments: list[str], code: str) -> None:
    with pytest.raises(FirnlineError) as refused:
        made(*arguments)
    assert (refused.value.code, refused.value.exit_code) == (code, 2)
    assert refused.value.hint


@pytest.mark.parametrize("hours", ["0", "169", "-1", "inf", "x"])
def test_lifetime_is_of_hours_up_to_seven_days(hours: str) -> None:
    assert run("link", "acme", "--hours", hours).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "tenant"),
    [
        (["acme", "clips", "--json"], "acme"),
        (["--no-browser", "acme", "clips"], "acme"),
        (["to", "acme", "clips"], "acme"),
        (["to", "link", "clips"], "link"),
    ],
)
def test_connect_without_a_command_connects_and_every_tenant_is_reached(
    arguments: list[str], tenant: str
) -> None:
    with pytest.raises(ClientMissingError, match=f"'clips' of '{tenant}'"):
        run(*arguments)
    assert made("link")["tenant"] == "link"


def test_help_names_both() -> None:
    shown = run("--help").stdout
    assert "link" in shown and "to" in shown
