"""The connector against the sandbox over HTTP: discovery, pages, increments, deletions."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from tests.connectors.netsuite.account import (
    CONNECTOR,
    NOW,
    Driver,
    query_of,
    sandbox_of,
    serve,
    world,
)

from firnline.catalog.model import Catalog, FieldInfo, ObjectInfo
from firnline.connectors.protocol import ProviderRefusal, Response
from firnline.connectors.registry import load_module

reading = load_module("netsuite", "reading")


async def test_discovery_finds_custom_fields_and_the_custom_record_of_each_tenant(
    driver: Driver,
) -> None:
    catalog = await driver.discover()

    customs = {
        field.name: field.type
        for found in catalog.objects
        for field in found.fields
        if field.custom
    }
    if driver.sandbox.settings["account"] == "1234567":
        assert customs["custentity_crm_account_id"] == "string"
        assert catalog.by_name["customrecord_contract"].label == "Contract"
        assert customs["custrecord_contract_end"] == "date"
        customer = catalog.by_name["customrecord_contract"].by_name["custrecord_contract_customer"]
    else:
        assert "custentity_crm_account_id" not in customs
        assert customs["custrecord_dunning_next"] == "timestamp"
        levels = catalog.by_name["customrecord_dunning"].by_name["custrecord_dunning_level"]
        assert [value.value for value in levels.values] == ["1", "2", "3"]
        customer = catalog.by_name["customrecord_dunning"].by_name["custrecord_dunning_customer"]
    assert customer.reference is not None
    assert customer.reference.targets == ("customer",)


async def test_discovery_names_are_unique_and_legal_in_graphql(driver: Driver) -> None:
    catalog = await driver.discover()

    inverses: dict[str, list[str]] = {found.name: [] for found in catalog.objects}
    for found in catalog.objects:
        ways = [field.reference for field in found.fields if field.reference]
        for way in ways:
            inverses[way.targets[0]].append(way.inverse)
        names = [field.name for field in found.fields] + [way.relation for way in ways]
        inverses[found.name] += names
    for found in inverses.values():
        assert len(set(found)) == len(found)
        assert all(re.fullmatch(r"[_A-Za-z][_0-9A-Za-z]*", name) for name in found)


async def test_discovery_leaves_out_rest_properties_that_suiteql_lacks(acme: Driver) -> None:
    catalog = await acme.discover()

    assert "balance" not in catalog.by_name["customer"].by_name
    assert not {"total", "amountpaid"} & set(catalog.by_name["invoice"].by_name)
    assert catalog.by_name["invoice"].by_name["foreigntotal"].scale == 2
    assert catalog.by_name["invoice"].by_name["subsidiary"].reference is not None
    assert not catalog.by_name["role"].exposed


async def test_discovery_by_a_narrow_role_finds_only_what_it_opens() -> None:
    sandbox = sandbox_of(world("acme"))
    clerk = next(p.email for p in sandbox.store.company.people if p.erp == "receivables")
    async with serve(sandbox.app) as http:
        catalog = await Driver(http, sandbox, clerk).discover()

    assert sorted(catalog.by_name) == ["customer", "invoice", "subsidiary"]
    assert "creditlimit" not in catalog.by_name["customer"].by_name
    # This role may not read the list of deleted records either: asking would only be refused.
    assert CONNECTOR.build_deletes(query_of(catalog.by_name["customer"])) is None


async def test_discovery_passes_on_a_refused_token(acme: Driver) -> None:
    acme.token = "gone"

    with pytest.raises(ProviderRefusal) as refused:
        await acme.discover()

    assert refused.value.response.status == 401


async def test_discovery_finds_columns_one_by_one_when_the_error_names_none(acme: Driver) -> None:
    """NetSuite's texts are not promised: a refusal may name no column."""
    plain = acme.send

    async def vague(request):
        response = await plain(request)
        text = response.text().replace("Unknown identifier 'balance'", "Something is wrong")
        return Response(response.status, response.headers, text.encode())

    expected = await acme.discover()
    acme.send = vague  # type: ignore[method-assign]

    assert await acme.discover() == expected


