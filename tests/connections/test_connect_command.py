"""`firnline connect`: a person's browser flow, the assertion flow, and what it prints."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx2
import orjson
import pytest
from joserfc.jwk import ECKey
from tests.connections.conftest import SPEC, Bench
from tests.connections.office import CLIENT_ID, CLIENT_SECRET, PEOPLE
from tests.connections.served import served_project
from typer.testing import CliRunner

from firnline.cli.callback import AuthorizationRefusedError, listening
from firnline.cli.connect import connect_one
from firnline.cli.main import cli
from firnline.connections.activating import OtherAccountError
from firnline.errors import FirnlineError


async def visit(url: str) -> httpx2.Response:
    async with httpx2.AsyncClient(trust_env=False, follow_redirects=True) as http:
        return await http.get(url)


class Browser:
    """Opens the link that the command shows, as the person `email`, in the event loop's thread."""

    def __init__(self, email: str) -> None:
        self.email = email
        self.loop = asyncio.get_running_loop()
        self.pages: list[httpx2.Response] = []

    def show(self, url: str) -> None:
        asyncio.run_coroutine_threadsafe(self._open(url), self.loop)

    async def _open(self, url: str) -> None:
        assert url.startswith("http://127.0.0.1:")
        self.pages.append(await visit(f"{url}&login_hint={self.email}"))


async def test_person_connects_through_the_loopback_callback(bench: Bench) -> None:
    browser = Browser("bob@north.test")

    row = await connect_one(bench.connections, SPEC, "clips", show=browser.show)

    assert (row.state, row.user_name) == ("active", "Bob Builder")
    assert browser.pages[0].status_code == 200
    assert browser.pages[0].headers["cache-control"] == "no-store"


async def test_another_account_is_connected_only_when_it_is_asked_for(bench: Bench) -> None:
    browser = Browser("bob@north.test")
    row = await connect_one(bench.connections, SPEC, "clips", show=browser.show)
    await bench.connections.state.save_connection(replace(row, account="south"))

    with pytest.raises(OtherAccountError) as refused:
        await connect_one(bench.connections, SPEC, "clips", show=browser.show)
    assert refused.value.hint.endswith("firnline connect acme clips --other-account")

    row = await connect_one(bench.connections, SPEC, "clips", show=browser.show, other_account=True)
    assert (row.state, row.account) == ("active", "north")


async def test_refused_sign_in_is_an_error_that_says_so(bench: Bench) -> None:
    """The test's provider sends no state back with a refusal; ours must not take it as one."""
    async with listening(0) as callback:
        waiting = asyncio.create_task(callback.code("state-1"))
        await asyncio.sleep(0)
        page = await visit(f"{callback.redirect_uri}?error=access_denied")
        assert page.status_code == 400
        assert not waiting.done()
        await visit(f"{callback.redirect_uri}?error=access_denied&state=state-1")
        with pytest.raises(AuthorizationRefusedError, match="access_denied"):
            await waiting


@pytest.mark.parametrize(
    "query", ["", "?code=c", "?code=c&state=", "?code=c&state=other", "?state=state-12&code=c"]
)
async def test_visit_with_another_state_does_not_end_the_wait(query: str) -> None:
    async with listening(0) as callback:
        waiting = asyncio.create_task(callback.code("state-1"))
        await asyncio.sleep(0)
        assert (await visit(callback.redirect_uri + query)).status_code == 400
        assert not waiting.done()
        assert (await visit(f"{callback.redirect_uri}?code=right&state=state-1")).status_code == 200
        assert await waiting == "right"
        again = await visit(f"{callback.redirect_uri}?code=second&state=state-1")
        assert again.status_code == 400


async def test_issuer_that_comes_with_the_code_is_kept_for_who_checks_it() -> None:
    async with listening(0) as callback:
        waiting = asyncio.create_task(callback.code("state-1"))
        await asyncio.sleep(0)
        came = f"code=right&state=state-1&iss={quote('https://login.example/v2')}"
        await visit(f"{callback.redirect_uri}?{came}")
        assert await waiting == "right"
        assert callback.issuer == "https://login.example/v2"


