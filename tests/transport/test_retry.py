"""What is sent again: the table, the documented table, and writes of which nothing left."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.transport.loopback import serve_raw
from tests.transport.test_transport import ORIGIN, Script, fixed_clock, get, speaking_to

from firnline.connectors.protocol import ErrorClass, Grounds, Response, Verdict
from firnline.transport import (
    AccountLanes,
    OutboundCall,
    ProviderError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    ProviderUnreachableError,
    RecentCalls,
    Transport,
)
from firnline.transport.retry import ATTEMPTS_MAX, WAITS, Wait, wait_before_repeating

DOCUMENT = Path(__file__).parents[2] / "docs" / "outbound.md"
WRITE = {"method": "POST", "json": {"k": 1}, "repeatable": False}


def test_every_class_has_a_rule() -> None:
    assert set(WAITS) == set(ErrorClass)
    repeated = {each for each, wait in WAITS.items() if wait is not Wait.NEVER}
    assert repeated == {ErrorClass.TRANSIENT, ErrorClass.RATE_LIMITED}


@pytest.mark.parametrize("error_class", ErrorClass)
def test_call_that_is_not_repeatable_is_repeated_only_without_effect(
    error_class: ErrorClass,
) -> None:
    assert wait_before_repeating(error_class, repeatable=False, had_no_effect=False) is Wait.NEVER
    assert (
        wait_before_repeating(error_class, repeatable=False, had_no_effect=True)
        is WAITS[error_class]
    )


def test_documented_table_is_what_is_done() -> None:
    found = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|", DOCUMENT.read_text("utf-8"), re.M)
    said = {name: (again, write) for name, again, write in found}
    words = {Wait.NEVER: "no", Wait.BACKOFF: "yes, backoff", Wait.AS_ASKED: "yes, as asked"}
    writes = {Wait.NEVER: "no", Wait.BACKOFF: "if nothing left", Wait.AS_ASKED: "if refused whole"}

    assert said == {each.value: (words[wait], writes[wait]) for each, wait in WAITS.items()}
    assert f"at most {ATTEMPTS_MAX} times" in DOCUMENT.read_text("utf-8")


@pytest.mark.parametrize("grounds", Grounds)
async def test_calls_are_sent_as_often_as_the_table_says(grounds: Grounds) -> None:
    script = Script(400)
    verdict = Verdict(grounds)

    def judge(_response: Response) -> Verdict:
        return verdict

    async with speaking_to(script) as transport:
        for call in (get(judge=judge), get(judge=judge, **WRITE)):
            script.calls = 0
            try:
                await transport.send(call, deadline_s=600)
            except ProviderError as error:
                assert error.error_class is grounds.error_class
            wait = WAITS[grounds.error_class]
            is_sent_again = (call.repeatable and wait is not Wait.NEVER) or (wait is Wait.AS_ASKED)
            assert script.calls == (ATTEMPTS_MAX if is_sent_again else 1)


async def test_provider_in_trouble_that_says_how_long_is_left_alone_that_long() -> None:
    clock = fixed_clock()
    async with speaking_to(
        Script(503, 200, headers={"retry-after": "20"}), clock=clock
    ) as transport:
        await transport.send(get(), deadline_s=60)
    assert clock.monotonic() == 20.0

    async with speaking_to(Script(503, headers={"retry-after": "120"}), clock=clock) as transport:
        with pytest.raises(ProviderUnavailableError) as raised:
            await transport.send(get(), deadline_s=60)
    assert raised.value.as_dict()["retry_after_s"] == 120.0


async def test_write_that_found_nobody_listening_is_sent_again() -> None:
    log = RecentCalls()
    clock = fixed_clock()
    async with Transport(
        routes={ORIGIN: "http://127.0.0.1:1"}, clock=clock, draw=lambda: 0.0, call_log=log
    ) as transport:
        with pytest.raises(ProviderUnreachableError) as raised:
            await transport.send(get(**WRITE), deadline_s=60)

    assert not raised.value.was_sent
    assert [record.attempts for record in log.of("acme", "desk")] == [ATTEMPTS_MAX]


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"])
async def test_write_whose_connection_broke_is_never_sent_again(answer: bytes) -> None:
    """The provider has it: whether it was done, nobody knows."""
    received: list[bytes] = []

    async def drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read(100))
        writer.write(answer)
        await writer.drain()

    async with (
        serve_raw(drop) as origin,
        Transport(routes={ORIGIN: origin}, clock=fixed_clock(), draw=lambda: 0.0) as transport,
    ):
        with pytest.raises(ProviderUnreachableError) as raised:
            await transport.send(get(**WRITE), deadline_s=60)

    assert raised.value.was_sent
    assert received == [b'{"k":1}']


async def test_write_that_got_no_answer_in_time_is_never_sent_again() -> None:
    received = 0

    async def silent(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        nonlocal received
        received += 1
        await asyncio.sleep(60)

    async with (
        serve_raw(silent) as origin,
        Transport(
            routes={ORIGIN: origin}, clock=fixed_clock(), draw=lambda: 0.0, read_timeout_s=0.1
        ) as transport,
    ):
        with pytest.raises(ProviderTimeoutError) as raised:
            await transport.send(get(**WRITE), deadline_s=60)

    assert raised.value.was_sent
    assert received == 1


class Refusing(AccountLanes):
    """A governor that has no place the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    @asynccontextmanager
    async def admit(self, call: OutboundCall, ends_at: float) -> AsyncIterator[None]:
        self.asked += 1
        if self.asked == 1:
            refused = ProviderUnavailableError(call.destination, "no place", retry_after_s=3.0)
            refused.was_sent = False
            raise refused
        async with super().admit(call, ends_at):
            yield


async def test_write_that_the_governor_refused_may_be_sent_again() -> None:
    clock = fixed_clock()
    script = Script(201)
    async with speaking_to(script, clock=clock, governor=Refusing()) as transport:
        assert (await transport.send(get(**WRITE), deadline_s=60)).status == 201

    assert (script.calls, clock.monotonic()) == (1, 3.0)


async def test_governor_sees_every_answer_once() -> None:
    class Learning(AccountLanes):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[tuple[int, ErrorClass | None]] = []

        def learn(
            self, call: OutboundCall, response: Response, verdict: Verdict | None
        ) -> int | None:
            learnt = None if verdict is None else verdict.grounds.error_class
            self.seen.append((response.status, learnt))
            return 41 + len(self.seen)

    governor, log = Learning(), RecentCalls()
    async with speaking_to(Script(503, 429, 200), governor=governor, call_log=log) as transport:
        await transport.send(get(), deadline_s=60)

    assert governor.seen == [
        (503, ErrorClass.TRANSIENT),
        (429, ErrorClass.RATE_LIMITED),
        (200, None),
    ]
    assert [record.quota_left for record in log.of("acme", "desk")] == [44]
