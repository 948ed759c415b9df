"""API keys in the state database: found by id, ended for good, their use noted to the minute."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from firnline.settings import Settings
from firnline.state import State
from firnline.state.api_keys import ApiKeyNameError, ApiKeyRow
from firnline.state.database import StateUnavailableError

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
async def state(database: Settings) -> AsyncIterator[State]:
    opened = await State.open(database)
    yield opened
    await opened.close()


def key(number: int = 1, **changes: object) -> ApiKeyRow:
    row = ApiKeyRow(
        tenant="acme",
        key_id=f"{number:016x}",
        name=f"key {number}",
        scopes=("connections:read", "graphql"),
        created_at=NOW,
        digest="d" * 64,
        person="ana@acme.example",
    )
    return replace(row, **changes)  # type: ignore[arg-type]


async def test_key_is_found_by_its_id_as_it_was_stored(state: State) -> None:
    stored = key(expires_at=NOW + MINUTE, agent="bot")
    await state.api_keys.save(stored)
    assert await state.api_keys.find(stored.key_id) == stored
    assert await state.api_keys.find("f" * 16) is None
    assert stored.digest not in repr(stored)


async def test_keys_are_listed_by_tenant_and_time(state: State) -> None:
    rows = [
        key(3, tenant="*"),
        key(1),
        key(2, created_at=NOW + MINUTE),
        key(4, tenant="globex"),
    ]
    for row in reversed(rows):
        await state.api_keys.save(row)
    assert await state.api_keys.all() == rows
    assert await state.api_keys.all("acme") == rows[1:3]
    assert await state.api_keys.all("nobody") == []


async def test_name_is_free_again_when_its_key_ended(state: State) -> None:
    first = key(1, name="bot", expires_at=NOW + MINUTE)
    await state.api_keys.save(first)
    with pytest.raises(ApiKeyNameError):
        await state.api_keys.save(key(2, name="bot", created_at=NOW + MINUTE / 2))
    await state.api_keys.save(key(3, name="bot", tenant="globex"))
    await state.api_keys.save(key(4, name="bot", created_at=NOW + MINUTE))
    assert await state.api_keys.revoke(f"{4:016x}", at=NOW + MINUTE)
    await state.api_keys.save(key(5, name="bot", created_at=NOW + MINUTE))


async def test_key_is_revoked_once_and_keeps_its_moment(state: State) -> None:
    await state.api_keys.save(key())
    assert await state.api_keys.revoke(key().key_id, at=NOW)
    assert not await state.api_keys.revoke(key().key_id, at=NOW + MINUTE)
    assert not await state.api_keys.revoke("f" * 16, at=NOW)
    found = await state.api_keys.find(key().key_id)
    assert found is not None
    assert found.revoked_at == NOW
    assert not found.is_current(NOW - MINUTE)


def test_key_is_current_until_the_moment_of_its_end() -> None:
    assert key().is_current(NOW + 10_000_000 * MINUTE)
    ending = key(expires_at=NOW + MINUTE)
    assert ending.is_current(NOW + MINUTE - timedelta(microseconds=1))
    assert not ending.is_current(NOW + MINUTE)


async def test_use_is_written_once_a_minute_and_never_back(state: State) -> None:
    await state.api_keys.save(key())
    noted = []
    for seconds in (0, 59, 60, 30, 61, 120):
        await state.api_keys.note_use(key().key_id, at=NOW + timedelta(seconds=seconds))
        found = await state.api_keys.find(key().key_id)
        assert found is not None and found.used_at is not None
        noted.append((found.used_at - NOW).total_seconds())
    assert noted == [0, 0, 60, 60, 60, 120]


async def test_keys_that_cannot_be_read_are_told_as_such(state: State) -> None:
    async with state._engine.begin() as connection:
        await connection.execute(text("DROP TABLE api_keys"))
    with pytest.raises(StateUnavailableError, match="state database"):
        await state.api_keys.find("f" * 16)
