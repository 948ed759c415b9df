"""Puts questions and what came of them on record, however they were asked.

Takes each question with its answer or refusal; the state's chain receives facts through the one
recorder of this process.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from firnline.access.principal import Principal
from firnline.audit.following import RecordedParts
from firnline.audit.readings import Readings, Reads, fact_of, lost_fact, part_of
from firnline.audit.recorder import AuditRecorder, AuditUnavailableError, Mode
from firnline.clock import Clock
from firnline.errors import FirnlineError
from firnline.graph.answer import Answer, Question
from firnline.graph.tenants import TenantGraphs
from firnline.state.audit import AuditChain, AuditTamperedError
from firnline.state.rows import AuditFact
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

    async def answered(self, principal: Principal, question: Question, answer: Answer) -> Answer:
        """Record an answer that goes out, and return it; parts that follow record themselves.

        Raises AuditUnavailableError in strict mode.
        """
        if not self._recorder.is_on:
            return answer
        try:
            fact = await self._answered(principal, question, answer)
        except AuditUnavailableError:
            if answer.later is not None:
                await answer.later.close()
            raise
        if answer.later is None:
            return answer

        async def record(added: Mapping[str, Any]) -> None:
            at = self._clock.now()
            await self._recorder.record(part_of(fact, at=at, added=added))

        return replace(answer, later=RecordedParts(answer, answer.later, record=record))

    async def refused(self, principal: Principal, question: Question, error: FirnlineError) -> None:
        """Record a question that was refused."""
        if not self._recorder.is_on or principal.tenant not in self._graphs.project.tenants:
            return
        operation = question.published
        if question.query is None and question.document_id:
            row = await self._state.operation(principal.tenant, question.document_id)
            operation = () if row is None else (row.name, row.operation_id)
        at = self._clock.now()
        fact = fact_of(principal, at=at, operation=operation, refused=error.code)
        await self._recorder.record(fact)

    async def administered(
        self,
        tenant: str,
        action: str,
        *,
        outcome: str,
        about: str = "",
        person: str = "",
        agent: str = "",
        credential: str = "",
    ) -> None:
        """Record what a person, or a program (`agent`), did to a tenant's connections.

        `about` is whose own connection it was. Raises AuditUnavailableError in strict mode.
        """
        content = {
            "times": 1,
            "agent": agent,
            "purpose": "",
            "credential": credential,
            "operation": [f"admin: {action}"],
            "reads": {},
            "outcome": outcome,
            **({"about": about} if about else {}),
        }
        await self._recorder.record(AuditFact(tenant, person, self._clock.now(), content))

    async def again(
        self, principal: Principal, variables: Mapping[str, Any] | None, answer: Answer
    ) -> Callable[[], None] | None:
        """Return what puts one more answer like `answer` on record, whenever it goes out again.

        None in strict mode.
        """
        if not self._recorder.is_on:
            return lambda: None
        fact = await self._fact(principal, Question(variables=variables), answer)
        return self._recorder.repeats(
            lambda: replace(fact, at=self._clock.now(), content=dict(fact.content))
        )

    async def _answered(
        self, principal: Principal, question: Question, answer: Answer
    ) -> AuditFact:
        fact = await self._fact(principal, question, answer)
        await self._recorder.record(fact)
        return fact

    async def _fact(self, principal: Principal, question: Question, answer: Answer) -> AuditFact:
        reads: Reads = {}
        operation = question.published if answer.ran is None else answer.ran.published
        if answer.ran is not None and answer.executed:
            graph = await self._graphs.graph(principal.tenant)
            schema = self._graphs.schema(graph).core
            reads = self._readings.of(graph, schema, answer.ran, question.variables)
        at = self._clock.now()
        return fact_of(principal, at=at, operation=operation, reads=reads, answer=answer)

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
