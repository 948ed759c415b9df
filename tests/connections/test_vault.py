"""The vault opens only what it sealed, for the same purpose, tenant and connection."""

from __future__ import annotations

import asyncio
import base64
import stat
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pydantic import SecretStr

from firnline.connections.sealing.keyring import open_keyring
from firnline.connections.sealing.vault import Vault, VaultKeyInvalidError
from firnline.settings import Settings
from firnline.state import State

PLACE: dict[str, Any] = {"purpose": "token", "tenant": "acme", "connection": "crm"}


def key_text(first: int = 0) -> str:
    return base64.urlsafe_b64encode(bytes(range(first, first + 32))).decode()


def settings_at(home: Path, *keys: str) -> Settings:
    return Settings(home=home, vault_key=SecretStr(",".join(keys)) if keys else None)


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[State]:
    opened = await State.open(Settings(home=tmp_path / "home"))
    yield opened
    await opened.close()


@pytest.fixture
async def vault(tmp_path: Path, state: State) -> Vault:
    return await Vault.open(settings_at(tmp_path / "home"), state=state)


async def test_sealed_secret_opens_again_and_shows_nothing(vault: Vault) -> None:
    sealed = await vault.seal({"access_token": "canary"}, **PLACE)

    assert await vault.unseal(sealed, **PLACE) == {"access_token": "canary"}
    assert b"canary" not in sealed
    assert await vault.seal({"access_token": "canary"}, **PLACE) != sealed


@pytest.mark.parametrize(
    "other", [{"tenant": "globex"}, {"connection": "erp"}, {"purpose": "client"}]
)
async def test_secret_moved_elsewhere_does_not_open(vault: Vault, other: dict[str, Any]) -> None:
    sealed = await vault.seal({"a": 1}, **PLACE)
    await vault.seal({"b": 1}, **{**PLACE, **other})

    with pytest.raises(VaultKeyInvalidError):
        await vault.unseal(sealed, **{**PLACE, **other})


async def test_text_moved_between_tenant_and_connection_opens_nothing(vault: Vault) -> None:
    sealed = await vault.seal({"a": 1}, purpose="token", tenant="ab", connection="c")
    await vault.seal({"a": 1}, purpose="token", tenant="a", connection="bc")

    with pytest.raises(VaultKeyInvalidError):
        await vault.unseal(sealed, purpose="token", tenant="a", connection="bc")


@given(position=st.integers(min_value=0), bit=st.integers(0, 7), text=st.text(max_size=40))
@examples(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_changed_ciphertext_never_opens(
    vault: Vault, position: int, bit: int, text: str
) -> None:
    sealed = bytearray(await vault.seal({"secret": text}, **PLACE))
    sealed[position % len(sealed)] ^= 1 << bit

    with pytest.raises(VaultKeyInvalidError):
        await vault.unseal(bytes(sealed), **PLACE)


@pytest.mark.parametrize(
    "sealed",
    [
        *(b"", b"\x01", b"\x01short", b"\x02", b"\x02\x00\x00\x00\x01"),
        *(b"\x02\x00\x00\x00\x01short", b"\x02\xff\xff\xff\xff" + bytes(40), b"never sealed"),
    ],
)
async def test_what_was_never_sealed_does_not_open(vault: Vault, sealed: bytes) -> None:
    await vault.seal({"a": 1}, **PLACE)

    with pytest.raises(VaultKeyInvalidError):
        await vault.unseal(sealed, **PLACE)


async def test_another_master_key_opens_nothing_and_the_error_says_what_to_do(
    tmp_path: Path, state: State
) -> None:
    await Vault.open(settings_at(tmp_path, key_text()), state=state)

    with pytest.raises(VaultKeyInvalidError) as refused:
        await Vault.open(settings_at(tmp_path, key_text(1)), state=state)

    told = f"{refused.value.message} {refused.value.hint}"
    assert refused.value.code == "vault_key_invalid"
    assert "FIRNLINE_VAULT_KEY" in refused.value.message
    assert "after a comma in FIRNLINE_VAULT_KEY" in refused.value.hint
    assert "firnline vault status" in refused.value.hint
    assert key_text() not in told and key_text(1) not in told


async def test_key_file_of_another_home_is_named_with_what_helps(
    tmp_path: Path, state: State
) -> None:
    await Vault.open(settings_at(tmp_path / "first"), state=state)
    (tmp_path / "second").mkdir()
    (tmp_path / "second" / "vault.key").write_text(key_text())
    (tmp_path / "second" / "vault.key").chmod(0o600)

    with pytest.raises(VaultKeyInvalidError) as refused:
        await Vault.open(settings_at(tmp_path / "second"), state=state)

    assert str(tmp_path / "second" / "vault.key") in refused.value.message
    assert key_text() not in f"{refused.value.message} {refused.value.hint}"


async def test_lost_key_file_is_never_replaced_by_a_new_one(tmp_path: Path, state: State) -> None:
    settings = settings_at(tmp_path / "home")
    await Vault.open(settings, state=state)
    (tmp_path / "home" / "vault.key").unlink()

    with pytest.raises(VaultKeyInvalidError, match=r"vault\.key is missing"):
        await Vault.open(settings, state=state)

    assert not (tmp_path / "home" / "vault.key").exists()


async def test_secret_that_does_not_open_names_origin_and_the_command_that_helps(
    tmp_path: Path, vault: Vault
) -> None:
    sealed = await vault.seal({"a": "swordfish"}, **PLACE)

    with pytest.raises(VaultKeyInvalidError) as refused:
        await vault.unseal(sealed[:-1], **PLACE)

    told = f"{refused.value.message} {refused.value.hint}"
    assert str(tmp_path / "home" / "vault.key") in told
    assert "firnline connect acme crm" in told
    assert "swordfish" not in told


@pytest.mark.parametrize("text", ["", ",", "short", "ä" * 43, "A" * 42 + "!", "A" * 64])
def test_malformed_key_is_refused_at_once_and_not_repeated(tmp_path: Path, text: str) -> None:
    with pytest.raises(VaultKeyInvalidError) as refused:
        open_keyring(settings_at(tmp_path, text), may_make=True)

    assert len(text) < 2 or text not in str(refused.value.as_dict())
    assert "key 1 of FIRNLINE_VAULT_KEY" in refused.value.message


def test_malformed_key_among_several_is_told_by_its_place(tmp_path: Path) -> None:
    with pytest.raises(VaultKeyInvalidError, match="key 2 of FIRNLINE_VAULT_KEY"):
        open_keyring(settings_at(tmp_path, key_text(), "swordfish"), may_make=True)


async def test_key_of_home_is_made_once_for_its_owner_only(tmp_path: Path, state: State) -> None:
    settings = settings_at(tmp_path / "keys")
    sealed = await (await Vault.open(settings, state=state)).seal({"a": 1}, **PLACE)

    assert await (await Vault.open(settings, state=state)).unseal(sealed, **PLACE) == {"a": 1}
    assert stat.S_IMODE((tmp_path / "keys" / "vault.key").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "keys").iterdir()] == ["vault.key"]


