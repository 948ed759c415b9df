"""Compiles operations before they are asked, for the rights of people who asked them before.

Takes a published operation and one of its askers; the next question of whoever may read the same
finds the compiled operation, and its columns in memory. Rights are found anew, as for a question of
that person; nothing is answered, and nobody is given what was compiled for other rights.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from firnline.access.decisions import Decisions
from firnline.access.principal import Principal
from firnline.errors import FirnlineError
from firnline.graph.answer import Question
from firnline.graph.askers import Askers, principal_of, shape_in
from firnline.graph.cursor import CursorSeal
from firnline.graph.memory.answers import ResidentAnswers
from firnline.graph.memory.levels import Level, RecordLevel
from firnline.graph.memory.recall import Asked, Recall
from firnline.graph.memory.tables import ResidentTables
from firnline.graph.memory.views import ResidentReader, UnfitError
from firnline.graph.rehearsal import Rehearsal
from firnline.graph.request import GraphContext
from firnline.graph.samples import sample_of
from firnline.graph.session import LazySnapshot, Session
from firnline.state.rows import AskerRow, OperationRow

_LOG = logging.getLogger("firnline.graph")


class Ahead:
    """Compiles for one responder, into what it recalls from."""

    def __init__(
        self,
        asked: Callable[[Principal, Question], Awaitable[Asked]],
        context: Callable[..., GraphContext],
        decisions: Callable[..., Decisions],
        recall: Recall,
        seal: CursorSeal,
        resident: ResidentTables | None,
        askers: Askers | None,
        *,
        rehearsal: Callable[..., Rehearsal],
    ) -> None:
        self._asked = asked
        self._context = context
        self._decisions = decisions
        self._recall = recall
        self._seal = seal
        self._resident = resident
        self._askers = askers
        self._rehearsal = rehearsal

    async def prepare(self, operation: OperationRow, asker: AskerRow) -> bool:
        """Compile an operation as somebody would ask it now, and load its columns.

        Returns whether there is something compiled: not where DuckDB has to answer, where the
        person may not ask it any more, or where memory has no room for more.
        """
        if self._resident is None or not await asyncio.to_thread(self._resident.has_room):
            return False
        try:
            question = await self._question(operation, asker)
            asked = await self._asked(principal_of(asker), question)
            rights = await self._compiled(asked)
        except FirnlineError as error:
            _LOG.info("%s is not compiled ahead: %s", operation.name, error.code)
            return False
        if rights is not None and self._askers is not None:
            self._askers.expect(asker, rights)
        return rights is not None

    async def _question(self, operation: OperationRow, asker: AskerRow) -> Question:
        published = (operation.name, operation.operation_id)
        plain = await self._asked(
            principal_of(asker), Question(operation.text, published=published)
        )
        sample = sample_of(plain.document, plain.schema.core, shape_in(asker))
        return replace(plain.question, variables=sample.variables)

    async def _compiled(self, asked: Asked) -> str | None:
        """Return for whose rights a question is compiled now, None where it cannot be."""
        async with Session(asked.database) as session:
            await session.run(LazySnapshot.settle)
            decisions: Decisions = await session.run(self._decisions, asked.graph, asked.principal)
            execution = self._rehearsal(session, self._seal, None)
            context = self._context(asked, decisions, {}, execution.resolve)
            execution.context = context
            result = await asked.schema.execute(
                asked.text,
                variable_values=dict(asked.question.variables or {}),
                context_value=context,
            )
            if result.errors or not execution.is_compilable:
                return None
            if not await session.run(self._load, context, execution.levels):
                return None
            if self._recall.compile(asked, execution) is None:
                return None
        return decisions.fields_fingerprint

    def _load(
        self, context: GraphContext, levels: Sequence[Level | RecordLevel], snapshot: LazySnapshot
    ) -> bool:
        """Bring levels into memory; returns whether memory can answer all of them."""
        assert self._resident is not None
        reader = ResidentReader(self._resident, context, snapshot.fetch, snapshot.versions)
        try:
            for level in levels:
                ResidentAnswers(reader, self._seal).load(level)
        except UnfitError:
            return False
        return True
