"""API keys over HTTP: what they open, for whom, and that they end."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import orjson
import pytest
import pytest_asyncio
from tests.web.project import ServedProject, connectors, filled, made_key, serving_project

from firnline.access.api_keys import ApiKeyRefusedError
from firnline.clock import FixedClock
from firnline.state import State
from firnline.state.api_keys import ApiKeyRow
from firnline.state.database import StateUnavailableError
from firnline.web.api_keys import KNOWN_S, ApiKeys

__all__ = ["connectors", "filled"]  # the fixtures
WHO = {"query": "{ _gateway { tenant person { email } } }"}
ANA = "ana@acme.example"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(filled: Path) -> AsyncIterator[ServedProject]:
    async with serving_project(filled) as project:
        yield project


module_loop = pytest.mark.asyncio(loop_scope="module")


def refusal(answer: object) -> tuple[int, str]:
    (error,) = answer.json()["errors"]  # type: ignore[attr-defined]
    return answer.status_code, error["extensions"]["code"]  # type: ignore[attr-defined]


@module_loop
async def test_key_asks_as_its_person_at_its_tenant(served: ServedProject) -> None:
    for tenant in ("acme", "beta"):
        key = await served.key("graphql", tenant=tenant, person=f"ana@{tenant}.example")
        answer = await served.ask("POST", "/graphql", key, json=WHO)
        assert answer.status_code == 200, answer.text
        assert answer.json()["data"]["_gateway"] == {
            "tenant": tenant,
            "person": {"email": f"ana@{tenant}.example"},
        }


@module_loop
async def test_key_without_the_scope_asks_nothing(served: ServedProject) -> None:
    key = await served.key("connections:read")
    assert refusal(await served.ask("POST", "/graphql", key, json=WHO)) == (403, "scope_missing")


@module_loop
async def test_key_of_the_installation_asks_as_nobody(served: ServedProject) -> None:
    """No such key can be made on the command line; one in the database opens nothing, either."""
    key = await served.key("graphql", tenant="*", person=ANA)
    assert refusal(await served.ask("POST", "/graphql", key, json=WHO)) == (403, "scope_missing")


@module_loop
async def test_whatever_is_wrong_with_a_key_the_refusal_is_the_same(served: ServedProject) -> None:
    good = await served.key("graphql", person=ANA)
    ended = await served.key("graphql", person=ANA)
    await served.app.state.api_keys.revoke(ended.split("_")[1], at=served.app.clock.now())
    expired = await served.key("graphql", person=ANA, lifetime=timedelta(seconds=-1))
    _, key_id, secret = good.split("_")
    wrong = [
        ended,
        expired,
        f"fl_{key_id}_{'0' * 64}",
        f"fl_{'0' * 16}_{secret}",
        f"fl_{key_id}_{secret[:-1]}",
        f"fl_{key_id}",
        "fl_",
        f"fl_' OR '1'='1_{secret}",
    ]
    answers = [await served.ask("POST", "/graphql", key, json=WHO) for key in wrong]
    assert {(each.status_code, each.text) for each in answers} == {(401, answers[0].text)}
    assert refusal(answers[0]) == (401, "api_key_refused")
    assert all(each.headers["www-authenticate"].startswith("Bearer") for each in answers)
    assert (await served.ask("POST", "/graphql", good, json=WHO)).status_code == 200


@module_loop
async def test_revoked_key_ends_within_a_second_whoever_revoked_it(served: ServedProject) -> None:
    key = await served.key("graphql", person=ANA)
    assert (await served.ask("POST", "/graphql", key, json=WHO)).status_code == 200
    other = await State.open(served.app.settings)  # as another process has it
    try:
        assert await other.api_keys.revoke(key.split("_")[1], at=served.app.clock.now())
    finally:
        await other.close()
    revoked_at = asked_at = time.monotonic()
    while (await served.ask("POST", "/graphql", key, json=WHO)).status_code == 200:
        assert asked_at - revoked_at < 1.0, "whoever asks later is refused, however long it takes"
        await asyncio.sleep(0.02)
        asked_at = time.monotonic()


@module_loop
@pytest.mark.parametrize(
    "more",
    [
        {"headers": {"x-tenant": "beta"}},
        {"headers": {"host": "beta.firnline.example"}},
        {"headers": {"x-forwarded-host": "beta.example", "forwarded": "host=beta"}},
        {"params": {"tenant": "beta"}},
    ],
)
async def test_nothing_beside_the_key_names_a_tenant(
    served: ServedProject, more: dict[str, dict[str, str]]
) -> None:
    key = await served.key("graphql", person=ANA)
    body = {
        **WHO,
        "variables": {"tenant": "beta"},
        "extensions": {"tenant": "beta"},
        "tenant": "beta",
    }
    answer = await served.ask("POST", "/graphql", key, json=body, **more)
    assert answer.json()["data"]["_gateway"]["tenant"] == "acme"


@module_loop
async def test_path_below_graphql_is_nowhere(served: ServedProject) -> None:
    key = await served.key("graphql", person=ANA)
    for path in ("/beta/graphql", "/graphql/beta", "/graphql/"):
        assert (await served.ask("POST", path, key, json=WHO)).status_code == 404


@module_loop
async def test_two_credentials_are_none(served: ServedProject) -> None:
    key = await served.key("graphql", person=ANA)
    token = served.signer.issue_token("beta", "bo@beta.example")
    headers = [("authorization", f"Bearer {key}"), ("authorization", f"Bearer {token}")]
    answer = await served.http.post("/graphql", json=WHO, headers=headers)
    assert refusal(answer) == (401, "token_refused")


@module_loop
async def test_key_of_the_installation_with_the_scope_reads_figures(served: ServedProject) -> None:
    key = await served.key("metrics:read", tenant="*")
    answer = await served.ask("GET", "/metrics", key)
    assert answer.status_code == 200
    assert "firnline_subscriptions_open" in answer.text
    bound = await served.key("metrics:read", tenant="acme")
    other = await served.key("connections:read", tenant="*")
    for wrong in (bound, other):
        assert refusal(await served.ask("GET", "/metrics", wrong)) == (403, "scope_missing")
    unknown = await served.ask("GET", "/metrics", key[:-1] + "x")
    assert refusal(unknown) == (401, "api_key_refused")
    assert (await served.ask("GET", "/metrics")).status_code == 404


@module_loop
async def test_time_of_last_use_is_kept_to_the_minute(served: ServedProject) -> None:
    key = await served.key("graphql", person=ANA)
    key_id = key.split("_")[1]
    for _ in range(3):
        await served.ask("POST", "/graphql", key, json=WHO)
    row = await served.app.state.api_keys.find(key_id)
    while row is not None and row.used_at is None:
        await asyncio.sleep(0.02)
        row = await served.app.state.api_keys.find(key_id)
    assert row is not None and row.used_at is not None
    first = row.used_at
    await served.app.state.api_keys.note_use(key_id, at=first + timedelta(seconds=59))
    assert (await served.app.state.api_keys.find(key_id)).used_at == first  # type: ignore[union-attr]
    later = first + timedelta(seconds=60)
    await served.app.state.api_keys.note_use(key_id, at=later)
    assert (await served.app.state.api_keys.find(key_id)).used_at == later  # type: ignore[union-attr]


@module_loop
@module_loop
async def test_answer_that_is_kept_is_on_record_with_the_key_that_asked(
    served: ServedProject,
) -> None:
    """A person's token and two keys of theirs ask the same; each of them shows in the record."""
    question = {"query": "{ accounts(first: 3) { totalCount nodes { id } } }"}
    token = served.signer.issue_token("acme", "all@x.test")
    keys = [
        await served.key("graphql", person="all@x.test", agent=agent)
        for agent in ("", "renewals-bot")
    ]
    for credential in (token, *keys):
        for _ in range(3):
            answer = await served.ask("POST", "/graphql", credential, json=question)
            assert answer.json()["data"]["accounts"]["nodes"]
    expected = {f"key:{key.split('_')[1]}": 3 for key in keys}
    async with asyncio.timeout(20):
        while True:
            told: Counter[str] = Counter()
            agents: dict[str, str] = {}
            async for row in served.app.auditing.chain.entries("acme", person="all@x.test"):
                content = orjson.loads(row.content)
                told[content["credential"]] += content["times"]
                agents[content["credential"]] = content["agent"]
            if expected.items() <= told.items():
                break
            await asyncio.sleep(0.05)
    assert [agents[each] for each in expected] == ["", "renewals-bot"]


