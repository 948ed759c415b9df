"""Who asked operations is kept for few, for a month, and per tenant."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from firnline.settings import Settings
from firnline.state.askers import ASKERS_MAX, KEPT
from firnline.state.database import StateUnavailableError
from firnline.state.rows import AskerRow
from firnline.state.schema import SCHEMA_VERSION
from firnline.state.state import State

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[State]:
    opened = await State.open(Settings(home=tmp_path))
    yield opened
    await opened.close()


def asker(email: str, *, at: datetime = NOW, tenant: str = "acme", **more: object) -> AskerRow:
    return AskerRow(tenant, "renewals", email, at, **more)  # type: ignore[arg-type]


async def test_last_askers_are_kept_and_older_ones_make_room(state: State) -> None:
    rows = [asker(f"p{n}@x.test", at=NOW + timedelta(seconds=n)) for n in range(9)]
    await state.askers.remember(rows)

    kept = await state.askers.of("acme", "renewals", now=NOW)

    assert kept == rows[: -ASKERS_MAX - 1 : -1]


async def test_same_asker_is_kept_once_with_the_last_time(state: State) -> None:
    row = asker(
        "ana@x.test", agent="desk", purpose="calls", scopes=("a", "b"), shape='[{"n":1},[]]'
    )
    again = asker("ana@x.test", at=NOW + timedelta(days=1), agent="desk", purpose="calls")
    await state.askers.remember([row, row])
    await state.askers.remember([again])

    assert await state.askers.of("acme", "renewals", now=NOW) == [again, row]


async def test_askers_are_forgotten_after_a_month(state: State) -> None:
    await state.askers.remember([asker("old@x.test")])
    later = NOW + KEPT + timedelta(seconds=1)
    assert await state.askers.of("acme", "renewals", now=later) == []
    assert await state.askers.lately("acme", now=later) == []

    await state.askers.remember([asker("new@x.test", at=later)])

    # Not only left out: with the next one that is stored they are gone.
    assert [each.email for each in await state.askers.of("acme", "renewals", now=NOW)] == [
        "new@x.test"
    ]


async def test_askers_of_other_tenants_are_not_found(state: State) -> None:
    await state.askers.remember([asker("ana@x.test", tenant="globex")])

    assert await state.askers.of("acme", "renewals", now=NOW) == []
    assert await state.askers.lately("acme", now=NOW) == []
    assert len(await state.askers.lately("globex", now=NOW)) == 1


async def test_database_of_the_version_before_keeps_askers_after_opening(tmp_path: Path) -> None:
    first = await State.open(Settings(home=tmp_path))
    await first.publish_operation("acme", "renewals", "R", "query R { a }", at=NOW)
    await first.close()
    with sqlite3.connect(tmp_path / "state.db") as database:
        database.execute("DROP TABLE operation_askers")
        database.execute("UPDATE schema_versions SET version = 3")

    second = await State.open(Settings(home=tmp_path))
    await second.askers.remember([asker("ana@x.test")])

    assert await second.askers.of("acme", "renewals", now=NOW) == [asker("ana@x.test")]
    assert await second.operation("acme", "renewals")
    await second.close()
    with sqlite3.connect(tmp_path / "state.db") as database:
        assert database.execute("SELECT max(version) FROM schema_versions").fetchone() == (
            SCHEMA_VERSION,
        )


async def test_state_that_cannot_be_written_is_said_in_one_error(
    state: State, tmp_path: Path
) -> None:
    with sqlite3.connect(tmp_path / "state.db") as database:
        database.execute("DROP TABLE operation_askers")

    with pytest.raises(StateUnavailableError) as caught:
        await state.askers.remember([asker("ana@x.test")])
    assert "ana" not in str(caught.value)
