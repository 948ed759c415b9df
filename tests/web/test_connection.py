"""Attacks on a connection: framing that two servers could read in two ways, floods, and drips."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import orjson
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send
from tests.web.conftest import listening

from firnline.web.connection import MESSAGE_BYTES_MAX, PIPELINED_MAX, BoundedConnection

ASK = b"POST /first HTTP/1.1\r\nHost: a\r\n"
PLAIN = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
LAST_CHUNK = b"0\r\n\r\n"


class Echo:
    """Answers with path and body, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bytes]] = []
        self.headers: list[list[tuple[bytes, bytes]]] = []
        self.left = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        if scope["path"] == "/unread":
            await Response(status_code=401)(scope, receive, send)
            return
        try:
            body = await request.body()
        except Exception:
            self.left.set()
            raise
        self.headers.append(list(scope["headers"]))
        self.asked.append((scope["path"], body))
        await PlainTextResponse(scope["path"].encode() + b"|" + body)(scope, receive, send)


@pytest.fixture(scope="module")
def standing_echo() -> Iterator[tuple[Echo, str]]:
    app = Echo()
    with listening(app) as url:
        yield app, url


@pytest.fixture
def echo(standing_echo: tuple[Echo, str]) -> tuple[Echo, str]:
    standing_echo[0].__init__()  # type: ignore[misc] # as new
    return standing_echo


@contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    where = urlsplit(url)
    with socket.create_connection((where.hostname or "", where.port or 0), timeout=10) as wire:
        yield wire


def received(wire: socket.socket) -> bytes:
    """Return everything that comes until the server closes."""
    answer = b""
    try:
        while part := wire.recv(65536):
            answer += part
    except ConnectionError:
        pass
    return answer


def exchange(url: str, *parts: bytes) -> bytes:
    with connected(url) as wire:
        for part in parts:
            try:
                wire.sendall(part)
            except ConnectionError:
                break
        return received(wire)


