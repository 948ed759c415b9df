"""Connections' circuits around real calls: who is refused, who probes, who waits for a turn."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from starlette.requests import Request as WebRequest
from starlette.responses import PlainTextResponse
from starlette.responses import Response as WebResponse
from tests.transport.test_transport import (
    DESTINATION,
    NOW,
    ORIGIN,
    Answer,
    Script,
    fixed_clock,
    get,
    speaking_to,
)

from firnline.clock import Clock, FixedClock, SystemClock
from firnline.connectors.protocol import Grounds, Response, Verdict
from firnline.transport import (
    CircuitState,
    ConnectionCircuits,
    OutboundCall,
    ProviderCircuitOpenError,
    ProviderError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    Transport,
)
from firnline.transport.circuit import CALLS_MIN, OPEN_S

ONCE = {"method": "POST", "json": {}, "repeatable": False}


@asynccontextmanager
async def circuits_over(
    answer: Answer, *, clock: Clock | None = None, **options: Any
) -> AsyncIterator[tuple[Transport, ConnectionCircuits]]:
    clock = clock or fixed_clock()
    circuits = ConnectionCircuits(clock=clock, draw=lambda: 0.0)
    async with speaking_to(answer, clock=clock, circuits=circuits, **options) as transport:
        yield transport, circuits


async def fail(transport: Transport, count: int = CALLS_MIN, **changes: Any) -> None:
    for _ in range(count):
        with pytest.raises(ProviderError):
            await transport.send(get(**ONCE, **changes), deadline_s=5)


async def test_provider_down_for_a_minute_is_asked_twice_and_the_first_answer_closes() -> None:
    clock = fixed_clock()
    calls: list[float] = []

    def answer(_request: WebRequest) -> WebResponse:
        calls.append(clock.monotonic())
        return PlainTextResponse("{}", 503 if clock.monotonic() < 60 else 200)

    outcomes: list[tuple[float, str]] = []
    async with circuits_over(answer, clock=clock) as (transport, circuits):
        while clock.monotonic() < 120:
            try:
                await transport.send(get(**ONCE), deadline_s=5)
                outcomes.append((clock.monotonic(), "ok"))
            except ProviderError as error:
                outcomes.append((clock.monotonic(), error.code))
            await clock.sleep(0.5)
        (facts,) = circuits.of("acme", "desk")

    during = [at for at in calls if at < 60]
    assert len(during) == CALLS_MIN + 1  # those that opened it, and one probe
    recovered = [at for at in calls if at >= 60]
    assert recovered[0] == pytest.approx(4.5 + OPEN_S + 2 * OPEN_S, abs=0.6)
    assert all(code == "ok" for at, code in outcomes if at >= recovered[0])
    refused = [code for at, code in outcomes if 5 <= at < recovered[0] and code != "ok"]
    assert set(refused) == {"provider_circuit_open", "provider_unavailable"}
    assert refused.count("provider_unavailable") == 1
    assert facts.state is CircuitState.CLOSED
    assert facts.failure_share == 0.0


async def test_open_circuit_refuses_in_much_less_time_than_a_call_takes() -> None:
    script = Script(200)
    async with circuits_over(script, clock=SystemClock()) as (transport, _):
        for _ in range(20):
            await transport.send(get(), deadline_s=5)
        started = time.perf_counter()
        for _ in range(200):
            await transport.send(get(), deadline_s=5)
        answered_s = time.perf_counter() - started
        script.statuses = [503]
        with pytest.raises(ProviderCircuitOpenError):
            for _ in range(300):  # until failures are half of the window
                with pytest.raises(ProviderUnavailableError):
                    await transport.send(get(**ONCE), deadline_s=5)
        reached = script.calls

        started = time.perf_counter()
        for _ in range(200):
            with pytest.raises(ProviderCircuitOpenError) as raised:
                await transport.send(get(), deadline_s=5)
        refused_s = time.perf_counter() - started

    assert script.calls == reached
    assert refused_s < answered_s
    assert raised.value.retryable
    assert not raised.value.was_sent
    assert raised.value.status == 503
    assert 0 < raised.value.as_dict()["retry_after_s"] <= OPEN_S


async def test_circuits_of_other_connections_tenants_and_the_token_endpoint_stay_closed() -> None:
    script = Script(503)
    async with circuits_over(script) as (transport, circuits):
        await fail(transport)
        for changes in (
            {"destination": replace(DESTINATION, connection="other")},
            {"destination": replace(DESTINATION, tenant="globex")},
            {"target": "token"},
        ):
            with pytest.raises(ProviderUnavailableError):
                await transport.send(get(**ONCE, **changes), deadline_s=5)
        states = {(each.tenant, each.connection, each.target): each for each in circuits.facts()}

    opened = [key for key, facts in states.items() if facts.state is CircuitState.OPEN]
    assert opened == [("acme", "desk", "api")]
    assert len(states) == 4
    assert states["acme", "desk", "api"].failure_share == 1.0
    assert states["acme", "desk", "api"].since == NOW


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 429])
async def test_refusals_never_open_a_circuit(status: int) -> None:
    script = Script(status)
    async with circuits_over(script) as (transport, circuits):
        for _ in range(3 * CALLS_MIN):
            try:
                await transport.send(get(), deadline_s=0.5)
            except ProviderError as error:
                assert status == 429, error
    (facts,) = circuits.facts()
    assert facts.state is CircuitState.CLOSED


async def test_record_that_is_locked_does_not_speak_against_the_provider() -> None:
    def judge(_response: Response) -> Verdict:
        return Verdict(Grounds.UNAVAILABLE, "unable to lock row")

    async with circuits_over(Script(400)) as (transport, circuits):
        await fail(transport, 3 * CALLS_MIN, judge=judge)
    assert circuits.facts()[0].state is CircuitState.CLOSED


async def test_trouble_told_in_a_200_speaks_against_the_provider() -> None:
    def judge(_response: Response) -> Verdict:
        return Verdict(Grounds.UNAVAILABLE, "API temporarily unavailable")

    async with circuits_over(Script(200)) as (transport, circuits):
        await fail(transport, judge=judge)
    assert circuits.facts()[0].state is CircuitState.OPEN


async def test_callers_without_patience_do_not_speak_against_the_provider() -> None:
    async def slow(_request: WebRequest) -> WebResponse:
        await asyncio.sleep(0.2)
        return PlainTextResponse("{}")

    async with circuits_over(slow, clock=SystemClock()) as (transport, circuits):
        for _ in range(2 * CALLS_MIN):
            with pytest.raises(ProviderTimeoutError):
                await transport.send(get(**ONCE), deadline_s=0.02)
    assert circuits.facts()[0].failure_share == 0.0


async def test_provider_that_nobody_reaches_opens_the_circuit() -> None:
    clock = fixed_clock()
    circuits = ConnectionCircuits(clock=clock, draw=lambda: 0.0)
    async with Transport(
        routes={ORIGIN: "http://127.0.0.1:1"}, clock=clock, circuits=circuits, draw=lambda: 0.0
    ) as transport:
        for _ in range(CALLS_MIN // 2):  # each is sent again, as nothing left
            with pytest.raises(ProviderError):
                await transport.send(get(**ONCE), deadline_s=60)

    assert circuits.facts()[0].state is CircuitState.OPEN


async def test_call_over_which_the_circuit_opens_tells_what_the_provider_did() -> None:
    async with circuits_over(Script(503)) as (transport, circuits):
        await fail(transport, CALLS_MIN - 2)
        with pytest.raises(ProviderUnavailableError, match="answered 503"):
            await transport.send(get(), deadline_s=60)
    assert circuits.facts()[0].state is CircuitState.OPEN


async def test_only_one_of_many_callers_probes_and_all_are_served_slowly_afterwards() -> None:
    """A hundred callers wait for the provider: it never gets more than twice as many at a time."""
    clock = FixedClock(NOW)
    script = Script(503)
    running = 0
    peaks: list[int] = []
    arrived, release = asyncio.Event(), asyncio.Event()

    async def answer(request: WebRequest) -> WebResponse:
        nonlocal running
        if request.method == "POST":
            return script(request)
        running += 1
        peaks.append(running)
        arrived.set()
        await release.wait()
        await asyncio.sleep(0.005)
        running -= 1
        return PlainTextResponse("{}")

    wide = replace(DESTINATION, concurrency_max=1_000)

    async def call() -> str:
        try:
            await transport.send(get(destination=wide), deadline_s=30)
        except ProviderCircuitOpenError:
            return "refused"
        return "served"

    async with circuits_over(answer, clock=clock) as (transport, circuits):
        await fail(transport, destination=wide)
        await clock.sleep(OPEN_S)
        crowd = [asyncio.create_task(call()) for _ in range(100)]
        await arrived.wait()
        assert [each.state for each in circuits.facts()] == [CircuitState.HALF_OPEN]
        release.set()
        assert sorted(await asyncio.gather(*crowd)) == ["refused"] * 99 + ["served"]

        peaks.clear()
        outcomes = await asyncio.gather(*(call() for _ in range(100)))

    assert outcomes == ["served"] * 100
    assert all(peak <= 2 * (number + 1) for number, peak in enumerate(peaks))
    assert peaks[0] == 1
    assert max(peaks) > 4


async def test_call_that_gives_up_waiting_for_its_turn_leaves_it_to_the_next() -> None:
    clock = FixedClock(NOW)
    script = Script(503)
    release = asyncio.Event()

    async def answer(request: WebRequest) -> WebResponse:
        if request.url.path == "/slow":
            await release.wait()
        return script(request)

    wide = replace(DESTINATION, concurrency_max=1_000)
    async with circuits_over(answer, clock=clock) as (transport, _):
        await fail(transport, destination=wide)
        await clock.sleep(OPEN_S)
        script.statuses = [200]
        await transport.send(get(destination=wide), deadline_s=30)  # closes it

        first = asyncio.create_task(transport.send(get("/slow", destination=wide), deadline_s=30))
        await asyncio.sleep(0.05)
        waiting = [
            asyncio.create_task(transport.send(get(f"/{n}", destination=wide), deadline_s=30))
            for n in range(5)
        ]
        await asyncio.sleep(0.05)
        assert not any(task.done() for task in waiting)
        for task in waiting[:3]:
            task.cancel()
        release.set()
        assert (await first).status == 200
        done = await asyncio.gather(*waiting, return_exceptions=True)

    assert [isinstance(each, Response) for each in done] == [False] * 3 + [True] * 2


async def test_changes_are_logged_once_and_calls_are_not(caplog: pytest.LogCaptureFixture) -> None:
    clock = fixed_clock()
    script = Script(503)
    caplog.set_level(logging.INFO, "firnline.transport")
    async with circuits_over(script, clock=clock) as (transport, _):
        await fail(transport, 5 * CALLS_MIN)
        await clock.sleep(OPEN_S)
        script.statuses = [200]
        for _ in range(5):
            await transport.send(get(), deadline_s=5)

    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "zendesk (connection 'desk' of 'acme'): the provider is not called for 30 s: "
        "100 % of its calls failed",
        "zendesk (connection 'desk' of 'acme'): the provider answers again",
    ]


async def test_refused_call_is_sent_when_its_own_account_is_busy_elsewhere() -> None:
    """The circuit is asked before the governor: a refusal waits for nobody's place."""
    release = asyncio.Event()
    script = Script(503)

    async def answer(request: WebRequest) -> WebResponse:
        if request.url.path == "/slow":
            await release.wait()
            return PlainTextResponse("{}")
        return script(request)

    other = replace(DESTINATION, connection="other")
    async with circuits_over(answer) as (transport, _):
        await fail(transport)
        slow = [
            asyncio.create_task(transport.send(get("/slow", destination=other), deadline_s=30))
            for _ in range(DESTINATION.concurrency_max)
        ]
        await asyncio.sleep(0.05)
        call: OutboundCall = get()
        with pytest.raises(ProviderCircuitOpenError):
            await asyncio.wait_for(transport.send(call, deadline_s=30), 5)
        release.set()
        await asyncio.gather(*slow)
