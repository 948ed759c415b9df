"""The vault opens only what it sealed, for the same purpose, tenant and connection."""

from __future__ import annotations

import base64
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from firnline.connections.vault import Vault, VaultKeyInvalidError
from firnline.settings import Settings

KEY = SecretStr(base64.urlsafe_b64encode(bytes(range(32))).decode())
PLACE: dict[str, Any] = {"purpose": "token", "tenant": "acme", "connection": "crm"}


async def test_sealed_secret_opens_again_and_shows_nothing() -> None:
    vault = Vault(KEY)
    sealed = await vault.seal({"access_token": "canary"}, **PLACE)

    assert await vault.unseal(sealed, **PLACE) == {"access_token": "canary"}
    assert b"canary" not in sealed
    assert await vault.seal({"access_token": "canary"}, **PLACE) != sealed
    assert KEY.get_secret_value() not in repr(vault) + str(vars(vault))


@pytest.mark.parametrize(
    "other", [{"tenant": "globex"}, {"connection": "erp"}, {"purpose": "client"}]
)
async def test_secret_moved_elsewhere_does_not_open(other: dict[str, Any]) -> None:
    vault = Vault(KEY)
    sealed = await vault.seal({"a": 1}, **PLACE)

    with pytest.raises(VaultKeyInvalidError):
        await vault.unseal(sealed, **{**PLACE, **other})


async def test_key_cannot_be_confused_by_moving_text_between_tenant_and_connection() -> None:
    vault = Vault(KEY)
    sealed = await vault.seal({"a": 1}, purpose="token", tenant="ab", connection="c")

    with pytest.raises(VaultKeyInvalidError):
        await vault.unseal(sealed, purpose="token", tenant="a", connection="bc")


@pytest.mark.parametrize("position", [0, 1, 5, 13, 20, -1])
async def test_changed_ciphertext_does_not_open(position: int) -> None:
    vault = Vault(KEY)
    sealed = bytearray(await vault.seal({"a": 1}, **PLACE))
    sealed[position] ^= 1

    with pytest.raises(VaultKeyInvalidError):
        await vault.unseal(bytes(sealed), **PLACE)


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x01short", b"plain text, never sealed"])
async def test_what_was_never_sealed_does_not_open(sealed: bytes) -> None:
    with pytest.raises(VaultKeyInvalidError):
        await Vault(KEY).unseal(sealed, **PLACE)


async def test_another_key_does_not_open_and_the_hint_says_what_to_do() -> None:
    sealed = await Vault(KEY).seal({"a": 1}, **PLACE)
    other = Vault(SecretStr(base64.urlsafe_b64encode(bytes(32)).decode()))

    with pytest.raises(VaultKeyInvalidError) as refused:
        await other.unseal(sealed, **PLACE)

    assert refused.value.code == "vault_key_invalid"
    assert "FIRNLINE_VAULT_KEY" in refused.value.hint
    assert "firnline connect" in refused.value.hint


async def test_key_file_of_another_home_is_named_with_the_command_that_helps(
    tmp_path: Path,
) -> None:
    first, second = Settings(home=tmp_path / "first"), Settings(home=tmp_path / "second")
    place: dict[str, Any] = {"purpose": "token", "tenant": "acme", "connection": "crm"}
    sealed = await Vault.open(first).seal({"a": "swordfish"}, **place)

    with pytest.raises(VaultKeyInvalidError) as refused:
        await Vault.open(second).unseal(sealed, **place)

    told = f"{refused.value.message} {refused.value.hint}"
    assert str(tmp_path / "second" / "vault.key") in told
    assert "firnline connect acme crm" in told
    assert "swordfish" not in told


@pytest.mark.parametrize("text", ["", "short", "ä" * 43, "A" * 42 + "!", "A" * 64])
def test_malformed_key_is_refused_at_once_and_not_repeated(text: str) -> None:
    with pytest.raises(VaultKeyInvalidError) as refused:
        Vault(SecretStr(text))

    assert not text or text not in str(refused.value.as_dict())


async def test_key_of_home_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    sealed = await Vault.open(settings).seal({"a": 1}, **PLACE)

    assert await Vault.open(settings).unseal(sealed, **PLACE) == {"a": 1}
    assert stat.S_IMODE((tmp_path / "home" / "vault.key").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["vault.key"]


async def test_concurrent_first_uses_agree_on_one_key(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    with ThreadPoolExecutor(8) as pool:
        vaults = list(pool.map(lambda _: Vault.open(settings), range(16)))
    sealed = await vaults[0].seal({"a": 1}, **PLACE)

    assert all([await vault.unseal(sealed, **PLACE) == {"a": 1} for vault in vaults])


def test_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    Vault.open(settings)
    (tmp_path / "vault.key").chmod(0o644)

    with pytest.raises(VaultKeyInvalidError, match="read by others"):
        Vault.open(settings)


def test_derived_keys_are_stable_and_differ_by_purpose_and_master_key() -> None:
    other = Vault(SecretStr(base64.urlsafe_b64encode(bytes(32)).decode()))
    keys = {Vault(KEY).derive(b"cursors"), Vault(KEY).derive(b"other"), other.derive(b"cursors")}

    assert len(keys) == 3
    assert {len(key) for key in keys} == {32}
    assert Vault(KEY).derive(b"cursors") == Vault(KEY).derive(b"cursors")