async def test_identity_names_the_root_subsidiary(acme: Driver) -> None:
    identity = await acme.run(CONNECTOR.identify(acme.sandbox.settings))

    assert (identity.account, identity.account_name) == ("1234567", "Acme, Inc.")


def test_host_label_of_a_sandbox_account_is_lower_case_with_a_dash() -> None:
    derived = CONNECTOR.derived_settings({"account": "7654321_SB1"})

    assert derived == {"account": "7654321_SB1", "host": "7654321-sb1"}


@pytest.mark.parametrize("page_size", [7, 1000])
async def test_pages_of_any_size_give_every_record_exactly_once(
    driver: Driver, page_size: int
) -> None:
    catalog = await driver.discover()

    for found in catalog.objects:
        keys = [row[found.key] for row in await driver.records(found, page_size=page_size)]
        assert len(set(keys)) == len(keys)
        if found.exposed:
            assert len(keys) == driver.sandbox.counts()[found.name]


async def test_records_with_equal_stamps_over_a_page_edge_are_all_read(acme: Driver) -> None:
    acme.sandbox._present = lambda: NOW
    catalog = await acme.discover()
    for key in acme.sandbox.store.tables["contact"]:
        acme.sandbox.change("contact", str(key), title="Same second")

    read = await acme.records(catalog.by_name["contact"], page_size=9)

    assert len({row["id"] for row in read}) == acme.sandbox.counts()["contact"] == len(read)
    assert {row["lastmodifieddate"] for row in read} == {"2026-11-22T12:00:00Z"}


async def test_values_carry_utc_stamps_plain_dates_and_no_nulls(acme: Driver) -> None:
    catalog = await acme.discover()
    company = acme.sandbox.store.company

    invoices = {row["tranid"]: row for row in await acme.records(catalog.by_name["invoice"])}

    for invoice in company.invoices:
        if company.accounts[invoice.account].in_erp:
            row = invoices[invoice.reference]
            assert row["trandate"] == invoice.issued.isoformat()
            assert Decimal(row["foreigntotal"]) == invoice.total
            assert Decimal(row["foreignamountunpaid"]) == invoice.balance
            stamp = datetime.fromisoformat(row["lastmodifieddate"])
            assert stamp == invoice.updated_at.replace(microsecond=0)
            assert None not in row.values()


async def test_increment_reads_changed_and_new_records_and_tells_deleted_ones(
    acme: Driver,
) -> None:
    catalog = await acme.discover()
    contact = catalog.by_name["contact"]
    checkpoint = (await acme.pages(contact))[-1].checkpoint
    first, second = sorted(acme.sandbox.store.tables["contact"])[:2]
    acme.sandbox._present = lambda: NOW + timedelta(minutes=30)
    acme.sandbox.change("contact", str(first), title="Chief Geologist")
    added = acme.sandbox.add("contact", entityid="New One", company="1001")
    acme.sandbox.delete("contact", str(second))
    acme.sandbox.delete("customer", "1001")

    read = await acme.records(contact, since=checkpoint)

    changed = {row["id"]: row for row in read}
    assert changed[str(first)]["title"] == "Chief Geologist"
    assert added in changed
    assert len(read) < acme.sandbox.counts()["contact"]
    assert await acme.deleted(contact, since=checkpoint) == [str(second)]
    assert await acme.deleted(catalog.by_name["customer"], since=None) == ["1001"]


async def test_increment_with_nothing_new_keeps_its_checkpoint(acme: Driver) -> None:
    contact = (await acme.discover()).by_name["contact"]

    (page,) = await acme.pages(contact, since="2026-11-22T13:00:00Z")

    assert (page.records, page.checkpoint) == ([], "2026-11-22T13:00:00Z")


async def test_deletions_are_paged_past_equal_stamps(acme: Driver) -> None:
    acme.sandbox._present = lambda: NOW
    invoice = (await acme.discover()).by_name["invoice"]
    gone = [str(key) for key in sorted(acme.sandbox.store.tables["transaction"])[:25]]
    for key in gone:
        acme.sandbox.delete("invoice", key)

    assert sorted(await acme.deleted(invoice, since=None, page_size=4)) == gone


