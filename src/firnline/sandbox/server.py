"""Runs sandboxes as real HTTP servers: one loopback port for each provider and tenant.

Takes companies; gives a `Fleet` with the routes that the transport needs to reach them.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from firnline.clock import Clock, SystemClock
from firnline.connectors.auth_flows import urls_of
from firnline.connectors.protocol import Connector
from firnline.connectors.registry import (
    UnknownProviderError,
    connector_folders,
    load_connector,
    load_sandbox_module,
)
from firnline.errors import FirnlineError
from firnline.sandbox.draws import stream
from firnline.sandbox.faults import Fault, Line
from firnline.sandbox.protocol import Sandbox, SandboxClient, SandboxOptions
from firnline.sandbox.world import Company

_HOST = "127.0.0.1"
_SHUTDOWN_S = 1
_TICK_S = 0.1


class UnknownSandboxError(FirnlineError):
    """No sandbox of that provider and tenant is running."""

    code = "sandbox_unknown"
    status = 404
    exit_code = 2

    def __init__(self, provider: str, tenant: str, known: Iterable[tuple[str, str]]) -> None:
        listed = ", ".join(f"{name} of {whose}" for name, whose in sorted(known)) or "none"
        super().__init__(
            f"no sandbox of {provider!r} runs for tenant {tenant!r}", hint=f"Running: {listed}."
        )


class SandboxOriginError(FirnlineError):
    """Two sandboxes stand for the same vendor origin, so a route could not tell them apart."""

    code = "sandbox_origin"
    exit_code = 2

    def __init__(self, origin: str, first: str, second: str) -> None:
        super().__init__(
            f"the sandboxes of {first} and {second} both stand for {origin}",
            hint="Give the tenants different account names, or run them apart.",
        )


@dataclass(frozen=True, slots=True)
class SandboxServer:
    """One sandbox behind its port. `origins` are the vendor origins that it stands for."""

    provider: str
    tenant: str
    sandbox: Sandbox
    url: str
    origins: tuple[str, ...]
    line: Line

    def disturb(self, fault: Fault) -> None:
        """Serve `fault` from the next call on."""
        self.line.add(fault)


@dataclass(frozen=True, slots=True)
class Fleet:
    """All running sandboxes."""

    servers: Mapping[tuple[str, str], SandboxServer]

    @property
    def routes(self) -> Mapping[str, str]:
        """Return the loopback address of each vendor origin, as `Settings.routes` wants them."""
        return {origin: server.url for server in self.servers.values() for origin in server.origins}

    @property
    def clients(self) -> Mapping[tuple[str, str], SandboxClient]:
        """Return the OAuth client of each (provider, tenant)."""
        return {key: server.sandbox.client for key, server in self.servers.items()}

    def server(self, provider: str, tenant: str) -> SandboxServer:
        """Return one server; raises UnknownSandboxError."""
        found = self.servers.get((provider, tenant))
        if found is None:
            raise UnknownSandboxError(provider, tenant, self.servers)
        return found

    def sandbox(self, provider: str, tenant: str) -> Sandbox:
        """Return one sandbox; raises UnknownSandboxError."""
        return self.server(provider, tenant).sandbox


class _Server(uvicorn.Server):
    """A uvicorn server that says when it listens, stops at once and leaves signals to its owner."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self.stopped = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def main_loop(self) -> None:
        tick = 0
        while not await self.on_tick(tick):
            tick += 1
            # Ends at once when stopped: tests start and stop hundreds of servers.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stopped.wait(), _TICK_S)

    def stop(self) -> None:
        """End the main loop."""
        self.should_exit = True
        self.stopped.set()


