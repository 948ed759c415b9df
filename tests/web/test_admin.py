"""The admin API over HTTP: who may call it, what it tells, and that it tells nothing of others."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
import pytest_asyncio
from tests.web.project import ServedProject, connectors, filled, serving_project

from firnline.connectors.registry import bundled_schema_dir
from firnline.state import State
from firnline.web.admin import openapi, stream
from firnline.web.admin.endpoints import ENDPOINTS, ROOT

__all__ = ["connectors", "filled"]  # the fixtures
pytestmark = pytest.mark.asyncio(loop_scope="module")

ACME = f"{ROOT}/tenants/acme"
BETA = f"{ROOT}/tenants/beta"
EVENTS = f"{ROOT}/connection-events"
READ, WRITE, LINK = "connections:read", "connections:write", "connect-links:write"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(filled: Path) -> AsyncIterator[ServedProject]:
    async with serving_project(filled) as project:
        for tenant in ("acme", "beta"):
            await project.connect(tenant, "crm")
        yield project


@pytest.fixture
def own(served: ServedProject) -> Iterator[ServedProject]:
    """The same project; marks tests that change its connections."""
    yield served


def refusal(answer: httpx2.Response) -> tuple[int, str]:
    (error,) = answer.json()["errors"]
    assert error["message"]
    return answer.status_code, error["extensions"]["code"]


async def acted(served: ServedProject, action: str, key: str, **more: Any) -> httpx2.Response:
    return await served.ask("POST", f"{ACME}/connections/crm/{action}", key, **more)


# -- what is told --------------------------------------------------------------------------------


async def test_list_tells_how_each_connection_stands_and_no_secret(served: ServedProject) -> None:
    key = await served.key(READ)
    answer = await served.ask("GET", f"{ACME}/connections", key)

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "private, no-store"
    found = {each["name"]: each for each in answer.json()["connections"]}
    assert set(found) == {"crm", "desk"}
    assert (found["crm"]["state"], found["crm"]["account_name"]) == ("active", "acme Inc")
    assert (found["desk"]["state"], found["desk"]["declared"]) == ("not_connected", True)
    assert not {"token", "token_ciphertext", "settings"} & set(found["crm"])
    assert "canary-access-token" not in answer.text


async def test_one_connection_is_shown_the_organisation_s_or_a_person_s(
    served: ServedProject,
) -> None:
    await served.connect("acme", "desk", person="ana@acme.example", user_name="Ana")
    key = await served.key(READ)
    path = f"{ACME}/connections/desk"
    organisation = (await served.ask("GET", path, key)).json()
    assert (organisation["state"], organisation["person"]) == ("not_connected", None)
    own = await served.ask("GET", path, key, params={"person": "Ana@acme.example"})
    assert (own.json()["state"], own.json()["person"]) == ("active", "ana@acme.example")
    other = await served.ask("GET", path, key, params={"person": "bo@acme.example"})
    assert refusal(other) == (404, "unknown_connection")


# -- who may call --------------------------------------------------------------------------------


def requests_of(tenant: str) -> list[tuple[str, str]]:
    """Return every endpoint at a tenant, or about it."""
    filled_in = [(each.method, each.path.format(tenant=tenant, name="crm")) for each in ENDPOINTS]
    return [
        (method, f"{path}?tenant={tenant}" if path == EVENTS else path)
        for method, path in filled_in
    ]


@pytest.mark.parametrize("place", range(len(ENDPOINTS)))
async def test_nothing_is_told_without_a_credential_or_the_scope(
    served: ServedProject, place: int
) -> None:
    method, path = requests_of("acme")[place]
    assert refusal(await served.ask(method, path)) == (401, "token_refused")
    assert refusal(await served.ask(method, path, "fl_x")) == (401, "api_key_refused")
    for scopes in ({"graphql", "metrics:read"}, {READ, WRITE, LINK} - {ENDPOINTS[place].scope}):
        key = await served.key(*scopes, person="ana@acme.example")
        assert refusal(await served.ask(method, path, key)) == (403, "scope_missing")


@pytest.mark.parametrize("place", range(len(ENDPOINTS)))
async def test_other_tenants_and_those_that_do_not_exist_are_told_apart_by_nothing(
    served: ServedProject, place: int
) -> None:
    key = await served.key(READ, WRITE, LINK)
    answers = []
    for tenant in ("beta", "nobody", "Beta", "..", "*", "%2e%2e", "acme%00"):
        method, path = requests_of(tenant)[place]
        answers.append(await served.ask(method, path, key))
    assert {each.status_code for each in answers} == {404}
    assert {json.dumps(each.json()) for each in answers[:3]} == {json.dumps(answers[0].json())}
    assert not any("beta Inc" in each.text for each in answers)


async def test_key_of_the_installation_serves_every_tenant(served: ServedProject) -> None:
    key = await served.key(READ, tenant="*")
    for tenant in ("acme", "beta"):
        answer = await served.ask("GET", f"{ROOT}/tenants/{tenant}/connections/crm", key)
        assert answer.json()["account_name"] == f"{tenant} Inc"
    gone = await served.ask("GET", f"{ROOT}/tenants/nobody/connections", key)
    assert refusal(gone) == (404, "not_found")
    assert "acme" not in gone.text


@pytest.mark.parametrize(
    ("scope", "reads", "writes"),
    [
        ("firnline.admin", True, True),
        ("openid firnline.admin.read", True, False),
        ("admin firnline.administrator connections:read", False, False),
        ("", False, False),
    ],
)
async def test_signed_token_opens_by_a_closed_list_of_words(
    served: ServedProject, scope: str, reads: bool, writes: bool
) -> None:
    token = served.signer.issue_token("acme", "ana@acme.example", more={"scope": scope})
    read = await served.ask("GET", f"{ACME}/connections", token)
    link = await served.ask("POST", f"{ACME}/connect-links", token)
    assert (read.status_code, link.status_code) == (200 if reads else 403, 201 if writes else 403)
    elsewhere = await served.ask("GET", f"{BETA}/connections", token)
    assert elsewhere.status_code == (404 if reads else 403)


@pytest.mark.parametrize(
    "more",
    [
        {"headers": {"x-tenant": "beta", "host": "beta.firnline.example"}},
        {"headers": {"x-original-url": f"{BETA}/connections", "x-rewrite-url": "/"}},
        {"headers": {"cookie": "tenant=beta"}},
    ],
)
async def test_tenant_of_the_path_must_be_the_credential_s_whatever_else_is_sent(
    served: ServedProject, more: dict[str, Any]
) -> None:
    key = await served.key(READ)
    answer = await served.ask("GET", f"{ACME}/connections/crm", key, **more)
    assert answer.json()["account_name"] == "acme Inc"
    assert refusal(await served.ask("GET", f"{BETA}/connections", key, **more))[0] == 404


async def test_parameter_that_is_not_taken_is_refused_not_ignored(served: ServedProject) -> None:
    key = await served.key(READ)
    for query in ("tenant=beta", "person=a@b.example&person=c@d.example", "persn=a@b.example"):
        answer = await served.ask("GET", f"{ACME}/connections/crm?{query}", key)
        assert refusal(answer) == (400, "malformed_request")
    long = await served.ask("GET", f"{ACME}/connections/crm?person={'a' * 301}", key)
    assert refusal(long) == (400, "malformed_request")


async def test_no_other_origin_reads_an_answer(served: ServedProject) -> None:
    key = await served.key(READ)
    origin = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    answer = await served.ask("GET", f"{ACME}/connections", key, headers=origin)
    asked = await served.ask("OPTIONS", f"{ACME}/connections", key, headers=origin)
    assert asked.status_code == 405
    for each in (answer, asked):
        assert not [name for name in each.headers if name.startswith("access-control")]


async def test_refusals_are_json_also_for_browsers(served: ServedProject) -> None:
    answer = await served.ask("GET", f"{ACME}/connections", headers={"accept": "text/html"})
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.status_code == 401


async def test_wrong_method_and_path_are_refused(served: ServedProject) -> None:
    key = await served.key(READ, WRITE, LINK)
    assert refusal(await served.ask("DELETE", f"{ACME}/connections/crm", key))[0] == 405
    assert refusal(await served.ask("GET", f"{ACME}/connections/crm/revoke", key))[0] == 405
    assert refusal(await served.ask("POST", f"{ACME}/connections/crm/explode", key))[0] == 404
    assert refusal(await served.ask("GET", f"{ROOT}/tenants", key))[0] == 404


# -- what is changed -----------------------------------------------------------------------------


async def test_connection_is_switched_off_and_on_with_a_reason(own: ServedProject) -> None:
    key = await own.key(WRITE)
    off = await acted(own, "disable", key, json={"reason": "migrating"})
    assert off.status_code == 200, off.text
    assert (off.json()["state"], off.json()["reason"]) == ("disabled", "migrating")
    on = await acted(own, "enable", key)
    assert on.json()["name"] == "crm"
    assert on.json()["state"] != "disabled"


async def test_ended_connection_is_told_as_revoked_and_cannot_be_renewed(
    own: ServedProject,
) -> None:
    await own.connect("acme", "desk", person="zoe@acme.example")
    key = await own.key(READ, WRITE)
    mine = {"person": "zoe@acme.example"}
    path = f"{ACME}/connections/desk"
    ended = await own.ask("POST", f"{path}/revoke", key, params=mine, json={"reason": "left us"})
    assert ended.json()["state"] == "revoked"
    assert "left us" in ended.json()["reason"]
    assert (await own.ask("GET", path, key, params=mine)).json()["state"] == "revoked"
    again = await own.ask("POST", f"{path}/refresh", key, params=mine)
    assert again.status_code == 409


async def test_unknown_connection_is_named_as_such(served: ServedProject) -> None:
    key = await served.key(READ, WRITE)
    for method, tail in (("GET", ""), *(("POST", f"/{each}") for each in ("test", "revoke"))):
        answer = await served.ask(method, f"{ACME}/connections/nothing{tail}", key)
        assert refusal(answer) == (404, "unknown_connection")


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (b"{", {}, (400, "malformed_request")),
        (b"[]", {}, (400, "malformed_request")),
        (b'{"reason": 7}', {}, (400, "malformed_request")),
        (b'{"because": "x"}', {}, (400, "malformed_request")),
        (b'{"reason": "a\\nb"}', {}, (400, "malformed_request")),
        (b'{"reason": "' + b"x" * 301 + b'"}', {}, (400, "malformed_request")),
        (b'{"reason": "' + b"x" * 20_000 + b'"}', {}, (413, "body_too_large")),
        (b"reason=x", {"content-type": "application/x-www-form-urlencoded"}, (415, "media_type")),
        (b'{"reason": "x"}', {"content-type": "text/plain"}, (415, "media_type")),
    ],
)
async def test_body_that_cannot_be_used_changes_nothing(
    served: ServedProject, body: bytes, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    key = await served.key(READ, WRITE)
    sent = {"content-type": "application/json", **headers}
    answer = await acted(served, "revoke", key, content=body, headers=sent)
    assert refusal(answer) == expected
    assert (await served.ask("GET", f"{ACME}/connections/crm", key)).json()["state"] != "revoked"


async def test_body_where_none_is_taken_is_refused(served: ServedProject) -> None:
    key = await served.key(WRITE)
    answer = await acted(served, "enable", key, json={"reason": "x"})
    assert refusal(answer) == (400, "malformed_request")


async def test_every_change_is_on_record_with_who_asked_also_when_it_failed(
    own: ServedProject,
) -> None:
    key = await own.key(WRITE)
    token = own.signer.issue_token("acme", "ana@acme.example", more={"scope": "firnline.admin"})
    await acted(own, "disable", key, json={"reason": "for the record"})
    await acted(own, "enable", token)
    await own.ask("POST", f"{ACME}/connections/desk/test", key, params={"person": "bo@x.test"})
    own_chain = own.app.auditing.chain
    while True:
        entries = [
            (row.person, content := orjson.loads(row.content))
            async for row in own_chain.entries("acme")
            if any(word.startswith("admin: ") for word in orjson.loads(row.content)["operation"])
        ]
        told = [
            (person, each["operation"][0], each["outcome"], each["credential"].split(":")[0])
            for person, each in entries
        ]
        if ("", "admin: test desk", "not_connected", "key") in told:
            break
        await asyncio.sleep(0.05)
    assert ("", "admin: disable crm", "done", "key") in told
    assert ("ana@acme.example", "admin: enable crm", "done", "jti") in told
    assert any(each.get("about") == "bo@x.test" for _, each in entries)
    assert content is not None
    await own_chain.verify("acme")


# -- connect links -------------------------------------------------------------------------------


async def test_connect_link_is_made_as_ordered(served: ServedProject) -> None:
    key = await served.key(LINK)
    order = {"connections": ["crm"], "lifetime_s": 600}
    made = await served.ask("POST", f"{ACME}/connect-links", key, json=order)
    assert made.status_code == 201, made.text
    told = made.json()
    assert "/connect/acme?" in told["url"]
    assert (told["tenant"], told["connections"], told["person"]) == ("acme", ["crm"], None)
    whole = await served.ask("POST", f"{ACME}/connect-links", key)
    assert whole.status_code == 201
    assert whole.json()["connections"] == []
    assert whole.json()["url"] != told["url"]


@pytest.mark.parametrize(
    ("order", "status"),
    [
        ({"connections": ["nothing"]}, 404),
        ({"connections": "crm"}, 400),
        ({"lifetime_s": 1}, 400),
        ({"lifetime_s": "600"}, 400),
        ({"lifetime_s": 10**9}, 400),
        ({"person": "nobody"}, 400),
        ({"return_to": "https://evil.example/"}, 400),
        ({"tenant": "beta"}, 400),
    ],
)
async def test_connect_link_that_cannot_be_made_is_refused(
    served: ServedProject, order: dict[str, Any], status: int
) -> None:
    key = await served.key(LINK)
    answer = await served.ask("POST", f"{ACME}/connect-links", key, json=order)
    assert refusal(answer)[0] == status


# -- events --------------------------------------------------------------------------------------


async def changes(served: ServedProject, count: int, tenant: str = "acme") -> list[int]:
    """Let a person's own connection change so often; return the events' numbers."""
    person = f"p{await served.app.state.connection_events.newest()}@{tenant}.example"
    row = await served.connect(tenant, "desk", person=person)
    for number in range(count - 1):
        state = "disabled" if number % 2 == 0 else "active"
        row = await served.app.state.save_connection(
            replace(row, state=state, updated_at=served.app.clock.now())
        )
    newest = await served.app.state.connection_events.newest()
    return list(range(newest - count + 1, newest + 1))


async def test_page_of_events_goes_on_from_its_end(served: ServedProject) -> None:
    numbers = await changes(served, 5)
    key = await served.key(READ)
    after, found = numbers[0] - 1, []
    for expected in ([0, 1], [2, 3], [4], []):
        answer = await served.ask("GET", EVENTS, key, params={"after": after, "limit": 2})
        page = answer.json()
        assert [each["number"] for each in page["events"]] == [numbers[each] for each in expected]
        assert page["has_more"] is (len(expected) == 2)
        found += page["events"]
        after = page["after"]
    assert after == numbers[-1]
    assert [each["before"] for each in found] == [None, "active", "disabled", "active", "disabled"]


async def test_events_of_other_tenants_are_left_out(served: ServedProject) -> None:
    theirs = await changes(served, 2, "beta")
    key, all_key = await served.key(READ), await served.key(READ, tenant="*")
    page = (await served.ask("GET", EVENTS, key, params={"limit": 1000})).json()
    assert {each["tenant"] for each in page["events"]} == {"acme"}
    everybody = (await served.ask("GET", EVENTS, all_key, params={"limit": 1000})).json()
    assert {each["tenant"] for each in everybody["events"]} == {"acme", "beta"}
    asked = {"tenant": "beta", "after": theirs[0] - 1}
    beta = (await served.ask("GET", EVENTS, all_key, params=asked)).json()
    assert [each["number"] for each in beta["events"]] == theirs


@pytest.mark.parametrize(
    "query",
    ["after=-1", "after=x", "after=1e3", "after=٣", "limit=0", "limit=1001", "after=" + "9" * 30],
)
async def test_number_out_of_bounds_is_refused(served: ServedProject, query: str) -> None:
    key = await served.key(READ)
    assert refusal(await served.ask("GET", f"{EVENTS}?{query}", key)) == (400, "malformed_request")


Frames = AsyncIterator[dict[str, str]]


async def frames(answer: httpx2.Response) -> Frames:
    """Yield the events of a stream: their fields, without comments and `retry`."""
    frame: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if not line:
            if "data" in frame:
                yield frame
            frame = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            frame[name] = value.removeprefix(" ")


@asynccontextmanager
async def streamed(
    served: ServedProject, key: str, query: str = "", **headers: str
) -> AsyncIterator[Frames]:
    sent = {"authorization": f"Bearer {key}", "accept": "text/event-stream", **headers}
    async with (
        asyncio.timeout(20),
        served.http.stream("GET", f"{EVENTS}{query}", headers=sent) as answer,
    ):
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield frames(answer)


async def test_stream_tells_what_happened_and_what_happens(served: ServedProject) -> None:
    before = await changes(served, 3)
    key = await served.key(READ)
    async with streamed(served, key, f"?after={before[0] - 1}") as told:
        assert [int((await anext(told))["id"]) for _ in before] == before
        later = await changes(served, 2)
        await changes(served, 2, "beta")
        last = await changes(served, 1)
        frame = await anext(told)
        assert frame["event"] == "connection"
        assert json.loads(frame["data"])["tenant"] == "acme"
        assert [int(frame["id"]), int((await anext(told))["id"])] == later
        assert int((await anext(told))["id"]) == last[0]


async def test_stream_that_broke_off_goes_on_without_loss_or_repetition(
    served: ServedProject,
) -> None:
    numbers = await changes(served, 6)
    key = await served.key(READ)
    start = numbers[0] - 1
    async with streamed(served, key, f"?after={start}") as told:
        first = [int((await anext(told))["id"]) for _ in range(3)]
    more = await changes(served, 2)  # while nobody listens
    resumed = {"last-event-id": str(first[-1])}
    async with streamed(served, key, f"?after={start}", **resumed) as told:
        rest = [int((await anext(told))["id"]) for _ in range(5)]
    assert first + rest == numbers + more


async def test_stream_hears_of_another_process_s_changes(served: ServedProject) -> None:
    key = await served.key(READ)
    newest = await served.app.state.connection_events.newest()
    other = await State.open(served.app.settings)
    try:
        async with streamed(served, key, f"?after={newest}") as told:
            row = await served.connect("acme", "desk", person="other@acme.example")
            assert int((await anext(told))["id"]) == newest + 1
            await other.save_connection(
                replace(row, state="disabled", updated_at=served.app.clock.now())
            )
            assert json.loads((await anext(told))["data"])["state"] == "disabled"
    finally:
        await other.close()


@pytest.mark.parametrize("is_idle", [True, False])
async def test_stream_ends_when_its_key_is_revoked(
    served: ServedProject, is_idle: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_idle:
        monkeypatch.setattr(stream.EventFeed.__init__, "__kwdefaults__", {"check_every_s": 0.1})
    key = await served.key(READ)
    newest = await served.app.state.connection_events.newest()
    async with streamed(served, key, f"?after={newest}") as told:
        await changes(served, 1)
        await anext(told)
        await served.app.state.api_keys.revoke(key.split("_")[1], at=served.app.clock.now())
        if not is_idle:
            await asyncio.sleep(1.0)
            await changes(served, 1)
        frame = await anext(told)
        assert frame["event"] == "refused"
        (error,) = json.loads(frame["data"])["errors"]
        assert error["extensions"]["code"] == "api_key_refused"
        assert (await anext(told))["event"] == "end"


async def test_stream_ends_when_its_key_runs_out(served: ServedProject) -> None:
    key = await served.key(READ, lifetime=timedelta(seconds=4))
    newest = await served.app.state.connection_events.newest()
    async with streamed(served, key, f"?after={newest}") as told:
        frame = await anext(told)
        assert frame["event"] == "refused"
        assert "token_expired" in frame["data"]


async def test_streams_of_one_credential_are_bounded(served: ServedProject) -> None:
    key = await served.key(READ)
    newest = await served.app.state.connection_events.newest()
    places = 25
    async with served.http.stream("GET", "/healthz"):
        opened = [streamed(served, key, f"?after={newest}") for _ in range(places)]
        for each in opened:
            await each.__aenter__()
        headers = {"accept": "text/event-stream"}
        refused = await served.ask("GET", EVENTS, key, headers=headers)
        assert refusal(refused) == (429, "too_many_subscriptions")
        for each in reversed(opened):
            await each.__aexit__(None, None, None)
    async with streamed(served, key, f"?after={newest - 1}") as told:
        assert (await anext(told))["event"] == "connection"


async def test_head_of_the_events_opens_no_stream(served: ServedProject) -> None:
    key = await served.key(READ)
    answer = await served.ask("HEAD", EVENTS, key, headers={"accept": "text/event-stream"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"


async def test_heartbeat_and_opening_are_sent_before_any_event(served: ServedProject) -> None:
    key = await served.key(READ)
    newest = await served.app.state.connection_events.newest()
    sent = {"authorization": f"Bearer {key}", "accept": "text/event-stream"}
    path = f"{EVENTS}?after={newest}"
    async with served.http.stream("GET", path, headers=sent) as answer:
        async for line in answer.aiter_lines():
            assert line == "retry: 2000"
            break


# -- the description -----------------------------------------------------------------------------


async def test_description_is_current_and_describes_every_endpoint(served: ServedProject) -> None:
    text = (bundled_schema_dir() / openapi.FILE).read_text("utf-8")
    assert text == openapi.rendered(), "run: python -m firnline.web.admin.openapi --write"
    document = json.loads(text)
    described = {
        (method.upper(), path) for path, each in document["paths"].items() for method in each
    }
    assert described == {(each.method, each.path) for each in ENDPOINTS}
    names = [
        operation["operationId"]
        for each in document["paths"].values()
        for operation in each.values()
    ]
    assert len(set(names)) == len(names)


async def test_every_reference_of_the_description_leads_somewhere() -> None:
    text = openapi.rendered()
    schemas = json.loads(text)["components"]["schemas"]
    assert {*re.findall(r"#/components/schemas/(\w+)", text)} <= set(schemas)


async def test_answers_are_as_the_description_says(served: ServedProject) -> None:
    schemas = openapi.document()["components"]["schemas"]
    key = await served.key(READ, WRITE, LINK)
    page = (await served.ask("GET", EVENTS, key)).json()
    shown = {
        "ConnectionList": (await served.ask("GET", f"{ACME}/connections", key)).json(),
        "Connection": (await served.ask("GET", f"{ACME}/connections/crm", key)).json(),
        "ConnectLinkMade": (await served.ask("POST", f"{ACME}/connect-links", key)).json(),
        "EventPage": page,
        "Event": page["events"][0],
    }
    for name, answer in shown.items():
        assert set(answer) == set(schemas[name]["properties"]), name
        assert set(schemas[name]["required"]) == set(answer), name
    refused = await served.ask("GET", f"{BETA}/connections", key)
    assert set(refused.json()) == set(schemas["Refusal"]["properties"])
