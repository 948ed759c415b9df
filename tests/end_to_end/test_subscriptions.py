"""Subscriptions of the served project: live answers, within the rights of each moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import orjson
import pytest
import pytest_asyncio
from tests.end_to_end.subscribing import (
    ACCOUNTS,
    EVENTS,
    LIFETIME_S,
    REP,
    Changing,
    changing_world,
    serving,
)

from firnline.access.principal import SKEW_MAX_S
from firnline.cache.database import TenantDatabase
from firnline.graph.live import REST_S
from firnline.sandbox.seed import DEMO_PEOPLE
from firnline.spec.agents import AgentSpec
from firnline.spec.model import GraphSpec
from firnline.web.server import SHUTDOWN_MAX_S

pytestmark = pytest.mark.asyncio(loop_scope="session")

MANAGER = DEMO_PEOPLE["acme"]["manager"]
DEALS = "subscription { deals(first: 50) { totalCount nodes { id name amount } } }"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Changing]:
    async with changing_world(
        tmp_path_factory.mktemp("home"), subscriptions_person_max=3
    ) as changing:
        yield changing


async def keys(world: Changing, tenant: str = "acme") -> tuple[list[str], list[str]]:
    """Return the keys of the accounts that the representative sees, and of all others."""
    answer = await world.ask(query=ACCOUNTS.replace("subscription", "query"))
    seen = [node["id"] for node in answer.json()["data"]["accounts"]["nodes"]]
    every = [row["Id"] for row in world.org(tenant).live("Account")]
    return seen, [key for key in every if key not in seen]


def granted(world: Changing, name: str, **facts: str) -> list[Any]:
    """Return the rows that give the representative a permission."""
    org = world.org()
    sets = {
        row["PermissionSetId"]
        for row in org.live("PermissionSetAssignment")
        if row["AssigneeId"] == org.user_ids[REP]
    }
    rows = [row for row in org.live(name) if row["ParentId"] in sets]
    return [row for row in rows if all(row[field] == value for field, value in facts.items())]


async def rename(world: Changing, key: str, name: str, tenant: str = "acme") -> None:
    world.sandboxes[tenant].change("Account", key, Name=name)
    await world.sync(tenant, "Account")


def named(answer: Any, key: str) -> str:
    return next(node["name"] for node in answer["data"]["accounts"]["nodes"] if node["id"] == key)


async def test_subscription_is_answered_at_once_as_a_query_is(world: Changing) -> None:
    plain = await world.ask(query=ACCOUNTS.replace("subscription", "query"))
    async with world.subscribed() as events:
        first = await events.answer()
    assert first["data"] == plain.json()["data"]
    assert first["data"]["accounts"]["totalCount"] > 2


async def test_commit_that_changes_the_answer_sends_it_again(world: Changing) -> None:
    (key, *_), _ = await keys(world)
    async with world.subscribed() as events:
        await events.answer()
        await rename(world, key, "First name")
        assert named(await events.answer(), key) == "First name"
        await rename(world, key, "Second name")
        assert named(await events.answer(), key) == "Second name"
        await events.silence()


async def test_commit_to_rows_that_the_person_may_not_see_sends_nothing(world: Changing) -> None:
    (seen, *_), (hidden, *_) = await keys(world)
    async with world.subscribed() as events:
        await events.answer()
        generation = (await world.app.database("acme")).generation
        await rename(world, hidden, "Nobody is told")
        assert (await world.app.database("acme")).generation > generation
        await events.silence()
        # Still listening: what the person sees arrives.
        await rename(world, seen, "Told")
        assert named(await events.answer(), seen) == "Told"


async def test_commit_that_is_not_seen_leaves_cursors_as_they_were(world: Changing) -> None:
    _, (hidden, *_) = await keys(world)
    page = "{ accounts(first: 3) { edges { cursor } pageInfo { endCursor } } }"
    async with world.subscribed(query=f"subscription {page}") as events:
        await events.answer()
        await rename(world, hidden, "Nobody is told again")
        await events.silence()


async def test_commit_of_another_tenant_sends_nothing(world: Changing) -> None:
    other = next(world.org("globex").live("Account"))["Id"]
    async with world.subscribed() as events:
        await events.answer()
        await rename(world, other, "Of somebody else", tenant="globex")
        await events.silence()


async def test_revoked_field_is_null_and_said_in_the_next_answer(world: Changing) -> None:
    org, rows = world.org(), granted(world, "FieldPermissions", Field="Opportunity.Amount")
    async with world.subscribed(query=DEALS) as events:
        first = await events.answer()
        assert any(node["amount"] for node in first["data"]["deals"]["nodes"])
        for row in rows:
            world.sandboxes["acme"].delete("FieldPermissions", row["Id"])
        await world.sync()
        second = await events.answer()
        assert {node["amount"] for node in second["data"]["deals"]["nodes"]} == {None}
        assert second["data"]["deals"]["totalCount"] == first["data"]["deals"]["totalCount"]
        (note,) = second["extensions"]["access"]
        assert (note["coordinate"], note["effect"]) == ("Deal.amount", "masked")
        for row in rows:
            org.put("FieldPermissions", row["Id"], **row)
            org.change("FieldPermissions", row["Id"])
        await world.sync()
        assert (await events.answer())["data"] == first["data"]


async def test_revoked_object_is_denied_in_the_next_answer(world: Changing) -> None:
    org, rows = world.org(), granted(world, "ObjectPermissions", SobjectType="Opportunity")
    async with world.subscribed(query=DEALS) as events:
        first = await events.answer()
        for row in rows:
            world.sandboxes["acme"].delete("ObjectPermissions", row["Id"])
        await world.sync()
        second = await events.answer()
        assert second["data"] == {"deals": {"totalCount": 0, "nodes": []}}
        assert second["extensions"]["access"][0]["effect"] == "denied"
        for row in rows:
            org.put("ObjectPermissions", row["Id"], **row)
            org.change("ObjectPermissions", row["Id"])
        await world.sync()
        assert (await events.answer())["data"] == first["data"]


async def test_cursors_of_live_answers_lead_on_and_are_taken(world: Changing) -> None:
    page = "{ accounts(first: 2%s) { pageInfo { endCursor } nodes { id } } }"
    async with world.subscribed(query=f"subscription {page % ''}") as events:
        first = (await events.answer())["data"]["accounts"]
    after = f', after: "{first["pageInfo"]["endCursor"]}"'
    plain = (await world.ask(query=page % after)).json()["data"]["accounts"]
    async with world.subscribed(query=f"subscription {page % after}") as events:
        assert (await events.answer())["data"]["accounts"] == plain
    assert plain["nodes"]
    assert not [node for node in plain["nodes"] if node in first["nodes"]]


async def test_many_commits_are_answered_at_the_subscriptions_pace(
    world: Changing, monkeypatch: pytest.MonkeyPatch
) -> None:
    (key, *_), _ = await keys(world)
    database, loop = await world.app.database("acme"), asyncio.get_running_loop()
    answer, asked = world.app.responder.answer, []

    async def counted(*arguments: Any) -> Any:
        asked.append(arguments)
        return await answer(*arguments)

    async with world.subscribed() as events:
        await events.answer()
        monkeypatch.setattr(world.app.responder, "answer", counted)
        begun_s = loop.time()
        for _ in range(100):
            await asyncio.to_thread(_commit, database)
        await rename(world, key, "After the burst")
        assert named(await events.answer(), key) == "After the burst"
        assert 0 < len(asked) <= 2 + (loop.time() - begun_s) / REST_S < 100


def _commit(database: TenantDatabase) -> None:
    with database.transaction():
        pass


async def test_answers_that_are_sent_are_on_record_and_no_others(world: Changing) -> None:
    query = ACCOUNTS.replace("totalCount", "aggregate { count }")
    (key, *_), _ = await keys(world)
    database = await world.app.database("acme")
    before = await recorded(world, "Account", MANAGER)
    async with world.subscribed(MANAGER, query=query) as events:
        await events.answer()
        for _ in range(3):
            await asyncio.to_thread(_commit, database)
            await asyncio.sleep(REST_S * 2)
        await rename(world, key, "On record")
        await events.answer()
        assert await recorded(world, "Account", MANAGER) == before + 2


async def recorded(world: Changing, object_name: str, email: str) -> int:
    """Return how many answers about an object are on record for a person."""
    await world.app.auditing.close()  # writes what waits
    chain = world.app.auditing.chain
    entries = chain.entries("acme", person=email, object_name=object_name)
    return sum([orjson.loads(entry.content)["times"] async for entry in entries])


async def test_agents_limits_hold_for_subscriptions_that_run(
    world: Changing, monkeypatch: pytest.MonkeyPatch
) -> None:
    (key, *_), _ = await keys(world)
    limits = world.app.graphs._limits
    narrow = ({"helper": AgentSpec(operations=("Other",))}, {})
    async with world.subscribed(claims={"act": {"sub": "helper"}}) as events:
        await events.answer()
        with monkeypatch.context() as patched:
            patched.setitem(limits, "acme", narrow)
            await rename(world, key, "Not for the helper")
            (told,) = await events.end()
            headers = {**world.headers(REP, act={"sub": "helper"}), "accept": EVENTS}
            refused = await world.http.post("/graphql", json={"query": ACCOUNTS}, headers=headers)
    assert refused.status_code == 403
    assert refused.json() == told


async def test_subscription_ends_with_its_token(world: Changing) -> None:
    soon_s = LIFETIME_S + SKEW_MAX_S - 3
    async with serving(world.app, ahead_s=soon_s) as (http, signer, _):
        other = replace(world, http=http, signer=signer)
        async with other.subscribed() as events:
            assert (await events.answer())["data"]
            (told,) = await events.end()
    assert told["errors"][0]["extensions"]["code"] == "token_expired"


async def test_stopping_server_completes_its_streams(world: Changing) -> None:
    loop = asyncio.get_running_loop()
    async with serving(world.app) as (http, signer, server):
        other = replace(world, http=http, signer=signer)
        async with other.subscribed() as events:
            await events.answer()
            begun_s = loop.time()
            server.should_exit = True
            (told,) = await events.end()
    assert told["errors"][0]["extensions"]["code"] == "server_stopping"
    assert told["errors"][0]["extensions"]["retryable"]
    assert loop.time() - begun_s < SHUTDOWN_MAX_S / 2


async def test_client_that_leaves_frees_its_place_and_is_listened_for_no_more(
    world: Changing,
) -> None:
    for _ in range(5):  # more than one person may have open
        async with world.subscribed() as events:
            await events.answer()
            assert await world.open_streams() == 1
            await events.silence(REST_S * 2)  # it listens for commits now
            assert len((await world.app.database("acme")).commits) == 1
        await world.all_left()


async def test_more_subscriptions_than_a_person_may_open_are_refused(world: Changing) -> None:
    async with world.subscribed() as one, world.subscribed() as two, world.subscribed() as three:
        for each in (one, two, three):
            await each.answer()
        refused = await world.http.post(
            "/graphql", json={"query": ACCOUNTS}, headers={**world.headers(REP), "accept": EVENTS}
        )
        assert refused.status_code == 429
        assert refused.json()["errors"][0]["extensions"]["code"] == "too_many_subscriptions"
        assert refused.headers["retry-after"]
        assert (await world.ask(query="{ accounts { totalCount } }")).status_code == 200


async def test_persisted_only_ends_what_was_not_published(
    world: Changing, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenants = world.app.project.tenants
    rules = GraphSpec.model_validate({"persistedOnly": True})
    row = await world.app.publish("acme", ACCOUNTS)
    (key, *_), _ = await keys(world)
    async with (
        world.subscribed() as by_text,
        world.subscribed(documentId=row.operation_id) as by_id,
    ):
        assert (await by_text.answer())["data"] == (await by_id.answer())["data"]
        with monkeypatch.context() as patched:
            patched.setitem(tenants, "acme", tenants["acme"].model_copy(update={"graph": rules}))
            await rename(world, key, "Published only")
            (told,) = await by_text.end()
            assert named(await by_id.answer(), key) == "Published only"
    assert told["errors"][0]["extensions"]["code"] == "persisted_only"


async def test_subscription_by_get_and_query_as_events(world: Changing) -> None:
    headers = {**world.headers(REP), "accept": EVENTS}
    params = {"query": "{ accounts { totalCount } }"}
    whole = await world.http.get("/graphql", params=params, headers=headers)
    plain = await world.ask(query=params["query"])
    assert whole.text.startswith("event: next\ndata: {")
    assert whole.text.endswith("\n\nevent: complete\ndata:\n\n")
    assert plain.text[:-30] in whole.text
    params["query"] = "subscription { accounts { totalCount } }"
    async with world.http.stream("GET", "/graphql", params=params, headers=headers) as response:
        assert await anext(response.aiter_lines()) == "event: next"
    taken = {**headers, "accept": "text/event-stream, application/json"}
    both = await world.http.post("/graphql", json={"query": "{ __typename }"}, headers=taken)
    assert both.json()["data"] == {"__typename": "Query"}


@pytest.mark.parametrize(
    "query",
    ["subscription { nothing }", "subscription { deals { totalCount } accounts { totalCount } }"],
)
async def test_subscription_that_cannot_run_is_told_why_and_complete(
    world: Changing, query: str
) -> None:
    async with world.subscribed(query=query) as events:
        (told,) = await events.end()
    assert told["errors"][0]["extensions"]["code"] == "operation_refused"
    assert "data" not in told


async def test_client_of_single_answers_is_told_to_take_a_stream(world: Changing) -> None:
    answer = await world.ask(query=ACCOUNTS)
    assert answer.status_code == 406
    assert answer.json()["errors"][0]["extensions"]["code"] == "subscription_stream"


async def test_error_without_an_answer_ends_the_subscription(world: Changing) -> None:
    async with world.subscribed(
        query="subscription { accounts(first: 9999) { totalCount } }"
    ) as events:
        (told,) = await events.end()
    assert told["errors"][0]["extensions"]["code"] == "page_size"
