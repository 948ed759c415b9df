"""A connection's state, its time and the events that tell of it are one transaction's work."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from firnline.settings import Settings
from firnline.state import (
    ConnectionEvent,
    ConnectionRow,
    Soon,
    StaleRowError,
    State,
    connection_events,
)
from firnline.state.connection_events import EventsGoneError

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def row(name: str = "crm", tenant: str = "acme", **changes: object) -> ConnectionRow:
    made = ConnectionRow(
        tenant=tenant,
        name=name,
        provider="salesforce",
        settings={"domain": "acme"},
        state="active",
        updated_at=NOW,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


async def test_facts_about_a_connection_read_back_equal(database: Settings) -> None:
    state = await State.open(database)
    for person in ("", "ann@acme.test"):
        stored = await state.save_connection(
            row(
                person=person,
                flow="authorization_code",
                scopes=("read", "write"),
                ends_at=LATER,
                renewal_began_at=NOW,
                renewal_error="it did not answer",
            )
        )
        assert await state.connection("acme", "crm", person) == stored
    await state.close()


async def test_time_of_a_state_is_that_of_its_beginning(database: Settings) -> None:
    state = await State.open(database)
    first = await state.save_connection(row())
    renewed = await state.save_connection(replace(first, updated_at=LATER, renewal_error="none"))
    assert renewed.state_at == NOW
    ended = await state.save_connection(replace(renewed, state="revoked", updated_at=LATER))
    assert ended.state_at == LATER
    assert await state.connection("acme", "crm") == ended
    await state.close()


async def test_only_changes_of_a_state_are_events(database: Settings) -> None:
    state = await State.open(database)
    first = await state.save_connection(row())
    renewed = await state.save_connection(replace(first, updated_at=LATER))
    lost = replace(renewed, state="needs_reconnect", state_reason="it ended", updated_at=LATER)
    await state.save_connection(lost)
    with pytest.raises(StaleRowError):
        await state.save_connection(replace(first, state="revoked"))

    assert await state.connection_events.after(0) == [
        ConnectionEvent(1, "acme", "crm", "", "salesforce", "", "active", "", NOW),
        ConnectionEvent(
            *(2, "acme", "crm", "", "salesforce"),
            *("active", "needs_reconnect", "it ended", LATER),
        ),
    ]
    await state.close()


async def test_events_of_one_tenant_are_found_beside_others(database: Settings) -> None:
    state = await State.open(database)
    for tenant in ("acme", "globex", "acme"):
        names = {event.name for event in await state.connection_events.after(0)}
        await state.save_connection(row(f"crm{len(names)}", tenant))

    own = await state.connection_events.after(0, tenant="acme")
    assert [event.number for event in own] == [1, 3]
    assert [each.number for each in await state.connection_events.after(1, tenant="acme")] == [3]
    assert [each.number for each in await state.connection_events.after(0, limit=2)] == [1, 2]
    await state.close()


async def test_reader_that_goes_on_from_the_last_number_misses_no_event(
    database: Settings,
) -> None:
    """Many write at once on connections of their own; one reads on meanwhile."""
    writers, each = 6, 12
    states = [await State.open(database) for _ in range(writers)]

    async def write(number: int) -> None:
        stored = row(f"crm{number}")
        for turn in range(each):
            name = "active" if turn % 2 else "needs_reconnect"
            stored = await states[number].save_connection(replace(stored, state=name))

    async def read() -> list[int]:
        found: list[int] = []
        async with asyncio.timeout(30):
            while len(found) < writers * each:
                events = await states[0].connection_events.after(found[-1] if found else 0, limit=7)
                found += [event.number for event in events]
                await asyncio.sleep(0)
        return found

    reading = asyncio.create_task(read())
    await asyncio.gather(*(write(number) for number in range(writers)))

    assert await reading == list(range(1, writers * each + 1))
    for state in states:
        await state.close()


async def test_processes_that_open_a_new_database_at_once_all_succeed(database: Settings) -> None:
    states = await asyncio.gather(*(State.open(database) for _ in range(4)))

    await states[0].save_connection(row())
    assert await states[3].connection("acme", "crm")
    for state in states:
        await state.close()


async def test_follower_hears_of_changes_here_and_in_another_process(tmp_path: Path) -> None:
    here, there = [await State.open(Settings(home=tmp_path)) for _ in range(2)]
    first = await here.save_connection(row())
    async with aclosing(here.connection_events.follow(1)) as following:
        for state, changed in ((here, "revoked"), (there, "active"), (here, "disabled")):
            waiting = asyncio.ensure_future(anext(following))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            first = await state.save_connection(replace(first, state=changed))  # type: ignore[arg-type]
            async with asyncio.timeout(10):
                assert (await waiting).state == changed
    for state in (here, there):
        await state.close()


async def test_follower_of_a_tenant_hears_of_no_other(tmp_path: Path) -> None:
    state = await State.open(Settings(home=tmp_path))
    async with aclosing(state.connection_events.follow(0, tenant="acme")) as following:
        await state.save_connection(row(tenant="globex"))
        await state.save_connection(row(tenant="acme"))
        async with asyncio.timeout(10):
            assert (await anext(following)).tenant == "acme"
    await state.close()


async def test_old_events_go_and_who_missed_them_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_events, "EVENTS_MAX", 3)
    state = await State.open(Settings(home=tmp_path))
    for number in range(5):
        await state.save_connection(row(f"crm{number}"))

    assert [event.number for event in await state.connection_events.after(0)] == [3, 4, 5]
    assert [event.number for event in await state.connection_events.after(2)] == [3, 4, 5]
    with pytest.raises(EventsGoneError, match="up to number 2"):
        await state.connection_events.after(1)
    await state.save_connection(row("late", updated_at=NOW + timedelta(days=91)))
    assert [event.number for event in await state.connection_events.after(0)] == [6]
    await state.close()


async def test_connections_that_end_soon_are_found_over_all_tenants(database: Settings) -> None:
    state = await State.open(database)
    day = timedelta(days=1)
    await state.save_connection(row("never"))
    await state.save_connection(row("late", expires_at=NOW + day, ends_at=NOW + 9 * day))
    await state.save_connection(row("own", person="ann@acme.test", expires_at=NOW))
    await state.save_connection(row("refresh", tenant="globex", ends_at=NOW + day))
    await state.save_connection(row("known", state="expiring", ends_at=NOW + day))
    await state.save_connection(row("lost", state="needs_reconnect", expires_at=NOW))
    failed = row("failed", expires_at=NOW, renewal_error="no answer")
    await state.save_connection(failed)
    await state.save_connection(row("other", flow="client_credentials", expires_at=NOW))
    rest = timedelta(minutes=5)
    soon = Soon(LATER, NOW + 7 * day, NOW - rest, NOW + rest)

    assert await state.connections_ending(soon) == [
        ("acme", "own", "ann@acme.test"),
        ("globex", "refresh", ""),
    ]
    rested = await state.connections_ending(replace(soon, failed_after=NOW))
    assert {name for _tenant, name, _person in rested} == {"own", "failed", "refresh"}
    await state.close()


VERSION_4 = """
CREATE TABLE schema_versions (version INTEGER PRIMARY KEY);
INSERT INTO schema_versions VALUES (4);
CREATE TABLE connections (
    tenant VARCHAR(200) NOT NULL, name VARCHAR(200) NOT NULL, provider VARCHAR(200) NOT NULL,
    settings TEXT NOT NULL, state VARCHAR(40) NOT NULL, state_reason TEXT NOT NULL,
    account TEXT NOT NULL, account_name TEXT NOT NULL, user_key TEXT NOT NULL,
    user_name TEXT NOT NULL, token_ciphertext {bytes}, expires_at {time},
    updated_at {time} NOT NULL, version INTEGER NOT NULL, PRIMARY KEY (tenant, name));