async def test_callback_is_closed_afterwards() -> None:
    async with listening(0) as callback:
        uri = callback.redirect_uri
    with pytest.raises(httpx2.ConnectError):
        await visit(uri)


# -- the whole command ----------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, person_key: ECKey) -> Iterator[Path]:
    with served_project(tmp_path, monkeypatch, person_key) as served:
        yield served.directory


def command(*arguments: str) -> Any:
    """Run `firnline connect`; return the JSON it printed."""
    result = CliRunner().invoke(cli, ["connect", *arguments, "--json"])
    if result.exception is not None:
        raise result.exception
    return orjson.loads(result.stdout)


def listed() -> Any:
    """Return what `firnline connections list` says of the tenant."""
    result = CliRunner().invoke(cli, ["connections", "list", "acme", "--json"])
    return orjson.loads(result.stdout)["tenants"][0]


def test_nothing_is_connected_at_first(project: Path) -> None:
    assert [row["state"] for row in listed()["connections"]] == ["not_connected", "not_connected"]


def test_command_registers_a_key_and_connects_without_a_browser(project: Path) -> None:
    client = ["--client-id", CLIENT_ID, "--key-file", "key.pem", "--key-id", "key-ann"]
    connected = command("acme", "staples", *client, "--algorithm", "ES256")

    row = connected["connections"][1]
    assert (row["name"], row["state"], row["user_name"]) == (
        "staples",
        "active",
        PEOPLE["ann@north.test"],
    )
    assert listed() == connected
    # The client was stored: connecting again asks for nothing.
    assert command("acme", "staples")["connections"][1]["state"] == "active"


def test_person_is_connected_with_the_key_that_is_mapped_to_them(project: Path) -> None:
    """Beside the organisation's connection, which stays what it was."""
    client = ["--client-id", CLIENT_ID, "--key-file", "key.pem", "--key-id", "key-ann"]
    before = command("acme", "staples", *client, "--algorithm", "ES256")["connections"]

    person = ["--person", "Ann@north.test", "--key-id", "key-ann"]
    after = command("acme", "staples", *person)["connections"]

    assert after[:2] == before
    assert (after[2]["name"], after[2]["person"]) == ("staples", "ann@north.test")
    assert (after[2]["state"], after[2]["user_name"]) == ("active", PEOPLE["ann@north.test"])


def test_command_goes_through_the_browser(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(url: str) -> bool:
        assert set(parse_qs(urlsplit(url).query)) >= {"state", "code_challenge"}
        answer = httpx2.get(f"{url}&login_hint=ann@north.test", follow_redirects=True)
        return answer.status_code == 200

    monkeypatch.setattr(
        "webbrowser.open", lambda url: threading.Thread(target=opened, args=(url,)).start()
    )
    client = ["--client-id", CLIENT_ID, "--client-secret-file", "secret.txt"]
    connected = command("acme", "clips", *client)

    row = connected["connections"][0]
    assert (row["state"], row["account_name"]) == ("active", "Office north")
    assert "canary" not in str(connected)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["nobody"], "unknown_tenant"),
        (["acme", "nope"], "unknown_connection"),
        (["acme", "staples"], "client_missing"),
        (["acme", "--client-id", "x"], "client_options"),
        (["acme", "--person", "ann@north.test"], "person_option"),
        (["acme", "staples", "--person", "ann@north.test", "--key-id", "k"], "client_missing"),
        (["acme", "staples", "--key-id", "x"], "client_options"),
        (["acme", "staples", "--client-id", "x", "--key-file", "absent.pem"], "client_options"),
        (["acme", "staples", "--client-id", "x", "--key-file", "empty.pem", "--key-id", "k"],
         "client_options"),
        (["acme", "staples", "--client-id", "x", "--key-file", "secret.txt", "--key-id", "k"],
         "client_key_invalid"),
    ],
)  # fmt: skip
def test_wrong_use_is_a_coded_error_with_a_next_step(
    project: Path, arguments: list[str], code: str
) -> None:
    (project / "empty.pem").write_text("")
    with pytest.raises(FirnlineError) as raised:
        command(*arguments)

    assert raised.value.code == code
    assert raised.value.hint
    assert raised.value.exit_code == 2
    assert CLIENT_SECRET not in str(raised.value.as_dict())
