"""Rotation changes keys and nothing else: whatever was sealed opens, whatever was derived stays."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import stat
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import SecretStr
from sqlalchemy import LargeBinary
from tests.connections.rotating import step_by_step
from tests.connections.sealing import (
    NOW,
    PERSON,
    ciphertexts,
    corrupt,
    derived_before,
    key_text,
    opened,
    place_of,
    store,
    store_everything,
    store_first_form,
)

from firnline.clock import FixedClock
from firnline.connections.sealing import keyring as keyrings
from firnline.connections.sealing.key_status import key_status
from firnline.connections.sealing.keyring import RotationRunningError, VaultKeyInvalidError, held
from firnline.connections.sealing.rotation import MasterKeyInEnvironmentError, Rotated, Rotation
from firnline.connections.sealing.vault import Vault
from firnline.errors import FirnlineError, UsageError
from firnline.settings import Settings
from firnline.state import StaleRowError, State
from firnline.state.keys import DataKeyRow, DataKeyStore
from firnline.state.schema import metadata
from firnline.state.sealed import (
    SEALED,
    VERSION_MAX,
    Purpose,
    SealedStore,
    head_of,
    version_of,
)

TENANTS = ("*", "acme", "globex")
TABLES = {sealed.table.name for sealed in SEALED}


class Bench:
    """One installation: its state, and vaults as processes open them."""

    def __init__(self, settings: Settings, state: State) -> None:
        self.settings = settings
        self.state = state
        self.clock = FixedClock(NOW)

    async def vault(self, *keys: str) -> Vault:
        settings = self.settings
        if keys:
            settings = settings.model_copy(update={"vault_key": SecretStr(",".join(keys))})
        return await Vault.open(settings, state=self.state, clock=self.clock)

    async def rotate(self, *keys: str, master: bool = False, tenant: str = "") -> Rotated:
        rotation = Rotation(await self.vault(*keys), self.state.sealed, clock=self.clock)
        return await (rotation.of_master_key() if master else rotation.of_data_keys(tenant))

    @property
    def key_file(self) -> Path:
        return self.settings.home / "vault.key"

    async def versions(self, tenant: str) -> list[int]:
        rows = await self.state.keys.all()
        return [row.version for row in rows if (row.tenant, row.purpose) == (tenant, "seal")]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    settings = Settings(home=tmp_path / "home")
    state = await State.open(settings)
    yield Bench(settings, state)
    await state.close()


def test_every_column_of_ciphertext_is_known_to_rotation() -> None:
    columns = {
        column
        for table in metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, LargeBinary) and column.name.endswith("ciphertext")
    }
    assert columns == {sealed.column for sealed in SEALED}
    assert {sealed.purpose for sealed in SEALED} == set(get_args(Purpose))


def test_head_of_ciphertext_names_a_version_that_a_database_can_hold() -> None:
    """PostgreSQL fails when it is asked for a greater one, which only a changed row names."""
    assert version_of(head_of(VERSION_MAX) + bytes(40)) == VERSION_MAX
    assert version_of(head_of(VERSION_MAX + 1) + bytes(40)) == 0


async def test_rotated_data_keys_open_everything_and_old_ones_are_gone(bench: Bench) -> None:
    vault = await bench.vault()
    for tenant in TENANTS:
        await store_everything(bench.state, vault, tenant, f"secret of {tenant}")
    before = await bench.state.connection("acme", "crm")

    done = await bench.rotate()

    assert done.versions == dict.fromkeys(TENANTS, 2)
    assert (done.resealed, done.removed, done.unreadable) == (len(TENANTS) * len(SEALED), 3, set())
    for tenant in TENANTS:
        assert await bench.versions(tenant) == [2]
        for process in (vault, await bench.vault()):
            secrets = await opened(bench.state, process, tenant)
            assert secrets == dict.fromkeys(TABLES, f"secret of {tenant}")
        kept = await ciphertexts(bench.state, tenant)
        assert {version_of(each) for each in kept.values()} == {2}
    after = await bench.state.connection("acme", "crm")
    assert before is not None and after is not None
    assert replace(after, token_ciphertext=before.token_ciphertext) == before


async def test_rotation_of_one_tenant_leaves_the_others(bench: Bench) -> None:
    vault = await bench.vault()
    for tenant in TENANTS:
        await store_everything(bench.state, vault, tenant, "x")
    before = await ciphertexts(bench.state, "globex")

    assert (await bench.rotate(tenant="acme")).versions == {"acme": 2}

    assert await bench.versions("globex") == [1]
    assert await ciphertexts(bench.state, "globex") == before
    with pytest.raises(UsageError, match="nothing is sealed for 'nobody'"):
        await bench.rotate(tenant="nobody")


async def test_rotated_master_key_wraps_everything_and_the_old_one_is_dropped(
    bench: Bench,
) -> None:
    vault = await bench.vault()
    for tenant in TENANTS:
        await store_everything(bench.state, vault, tenant, "x")
    old, before = bench.key_file.read_text(), await ciphertexts(bench.state, "acme")

    done = await bench.rotate(master=True)

    assert (done.rewrapped, done.resealed, done.was_resumed) == (4, 0, False)
    new = bench.key_file.read_text()
    assert old.strip() not in new and len(new.split()) == 1
    assert stat.S_IMODE(bench.key_file.stat().st_mode) == 0o600
    assert {row.master for row in await bench.state.keys.all()} == {done.master}
    assert await ciphertexts(bench.state, "acme") == before
    fresh = await bench.vault()
    assert await opened(bench.state, fresh, "acme") == dict.fromkeys(TABLES, "x")
    with pytest.raises(VaultKeyInvalidError, match=f"needs master key {done.master}"):
        await bench.vault(old)


async def test_derived_keys_stay_the_same_over_every_rotation(bench: Bench) -> None:
    first = await bench.vault()
    before = [first.derive(label) for label in (b"audit", b"cursors", b"mask acme")]
    await store_everything(bench.state, first, "acme", "x")

    await bench.rotate()
    await bench.rotate(master=True)

    after = await bench.vault()
    for vault in (first, after):
        derived = [vault.derive(label) for label in (b"audit", b"cursors", b"mask acme")]
        assert derived == before


async def test_running_vault_goes_on_after_another_process_rotated_everything(
    bench: Bench,
) -> None:
    running = await bench.vault()
    await store_everything(bench.state, running, "acme", "x")
    for _ in range(2):
        await bench.rotate()
        await bench.rotate(master=True)

    assert await opened(bench.state, running, "acme") == dict.fromkeys(TABLES, "x")
    for tenant in ("acme", "initech"):  # and what it makes new is lost with no old key
        await store_everything(bench.state, running, tenant, "y")
        assert await opened(bench.state, await bench.vault(), tenant) == dict.fromkeys(TABLES, "y")


async def test_database_of_before_data_keys_opens_derives_the_same_and_is_resealed(
    bench: Bench,
) -> None:
    old = keyrings.open_keyring(bench.settings, may_make=True).newest.secret.get_secret_value()
    await store_first_form(bench.state, "acme", "x", old)

    vault = await bench.vault()
    assert await opened(bench.state, vault, "acme") == dict.fromkeys(TABLES, "x")
    assert vault.derive(b"audit") == derived_before(old, b"firnline derived 1 audit")

    done = await bench.rotate(master=True)

    assert (done.resealed, done.unreadable) == (len(SEALED), set())
    fresh = await bench.vault()
    assert await opened(bench.state, fresh, "acme") == dict.fromkeys(TABLES, "x")
    assert fresh.derive(b"audit") == derived_before(old, b"firnline derived 1 audit")


async def test_database_of_before_with_another_master_key_is_refused_and_left_as_it_is(
    bench: Bench,
) -> None:
    await store_first_form(bench.state, "acme", "x", bytes(range(32)))

    with pytest.raises(VaultKeyInvalidError, match=r"vault\.key is missing"):
        await bench.vault()
    with pytest.raises(VaultKeyInvalidError, match="nothing that is stored opens"):
        await bench.vault(key_text(1))

    vault = await bench.vault(key_text(1), key_text(0))
    assert vault.derive(b"a") == derived_before(bytes(range(32)), b"firnline derived 1 a")


async def test_keys_in_the_environment_rotate_in_three_steps(bench: Bench) -> None:
    old, new = key_text(0), key_text(1)
    running = await bench.vault(old)
    await store_everything(bench.state, running, "acme", "x")
    with pytest.raises(MasterKeyInEnvironmentError) as told:
        await bench.rotate(old, master=True)
    assert old not in f"{told.value.message} {told.value.hint}"
    assert "FIRNLINE_VAULT_KEY" in told.value.hint

    both = await bench.vault(new, old)
    await store_everything(bench.state, both, "globex", "y")  # nothing of it needs the new key
    assert await opened(bench.state, running, "globex") == dict.fromkeys(TABLES, "y")
    done = await bench.rotate(new, old, master=True)
    assert (done.rewrapped, done.dropped) == (3, ())

    for vault in (both, await bench.vault(new)):
        assert await opened(bench.state, vault, "acme") == dict.fromkeys(TABLES, "x")
    again = await bench.rotate(new, old, master=True)
    assert (again.rewrapped, again.master) == (0, done.master)


async def test_secret_that_opens_with_no_key_is_told_and_keeps_its_data_key(bench: Bench) -> None:
    vault = await bench.vault()
    await store_everything(bench.state, vault, "acme", "x")
    await corrupt(bench.state, SEALED[0], "acme")

    done = await bench.rotate()

    assert done.unreadable == {"token of acme crm"}
    assert (done.removed, await bench.versions("acme")) == (0, [1, 2])
    assert done.resealed == len(SEALED) - 1


class Crash(BaseException):
    """What ends a process in the middle."""


async def rotate_until(bench: Bench, number: int, *, master: bool) -> bool:
    """Rotate up to a step, a step being whatever is read or written; return whether it ended so."""
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1
        if steps == number:
            raise Crash

    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(Crash):
        step_by_step(step, patch.setattr)
        await bench.rotate(master=master)
    return steps == number


async def fill(bench: Bench) -> None:
    """Store secrets of before data keys and of now."""
    old = keyrings.open_keyring(bench.settings, may_make=True).newest.secret.get_secret_value()
    await store_first_form(bench.state, "acme", "x", old)
    await store_everything(bench.state, await bench.vault(), "globex", "y")


async def expect_filled(bench: Bench, vault: Vault) -> None:
    """Check that everything opens."""
    assert await opened(bench.state, vault, "acme") == dict.fromkeys(TABLES, "x")
    assert await opened(bench.state, vault, "globex") == dict.fromkeys(TABLES, "y")


@pytest.mark.parametrize("master", [False, True], ids=["data keys", "master key"])
async def test_rotation_that_ends_at_any_step_is_finished_by_the_next(
    bench: Bench, tmp_path: Path, master: bool
) -> None:
    """After each step a fresh process opens everything, and so does one that ran all the time."""
    await fill(bench)
    derived = (await bench.vault()).derive(b"audit")
    has_crashed, number = True, 0
    while has_crashed:
        number += 1
        home = tmp_path / str(number)
        shutil.copytree(bench.settings.home, home)
        settings = Settings(home=home)
        state = await State.open(settings)
        one = Bench(settings, state)
        running = await one.vault()
        has_crashed = await rotate_until(one, number, master=master)
        for vault in (await one.vault(), running):
            await expect_filled(one, vault)
            assert vault.derive(b"audit") == derived
        await one.rotate(master=master)
        await expect_filled(one, await one.vault())
        assert len(one.key_file.read_text().split()) == 1
        if master:
            assert len({row.master for row in await state.keys.all()}) == 1
        assert [len(await one.versions(tenant)) for tenant in ("acme", "globex")] == [1, 1]
        assert sorted(path.suffix for path in home.glob("vault.key*")) == [".key"]
        await state.close()
        shutil.rmtree(home)
    assert number > 8


@pytest.mark.parametrize(("what", "step"), [("data", 4), ("data", 9), ("master", 6)])
async def test_rotation_that_is_killed_is_finished_by_the_next(
    bench: Bench, what: str, step: int
) -> None:
    await fill(bench)
    killed = await rotating("rotate", str(bench.settings.home), what, str(step))
    await killed.communicate()
    assert killed.returncode == -signal.SIGKILL

    await expect_filled(bench, await bench.vault())
    await bench.rotate(master=what == "master")
    await expect_filled(bench, await bench.vault())


async def rotating(*words: str) -> asyncio.subprocess.Process:
    """Start another process on the same home."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, str(Path(__file__).with_name("rotating.py")), *words),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_draft_of_a_killed_rotation_does_not_stay(bench: Bench) -> None:
    await bench.vault()
    draft = bench.key_file.with_name("vault.key." + "0a" * 8)
    draft.write_text(key_text())
    backup = bench.key_file.with_name("vault.key.backup")
    backup.write_text("a person's own")

    await bench.rotate(master=True)

    assert not draft.exists()
    assert backup.exists()


