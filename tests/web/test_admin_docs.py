"""docs/authentication.md and docs/admin-api.md: settings load, commands and calls work."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.project.test_tidy import ROOT as REPOSITORY
from tests.web.project import PROJECT, ServedProject, connectors, filled, serving_project
from typer.testing import CliRunner

from firnline.access.api_keys import SCOPES
from firnline.access.principal import TokenVerifier
from firnline.cli.main import cli
from firnline.clock import SystemClock
from firnline.settings import IssuerSettings, Settings
from firnline.web import key_sources
from firnline.web.admin import work
from firnline.web.admin.caller import OF_TOKENS
from firnline.web.admin.endpoints import ENDPOINTS
from firnline.web.admin.forms import REASON_LENGTH_MAX, Connection, ConnectLinkOrder, Event

__all__ = ["connectors", "filled"]  # the fixtures
AUTHENTICATION = (REPOSITORY / "docs" / "authentication.md").read_text("utf-8")
ADMIN = (REPOSITORY / "docs" / "admin-api.md").read_text("utf-8")


def commands(page: str, program: str) -> list[str]:
    """Return the indented commands of a page, each on one line."""
    joined = page.replace("\\\n", " ")
    return re.findall(rf"^    ({program} .*)$", joined, re.MULTILINE)


# -- authentication ------------------------------------------------------------------------------


def issuers_of_the_page() -> list[dict[str, Any]]:
    (text,) = re.findall(r"```json\n(.*?)```", AUTHENTICATION, re.DOTALL)
    found: list[dict[str, Any]] = json.loads(text)
    return found


def test_issuers_of_the_page_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps(issuers_of_the_page())
    monkeypatch.setenv("FIRNLINE_JWT_ISSUERS", text)
    settings = Settings(_env_file=None)
    verifier = TokenVerifier.from_settings(settings, clock=SystemClock())
    assert set(verifier.issuers) == {each["issuer"] for each in issuers_of_the_page()}
    told = set(re.findall(r"`(\w+)`", AUTHENTICATION[: AUTHENTICATION.index("**Bind")]))
    assert set(IssuerSettings.model_fields) <= told


def test_times_of_the_page_are_those_of_the_code() -> None:
    assert f"after {key_sources.FRESH_S / 60:g} minutes" in AUTHENTICATION
    bounds = f"from {key_sources.FRESH_MIN_S / 60:g} to {key_sources.FRESH_MAX_S / 60:g} minutes"
    assert bounds in AUTHENTICATION
    assert f"for {key_sources.KEPT_S / 3600:g} hours from the last reading" in AUTHENTICATION
    assert f"up to {key_sources.RETRY_MAX_S:g} seconds" in AUTHENTICATION
    assert (key_sources.ASK_AGAIN_S, key_sources.FILE_EVERY_S) == (60, 1)
    assert key_sources.AHEAD == 0.8, "four fifths"


def test_commands_of_the_page_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FIRNLINE_HOME", str(tmp_path / "home"))
    found = commands(AUTHENTICATION, "firnline")
    assert len(found) == 6
    for command in found:
        arguments = [*shlex.split(command)[1:], "--dir", str(PROJECT)]
        done = CliRunner().invoke(cli, arguments)
        assert done.exit_code == 0, (command, done.output)
    listed = CliRunner().invoke(cli, ["keys", "list", "--json", "--dir", str(PROJECT)])
    assert [each["standing"] for each in json.loads(listed.stdout)["keys"]].count("revoked") == 1


def test_page_lists_every_scope() -> None:
    assert set(re.findall(r"^\| `([\w:-]+)` \|", AUTHENTICATION, re.MULTILINE)) >= SCOPES


# -- admin API -----------------------------------------------------------------------------------


def test_page_lists_every_endpoint_with_its_scope() -> None:
    told = re.findall(r"^\| (GET|POST) \| `([^`]+)` \| `([^`]+)` \|", ADMIN, re.MULTILINE)
    assert told == [(each.method, each.path, each.scope) for each in ENDPOINTS]
    assert all(f"`{word}`" in ADMIN for word in OF_TOKENS)


def test_forms_of_the_page_are_those_of_the_code() -> None:
    (text,) = re.findall(r"```json\n(.*?)```", ADMIN, re.DOTALL)
    assert list(json.loads(text)) == list(Connection.model_fields)
    (event,) = re.findall(r"^data: (.*)$", ADMIN, re.MULTILINE)
    assert list(json.loads(event)) == list(Event.model_fields)
    links = ADMIN[ADMIN.index("## Connect links") :]
    assert all(f"`{name}`" in links for name in ConnectLinkOrder.model_fields)
    assert f"up to {REASON_LENGTH_MAX} characters" in ADMIN
    most = work.STREAMS_MAX
    assert f"{most // 4} streams of one key are open at once, {most // 2} of one tenant" in ADMIN
    assert f"{most} in all" in ADMIN


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(filled: Path) -> AsyncIterator[ServedProject]:
    async with serving_project(filled) as project:
        await project.connect("acme", "crm")
        await project.connect("acme", "crm", person="ana@acme.example")
        yield project


def call_of(command: str, key: str) -> tuple[str, str, dict[str, str], str | None]:
    """Return method, path, headers and body of a curl command."""
    words = shlex.split(command.replace("$FIRNLINE", "").replace("$KEY", key))[1:]
    method, path, headers, body = "GET", "", {}, None
    while words:
        word = words.pop(0)
        if word == "-X":
            method = words.pop(0)
        elif word == "-H":
            name, _, value = words.pop(0).partition(": ")
            headers[name.lower()] = value
        elif word == "-d":
            body = words.pop(0)
        elif word != "-N":
            path = word
    return method, path, headers, body


@pytest.mark.parametrize("command", commands(ADMIN, "curl"))
@pytest.mark.asyncio(loop_scope="module")
async def test_call_of_the_page_works(served: ServedProject, command: str) -> None:
    key = await served.key("connections:read", "connections:write", "connect-links:write")
    method, path, headers, body = call_of(command, key)
    async with (
        asyncio.timeout(20),
        served.http.stream(method, path, headers=headers, content=body) as answer,
    ):
        assert answer.status_code in (200, 201), await answer.aread()
        if headers.get("accept") == "text/event-stream":
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    break
            return
        told = json.loads(await answer.aread())
    assert "errors" not in told
