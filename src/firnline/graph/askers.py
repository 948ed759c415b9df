"""Who asks published operations: a few people per operation, in whose rights it is planned ahead.

Takes what respond compiled and answered; the state keeps the askers, warming reads them. Kept of a
person are e-mail address, agent, purpose and scopes, and of the variables what `samples` allows:
no token, no attribute, no value that was asked for.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import orjson

from firnline.access.principal import Principal
from firnline.clock import Clock
from firnline.errors import FirnlineError
from firnline.graph.memory.recall import Asked
from firnline.graph.samples import Shape, shape_of
from firnline.recent import Recent
from firnline.state.rows import AskerRow

_LOG = logging.getLogger("firnline.graph")
_GATHER_S = 1.0
_WAITING_MAX = 1_000
_KNOWN_MAX = 20_000

Slot = tuple[str, ...]


class Store(Protocol):
    """Where askers are kept."""

    async def remember(self, rows: Sequence[AskerRow]) -> None:
        """Store askers, or that they asked again."""
        ...


class Askers:
    """Notes who asks what for the first time, or the first time since it was planned ahead."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: Recent[Slot, AskerRow | None] = Recent(_KNOWN_MAX)
        self._waiting: OrderedDict[Slot, AskerRow] = OrderedDict()
        self._came = asyncio.Event()

    def compiled(self, asked: Asked, rights: str, shaping: tuple[str, ...] | None) -> None:
        """Note who asked something that had to be compiled; `rights` tell who may read the same."""
        if shaping is None or not asked.published:
            return
        document, variables = asked.document, asked.question.variables or {}
        shape = shape_of(document, asked.schema.core, variables, shaping=shaping)
        if shape is None:
            return
        row = row_of(asked.principal, asked.published[-1], shape, self._clock)
        slot = (row.tenant, row.operation_id, rights, row.shape)
        if slot not in self._known:
            self._known.put(slot, None)
            self._write(slot, row)

    def answered(self, asked: Asked, rights: str) -> None:
        """Note that what was planned ahead is asked, so that it is planned the next time, too."""
        if not asked.published:
            return
        slot = (asked.principal.tenant, asked.published[-1], rights)
        row = self._known.get(slot)
        if row is not None:
            self._known.put(slot, None)
            self._write(slot, replace(row, asked_at=self._clock.now()))

    def expect(self, row: AskerRow, rights: str) -> None:
        """Take note of what was planned ahead, for people of these rights."""
        self._known.put((row.tenant, row.operation_id, rights, row.shape), None)
        self._known.put((row.tenant, row.operation_id, rights), row)

    async def keep_written(self) -> None:
        """Store what is noted, a moment later and together, until cancelled."""
        while True:
            await self._came.wait()
            await self._clock.sleep(_GATHER_S)
            await self.write()

    async def write(self) -> None:
        """Store what was noted so far."""
        self._came.clear()
        rows, self._waiting = list(self._waiting.values()), OrderedDict()
        if not rows:
            return
        try:
            await self._store.remember(rows)
        except FirnlineError as error:
            # Planning ahead is a service, not a promise: the next start plans less of it.
            _LOG.warning("%d askers are not remembered: %s", len(rows), error.code)

    def _write(self, slot: Slot, row: AskerRow) -> None:
        if len(self._waiting) < _WAITING_MAX:
            self._waiting[slot] = row
            self._came.set()


def row_of(principal: Principal, operation_id: str, shape: Shape, clock: Clock) -> AskerRow:
    """Return what is kept of somebody who asked an operation."""
    return AskerRow(
        tenant=principal.tenant,
        operation_id=operation_id,
        email=principal.email,
        asked_at=clock.now(),
        agent=principal.agent,
        purpose=principal.purpose,
        scopes=tuple(sorted(principal.scopes)),
        shape=orjson.dumps([shape.values, shape.present], option=orjson.OPT_SORT_KEYS).decode(),
    )


def principal_of(row: AskerRow) -> Principal:
    """Return whom to find the rights of. Attributes are not kept: what needs them denies."""
    return Principal(
        tenant=row.tenant,
        email=row.email,
        scopes=frozenset(row.scopes),
        agent=row.agent,
        purpose=row.purpose,
    )


def shape_in(row: AskerRow) -> Shape:
    """Return how the question was shaped."""
    values, present = orjson.loads(row.shape)
    return Shape(values, tuple(present))
