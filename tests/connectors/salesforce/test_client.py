"""An independent client, simple-salesforce, meets the sandbox over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import requests
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import (
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceResourceNotFound,
)
from tests.connectors.salesforce.conftest import World
from tests.connectors.salesforce.driver import NOW


class PlainSession(requests.Session):
    """The client knows https only; the sandbox speaks http on loopback."""

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        return super().request(method, str(url).replace("https://", "http://", 1), *args, **kwargs)


async def ask(world: World, question: Callable[[Salesforce], Any], token: str = "") -> Any:
    def work() -> Any:
        with PlainSession() as session:
            client = Salesforce(
                instance_url=world.url,
                session_id=token or world.driver.token,
                session=session,
                version="66.0",
            )
            return question(client)

    return await asyncio.to_thread(work)


async def test_the_client_lists_and_describes(acme: World) -> None:
    listing = await ask(acme, lambda client: client.describe())
    describe = await ask(acme, lambda client: client.Account.describe())

    assert "Deal_Activity__c" in {found["name"] for found in listing["sobjects"]}
    fields = {field["name"]: field for field in describe["fields"]}
    assert fields["Customer_Tier__c"]["custom"]
    assert fields["OwnerId"]["relationshipName"] == "Owner"
    children = {child["relationshipName"] for child in describe["childRelationships"]}
    assert {"Contacts", "Opportunities"} <= children


async def test_the_client_pages_through_everything_once(acme: World) -> None:
    owner = acme.sandbox.org.user_ids[acme.sandbox.integration_email]
    for number in range(2100):
        acme.sandbox.org.put("Account", Name=f"Bulk {number}", OwnerId=owner)
    acme.sandbox.org.version += 1
    answer = await ask(acme, lambda client: client.query_all("SELECT Id, Owner.Name FROM Account"))

    ids = [record["Id"] for record in answer["records"]]
    assert answer["totalSize"] == len(ids) == len(set(ids)) == acme.sandbox.counts()["Account"]
    assert answer["records"][-1]["Owner"]["Name"] == "Firnline Integration"


async def test_the_client_reads_one_record_and_the_usage(acme: World) -> None:
    key = next(iter(acme.sandbox.org.rows["Account"]))

    def question(client: Salesforce) -> Any:
        client.limits()
        return client.Account.get(key), client.Account.get(key[:15]), client.api_usage

    whole, short, usage = await ask(acme, question)

    assert whole == short
    assert whole["BillingAddress"]["city"] == whole["BillingCity"]
    assert usage["api-usage"].used > 0


async def test_the_client_lists_changes(acme: World) -> None:
    key, gone = list(acme.sandbox.org.rows["Account"])[:2]
    start, end = NOW - timedelta(minutes=1), NOW + timedelta(minutes=5)
    acme.sandbox.change("Account", key, Phone="1")
    acme.sandbox.delete("Account", gone)

    updated = await ask(acme, lambda client: client.Account.updated(start, end))
    deleted = await ask(acme, lambda client: client.Account.deleted(start, end))

    assert key in updated["ids"]
    assert gone not in updated["ids"]
    assert [record["id"] for record in deleted["deletedRecords"]] == [gone]


async def test_the_client_understands_refusals(acme: World) -> None:
    key = next(iter(acme.sandbox.org.rows["Account"]))
    acme.sandbox.delete("Account", key)

    with pytest.raises(SalesforceMalformedRequest, match="INVALID_FIELD"):
        await ask(acme, lambda client: client.query("SELECT Nope FROM Account"))
    with pytest.raises(SalesforceResourceNotFound, match="ENTITY_IS_DELETED"):
        await ask(acme, lambda client: client.Account.get(key))
    with pytest.raises(SalesforceResourceNotFound, match="NOT_FOUND"):
        await ask(acme, lambda client: client.Nothing__c.describe())
    with pytest.raises(SalesforceExpiredSession, match="INVALID_SESSION_ID"):
        await ask(acme, lambda client: client.query("SELECT Id FROM User"), token="dead")


async def test_a_person_sees_their_own_org_only_through_the_client(acme: World) -> None:
    token = acme.sandbox.token_for("lee.park@acme.example")
    names = await ask(
        acme, lambda client: {found["name"] for found in client.describe()["sobjects"]}, token
    )
    describe = await ask(acme, lambda client: client.Opportunity.describe(), token)

    assert "Deal_Activity__c" not in names
    assert "PermissionSet" not in names
    assert "Amount" not in {field["name"] for field in describe["fields"]}
