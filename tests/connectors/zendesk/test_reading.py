"""The connector against the sandbox over HTTP: discovery, full reads, incremental reads."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from tests.connectors.zendesk.account import NOW, fault, world
from tests.connectors.zendesk.driver import Engine

from firnline.catalog.model import Catalog, FieldInfo, ObjectInfo
from firnline.connectors.protocol import Connector, ProviderRefusal, ReadQuery, Response
from firnline.connectors.registry import load_module

LATER = NOW + timedelta(hours=3)


def exposed(catalog: Catalog) -> list[str]:
    return [described.name for described in catalog.objects if described.exposed]


async def test_identify_names_the_person_and_the_account(engine: Engine, sandbox: Any) -> None:
    identity = await engine.converse(engine.connector.identify({"subdomain": "acme"}))
    me = next(
        row
        for row in sandbox.store.table("users").rows.values()
        if row["email"] == sandbox.integration_email
    )
    assert identity.account == "acme"
    assert (identity.user_key, identity.user_name) == (str(me["id"]), me["name"])


async def test_discovery_finds_custom_fields_and_their_values(engine: Engine, tenant: str) -> None:
    catalog = await engine.discover()
    tickets = catalog.by_name["tickets"]
    custom = {field.label: field for field in tickets.fields if field.custom}
    assert custom["Product area"].type == "string"
    assert all(one.value.startswith("area_") for one in custom["Product area"].values)
    assert custom["Escalated"].type == "bool"
    assert custom["Promised until"].type == "date"
    statuses = {one.value for one in tickets.by_name["status"].values}
    assert statuses == {"new", "open", "pending", "hold", "solved", "closed"}
    organizations = catalog.by_name["organizations"]
    tier = organizations.by_name["organization_fields_support_tier"]
    assert [one.label for one in tier.values] == ["Enterprise", "Mid-market", "Small business"]
    assert ("organization_fields_crm_account_id" in organizations.by_name) == (tenant == "globex")


async def test_discovery_links_custom_objects_by_their_lookups(engine: Engine, tenant: str) -> None:
    catalog = await engine.discover()
    assert ("custom_object_product_asset" in catalog.by_name) == (tenant == "globex")
    if tenant == "globex":
        asset = catalog.by_name["custom_object_product_asset"]
        lookup = asset.by_name["custom_object_fields_organization"].reference
        assert lookup is not None
        assert (lookup.targets, lookup.relation) == (("organizations",), "organization")
        on_ticket = next(f for f in catalog.by_name["tickets"].fields if f.label == "Asset")
        assert on_ticket.reference is not None
        assert on_ticket.reference.targets == ("custom_object_product_asset",)


async def test_names_are_legal_and_unique_on_every_object(engine: Engine) -> None:
    catalog = await engine.discover()
    names: dict[str, Counter[str]] = {found.name: Counter() for found in catalog.objects}
    for described in catalog.objects:
        for field in described.fields:
            names[described.name][field.name] += 1
            if field.reference:
                names[described.name][field.reference.relation] += 1
                for target in field.reference.targets:
                    names[target][field.reference.inverse] += 1
    for object_name, counted in names.items():
        assert all(name.isidentifier() and name.isascii() for name in counted), object_name
        assert max(counted.values()) == 1, (object_name, counted.most_common(3))


@pytest.mark.parametrize("page_size", [1000, 37])
async def test_full_read_gives_every_record_once(
    engine: Engine, sandbox: Any, page_size: int
) -> None:
    catalog = await engine.discover()
    for described in catalog.objects:
        reading = await engine.read(described, page_size=page_size)
        assert len(set(reading.keys)) == len(reading.keys), described.name
        assert len(reading.keys) == sandbox.counts()[described.name], described.name
        assert all(set(record) == set(described.by_name) for record in reading.records)


async def test_records_carry_custom_values_under_catalog_names(engine: Engine, tenant: str) -> None:
    catalog = await engine.discover()
    organizations = (await engine.read(catalog.by_name["organizations"])).records
    account_link = {
        "acme": lambda row: row["external_id"],
        "globex": lambda row: row["organization_fields_crm_account_id"],
    }[tenant]
    crm_ids = {account.crm_id for account in world(tenant).accounts if account.in_helpdesk}
    assert {account_link(row) for row in organizations} == crm_ids
    since = organizations[0]["organization_fields_customer_since"]
    assert len(since) == 10
    tickets = (await engine.read(catalog.by_name["tickets"])).records
    has_system_priority = {row["priority"] is not None for row in tickets}
    has_tag = {any(tag.startswith("prio_") for tag in row["tags"]) for row in tickets}
    assert has_system_priority == {tenant == "acme"}
    assert has_tag == {tenant == "globex"}


@pytest.mark.parametrize("object_name", ["tickets", "users", "organizations"])
async def test_incremental_read_after_changes_gives_what_changed(
    engine: Engine, sandbox: Any, object_name: str
) -> None:
    described = (await engine.discover()).by_name[object_name]
    first = await engine.read(described, now=LATER)
    sandbox.advance(600)
    name = "subject" if object_name == "tickets" else "name"
    # Not linked to anything: deleting an organization touches its tickets and users.
    changed, gone = first.keys[5], first.keys[9]
    sandbox.change(object_name, changed, **{name: "changed"})
    sandbox.delete(object_name, gone)
    added = sandbox.add(object_name, **{name: "new"})
    sandbox.advance(600)

    second = await engine.read(described, since=first.checkpoint, now=LATER)

    assert second.by_key[changed][name] == "changed"
    assert second.by_key[added][name] == "new"
    assert second.deleted == [gone]
    # The time-based export is read again from an overlap before the checkpoint.
    assert len(second.records) <= 2 or object_name == "organizations"
    sandbox.advance(600)
    third = await engine.read(described, since=second.checkpoint, now=LATER)
    assert object_name == "organizations" or (third.records, third.deleted) == ([], [])


@pytest.mark.parametrize("tenant", ["globex"], indirect=True)
async def test_custom_object_changes_and_deletions_are_followed(
    engine: Engine, sandbox: Any
) -> None:
    described = (await engine.discover()).by_name["custom_object_product_asset"]
    first = await engine.read(described)
    changed, gone = first.keys[0], first.keys[1]
    sandbox.change(described.name, changed, custom_object_fields_seats=77)
    sandbox.delete(described.name, gone)
    sandbox.advance(120)
    second = await engine.read(described, since=first.checkpoint)
    assert second.by_key[changed]["custom_object_fields_seats"] == 77
    assert second.deleted == [gone]


async def test_a_change_younger_than_the_export_delay_comes_with_the_next_run(
    engine: Engine, sandbox: Any
) -> None:
    described = (await engine.discover()).by_name["tickets"]
    first = await engine.read(described)
    sandbox.change("tickets", first.keys[0], subject="just now")
    early = await engine.read(described, since=first.checkpoint)
    assert early.records == []
    sandbox.advance(61)
    late = await engine.read(described, since=early.checkpoint)
    assert [record["subject"] for record in late.records] == ["just now"]


@pytest.mark.parametrize("object_name", ["tickets", "organizations"])
async def test_many_changes_in_one_second_survive_page_edges(
    engine: Engine, sandbox: Any, object_name: str
) -> None:
    described = (await engine.discover()).by_name[object_name]
    first = await engine.read(described, now=LATER)
    table = sandbox.store.table(object_name)
    for key in first.keys:
        table.stamps[int(key)] = int(NOW.timestamp()) + 1000
        table.rows[int(key)]["updated_at"] = "2026-11-20T09:16:40Z"
    sandbox.store.version += 1
    sandbox.advance(1800)

    again = await engine.read(described, page_size=7, now=LATER)

    assert sorted(again.keys) == sorted(first.keys)


async def test_tickets_of_a_deleted_organization_come_without_it(
    engine: Engine, sandbox: Any
) -> None:
    catalog = await engine.discover()
    first = await engine.read(catalog.by_name["tickets"])
    organization = first.records[0]["organization_id"]
    held = {row["id"] for row in first.records if row["organization_id"] == organization}
    sandbox.delete("organizations", organization)
    sandbox.advance(120)
    second = await engine.read(catalog.by_name["tickets"], since=first.checkpoint)
    assert set(second.keys) == held
    assert {row["organization_id"] for row in second.records} == {None}


def test_time_based_start_is_never_too_recent(connector: Connector) -> None:
    described = ObjectInfo(
        name="organizations",
        key="id",
        fields=(FieldInfo(name="id", type="id"),),
        extra={"read": "time", "path": "/p", "rows": "organizations"},
    )
    query = ReadQuery(described, ("id",), str(int(NOW.timestamp()) + 50), None, 1000, NOW)
    asked = connector.build_read(query)
    assert int(asked.params["start_time"]) <= NOW.timestamp() - 300


def test_a_wire_key_that_is_no_graphql_name_keeps_its_value(connector: Connector) -> None:
    discovery = load_module("zendesk", "discovery")
    rows = [
        {"id": 1, "type": "text", "key": "cost-centre", "title": "Cost centre"},
        {"id": 2, "type": "text", "key": "cost_centre", "title": "Other"},
    ]
    found = discovery.catalog_objects(
        ticket_fields=[],
        user_fields=rows,
        organization_fields=[],
        custom_roles=[],
        brand_agents=None,
        custom_objects=[],
        custom_object_fields={},
    )
    users = next(one for one in found if one.name == "users")
    assert {"user_fields_cost_centre", "user_fields_cost_centre_2"} <= set(users.by_name)
    body = b'{"users":[{"id":1,"user_fields":{"cost-centre":"a","cost_centre":"b"}}]}'
    query = ReadQuery(users, ("id",), None, None, 10, NOW)
    (record,) = connector.parse_page(query, Response(200, {}, body)).records
    assert record["user_fields_cost_centre"] == "a"
    assert record["user_fields_cost_centre_2"] == "b"


@pytest.mark.parametrize("tenant", ["acme"], indirect=True)
async def test_discovery_of_a_plan_without_roles_and_custom_objects_goes_on(
    engine: Engine, sandbox: Any
) -> None:
    sandbox.faults += [fault("custom_roles", 403), fault("custom_objects", 404)]
    catalog = await engine.discover()
    assert "custom_roles" not in catalog.by_name
    assert "brand_agents" not in catalog.by_name
    # Without roles each agent's own restriction counts, which may be to organizations.
    assert "organization_memberships" in catalog.by_name


@pytest.mark.parametrize("tenant", ["acme"], indirect=True)
async def test_discovery_that_is_refused_says_which_call_was(engine: Engine, sandbox: Any) -> None:
    sandbox.faults.append(fault("organization_fields", 403))
    with pytest.raises(ProviderRefusal, match="organization_fields answered 403"):
        await engine.discover()
