"""Access: the mirrored permissions say of every person and object what the provider would say."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import pytest_asyncio
from tests.connectors.row_rules import visible_keys
from tests.contract.engine import Account, Cached, Row, read_everything, typed

from firnline.access.model import Person, SourceAccess
from firnline.catalog.model import Catalog, ObjectInfo

pytestmark = pytest.mark.asyncio(loop_scope="module")

Tables = Mapping[str, Mapping[str, Row]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tables(account: Account, catalog: Catalog) -> Tables:
    return await read_everything(account, catalog)


@pytest.fixture(autouse=True)
def only_where_permissions_are_mirrored(account: Account) -> None:
    if not account.connector.manifest.capabilities.permissions:
        pytest.skip("this connector states that it does not mirror permissions")


# What the model says where the connector says nothing.
UNSTATED = SourceAccess("somebody").object("anything").reason


def exposed(catalog: Catalog) -> list[ObjectInfo]:
    return [described for described in catalog.objects if described.exposed]


def access(account: Account, catalog: Catalog, tables: Tables, email: str) -> SourceAccess:
    return account.connector.access(Cached(tables), catalog, Person(email))


async def test_unknown_person_has_no_rights(
    account: Account, catalog: Catalog, tables: Tables
) -> None:
    for email in ("stranger@nowhere.example", "", "%", "'", "*"):
        stranger = access(account, catalog, tables, email)
        assert stranger.user_key is None, email
        assert stranger.reason
        assert not any(stranger.object(found.name).readable for found in catalog.objects)


async def test_without_permission_records_nobody_has_rights(
    account: Account, catalog: Catalog
) -> None:
    for person in account.world.people:
        nobody = access(account, catalog, {}, person.email)
        assert nobody.user_key is None
        assert not any(nobody.object(found.name).readable for found in catalog.objects)


async def test_inactive_person_has_no_rights(
    account: Account, catalog: Catalog, tables: Tables
) -> None:
    inactive = [person for person in account.world.people if not person.active]
    assert inactive
    for person in inactive:
        assert access(account, catalog, tables, person.email).user_key is None, person.email


async def test_who_can_sign_in_is_known_by_email_in_any_case(
    account: Account, catalog: Catalog, tables: Tables
) -> None:
    known = 0
    for email in account.sandbox.emails():
        found = access(account, catalog, tables, email)
        assert access(account, catalog, tables, email.upper()) == found
        known += found.user_key is not None
    assert known


async def test_every_exposed_object_has_a_stated_access_for_everyone(
    account: Account, catalog: Catalog, tables: Tables
) -> None:
    for person in account.world.people:
        found = access(account, catalog, tables, person.email)
        if found.user_key is None:
            assert found.reason, person.email
            continue
        for described in exposed(catalog):
            place = f"{person.email}: {described.name}"
            stated = found.object(described.name)
            if not stated.readable:
                assert stated.reason != UNSTATED, place
                continue
            assert all(stated.hidden.values()), described.name
            assert described.key not in stated.hidden


async def test_access_is_pure(account: Account, catalog: Catalog, tables: Tables) -> None:
    for person in account.world.people:
        first = access(account, catalog, tables, person.email)
        assert access(account, catalog, tables, person.email) == first


async def test_rights_are_what_the_provider_shows_each_person(
    account: Account, catalog: Catalog, tables: Tables
) -> None:
    """The oracle: records and readable fields by our rules equal the person's own API calls."""
    differing: list[str] = []
    for email in account.sandbox.emails():
        shown = await account.sandbox.read_as(account.http, email)
        found = access(account, catalog, tables, email)
        for described in exposed(catalog):
            expected = _shown(shown.get(described.name), described)
            ours = _permitted(found, described, tables, catalog)
            if ours != expected:
                differing.append(f"{email} {described.name}: {_difference(ours, expected)}")
    assert not differing


def _shown(records: Mapping[str, Row] | None, described: ObjectInfo) -> dict[str, Row]:
    """Return a person's records as the provider showed them, typed, without empty fields."""
    if not records:
        return {}
    rows = [{**record, described.key: key} for key, record in records.items()]
    return {key: _filled(row) for key, row in typed(rows, described).items()}


def _filled(row: Row) -> Row:
    """Leave out nulls: vendors differ in whether an empty field is shown at all."""
    return {name: value for name, value in row.items() if value is not None}


def _permitted(
    found: SourceAccess, described: ObjectInfo, tables: Tables, catalog: Catalog
) -> dict[str, Row]:
    stated = found.object(described.name)
    if found.user_key is None or not stated.readable:
        return {}
    visible = visible_keys(stated.rows, described.name, tables, catalog)
    return {
        key: _filled({name: value for name, value in row.items() if name not in stated.hidden})
        for key, row in tables[described.name].items()
        if key in visible
    }


def _difference(ours: Mapping[str, Row], expected: Mapping[str, Row]) -> str:
    if set(ours) != set(expected):
        extra, lacking = set(ours) - set(expected), set(expected) - set(ours)
        return f"{len(extra)} records too many {sorted(extra)[:2]}, {len(lacking)} lacking"
    key = next(key for key in ours if ours[key] != expected[key])
    left, right = ours[key], expected[key]
    lacking = object()
    fields = sorted(
        name for name in {*left, *right} if left.get(name, lacking) != right.get(name, lacking)
    )
    return f"record {key} differs in {fields[:5]}"


async def test_rights_differ_between_people(
    account: Account, catalog: Catalog, tables: Tables
) -> None:
    """Otherwise the oracle would prove nothing."""
    sights = {
        repr(sorted((name, sorted(row)) for name, row in _sight(account, catalog, tables, email)))
        for email in account.sandbox.emails()
    }
    assert len(sights) > 2


def _sight(
    account: Account, catalog: Catalog, tables: Tables, email: str
) -> list[tuple[str, set[str]]]:
    found = access(account, catalog, tables, email)
    return [
        (described.name, set(_permitted(found, described, tables, catalog)))
        for described in exposed(catalog)
    ]


async def test_person_loses_rights_with_the_permission_records(
    account: Account, catalog: Catalog, tables: Tables
) -> None:
    """Taking any table of permission records away never widens what someone sees."""
    hidden_tables = [found.name for found in catalog.objects if not found.exposed]
    for email in list(account.sandbox.emails())[:6]:
        whole = dict(_sight(account, catalog, tables, email))
        for name in hidden_tables:
            fewer = {key: value for key, value in tables.items() if key != name}
            for described, keys in _sight(account, catalog, fewer, email):
                assert keys <= whole[described], f"{email}: {described} without {name}"
