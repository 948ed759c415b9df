"""Prepares tenants before they are asked: graph, schema, connectors, cache, published operations.

Takes an order of tenants; `firnline serve` runs it beside its first requests, which then neither
build nor validate. One step at a time in a thread, and between two a pause as long as the step
before, so that whoever asks meanwhile gets at least half of the machine.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from firnline.cache.opening import NoDataYetError
from firnline.clock import Clock
from firnline.connectors.registry import load_connector
from firnline.errors import FirnlineError
from firnline.graph.schema import TenantSchema
from firnline.graph.shape import TenantGraph
from firnline.graph.tenants import TenantGraphs

_LOG = logging.getLogger("firnline.graph")
_OPERATIONS_MAX = 100  # of one tenant, the newest first

Result = TypeVar("Result")


class Published(Protocol):
    """One published operation."""

    @property
    def text(self) -> str:
        """Return the document."""
        ...


class Operations(Protocol):
    """Where published operations are kept."""

    async def newest_operations(self, tenant: str, count: int) -> Sequence[Published]:
        """Return the operations published last."""
        ...


class Warming:
    """Prepares tenants one after the other; ends when the graphs' budget or the time is spent."""

    def __init__(
        self,
        graphs: TenantGraphs,
        *,
        databases: Callable[[str], Awaitable[Any]],
        operations: Operations,
        clock: Clock,
        seconds_max: float,
    ) -> None:
        self._graphs = graphs
        self._databases = databases
        self._operations = operations
        self._clock = clock
        self._seconds_max = seconds_max

    async def run(self, tenants: Iterable[str]) -> list[str]:
        """Prepare `tenants` in this order; return those that are prepared.

        A tenant that cannot be prepared is left to its first question, which tells why.
        """
        ends_at = self._clock.monotonic() + self._seconds_max
        done: list[str] = []
        for tenant in tenants:
            # Full: preparing more would drive out what was prepared first.
            if self._clock.monotonic() >= ends_at or self._graphs.is_full:
                break
            try:
                await self._prepare(tenant, ends_at)
            except NoDataYetError:
                continue
            except FirnlineError as error:
                _LOG.warning("tenant %s is not prepared: %s", tenant, error.code)
                continue
            done.append(tenant)
        return done

    async def _prepare(self, tenant: str, ends_at: float) -> None:
        graph = await self._step(self._graphs.graph(tenant))
        await self._step(asyncio.to_thread(_load_connectors, graph))
        schema = await self._step(self._graphs.prepared_schema(graph))
        await self._step(self._databases(tenant))
        for operation in await self._operations.newest_operations(tenant, _OPERATIONS_MAX):
            if self._clock.monotonic() >= ends_at:
                return
            await self._step(asyncio.to_thread(TenantSchema.prepare, schema, operation.text))

    async def _step(self, work: Awaitable[Result]) -> Result:
        started = self._clock.monotonic()
        result = await work
        await self._clock.sleep(self._clock.monotonic() - started)
        return result


def _load_connectors(graph: TenantGraph) -> None:
    for catalog in graph.catalogs.values():
        load_connector(catalog.provider)
