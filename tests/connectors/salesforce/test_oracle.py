"""The promise of the mirror: what access() says equals what the org shows to that person."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

import pytest
from tests.connectors.row_rules import visible_keys
from tests.connectors.salesforce.conftest import World
from tests.connectors.salesforce.driver import Rows

from firnline.access.model import Person, SourceAccess
from firnline.catalog.model import Catalog


async def mirrored(world: World, email: str) -> SourceAccess:
    catalog = await world.driver.discover()
    tables = await world.driver.tables(catalog)
    return world.driver.connector.access(Rows(tables), catalog, Person(email))


def expected(
    access: SourceAccess, catalog: Catalog, tables: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Return what the rules show of the admin's records."""
    shown = {}
    for found in catalog.objects:
        allowed = access.object(found.name)
        if not found.exposed or not allowed.readable:
            continue
        fields = [field.name for field in found.fields if field.name not in allowed.hidden]
        keys = visible_keys(allowed.rows, found.name, tables, catalog)
        rows = tables[found.name]
        shown[found.name] = {key: {name: rows[key][name] for name in fields} for key in keys}
    return shown


async def assert_mirror_equals_org(world: World) -> dict[str, dict[str, int]]:
    catalog = await world.driver.discover()
    tables = await world.driver.tables(catalog)
    rows = Rows(tables)
    sizes = {}
    for email in world.sandbox.emails():
        access = world.driver.connector.access(rows, catalog, Person(email.upper()))
        shown = expected(access, catalog, tables)
        truth = await world.sandbox.read_as(world.http, email)
        assert shown.keys() == truth.keys(), email
        for name in truth:
            assert shown[name].keys() == truth[name].keys(), (email, name)
            assert shown[name] == truth[name], (email, name)
        sizes[email] = {name: len(found) for name, found in truth.items()}
    return sizes


async def test_mirror_equals_what_the_org_shows_to_everyone(world: World) -> None:
    sizes = await assert_mirror_equals_org(world)

    deals = [found.get("Opportunity", 0) for found in sizes.values()]
    assert len(set(deals)) > 3, "people see different deals, or this proves nothing"


@pytest.mark.parametrize("seed", range(12))
async def test_mirror_equals_the_org_after_random_changes_of_its_setup(
    world: World, seed: int
) -> None:
    """Scramble roles, groups, shares, owners and permissions; the two computations still agree."""
    rng = Random(seed)
    org = world.sandbox.org
    scramble_roles(org, rng)
    scramble_groups(org, rng)
    scramble_shares(org, rng)
    scramble_permissions(org, rng)
    scramble_records(world, rng)
    org.version += 1

    await assert_mirror_equals_org(world)


def scramble_roles(org: Any, rng: Random) -> None:
    roles = list(org.rows["UserRole"].values())
    rng.shuffle(roles)
    for place, role in enumerate(roles):
        role["ParentRoleId"] = rng.choice([None, *(each["Id"] for each in roles[:place])])
        role["OpportunityAccessForAccountOwner"] = rng.choice(["None", "Read", "Edit"])
    for user in org.rows["User"].values():
        user["UserRoleId"] = rng.choice([None, *(role["Id"] for role in roles)])


def scramble_groups(org: Any, rng: Random) -> None:
    groups = list(org.rows["Group"])
    users = list(org.rows["User"])
    for group in org.rows["Group"].values():
        group["DoesIncludeBosses"] = rng.random() < 0.6
    for _ in range(8):
        org.put("GroupMember", GroupId=rng.choice(groups), UserOrGroupId=rng.choice(users + groups))


def scramble_shares(org: Any, rng: Random) -> None:
    grantees = [*org.rows["Group"], *org.rows["User"]]
    for name in ("Account", "Opportunity", "Deal_Activity__c"):
        keys = list(org.rows.get(name, ()))
        for key in rng.sample(keys, min(len(keys), 25)):
            level = rng.choice(["Read", "Edit", "None"])
            implied = {"OpportunityAccessLevel": rng.choice(["None", "Read"])}
            extra = implied if name == "Account" else {}
            org.share(name, key, rng.choice(grantees), "Manual", level, **extra)


