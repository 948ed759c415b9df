"""Answers that are meant to hurt: bombs, floods of headers, strange encodings."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from starlette.requests import Request as WebRequest
from starlette.responses import Response as WebResponse
from tests.transport.loopback import serve_raw
from tests.transport.test_transport import ORIGIN, get, speaking_to

from firnline.clock import SystemClock
from firnline.transport import (
    ProviderAnswerError,
    ProviderError,
    ProviderTimeoutError,
    RecentCalls,
    Transport,
)
from firnline.transport.wire import HEADER_LINES_MAX

CAP = 1_000_000
UNFOLDED = 200_000_000


def raw_deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", raw_deflate)],
    ids=["gzip", "deflate", "raw deflate"],
)
async def test_bomb_is_left_at_the_cap_and_never_unfolded_whole(
    encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    bomb = pack(bytes(UNFOLDED))
    assert len(bomb) < UNFOLDED / 500

    def answer(_request: WebRequest) -> WebResponse:
        return WebResponse(bomb, headers={"content-encoding": encoding})

    async with speaking_to(answer, body_bytes_max=CAP) as transport:
        tracemalloc.start()
        try:
            with pytest.raises(ProviderAnswerError, match=f"over {CAP} bytes"):
                await transport.send(get(), deadline_s=30)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak < 20 * CAP


@pytest.mark.parametrize(
    "encoding",
    ["br", "zstd", "compress", "gzip, gzip", "gzip,deflate", "GZIP, br", "identity, br", "canary"],
)
async def test_encoding_that_was_not_asked_for_is_refused_unread(encoding: str) -> None:
    asked: list[str] = []

    def answer(request: WebRequest) -> WebResponse:
        asked.append(request.headers["accept-encoding"])
        return WebResponse(b"{}", headers={"content-encoding": encoding})

    async with speaking_to(answer) as transport:
        # A connector cannot ask for more than there are decoders with a cap for.
        with pytest.raises(ProviderAnswerError, match="was not asked for") as raised:
            await transport.send(get(headers={"Accept-Encoding": "br"}), deadline_s=5)

    assert asked == ["gzip, deflate"]
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize("encoding", ["gzip", "GZip", "identity, gzip", " gzip ,"])
async def test_gzip_is_read(encoding: str) -> None:
    packed = gzip.compress(b'{"a":1}')
    async with speaking_to(
        lambda _: WebResponse(packed, headers={"content-encoding": encoding})
    ) as transport:
        assert (await transport.send(get(), deadline_s=5)).json() == {"a": 1}


async def test_flood_of_headers_is_refused() -> None:
    async def flood(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = b"".join(b"x-%d: 1\r\n" % number for number in range(HEADER_LINES_MAX + 1))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + lines + b"\r\n{}")
        await writer.drain()

    async with (
        serve_raw(flood) as origin,
        Transport(routes={ORIGIN: origin}, clock=SystemClock()) as transport,
    ):
        with pytest.raises(ProviderAnswerError, match="header lines"):
            await transport.send(get(), deadline_s=5)


@pytest.mark.parametrize("head", [b"x: ", b"y: z\r\n" * 9], ids=["one line", "many"])
async def test_head_without_end_is_cut_off(head: bytes) -> None:
    sent = 0

    async def endless(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n" + head)
        while True:
            writer.write(b"a" * 10_000)
            await writer.drain()
            sent += 10_000

    async with (
        serve_raw(endless) as origin,
        Transport(routes={ORIGIN: origin}, clock=SystemClock(), draw=lambda: 0.0) as transport,
    ):
        with pytest.raises(ProviderError):
            await transport.send(get(method="POST", repeatable=False), deadline_s=20)

    assert sent < 20_000_000  # what the sockets take; nothing is kept of it


async def test_endless_provisional_answers_end_with_the_deadline() -> None:
    async def provisional(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with (
        serve_raw(provisional) as origin,
        Transport(routes={ORIGIN: origin}, clock=SystemClock()) as transport,
    ):
        with pytest.raises(ProviderTimeoutError):
            await transport.send(get(), deadline_s=0.5)


async def test_silence_between_two_pieces_ends_before_the_deadline() -> None:
    async def stall(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{")
        await writer.drain()
        await asyncio.sleep(60)

    log = RecentCalls()
    async with (
        serve_raw(stall) as origin,
        Transport(
            routes={ORIGIN: origin},
            clock=SystemClock(),
            read_timeout_s=0.2,
            draw=lambda: 0.0,
            call_log=log,
        ) as transport,
    ):
        with pytest.raises(ProviderTimeoutError):
            await transport.send(get(method="POST", json={}, repeatable=False), deadline_s=60)

    (record,) = log.of("acme", "desk")
    assert 0.15 < record.duration_s < 30


async def test_answer_larger_than_the_cap_without_compression_is_left() -> None:
    async def endless(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()

    async with (
        serve_raw(endless) as origin,
        Transport(routes={ORIGIN: origin}, clock=SystemClock(), body_bytes_max=CAP) as transport,
    ):
        with pytest.raises(ProviderAnswerError, match="over"):
            await transport.send(get(), deadline_s=30)