class CountingStore:
    """A key store that counts, and fails when told to."""

    def __init__(self, rows: dict[str, ApiKeyRow]) -> None:
        self.rows = rows
        self.found: list[str] = []
        self.used: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        self.is_broken = False

    async def find(self, key_id: str) -> ApiKeyRow | None:
        self.found.append(key_id)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        if self.is_broken:
            raise StateUnavailableError("broken on purpose")
        return self.rows.get(key_id)

    async def note_use(self, key_id: str, *, at: object) -> None:
        self.used.append(key_id)
        if self.is_broken:
            raise StateUnavailableError("broken on purpose")


async def known(tmp_path: Path) -> tuple[ApiKeys, CountingStore, str, FixedClock]:
    async with serving_project(tmp_path) as project:
        text = await made_key(project.app, ["graphql"], person=ANA)
        row = await project.app.state.api_keys.find(text.split("_")[1])
        clock = FixedClock(project.app.clock.now())
    assert row is not None
    store = CountingStore({row.key_id: row})
    return ApiKeys(store, clock=clock), store, text, clock


async def test_key_is_read_once_per_half_second_and_its_use_noted_once_a_minute(
    tmp_path: Path,
) -> None:
    keys, store, text, clock = await known(tmp_path)
    await asyncio.gather(*(keys.verify(text) for _ in range(20)))
    for _ in range(20):
        await keys.verify(text)
    assert len(store.found) == 1
    await clock.sleep(KNOWN_S)
    await keys.verify(text)
    assert len(store.found) == 2
    await keys.close()
    assert len(store.used) == 1
    await clock.sleep(60)
    await keys.verify(text)
    await keys.close()
    assert len(store.used) == 2


