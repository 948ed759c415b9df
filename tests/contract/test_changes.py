"""Increments: changes and deletions reach the next read."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.contract.conftest import OpenAccount
from tests.contract.engine import Account, keys

from firnline.catalog.model import Catalog, FieldInfo, ObjectInfo
from firnline.sandbox.world import Company

WRITTEN = "Changed by the contract"


@pytest.fixture
async def fresh(open_account: OpenAccount, world: Company) -> AsyncIterator[Account]:
    async with open_account(world) as account:
        yield account


def incremental(catalog: Catalog) -> list[ObjectInfo]:
    return [
        described
        for described in catalog.objects
        if described.exposed and described.cursor and described.supports.query
    ]


def text_fields(described: ObjectInfo) -> list[FieldInfo]:
    """Return the fields that a test may write a text to, the likeliest first."""
    plain = [
        field
        for field in described.fields
        if field.type == "string"
        and not (field.values or field.reference or field.calculated)
        and field.name not in (described.key, described.cursor)
    ]
    return sorted(plain, key=lambda field: not field.updateable)


async def test_change_is_seen_by_the_next_incremental_read(fresh: Account) -> None:
    changed = 0
    for described in incremental(await fresh.discover()):
        before = await fresh.read(described)
        victim = before.records[len(before.records) // 2]
        key = str(victim[described.key])
        written = next(
            (field.name for field in text_fields(described) if victim.get(field.name)), None
        )
        if written is None:
            continue
        fresh.sandbox.change(described.name, key, **{written: WRITTEN})
        fresh.pass_time()
        reading = await fresh.read(described, since=before.checkpoint)
        found = {str(record[described.key]): record for record in reading.records}
        assert key in found, described.name
        assert found[key][written] == WRITTEN, f"{described.name}.{written}"
        assert found[key][described.cursor] != victim[described.cursor], described.name
        changed += 1
    assert changed


async def test_deleted_record_is_reported_and_no_longer_read(fresh: Account) -> None:
    for described in incremental(await fresh.discover()):
        if not described.supports.deletes:
            continue
        before = await fresh.read(described)
        key = str(before.records[len(before.records) // 2][described.key])
        fresh.sandbox.delete(described.name, key)
        fresh.pass_time()

        reading = await fresh.read(described, since=before.checkpoint)
        listed = await fresh.read_deletes(described, since=before.checkpoint)
        assert key in (*reading.deleted, *listed), described.name
        assert key not in keys(reading.records, described), described.name
        assert key not in keys((await fresh.read(described)).records, described), described.name
