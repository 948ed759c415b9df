"""Unions and compounds of the CRM are what the org itself gives the asking person, over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx2
import pytest
from tests.end_to_end.conftest import TENANTS, Synced

from firnline.access.principal import Principal
from firnline.sandbox.seed import DEMO_PEOPLE

API = "/services/data/v66.0"
PEOPLE = [(tenant, email) for tenant in TENANTS for email in DEMO_PEOPLE[tenant].values()]


class Org:
    """The org's own REST API, as one person."""

    def __init__(self, synced: Synced, tenant: str, email: str, http: httpx2.AsyncClient) -> None:
        self._sandbox: Any = synced.fleet.server("salesforce", tenant).sandbox
        self._http = http
        self._headers = {"Authorization": f"Bearer {self._sandbox.token_for(email)}"}

    async def query(self, soql: str) -> list[Mapping[str, Any]]:
        answer = await self._http.get(f"{API}/query", params={"q": soql}, headers=self._headers)
        assert answer.status_code == 200, answer.text
        assert answer.json()["done"]
        return answer.json()["records"]

    async def record(self, name: str, key: str) -> Mapping[str, Any] | None:
        answer = await self._http.get(f"{API}/sobjects/{name}/{key}", headers=self._headers)
        return answer.json() if answer.status_code == 200 else None


async def answered(synced: Synced, tenant: str, email: str, text: str) -> Any:
    answer = await synced.app.ask(Principal(tenant=tenant, email=email), text)
    assert not answer.errors, answer.errors
    assert answer.data
    return answer.data["salesforce"]


@pytest.mark.parametrize(("tenant", "email"), PEOPLE)
@pytest.mark.asyncio(loop_scope="session")
async def test_event_leads_to_the_record_that_the_org_shows(
    synced: Synced, tenant: str, email: str
) -> None:
    graph = await synced.app.graphs.graph(tenant)
    fork = graph.objects["Salesforce_Event"].forks["What"]
    assert len(fork.ways) == 3  # accounts, opportunities and the tenant's own object
    names = {way.target: graph.objects[way.target].source.name for way in fork.ways}
    own = " ".join(f"... on {target} {{ Id Name }}" for target in names)
    text = f"""{{ salesforce {{ Event(first: 30, orderBy: [{{Id: ASC}}]) {{ nodes {{
        Id WhatId What {{ __typename {own} }} }} }} }} }}"""

    nodes = (await answered(synced, tenant, email, text))["Event"]["nodes"]

    if email not in synced.fleet.server("salesforce", tenant).sandbox.emails():
        assert nodes == []
        return
    assert nodes or email != DEMO_PEOPLE[tenant]["manager"]
    server = synced.fleet.server("salesforce", tenant)
    async with httpx2.AsyncClient(base_url=server.url, timeout=60) as http:
        org = Org(synced, tenant, email, http)
        theirs = await org.query("SELECT Id, WhatId FROM Event ORDER BY Id LIMIT 30")
        assert [node["Id"] for node in nodes] == [each["Id"] for each in theirs]
        for node, event in zip(nodes, theirs, strict=True):
            key = event["WhatId"]
            assert node["WhatId"] == key
            found = None
            for target, name in names.items():
                record = await org.record(name, key) if key and not found else None
                if record is not None:
                    found = {"__typename": target, "Id": key, "Name": record["Name"]}
            assert node["What"] == found


@pytest.mark.parametrize("tenant", TENANTS)
@pytest.mark.asyncio(loop_scope="session")
async def test_events_lead_to_every_type_and_can_be_asked_for_by_it(
    synced: Synced, tenant: str
) -> None:
    email = DEMO_PEOPLE[tenant]["manager"]
    text = "{ salesforce { Event(first: 200) { nodes { Id What { __typename } } } } }"
    events = (await answered(synced, tenant, email, text))["Event"]["nodes"]
    types = {event["What"]["__typename"] for event in events if event["What"]}
    assert {"Salesforce_Account", "Salesforce_Opportunity"} & types
    for type_ in types:
        text = f"""{{ salesforce {{ Event(first: 200, where: {{What: {{{type_}: {{}}}}}}) {{
            nodes {{ Id }} }} }} }}"""
        found = (await answered(synced, tenant, email, text))["Event"]["nodes"]
        assert {event["Id"] for event in found} >= {
            event["Id"] for event in events if (event["What"] or {}).get("__typename") == type_
        }


@pytest.mark.parametrize(("tenant", "email"), PEOPLE)
@pytest.mark.asyncio(loop_scope="session")
async def test_address_of_an_account_is_the_one_that_the_org_shows(
    synced: Synced, tenant: str, email: str
) -> None:
    graph = await synced.app.graphs.graph(tenant)
    compounds = graph.objects["Salesforce_Account"].compounds
    assert "BillingAddress" in compounds
    asked = " ".join(f"{name} {{ {' '.join(each.parts)} }}" for name, each in compounds.items())
    text = f"{{ salesforce {{ Account(first: 25) {{ nodes {{ Id {asked} }} }} }} }}"

    nodes = (await answered(synced, tenant, email, text))["Account"]["nodes"]

    if email not in synced.fleet.server("salesforce", tenant).sandbox.emails():
        assert nodes == []
        return
    assert nodes or email != DEMO_PEOPLE[tenant]["manager"]
    server = synced.fleet.server("salesforce", tenant)
    async with httpx2.AsyncClient(base_url=server.url, timeout=60) as http:
        org = Org(synced, tenant, email, http)
        for node in nodes:
            record = await org.record("Account", node["Id"])
            assert record is not None
            assert node["BillingAddress"]["city"] == record.get("BillingCity")
            for name, compound in compounds.items():
                value = record.get(name) or {}  # absent where the person may not read it
                for part in compound.parts:
                    mine, theirs = node[name][part], value.get(part)
                    if isinstance(theirs, float):
                        assert float(mine) == theirs
                    else:
                        assert mine == theirs


@pytest.mark.parametrize("tenant", TENANTS)
@pytest.mark.asyncio(loop_scope="session")
async def test_values_of_a_picklist_are_those_of_the_org(synced: Synced, tenant: str) -> None:
    email = DEMO_PEOPLE[tenant]["manager"]
    server = synced.fleet.server("salesforce", tenant)
    async with httpx2.AsyncClient(base_url=server.url, timeout=60) as http:
        token = server.sandbox.token_for(email)
        answer = await http.get(
            f"{API}/sobjects/Opportunity/describe", headers={"Authorization": f"Bearer {token}"}
        )
    (stage,) = (each for each in answer.json()["fields"] if each["name"] == "StageName")
    text = '{ _values(coordinate: "Salesforce_Opportunity.StageName") { value label isActive } }'
    found = await synced.app.ask(Principal(tenant=tenant, email=email), text)
    assert found.data
    assert found.data["_values"] == [
        {"value": each["value"], "label": each["label"], "isActive": each["active"]}
        for each in stage["picklistValues"]
    ]
