"""The state store keeps its promises on a real SQLite file."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert

from firnline.catalog.model import Catalog, FieldInfo, ObjectInfo
from firnline.settings import Settings
from firnline.state import (
    AuthorizationRow,
    ClientRow,
    ConnectionRow,
    StaleRowError,
    State,
    operation_id_of,
)
from firnline.state import schema as tables
from firnline.state.database import StateUnavailableError, StateVersionError

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[State]:
    opened = await State.open(Settings(home=tmp_path / "home"))
    yield opened
    await opened.close()


def connection(tenant: str = "acme", name: str = "crm", **changes: object) -> ConnectionRow:
    row = ConnectionRow(
        tenant=tenant,
        name=name,
        provider="salesforce",
        settings={"domain": "acme"},
        state="active",
        token_ciphertext=b"\x00sealed",
        expires_at=NOW + timedelta(hours=1),
        updated_at=NOW,
    )
    return replace(row, **changes)  # type: ignore[arg-type]


def catalog(*field_names: str) -> Catalog:
    fields = tuple(FieldInfo(name=name, type="string") for name in field_names)
    return Catalog(
        provider="salesforce", objects=(ObjectInfo(name="Account", key="Id", fields=fields),)
    )


async def test_saved_connection_reads_back_equal_after_reopening(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    first = await State.open(settings)
    stored = await first.save_connection(connection())
    await first.close()

    second = await State.open(settings)
    assert await second.connection("acme", "crm") == stored
    assert stored.version == 1
    await second.close()


async def test_connection_of_another_tenant_is_not_found(state: State) -> None:
    await state.save_connection(connection("acme"))

    assert await state.connection("globex", "crm") is None
    assert await state.connections("globex") == []
    assert not await state.delete_connection("globex", "crm")
    assert len(await state.connections("acme")) == 1


async def test_outdated_connection_is_refused_and_changes_nothing(state: State) -> None:
    first = await state.save_connection(connection())
    second = await state.save_connection(replace(first, state="needs_reconnect"))

    with pytest.raises(StaleRowError):
        await state.save_connection(replace(first, state="disabled"))
    with pytest.raises(StaleRowError):
        await state.save_connection(connection())

    assert await state.connection("acme", "crm") == second


async def test_concurrent_saves_of_one_version_let_exactly_one_win(state: State) -> None:
    first = await state.save_connection(connection())

    outcomes = await asyncio.gather(
        *(state.save_connection(replace(first, state_reason=str(n))) for n in range(10)),
        return_exceptions=True,
    )

    won = [outcome for outcome in outcomes if isinstance(outcome, ConnectionRow)]
    assert len(won) == 1
    assert all(isinstance(lost, StaleRowError) for lost in outcomes if lost is not won[0])
    assert await state.connection("acme", "crm") == won[0]


async def test_deleted_connection_is_gone(state: State) -> None:
    await state.save_connection(connection())

    assert await state.delete_connection("acme", "crm")
    assert await state.connection("acme", "crm") is None


async def test_catalog_gets_a_new_version_only_when_it_changed(state: State) -> None:
    assert await state.catalog("acme", "crm") is None
    assert await state.save_catalog("acme", "crm", catalog("Id"), at=NOW) == 1
    assert await state.save_catalog("acme", "crm", catalog("Id"), at=NOW) == 1
    assert await state.save_catalog("acme", "crm", catalog("Id", "Tier__c"), at=NOW) == 2
    assert await state.save_catalog("globex", "crm", catalog("Id"), at=NOW) == 1

    found = await state.catalog("acme", "crm")
    assert found == (2, catalog("Id", "Tier__c"))


async def test_concurrent_discoveries_of_one_catalog_store_one_version(state: State) -> None:
    versions = await asyncio.gather(
        *(state.save_catalog("acme", "crm", catalog("Id"), at=NOW) for _ in range(8))
    )

    assert set(versions) == {1}


async def test_published_operation_is_found_by_its_id_and_tenant_only(state: State) -> None:
    text = "query Q { deals { totalCount } }"
    operation_id = operation_id_of(text)
    row = await state.publish_operation("acme", operation_id, "Q", text, at=NOW)

    assert await state.operation("acme", operation_id) == row
    assert await state.operation("globex", operation_id) is None
    assert await state.operations("acme") == [row]


async def test_publishing_another_text_under_an_id_makes_a_version_of_it(state: State) -> None:
    await state.publish_operation("acme", "renewals", "Renewals", "query { a }", at=NOW)
    later = NOW + timedelta(hours=1)
    row = await state.publish_operation("acme", "renewals", "Renewals", "query { b }", at=later)
    again = await state.publish_operation("acme", "renewals", "Renewals", "query { b }", at=NOW)

    assert await state.operations("acme") == [row] == [again]
    assert row.version == 2
    first, second = await state.operations("acme", retired=True)
    assert (first.version, first.text, first.retired_at) == (1, "query { a }", later)
    assert second == row


async def test_retired_operation_is_found_no_more_until_published_again(state: State) -> None:
    await state.publish_operation("acme", "renewals", "Renewals", "query { a }", at=NOW)
    await state.publish_operation("globex", "renewals", "Renewals", "query { a }", at=NOW)

    assert await state.retire_operation("acme", "renewals", at=NOW)
    assert not await state.retire_operation("acme", "renewals", at=NOW)

    assert await state.operation("acme", "renewals") is None
    assert await state.operation("globex", "renewals") is not None
    row = await state.publish_operation("acme", "renewals", "Renewals", "query { a }", at=NOW)
    assert (row.version, await state.operation("acme", "renewals")) == (2, row)


async def test_operations_of_the_first_schema_are_kept_on_upgrade(tmp_path: Path) -> None:
    home = tmp_path / "old"
    home.mkdir()
    with sqlite3.connect(home / "state.db") as old:
        old.executescript(
            """
            CREATE TABLE schema_versions (version INTEGER PRIMARY KEY);
            INSERT INTO schema_versions VALUES (1);
            CREATE TABLE operations (tenant, operation_id, name, text, published_at);
            INSERT INTO operations
            VALUES ('acme', 'renewals', 'Renewals', 'query { a }', '2026-01-02 03:04:05.000000');
            """
        )
    old.close()
    for _ in range(2):
        state = await State.open(Settings(home=home))
        (row,) = await state.operations("acme")
        await state.close()
        assert (row.operation_id, row.text, row.version) == ("renewals", "query { a }", 1)


def authorization(digest: str, expires_at: datetime) -> AuthorizationRow:
    return AuthorizationRow(
        tenant="acme",
        connection="crm",
        provider="salesforce",
        settings={"domain": "acme"},
        redirect_uri="http://127.0.0.1:1/callback",
        state_digest=digest,
        verifier_ciphertext=b"sealed",
        expires_at=expires_at,
    )


async def test_authorization_is_taken_once_even_by_concurrent_callers(state: State) -> None:
    row = authorization("digest", NOW + timedelta(minutes=10))
    await state.save_authorization(row, now=NOW)

    taken = await asyncio.gather(*(state.take_authorization("digest", now=NOW) for _ in range(10)))

    assert [found for found in taken if found is not None] == [row]


async def test_expired_authorization_is_not_given_out(state: State) -> None:
    await state.save_authorization(authorization("digest", NOW + timedelta(minutes=10)), now=NOW)

    assert await state.take_authorization("digest", now=NOW + timedelta(minutes=10)) is None


async def test_client_is_found_by_exact_scope_and_replaced(state: State) -> None:
    await state.save_client(ClientRow("*", "salesforce", "*", NOW, b"one"))
    await state.save_client(ClientRow("*", "salesforce", "*", NOW, b"two"))

    found = await state.client("*", "salesforce", "*")
    assert found is not None
    assert found.ciphertext == b"two"
    assert await state.client("acme", "salesforce", "*") is None


async def test_naive_time_is_refused(state: State) -> None:
    with pytest.raises(Exception, match="must carry its zone"):
        await state.save_connection(connection(updated_at=datetime(2026, 1, 1)))


async def test_state_file_is_readable_by_its_owner_only(state: State, tmp_path: Path) -> None:
    await state.save_connection(connection())

    for name in ("state.db", "state.db-wal"):
        assert stat.S_IMODE((tmp_path / "home" / name).stat().st_mode) == 0o600


async def test_database_of_a_newer_firnline_is_refused(tmp_path: Path) -> None:
    state = await State.open(Settings(home=tmp_path))
    async with state._engine.begin() as database:
        await database.execute(insert(tables.schema_versions).values(version=999))
    await state.close()

    with pytest.raises(StateVersionError):
        await State.open(Settings(home=tmp_path))


async def test_unusable_home_or_url_is_a_clear_error_without_the_password(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateUnavailableError):
        await State.open(Settings(home=tmp_path / "file" / "home"))
    for url in ("nonsense", "nosuch+driver://u:hunter2@127.0.0.1/x"):
        with pytest.raises(StateUnavailableError) as refused:
            await State.open(Settings(home=tmp_path, database_url=url))
        assert "hunter2" not in str(refused.value)


def test_reprs_show_no_ciphertext() -> None:
    shown = repr(connection()) + repr(authorization("digest", NOW))
    shown += repr(ClientRow("*", "salesforce", "*", NOW, b"sealed"))

    assert "sealed" not in shown
    assert "digest" not in shown.replace("state_digest", "")


async def test_opening_the_database_again_keeps_its_locks(tmp_path: Path) -> None:
    """Else another process that closes it removes the log that this one still writes to."""
    settings = Settings(home=tmp_path)
    state = await State.open(settings)
    await state.ping()
    again = await State.open(settings)
    await again.close()
    closing = (
        "import sqlite3, sys\n"
        "database = sqlite3.connect(sys.argv[1])\n"
        "database.execute('SELECT 1 FROM leases')\n"
        "database.close()\n"
    )
    path = tmp_path / "state.db"

    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", closing, str(path)], check=True)

    assert (tmp_path / "state.db-wal").exists()
    await state.close()