async def test_two_rotations_of_one_master_key_never_run_at_once(bench: Bench) -> None:
    await bench.vault()
    with held(bench.key_file), pytest.raises(RotationRunningError):
        await bench.rotate(master=True)
    assert (await bench.rotate(master=True)).rewrapped == 1


@pytest.mark.parametrize("wrapped_before", [0, 1, 2])
async def test_rotations_on_two_nodes_with_files_of_their_own_never_split_the_keys(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrapped_before: int
) -> None:
    vault = await bench.vault()
    for tenant in TENANTS:
        await store_everything(bench.state, vault, tenant, "x")
    shutil.copytree(bench.settings.home, tmp_path / "other")
    other = Bench(Settings(home=tmp_path / "other"), bench.state)
    elsewhere = Rotation(await other.vault(), other.state.sealed, clock=other.clock)
    original, calls = DataKeyStore.rewrap, 0

    async def rewrap(self: DataKeyStore, row: DataKeyRow, **changes: Any) -> bool:
        nonlocal calls
        calls += 1
        if calls == wrapped_before + 1:
            with pytest.raises(FirnlineError) if wrapped_before else contextlib.nullcontext():
                await elsewhere.of_master_key()
        return await original(self, row, **changes)

    monkeypatch.setattr(DataKeyStore, "rewrap", rewrap)
    with contextlib.nullcontext() if wrapped_before else pytest.raises(RotationRunningError):
        await bench.rotate(master=True)

    winner = bench if wrapped_before else other
    assert len({row.master for row in await bench.state.keys.all()}) == 1
    assert len(winner.key_file.read_text().split()) == 1
    for tenant in TENANTS:
        assert await opened(bench.state, await winner.vault(), tenant) == dict.fromkeys(TABLES, "x")
    shutil.copy(winner.key_file, (other if wrapped_before else bench).key_file)
    await (other if wrapped_before else bench).vault()


