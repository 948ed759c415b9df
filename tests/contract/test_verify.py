"""Verifying: asked about single records, the provider says what it shows that person itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
import pytest_asyncio
from tests.contract.engine import Account, Cached, Row, keys, read_everything

from firnline.access.model import Person
from firnline.catalog.model import Catalog, ObjectInfo
from firnline.connectors.manifest import Verification
from firnline.connectors.protocol import Grounds, VerifyQuery

pytestmark = pytest.mark.asyncio(loop_scope="module")

Tables = Mapping[str, Mapping[str, Row]]
UNKNOWN_KEYS = ("0", "999999999", "", "x' OR '1'='1", "a,b", "1) OR (1=1", "001000000000000AAA")
PEOPLE_MAX = 6


@pytest.fixture(scope="module")
def verify(account: Account) -> Verification:
    stated = account.connector.manifest.verify
    if stated is None:
        pytest.skip("this connector states that it cannot verify")
    return stated


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tables(account: Account, catalog: Catalog) -> Tables:
    return await read_everything(account, catalog)


def verifiable(account: Account, catalog: Catalog) -> list[ObjectInfo]:
    can_verify = account.connector.manifest.can_verify
    return [each for each in catalog.objects if each.exposed and can_verify(each.name)]


async def seen(
    account: Account, described: ObjectInfo, asked: Sequence[str], user_key: str, email: str
) -> set[str]:
    """Ask about records in batches, with the person's token, or the organisation's for ""."""
    batch_max = account.connector.manifest.verify.batch_max  # type: ignore[union-attr]
    token = account.sandbox.token_for(email) if email else None
    found: set[str] = set()
    for start in range(0, len(asked), batch_max):
        some = tuple(asked[start : start + batch_max])
        query = VerifyQuery(described, some, user_key, is_own=bool(email))
        response = await account.send(account.connector.build_verify(query), token=token)
        if account.connector.refused(response):
            assert account.connector.classify(response).grounds is Grounds.FORBIDDEN, (
                response.text()
            )
            return set()
        visible = account.connector.parse_verify(query, response)
        assert visible <= set(some)
        found |= visible
    return found


@pytest.mark.parametrize("by", ["person", "organisation"])
async def test_verdicts_are_what_the_provider_shows_each_person(
    account: Account, catalog: Catalog, tables: Tables, verify: Verification, by: str
) -> None:
    if by not in verify.by:
        pytest.skip("this provider tells nobody what another user sees")
    differing: list[str] = []
    objects = verifiable(account, catalog)
    assert objects
    for email in list(account.sandbox.emails())[:PEOPLE_MAX]:
        shown = await account.sandbox.read_as(account.http, email)
        rights = account.connector.access(Cached(tables), catalog, Person(email))
        for described in objects:
            every = [*tables[described.name], *UNKNOWN_KEYS]
            whose = email if by == "person" else ""
            found = await seen(account, described, every, rights.user_key or "", whose)
            expected = set(shown.get(described.name) or ()) & set(tables[described.name])
            if found != expected:
                differing.append(f"{email} {described.name}: {len(found ^ expected)}")
    assert not differing


async def test_request_asks_once_and_may_be_repeated(
    account: Account, catalog: Catalog, tables: Tables, verify: Verification
) -> None:
    """What it asks depends on the query alone, and names every record that could be one."""
    for described in verifiable(account, catalog):
        some = tuple(list(tables[described.name])[: verify.batch_max])
        query = VerifyQuery(described, some, "0055g00000000001AA", is_own=True)
        request = account.connector.build_verify(query)
        assert request.repeatable
        assert request == account.connector.build_verify(replace(query))
        asked = str((request.path, request.params, request.json, request.form))
        assert all(key in asked for key in some)


async def test_record_that_is_gone_is_not_seen(
    account: Account, catalog: Catalog, tables: Tables, verify: Verification
) -> None:
    """Not even by who sees everything."""
    email = account.sandbox.integration_email
    rights = account.connector.access(Cached(tables), catalog, Person(email))
    for described in verifiable(account, catalog):
        reading = await account.read(described)
        gone = set(reading.deleted) - set(keys(reading.records, described))
        assert not await seen(account, described, sorted(gone), rights.user_key or "", email)


@pytest.mark.parametrize("by", ["person", "organisation"])
async def test_fields_kept_back_are_those_that_the_provider_does_not_show_the_person(
    account: Account, catalog: Catalog, tables: Tables, verify: Verification, by: str
) -> None:
    if by not in verify.by or not verify.asks_fields:
        pytest.skip("this provider is not asked about fields in this way")
    differing: list[str] = []
    compared = 0
    for email in list(account.sandbox.emails())[:PEOPLE_MAX]:
        shown = await account.sandbox.read_as(account.http, email)
        rights = account.connector.access(Cached(tables), catalog, Person(email))
        for described in verifiable(account, catalog):
            rows = shown.get(described.name)
            if not rows:
                continue
            whose = email if by == "person" else ""
            hidden = await _kept_back(account, described, rights.user_key or "", whose)
            some = next(iter(rows.values()))
            expected = {name for name in described.by_name if name not in some} - {described.key}
            compared += 1
            if hidden != expected:
                differing.append(f"{email} {described.name}: {sorted(hidden ^ expected)[:5]}")
    assert not differing
    assert compared


async def _kept_back(
    account: Account, described: ObjectInfo, user_key: str, email: str
) -> frozenset[str]:
    token = account.sandbox.token_for(email) if email else None
    steps = account.connector.verify_fields(
        VerifyQuery(described, (), user_key, is_own=bool(email))
    )
    try:
        asked = next(steps)
        while True:
            asked = steps.send([await account.send(each, token=token) for each in asked])
    except StopIteration as ended:
        return frozenset(ended.value)
