"""Wrapped keys and what they sealed, on both databases and from several processes."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from sqlalchemy import insert
from tests.connections import rotating
from tests.connections.sealing import NOW, opened, place_of, store, store_everything

from firnline.clock import FixedClock
from firnline.connections.sealing.rotation import Rotation
from firnline.connections.sealing.vault import Vault
from firnline.settings import Settings
from firnline.state import State
from firnline.state import sealed as sealing
from firnline.state.keys import EVERYONE, DataKeyRow
from firnline.state.schema import clients
from firnline.state.sealed import SEALED, head_of, key_is_held

INSTALLATION = DataKeyRow(EVERYONE, 1, "first", NOW, "derive", b"wrapped")
KEY = DataKeyRow("acme", 1, "first", NOW, "seal", b"wrapped")
ROTATIONS_MAX = 300


@pytest.fixture
async def state(database: Settings) -> AsyncIterator[State]:
    opened_state = await State.open(database)
    yield opened_state
    await opened_state.close()


async def test_of_many_who_add_the_same_key_one_wins(state: State) -> None:
    assert await state.keys.add(INSTALLATION)

    added = await asyncio.gather(
        *(state.keys.add(replace(KEY, wrapped=bytes([number]))) for number in range(8))
    )

    assert sorted(added) == [False] * 7 + [True]
    newest = await state.keys.newest("acme")
    assert newest == replace(KEY, wrapped=bytes([added.index(True)]))


async def test_keys_are_wrapped_with_the_current_master_key_alone(state: State) -> None:
    assert not await state.keys.add(KEY)  # there is no installation yet
    assert await state.keys.add(INSTALLATION)
    assert await state.keys.add(KEY)
    assert not await state.keys.rewrap(KEY, master="second", wrapped=b"anew")

    assert await state.keys.rewrap(INSTALLATION, master="second", wrapped=b"anew")

    assert not await state.keys.add(replace(KEY, version=2))
    assert await state.keys.rewrap(KEY, master="second", wrapped=b"anew")
    assert not await state.keys.rewrap(KEY, master="second", wrapped=b"once more")


async def test_key_is_not_removed_under_the_hands_of_whoever_stores(state: State) -> None:
    for row in (INSTALLATION, KEY, replace(KEY, version=2)):
        assert await state.keys.add(row)
    ciphertext = head_of(1) + bytes(40)
    values = {"tenant": "acme", "provider": "p", "connection": "c", "updated_at": NOW}
    async with state._engine.begin() as connection:
        assert await key_is_held(connection, clients, {"ciphertext": ciphertext, **values})
        removal = asyncio.create_task(state.keys.remove_idle("acme", 1))
        await asyncio.wait([removal], timeout=0.3)
        assert not removal.done()
        await connection.execute(insert(clients).values(ciphertext=ciphertext, **values))

    assert not await removal
    assert len(await state.keys.all()) == 3


async def test_idle_key_is_removed_and_the_newest_never(state: State) -> None:
    for row in (INSTALLATION, KEY, replace(KEY, version=2)):
        assert await state.keys.add(row)

    assert not await state.keys.remove_idle("acme", 2)
    assert await state.keys.remove_idle("acme", 1)
    assert await state.keys.all() == [INSTALLATION, replace(KEY, version=2)]


async def test_every_secret_is_visited_once_however_many_pages_there_are(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "_PAGE_ROWS", 3)
    assert await state.keys.add(INSTALLATION)
    for version in (1, 2):
        assert await state.keys.add(replace(KEY, version=version))
    for number in range(10):
        for each in SEALED:
            ciphertext = head_of(1 if number < 7 else 2) + bytes([number])
            await store(state, each.table.name, "acme", ciphertext, name=f"crm-{number}")
    await store(state, "clients", "acme", b"\x01 of before", name="old")

    found = [secret async for secret in state.sealed.of("acme", but=2)]

    assert len(found) == len(set(found)) == 7 * len(SEALED) + 1
    for secret in found:
        if secret.ciphertext.startswith(head_of(1)):
            where = place_of(secret.sealed.table.name, f"crm-{secret.ciphertext[-1]}")
            assert (secret.sealed.purpose, secret.place) == tuple(where.values())
    counts = Counter({1: 7 * len(SEALED), 2: 3 * len(SEALED), 0: 1})
    assert await state.sealed.counts() == {"acme": counts}


async def test_server_in_another_process_seals_and_opens_through_every_rotation(
    database: Settings, state: State
) -> None:
    vault = await Vault.open(database, state=state)
    await store_everything(state, vault, "acme", "x")
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, str(Path(rotating.__file__)), "serve", str(database.home)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "FIRNLINE_DATABASE_URL": database.database_url.get_secret_value()},
    )
    assert server.stdout is not None
    assert await server.stdout.readline() == b"ready\n"
    for turn in range(ROTATIONS_MAX):
        # The clock does not wait: the server meets keys that are gone while it seals.
        clock = FixedClock(NOW)
        rotation = Rotation(
            await Vault.open(database, state=state, clock=clock), state.sealed, clock=clock
        )
        await (rotation.of_master_key() if turn % 2 else rotation.of_data_keys())
        if turn > 4 and len(await state.sealed.counts()) > 5:
            break  # and it made tenants meanwhile, with keys of their own
    told, errors = await server.communicate(b"")
    assert server.returncode == 0, errors.decode()

    stored = orjson.loads(told)["stored"]
    assert len(stored) > 4
    for process in (vault, await Vault.open(database, state=state)):
        assert set((await opened(state, process, "acme")).values()) == {"x"}
        for tenant, number in stored.items():
            row = await state.connection(tenant, "crm")
            assert row is not None
            assert await process.unseal(
                row.token_ciphertext or b"", purpose="token", tenant=tenant, connection="crm"
            ) == {"number": number}