def _recording(transports: dict[tuple[str, int], asyncio.Transport]) -> type[asyncio.Protocol]:
    """Return an HTTP protocol that notes its connections, so that faults can cut them."""

    class Recording(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            transports[transport.get_extra_info("peername")[:2]] = transport

        def connection_lost(self, exc: Exception | None) -> None:
            transports.pop(self.transport.get_extra_info("peername")[:2], None)
            super().connection_lost(exc)

    return Recording


@contextlib.asynccontextmanager
async def listening(
    app: ASGIApp, *, http: type[asyncio.Protocol] | None = None
) -> AsyncIterator[str]:
    """Serve `app` on a free loopback port while the context lasts; gives its URL."""
    # Named as TCP: asyncio switches Nagle off only then, or every small answer takes 40 ms.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.bind((_HOST, 0))
    config = uvicorn.Config(
        app,
        http=http or "auto",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_S,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    waiting = asyncio.create_task(server.listening.wait())
    try:
        await asyncio.wait((serving, waiting), return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            await serving
        yield f"http://{_HOST}:{bound.getsockname()[1]}"
    finally:
        waiting.cancel()
        server.stop()
        await serving
        bound.close()


def sandboxed_providers() -> tuple[str, ...]:
    """Return the registered providers that have a sandbox, in order of name."""
    return tuple(
        provider
        for provider, folder in sorted(connector_folders().items())
        if (folder / "sandbox.py").is_file()
    )


def vendor_origins(connector: Connector, settings: Mapping[str, str]) -> tuple[str, ...]:
    """Return the origins that a connection with `settings` calls: the API's and the sign-in's."""
    manifest = connector.manifest
    known = connector.derived_settings(settings)
    urls = [manifest.base_url, *(url for auth in manifest.auth for url in urls_of(auth))]
    origins = []
    for url in urls:
        parts = urlsplit(url.format_map(known))
        if parts.netloc:
            origins.append(f"{parts.scheme}://{parts.netloc.lower()}")
    return tuple(dict.fromkeys(origins))


def _check_origins(servers: Iterable[SandboxServer]) -> None:
    owners: dict[str, str] = {}
    for server in servers:
        name = f"{server.provider} of {server.tenant}"
        for origin in server.origins:
            if origin in owners:
                raise SandboxOriginError(origin, owners[origin], name)
            owners[origin] = name


@contextlib.asynccontextmanager
async def serving(
    provider: str, company: Company, options: SandboxOptions, *, clock: Clock
) -> AsyncIterator[SandboxServer]:
    """Build and serve one sandbox while the context lasts."""
    sandbox: Sandbox = load_sandbox_module(provider).create(company, options)
    transports: dict[tuple[str, int], asyncio.Transport] = {}
    line = Line(
        sandbox.app,
        latency_ms=options.latency_ms,
        rng=stream(company.tenant, options.seed, f"latency:{provider}"),
        transports=transports,
        clock=clock,
    )
    async with listening(line, http=_recording(transports)) as url:
        origins = vendor_origins(load_connector(provider), sandbox.settings)
        yield SandboxServer(provider, company.tenant, sandbox, url, origins, line)


@contextlib.asynccontextmanager
async def running(
    companies: Sequence[Company],
    *,
    providers: Sequence[str] | None = None,
    options: SandboxOptions | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Fleet]:
    """Serve a sandbox of every provider for every company while the context lasts.

    `options` hold for all, except that seed and now are each company's own. Without `providers`
    all that have a sandbox are served. Raises UnknownProviderError and SandboxOriginError.
    """
    known = sandboxed_providers()
    chosen = tuple(providers) if providers is not None else known
    for provider in chosen:
        if provider not in known:
            raise UnknownProviderError(provider, list(known))
    async with contextlib.AsyncExitStack() as stack:
        servers = {}
        for company in companies:
            common = options or SandboxOptions(seed=company.seed, now=company.now)
            own = replace(common, seed=company.seed, now=company.now)
            for provider in chosen:
                servers[provider, company.tenant] = await stack.enter_async_context(
                    serving(provider, company, own, clock=clock or SystemClock())
                )
        _check_origins(servers.values())
        yield Fleet(servers)
