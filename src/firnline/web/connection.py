"""One client's connection: HTTP/1.1 parsed strictly, and within bounds of bytes, time and number.

Takes what arrives on a socket; the application receives requests whose framing nobody can read in
two ways. What is refused here is refused as JSON, as everywhere, and ends the connection.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from firnline.errors import FirnlineError
from firnline.web.refusals import HeadTooLargeError, graphql_errors
from firnline.web.shield import HEAD_BYTES_MAX, shielded

HEAD_TIMEOUT_S = 10.0
CONNECTIONS_MAX = 1000
# A body with its framing: chunks may bring more bytes in names and sizes than in content.
MESSAGE_BYTES_MAX = 1024 * 1024
PIPELINED_MAX = 8
CONNECTION = "firnline.connection"  # ASGI extension: what a stream knows of its connection
_VERSIONS = frozenset({"1.0", "1.1"})


class InvalidHttpError(FirnlineError):
    """What arrived is not HTTP/1.1 as its specification has it."""

    code = "invalid_http"
    status = 400

    def __init__(self) -> None:
        super().__init__(
            "what arrived is not a valid HTTP/1.1 request",
            hint="Send one Host header, and either Content-Length or Transfer-Encoding: chunked.",
        )


class MessageTooLargeError(FirnlineError):
    """One request brought more bytes than any body that is taken needs."""

    code = "message_too_large"
    status = 413

    def __init__(self) -> None:
        super().__init__(
            f"the request is over the limit of {MESSAGE_BYTES_MAX} bytes with all its framing",
            hint="Send a smaller body, in fewer chunks.",
        )


class TooManyConnectionsError(FirnlineError):
    """As many clients are connected as may be."""

    code = "too_many_connections"
    status = 503
    retryable = True

    def __init__(self) -> None:
        super().__init__(
            f"{CONNECTIONS_MAX} connections are open, and more are not taken",
            hint="Try again, and send many requests over one connection.",
        )


class _RefusedRequestError(Exception):
    """Leaves the parser; what the client is told is kept beside."""


class BoundedConnection(HttpToolsProtocol):
    """uvicorn's connection without its leniency, and with an end to everything that may last."""

    head_timeout_s = HEAD_TIMEOUT_S
    connections_max = CONNECTIONS_MAX

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.parser = _strict_parser(self)
        self._head_timer: asyncio.TimerHandle | None = None
        self._answering: RequestResponseCycle | None = None
        self._refusal: FirnlineError | None = None
        self._is_in_head = False
        self._has_ended = False
        self._message_bytes = 0
        self.stopping = asyncio.Event()  # the server ends: what streams should come to its end

    def connection_made(self, transport: Any) -> None:
        """Give a new connection its time to ask for something."""
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the request that is being answered, and forget the timers."""
        self._has_ended = True
        self._stop_waiting()
        if self._answering is not None and not self._answering.response_complete:
            _disconnect(self._answering)
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def shutdown(self) -> None:
        """Take no further request, and let a stream know that it should end."""
        self.stopping.set()
        super().shutdown()

    def abort(self) -> None:
        """End the connection without waiting for the client to read what is left."""
        self._has_ended = True
        if self._answering is not None:
            _disconnect(self._answering)
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Parse what came; time the head while no request is being answered."""
        if self._has_ended:
            return
        self._unset_keepalive_if_required()
        self._message_bytes += len(data)
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self._refuse(self._refusal or InvalidHttpError())
        else:
            self._check_size()
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
        elif self._head_timer is None and not self._has_ended:
            self._wait_for_head()

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            # The parser stops where another protocol could begin. Nothing else is spoken here, so
            # the same request is read again without the offer: the client goes on in HTTP/1.1.
            head, rest = self._head_without_offer(), data[offer.args[0] :]
            self.parser = _strict_parser(self)
            self.parser.feed_data(head)
            self._parse(rest)

    def _head_without_offer(self) -> bytes:
        lines = [self.parser.get_method() + b" " + self.url + b" HTTP/1.1\r\n"]
        for name, value in self.headers:
            if name == b"connection" and b"close" in value.lower():
                lines.append(b"connection: close\r\n")
            elif name not in {b"connection", b"upgrade"}:
                lines.append(b"%s: %s\r\n" % (name, value))
        return b"".join([*lines, b"\r\n"])

    def on_message_begin(self) -> None:
        """Count anew."""
        super().on_message_begin()
        self.scope["extensions"] = {CONNECTION: {"of": self}}
        self._is_in_head = True
        self._message_bytes = 0

    def on_headers_complete(self) -> None:
        """Begin to answer the request unless its head or its number is refused."""
        self._is_in_head = False
        self._refusal = self._reason_to_refuse()
        if self._refusal is not None:
            raise _RefusedRequestError
        if self.parser.should_upgrade():
            return
        super().on_headers_complete()
        # Trailers are read into a list that nobody looks at, not into the request's headers.
        self.headers = []

    def on_message_complete(self) -> None:
        """Let the application read the body's end; an offer's body is still to come."""
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Leave the wait between requests to uvicorn's keep-alive timer."""
        self._stop_waiting()
        super().on_response_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def _reason_to_refuse(self) -> FirnlineError | None:
        version = self.parser.get_http_version()
        hosts = encodings = 0
        for name, value in self.headers:
            if name == b"host":
                hosts += 1
            elif name == b"transfer-encoding":
                encodings += 1
                # Another server on the way may not agree on what else it means.
                if value.lower() != b"chunked" or encodings > 1 or version == "1.0":
                    return InvalidHttpError()
        if self.parser.get_method() == b"CONNECT" or version not in _VERSIONS:
            return InvalidHttpError()
        if hosts > 1 or (not hosts and version == "1.1"):
            return InvalidHttpError()
        if len(self.connections) > self.connections_max:
            return TooManyConnectionsError()
        # One read may hold thousands of short requests; those beyond are asked anew.
        return InvalidHttpError() if len(self.pipeline) >= PIPELINED_MAX else None

    def _check_size(self) -> None:
        if self._is_in_head and self._message_bytes > HEAD_BYTES_MAX:
            self._refuse(HeadTooLargeError(HEAD_BYTES_MAX))
        elif self._message_bytes > MESSAGE_BYTES_MAX:
            self._refuse(MessageTooLargeError())

    def _refuse(self, error: FirnlineError) -> None:
        """Refuse the request that is arriving; those before it keep their answers."""
        answering = self._answering
        if answering is None or answering.response_complete:
            self._write_and_close(error)
        elif answering is not self.cycle or not answering.more_body:
            self._end_after_answers()
        elif answering.response_started:
            self._close()
        else:
            _disconnect(answering)
            self._write_and_close(error)

    def _end_after_answers(self) -> None:
        """Read nothing more; close once every complete request is answered."""
        self._has_ended = True
        self.flow.pause_reading()
        if self.pipeline and self.pipeline[0][0].more_body:
            self.pipeline.popleft()
        last = self.pipeline[0][0] if self.pipeline else self._answering
        if last is None or last.response_complete:
            self._close()
        else:
            last.keep_alive = False

    def _write_and_close(self, error: FirnlineError) -> None:
        body = graphql_errors(error)
        headers = shielded(
            [
                *self.server_state.default_headers,
                (b"content-type", b"application/json; charset=utf-8"),
                (b"content-length", b"%d" % len(body)),
                (b"connection", b"close"),
            ]
        )
        lines = [b"%s: %s\r\n" % pair for pair in headers]
        self.transport.write(b"".join([STATUS_LINE[error.status], *lines, b"\r\n", body]))
        self._close()

    def _close(self) -> None:
        self._has_ended = True
        if not self.transport.is_closing():
            self.transport.close()

    def _wait_for_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_timeout_s, self._give_up)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        self._close()


def _strict_parser(connection: BoundedConnection) -> httptools.HttpRequestParser:
    # A parser of its own: uvicorn's lets requests follow one that said it was the last.
    return httptools.HttpRequestParser(connection)


def _disconnect(cycle: RequestResponseCycle) -> None:
    """Let the application know that nobody waits for its answer any more."""
    cycle.disconnected = True
    cycle.message_event.set()
