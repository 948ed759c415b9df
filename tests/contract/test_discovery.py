"""Discovery: a catalog that the cache, sync, access and the graph can rely on."""

from __future__ import annotations

import re

import pytest
from tests.contract.engine import Account

from firnline.catalog.model import Catalog, ObjectInfo
from firnline.connectors.protocol import ProviderRefusal
from firnline.sandbox.faults import Fault

pytestmark = pytest.mark.asyncio(loop_scope="module")

LEGAL_NAME = re.compile(r"(?!__)[_A-Za-z][_0-9A-Za-z]*")


def repeated(names: list[str]) -> set[str]:
    return {name for name in names if names.count(name) > 1}


def relations(catalog: Catalog, described: ObjectInfo) -> list[str]:
    """Return the names of all ways from an object to others."""
    ways = [field.reference.relation for field in described.fields if field.reference]
    for other in catalog.objects:
        for field in other.fields:
            reference = field.reference
            if reference and reference.inverse and described.name in reference.targets:
                ways.append(reference.inverse)
    return ways


async def test_catalog_has_exposed_objects_of_this_provider(
    account: Account, catalog: Catalog
) -> None:
    assert catalog.provider == account.connector.provider
    assert any(described.exposed for described in catalog.objects)
    if account.connector.manifest.capabilities.incremental:
        assert any(described.exposed and described.cursor for described in catalog.objects)
    if account.connector.manifest.capabilities.deletes:
        assert any(
            described.exposed and described.supports.deletes for described in catalog.objects
        )


async def test_names_are_legal_in_graphql_and_distinct(catalog: Catalog) -> None:
    assert not repeated([described.name for described in catalog.objects])
    for described in catalog.objects:
        names = [field.name for field in described.fields]
        assert not repeated(names), described.name
        for name in (described.name, *names):
            assert LEGAL_NAME.fullmatch(name), f"{described.name}.{name}"


async def test_names_differ_by_more_than_case(catalog: Catalog) -> None:
    """Column names of the cache do not tell case apart."""
    for described in catalog.objects:
        assert not repeated([field.name.lower() for field in described.fields]), described.name
    assert not repeated([described.name.lower() for described in catalog.objects])


async def test_keys_and_cursors_are_fields(catalog: Catalog) -> None:
    for described in catalog.objects:
        key_types = {"id"} if described.exposed else {"id", "string"}
        assert described.by_name[described.key].type in key_types, described.name
        if described.cursor:
            assert described.cursor in described.by_name, described.name


async def test_references_lead_to_objects_of_the_catalog(catalog: Catalog) -> None:
    for described in catalog.objects:
        for field in described.fields:
            if field.reference:
                place = f"{described.name}.{field.name}"
                assert field.type == "id", place
                assert field.reference.targets, place
                assert set(field.reference.targets) <= set(catalog.by_name), place


async def test_relations_have_names_of_their_own(catalog: Catalog) -> None:
    for described in catalog.objects:
        ways = relations(catalog, described)
        assert all(LEGAL_NAME.fullmatch(way) for way in ways), described.name
        assert not repeated(ways), described.name
        assert not set(ways) & set(described.by_name), described.name


async def test_discovery_gives_the_same_catalog_twice(account: Account, catalog: Catalog) -> None:
    assert (await account.discover()).fingerprint == catalog.fingerprint


async def test_catalog_survives_being_stored(catalog: Catalog) -> None:
    assert Catalog.model_validate_json(catalog.model_dump_json()) == catalog


async def test_identity_names_the_account_and_the_user(account: Account) -> None:
    identity = await account.converse(account.connector.identify(account.settings))
    assert all((identity.account, identity.account_name, identity.user_name))
    # An assertion's token belongs to a mapping, and not every provider tells whose that is.
    if account.connector.manifest.flows[0] == "authorization_code":
        assert identity.user_key
    assert account.sandbox.token_for(account.sandbox.integration_email) not in repr(identity)


async def test_refusal_during_discovery_is_raised_not_swallowed(account: Account) -> None:
    account.server.disturb(Fault("status", times=None, status=503, body="down"))
    try:
        with pytest.raises(ProviderRefusal):
            await account.discover()
    finally:
        account.server.line.clear()
