"""Writes what was read to the record, behind the answers: a bounded queue and one task.

Readings that are alike and wait at the same time become one entry that counts them.

Takes facts as answers go out; the sink receives them in batches, tenant by tenant. What happens
when the queue is full or the sink fails is the mode's: `on` counts what is lost and writes the
count, `strict` lets nobody have an answer that is not on record, `off` records nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, Literal, Protocol, Self, TypeVar

from firnline.clock import Clock
from firnline.errors import FirnlineError

_LOG = logging.getLogger("firnline.audit")
_BATCH_MAX = 50  # more at a time would hold up the answers
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

    def alike(self) -> Hashable:
        """Return what is equal for facts that may be counted together."""
        ...

    def add(self, other: Self) -> None:
        """Count a fact that is alike, too."""
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


@dataclass(slots=True)
class _Waiting(Generic[F]):
    fact: F
    written: list[asyncio.Future[None]] = field(default_factory=list)


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
        self._waiting: OrderedDict[Hashable, _Waiting[F]] = OrderedDict()
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
        waiting = self._entered(fact.alike(), fact)
        if waiting is not None and self._mode == "strict":
            written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            waiting.written.append(written)
            await written

    def repeats(self, anew: Callable[[], F]) -> Callable[[], None] | None:
        """Return what records a fact that `anew` makes, as often as it is called.

        None in strict mode: there every answer waits for its own record.
        """
        if self._mode == "strict":
            return None
        if self._mode == "off":
            return lambda: None
        one = anew()
        key = one.alike()

        def record() -> None:
            waiting = self._waiting.get(key)
            if waiting is None:
                self._entered(key, anew())
            else:
                waiting.fact.add(one)

        return record

    def _entered(self, key: Hashable, fact: F) -> _Waiting[F] | None:
        """Let a fact wait for being written; None when it is only counted as missing."""
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting.fact.add(fact)
        elif len(self._waiting) < self._waiting_max:
            waiting = self._waiting[key] = _Waiting(fact)
        elif self._mode == "strict":
            raise AuditUnavailableError
        else:
            self._missing[fact.tenant] += 1
            return None
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return waiting

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
            gathered, self._waiting = list(self._waiting.values()), OrderedDict()
            missing, self._missing = self._missing, Counter()
            for tenant in dict.fromkeys([*(each.fact.tenant for each in gathered), *missing]):
                own = [each for each in gathered if each.fact.tenant == tenant]
                for start in range(0, len(own) or 1, _BATCH_MAX):
                    batch = own[start : start + _BATCH_MAX]
                    is_last = start + _BATCH_MAX >= len(own)
                    await self._write(tenant, batch, missing[tenant] if is_last else 0)

    async def _write(self, tenant: str, own: Sequence[_Waiting[F]], missing: int) -> None:
        facts = [each.fact for each in own]
        if missing:
            facts.append(self._lost(tenant, missing))
        try:
            await self._append(tenant, facts)
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing was written
            _LOG.error("audit entries of a tenant were not written: %s", type(error).__name__)
            for each in own:
                for written in each.written:
                    if not written.done():
                        written.set_exception(AuditUnavailableError())
            if self._mode == "on":
                self._missing[tenant] += missing + len(own)
                await self._clock.sleep(_RETRY_S)
            return
        for each in own:
            for written in each.written:
                if not written.done():
                    written.set_result(None)
