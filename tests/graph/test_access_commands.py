"""`firnline audit`, `access` and `people` over a state file and caches as they lie on the disk."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.graph.policies import with_policy

from firnline.access.principal import Principal
from firnline.app import opened
from firnline.cli.main import main
from firnline.errors import FirnlineError
from firnline.settings import Settings

Cli = Callable[..., tuple[int, str, str]]
PEOPLE = """agents:
  renewals-bot: {objects: [Account, Deal], purposes: [renewal], readOnly: true}
people:
  all@x.test: {crm: u1}
  bo@x.test: {crm: u404}
"""


@pytest.fixture(scope="module")
def home(connectors: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a project with data of which some was read, and its state on the disk."""
    home = tmp_path_factory.mktemp("commands")
    with_policy(home, {"objects": {"Deal": {"mode": "mirror", "hide": ["secret"]}}}).close()
    tenant = home / "project" / "tenants" / "acme.yaml"
    tenant.write_text(tenant.read_text() + PEOPLE)
    asyncio.run(_read(home))
    return home


async def _read(home: Path) -> None:
    async with opened(home / "project", Settings(home=home)) as app:
        for email, text in (
            ("masked@x.test", "{ accounts(first: 3) { nodes { id segment } } }"),
            ("denied@x.test", "{ accounts { nodes { id } } }"),
            ("masked@x.test", "{ deals(first: 2) { nodes { id } } }"),
        ):
            await app.ask(Principal("acme", email, credential="jti:7"), text)
        with pytest.raises(FirnlineError):
            stranger = Principal("acme", "bot@x.test", agent="other")
            await app.ask(stranger, "{ deals { totalCount } }")


@pytest.fixture
def cli(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cli]:
    """Give what runs `firnline` in this process: exit code, stdout and stderr."""
    monkeypatch.setenv("FIRNLINE_HOME", str(home))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> tuple[int, str, str]:
        told = ["firnline", *arguments, "--dir", str(home / "project")]
        monkeypatch.setattr(sys, "argv", told)
        with pytest.raises(SystemExit) as ended:
            main()
        out = capsys.readouterr()
        return int(ended.value.code or 0), out.out, out.err

    yield run


def as_json(done: tuple[int, str, str]) -> Any:
    assert (done[0], done[2]) == (0, "")
    return json.loads(done[1])


def test_audit_list_names_who_read_what_with_counts_masks_and_denials(cli: Cli) -> None:
    rows = as_json(cli("audit", "list", "acme", "--json"))
    assert [(row["person"], row["outcome"]) for row in rows] == [
        ("masked@x.test", "answered"),
        ("denied@x.test", "answered"),
        ("masked@x.test", "answered"),
        ("bot@x.test", "agent_refused"),
    ]
    assert [row["number"] for row in rows] == [1, 2, 3, 4]
    assert rows[0]["reads"] == {"Account": ["id", "segment"]}
    assert (rows[0]["masked"], rows[0]["rows"]) == (["Account.segment"], 3)
    assert (rows[1]["denied"], rows[1]["rows"]) == (["Account"], 0)
    assert (rows[3]["agent"], rows[3]["reads"]) == ("other", {})
    assert {row["credential"] for row in rows[:3]} == {"jti:7"}


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        (("--person", "MASKED@x.test"), [1, 3]),
        (("--object", "Account"), [1, 2]),
        (("--object", "Deal", "--person", "masked@x.test"), [3]),
        (("--since", "2100-01-01"), []),
        (("--until", "2020-01-01T00:00:00Z"), []),
        (("--since", "2020-01-01", "--until", "2100-01-01"), [1, 2, 3, 4]),
    ],
)
def test_audit_list_and_export_keep_what_the_options_say(
    cli: Cli, options: tuple[str, ...], numbers: list[int]
) -> None:
    listed = as_json(cli("audit", "list", "acme", "--json", *options))
    assert [row["number"] for row in listed] == numbers
    code, out, _ = cli("audit", "export", "acme", *options)
    assert code == 0
    assert [json.loads(line)["number"] for line in out.splitlines()] == numbers


