"""A channel authorises its own origin only, judges by the connector, and drives conversations."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from tests.connections.conftest import SPEC, Bench

from firnline.connections import NeedsReconnectError
from firnline.connections.channel import Channel, ConversationError
from firnline.connectors.protocol import Request, Response, Steps, expect
from firnline.transport import (
    ForbiddenHostError,
    ProviderAnswerError,
    ProviderError,
    ProviderForbiddenError,
    ProviderNotFoundError,
    ProviderRateLimitedError,
    ProviderRefusedError,
    ProviderScopeError,
    ProviderUnavailableError,
)


@pytest.fixture
async def channel(bench: Bench) -> Channel:
    await bench.connect_clips()
    return await bench.connections.channel("acme", SPEC, "clips")


def calls(bench: Bench) -> list[str]:
    return [path for path, _ in bench.clips.seen if path != "/me"]


async def test_next_page_link_of_the_own_origin_is_followed(bench: Bench, channel: Channel) -> None:
    response = await channel.send(Request.get("https://north.paperclip.example/next?cursor=a%2Fb"))

    assert response.json()["path"] == "/next"


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.com/next",
        "https://south.paperclip.example/next",
        "https://north.paperclip.example.evil.com/next",
        "https://north.paperclip.example@evil.com/next",
        "https://north.paperclip.example:8443/next",
        "http://north.paperclip.example/next",
        "https://north.stapler.example/next",
        "//evil.com/next",
        "https://169.254.169.254/latest/meta-data",
        "https://2852039166/",
        "https://[::ffff:10.0.0.1]/",
        "next",
        "",
    ],
)
async def test_authorisation_is_never_sent_off_origin(
    bench: Bench, channel: Channel, link: str
) -> None:
    with pytest.raises(ForbiddenHostError):
        await channel.send(Request.get(link))

    assert calls(bench) == []
    assert bench.staples.seen == []


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (403, ProviderForbiddenError),
        (404, ProviderNotFoundError),
        (410, NeedsReconnectError),
        (418, ProviderRefusedError),
        (422, ProviderRefusedError),
        (429, ProviderRateLimitedError),
        (451, ProviderScopeError),
        (503, ProviderUnavailableError),
    ],
)
async def test_refusal_becomes_the_error_that_the_connector_says(
    bench: Bench, channel: Channel, status: int, expected: type[Exception]
) -> None:
    bench.clips.api_answer = (status, {"error": "because"})

    with pytest.raises(expected, match="because") as raised:
        await channel.send(Request.get("/things", q="canary"))

    assert type(raised.value) is expected
    assert "paperclip (connection 'clips' of 'acme')" in str(raised.value)
    assert "canary" not in str(raised.value)


async def test_refusal_of_one_request_is_an_answer_to_a_conversation(
    bench: Bench, channel: Channel
) -> None:
    bench.clips.api_answer = (404, {})

    assert (await channel.exchange(Request.get("/gone"))).status == 404


async def test_conversation_gets_the_answers_of_each_batch_in_order(channel: Channel) -> None:
    def steps() -> Steps[list[str]]:
        seen: list[str] = []
        for size in (1, 12, 0, 3):
            batch = [Request.get(f"/{size}/{position}") for position in range(size)]
            answers = yield batch
            seen += [answer.json()["path"] for answer in answers]
        return seen

    wanted = [f"/{size}/{position}" for size in (1, 12, 3) for position in range(size)]
    assert await channel.run(steps()) == wanted


async def test_batch_runs_at_the_same_time(bench: Bench, channel: Channel) -> None:
    def steps() -> Steps[float]:
        yield [Request.get(f"/{position}") for position in range(100)]
        return 0.0

    started = time.monotonic()
    await channel.run(steps())
    assert time.monotonic() - started < 100 * 0.005 + 2
    assert len(calls(bench)) == 100


async def test_deadline_of_a_batch_counts_for_each_request_once_it_is_sent(
    bench: Bench, channel: Channel
) -> None:
    """Ninety requests at thirty a time take longer than any one of them may."""
    bench.clips.api_delay_s = 0.5

    def steps() -> Steps[int]:
        answers = yield [Request.get(f"/{position}") for position in range(90)]
        return len(answers)

    assert await channel.run(steps(), deadline_s=1.4) == 90


@pytest.mark.parametrize("size", [1, 5])
async def test_refused_step_ends_the_conversation_with_a_typed_error(
    bench: Bench, channel: Channel, size: int
) -> None:
    bench.clips.api_answer = (403, {"error": "not yours"})
    ended: list[str] = []

    def steps() -> Steps[Any]:
        requests: Sequence[Request] = [Request.get(f"/{n}?canary") for n in range(size)]
        try:
            answers = yield requests
            return [expect(channel.connector, requests[0], answers[0])]
        finally:
            ended.append("closed")

    with pytest.raises(ProviderForbiddenError, match="not yours") as raised:
        await channel.run(steps())
    assert "canary" not in str(raised.value)
    assert ended == ["closed"]


async def test_failing_call_in_a_batch_is_raised_alone_and_ends_the_conversation(
    bench: Bench, channel: Channel
) -> None:
    bench.clips.api_answer = (503, {})
    ended: list[str] = []

    def steps() -> Steps[None]:
        try:
            yield [Request.get(f"/{position}") for position in range(5)]
        finally:
            ended.append("closed")

    with pytest.raises(ProviderUnavailableError):
        await channel.run(steps())
    assert ended == ["closed"]


async def test_answer_that_is_no_json_is_a_typed_error(bench: Bench, channel: Channel) -> None:
    def steps() -> Steps[Any]:
        request = Request.get("/page")
        (answer,) = yield [request]
        return expect(channel.connector, request, Response(200, {}, b"<html>" + answer.content))

    with pytest.raises(ProviderAnswerError):
        await channel.run(steps())


async def test_conversation_without_end_is_ended(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firnline.connections.channel.STEPS_MAX", 5)

    def steps() -> Steps[None]:
        while True:
            yield [Request.get("/again")]

    with pytest.raises(ConversationError):
        await channel.run(steps())


async def test_batch_beyond_the_limit_is_refused_before_anything_is_sent(
    bench: Bench, channel: Channel
) -> None:
    def steps() -> Steps[None]:
        yield [Request.get("/x")] * 1001

    with pytest.raises(ConversationError):
        await channel.run(steps())
    assert calls(bench) == []


async def test_own_headers_are_sent_once_whatever_their_case(
    bench: Bench, channel: Channel
) -> None:
    await channel.send(Request.get("/h", headers={"X-API-LEVEL": "3", "Accept": "text/csv"}))

    headers: Mapping[str, str] = bench.clips.seen[-1][1]
    assert (headers["x-api-level"], headers["accept"]) == ("3", "text/csv")


async def test_write_is_sent_again_after_a_renewal_but_not_after_an_outage(
    bench: Bench, channel: Channel
) -> None:
    write = Request("POST", "/things", json={"a": 1}, repeatable=False)
    bench.clips.expire_access()
    assert (await channel.send(write)).status == 200
    assert len(calls(bench)) == 2

    bench.clips.api_answer = (503, {})
    with pytest.raises(ProviderError):
        await channel.send(write)
    assert len(calls(bench)) == 3
