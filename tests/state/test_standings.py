"""Which connections cannot be read from is known in every process, soon after any of them knows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from firnline.clock import SystemClock
from firnline.settings import Settings
from firnline.state import ConnectionRow, State
from firnline.state.rows import ConnectionState
from firnline.state.standings import Standing, Standings

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[State]:
    opened = await State.open(Settings(home=tmp_path))
    yield opened
    await opened.close()


def connection(state: ConnectionState, *, tenant: str = "acme", person: str = "") -> ConnectionRow:
    return ConnectionRow(tenant, "crm", "salesforce", {}, state, NOW, person=person)


async def changed(state: State, row: ConnectionRow, became: ConnectionState) -> ConnectionRow:
    at = row.updated_at + timedelta(minutes=1)
    return await state.save_connection(replace(row, state=became, updated_at=at))


async def until_changed(standings: Standings, tenant: str, known: object) -> None:
    async with asyncio.timeout(10):
        while standings.of(tenant) is known:  # noqa: ASYNC110 - nothing tells a test
            await asyncio.sleep(0.02)


async def test_lost_connections_are_known_once_loaded(state: State) -> None:
    row = await state.save_connection(connection("active"))
    await state.save_connection(connection("active", tenant="globex"))
    await changed(state, row, "needs_reconnect")
    standings = state.standings(SystemClock())

    await standings.load()

    lost = Standing("needs_reconnect", NOW + timedelta(minutes=1))
    assert standings.of("acme") == {"crm": lost}
    assert standings.of("globex") == {}


async def test_since_is_when_it_was_lost_however_often_it_is_saved(state: State) -> None:
    row = await state.save_connection(connection("needs_reconnect"))
    await changed(state, row, "needs_reconnect")
    standings = state.standings(SystemClock())

    await standings.load()

    assert standings.of("acme")["crm"].since == NOW


async def test_a_person_s_lost_connection_leaves_the_organisation_s_data_fresh(
    state: State,
) -> None:
    await state.save_connection(connection("needs_reconnect", person="ann@north.test"))
    standings = state.standings(SystemClock())

    await standings.load()

    assert standings.of("acme") == {}


async def test_same_standing_is_the_same_object(state: State) -> None:
    await state.save_connection(connection("disabled"))
    standings = state.standings(SystemClock())
    await standings.load()
    known = standings.of("acme")

    await standings.load()

    assert standings.of("acme") is known
    assert standings.of("globex") is standings.of("initech")


@pytest.mark.parametrize("own", [True, False], ids=["this process", "another process"])
async def test_loss_and_return_are_heard_of_by_a_running_server(
    state: State, tmp_path: Path, own: bool
) -> None:
    other = state if own else await State.open(Settings(home=tmp_path))
    row = await other.save_connection(connection("active"))
    standings = state.standings(SystemClock())
    following = asyncio.create_task(standings.keep_current())
    try:
        known = standings.of("acme")
        row = await changed(other, row, "needs_reconnect")
        await until_changed(standings, "acme", known)
        assert standings.of("acme")["crm"].state == "needs_reconnect"

        known = standings.of("acme")
        await changed(other, row, "active")
        await until_changed(standings, "acme", known)
        assert standings.of("acme") == {}
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        if other is not state:
            await other.close()
