"""Connection pools: one per origin and tenant, the last used ones of a bounded number.

Takes an origin and whose call it is; `wire` sends over the pool it gets. A provider that hangs
uses up the connections of its own pool and of nobody else's.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpcore2
import httpx2

from firnline.recent import Recent

POOLS_MAX = 500
CONNECTIONS_MAX = 100  # of one pool
KEEPALIVE_S = 30.0

Key = tuple[str, str]  # origin, tenant


@dataclass(slots=True)
class _Pool:
    transport: httpx2.AsyncHTTPTransport
    calls: int = 0
    is_dropped: bool = False


class Pools:
    """The pools of one process. Connections are dialled by `backend`, which may refuse to."""

    def __init__(
        self,
        backend: httpcore2.AsyncNetworkBackend,
        *,
        tls: ssl.SSLContext,
        pools_max: int = POOLS_MAX,
        connections_max: int = CONNECTIONS_MAX,
    ) -> None:
        self._backend = backend
        self._tls = tls
        self._connections_max = connections_max
        self._kept: Recent[Key, _Pool] = Recent(pools_max)

    def __len__(self) -> int:
        return len(self._kept)

    @asynccontextmanager
    async def hold(self, origin: str, tenant: str) -> AsyncIterator[httpx2.AsyncHTTPTransport]:
        """Give the pool of an origin for one call; it is not closed before the call has ended."""
        pool = self._kept.get((origin, tenant))
        dropped: list[_Pool] = []
        if pool is None:
            pool = _Pool(_DialledTransport(self._backend, self._tls, self._connections_max))
            dropped = self._kept.put((origin, tenant), pool)
        pool.calls += 1
        try:
            for each in dropped:
                each.is_dropped = True
                await _close_idle(each)
            yield pool.transport
        finally:
            pool.calls -= 1
            await _close_idle(pool)

    async def close(self) -> None:
        """Close all connections."""
        for pool in self._kept.values():
            await pool.transport.aclose()
        self._kept.clear()


async def _close_idle(pool: _Pool) -> None:
    if pool.is_dropped and not pool.calls:
        await pool.transport.aclose()


class _DialledTransport(httpx2.AsyncHTTPTransport):
    """httpx2's transport over a connection pool whose network backend is ours."""

    def __init__(
        self, backend: httpcore2.AsyncNetworkBackend, tls: ssl.SSLContext, connections_max: int
    ) -> None:
        super().__init__(verify=tls, trust_env=False)
        # httpx2 offers no way to give its pool a network backend; httpcore2 does.
        if not isinstance(self._pool, httpcore2.AsyncConnectionPool):
            raise TypeError("httpx2 keeps its pool elsewhere: the address guard would be skipped")
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=connections_max,
            max_keepalive_connections=connections_max,
            keepalive_expiry=KEEPALIVE_S,
            network_backend=backend,
        )