async def test_data_key_that_does_not_open_is_told_and_the_others_are_wrapped(
    bench: Bench,
) -> None:
    vault = await bench.vault()
    for tenant in TENANTS:
        await store_everything(bench.state, vault, tenant, "x")
    row = await bench.state.keys.newest("acme")
    assert row is not None
    await bench.state.keys.rewrap(row, master=row.master, wrapped=row.wrapped[:-1])

    done = await bench.rotate(master=True)

    assert done.unreadable == {"data key 1 of acme"}
    assert await opened(bench.state, await bench.vault(), "globex") == dict.fromkeys(TABLES, "x")


async def test_two_rotations_of_data_keys_at_once_agree(bench: Bench) -> None:
    vault = await bench.vault()
    await store_everything(bench.state, vault, "acme", "x")

    await asyncio.gather(bench.rotate(), bench.rotate(), bench.rotate())

    assert await opened(bench.state, await bench.vault(), "acme") == dict.fromkeys(TABLES, "x")


@pytest.mark.parametrize("table", sorted(TABLES))
async def test_secret_whose_key_was_removed_is_refused_when_it_is_stored(
    bench: Bench, table: str
) -> None:
    """Else it would be stored and never open again."""
    vault = await bench.vault()
    late = await vault.seal({"secret": "x"}, tenant="acme", **place_of(table))
    await bench.rotate()

    with pytest.raises(Exception) as refused:
        await store(bench.state, table, "acme", late)

    assert getattr(refused.value, "retryable", False)
    await store(
        bench.state,
        table,
        "acme",
        await vault.seal({"secret": "x"}, tenant="acme", **place_of(table)),
    )
    assert await opened(bench.state, await bench.vault(), "acme") == {table: "x"}