def test_concurrent_first_uses_make_one_key_file(tmp_path: Path) -> None:
    settings = settings_at(tmp_path / "home")
    with ThreadPoolExecutor(8) as pool:
        rings = list(pool.map(lambda _: open_keyring(settings, may_make=True), range(16)))

    assert len({ring.ids for ring in rings}) == 1


async def test_concurrent_first_uses_agree_on_one_data_key(tmp_path: Path) -> None:
    settings = settings_at(tmp_path / "home")
    states = [await State.open(settings) for _ in range(4)]
    vaults = await asyncio.gather(*(Vault.open(settings, state=each) for each in states))

    sealed = await asyncio.gather(*(vault.seal({"a": 1}, **PLACE) for vault in vaults * 3))

    for vault in vaults:
        assert [await vault.unseal(each, **PLACE) for each in sealed] == [{"a": 1}] * 12
    assert len({vault.derive(b"audit") for vault in vaults}) == 1
    assert len(await states[0].keys.all()) == 2  # the tenant's, and the installation's
    for each in states:
        await each.close()


async def test_key_that_others_can_read_is_refused(
    tmp_path: Path, state: State, vault: Vault
) -> None:
    (tmp_path / "home" / "vault.key").chmod(0o644)

    with pytest.raises(VaultKeyInvalidError, match="read by others"):
        await Vault.open(settings_at(tmp_path / "home"), state=state)


async def test_older_keys_of_the_settings_still_open(tmp_path: Path, state: State) -> None:
    first = await Vault.open(settings_at(tmp_path, key_text()), state=state)
    sealed = await first.seal({"a": 1}, **PLACE)

    second = await Vault.open(settings_at(tmp_path, key_text(1), key_text()), state=state)

    assert await second.unseal(sealed, **PLACE) == {"a": 1}
    # What it seals opens where the new key is not known yet: rotation makes it the current one.
    new = await second.seal({"a": 2}, purpose="token", tenant="globex", connection="crm")
    place: dict[str, Any] = {**PLACE, "tenant": "globex"}
    assert await first.unseal(new, **place) == {"a": 2}


async def test_wrapped_key_put_in_the_place_of_another_does_not_open(
    tmp_path: Path, state: State, vault: Vault
) -> None:
    """Somebody who may write the database gives a tenant the key of another one."""
    from sqlalchemy import update

    from firnline.state.schema import data_keys

    await vault.seal({"a": 1}, **PLACE)
    mine = await state.keys.newest("acme")
    assert mine is not None
    await vault.seal({"a": 1}, **{**PLACE, "tenant": "globex"})
    async with state._engine.begin() as connection:
        await connection.execute(
            update(data_keys)
            .where(data_keys.c.tenant == "globex")
            .values(wrapped=mine.wrapped, master=mine.master)
        )

    fresh = await Vault.open(settings_at(tmp_path / "home"), state=state)
    with pytest.raises(VaultKeyInvalidError, match="it was changed"):
        await fresh.seal({"a": 1}, **{**PLACE, "tenant": "globex"})


async def test_derived_keys_are_stable_and_differ_by_purpose_and_installation(
    tmp_path: Path, state: State, vault: Vault
) -> None:
    again = await Vault.open(settings_at(tmp_path / "home"), state=state)
    elsewhere = await State.open(settings_at(tmp_path / "elsewhere"))
    other = await Vault.open(settings_at(tmp_path / "elsewhere"), state=elsewhere)
    await elsewhere.close()

    keys = {vault.derive(b"cursors"), vault.derive(b"other"), other.derive(b"cursors")}
    assert len(keys) == 3
    assert {len(key) for key in keys} == {32}
    assert again.derive(b"cursors") == vault.derive(b"cursors")
