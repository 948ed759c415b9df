"""`firnline vault` shows and rotates keys, and never a key itself."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tests.connections.sealing import corrupt, key_text, opened, store_everything
from tests.project.test_tidy import ROOT
from typer.testing import CliRunner, Result

from firnline.cli.vault import vault as command
from firnline.clock import SystemClock
from firnline.connections.sealing.keyring import RotationRunningError, VaultKeyInvalidError, held
from firnline.connections.sealing.rotation import MasterKeyInEnvironmentError
from firnline.connections.sealing.vault import Vault
from firnline.errors import UsageError
from firnline.settings import Settings
from firnline.state import State
from firnline.state.sealed import SEALED

PAGE = (ROOT / "docs" / "vault.md").read_text("utf-8")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation with secrets of two tenants, without its settle time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FIRNLINE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("firnline.connections.sealing.rotation.SETTLE_S", 0.0)

    async def fill(state: State, vault: Vault) -> None:
        for tenant in ("acme", "globex"):
            await store_everything(state, vault, tenant, "canary")

    with_vault(fill)
    return tmp_path / "home"


def with_vault(work: Callable[[State, Vault], Any]) -> Any:
    """Open what the environment says, as another process."""

    async def run() -> Any:
        state = await State.open(Settings())
        try:
            vault = await Vault.open(Settings(), state=state, clock=SystemClock())
            return await work(state, vault)
        finally:
            await state.close()

    return asyncio.run(run())


def ran(*words: str) -> Result:
    return CliRunner().invoke(command, list(words), terminal_width=200)


def facts(*words: str) -> dict[str, Any]:
    done = ran(*words, "--json")
    assert done.exit_code == 0, (done.output, done.exception)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_rotations_change_what_status_tells_and_everything_opens(home: Path) -> None:
    before = facts("status")
    assert [(each["tenant"], each["sealed"]) for each in before["tenants"]] == [
        ("acme", {"1": len(SEALED)}),
        ("globex", {"1": len(SEALED)}),
    ]

    assert facts("rotate", "--tenant", "acme") == {
        "versions": {"acme": 2},
        "removed": 1,
        "resealed": len(SEALED),
        "unreadable": [],
    }
    moved = facts("rotate", "--master")
    assert (moved["rewrapped"], moved["resumed"]) == (3, False)
    assert moved["dropped"] == [before["current"]]

    after = facts("status")
    assert after["masters"] == [{"id": moved["master"], "known": True, "wraps": 3}]
    assert [each["version"] for each in after["tenants"]] == [2, 1]
    secrets = with_vault(lambda state, vault: opened(state, vault, "acme"))
    assert set(secrets.values()) == {"canary"}


@pytest.mark.parametrize(
    "words", [["status"], ["rotate"], ["rotate", "--master"], ["status", "--json"]]
)
def test_output_holds_no_key_and_no_secret(home: Path, words: list[str]) -> None:
    key = (home / "vault.key").read_text().strip()
    raw = base64.urlsafe_b64decode(key)

    done = ran(*words)

    assert done.exit_code == 0, done.output
    for secret in (key, raw.hex(), "canary", (home / "vault.key").read_text().strip()):
        assert secret not in done.output


def test_fresh_home_has_nothing_and_status_makes_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FIRNLINE_HOME", str(tmp_path / "fresh"))

    assert "no master key yet" in ran("status").output
    assert not (tmp_path / "fresh" / "vault.key").exists()


def test_key_in_the_environment_is_not_changed_and_the_steps_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FIRNLINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FIRNLINE_VAULT_KEY", key_text(0))

    refused = ran("rotate", "--master").exception
    assert isinstance(refused, MasterKeyInEnvironmentError)
    assert key_text(0) not in f"{refused.message} {refused.hint}"

    monkeypatch.setenv("FIRNLINE_VAULT_KEY", f"{key_text(1)},{key_text(0)}")
    done = ran("rotate", "--master")
    assert "remove the older keys from FIRNLINE_VAULT_KEY" in done.output.replace("\n", " ")
    monkeypatch.setenv("FIRNLINE_VAULT_KEY", key_text(1))
    assert facts("status")["masters"][0]["wraps"] == 1
    assert not (tmp_path / "home" / "vault.key").exists()


def test_wrong_key_is_refused_and_status_tells_which_one_is_missing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRNLINE_VAULT_KEY", key_text(5))

    refused = ran("rotate").exception
    assert isinstance(refused, VaultKeyInvalidError)
    assert "firnline vault status" in refused.hint
    assert key_text(5) not in f"{refused.message} {refused.hint}"
    known = {each["id"]: each["known"] for each in facts("status")["masters"]}
    assert sorted(known.values()) == [False, True]
    assert "not in FIRNLINE_VAULT_KEY" in ran("status").output


def test_secret_that_does_not_open_is_named_and_fails_the_command(home: Path) -> None:
    with_vault(lambda state, _vault: corrupt(state, SEALED[0], "acme"))

    done = ran("rotate")

    assert done.exit_code == 1
    assert "token of acme crm" in done.output


def test_options_that_make_no_sense_are_refused(home: Path) -> None:
    assert isinstance(ran("rotate", "--master", "--tenant", "acme").exception, UsageError)
    assert isinstance(ran("rotate", "--tenant", "nobody").exception, UsageError)
    with held(home / "vault.key"):
        assert isinstance(ran("rotate", "--master").exception, RotationRunningError)


def test_page_names_every_sealed_column_and_commands_that_exist() -> None:
    for sealed in SEALED:
        assert f"`{sealed.table.name}.{sealed.column.name}`" in PAGE
    commands = re.findall(r"^firnline vault ([^#\n]*)", PAGE, re.MULTILINE)
    assert len(commands) >= 4
    for each in commands:
        assert ran(*each.split(), "--help").exit_code == 0, each


def test_key_that_the_page_makes_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    making = re.search(r"python -c '(.*)'", PAGE)
    assert making is not None
    told: list[str] = []
    exec(making[1], {"print": told.append})
    settings = Settings(home=tmp_path, vault_key=SecretStr(told[0]))

    async def run() -> None:
        state = await State.open(settings)
        await Vault.open(settings, state=state)
        await state.close()

    asyncio.run(run())
