"""Prepares tenants before they are asked: graph, schema, connectors, cache, published operations.

Takes an order of tenants, then what is published while serving; `firnline serve` runs it beside its
first requests, which then neither build, validate nor plan. One step at a time in a thread, and
between two a pause as long as the step before, so that whoever asks meanwhile gets at least half of
the machine.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Protocol, TypeVar

from firnline.cache.opening import NoDataYetError
from firnline.clock import Clock
from firnline.connectors.registry import load_connector
from firnline.errors import FirnlineError
from firnline.graph.schema import TenantSchema
from firnline.graph.shape import TenantGraph
from firnline.graph.tenants import TenantGraphs
from firnline.state.rows import AskerRow, OperationRow

_LOG = logging.getLogger("firnline.graph")
_OPERATIONS_MAX = 100  # of one tenant, the newest first
_PUBLICATIONS_MAX = 500  # told from each other, the newest of all tenants

Publication = tuple[str, str, int]  # tenant, id, version
Result = TypeVar("Result")


class Operations(Protocol):
    """Where published operations are kept."""

    async def operation(self, tenant: str, operation_id: str) -> OperationRow | None:
        """Return the operation that an id names."""
        ...

    async def newest_operations(self, tenant: str, count: int) -> Sequence[OperationRow]:
        """Return the operations published last."""
        ...

    async def newest_publications(self, count: int) -> Sequence[Publication]:
        """Return what was published last, at whatever tenant."""
        ...


class AskersOf(Protocol):
    """Where it is kept who asks."""

    async def of(self, tenant: str, operation_id: str, *, now: datetime) -> Sequence[AskerRow]:
        """Return who asked an operation lately."""
        ...

    async def lately(self, tenant: str, *, now: datetime) -> Sequence[AskerRow]:
        """Return who asked anything lately."""
        ...


class Compiles(Protocol):
    """Compiles operations ahead."""

    async def prepare(self, operation: OperationRow, asker: AskerRow) -> bool:
        """Compile an operation as somebody would ask it now; return whether that could be."""
        ...


class Warming:
    """Prepares tenants one after the other; ends when the graphs' budget or the time is spent."""

    def __init__(
        self,
        graphs: TenantGraphs,
        *,
        databases: Callable[[str], Awaitable[Any]],
        operations: Operations,
        askers: AskersOf,
        ahead: Compiles,
        clock: Clock,
        seconds_max: float,
    ) -> None:
        self._graphs = graphs
        self._databases = databases
        self._operations = operations
        self._askers = askers
        self._ahead = ahead
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
            if await self._is_prepared(tenant, partial(self._prepare, tenant, ends_at)):
                done.append(tenant)
        return done

    async def published(self) -> frozenset[Publication]:
        """Return what is published at this moment."""
        return frozenset(await self._operations.newest_publications(_PUBLICATIONS_MAX))

    async def follow(
        self, known: frozenset[Publication], *, tenants: Collection[str], every_s: float
    ) -> None:
        """Prepare what is published from now on, by whatever process, until cancelled."""
        while True:
            await self._clock.sleep(every_s)
            try:
                published = await self.published()
            except FirnlineError as error:
                _LOG.warning("what is published is not looked at: %s", error.code)
                continue
            for tenant, operation_id, _ in sorted(published - known):
                if tenant in tenants:
                    await self._is_prepared(
                        tenant, partial(self._prepare_one, tenant, operation_id)
                    )
            known = published

    async def _is_prepared(self, tenant: str, prepare: Callable[[], Awaitable[None]]) -> bool:
        try:
            await prepare()
        except NoDataYetError:
            return False
        except FirnlineError as error:
            _LOG.warning("tenant %s is not prepared: %s", tenant, error.code)
            return False
        return True

    async def _prepare(self, tenant: str, ends_at: float) -> None:
        graph = await self._step(self._graphs.graph(tenant))
        await self._step(asyncio.to_thread(_load_connectors, graph))
        schema = await self._step(self._graphs.prepared_schema(graph))
        await self._step(self._databases(tenant))
        operations = await self._operations.newest_operations(tenant, _OPERATIONS_MAX)
        for operation in operations:
            if self._clock.monotonic() >= ends_at:
                return
            await self._step(asyncio.to_thread(TenantSchema.prepare, schema, operation.text))
        for operation in operations:
            for asker in await self._askers.of(
                tenant, operation.operation_id, now=self._clock.now()
            ):
                if self._clock.monotonic() >= ends_at:
                    return
                await self._step(self._ahead.prepare(operation, asker))

    async def _prepare_one(self, tenant: str, operation_id: str) -> None:
        """Prepare one operation that was just published."""
        operation = await self._operations.operation(tenant, operation_id)
        if operation is None:  # retired meanwhile
            return
        graph = await self._step(self._graphs.graph(tenant))
        schema = await self._step(self._graphs.prepared_schema(graph))
        await self._step(asyncio.to_thread(TenantSchema.prepare, schema, operation.text))
        now = self._clock.now()
        askers = await self._askers.of(tenant, operation_id, now=now)
        if not askers:  # nobody asked it yet: those will who ask the others
            lately = await self._askers.lately(tenant, now=now)
            askers = [_unshaped(each, operation_id) for each in lately]
        for asker in dict.fromkeys(askers):
            await self._step(self._ahead.prepare(operation, asker))

    async def _step(self, work: Awaitable[Result]) -> Result:
        started = self._clock.monotonic()
        result = await work
        await self._clock.sleep(self._clock.monotonic() - started)
        return result


def _unshaped(asker: AskerRow, operation_id: str) -> AskerRow:
    """Return the same person about an operation of which it is not known how it is asked."""
    return AskerRow(
        asker.tenant,
        operation_id,
        asker.email,
        asker.asked_at,
        agent=asker.agent,
        purpose=asker.purpose,
        scopes=asker.scopes,
    )


def _load_connectors(graph: TenantGraph) -> None:
    for catalog in graph.catalogs.values():
        load_connector(catalog.provider)
