"""`firnline connect` with keys and passwords: from options and files, or asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import SecretStr
from tests.connections.entered import (
    ACCESS_KEY,
    ACCESS_SECRET,
    KEY,
    PASSWORD,
    USER,
    PunchServer,
    StampServer,
    served_in_thread,
)
from tests.connections.served import PROJECT
from typer.testing import CliRunner, Result

from firnline.cli.entering import SecretFileError, completed, entered
from firnline.cli.main import cli
from firnline.clock import SystemClock
from firnline.connectors.auth_flows import EntryField

TENANT = """
tenant: acme
connections:
  calls: {provider: stamp, settings: {office: north}}
  callsBasic: {provider: stamp, settings: {office: north}, auth: basic}
  erp: {provider: punch, settings: {office: north, company: SBO_NORTH}}
"""


@dataclass
class Desk:
    """A project directory and the servers that its tenant's systems are."""

    path: Path
    stamp: StampServer
    punch: PunchServer


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    (tmp_path / "firnline.yaml").write_text(PROJECT)
    (tmp_path / "tenants").mkdir()
    (tmp_path / "tenants" / "acme.yaml").write_text(TENANT)
    (tmp_path / "key.txt").write_text(f"{KEY}\n")
    (tmp_path / "password.txt").write_text(f"{PASSWORD}\r\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FIRNLINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FIRNLINE_CONNECTORS", str(Path(__file__).parent / "providers"))
    stamp, punch = StampServer(), PunchServer(SystemClock())
    with served_in_thread(stamp, punch) as routes:
        monkeypatch.setenv("FIRNLINE_ROUTES", orjson.dumps(routes).decode())
        yield Desk(tmp_path, stamp, punch)


def invoke(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["connect", *arguments, "--json"], input=stdin)


def connected(*arguments: str, stdin: str | None = None) -> Mapping[str, Any]:
    """Run `firnline connect acme NAME ...`; return what it says of that connection."""
    result = invoke("acme", *arguments, stdin=stdin)
    if result.exception is not None:
        raise result.exception
    assert "canary" not in result.output
    rows = orjson.loads(result.stdout)["connections"]
    return next(row for row in rows if row["name"] == arguments[0])


def test_key_is_read_from_a_file(desk: Desk) -> None:
    row = connected("calls", "--api-key-file", "key.txt")

    assert (row["state"], row["user_name"]) == ("active", "Rita Robot")


def test_secret_is_read_from_standard_input(desk: Desk) -> None:
    row = connected(
        *("callsBasic", "--username", ACCESS_KEY, "--secret-file", "-"), stdin=f"{ACCESS_SECRET}\n"
    )

    assert row["state"] == "active"


def test_user_name_and_password_log_in(desk: Desk) -> None:
    row = connected("erp", "--username", USER, "--secret-file", "password.txt")

    assert (row["state"], row["user_name"]) == ("active", "Max Manager")
    assert len(desk.punch.sessions) == 1


def test_wrong_key_is_refused_with_a_next_step_and_leaves_nothing(desk: Desk) -> None:
    (desk.path / "key.txt").write_text("pat-canary-wrong")

    result = invoke("acme", "calls", "--api-key-file", "key.txt")

    assert result.exit_code != 0
    error: Any = result.exception
    assert error.code == "credentials_refused"
    assert error.hint
    assert "canary" not in result.output + str(error.as_dict())
    shown = CliRunner().invoke(cli, ["connections", "list", "acme", "--json"]).stdout
    listed = orjson.loads(shown)["tenants"][0]["connections"]
    assert {row["state"] for row in listed} == {"not_connected"}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["calls"], "entry_fields"),
        (["erp", "--username", USER], "entry_fields"),
        (["calls", "--username", USER], "entry_fields"),
        (["calls", "--api-key-file", "absent.txt"], "secret_file"),
        (["calls", "--api-key-file", "empty.txt"], "secret_file"),
        (["calls", "--api-key-file", "binary.txt"], "secret_file"),
        (["calls", "--api-key-file", "-", "--secret-file", "-"], "secret_file"),
        (["--api-key-file", "key.txt"], "entry_options"),
        (["calls", "--client-id", "x", "--client-secret-file", "key.txt"], "client_options"),
    ],
)
def test_wrong_use_is_a_coded_error_and_calls_nobody(
    desk: Desk, arguments: list[str], code: str
) -> None:
    (desk.path / "empty.txt").write_text("\n")
    (desk.path / "binary.txt").write_bytes(b"\xff\xfe\x00canary")

    result = invoke("acme", *arguments, stdin="canary-stdin")

    error: Any = result.exception
    assert (error.code, error.exit_code) == (code, 2)
    assert error.hint
    assert "canary" not in str(error.as_dict())
    assert desk.stamp.seen == desk.punch.seen == []


def test_what_is_missing_where_nobody_can_be_asked_is_told_with_its_option(desk: Desk) -> None:
    error: Any = invoke("acme", "erp", "--username", USER).exception

    assert "Password" in error.message
    assert error.hint.startswith("Give --secret-file FILE, or run")


FIELDS = (
    EntryField(name="username", title="User name", secret=False),
    EntryField(name="password", title="Password"),
)


def test_only_what_is_missing_is_asked_for() -> None:
    asked: list[str] = []

    def ask(field: EntryField) -> str:
        asked.append(field.title)
        return f"canary-{field.name}"

    fields = completed(FIELDS, {"username": SecretStr("ann")}, ask=ask)

    assert asked == ["Password"]
    assert {name: value.get_secret_value() for name, value in fields.items()} == {
        "username": "ann",
        "password": "canary-password",
    }


def test_person_at_a_terminal_is_asked_and_the_answer_is_not_shown(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firnline.cli.entering._has_terminal", lambda: True)

    row = connected("callsBasic", "--username", ACCESS_KEY, stdin=f"{ACCESS_SECRET}\n")

    assert row["state"] == "active"


def test_spaces_of_a_password_are_kept_and_only_the_lines_end_is_cut(tmp_path: Path) -> None:
    file = tmp_path / "secret.txt"
    file.write_bytes(b"\xef\xbb\xbf canary \r\n")

    assert entered("", file, None)["password"].get_secret_value() == " canary "
    with pytest.raises(SecretFileError):
        entered("", file, file)