def statuses(answer: bytes) -> list[int]:
    return [int(number) for number in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


AMBIGUOUS = {
    "length beside chunks": ASK + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n" + LAST_CHUNK,
    "chunks beside length": ASK + CHUNKED + b"Content-Length: 5\r\n\r\n" + LAST_CHUNK,
    "two lengths": ASK + b"Content-Length: 0\r\nContent-Length: 36\r\n\r\n",
    "two equal lengths": ASK + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "list of lengths": ASK + b"Content-Length: 0, 0\r\n\r\n",
    "signed length": ASK + b"Content-Length: +0\r\n\r\n",
    "negative length": ASK + b"Content-Length: -1\r\n\r\n",
    "hexadecimal length": ASK + b"Content-Length: 0x0\r\n\r\n",
    "length with a space inside": ASK + b"Content-Length: 0 0\r\n\r\n",
    "length over 64 bits": ASK + b"Content-Length: 18446744073709551616\r\n\r\n",
    "unknown encoding": ASK + b"Transfer-Encoding: xchunked\r\n\r\n" + LAST_CHUNK,
    "encoding under chunks": ASK + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + LAST_CHUNK,
    "encoding over chunks": ASK + b"Transfer-Encoding: chunked, identity\r\n\r\n" + LAST_CHUNK,
    "chunked twice": ASK + CHUNKED + CHUNKED + b"\r\n" + LAST_CHUNK,
    "encoding after vertical tab": ASK + b"Transfer-Encoding: \x0bchunked\r\n\r\n" + LAST_CHUNK,
    "space before the colon": ASK + b"Transfer-Encoding : chunked\r\n\r\n" + LAST_CHUNK,
    "chunks in HTTP/1.0": b"POST /first HTTP/1.0\r\nHost: a\r\n" + CHUNKED + b"\r\n" + LAST_CHUNK,
    "folded header": ASK + b"X: a\r\n Content-Length: 36\r\n\r\n",
    "bare line feeds": b"POST /first HTTP/1.1\nHost: a\nContent-Length: 0\n\n",
    "bare line feed in the head": ASK + b"X: a\nContent-Length: 0\r\n\r\n",
    "bare carriage return": ASK + b"X: a\rContent-Length: 36\r\n\r\n",
    "NUL in a value": ASK + b"X: a\x00b\r\n\r\n",
    "NUL in a name": ASK + b"X\x00: a\r\n\r\n",
    "name with a space": ASK + b"X Y: a\r\n\r\n",
    "line without colon": ASK + b"nothing\r\n\r\n",
    "no host": b"POST /first HTTP/1.1\r\n\r\n",
    "two hosts": ASK + b"Host: b\r\n\r\n",
    "version 2.0": b"POST /first HTTP/2.0\r\nHost: a\r\n\r\n",
    "version 0.9": b"POST /first HTTP/0.9\r\nHost: a\r\n\r\n",
    "preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "unknown method": b"SMUGGLE /first HTTP/1.1\r\nHost: a\r\n\r\n",
    "space in the address": b"POST /fi rst HTTP/1.1\r\nHost: a\r\n\r\n",
    "address beyond ASCII": b"POST /f\xc3\xbcrst HTTP/1.1\r\nHost: a\r\n\r\n",
    "tunnel": b"CONNECT evil.example:443 HTTP/1.1\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("attack", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_ambiguous_head_is_refused_as_json_and_nothing_behind_it_is_answered(
    echo: tuple[Echo, str], attack: bytes
) -> None:
    app, url = echo
    answer = exchange(url, attack + PLAIN)
    assert statuses(answer) == [400], answer
    assert app.asked == []
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in head
    assert b"x-content-type-options: nosniff" in head
    assert b"connection: close" in head
    assert orjson.loads(body)["errors"][0]["extensions"]["code"] == "invalid_http"


BROKEN_CHUNKS = {
    "size that is no number": b"zz\r\n",
    "size with a sign": b"+1\r\na\r\n",
    "size with a prefix": b"0x1\r\na\r\n",
    "size over 64 bits": b"fffffffffffffffff\r\n",
    "size with a space": b"1 \r\na\r\n",
    "size ended by a bare line feed": b"1\na\r\n",
    "content without its end": b"1\r\nab\r\n",
    "content ended by a bare line feed": b"1\r\na\n0\r\n\r\n",
    "extension with a bare line feed": b"1;a\nb\r\na\r\n",
}


@pytest.mark.parametrize("chunks", BROKEN_CHUNKS.values(), ids=BROKEN_CHUNKS)
def test_broken_chunk_ends_the_request_and_the_connection(
    echo: tuple[Echo, str], chunks: bytes
) -> None:
    app, url = echo
    answer = exchange(url, ASK + CHUNKED + b"\r\n", chunks + LAST_CHUNK + PLAIN)
    assert statuses(answer) == [400], answer
    assert app.asked == []
    assert app.left.wait(5), "the application still waits for the body"


def test_requests_sent_together_are_answered_in_order(echo: tuple[Echo, str]) -> None:
    app, url = echo
    body = ASK + b"Content-Length: 3\r\n\r\none"
    chunked = ASK.replace(b"first", b"second") + CHUNKED + b"\r\n3;x=y\r\ntwo\r\n" + LAST_CHUNK
    last = b"GET /third HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    answer = exchange(url, body + chunked + last)
    assert statuses(answer) == [200, 200, 200]
    assert app.asked == [("/first", b"one"), ("/second", b"two"), ("/third", b"")]


def test_garbage_behind_a_request_does_not_cost_its_answer(echo: tuple[Echo, str]) -> None:
    app, url = echo
    answer = exchange(url, ASK + b"Content-Length: 3\r\n\r\none" + b"\x00\x01\r\n\r\n" + PLAIN)
    assert statuses(answer) == [200], answer
    assert answer.endswith(b"/first|one")
    assert app.asked == [("/first", b"one")]


def test_request_behind_one_that_was_the_last_is_not_answered(echo: tuple[Echo, str]) -> None:
    app, url = echo
    answer = exchange(url, ASK + b"Connection: close\r\nContent-Length: 0\r\n\r\n" + PLAIN)
    assert (statuses(answer), app.asked) == ([200], [("/first", b"")])


OFFERS = {
    "with a length": b"Content-Length: 3\r\n\r\none",
    "in chunks": CHUNKED + b"\r\n3\r\none\r\n" + LAST_CHUNK,
}


@pytest.mark.parametrize("in_parts", [False, True])
@pytest.mark.parametrize("offer", [b"h2c", b"websocket"])
@pytest.mark.parametrize("body", OFFERS.values(), ids=OFFERS)
def test_offer_of_another_protocol_is_passed_over(
    echo: tuple[Echo, str], offer: bytes, body: bytes, in_parts: bool
) -> None:
    """Java's client offers HTTP/2 with each first request, also with a body."""
    app, url = echo
    head = ASK + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: " + offer + b"\r\n"
    last = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: upgrade, close\r\nUpgrade: h2c\r\n\r\n"
    wire = head + body + last
    parts = [wire[at : at + 7] for at in range(0, len(wire), 7)] if in_parts else [wire]
    answer = exchange(url, *parts)
    assert (statuses(answer), app.asked) == ([200, 200], [("/first", b"one"), ("/last", b"")])


def test_offer_hides_no_ambiguous_framing(echo: tuple[Echo, str]) -> None:
    app, url = echo
    head = ASK + b"Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n" + CHUNKED
    assert statuses(exchange(url, head + b"\r\n" + LAST_CHUNK + PLAIN)) == [400]
    assert app.asked == []


def test_trailers_never_become_headers(echo: tuple[Echo, str]) -> None:
    app, url = echo
    parts = (ASK + CHUNKED + b"Connection: close\r\n\r\n3\r\none\r\n0\r\n", b"X-Late: yes\r\n\r\n")
    answer = exchange(url, *parts)
    assert statuses(answer) == [200]
    assert b"x-late" not in {name for headers in app.headers for name, _ in headers}


def test_burst_of_requests_is_answered_up_to_a_bound(echo: tuple[Echo, str]) -> None:
    app, url = echo
    answer = exchange(url, PLAIN * 5000)
    assert set(statuses(answer)) == {200}
    assert len(app.asked) == PIPELINED_MAX + 1


def endless(url: str, opening: bytes, part: bytes) -> tuple[int, bytes]:
    """Send `part` until the server has had enough; return the bytes sent, and its answer."""
    sent = 0
    with connected(url) as wire:
        wire.sendall(opening)
        try:
            while sent < 64 * MESSAGE_BYTES_MAX:
                wire.sendall(part)
                sent += len(part)
        except OSError:
            pass
        return sent, received(wire)


FLOODS = {
    "name of a header": (b"GET / HTTP/1.1\r\n", b"X" * 8192),
    "value of a header": (b"GET / HTTP/1.1\r\nX: ", b"x" * 8192),
    "headers": (b"GET / HTTP/1.1\r\n", b"X: y\r\n" * 1000),
    "address": (b"GET /", b"x" * 8192),
    "extension of a chunk": (ASK + CHUNKED + b"\r\n1;", b"x" * 65536),
    "trailers": (ASK + CHUNKED + b"\r\n0\r\n", b"X: y\r\n" * 10000),
    "name of a trailer": (ASK + CHUNKED + b"\r\n0\r\n", b"X" * 65536),
    "body after its refusal": (
        b"POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n",
        b"x" * 65536,
    ),
}


@pytest.mark.parametrize(("opening", "part"), FLOODS.values(), ids=FLOODS)
def test_flood_is_cut_off_after_a_bounded_number_of_bytes(
    echo: tuple[Echo, str], opening: bytes, part: bytes
) -> None:
    app, url = echo
    sent, _ = endless(url, opening, part)
    # Beside what is taken, the kernels of both sides hold some megabytes.
    assert sent < 24 * MESSAGE_BYTES_MAX
    assert app.asked == []


def test_head_over_the_limit_in_parts_is_refused_with_its_status(echo: tuple[Echo, str]) -> None:
    _, url = echo
    with connected(url) as wire:
        wire.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
        wire.settimeout(0.02)
        answer = b""
        for _ in range(100):
            try:
                wire.sendall(b"x" * 1024)
                answer += wire.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                break
    assert statuses(answer) == [431]
    assert b"head_too_large" in answer


def test_body_that_drips_after_its_refusal_ends_with_the_time_for_a_head(
    echo: tuple[Echo, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedConnection, "head_timeout_s", 0.3)
    _, url = echo
    with connected(url) as wire:
        wire.sendall(b"POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 999\r\n\r\n")
        assert statuses(wire.recv(65536)) == [401]
        wire.sendall(b"x")
        wire.settimeout(5)
        assert received(wire) == b""


def test_connection_over_the_limit_is_told_to_come_back(
    echo: tuple[Echo, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    app, url = echo
    monkeypatch.setattr(BoundedConnection, "connections_max", 0)
    answer = exchange(url, PLAIN)
    assert statuses(answer) == [503]
    assert orjson.loads(answer.partition(b"\r\n\r\n")[2])["errors"][0]["extensions"] == {
        "code": "too_many_connections",
        "hint": "Try again, and send many requests over one connection.",
        "retryable": True,
    }
    assert app.asked == []


def test_client_that_leaves_takes_all_its_waiting_requests_with_it(echo: tuple[Echo, str]) -> None:
    app, url = echo
    with connected(url) as wire:
        wire.sendall(ASK + b"Content-Length: 3\r\n\r\non")
    assert app.left.wait(5)
    assert app.asked == []


def test_answer_arrives_without_waiting_for_an_acknowledgement(echo: tuple[Echo, str]) -> None:
    """Nagle's algorithm would hold the second of two writes back until the client's kernel acks."""
    _, url = echo
    with connected(url) as wire:
        for _ in range(3):
            wire.sendall(ASK + b"Content-Length: 3\r\n\r\none")
            assert b"/first|one" in wire.recv(65536)
