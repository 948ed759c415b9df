"""`firnline connections`: what an operator sees and does, from a terminal and from a script."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from joserfc.jwk import ECKey
from tests.connections.office import CLIENT_ID, PEOPLE
from tests.connections.served import Served, served_project
from typer.testing import CliRunner

from firnline.cli.main import cli
from firnline.connections.closed import ConnectionRevokedError
from firnline.connections.site import NoOwnConnectionError
from firnline.errors import FirnlineError

COMMAND = str(Path(sys.executable).with_name("firnline"))


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, person_key: ECKey) -> Iterator[Served]:
    monkeypatch.setenv("COLUMNS", "160")
    with served_project(tmp_path, monkeypatch, person_key) as served:
        yield served


@pytest.fixture
def connected(served: Served) -> Served:
    """Acme's staples are connected, nothing else."""
    key = ["--client-id", CLIENT_ID, "--key-file", "key.pem", "--key-id", "key-ann"]
    done = CliRunner().invoke(cli, ["connect", "acme", "staples", *key, "--algorithm", "ES256"])
    assert done.exit_code == 0, done.output
    return served


def told(*arguments: str, exit_code: int = 0) -> Any:
    """Run a command; return the JSON that it printed."""
    result = CliRunner().invoke(cli, ["connections", *arguments, "--json"])
    if isinstance(result.exception, FirnlineError):
        raise result.exception
    assert result.exit_code == exit_code, result.output
    return orjson.loads(result.stdout)


def shown(*arguments: str) -> str:
    """Run a command; return what a person reads."""
    return CliRunner().invoke(cli, ["connections", *arguments]).output


def test_list_names_every_declared_system_and_fails_while_one_does_not_work(
    connected: Served,
) -> None:
    (acme,) = told("list", exit_code=1)["tenants"]

    states = {each["name"]: each["state"] for each in acme["connections"]}
    assert (acme["tenant"], states) == (
        "acme",
        {"clips": "not_connected", "staples": "active"},
    )
    assert "not_connected" in shown("list", "acme")


