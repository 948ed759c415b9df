"""CSRF tokens: fetched for writes only, once for all, with their cookies, again when refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.connections.entered import (
    KEY,
    PASSWORD,
    SPEC,
    USER,
    EnteredBench,
    entered_bench,
    secrets_of,
)

from firnline.connections import Connections, NeedsReconnectError
from firnline.connections.channel import Channel
from firnline.connections.csrf import CsrfRefusedError
from firnline.connectors.protocol import Request
from firnline.connectors.registry import load_connector
from firnline.transport import (
    ForbiddenHostError,
    ProviderForbiddenError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)

ROOT = "/sap/opu/odata/sap/API_BINDER/"
GET = Request.get(f"{ROOT}Things")


def write(number: int = 0) -> Request:
    return Request("POST", f"{ROOT}Things", json={"number": number}, repeatable=False)


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EnteredBench]:
    monkeypatch.setenv("FIRNLINE_CONNECTORS", str(Path(__file__).parent / "providers"))
    async with entered_bench(tmp_path / "home") as opened:
        yield opened


@pytest.fixture
async def channel(bench: EnteredBench) -> Channel:
    await bench.enter("ledger", username=USER, password=PASSWORD)
    bench.binder.seen.clear()
    return await bench.connections.channel("acme", SPEC, "ledger")


def written(bench: EnteredBench) -> list[int]:
    return [body["number"] for body in bench.binder.written]


async def test_reads_fetch_no_token_and_carry_no_session(
    bench: EnteredBench, channel: Channel
) -> None:
    await channel.send(GET)
    await channel.send(replace(GET, method="HEAD"))
    await channel.send(write())
    await channel.send(GET)

    assert bench.binder.gate.fetches == ["HEAD"]
    for seen in bench.binder.calls("GET"):
        assert "x-csrf-token" not in seen.headers
        assert "cookie" not in seen.headers


async def test_write_carries_the_token_with_the_cookies_it_is_bound_to(
    bench: EnteredBench, channel: Channel
) -> None:
    assert (await channel.send(write(1))).status == 201

    fetch, sent = bench.binder.seen
    assert (fetch.method, fetch.path, fetch.headers["x-csrf-token"]) == ("HEAD", ROOT, "Fetch")
    assert sent.headers["x-csrf-token"] not in ("", "Fetch")
    assert "SAP_SESSIONID_S4H_100=" in sent.headers["cookie"]
    assert "sap-usercontext=sap-client=100" in sent.headers["cookie"]
    assert sent.headers["authorization"].startswith("Basic ")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_every_method_that_changes_something_carries_it(
    bench: EnteredBench, channel: Channel, method: str
) -> None:
    assert (await channel.send(replace(write(), method=method))).status == 201


async def test_bearer_of_a_key_gets_a_token_too(bench: EnteredBench) -> None:
    await bench.enter("ledgerKey", api_key=KEY)
    channel = await bench.connections.channel("acme", SPEC, "ledgerKey")

    assert (await channel.send(write(1))).json()["d"]["UserName"] == "robot"


async def test_fifty_writers_at_once_fetch_one_token(bench: EnteredBench, channel: Channel) -> None:
    bench.binder.delay_s = 0.01

    await asyncio.gather(*(channel.send(write(number)) for number in range(50)))

    assert sorted(written(bench)) == list(range(50))
    assert bench.binder.gate.fetches == ["HEAD"]


async def test_token_serves_later_channels_of_the_connection(
    bench: EnteredBench, channel: Channel
) -> None:
    await channel.send(write(1))

    other = await bench.connections.channel("acme", SPEC, "ledger")
    await other.send(write(2))

    assert bench.binder.gate.fetches == ["HEAD"]


@pytest.mark.parametrize("answers_head", [True, False])
async def test_server_that_does_not_take_head_is_asked_by_get(
    bench: EnteredBench, channel: Channel, answers_head: bool
) -> None:
    bench.binder.gate.answers_head = answers_head

    await channel.send(write(1))

    assert bench.binder.gate.fetches == (["HEAD"] if answers_head else ["HEAD", "GET"])


@pytest.mark.parametrize("lost", ["token", "session", "idle"])
async def test_refused_token_is_fetched_again_once_for_all_and_each_write_is_done_once(
    bench: EnteredBench, channel: Channel, lost: str
) -> None:
    await channel.send(write(100))
    if lost == "token":
        bench.binder.gate.forget()
    elif lost == "session":
        bench.binder.sessions.close_all()
    else:
        await bench.clock.sleep(1800)
    bench.binder.delay_s = 0.01

    await asyncio.gather(*(channel.send(write(number)) for number in range(20)))

    assert sorted(written(bench)) == [*range(20), 100]
    assert bench.binder.gate.fetches == ["HEAD", "HEAD"]


async def test_token_that_is_refused_again_and_again_ends_in_a_typed_error(
    bench: EnteredBench, channel: Channel
) -> None:
    await channel.send(write(1))
    for _ in range(2):
        bench.binder.answer_once(403, **{"x-csrf-token": "Required"})
        bench.binder.answers.append((200, {"x-csrf-token": "canary-token"}, b""))

    with pytest.raises(CsrfRefusedError) as refused:
        await channel.send(write(2))

    assert written(bench) == [1]
    assert "canary" not in str(refused.value.as_dict())
    row = await bench.row("ledger")
    assert row is not None
    assert row.state == "active"
    bench.binder.answers.clear()
    await channel.send(write(3))
    assert written(bench) == [1, 3]


async def test_missing_permission_is_not_taken_for_a_missing_token(
    bench: EnteredBench, channel: Channel
) -> None:
    await channel.send(write(1))

    with pytest.raises(ProviderForbiddenError, match="No authority"):
        await channel.send(replace(write(2), path=f"{ROOT}Payroll"))

    assert bench.binder.gate.fetches == ["HEAD"]


async def test_changed_password_is_noticed_while_the_token_is_fetched(
    bench: EnteredBench, channel: Channel
) -> None:
    bench.binder.users[USER] = "changed"

    with pytest.raises(NeedsReconnectError):
        await channel.send(write())

    assert written(bench) == []
    row = await bench.row("ledger")
    assert row is not None
    assert row.state == "needs_reconnect"


async def test_outage_while_the_token_is_fetched_is_told_apart_and_passes(
    bench: EnteredBench, channel: Channel
) -> None:
    for _ in range(4):
        bench.binder.answer_once(503)

    with pytest.raises(ProviderUnavailableError):
        await channel.send(write(1))

    await channel.send(write(2))
    assert written(bench) == [2]


async def test_forbidden_service_root_is_the_writes_answer(
    bench: EnteredBench, channel: Channel
) -> None:
    for _ in range(2):
        error = {"code": "/IWFND/MED/170", "message": {"value": "No service"}}
        bench.binder.answer_once(403, {"error": error})

    with pytest.raises(ProviderForbiddenError, match="No service"):
        await channel.send(write())
    assert written(bench) == []


async def test_provider_that_tells_no_token_gets_the_write_without_one(
    bench: EnteredBench, channel: Channel
) -> None:
    for _ in range(2):
        bench.binder.answer_once(200, {})
    bench.binder.answer_once(201, {"d": {}})

    assert (await channel.send(write())).status == 201
    assert "x-csrf-token" not in bench.binder.seen[-1].headers


async def test_impatient_writer_does_not_take_the_token_from_the_others(
    bench: EnteredBench, channel: Channel
) -> None:
    bench.binder.delay_s = 0.3
    impatient = asyncio.create_task(channel.send(write(1), deadline_s=0.1))
    patient = asyncio.create_task(channel.send(write(2)))

    with pytest.raises(ProviderTimeoutError):
        await impatient
    assert (await patient).status == 201
    assert written(bench) == [2]
    assert bench.binder.gate.fetches == ["HEAD"]


async def test_token_of_an_earlier_sign_in_is_not_shown_by_a_later_one(
    bench: EnteredBench, channel: Channel
) -> None:
    """Its session is that of another user: the provider might go by the session."""
    await channel.send(write(1))
    bench.binder.users["other"] = "canary-other"
    await bench.enter("ledger", username="other", password="canary-other")
    start = len(bench.binder.seen)

    assert (await channel.send(write(2))).json()["d"]["UserName"] == "other"

    fetch, sent = bench.binder.seen[start:]
    assert fetch.headers["x-csrf-token"] == "Fetch"
    assert "cookie" not in fetch.headers
    assert sent.headers["cookie"] != bench.binder.calls("POST")[0].headers["cookie"]


async def test_tokens_of_tenants_and_people_never_meet(
    bench: EnteredBench, channel: Channel
) -> None:
    other = SPEC.model_copy(update={"tenant": "globex"})
    login = secrets_of(username=USER, password=PASSWORD)
    await bench.connections.connect_with_secrets(other, "ledger", login)
    await bench.connections.connect_with_secrets(SPEC, "ledger", login, person="ann@north.test")
    channels = [
        channel,
        await bench.connections.channel("globex", other, "ledger"),
        await bench.connections.channel("acme", SPEC, "ledger", person="ann@north.test"),
    ]

    await asyncio.gather(*(each.send(write(n)) for each in channels for n in range(10)))

    sent = [
        (seen.headers["cookie"], seen.headers["x-csrf-token"])
        for seen in bench.binder.calls("POST")
    ]
    assert len(set(sent)) == 3
    assert {sent.count(pair) for pair in set(sent)} == {10}


@pytest.mark.parametrize("link", ["https://evil.com/write", "//evil.com/write"])
async def test_write_to_another_origin_is_refused_before_a_token_is_fetched(
    bench: EnteredBench, channel: Channel, link: str
) -> None:
    with pytest.raises(ForbiddenHostError):
        await channel.send(replace(write(), path=link))

    assert bench.binder.seen == []


async def test_token_is_not_kept_beyond_the_process(bench: EnteredBench, channel: Channel) -> None:
    await channel.send(write(1))

    async with Connections.open(bench.settings, clock=bench.clock) as other:
        await (await other.channel("acme", SPEC, "ledger")).send(write(2))

    assert bench.binder.gate.fetches == ["HEAD", "HEAD"]


async def test_provider_without_a_csrf_check_is_never_asked_for_a_token(
    bench: EnteredBench,
) -> None:
    assert load_connector("stamp").manifest.csrf is None
    await bench.enter("calls", api_key=KEY)
    channel = await bench.connections.channel("acme", SPEC, "calls")

    await channel.send(Request("POST", "/things", json={}))

    assert bench.stamp.calls("HEAD") == []
