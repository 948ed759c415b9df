"""A connection that needs somebody is told of once, and told of again when telling failed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from firnline.clock import SystemClock
from firnline.errors import FirnlineError
from firnline.observe.alerting import Alerting, Send
from firnline.observe.alerts import Alert
from firnline.settings import Settings
from firnline.state import ConnectionRow, State
from firnline.state.rows import ConnectionState

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class Receiver:
    """Takes alerts; refuses the first few."""

    def __init__(self, refusals: int = 0) -> None:
        self.taken: list[Alert] = []
        self.refusals = refusals
        self.asked = 0

    async def send(self, alert: Alert) -> None:
        self.asked += 1
        if self.asked <= self.refusals:
            raise FirnlineError("the receiver is down")
        self.taken.append(alert)

    @property
    def kinds(self) -> list[str]:
        return [alert.kind for alert in self.taken]


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[State]:
    opened = await State.open(Settings(home=tmp_path))
    yield opened
    await opened.close()


class Quick(SystemClock):
    """Waits for moments only."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds / 100, 0.05))


@asynccontextmanager
async def telling(*states: State, send: Send | None) -> AsyncIterator[None]:
    tasks = [
        asyncio.create_task(Alerting(each, send=send, clock=Quick()).keep_telling())
        for each in states
    ]
    await asyncio.sleep(0.2)  # they begin with what is newest now
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not holds():  # noqa: ASYNC110 - nothing tells a test
            await asyncio.sleep(0.02)


async def became(state: State, name: str, *states: ConnectionState, reason: str = "") -> None:
    """Let a connection go through states."""
    for each in states:
        row = await state.connection("acme", name)
        if row is None:
            row = ConnectionRow("acme", name, "salesforce", {}, each, NOW)
        await state.save_connection(replace(row, state=each, state_reason=reason))


async def test_lost_connection_is_told_of_with_the_next_step(state: State) -> None:
    receiver = Receiver()
    await became(state, "crm", "active")
    async with telling(state, send=receiver.send):
        await became(state, "crm", "needs_reconnect", reason="the provider no longer accepts it")
        await until(lambda: receiver.taken != [])

    (alert,) = receiver.taken
    told = alert.as_dict()
    assert told["type"] == "connection.needs_reconnect"
    assert told["timestamp"] == "2026-11-22T12:00:00Z"
    assert told["data"]["next_step"] == "firnline connect acme crm"
    assert "the provider no longer accepts it" in told["data"]["summary"]


async def test_return_of_a_lost_connection_is_told_and_what_was_done_on_purpose_is_not(
    state: State,
) -> None:
    receiver = Receiver()
    async with telling(state, send=receiver.send):
        await became(state, "desk", "active", "disabled", "active", "revoked", "active")
        await became(state, "crm", "active", "expiring", "needs_reconnect", "active")
        await until(lambda: len(receiver.taken) == 3)

    kinds = ["connection.expiring", "connection.needs_reconnect", "connection.restored"]
    assert receiver.kinds == kinds
    assert "next_step" not in receiver.taken[-1].as_dict()["data"]


async def test_alert_that_is_not_taken_is_told_again_before_later_ones(state: State) -> None:
    receiver = Receiver(refusals=3)
    async with telling(state, send=receiver.send):
        await became(state, "crm", "active", "needs_reconnect")
        await became(state, "desk", "active", "expiring")
        await until(lambda: len(receiver.taken) == 2)

    assert receiver.kinds == ["connection.needs_reconnect", "connection.expiring"]


async def test_alert_is_given_up_in_the_end_and_the_next_one_told(
    state: State, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver(refusals=12)
    async with telling(state, send=receiver.send):
        await became(state, "crm", "active", "needs_reconnect")
        await became(state, "desk", "active", "expiring")
        await until(lambda: receiver.taken != [])

    assert receiver.kinds == ["connection.expiring"]
    assert "is given up" in caplog.text


async def test_two_processes_tell_each_alert_once(state: State, tmp_path: Path) -> None:
    receiver = Receiver()
    other = await State.open(Settings(home=tmp_path))
    try:
        async with telling(state, other, send=receiver.send):
            for name in ("crm", "desk", "erp", "calls"):
                await became(state, name, "active", "needs_reconnect")
            await until(lambda: len(receiver.taken) >= 4)
            await asyncio.sleep(0.2)
    finally:
        await other.close()

    assert sorted(alert.connection for alert in receiver.taken) == ["calls", "crm", "desk", "erp"]


async def test_what_happened_while_nobody_listened_is_told_after_a_restart(state: State) -> None:
    receiver = Receiver()
    async with telling(state, send=receiver.send):
        await became(state, "crm", "active")
    await became(state, "crm", "needs_reconnect")

    async with telling(state, send=receiver.send):
        await until(lambda: receiver.taken != [])

    assert receiver.kinds == ["connection.needs_reconnect"]


async def test_without_a_receiver_the_log_has_it(
    state: State, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "firnline.alerts"):
        async with telling(state, send=None):
            await became(state, "crm", "active", "needs_reconnect", "active")
            await until(lambda: "works again" in caplog.text)

    levels = [each.levelname for each in caplog.records if each.name == "firnline.alerts"]
    assert levels == ["WARNING", "INFO"]
