"""Reading: every record once, changes and deletions seen, no endless paging."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.contract.conftest import NOW, OpenAccount
from tests.contract.engine import Account, Reading, keys, typed

from firnline.catalog.model import Catalog, FieldInfo, ObjectInfo
from firnline.sandbox.seed import company
from firnline.sandbox.world import Company


@pytest.fixture
async def catalog(account: Account) -> Catalog:
    return await account.discover()


def readable(catalog: Catalog) -> list[ObjectInfo]:
    return [described for described in catalog.objects if described.supports.query]


def incremental(catalog: Catalog) -> list[ObjectInfo]:
    return [described for described in readable(catalog) if described.cursor and described.exposed]


def assert_every_record_once(reading: Reading, described: ObjectInfo, account: Account) -> None:
    counted = Counter(keys(reading.records, described))
    assert not [key for key, times in counted.items() if times > 1], described.name
    if described.name in account.sandbox.counts():
        assert len(counted) == account.sandbox.counts()[described.name], described.name


async def test_sandbox_counts_every_exposed_object(account: Account, catalog: Catalog) -> None:
    exposed = {described.name for described in readable(catalog) if described.exposed}
    assert exposed <= set(account.sandbox.counts())


@pytest.mark.parametrize("page_size", [None, 7, 200])
async def test_pages_give_every_record_once(
    account: Account, catalog: Catalog, page_size: int | None
) -> None:
    for described in readable(catalog):
        reading = await account.read(described, page_size=page_size)
        assert_every_record_once(reading, described, account)


async def test_page_tokens_never_repeat(account: Account, catalog: Catalog) -> None:
    for described in readable(catalog):
        reading = await account.read(described, page_size=7)
        assert len(set(reading.page_tokens)) == len(reading.page_tokens), described.name
        assert reading.pages == len(reading.page_tokens) + 1


async def test_small_pages_are_more_pages_somewhere(account: Account, catalog: Catalog) -> None:
    """Otherwise the tests of paging would prove nothing."""
    readings = [await account.read(described, page_size=7) for described in readable(catalog)]
    assert any(reading.pages > 1 for reading in readings)


async def test_values_fit_the_types_of_the_catalog(account: Account, catalog: Catalog) -> None:
    for described in readable(catalog):
        reading = await account.read(described)
        assert len(typed(reading.records, described)) == len(reading.records)
        for record in reading.records:
            assert set(record) <= set(described.by_name), described.name


async def test_only_the_asked_fields_are_given(account: Account, catalog: Catalog) -> None:
    for described in incremental(catalog):
        asked = (described.key, described.cursor)
        query = replace(account.query(described), fields=asked)
        response = await account.send(account.connector.build_read(query))
        page = account.connector.parse_page(query, response)
        assert page.records, described.name
        for record in page.records:
            assert set(record) >= set(asked)
            assert set(record) <= set(described.by_name)


async def test_cursor_is_never_null(account: Account, catalog: Catalog) -> None:
    for described in incremental(catalog):
        for record in (await account.read(described)).records:
            assert record[described.cursor] is not None, described.name


async def test_pages_survive_records_that_all_share_one_stamp(open_account: OpenAccount) -> None:
    """As after a bulk import: a cursor on the time alone would loop, or lose records."""
    world = one_stamp(company("acme", scale=0.06, now=NOW))
    async with open_account(world) as account:
        for described in readable(await account.discover()):
            for page_size in (50, 200):
                reading = await account.read(described, page_size=page_size)
                assert_every_record_once(reading, described, account)
                assert len(set(reading.page_tokens)) == len(reading.page_tokens)


def one_stamp(world: Company) -> Company:
    """Return the world as if everything had been imported at once."""
    moment = NOW - timedelta(days=30)

    def imported(records: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(replace(one, created_at=moment, updated_at=moment) for one in records)

    names = ("accounts", "contacts", "deals", "meetings", "tickets", "invoices")
    return replace(world, **{name: imported(getattr(world, name)) for name in names})


async def test_nothing_after_a_checkpoint_in_the_future(
    open_account: OpenAccount, world: Company
) -> None:
    """A checkpoint of the same account a year later lies after all of today's records."""
    async with open_account(company(world.tenant, scale=0.02, now=NOW + timedelta(days=400))) as on:
        later = {
            described.name: (await on.read(described)).checkpoint
            for described in incremental(await on.discover())
        }
    async with open_account(world) as account:
        for described in incremental(await account.discover()):
            since = later[described.name]
            assert since is not None, described.name
            account.now = NOW + timedelta(days=401)
            reading = await account.read(described, since=since)
            assert not reading.records, described.name
            assert not reading.deleted, described.name


async def test_read_from_the_last_checkpoint_gives_little(
    account: Account, catalog: Catalog
) -> None:
    for described in incremental(catalog):
        whole = await account.read(described)
        assert whole.checkpoint, described.name
        again = await account.read(described, since=whole.checkpoint)
        assert set(keys(again.records, described)) <= set(keys(whole.records, described))
        if len(whole.records) > 20:
            assert len(again.records) < len(whole.records) / 2, described.name


async def test_incremental_read_after_each_step_keeps_the_checkpoint(
    account: Account, catalog: Catalog
) -> None:
    """An empty run must not forget where it was."""
    for described in incremental(catalog):
        since = (await account.read(described)).checkpoint
        for _ in range(3):
            reading = await account.read(described, since=since)
            since = reading.checkpoint or since
        assert len((await account.read(described, since=since)).records) <= 20 or (
            len(await _all(account, described)) <= 40
        )


async def _all(account: Account, described: ObjectInfo) -> list[str]:
    return keys((await account.read(described)).records, described)


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


async def test_change_is_seen_by_the_next_incremental_read(
    account: Account, catalog: Catalog
) -> None:
    changed = 0
    for described in incremental(catalog):
        before = await account.read(described)
        victim = before.records[len(before.records) // 2]
        key = str(victim[described.key])
        written = next(
            (field.name for field in text_fields(described) if victim.get(field.name)), None
        )
        if written is None:
            continue
        account.sandbox.change(described.name, key, **{written: "Changed by the contract"})
        reading = await account.read(described, since=before.checkpoint)
        found = {str(record[described.key]): record for record in reading.records}
        assert key in found, described.name
        assert found[key][written] == "Changed by the contract", f"{described.name}.{written}"
        assert found[key][described.cursor] != victim[described.cursor], described.name
        changed += 1
    assert changed


async def test_deleted_record_is_reported_and_no_longer_read(
    account: Account, catalog: Catalog
) -> None:
    for described in incremental(catalog):
        if not described.supports.deletes:
            continue
        before = await account.read(described)
        key = str(before.records[len(before.records) // 2][described.key])
        account.sandbox.delete(described.name, key)

        reading = await account.read(described, since=before.checkpoint)
        listed = await account.read_deletes(described, since=before.checkpoint)
        assert key in (*reading.deleted, *listed), described.name
        assert key not in keys(reading.records, described), described.name
        assert key not in keys((await account.read(described)).records, described), described.name