async def test_flood_of_guessed_keys_keeps_the_database_no_busier(tmp_path: Path) -> None:
    keys, store, text, _ = await known(tmp_path)
    guesses = [f"fl_{number:016x}_{'0' * 64}" for number in range(300)]
    answers = await asyncio.gather(*map(keys.verify, guesses), return_exceptions=True)
    assert all(isinstance(each, ApiKeyRefusedError) for each in answers)
    assert store.most_at_once <= 4
    assert (await keys.verify(text)).person == ANA


async def test_keys_that_cannot_be_read_open_nothing(tmp_path: Path) -> None:
    keys, store, text, clock = await known(tmp_path)
    await keys.verify(text)
    store.is_broken = True
    await clock.sleep(KNOWN_S)
    with pytest.raises(StateUnavailableError):
        await keys.verify(text)


async def test_use_that_cannot_be_noted_keeps_nobody_out(tmp_path: Path) -> None:
    keys, store, text, clock = await known(tmp_path)
    await keys.verify(text)
    await keys.close()
    await clock.sleep(61)
    await keys.verify(text)
    store.is_broken = True
    await clock.sleep(0.1)
    assert (await keys.verify(text)).person == ANA
    await keys.close()
    assert keys.seconds_left(await keys.verify(text)) == float("inf")


async def test_key_ends_when_it_runs_out(tmp_path: Path) -> None:
    keys, store, text, clock = await known(tmp_path)
    (row,) = store.rows.values()
    store.rows[row.key_id] = dataclasses.replace(row, expires_at=clock.now() + timedelta(seconds=9))
    assert keys.seconds_left(await keys.verify(text)) == 9
    await clock.sleep(9)
    with pytest.raises(ApiKeyRefusedError):
        await keys.verify(text)
