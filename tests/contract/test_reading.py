"""Reading: every record once, no endless paging, checkpoints that hold."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.contract.conftest import NOW, OpenAccount
from tests.contract.engine import Account, Reading, keys, typed

from firnline.catalog.model import Catalog, ObjectInfo
from firnline.sandbox.seed import company
from firnline.sandbox.world import Company

pytestmark = pytest.mark.asyncio(loop_scope="module")


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
    pages_most = 0
    async with open_account(world) as account:
        for described in readable(await account.discover()):
            for page_size in (50, 200):
                reading = await account.read(described, page_size=page_size)
                assert_every_record_once(reading, described, account)
                assert len(set(reading.page_tokens)) == len(reading.page_tokens)
                pages_most = max(pages_most, reading.pages)
    assert pages_most > 1, "no object had a second page: the test would prove nothing"


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


async def test_empty_run_does_not_forget_where_it_was(account: Account, catalog: Catalog) -> None:
    for described in incremental(catalog):
        first = await account.read(described)
        again = await account.read(described, since=first.checkpoint)
        third = await account.read(described, since=again.checkpoint or first.checkpoint)
        assert len(third.records) <= len(again.records), described.name
