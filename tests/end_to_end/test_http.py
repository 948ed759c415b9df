"""The served project over HTTP: tokens decide tenant and person, published operations run by id."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from graphql import get_introspection_query
from tests.end_to_end.conftest import PROJECT, TENANTS, Synced

from firnline.access.principal import TokenVerifier
from firnline.access.signing import DevelopmentSigner
from firnline.clock import SystemClock
from firnline.sandbox.seed import DEMO_PEOPLE
from firnline.web.application import create_web
from firnline.web.backend import ProjectGateway
from firnline.web.server import address_of, create_server, open_socket

pytestmark = pytest.mark.asyncio(loop_scope="session")


@dataclass(frozen=True)
class Served:
    http: httpx2.AsyncClient
    signer: DevelopmentSigner

    async def ask(self, tenant: str, email: str, **body: Any) -> httpx2.Response:
        token = self.signer.issue_token(tenant, email, 60)
        return await self.http.post(
            "/graphql", json=body, headers={"authorization": f"Bearer {token}"}
        )


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def served(synced: Synced) -> AsyncIterator[Served]:
    settings = synced.app.settings.model_copy(update={"development": True})
    clock = SystemClock()
    web = create_web(
        gateway=ProjectGateway(synced.app),
        verifier=TokenVerifier.from_settings(settings, clock=clock),
        settings=settings,
        clock=clock,
    )
    listening = open_socket("127.0.0.1", 0, development=True)
    server = create_server(web)
    running = asyncio.create_task(server.serve(sockets=[listening]))
    async with httpx2.AsyncClient(base_url=address_of(listening), timeout=30) as http:
        yield Served(http, DevelopmentSigner.from_settings(settings, clock=clock))
    server.should_exit = True
    await running


async def test_published_operation_answers_by_id_as_it_does_by_text(
    synced: Synced, served: Served
) -> None:
    text = (PROJECT / "operations" / "renewals_at_risk.graphql").read_text("utf-8")
    row = await synced.app.publish("acme", text)
    email = DEMO_PEOPLE["acme"]["rep"]
    variables = {"quarterEnd": "2099-12-31"}

    by_text = await served.ask("acme", email, query=text, variables=variables)
    by_id = await served.ask("acme", email, documentId=row.operation_id, variables=variables)

    assert by_text.status_code == by_id.status_code == 200
    assert by_id.json()["data"] == by_text.json()["data"]
    assert by_id.json()["data"]["deals"]["nodes"]


async def test_operation_of_one_tenant_is_unknown_to_another(
    synced: Synced, served: Served
) -> None:
    row = await synced.app.publish("acme", "query Own { accounts { totalCount } }")

    answer = await served.ask("globex", DEMO_PEOPLE["globex"]["rep"], documentId=row.operation_id)

    assert answer.json()["errors"][0]["extensions"]["code"] == "unknown_operation"


async def test_tenant_comes_from_the_token_alone(served: Served) -> None:
    question = "{ _gateway { tenant } }"
    for tenant in TENANTS:
        answer = await served.ask(tenant, DEMO_PEOPLE[tenant]["rep"], query=question)
        assert answer.json()["data"]["_gateway"]["tenant"] == tenant


@pytest.mark.parametrize("tenant", ["nobody", "initech"])
async def test_unknown_tenant_is_refused_with_the_next_step(served: Served, tenant: str) -> None:
    answer = await served.ask(tenant, "a@b.example", query="{ accounts { totalCount } }")

    (error,) = answer.json()["errors"]
    assert answer.status_code in (200, 404)
    assert error["extensions"]["code"] == "tenant_not_served"
    assert error["extensions"]["hint"]
    # Other customers' names are not told.
    assert not [name for name in TENANTS if name in answer.text]


async def test_refused_token_names_the_check_and_not_the_token(served: Served) -> None:
    answer = await served.http.post(
        "/graphql", json={"query": "{a}"}, headers={"authorization": "Bearer not.a.token"}
    )

    assert answer.status_code == 401
    assert answer.json()["errors"][0]["extensions"]["code"] == "token_refused"
    assert "not.a.token" not in answer.text


async def test_person_whom_no_system_knows_sees_nothing(served: Served) -> None:
    answer = await served.ask(
        "acme", "stranger@elsewhere.example", query="{ accounts { totalCount nodes { id } } }"
    )

    body = answer.json()
    assert body["data"]["accounts"] == {"totalCount": 0, "nodes": []}
    assert body["extensions"]["access"][0]["effect"] == "denied"


async def test_no_value_of_one_tenant_reaches_another(synced: Synced, served: Served) -> None:
    """Names of one tenant's accounts are searched in everything that the other can list."""
    canaries = {account.name for account in synced.worlds["globex"].accounts}
    canaries -= {account.name for account in synced.worlds["acme"].accounts}
    everything = "{ accounts(first: 200) { nodes { name } } deals(first: 200) { nodes { name } } }"

    answer = await served.ask("acme", DEMO_PEOPLE["acme"]["integration"], query=everything)

    assert answer.json()["data"]["accounts"]["nodes"]
    assert not [name for name in canaries if name in answer.text]


async def test_sign_in_page_offers_the_people_of_each_tenant(served: Served) -> None:
    page = await served.http.get("/signin")

    assert page.status_code == 200
    for tenant in TENANTS:
        assert DEMO_PEOPLE[tenant]["rep"] in page.text


async def test_whole_introspection_is_answered(served: Served) -> None:

    answer = await served.ask(
        "acme", DEMO_PEOPLE["acme"]["rep"], query=get_introspection_query(descriptions=True)
    )

    names = {found["name"] for found in answer.json()["data"]["__schema"]["types"]}
    assert {"Deal", "DealConnection", "Salesforce_Deal_Activity__c", "PageInfo"} <= names


async def test_mutation_by_get_is_refused_before_anything_runs(served: Served) -> None:
    token = served.signer.issue_token("acme", DEMO_PEOPLE["acme"]["rep"], 60)
    answer = await served.http.get(
        "/graphql",
        params={"query": "mutation { __typename }"},
        headers={"authorization": f"Bearer {token}"},
    )

    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.json()["errors"][0]["extensions"]["code"] == "method_not_allowed"
