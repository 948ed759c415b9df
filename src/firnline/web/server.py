"""Runs a web application under uvicorn, within limits.

Takes the application and an address; `firnline serve` and the tests receive a server whose every
connection is bounded (`web.connection`), and which stops gracefully within a known time.
"""

from __future__ import annotations

import asyncio
import errno
import importlib
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import uvicorn
from starlette.types import ASGIApp

from firnline.errors import UsageError
from firnline.web.connection import BoundedConnection

SHUTDOWN_MAX_S = 20
KEEP_ALIVE_S = 15
PORT_MAX = 65535
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

T = TypeVar("T")


class PortInUseError(UsageError):
    """Another program listens at the address."""

    code = "port_in_use"

    def __init__(self, host: str, port: int) -> None:
        super().__init__(
            f"port {port} of {host} is in use",
            hint="Stop the other program, or choose another port with --port (0: any free one).",
        )


class AddressError(UsageError):
    """The server cannot listen at the address."""

    code = "listen_address"

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(
            f"cannot listen at {host}, port {port}: {reason}",
            hint="Choose an address of this machine with --host, such as 127.0.0.1, and a port "
            "from 1024 to 65535 with --port.",
        )


class DevelopmentExposedError(UsageError):
    """The development sign-in would be reachable from other machines."""

    code = "development_exposed"

    def __init__(self, host: str) -> None:
        super().__init__(
            f"the development sign-in lets anyone be anybody: it is not served at {host}",
            hint="Listen at 127.0.0.1, or set FIRNLINE_DEVELOPMENT=false and FIRNLINE_JWT_KEYS.",
        )


def open_socket(host: str, port: int, *, development: bool = False) -> socket.socket:
    """Return a listening socket; `port` 0 means any free one."""
    if development and host not in _LOOPBACK:
        raise DevelopmentExposedError(host)
    if not 0 <= port <= PORT_MAX:
        raise AddressError(host, port, "there is no such port")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # TCP is named because asyncio turns Nagle's algorithm off only where it is: without this,
    # small answers wait for 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(512)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUseError(host, port) from error
        raise AddressError(host, port, error.strerror or type(error).__name__) from error
    return listening


def address_of(listening: socket.socket) -> str:
    """Return the URL at which the socket is reached."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def create_server(
    app: ASGIApp, *, log_level: str = "warning", on_start: Callable[[], None] | None = None
) -> uvicorn.Server:
    """Return a server for `app`; run it with `server.serve(sockets=[open_socket(...)])`.

    `on_start` is called once it answers, and signals end it as they should.
    """
    return _Server(
        uvicorn.Config(
            app,
            http=BoundedConnection,
            ws="none",
            log_level=log_level,
            access_log=False,
            # Forwarded headers and Server lines: nobody's word about who asks, no banner.
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=SHUTDOWN_MAX_S,
        ),
        on_start,
    )


def run_serving(work: Coroutine[Any, Any, T]) -> T:
    """Run what serves on the quickest event loop that the platform has."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(work)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None  # uvloop does not exist there
    factory: Callable[[], asyncio.AbstractEventLoop]
    factory = importlib.import_module("uvloop").new_event_loop
    return factory


class _Server(uvicorn.Server):
    """Leaves signals that stopped it at that.

    uvicorn raises them again once it has stopped, which would end the process before the caches
    around the server are closed.
    """

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None] | None) -> None:
        super().__init__(config)
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self._on_start is not None:
            self._on_start()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        with super().capture_signals():
            yield
            self._captured_signals.clear()