@pytest.mark.parametrize("person", ["", PERSON])
async def test_row_that_was_read_before_a_rotation_does_not_bring_old_ciphertext_back(
    bench: Bench, person: str
) -> None:
    old = keyrings.open_keyring(bench.settings, may_make=True).newest.secret.get_secret_value()
    await store_first_form(bench.state, "acme", "x", old)
    read = await bench.state.connection("acme", "crm", person)
    assert read is not None
    await bench.rotate(master=True)

    with pytest.raises(StaleRowError):
        await bench.state.save_connection(replace(read, state="disabled"))

    again = await bench.state.connection("acme", "crm", person)
    assert again is not None
    await bench.state.save_connection(replace(again, state="disabled"))
    assert (await opened(bench.state, await bench.vault(), "acme"))["connections"] == "x"


async def test_token_stored_while_it_is_sealed_anew_is_not_lost(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A renewal comes in between rotation's reading and writing."""
    vault = await bench.vault()
    await store_everything(bench.state, vault, "acme", "old")
    original = SealedStore.replace

    async def late(self: SealedStore, secret: Any, ciphertext: bytes) -> bool:
        monkeypatch.setattr(SealedStore, "replace", original)
        row = await bench.state.connection("acme", "crm")
        assert row is not None
        sealed = await vault.seal({"secret": "new"}, tenant="acme", **place_of("connections"))
        await bench.state.save_connection(replace(row, token_ciphertext=sealed))
        return await original(self, secret, ciphertext)

    monkeypatch.setattr(SealedStore, "replace", late)
    await bench.rotate()

    assert (await opened(bench.state, vault, "acme"))["connections"] == "new"


async def test_status_counts_by_version_and_shows_no_key(bench: Bench) -> None:
    empty = await key_status(bench.settings, bench.state)
    assert (empty.masters, empty.tenants) == ([], [])
    assert not bench.key_file.exists()
    vault = await bench.vault()
    await store_everything(bench.state, vault, "acme", "canary")
    await vault.keys.make("acme", 2)
    sealed = await vault.seal({"secret": "canary"}, tenant="acme", **place_of("clients"))
    await store(bench.state, "clients", "acme", sealed)

    found = (await key_status(bench.settings, bench.state)).as_dict()

    assert found["tenants"] == [
        {
            "tenant": "acme",
            "version": 2,
            "made_at": NOW.isoformat(),
            "sealed": {"1": len(SEALED) - 1, "2": 1},
        }
    ]
    assert found["masters"] == [{"id": found["current"], "known": True, "wraps": 3}]
    assert bench.key_file.read_text().strip() not in str(found)


async def test_status_with_a_wrong_key_tells_which_one_is_missing(bench: Bench) -> None:
    await bench.vault(key_text(0))
    settings = bench.settings.model_copy(update={"vault_key": SecretStr(key_text(1))})

    found = await key_status(settings, bench.state)

    assert [each.is_known for each in found.masters] == [True, False]
    assert found.current == found.masters[1].id


async def test_no_repr_shows_a_key(bench: Bench) -> None:
    vault = await bench.vault()
    await store_everything(bench.state, vault, "acme", "x")
    key = await vault.keys.newest("acme")
    row = await bench.state.keys.newest("acme")
    assert row is not None

    shown = " ".join(
        f"{each!r} {each!s}"
        for each in (vault, vars(vault), vars(vault.keys), key, row, vault.keys.keyring)
    )
    shown += "".join([repr(secret) async for secret in bench.state.sealed.of("acme", but=9)])

    master = vault.keys.keyring.newest.secret.get_secret_value()
    for secret in (master, key.secret.get_secret_value(), row.wrapped, vault.derive(b"audit")):
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown
    assert bench.key_file.read_text().strip() not in shown
