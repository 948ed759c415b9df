"""`firnline check` and `firnline init` on the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.spec.conftest import DEMO, Copy

COMMAND = str(Path(sys.executable).with_name("firnline"))


def firnline(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command as a person would; a traceback is never an answer."""
    done = subprocess.run(
        [COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "COLUMNS": "120", "PYTHONUTF8": "1"},
    )
    assert "Traceback" not in done.stderr + done.stdout, done.stderr
    return done


def test_check_accepts_the_demo_and_tells_what_each_tenant_has() -> None:
    done = firnline("check", DEMO)
    assert done.returncode == 0, done.stdout
    assert "revenue-assistant is valid: 7 objects, 2 tenants." in done.stdout
    assert "salesforce.Customer_Meeting__c" in done.stdout


def test_check_as_json_gives_facts_for_scripts() -> None:
    done = firnline("check", DEMO, "--json")
    facts = json.loads(done.stdout)
    assert facts["ok"] is True
    assert facts["tenants"]["globex"]["objects"]["Meeting"] == {
        "connection": "salesforce",
        "source": "Customer_Meeting__c",
        "fields_mapped": 9,
        "fields": 9,
    }
    assert facts["tenants"]["acme"]["notes"] == []


def test_check_prints_file_line_column_code_and_hint(copy: Copy) -> None:
    copy.replace("tenants/acme.yaml", "domain: acme", "domian: acme")
    done = firnline("check", copy.directory)
    assert done.returncode == 2
    assert done.stdout.splitlines() == [
        "tenants/acme.yaml:9:5: error[missing_setting]: connection 'salesforce' needs the setting "
        "'domain'",
        "  -> My Domain label, the first part of https://<label>.my.salesforce.com; for example "
        "acme.",
        "tenants/acme.yaml:9:16: error[unknown_setting]: there is no setting of salesforce "
        "'domian'",
        "  -> Did you mean 'domain'?",
    ]
    assert done.stderr == "2 problems found.\n"


def test_check_as_json_lists_the_problems(copy: Copy) -> None:
    copy.replace("firnline.yaml", "version: 1", "version: 3")
    done = firnline("check", copy.directory, "--json")
    assert done.returncode == 2
    facts = json.loads(done.stdout)
    assert facts["ok"] is False
    assert [problem["code"] for problem in facts["problems"]] == ["wrong_value"]


def test_check_of_no_project_says_how_to_make_one(tmp_path: Path) -> None:
    done = firnline("check", tmp_path / "none")
    assert done.returncode == 2
    assert f"firnline init {tmp_path / 'none'}" in done.stdout


@pytest.mark.parametrize("name", ["new", "deeper/new"])
def test_init_writes_what_check_accepts(tmp_path: Path, name: str) -> None:
    directory = tmp_path / name
    done = firnline("init", directory)
    assert done.returncode == 0, done.stderr
    written = sorted(str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file())
    assert written == [
        ".env.example",
        "firnline.yaml",
        "operations/open_deals.graphql",
        "tenants/example.yaml",
    ]
    assert firnline("check", directory).returncode == 0


def test_init_overwrites_only_when_told(tmp_path: Path) -> None:
    (tmp_path / "firnline.yaml").write_text("mine", "utf-8")

    done = firnline("init", tmp_path)
    assert done.returncode == 2
    assert "error [project_exists]" in done.stderr
    assert "--force" in done.stderr
    assert (tmp_path / "firnline.yaml").read_text("utf-8") == "mine"
    assert not (tmp_path / "tenants").exists()

    assert firnline("init", tmp_path, "--force").returncode == 0
    assert firnline("check", tmp_path, "--json").returncode == 0


def test_init_into_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("", "utf-8")
    done = firnline("init", tmp_path / "taken")
    assert done.returncode == 2
    assert "project_unwritable" in done.stderr