def test_audit_list_is_a_table_without_json(cli: Cli) -> None:
    code, out, _ = cli("audit", "list", "acme")
    assert code == 0
    (line,) = [line for line in out.splitlines() if "denied@x.test" in line]
    assert "Account" in line
    assert cli("audit", "list", "beta")[1] == "Nothing is on record for beta.\n"


def test_audit_export_is_one_json_object_a_line_tied_by_digests(cli: Cli) -> None:
    _, out, _ = cli("audit", "export", "acme")
    rows = [json.loads(line) for line in out.splitlines()]
    assert rows[0]["previous"] == "0" * 64
    assert [row["previous"] for row in rows[1:]] == [row["digest"] for row in rows[:-1]]


@pytest.mark.parametrize("option", ["--since", "--until"])
def test_audit_refuses_what_is_no_moment(cli: Cli, option: str) -> None:
    code, out, _ = cli("audit", "list", "acme", "--json", option, "yesterday")
    assert code == 2
    assert "2026-11-22" in json.loads(out)["error"]["hint"]


def test_audit_verify_tells_the_head(cli: Cli) -> None:
    _, out, _ = cli("audit", "export", "acme")
    last = json.loads(out.splitlines()[-1])
    assert as_json(cli("audit", "verify", "acme", "--json")) == {
        "tenant": "acme",
        "entries": 4,
        "head": last["digest"],
    }
    code, told, _ = cli("audit", "verify", "acme")
    assert code == 0
    assert f"head: 4 {last['digest']}" in told


TAMPERING: Mapping[str, tuple[str, int]] = {
    "changed": (
        "UPDATE audit_entries SET content = replace(content, 'Account', 'Ticket') "
        "WHERE tenant = 'acme' AND number = 1",
        1,
    ),
    "removed": ("DELETE FROM audit_entries WHERE tenant = 'acme' AND number = 2", 2),
    "cut off": ("DELETE FROM audit_entries WHERE tenant = 'acme' AND number = 4", 4),
    "somebody else": (
        "UPDATE audit_entries SET person = 'x@x.test' WHERE tenant = 'acme' AND number = 3",
        3,
    ),
    "sealed anew": ("UPDATE audit_chains SET head_number = 3 WHERE tenant = 'acme'", 3),
}


@pytest.mark.parametrize("way", TAMPERING)
def test_audit_verify_finds_where_the_state_file_was_tampered_with(
    cli: Cli, home: Path, way: str
) -> None:
    path = home / "state.db"
    kept = sqlite3.connect(":memory:")
    with sqlite3.connect(path) as database:
        database.backup(kept)
    statement, number = TAMPERING[way]
    try:
        with sqlite3.connect(path) as database:
            assert database.execute(statement).rowcount == 1
        code, out, _ = cli("audit", "verify", "acme", "--json")
        error = json.loads(out)["error"]
        assert (code, error["code"]) == (1, "audit_tampered")
        assert f"entry {number}" in error["message"]
    finally:
        with sqlite3.connect(path) as database:
            kept.backup(database)
    assert as_json(cli("audit", "verify", "acme", "--json"))["entries"] == 4


def test_access_explain_tells_rules_fields_verbs_and_ages(cli: Cli) -> None:
    told = as_json(
        cli(
            *("access", "explain", "--tenant", "acme", "--person", "rep@x.test", "--json"),
            *("--object", "Account", "--record", "a1", "--field", "revenue"),
        )
    )
    assert (told["person"], told["readable"], told["mode"]) == ("rep@x.test", True, "mirror")
    assert told["rows"] == "owner_id is one of u1, u2"
    assert told["field"]["readable"] is True
    assert told["record"]["exists"] is True
    (rule,) = told["record"]["rules"]
    assert rule["because"][0]["field"] == "accounts.owner_id"
    assert rule["holds"] is told["record"]["visible"]
    assert set(told["ages"]) >= {"accounts"}


