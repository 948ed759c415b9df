"""One exchange over the network: the request as it goes out, the answer whole and decoded.

Takes a call and how long each step may take; `Transport` receives a `Received`, or one of the
exceptions that it turns into a typed error. Redirects inside the origin are followed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import httpcore2
import httpx2

from firnline.connectors.protocol import Response
from firnline.transport.address import (
    AddressRefused,
    GuardedBackend,
    Resolver,
    check_url,
    origin_of,
    port_of,
)
from firnline.transport.call import OutboundCall
from firnline.transport.concealing import without_secrets
from firnline.transport.pools import Pools
from firnline.transport.redirects import REDIRECTS_MAX, Hop, RedirectRefused, next_hop
from firnline.transport.resolving import NameLookups
from firnline.transport.routes import Routes

HEADER_LINES_MAX = 256
CONNECT_SHARE = 0.8  # of the time that is left
AGENT = "firnline"
# What the decoders here undo within the cap, piece by piece; anything else is refused unread.
ENCODINGS = ("gzip", "deflate")
_DEFAULTS = {
    "accept": "application/json",
    "accept-encoding": ", ".join(ENCODINGS),
    "user-agent": AGENT,
}


class AnswerUnusable(Exception):
    """The answer is not read, or not to its end; the text says why and is safe to show."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long each step of an exchange may take.

    Connecting: finding a free connection, and making one. Reading: between two pieces of the
    answer, or of the request.
    """

    connect_s: float
    read_s: float

    @classmethod
    def within(cls, left_s: float, *, connect_s: float, read_s: float) -> Timeouts:
        """Return the times for an exchange that ends after `left_s` at the latest."""
        # Whether anything left is known as long as connecting ends before the exchange does.
        return cls(min(connect_s, left_s * CONNECT_SHARE), min(read_s, left_s))

    def as_extension(self) -> Mapping[str, float]:
        """Return the form that httpcore2 reads."""
        return {
            "connect": self.connect_s,
            "read": self.read_s,
            "write": self.read_s,
            "pool": self.connect_s,
        }


@dataclass(frozen=True, slots=True)
class Received:
    """An answer, and how many bytes of bodies went out and came in for it."""

    response: Response
    bytes_out: int
    bytes_in: int


class Wire:
    """Sends over guarded connections, or to the loopback address of a route."""

    def __init__(
        self,
        routes: Routes,
        *,
        resolver: Resolver | None,
        body_bytes_max: int,
        connections_max: int,
    ) -> None:
        tls = httpx2.create_ssl_context()
        self._routes = routes
        self._body_bytes_max = body_bytes_max
        self._names = NameLookups()
        guarded = GuardedBackend(resolver or self._names.resolve)
        self._guarded = Pools(guarded, tls=tls, connections_max=connections_max)
        # The routes say loopback, and only they say where these pools lead.
        self._routed = Pools(httpcore2.AnyIOBackend(), tls=tls, connections_max=connections_max)

    async def close(self) -> None:
        """Close all connections."""
        await self._guarded.close()
        await self._routed.close()
        self._names.close()

    async def exchange(self, call: OutboundCall, timeouts: Timeouts) -> Received:
        """Return the answer to `call`, after redirects inside its origin.

        Raises AddressRefused, RedirectRefused, AnswerUnusable or an httpx2.TransportError.
        """
        hop: Hop | None = Hop(call.method, call.url, is_first=True)
        seen: set[str] = set()
        sent = received = 0
        while hop is not None:
            if hop.url in seen or len(seen) > REDIRECTS_MAX:
                raise RedirectRefused("its redirects do not end")
            seen.add(hop.url)
            answer = await self._hop(call, hop, timeouts)
            sent, received = sent + answer.bytes_out, received + answer.bytes_in
            response = answer.response
            hop = next_hop(hop, response.status, response.headers, repeatable=call.repeatable)
        return Received(response, sent, received)

    async def _hop(self, call: OutboundCall, hop: Hop, timeouts: Timeouts) -> Received:
        check_url(hop.url, call.destination.hosts)
        target = self._routes.target(hop.url)
        request = _request(call, hop, target, timeouts)
        pools = self._guarded if target is None else self._routed
        async with pools.hold(origin_of(hop.url), call.destination.tenant) as pool:
            response = await pool.handle_async_request(request)
            try:
                content = await self._read(response)
            finally:
                await response.aclose()
        answer = Response(
            response.status_code,
            _headers(response),
            content,
            tuple(response.headers.get_list("set-cookie")),
            partial(without_secrets, call),
        )
        return Received(answer, len(request.content), response.num_bytes_downloaded)

    async def _read(self, response: httpx2.Response) -> bytes:
        """Return the decoded body; a bomb is left at the cap, the rest of it unread."""
        if len(response.headers.raw) > HEADER_LINES_MAX:
            raise AnswerUnusable(f"has over {HEADER_LINES_MAX} header lines")
        encodings = [
            each.strip().lower()
            for each in response.headers.get("content-encoding", "").split(",")
            if each.strip().lower() not in ("", "identity")
        ]
        # One is enough for any provider; several multiply what a few bytes unfold to.
        if len(encodings) > 1 or not set(encodings) <= set(ENCODINGS):
            raise AnswerUnusable("is compressed in a way that was not asked for")
        content = bytearray()
        async for piece in response.aiter_bytes():
            content += piece
            if len(content) > self._body_bytes_max:
                raise AnswerUnusable(f"is over {self._body_bytes_max} bytes")
        return bytes(content)


def _request(
    call: OutboundCall, hop: Hop, target: str | None, timeouts: Timeouts
) -> httpx2.Request:
    headers = {**_DEFAULTS, **{name.lower(): value for name, value in call.headers.items()}}
    # Decoders are ours to choose; and a routed sandbox must see the vendor's own host.
    headers["accept-encoding"] = _DEFAULTS["accept-encoding"]
    if target is not None:
        headers |= {"host": urlsplit(hop.url).netloc, "x-forwarded-proto": "https"}
    try:
        url = httpx2.URL(target or hop.url)
        if hop.is_first and call.params:  # without any, a link keeps its query to the byte
            url = url.copy_merge_params(dict(call.params))
    except httpx2.InvalidURL:
        raise AddressRefused("the URL cannot be read") from None
    body: dict[str, Any] = {"json": call.json} if call.json is not None else {}
    if call.form is not None:
        body = {"data": dict(call.form)}
    if call.content is not None:
        body = {"content": call.content}
    request = httpx2.Request(
        hop.method,
        url,
        headers=headers,
        extensions={"timeout": timeouts.as_extension()},
        **body,
    )
    if target is None and not _reads_alike(request.url, hop.url):
        raise AddressRefused("the URL reads as two different hosts")
    return request


def _reads_alike(read: httpx2.URL, url: str) -> bool:
    """Say whether what will be dialled is what was judged."""
    port = read.port or 443
    return (read.scheme, read.host, port) == ("https", urlsplit(url).hostname, port_of(url))


def _headers(response: httpx2.Response) -> dict[str, str]:
    headers = {name.lower(): value for name, value in response.headers.items()}
    headers.pop("set-cookie", None)
    return headers