CREATE TABLE personal_connections (
    tenant VARCHAR(200) NOT NULL, name VARCHAR(200) NOT NULL, person VARCHAR(300) NOT NULL,
    provider VARCHAR(200) NOT NULL,
    settings TEXT NOT NULL, state VARCHAR(40) NOT NULL, state_reason TEXT NOT NULL,
    account TEXT NOT NULL, account_name TEXT NOT NULL, user_key TEXT NOT NULL,
    user_name TEXT NOT NULL, token_ciphertext {bytes}, expires_at {time},
    updated_at {time} NOT NULL, version INTEGER NOT NULL, PRIMARY KEY (tenant, name, person));
INSERT INTO connections VALUES
    ('acme', 'crm', 'salesforce', '{{"domain": "acme"}}', 'active', '', '00D', 'Acme', '005', 'Ann',
     NULL, NULL, '2026-11-22 12:00:00.000000{zone}', 3);
INSERT INTO personal_connections VALUES
    ('acme', 'crm', 'ann@acme.test', 'salesforce', '{{}}', 'needs_reconnect', 'it ended', '', '',
     '', '', NULL, NULL, '2026-11-22 12:00:00.000000{zone}', 1);
"""


def write_version_4(database: Settings) -> None:
    if not database.database_url:
        database.home.mkdir()
        with sqlite3.connect(database.home / "state.db") as old:
            old.executescript(VERSION_4.format(bytes="BLOB", time="DATETIME", zone=""))
        old.close()
        return
    from sqlalchemy import create_engine

    engine = create_engine(database.database_url.get_secret_value())
    with engine.begin() as connection:
        script = VERSION_4.format(bytes="BYTEA", time="TIMESTAMPTZ", zone="+00")
        for statement in script.split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(statement)
    engine.dispose()


async def test_connections_of_schema_version_4_are_kept_on_upgrade(database: Settings) -> None:
    write_version_4(database)
    for _ in range(2):
        state = await State.open(database)
        own = await state.connection("acme", "crm", "ann@acme.test")
        found = await state.connection("acme", "crm")
        assert found is not None
        assert own is not None
        assert (found.version, found.state_at, found.scopes, found.flow) == (3, NOW, (), "")
        assert (own.state, own.state_at, own.renewal_began_at) == ("needs_reconnect", NOW, None)
        await state.close()

    state = await State.open(database)
    await state.save_connection(replace(found, state="disabled", updated_at=LATER))
    assert [event.before for event in await state.connection_events.after(0)] == ["active"]
    await state.close()
