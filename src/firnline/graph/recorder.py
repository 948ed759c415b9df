"""Writes what was read to the record, behind the answers: a bounded queue and one task.

Takes facts as answers go out; the sink receives them in batches, tenant by tenant. What happens
when the queue is full or the sink fails is the mode's: `on` counts what is lost and writes the
count, `strict` lets nobody have an answer that is not on record, `off` records nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Generic, Literal, Protocol, TypeVar

from firnline.clock import Clock
from firnline.errors import FirnlineError

_LOG = logging.getLogger("firnline.audit")
_BATCH_MAX = 500
_GATHER_S = 0.25  # of what one transaction writes
_RETRY_S = 1.0
_CLOSING_S = 5.0

Mode = Literal["on", "strict", "off"]


class Fact(Protocol):
    """What is put on record; `tenant` says in whose chain."""

    @property
    def tenant(self) -> str:
        """Return the tenant's name."""
        ...


F = TypeVar("F", bound=Fact)


class AuditUnavailableError(FirnlineError):
    """The installation answers nothing that it cannot put on record, and now it cannot."""

    code = "audit_unavailable"
    retryable = True
    status = 503

    def __init__(self) -> None:
        super().__init__(
            "what is read cannot be put on record now, so nothing is answered",
            hint="Check the state database; FIRNLINE_AUDIT=on answers and counts what is lost.",
        )


class AuditRecorder(Generic[F]):
    """The one writer of a process. `lost` makes the fact that says how much is missing."""

    def __init__(
        self,
        append: Callable[[str, Sequence[F]], Awaitable[None]],
        *,
        lost: Callable[[str, int], F],
        clock: Clock,
        mode: Mode = "on",
        waiting_max: int = 10_000,
    ) -> None:
        self._append = append
        self._lost = lost
        self._clock = clock
        self._mode = mode
        self._waiting_max = waiting_max
        self._waiting: deque[tuple[F, asyncio.Future[None] | None]] = deque()
        self._missing: Counter[str] = Counter()
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    @property
    def is_on(self) -> bool:
        """Say whether anything is recorded."""
        return self._mode != "off"

    async def record(self, fact: F) -> None:
        """Put a fact on record: soon, or in strict mode before this returns.

        Raises AuditUnavailableError in strict mode.
        """
        if not self.is_on:
            return
        written = asyncio.get_running_loop().create_future() if self._mode == "strict" else None
        if len(self._waiting) >= self._waiting_max:
            if written is not None:
                raise AuditUnavailableError
            self._missing[fact.tenant] += 1
            return
        self._waiting.append((fact, written))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        if written is not None:
            await written

    async def close(self) -> None:
        """Write what waits, for a few seconds; what is left then is told in the log."""
        self._closing.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=_CLOSING_S)
            if not self._task.done():
                self._task.cancel()
                await asyncio.wait([self._task])
        left = len(self._waiting) + sum(self._missing.values())
        if left:
            _LOG.error("%d audit entries could not be written", left)

    async def _run(self) -> None:
        while self._waiting or self._missing:
            if self._mode == "on":  # in strict mode somebody waits
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), _GATHER_S)
            batch = [self._waiting.popleft() for _ in range(min(_BATCH_MAX, len(self._waiting)))]
            missing, self._missing = self._missing, Counter()
            for tenant in dict.fromkeys([*(fact.tenant for fact, _ in batch), *missing]):
                own = [each for each in batch if each[0].tenant == tenant]
                await self._write(tenant, own, missing[tenant])

    async def _write(
        self, tenant: str, own: Sequence[tuple[F, asyncio.Future[None] | None]], missing: int
    ) -> None:
        facts = [fact for fact, _ in own]
        if missing:
            facts.append(self._lost(tenant, missing))
        try:
            await self._append(tenant, facts)
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing was written
            _LOG.error("audit entries of a tenant were not written: %s", type(error).__name__)
            for _, written in own:
                if written is not None and not written.done():
                    written.set_exception(AuditUnavailableError())
            if self._mode == "on":
                self._missing[tenant] += missing + len(own)
                await self._clock.sleep(_RETRY_S)
            return
        for _, written in own:
            if written is not None and not written.done():
                written.set_result(None)