def test_access_explain_prints_a_tree(cli: Cli) -> None:
    code, out, _ = cli(
        *("access", "explain", "--tenant", "acme", "--person", "denied@x.test"),
        *("--object", "Account", "--record", "a1"),
    )
    assert code == 0
    assert "denied@x.test may not read Account" in out
    assert "refused by crm: the profile gives no access to accounts" in out
    code, out, _ = cli(
        *("access", "explain", "--tenant", "acme", "--person", "shared@x.test"),
        *("--object", "Account", "--record", "a1", "--field", "revenue"),
    )
    assert "record a1:" in out
    assert "field revenue: readable" in out


@pytest.mark.parametrize(
    "wrong", [("--object", "Nope"), ("--object", "Account", "--field", "nope")]
)
def test_access_explain_refuses_what_is_not_there(cli: Cli, wrong: tuple[str, ...]) -> None:
    base = ("access", "explain", "--tenant", "acme", "--person", "all@x.test", "--json")
    code, out, _ = cli(*base, *wrong)
    assert (code, json.loads(out)["error"]["code"]) == (2, "nothing_to_explain")


def test_access_explain_tells_of_a_field_that_the_policy_hides(cli: Cli) -> None:
    base = ("access", "explain", "--tenant", "acme", "--person", "crmonly@x.test", "--json")
    field = as_json(cli(*base, "--object", "Deal", "--field", "secret"))["field"]
    assert (field["readable"], field["decidedBy"], field["reason"]) == (False, "policy", "hidden")


def test_access_diff_names_what_two_people_differ_in(cli: Cli) -> None:
    base = ("access", "diff", "--tenant", "acme", "--person", "crmonly@x.test", "--person")
    told = as_json(cli(*base, "masked@x.test", "--json"))
    assert told["between"] == ["crmonly@x.test", "masked@x.test"]
    (fields,) = [
        each
        for each in told["differences"]
        if (each["object"], each["what"]) == ("Account", "fields")
    ]
    assert "revenue" in fields["first"].split(", ")
    code, out, _ = cli(*base, "masked@x.test")
    assert code == 0
    assert "revenue" in out
    assert cli(*base, "crmonly@x.test")[1] == "The rights are the same.\n"
    code, out, _ = cli(*base[:-1], "--json")
    assert (code, json.loads(out)["error"]["code"]) == (2, "usage")


def test_access_rights_lists_what_a_person_may_read(cli: Cli) -> None:
    told = as_json(
        cli("access", "rights", "--tenant", "acme", "--person", "crmonly@x.test", "--json")
    )
    assert "secret" not in told["rights"]["Deal"]["fields"]
    assert told["rights"]["Account"]["records"] > 0
    shown = cli("access", "rights", "--tenant", "acme", "--person", "crmonly@x.test")[1]
    assert "Account" in shown
    nobody = cli("access", "rights", "--tenant", "acme", "--person", "nobody@x.test")[1]
    assert nobody == "Nothing may be read.\n"


def test_access_diff_since_saved_rights_names_what_changed(cli: Cli, tmp_path: Path) -> None:
    base = ("--tenant", "acme", "--person", "crmonly@x.test")
    _, told, _ = cli("access", "rights", *base, "--json")
    (saved := tmp_path / "before.json").write_text(told)
    same = as_json(cli("access", "diff", *base, "--since", str(saved), "--json"))
    assert same["differences"] == []
    before = json.loads(told)
    before["rights"]["Deal"]["fields"].append("secret")
    before["rights"]["Deal"]["records"] += 1
    del before["rights"]["Account"]
    saved.write_text(json.dumps(before))
    found = as_json(cli("access", "diff", *base, "--since", str(saved), "--json"))
    assert found["between"] == [before["at"], "now"]
    differences = {(each["object"], each["what"]): each for each in found["differences"]}
    assert set(differences) == {("Deal", "records"), ("Deal", "fields"), ("Account", "readable")}
    assert differences["Deal", "fields"]["first"] == "secret"
    assert differences["Account", "readable"]["second"] == "yes"


