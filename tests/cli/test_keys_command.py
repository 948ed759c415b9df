"""`firnline keys`: a key is shown once, and only its digest is in the state database."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

import firnline.demo
from firnline.access.api_keys import KeyText
from firnline.cli.main import cli
from firnline.errors import FirnlineError

PROJECT = str(Path(firnline.demo.__file__).parent / "project")


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FIRNLINE_HOME", str(tmp_path / "home"))


def keys(*arguments: str) -> Any:
    return CliRunner().invoke(cli, ["keys", *arguments, "--dir", PROJECT])


def answer(*arguments: str) -> dict[str, Any]:
    done = keys(*arguments, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = orjson.loads(done.stdout)
    return found


REPORT = ("create", "report", "--tenant", "acme", "--scope", "connections:read")


def test_key_is_printed_once_with_a_warning_and_only_its_digest_is_kept(tmp_path: Path) -> None:
    done = keys(*REPORT)
    text = done.stdout.strip()
    assert done.exit_code == 0
    assert re.fullmatch(r"fl_[0-9a-f]{16}_[0-9a-f]{64}", text)
    assert "only time" in done.stderr
    secret = text.rpartition("_")[2]
    for path in (tmp_path / "home").rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path
    with sqlite3.connect(tmp_path / "home" / "state.db") as database:
        ((digest,),) = database.execute("select digest from api_keys")
    database.close()
    assert KeyText.of(text).opens(digest)
    listed = keys("list")
    assert "report" in listed.stdout
    assert secret not in listed.stdout + keys("list", "--json").stdout


def test_listed_key_tells_what_it_opens_and_how_it_stands() -> None:
    made = answer(
        *("create", "bot", "--tenant", "acme", "--as", "Ana@Acme.example", "--expires", "90d"),
        *("--scope", "graphql", "--scope", "connections:read"),
    )
    assert made.pop("key").startswith(f"fl_{made['id']}_")
    (listed,) = answer("list")["keys"]
    assert listed == made
    assert listed["person"] == "ana@acme.example"
    assert listed["scopes"] == ["connections:read", "graphql"]
    assert (listed["standing"], listed["used_at"], listed["tenant"]) == ("current", None, "acme")
    assert listed["expires_at"] > listed["created_at"]
    assert answer("list", "--tenant", "globex") == {"keys": []}


def test_agent_of_a_key_is_listed_with_whom_it_acts_for() -> None:
    made = answer(
        *("create", "bot", "--tenant", "acme", "--as", "ana@acme.example"),
        *("--scope", "graphql", "--agent", "renewals-bot"),
    )
    assert (made["agent"], answer("list")["keys"][0]["agent"]) == ("renewals-bot", "renewals-bot")


def test_letter_that_lower_cases_to_ascii_stays_another_person() -> None:
    made = answer(
        *("create", "bot", "--tenant", "acme", "--as", "\u212aim@acme.example"),
        *("--scope", "graphql"),
    )
    assert made["person"] == "\u212aim@acme.example"


def test_key_is_revoked_by_id_or_by_name_and_stays_listed() -> None:
    one = answer(*REPORT)
    revoked = answer("revoke", one["id"])
    assert revoked == {"revoked": one["id"], "name": "report", "tenant": "acme"}
    two = answer(*REPORT)
    answer("revoke", "report")
    standings = {each["id"]: each["standing"] for each in answer("list")["keys"]}
    assert standings == {one["id"]: "revoked", two["id"]: "revoked"}
    assert "revoked" in keys("list").stdout


def refusal(*arguments: str) -> FirnlineError:
    error = keys(*arguments).exception
    assert isinstance(error, FirnlineError)
    assert error.hint
    return error


def test_name_is_given_once_among_the_current_keys_of_a_tenant() -> None:
    answer(*REPORT)
    assert refusal(*REPORT).code == "api_key_name"
    answer("create", "report", "--tenant", "globex", "--scope", "connections:read")
    assert refusal("revoke", "report").code == "unknown_api_key", "two keys have that name"


@pytest.mark.parametrize("key", ["nothing", "0" * 16, ""])
def test_unknown_key_cannot_be_revoked(key: str) -> None:
    assert refusal("revoke", key).code == "unknown_api_key"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--tenant", "acme", "--scope", "everything"), "everything"),
        (("--scope", "connections:read"), "one tenant or for all"),
        (("--tenant", "acme", "--all-tenants", "--scope", "connections:read"), "one tenant or"),
        (("--tenant", "acme", "--scope", "graphql"), "as one person"),
        (("--tenant", "acme", "--scope", "graphql", "--as", "ana"), "as one person"),
        (("--all-tenants", "--scope", "graphql", "--as", "a@b.example"), "at one tenant"),
        (("--tenant", "acme", "--scope", "connections:read", "--as", "a@b.example"), "asks"),
        (("--tenant", "acme", "--scope", "metrics:read"), "figures"),
        (("--tenant", "acme", "--scope", "connections:read", "--agent", "bot"), "for a person"),
        (
            ("--tenant", "acme", "--scope", "graphql", "--as", "a@b.example", "--agent", "a b"),
            "one word",
        ),
        (("--tenant", "acme", "--scope", "connections:read", "--expires", "soon"), "--expires"),
        (("--tenant", "acme", "--scope", "connections:read", "--expires", "0d"), "--expires"),
        (("--tenant", "nobody", "--scope", "connections:read"), "no tenant"),
    ],
)
def test_key_that_would_open_nothing_or_too_much_is_not_made(
    arguments: tuple[str, ...], words: str
) -> None:
    error = refusal("create", "bot", *arguments)
    assert words in error.message
    assert error.exit_code == 2
    assert answer("list") == {"keys": []}


@pytest.mark.parametrize("name", ["", " ", "x" * 101, "a\nb", "a\x1b[31m"])
def test_name_that_no_line_can_show_is_refused(name: str) -> None:
    error = refusal("create", name, "--tenant", "acme", "--scope", "connections:read")
    assert error.code == "api_key_options"


def test_list_is_readable_at_eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Words stand whole: no column is squeezed into pieces of a word."""
    monkeypatch.setenv("COLUMNS", "80")
    answer("create", "links", "--tenant", "acme", "--scope", "connect-links:write")
    graphql = ("--tenant", "acme", "--scope", "graphql", "--as", "ana@acme.example")
    answer("create", "nightly-report", *graphql, "--expires", "90d")
    made = answer("create", "operations", "--all-tenants", "--scope", "connections:write")

    page = keys("list").stdout

    assert all(len(line) <= 80 for line in page.splitlines())
    words = {"connect-links:write", "nightly-report", "ana@acme.example", made["id"], "current"}
    assert words <= set(page.split())
