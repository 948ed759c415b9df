"""Compounds as discovery describes them are those whose values the org itself gives."""

from __future__ import annotations

from typing import Any

from tests.connectors.salesforce.conftest import World

API = "/services/data/v66.0"


async def records_of(world: World, name: str) -> list[dict[str, Any]]:
    """Return whole records from the REST API, compounds included."""
    listed = await world.query(f"SELECT Id FROM {name} ORDER BY Id LIMIT 12")
    headers = world.as_(world.sandbox.integration_email)
    return [
        (await world.http.get(f"{API}/sobjects/{name}/{row['Id']}", headers=headers)).json()
        for row in listed["records"]
    ]


async def test_every_address_and_geolocation_has_the_parts_that_the_org_gives_it(
    world: World,
) -> None:
    catalog = await world.driver.discover()
    checked: set[str] = set()
    for found in catalog.objects:
        compounds = [each for each in found.compounds if each.source_type != "string"]
        for record in await records_of(world, found.name) if compounds else ():
            for compound in compounds:
                value = record[compound.name]
                parts = {part: record[field] for part, field in compound.parts.items()}
                if value is None:
                    assert set(parts.values()) == {None}
                else:
                    assert parts == {part: value[part] for part in parts}
                    # What is no part of it is never filled: nothing of the value is lost.
                    assert {v for part, v in value.items() if part not in parts} <= {None}
                    checked.add(f"{found.name}.{compound.name}")
    assert "Account.BillingAddress" in checked
    is_globex = "Install_Site__c" in catalog.by_name
    assert ("Account.Headquarters__c" in checked) == is_globex


async def test_name_of_a_person_is_a_compound_beside_the_text(acme: World) -> None:
    catalog = await acme.driver.discover()
    (name,) = (each for each in catalog.by_name["Contact"].compounds if each.name == "Name")
    assert dict(name.parts) == {"lastName": "LastName", "firstName": "FirstName"}
    assert catalog.by_name["Contact"].by_name["Name"].type == "string"
    assert catalog.by_name["Opportunity"].compounds == ()


async def test_parts_of_a_compound_stay_fields_and_the_compound_is_none(world: World) -> None:
    for found in (await world.driver.discover()).objects:
        for compound in found.compounds:
            assert set(compound.parts.values()) <= found.by_name.keys()
            if compound.source_type != "string":
                assert compound.name not in found.by_name