def test_access_diff_against_another_version_of_the_project(
    cli: Cli, home: Path, tmp_path: Path
) -> None:
    shutil.copytree(home / "project", other := tmp_path / "other")
    integration = other / "firnline.yaml"
    text = integration.read_text()
    assert text.count('"hide": ["secret"]') == 1
    integration.write_text(text.replace('"hide": ["secret"]', '"hide": ["title"]'))
    options = ("--tenant", "acme", "--person", "crmonly@x.test", "--against", str(other))
    (found,) = as_json(cli("access", "diff", *options, "--json"))["differences"]
    assert (found["object"], found["what"]) == ("Deal", "fields")
    assert (found["first"], found["second"]) == ("secret", "title")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("not json", "cannot be read as JSON"),
        ("[]", "another form"),
        ('{"tenant": "acme", "person": "bo@x.test", "at": "", "rights": {}}', "somebody else's"),
        ('{"tenant": "acme", "person": "crmonly@x.test", "at": "", "rights": {"A": {}}}', "form"),
    ],
)
def test_access_diff_refuses_a_file_that_holds_no_rights_of_the_person(
    cli: Cli, tmp_path: Path, text: str, reason: str
) -> None:
    (saved := tmp_path / "saved.json").write_text(text)
    base = ("access", "diff", "--tenant", "acme", "--person", "crmonly@x.test")
    code, _, told = cli(*base, "--since", str(saved))
    assert code == 2
    assert reason in told


def test_access_diff_compares_two_of_one_kind(cli: Cli, tmp_path: Path) -> None:
    base = ("access", "diff", "--tenant", "acme", "--person", "crmonly@x.test")
    for more in ((), ("--person", "a@x.test", "--since", "x"), ("--since", "x", "--against", "y")):
        code, _, told = cli(*base, *more)
        assert code == 2
        assert "--since FILE or --against DIRECTORY" in told


def test_people_are_told_with_how_each_system_matches_them(cli: Cli) -> None:
    told = as_json(cli("people", "acme", "--json"))
    by_email = {each["email"]: each["at"] for each in told["people"]}
    assert by_email["all@x.test"]["crm"] == {"state": "link", "user": "u1"}
    assert by_email["u2@x"] == {
        "crm": {"state": "e-mail", "user": "u2"},
        "desk": {"state": "unmatched"},
    }
    assert by_email["bo@x.test"]["crm"]["state"] == "broken link"
    assert told["agents"] == [
        {
            "name": "renewals-bot",
            "description": "",
            "objects": ["Account", "Deal"],
            "purposes": ["renewal"],
            "readOnly": True,
        }
    ]


def test_people_are_a_table_without_json(cli: Cli) -> None:
    code, out, _ = cli("people", "acme")
    assert code == 0
    assert "8 people, 1 of them matched nowhere" in " ".join(out.split())
    assert "renewals-bot" in out
    assert "Nobody is known yet" not in out


DOCS = Path(__file__).parents[2] / "docs"
LINES = [
    line.partition(" > ")[0]
    for page in ("access.md", "audit.md")
    for line in (DOCS / page).read_text("utf-8").splitlines()
    if line.startswith(("firnline access", "firnline audit", "firnline people"))
]


def test_pages_show_every_command() -> None:
    shown = {" ".join(line.split()[1:3]) for line in LINES}
    assert shown == {
        *("access explain", "access rights", "access diff", "people acme"),
        *("audit list", "audit export", "audit verify"),
    }


@pytest.mark.parametrize("line", LINES)
def test_command_of_the_pages_runs(cli: Cli, line: str) -> None:
    code, out, _ = cli(*line.split()[1:])
    assert (code, bool(out)) == (0, True)


def test_tenant_that_nobody_declared_is_refused(cli: Cli) -> None:
    for command in (("people", "nope"), ("audit", "list", "nope"), ("audit", "verify", "nope")):
        code, out, _ = cli(*command, "--json")
        assert (code, json.loads(out)["error"]["code"]) == (2, "unknown_tenant")
