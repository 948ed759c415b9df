"""Puts questions and what came of them on record, however they were asked.

Takes each question with its answer or refusal; the state's chain receives facts through the one
recorder of this process.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta

from firnline.access.principal import Principal
from firnline.audit.readings import Readings, Reads, fact_of, lost_fact
from firnline.audit.recorder import AuditRecorder, AuditUnavailableError, Mode
from firnline.clock import Clock
from firnline.errors import FirnlineError
from firnline.graph.answer import Answer, Question
from firnline.graph.tenants import TenantGraphs
from firnline.state.audit import AuditChain, AuditTamperedError
from firnline.state.state import State

_LOG = logging.getLogger("firnline.audit")
_SHORTEN_EVERY_S = 3600.0


class Auditing:
    """The record of one opened project; `key` seals its chains."""

    def __init__(
        self,
        state: State,
        graphs: TenantGraphs,
        *,
        key: bytes,
        clock: Clock,
        mode: Mode,
        waiting_max: int,
    ) -> None:
        self.chain: AuditChain = state.audit(key)
        self._state = state
        self._graphs = graphs
        self._clock = clock
        self._readings = Readings()
        self._recorder = AuditRecorder(
            self.chain.append,
            lost=lambda tenant, count: lost_fact(tenant, count, clock.now()),
            mode=mode,
            clock=clock,
            waiting_max=waiting_max,
        )

    async def answered(self, principal: Principal, question: Question, answer: Answer) -> None:
        """Record an answer that goes out; raises AuditUnavailableError in strict mode."""
        if not self._recorder.is_on:
            return
        try:
            await self._record(principal, question, answer=answer)
        except AuditUnavailableError:
            if answer.later is not None:
                await answer.later.close()
            raise

    async def refused(self, principal: Principal, question: Question, error: FirnlineError) -> None:
        """Record a question that was refused."""
        if self._recorder.is_on and principal.tenant in self._graphs.project.tenants:
            await self._record(principal, question, refused=error.code)

    async def _record(
        self,
        principal: Principal,
        question: Question,
        *,
        answer: Answer | None = None,
        refused: str = "",
    ) -> None:
        text, operation = question.query, question.published
        if text is None and question.document_id:
            row = await self._state.operation(principal.tenant, question.document_id)
            if row is not None:
                text, operation = row.text, (row.name, row.operation_id)
        reads: Reads = {}
        if text is not None and answer is not None and answer.executed:
            graph = await self._graphs.graph(principal.tenant)
            schema = self._graphs.schema(graph).core
            reads = self._readings.of(graph, schema, text, question.variables)
        at = self._clock.now()
        fact = fact_of(
            principal, at=at, operation=operation, reads=reads, answer=answer, refused=refused
        )
        await self._recorder.record(fact)

    async def keep_short(self, tenants: Sequence[str], days: int) -> None:
        """Let entries go that are older than `days`, now and every hour; 0: never."""
        while days:
            before = self._clock.now() - timedelta(days=days)
            for tenant in tenants:
                try:
                    await self.chain.forget(tenant, before=before)
                except AuditTamperedError as error:
                    _LOG.error("%s", error.message)  # nothing is let go of a chain in doubt
            await self._clock.sleep(_SHORTEN_EVERY_S)

    async def close(self) -> None:
        """Write what waits."""
        await self._recorder.close()
