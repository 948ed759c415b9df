"""Live queries: what counts as another answer, when to ask again, and who reads what."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import Any

import pytest
from tests.graph.world import CATALOGS, PEOPLE, World, fields, seeded

from firnline.cache.database import TenantDatabase
from firnline.cache.open_caches import OpenCaches
from firnline.graph.answer import Answer
from firnline.graph.changes import Changes
from firnline.graph.diff import compared, read_schema
from firnline.graph.live import (
    RENEWED_AFTER_S,
    REST_S,
    VERIFIED_REST_S,
    fingerprint,
    is_last,
    is_subscription,
    pace_of,
)

PATIENCE_S = 20
ROOTS = "{ __schema { queryType { fields { name } } subscriptionType { fields { name } } } }"
VERIFIED = {"coordinate": "Deal", "effect": "verified", "reason": "", "source": "crm"}


def answer(**changes: Any) -> Answer:
    told = {"access": [], "freshness": {"crm.deals": {"syncedAt": "2026-11-22T12:00:00Z"}}}
    return replace(Answer(b'{"deals":1}', extensions=told), **changes)


@pytest.mark.parametrize("email", PEOPLE)
def test_subscription_offers_the_records_that_a_query_offers(world: World, email: str) -> None:
    schema = world.data(ROOTS, email)["__schema"]
    asked = [each["name"] for each in schema["queryType"]["fields"]]
    listened = [each["name"] for each in (schema["subscriptionType"] or {"fields": []})["fields"]]
    assert listened == [name for name in asked if not name.startswith("_")]


def test_subscription_in_one_moment_is_the_query(world: World) -> None:
    for text in (
        "{ deals(first: 4) { totalCount nodes { id title account { name } } } }",
        '{ account(id: "a1") { name } }',
        '{ accountsByKey(keys: ["a1", "x"]) { name } }',
        "{ crm { deals { aggregate { count } } accounts(first: 1) { nodes { id } } } }",
        "{ deals { groupBy(by: [{stage: VALUE}]) { aggregate { count } } } }",
    ):
        assert world.ask(f"subscription {text}") == world.ask(text), text
        assert world.data(text), text


def test_subscription_reads_one_root_field(world: World) -> None:
    for text in (
        "subscription { deals { totalCount } accounts { totalCount } }",
        "subscription { __typename }",
        'subscription { _search(text: "x") { path } }',
    ):
        assert world.code(text) == "operation_refused", text


def test_field_that_vanishes_breaks_subscriptions_to_it() -> None:
    old = "type Query { a: T b: T } type Subscription { a: T b: T } type T { x: Int }"
    new = "type Query { a: T b: T } type Subscription { a: T } type T { x: Int }"
    (change,) = compared(read_schema(old, "old"), read_schema(new, "new")).changes
    assert (change.severity, change.coordinate) == ("breaking", "Subscription.b")


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("subscription { deals { totalCount } }", None, True),
        ("subscription A { a } query B { b }", "A", True),
        ("subscription A { a } query B { b }", "B", False),
        ("subscription A { a } query B { b }", None, False),
        ("query { subscription }", None, False),
        ("subscription {", None, False),
        ("query { deals }", None, False),
    ],
)
def test_subscription_is_told_from_other_operations(
    text: str, name: str | None, expected: bool
) -> None:
    assert is_subscription(text, name) is expected


def test_answers_that_tell_the_same_have_one_fingerprint() -> None:
    later = {"access": [], "freshness": {"crm.deals": {"syncedAt": "2026-11-22T13:00:00Z"}}}
    assert fingerprint(answer()) == fingerprint(answer(extensions=later))
    early, late = ({**VERIFIED, "checkedAt": f"2026-11-22T1{n}:00:00Z"} for n in range(2))
    first, second = (answer(extensions={"access": [each]}) for each in (early, late))
    assert fingerprint(first) == fingerprint(second)


def test_last_digits_of_floating_point_numbers_tell_nothing() -> None:
    first = answer(content=b'{"a":[{"avg":0.1234567890123456,"n":"0.1234567890123456"}]}')
    assert fingerprint(first) == fingerprint(
        answer(content=b'{"a":[{"avg":0.1234567890123459,"n":"0.1234567890123456"}]}')
    )
    for other in (
        b'{"a":[{"avg":0.1234567890223456,"n":"0.1234567890123456"}]}',
        b'{"a":[{"avg":0.1234567890123456,"n":"0.1234567890123459"}]}',
    ):
        assert fingerprint(first) != fingerprint(answer(content=other))


@pytest.mark.parametrize(
    "changes",
    [
        {"content": b'{"deals":2}'},
        {"content": None},
        {"errors": ({"message": "m"},)},
        {"extensions": {"access": [{"coordinate": "Deal.amount", "effect": "masked"}]}},
        {"extensions": {"access": [VERIFIED]}},
    ],
)
def test_answers_that_tell_something_else_have_another_fingerprint(
    changes: dict[str, Any],
) -> None:
    assert fingerprint(answer(**changes)) != fingerprint(answer())


def test_next_answer_is_made_in_time_for_rights_and_confirmed_records() -> None:
    plain = pace_of(answer(), None)
    assert (plain.rest_s, plain.renewed_s) == (REST_S, RENEWED_AFTER_S)
    assert pace_of(answer(), 7.0).renewed_s == 7.0
    assert pace_of(answer(), 7000.0).renewed_s == RENEWED_AFTER_S
    assert pace_of(answer(), -1.0).renewed_s == REST_S
    told = [{**VERIFIED, "countsFor": "45s"}, {**VERIFIED, "countsFor": "20s"}]
    verified = pace_of(answer(extensions={"access": told}), None)
    assert (verified.rest_s, verified.renewed_s) == (VERIFIED_REST_S, 20.0)
    told = [{**VERIFIED, "countsFor": "0s"}]
    assert pace_of(answer(extensions={"access": told}), None).renewed_s == VERIFIED_REST_S


def test_answer_without_anything_is_the_last_unless_it_may_pass() -> None:
    refused = {"message": "m", "extensions": {"code": "cost"}}
    passing = {"message": "m", "extensions": {"code": "busy", "retryable": True}}
    assert not is_last(answer())
    assert not is_last(answer(errors=(refused,)))
    assert is_last(answer(content=None, errors=(refused,)))
    assert not is_last(answer(content=None, errors=(passing,)))
    assert is_last(answer(executed=False, content=None, errors=(refused,)))


async def _told(world: World, change: Any, tenant: str = "acme", every_s: float = 60) -> bool:
    """Say whether somebody who waits for changes learns of one in time."""

    async def database(name: str) -> TenantDatabase:
        return world.database(name)

    changes = Changes(world.graphs.graph, database, every_s=every_s)
    mark = await changes.mark(tenant)
    waiting = asyncio.ensure_future(changes.changed(tenant, mark))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await change()
    done, _ = await asyncio.wait({waiting}, timeout=PATIENCE_S if every_s > 1 else 3)
    waiting.cancel()
    return bool(done)


def test_commit_in_another_thread_is_told_at_once(own_world: World) -> None:
    own_world.fill(seeded())

    async def commit() -> None:
        writing = threading.Thread(target=own_world.write, args=({("crm", "users"): []},))
        writing.start()
        await asyncio.to_thread(writing.join)

    assert own_world.runner.run(_told(own_world, commit))
    assert not len(own_world.database().commits)


def test_new_catalog_is_told(own_world: World) -> None:
    own_world.fill(seeded())
    crm = CATALOGS["crm"]
    users = crm.by_name["users"]
    longer = users.model_copy(update={"fields": (*users.fields, *fields(phone="string"))})
    objects = tuple(longer if each is users else each for each in crm.objects)

    async def discover() -> None:
        catalog = type(crm)(provider=crm.provider, objects=objects)
        await own_world.state.save_catalog("acme", "crm", catalog, at=own_world.clock.now())

    assert own_world.runner.run(_told(own_world, discover, every_s=0.2))


def test_what_another_process_writes_into_a_closed_cache_is_told(own_world: World) -> None:
    own_world.fill(seeded())
    own_world.databases.pop("acme").close()
    caches = OpenCaches(
        own_world.home / "cache",
        clock=own_world.clock,
        open_max=1,
        idle_s=300,
        memory="500MB",
        threads=1,
        read_only=True,
    )

    async def told() -> bool:
        changes = Changes(own_world.graphs.graph, caches.database, every_s=0.1)
        mark = await changes.mark("acme")
        waiting = asyncio.ensure_future(changes.changed("acme", mark))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        assert mark.database.rest()
        await asyncio.to_thread(own_world.write, {("crm", "users"): []})
        own_world.databases.pop("acme").close()
        done, _ = await asyncio.wait({waiting}, timeout=PATIENCE_S)
        waiting.cancel()
        await caches.close()
        return bool(done)

    assert own_world.runner.run(told())


def test_commit_of_another_tenant_is_not_told(own_world: World) -> None:
    for tenant in ("acme", "beta"):
        own_world.fill(seeded(), tenant)

    async def commit() -> None:
        await asyncio.to_thread(own_world.write, {("crm", "users"): []}, tenant="beta")

    assert not own_world.runner.run(_told(own_world, commit, every_s=0.2))
