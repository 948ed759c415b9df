"""The record of what was read: any change, removal or exchange is found, whoever made it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from firnline.settings import Settings
from firnline.state import State
from firnline.state.audit import AuditChain, AuditTamperedError, digest_of
from firnline.state.rows import AuditFact

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
KEY = b"k" * 32


@pytest.fixture
async def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
async def chain(home: Path) -> AsyncIterator[AuditChain]:
    state = await State.open(Settings(home=home))
    yield state.audit(KEY)
    await state.close()


def fact(n: int, person: str = "ana@acme.example", tenant: str = "acme") -> AuditFact:
    reads = {"Account": ["name"]} if n % 2 else {"Deal": ["stage"]}
    at = NOW + timedelta(hours=n)
    return AuditFact(tenant, person, at, {"outcome": "answered", "reads": reads, "rows": n})


async def fill(chain: AuditChain, count: int = 6) -> None:
    for n in range(0, count, 2):
        await chain.append("acme", [fact(n), fact(n + 1, "bo@acme.example")])


def change(home: Path, *statements: str) -> None:
    """Change the database as somebody does who may write it."""
    with sqlite3.connect(home / "state.db") as database:
        for statement in statements:
            assert database.execute(statement).rowcount > 0, statement
    database.close()


async def test_untouched_chain_is_verified(chain: AuditChain) -> None:
    await fill(chain)
    count, ends = await chain.verify("acme")
    assert (count, ends.head_number) == (6, 6)
    assert (await chain.verify("globex"))[0] == 0


@pytest.mark.parametrize(
    ("statements", "number"),
    [
        (["UPDATE audit_entries SET person = 'eve@x' WHERE number = 3"], 3),
        (["UPDATE audit_entries SET content = '{}' WHERE number = 1"], 1),
        (["UPDATE audit_entries SET at = '2026-01-01 00:00:00.000000' WHERE number = 6"], 6),
        (["DELETE FROM audit_entries WHERE number = 4"], 4),
        (["DELETE FROM audit_entries WHERE number = 1"], 1),
        (["DELETE FROM audit_entries WHERE number = 6"], 6),
        (["DELETE FROM audit_entries"], 1),
        (
            [
                "UPDATE audit_entries SET number = 90 WHERE number = 2",
                "UPDATE audit_entries SET number = 2 WHERE number = 3",
                "UPDATE audit_entries SET number = 3 WHERE number = 90",
            ],
            2,
        ),
        (["UPDATE audit_chains SET head_number = 5"], 6),
        (
            [
                "DELETE FROM audit_entries WHERE number <= 2",
                "UPDATE audit_chains SET anchor_number = 2, anchor_digest = "
                "(SELECT previous FROM audit_entries WHERE number = 3)",
            ],
            6,
        ),
    ],
    ids=["person", "content", "time", "middle", "first", "last", "all", "order", "head", "anchor"],
)
async def test_tampering_is_found_at_its_entry(
    chain: AuditChain, home: Path, statements: list[str], number: int
) -> None:
    await fill(chain)
    change(home, *statements)
    with pytest.raises(AuditTamperedError):
        await chain.verify("acme")
    try:
        await chain.verify("acme")
    except AuditTamperedError as error:
        assert error.number in (number, 5), error


async def test_chain_computed_anew_without_the_key_is_found(chain: AuditChain, home: Path) -> None:
    """Whoever may write the database can make a chain that follows; the seal they cannot make."""
    await fill(chain, 2)
    rows = [row async for row in chain.entries("acme")]
    digest = digest_of("acme", 2, rows[1].at, "eve@x", rows[1].content, rows[0].digest)
    change(
        home,
        f"UPDATE audit_entries SET person = 'eve@x', digest = '{digest}' WHERE number = 2",
        f"UPDATE audit_chains SET head_digest = '{digest}'",
    )
    with pytest.raises(AuditTamperedError, match="seal"):
        await chain.verify("acme")
    with pytest.raises(AuditTamperedError, match="seal"):
        await chain.append("acme", [fact(9)])


async def test_two_processes_write_one_chain(chain: AuditChain, home: Path) -> None:
    other = await State.open(Settings(home=home))
    try:
        second = other.audit(KEY)
        writes = [each.append("acme", [fact(n)]) for n in range(10) for each in (chain, second)]
        await asyncio.gather(*writes)
    finally:
        await other.close()
    assert (await chain.verify("acme"))[0] == 20


async def test_entries_let_go_leave_a_chain_that_is_verified_and_goes_on(chain: AuditChain) -> None:
    await fill(chain)
    assert await chain.forget("acme", before=NOW + timedelta(hours=4)) == 4
    assert await chain.forget("acme", before=NOW + timedelta(hours=4)) == 0
    count, ends = await chain.verify("acme")
    assert (count, ends.anchor_number) == (2, 4)
    await chain.append("acme", [fact(9)])
    assert (await chain.verify("acme"))[0] == 3
    # All too old: the last stays, so that the next follows something.
    assert await chain.forget("acme", before=NOW + timedelta(days=99)) == 2
    assert (await chain.verify("acme"))[0] == 1


async def test_entries_are_found_by_person_time_and_object(chain: AuditChain) -> None:
    await fill(chain)

    async def numbers(**wanted: object) -> list[int]:
        return [row.number async for row in chain.entries("acme", **wanted)]  # type: ignore[arg-type]

    assert await numbers() == [1, 2, 3, 4, 5, 6]
    assert await numbers(person="bo@acme.example") == [2, 4, 6]
    assert await numbers(object_name="Deal") == [1, 3, 5]
    since, until = NOW + timedelta(hours=1), NOW + timedelta(hours=3)
    assert await numbers(since=since, until=until) == [2, 3]


async def test_tenants_have_chains_of_their_own(chain: AuditChain) -> None:
    await fill(chain, 2)
    await chain.append("globex", [fact(0, tenant="globex")])
    rows = [row async for row in chain.entries("globex")]
    assert [row.number for row in rows] == [1]