def test_list_is_readable_at_eighty_columns(
    connected: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Words stand whole: no column is squeezed into pieces of a word."""
    monkeypatch.setenv("COLUMNS", "80")
    reason = "the provider offers no way to end it from here: remove the access there"
    told("disable", "acme", "staples", "--reason", reason)

    page = shown("list", "acme")

    assert all(len(line) <= 80 for line in page.splitlines())
    words = {*reason.split(), *PEOPLE["ann@north.test"].split(), "not_connected", "disabled"}
    assert words <= set(page.split())


def test_show_of_a_person_who_connected_nothing_says_so(connected: Served) -> None:
    with pytest.raises(NoOwnConnectionError) as refused:
        told("show", "acme", "staples", "--person", "bob@north.test")

    assert refused.value.hint == "Run: firnline connect acme staples --person bob@north.test"


@pytest.mark.parametrize("reason", ["two\nlines", "\x1b[31mred", "x" * 301])
def test_reason_is_one_line_that_fits(connected: Served, reason: str) -> None:
    done = CliRunner().invoke(
        cli, ["connections", "disable", "acme", "staples", "--reason", reason]
    )

    assert done.exit_code == 2
    assert told("list", "acme", exit_code=1)["tenants"][0]["connections"][1]["state"] == "active"


def test_test_of_a_tenant_without_connections_says_so(served: Served) -> None:
    assert "firnline connect acme" in shown("test", "acme")


def test_what_was_ended_cannot_be_switched_on(connected: Served) -> None:
    told("revoke", "acme", "staples")

    with pytest.raises(ConnectionRevokedError) as refused:
        told("enable", "acme", "staples")

    assert refused.value.hint == "To use it again, run: firnline connect acme staples"


def test_what_is_switched_off_is_refused_with_the_command_that_switches_it_on(
    connected: Served,
) -> None:
    told("disable", "acme", "staples")

    (tried,) = told("test", "acme", exit_code=1)["tests"]

    assert "firnline connections enable acme staples" in tried["error"]["hint"]


def test_show_tells_whose_it_is_and_how_it_became_so(connected: Served) -> None:
    told("disable", "acme", "staples", "--reason", "audit")

    facts = told("show", "acme", "staples")

    assert (facts["state"], facts["reason"], facts["flow"]) == (
        "disabled",
        "audit",
        "client_assertion",
    )
    assert facts["user_name"] == PEOPLE["ann@north.test"]
    assert [each["state"] for each in facts["events"]] == ["active", "disabled"]
    page = shown("show", "acme", "staples")
    assert all(word in page for word in ("disabled", "audit", "Changes", "client_assertion"))


def test_test_asks_the_provider_and_fails_when_it_says_no(connected: Served) -> None:
    (tried,) = told("test", "acme")["tests"]
    assert (tried["name"], tried["user_name"]) == ("staples", PEOPLE["ann@north.test"])

    connected.staples.keys.clear()
    connected.staples.revoke_all()

    (refused,) = told("test", "acme", "staples", exit_code=1)["tests"]
    assert refused["error"]["code"] == "needs_reconnect"
    assert "firnline connect acme staples" in refused["error"]["hint"]
    assert told("show", "acme", "staples")["state"] == "needs_reconnect"


def test_refresh_asks_for_another_token(connected: Served) -> None:
    asked = len(connected.staples.token_calls)

    facts = told("refresh", "acme", "staples")

    assert len(connected.staples.token_calls) == asked + 1
    assert facts["state"] == "active"


def test_revoked_connection_is_gone_until_it_is_connected_again(connected: Served) -> None:
    facts = told("revoke", "acme", "staples", "--reason", "they left")
    assert facts["state"] == "revoked"
    assert facts["reason"].startswith("they left")

    (refused,) = told("test", "acme", "staples", exit_code=1)["tests"]
    assert refused["error"]["code"] != "internal"
    again = CliRunner().invoke(cli, ["connect", "acme", "staples"])
    assert again.exit_code == 0, again.output
    assert told("show", "acme", "staples")["state"] == "active"


def test_everything_of_a_tenant_ends_at_once(connected: Served) -> None:
    acme = told("revoke", "acme", "--all")

    states = {each["name"]: each["state"] for each in acme["connections"]}
    assert states == {"clips": "not_connected", "staples": "revoked"}


def test_disabled_connection_works_again_once_enabled(connected: Served) -> None:
    told("disable", "acme", "staples")
    (off,) = told("test", "acme", "staples", exit_code=1)["tests"]
    assert off["error"]["code"] == "connection_disabled"

    assert told("enable", "acme", "staples")["state"] == "active"
    assert "account" in told("test", "acme", "staples")["tests"][0]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["list", "nobody"], "unknown_tenant"),
        (["show", "acme", "nope"], "unknown_connection"),
        (["test", "acme", "nope"], "unknown_connection"),
        (["refresh", "acme", "clips"], "not_connected"),
        (["revoke", "acme", "clips"], "not_connected"),
        (["disable", "acme", "clips"], "not_connected"),
        (["show", "acme", "staples", "--person", "ann@north.test"], "unknown_connection"),
        (["revoke", "acme"], "revoke_options"),
        (["revoke", "acme", "staples", "--all"], "revoke_options"),
    ],
)
def test_wrong_use_is_a_coded_error_with_a_next_step(
    served: Served, arguments: list[str], code: str
) -> None:
    with pytest.raises(FirnlineError) as refused:
        told(*arguments)

    assert refused.value.code == code
    assert refused.value.hint


def test_no_secret_shows(connected: Served) -> None:
    everything = "".join(
        str(told(*arguments, exit_code=code))
        for arguments, code in (
            (["list"], 1),
            (["show", "acme", "staples"], 0),
            (["test", "acme"], 0),
            (["revoke", "acme", "staples"], 0),
        )
    )

    assert "canary" not in everything
    assert "ciphertext" not in everything


def test_watch_prints_changes_that_other_processes_make_until_interrupted(
    connected: Served,
) -> None:
    command = [COMMAND, "connections", "watch", "acme", "--json"]
    with (
        subprocess.Popen(
            [*command, "--after", "0"],
            stdout=subprocess.PIPE,
            # A shell that runs the tests in the background has them, and us, ignore interrupts.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads
        ) as watching,
        contextlib.ExitStack() as ended,
    ):
        ended.callback(watching.kill)  # whatever fails here, nothing goes on watching
        assert watching.stdout is not None
        first = orjson.loads(watching.stdout.readline())
        told("disable", "acme", "staples", "--reason", "audit")
        second = orjson.loads(watching.stdout.readline())
        watching.send_signal(signal.SIGINT)
        assert watching.wait(20) == 130

    assert (first["state"], first["before"]) == ("active", None)
    assert (second["state"], second["before"], second["reason"]) == ("disabled", "active", "audit")
    assert second["number"] > first["number"]


def test_show_tells_how_the_quota_of_the_account_stands(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As declared by the tenant: the provider's manifest names none."""
    limits = "limits: {daily: 600}"
    tenant = served.directory / "tenants" / "acme.yaml"
    declared = "{provider: stapler, settings: {office: north}"
    tenant.write_text(tenant.read_text().replace(declared, f"{declared}, {limits}"))
    monkeypatch.setenv("FIRNLINE_QUOTA_PACING", "true")
    key = ["--client-id", CLIENT_ID, "--key-file", "key.pem", "--key-id", "key-ann"]
    CliRunner().invoke(cli, ["connect", "acme", "staples", *key, "--algorithm", "ES256"])

    facts = told("show", "acme", "staples")

    (budget,) = facts["quota"]["budgets"]
    assert (budget["name"], budget["limit"]) == ("daily", 600)
    assert "600 calls" in shown("show", "acme", "staples")
