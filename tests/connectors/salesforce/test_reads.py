"""The connector against the sandbox: discovery, full reads, incremental reads."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.connectors.salesforce.conftest import World
from tests.connectors.salesforce.driver import NOW

from firnline.connectors.protocol import ReadQuery
from firnline.connectors.registry import load_connector, load_module

EXPOSED = {"User", "Account", "Contact", "Opportunity", "Event"}


async def test_identity_names_the_org_and_the_user(acme: World) -> None:
    identity = await acme.driver.converse(acme.driver.connector.identify({"domain": "acme"}))

    assert identity.account == acme.sandbox.org.id
    assert identity.account_name == "Acme, Inc."
    assert identity.user_key == acme.sandbox.org.user_ids[acme.sandbox.integration_email]


async def test_discovery_finds_standard_and_custom_objects_and_fields(
    acme: World, globex: World
) -> None:
    first, second = await acme.driver.discover(), await globex.driver.discover()

    def exposed(catalog):
        return {found.name for found in catalog.objects if found.exposed}

    assert exposed(first) == EXPOSED | {"Deal_Activity__c"}
    assert exposed(second) == EXPOSED | {"Customer_Meeting__c", "Install_Site__c"}
    tier = first.by_name["Account"].by_name["Customer_Tier__c"]
    assert tier.custom
    assert [value.value for value in tier.values] == ["Tier 1", "Tier 2", "Tier 3"]
    assert second.by_name["Opportunity"].by_name["Competitors__c"].type == "strings"
    meeting = second.by_name["Customer_Meeting__c"].by_name["Account__c"].reference
    assert meeting is not None
    assert (meeting.targets, meeting.relation, meeting.inverse) == (
        ("Account",),
        "Account__r",
        "Customer_Meetings__r",
    )
    assert first.by_name["Opportunity"].by_name["Amount"].type == "decimal"
    assert not first.by_name["Opportunity"].by_name["Name"].nullable


async def test_discovery_lists_permission_objects_unexposed_and_share_tables_of_private_objects(
    acme: World,
) -> None:
    catalog = await acme.driver.discover()
    hidden = {found.name for found in catalog.objects if not found.exposed}

    assert hidden >= {"PermissionSetAssignment", "FieldPermissions", "UserRole", "GroupMember"}
    assert {name for name in hidden if name.endswith("Share")} == {
        "AccountShare",
        "OpportunityShare",
        "Deal_Activity__Share",
    }
    assert all(not catalog.by_name[name].cursor for name in hidden)


async def test_every_name_in_the_catalog_is_a_graphql_name_and_relations_do_not_collide(
    world: World,
) -> None:
    catalog = await world.driver.discover()
    for found in catalog.objects:
        names = [field.name for field in found.fields]
        names += [field.reference.relation for field in found.fields if field.reference]
        assert len(names) == len(set(names)), found.name
        assert all(name.isidentifier() and name.isascii() for name in names)


async def test_reading_all_pages_gives_every_record_exactly_once(world: World) -> None:
    catalog = await world.driver.discover()
    counts = world.sandbox.counts()
    paged = 0
    for found in catalog.objects:
        reading = await world.driver.read(found, page_size=200)
        keys = [record[found.key] for record in reading.records]
        assert len(keys) == len(set(keys))
        paged += reading.pages > 1
        if found.exposed:
            assert len(keys) == counts[found.name], found.name
    assert paged, "something must take several pages, or this proves little"
    assert set(counts) == {found.name for found in catalog.objects if found.exposed}


async def test_records_hold_what_the_org_holds(globex: World) -> None:
    catalog = await globex.driver.discover()
    tables = await globex.driver.tables(catalog)
    for name, rows in tables.items():
        for key, record in rows.items():
            stored = globex.sandbox.org.row(name, record.get("Id") or key)
            for field, value in record.items():
                wire = ";".join(value) if isinstance(value, list) else value
                assert wire == stored[field]
    assert any(
        row["Competitors__c"] == ["Initech", "Hooli"] for row in tables["Opportunity"].values()
    )


async def test_incremental_read_gives_changed_added_and_deleted_records(acme: World) -> None:
    catalog = await acme.driver.discover()
    deals = catalog.by_name["Opportunity"]
    full = await acme.driver.read(deals)
    changed, gone = full.records[0]["Id"], full.records[1]["Id"]
    account = full.records[0]["AccountId"]
    acme.sandbox.change("Opportunity", changed, Amount=1.5)
    acme.sandbox.delete("Opportunity", gone)
    added = acme.sandbox.add(
        "Opportunity",
        Name="New",
        AccountId=account,
        StageName="Prospecting",
        OwnerId=full.records[0]["OwnerId"],
    )

    later = await acme.driver.read(deals, since=full.checkpoint)
    again = await acme.driver.read(deals, since=later.checkpoint)

    assert {record["Id"]: record["Amount"] for record in later.records}[changed] == 1.5
    assert {changed, added} <= {record["Id"] for record in later.records}
    assert later.deleted == [gone]
    assert len(later.records) < len(full.records) / 2
    assert later.checkpoint >= full.checkpoint
    assert again.checkpoint == later.checkpoint


async def test_records_with_equal_stamps_are_all_read_across_pages_and_runs(acme: World) -> None:
    catalog = await acme.driver.discover()
    contacts = catalog.by_name["Contact"]
    stored = acme.sandbox.org.rows["Contact"]
    account = next(iter(stored.values()))["AccountId"]
    owner = next(iter(stored.values()))["OwnerId"]
    for number in range(450):
        key = acme.sandbox.add("Contact", LastName=f"N{number}", AccountId=account, OwnerId=owner)
        stored[key]["SystemModstamp"] = "2026-11-22T13:00:00.000+0000"

    first = await acme.driver.read(contacts, page_size=200)
    second = await acme.driver.read(contacts, since=first.checkpoint, page_size=200)

    assert len({record["Id"] for record in first.records}) == len(first.records) == len(stored)
    assert len({record["Id"] for record in second.records}) == 450


async def test_deleting_an_account_tombstones_what_hangs_on_it(globex: World) -> None:
    catalog = await globex.driver.discover()
    meetings = catalog.by_name["Customer_Meeting__c"]
    before = await globex.driver.read(meetings)
    account = before.records[0]["Account__c"]
    globex.sandbox.delete("Account", account)

    after = await globex.driver.read(meetings, since=before.checkpoint)

    assert set(after.deleted) == {
        record["Id"] for record in before.records if record["Account__c"] == account
    }


async def test_an_empty_incremental_read_keeps_its_checkpoint(acme: World) -> None:
    catalog = await acme.driver.discover()
    since = "2027-01-01T00:00:00.000+0000"

    reading = await acme.driver.read(catalog.by_name["Account"], since=since)

    assert (reading.records, reading.checkpoint) == ([], since)


async def test_some_hundred_fields_are_read_and_too_many_refused_with_a_hint(acme: World) -> None:
    catalog = await acme.driver.discover()
    account = catalog.by_name["Account"]
    connector = load_connector("salesforce")
    error = load_module("salesforce", "connector").QueryTooLongError

    def query(count: int) -> ReadQuery:
        names = tuple(f"Some_Custom_Field_With_Name_{number:03d}__c" for number in range(count))
        return ReadQuery(account, names, None, None, 2000, NOW)

    assert connector.build_read(query(400)).params["q"].count("__c") == 400
    with pytest.raises(error, match="Account") as caught:
        connector.build_read(query(800))
    assert caught.value.hint


async def test_page_token_is_sent_as_the_org_gave_it(acme: World) -> None:
    catalog = await acme.driver.discover()
    query = ReadQuery(catalog.by_name["Account"], ("Id",), None, None, 2000, NOW)
    locator = "/services/data/v66.0/query/01gXX-2000"

    request = acme.driver.connector.build_read(replace(query, page=locator))

    assert (request.path, dict(request.params)) == (locator, {})