def scramble_permissions(org: Any, rng: Random) -> None:
    for name, share in (("ObjectPermissions", 0.1), ("FieldPermissions", 0.15)):
        for key in list(org.rows[name]):
            if rng.random() < share:
                del org.rows[name][key]
    for row in org.rows["ObjectPermissions"].values():
        row["PermissionsViewAllRecords"] = rng.random() < 0.1
        row["PermissionsModifyAllRecords"] = rng.random() < 0.05
        row["PermissionsViewAllFields"] = rng.random() < 0.1
    for row in org.rows["PermissionSet"].values():
        if not row["PermissionsViewSetup"]:
            row["PermissionsActivitiesAccess"] = rng.random() < 0.7
    admin = next(row for row in org.rows["PermissionSet"].values() if row["PermissionsViewSetup"])
    for name in org.objects:
        org.put("ObjectPermissions", ParentId=admin["Id"], SobjectType=name, PermissionsRead=True)
        for field in org.objects[name].fields:
            org.put(
                "FieldPermissions",
                ParentId=admin["Id"],
                SobjectType=name,
                Field=f"{name}.{field.name}",
                PermissionsRead=True,
            )
    admins = {
        user["Id"]
        for user in org.rows["User"].values()
        if user["UserType"] and "integration" in user["Email"]
    }
    for row in org.rows["PermissionSetAssignment"].values():
        if row["AssigneeId"] not in admins:
            row["IsActive"] = rng.random() < 0.9


def scramble_records(world: World, rng: Random) -> None:
    org = world.sandbox.org
    users = list(org.rows["User"])

    def some(rows: Mapping[str, Any], count: int) -> list[str]:
        return rng.sample(list(rows), min(count, len(rows)))

    for name in ("Account", "Opportunity", "Contact", "Event"):
        for key in some(org.rows[name], 15):
            if not org.rows[name][key]["IsDeleted"]:
                world.sandbox.change(name, key, OwnerId=rng.choice(users))
    for key in some(org.rows["Contact"], 10):
        world.sandbox.change("Contact", key, AccountId=None)
    for key in some(org.rows["Opportunity"], 10):
        world.sandbox.change("Opportunity", key, AccountId=None)
    for key in some(org.rows["Opportunity"], 5):
        world.sandbox.delete("Opportunity", key)
    for key in some(org.rows["Account"], 2):
        world.sandbox.delete("Account", key)


async def test_a_contractor_does_not_see_money(acme: World) -> None:
    access = await mirrored(acme, "lee.park@acme.example")

    hidden = access.object("Opportunity").hidden
    assert hidden["Amount"] == (
        "profile 'Contract Sales' has no field-level read access to Opportunity.Amount"
    )
    assert "AnnualRevenue" in access.object("Account").hidden
    assert access.object("Account").hidden["BillingCity"].endswith("Account.BillingAddress")
    denied = access.object("Deal_Activity__c")
    assert not denied.readable
    assert denied.reason == "profile 'Contract Sales' has no read permission on Deal_Activity__c"


async def test_somebody_without_an_active_user_has_no_rights(acme: World) -> None:
    inactive = next(row for row in acme.sandbox.org.rows["User"].values() if not row["IsActive"])

    for email, words in (
        (inactive["Email"], "not active"),
        ("nobody@acme.example", "no Salesforce"),
    ):
        access = await mirrored(acme, email)
        assert access.user_key is None
        assert words in access.reason
        assert not access.object("Account").readable


async def test_an_email_of_two_active_users_has_no_rights(acme: World) -> None:
    users = acme.sandbox.org.rows["User"]
    first, second = (row for row in list(users.values())[1:3])
    acme.sandbox.change("User", second["Id"], Email=first["Email"])

    access = await mirrored(acme, first["Email"])

    assert access.user_key is None
    assert "2 active" in access.reason


async def test_nothing_is_readable_when_permission_records_were_never_synced(acme: World) -> None:
    catalog = await acme.driver.discover()
    users = {"User": (await acme.driver.tables(catalog))["User"]}
    email = acme.sandbox.integration_email

    access = acme.driver.connector.access(Rows(users), catalog, Person(email))

    assert access.user_key is not None
    assert not any(access.object(found.name).readable for found in catalog.objects)


async def test_an_unknown_sharing_model_is_denied_with_its_name(acme: World) -> None:
    for row in acme.sandbox.org.rows["EntityDefinition"].values():
        if row["QualifiedApiName"] == "Account":
            row["InternalSharingModel"] = "ControlledByCampaign"

    access = await mirrored(acme, acme.sandbox.emails()[3])

    assert not access.object("Account").readable
    assert "ControlledByCampaign" in access.object("Account").reason
    # Whoever cannot read the parent cannot read what follows it.
    assert "Event" in access.objects
