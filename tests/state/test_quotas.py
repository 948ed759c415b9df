"""Quotas are shared between processes: one change at a time, and nobody else is held up by it."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import textwrap
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from firnline.clock import SystemClock
from firnline.settings import Settings
from firnline.state.database import StateUnavailableError
from firnline.state.quotas import QuotaStore

COUNTER = textwrap.dedent(
    """
    import asyncio, sys
    from pathlib import Path
    from firnline.clock import SystemClock
    from firnline.settings import Settings
    from firnline.state.quotas import QuotaStore

    def add(texts, now):
        return {"a": str(int(texts.get("a", "0")) + 1)}, now

    async def main():
        store = await QuotaStore.open(Settings(home=Path(sys.argv[1])), clock=SystemClock())
        for _ in range(100):
            await store.change(["a"], add)
        await store.close()

    asyncio.run(main())
    """
)


@pytest.fixture
async def in_file(tmp_path: Path) -> AsyncIterator[QuotaStore]:
    opened = await QuotaStore.open(Settings(home=tmp_path), clock=SystemClock())
    yield opened
    await opened.close()


@pytest.fixture
async def store(database: Settings) -> AsyncIterator[QuotaStore]:
    opened = await QuotaStore.open(database, clock=SystemClock())
    yield opened
    await opened.close()


def counted(texts: Mapping[str, str], now: float) -> tuple[Mapping[str, str], float]:
    return {"a": str(int(texts.get("a", "0")) + 1)}, now


async def test_changes_of_several_processes_are_all_kept(tmp_path: Path) -> None:
    children = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", COUNTER, str(tmp_path))
        for _ in range(3)
    ]
    codes = [await child.wait() for child in children]

    store = await QuotaStore.open(Settings(home=tmp_path), clock=SystemClock())
    texts, _ = await store.read(["a"])
    await store.close()
    assert codes == [0, 0, 0]
    assert texts == {"a": "300"}


async def test_changes_of_one_process_at_once_are_all_kept(store: QuotaStore) -> None:
    await asyncio.gather(*(store.change(["a"], counted) for _ in range(50)))

    assert (await store.read(["a"]))[0] == {"a": "50"}


async def test_several_accounts_change_together_and_others_stay(store: QuotaStore) -> None:
    await store.change(["x", "y"], lambda texts, now: ({"x": "1", "y": "1"}, None))

    def swap(texts: Mapping[str, str], now: float) -> tuple[Mapping[str, str], list[str]]:
        return {"y": texts["y"] + "2"}, sorted(texts)

    assert await store.change(["y", "z"], swap) == ["y"]
    assert (await store.read(["x", "y", "z"]))[0] == {"x": "1", "y": "12"}


async def test_change_that_fails_leaves_everything_as_it_was(store: QuotaStore) -> None:
    await store.change(["a"], counted)

    def failing(texts: Mapping[str, str], now: float) -> tuple[Mapping[str, str], None]:
        raise ValueError("not a change")

    with pytest.raises(ValueError, match="not a change"):
        await store.change(["a"], failing)

    await store.change(["a"], counted)
    assert (await store.read(["a"]))[0] == {"a": "2"}


async def test_locked_database_is_unavailable_not_waited_for(
    in_file: QuotaStore, tmp_path: Path
) -> None:
    await in_file.change(["a"], counted)
    other = sqlite3.connect(tmp_path / "quotas.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(StateUnavailableError):
            await asyncio.wait_for(in_file.change(["a"], counted), 8)
    finally:
        other.execute("ROLLBACK")
        other.close()

    await in_file.change(["a"], counted)
    assert (await in_file.read(["a"]))[0] == {"a": "2"}


async def test_state_s_own_database_being_locked_holds_no_quota_up(
    in_file: QuotaStore, tmp_path: Path
) -> None:
    other = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        await asyncio.wait_for(in_file.change(["a"], counted), 5)
    finally:
        other.execute("ROLLBACK")
        other.close()
