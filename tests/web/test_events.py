"""Events go out one at a time; hearts beat whatever is worked on; the end is always said."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send
from tests.web.conftest import listening

from firnline.web.connection import CONNECTION
from firnline.web.events import EventsReply
from firnline.web.open_streams import OpenStreams, TooManySubscriptionsError

COMPLETE = "event: complete\ndata:\n\n"


@dataclass
class Client:
    """An ASGI server with its client, who may be slow or leave; `connection` is the one below."""

    chunks: list[str] = field(default_factory=list)
    reads: asyncio.Event = field(default_factory=asyncio.Event)
    leaves: asyncio.Event = field(default_factory=asyncio.Event)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    is_aborted: bool = False
    is_ended: bool = False

    def __post_init__(self) -> None:
        self.reads.set()

    def abort(self) -> None:
        self.is_aborted = True

    async def receive(self) -> Message:
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        await self.reads.wait()
        if message["type"] == "http.response.body":
            self.chunks.append(message["body"].decode())
            self.is_ended = not message["more_body"]

    @property
    def scope(self) -> Scope:
        return {"type": "http", "extensions": {CONNECTION: {"of": self}}}

    async def take(self, reply: EventsReply) -> str:
        async with asyncio.timeout(20):
            await reply(self.scope, self.receive, self.send)
        return "".join(self.chunks)

    def codes(self) -> list[str]:
        """Return the codes of the errors that were sent."""
        bodies = [orjson.loads(each.split("data: ")[1]) for each in self.chunks if "data: " in each]
        return [error["extensions"]["code"] for body in bodies for error in body.get("errors", ())]


@dataclass
class Answers:
    """What follows: each after a pause, the number of which has been made at `made`."""

    pauses_s: list[float]
    made: int = 0
    ended: int = 0

    async def next(self) -> bytes | None:
        if not self.pauses_s:
            return None
        try:
            await asyncio.sleep(self.pauses_s.pop(0))
        finally:
            self.ended += 1
        self.made += 1
        return b'{"data":%d}' % self.made


def reply(answers: Answers, **changes: Any) -> EventsReply:
    return EventsReply(b'{"data":0}', answers, **{"seconds_left": 60.0, **changes})


async def test_answers_go_out_in_order_and_the_end_is_said() -> None:
    client = Client()
    sent = await client.take(reply(Answers([0, 0])))
    expected = "".join(f'event: next\ndata: {{"data":{n}}}\n\n' for n in range(3))
    assert sent == expected + COMPLETE
    assert client.is_ended


async def test_single_answer_is_complete_at_once() -> None:
    assert await Client().take(EventsReply(b"{}")) == "event: next\ndata: {}\n\n" + COMPLETE


async def test_hearts_beat_while_an_answer_is_worked_on() -> None:
    sent = await Client().take(reply(Answers([0.5]), heartbeat_s=0.05))
    assert sent.count(":\n\n") >= 3
    assert sent.endswith('event: next\ndata: {"data":1}\n\n' + COMPLETE)


async def test_slow_reader_misses_answers_and_none_piles_up() -> None:
    client, answers = Client(), Answers([0.0] * 5)
    client.reads.clear()
    taking = asyncio.create_task(client.take(reply(answers)))
    await asyncio.sleep(0.1)
    assert answers.made == 0  # the first is not out: nothing is made that would have to wait
    client.reads.set()
    assert (await taking).endswith(COMPLETE)


async def test_reader_who_reads_nothing_for_long_is_gone() -> None:
    client = Client()
    client.reads.clear()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await client.send(message)

    with pytest.raises(ClientDisconnect):
        await reply(Answers([]), stalled_s=0.05)(client.scope, client.receive, send)
    assert client.is_aborted


async def test_end_of_the_token_ends_the_stream_with_its_reason() -> None:
    client, answers = Client(), Answers([60])
    await client.take(reply(answers, seconds_left=0.1))
    assert client.codes() == ["token_expired"]
    assert client.chunks[-1] == COMPLETE
    assert (answers.made, answers.ended) == (0, 1)  # what was being made has ended, too


async def test_nothing_is_sent_once_the_token_has_ended() -> None:
    client = Client()
    await client.take(reply(Answers([0.0]), seconds_left=0.0))
    assert client.codes() == ["token_expired"]
    assert len(client.chunks) == 3


async def test_stopping_server_ends_the_stream_with_its_reason() -> None:
    client, answers = Client(), Answers([60])
    asyncio.get_running_loop().call_later(0.05, client.stopping.set)
    await client.take(reply(answers))
    assert client.codes() == ["server_stopping"]
    assert client.chunks[-1] == COMPLETE
    assert answers.ended == 1


@pytest.mark.parametrize("end", ["leaves", "fails", "completes"])
async def test_place_is_free_when_the_stream_has_ended(end: str) -> None:
    places = OpenStreams(tenant_max=1, person_max=1, total_max=1)
    held = ExitStack()
    held.enter_context(places.place("acme", "ana"))
    assert len(places) == 1
    client, answers = Client(), Answers([60] if end == "leaves" else [])
    if end == "leaves":
        asyncio.get_running_loop().call_later(0.05, client.leaves.set)
    if end == "fails":
        answers.next = _fails  # type: ignore[method-assign]
    try:
        await client.take(reply(answers, place=held))
    except (ClientDisconnect, ZeroDivisionError) as error:
        assert isinstance(error, ZeroDivisionError) == (end == "fails")
    assert len(places) == 0
    assert client.is_ended == (end == "completes")


async def _fails() -> bytes | None:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("bounds", "whose"),
    [((9, 2, 9), "of this person"), ((2, 9, 9), "of this tenant"), ((9, 9, 2), "in all")],
)
def test_places_are_bounded(bounds: tuple[int, int, int], whose: str) -> None:
    tenant_max, person_max, total_max = bounds
    places = OpenStreams(tenant_max=tenant_max, person_max=person_max, total_max=total_max)
    with places.place("acme", "ana"), places.place("acme", "ana"):
        with pytest.raises(TooManySubscriptionsError, match=f"^2 subscriptions {whose}"):
            places.place("acme", "ana").__enter__()
        free: Callable[[], Any] = lambda: places.place("globex", "ben")  # noqa: E731
        if whose == "in all":
            with pytest.raises(TooManySubscriptionsError):
                free().__enter__()
        else:
            with free():
                assert len(places) == 3
    assert len(places) == 0


def test_connection_of_a_client_that_reads_nothing_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    """Closing it would wait for the client to read what is left."""
    ended = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                await EventsReply(b"x" * 50_000_000, stalled_s=0.2)(scope, receive, send)
            except ClientDisconnect:
                ended.set()

    with listening(app) as url:
        address = urlsplit(url)
        with socket.create_connection((address.hostname, address.port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            assert ended.wait(20)
            received = 0
            with suppress(ConnectionResetError):
                while part := client.recv(1 << 20):
                    received += len(part)
            assert received < 50_000_000
    assert not caplog.records