def _described(zone: str = "America/Los_Angeles") -> ObjectInfo:
    fields = (
        FieldInfo(name="id", type="id"),
        FieldInfo(name="lastmodifieddate", type="timestamp"),
        FieldInfo(name="name", type="string"),
    )
    extra = {"table": "thing", "order": "lastmodifieddate,id", "timezone": zone}
    return ObjectInfo(name="thing", key="id", cursor="lastmodifieddate", fields=fields, extra=extra)


def test_floor_of_an_increment_lies_an_overlap_before_the_checkpoint_in_local_time() -> None:
    request = CONNECTOR.build_read(query_of(_described(), since="2026-06-01T12:00:00Z"))

    assert "r.lastmodifieddate >= TO_TIMESTAMP('2026-06-01 04:58:00'" in request.json["q"]


def test_floor_in_an_hour_that_happens_twice_goes_back_before_it() -> None:
    """01:30 comes twice on 1 Nov 2026 in Los Angeles; the second may follow the first's 01:59."""
    zone = ZoneInfo("America/Los_Angeles")
    first = datetime(2026, 11, 1, 1, 59, tzinfo=zone).astimezone(UTC)
    later = datetime(2026, 11, 1, 1, 0, fold=1, tzinfo=zone)

    floor = reading.local_floor(first.isoformat(), 120, zone)

    assert floor == "2026-11-01 00:57:00"
    assert floor < later.replace(tzinfo=None).isoformat(" ")


@pytest.mark.parametrize("stamp", ["2026-03-08 02:30:00", "2026-11-01 01:30:00"])
def test_stamp_in_a_skipped_or_doubled_hour_comes_back_as_it_was_read(stamp: str) -> None:
    zone = ZoneInfo("America/Los_Angeles")

    local = datetime.fromisoformat(reading.to_utc(stamp, zone)).astimezone(zone)

    assert abs(local.replace(tzinfo=None) - datetime.fromisoformat(stamp)) <= timedelta(hours=1)


def test_page_token_of_a_hostile_value_stays_inside_its_quotes() -> None:
    page = """["2026-01-01 00:00:00') OR 1=1 --", "5"]"""

    text = CONNECTOR.build_read(query_of(_described(), page=page)).json["q"]

    assert "00:00:00'') OR 1=1 --'" in text


def test_page_whose_last_record_lacks_the_cursor_is_an_error_with_a_next_step() -> None:
    answer = Response(200, {}, b'{"items": [{"id": "5"}], "hasMore": true}')

    with pytest.raises(reading.UnreadableAnswerError) as refused:
        CONNECTOR.parse_page(query_of(_described()), answer)

    assert "lastmodifieddate" in refused.value.hint


def test_key_of_several_columns_is_made_and_read_on_in_order() -> None:
    described = load_module("netsuite", "records").PERMISSION_OBJECTS
    rows = next(each for each in described if each.name == "rolepermissions")
    answer = Response(
        200,
        {},
        b'{"hasMore": true, "items": [{"role": "7", "permkey": "LIST_CUSTJOB", "permlevel": "1"}]}',
    )

    page = CONNECTOR.parse_page(query_of(rows), answer)
    text = CONNECTOR.build_read(query_of(rows, page=page.next_page)).json["q"]

    assert page.records[0]["id"] == "7:LIST_CUSTJOB"
    assert "r.id" not in text
    assert "(r.role = 7 AND r.permkey > 'LIST_CUSTJOB')" in text


async def test_custom_record_without_rest_description_is_described_by_its_custom_fields(
    acme: Driver,
) -> None:
    plain = acme.send

    async def without_schema(request):
        if request.path.endswith("/customrecord_contract"):
            return Response(404, {}, b"{}")
        return await plain(request)

    acme.send = without_schema  # type: ignore[method-assign]

    catalog: Catalog = await acme.discover()

    contract = catalog.by_name["customrecord_contract"]
    assert contract.by_name["custrecord_contract_start"].type == "date"
    assert contract.cursor == "lastmodified"
    assert len(await acme.records(contract)) == acme.sandbox.counts()["customrecord_contract"]
