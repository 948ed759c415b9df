"""From a question to its answer: guard, schema, plan, load, mask, JSON.

Takes a principal and a request; the web edge and the CLI receive the GraphQL response. DuckDB work
runs in worker threads; one snapshot serves the whole operation.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import orjson
from graphql import (
    DocumentNode,
    ExperimentalIncrementalExecutionResults,
    GraphQLError,
    GraphQLResolveInfo,
)

from firnline.access.decisions import Decisions
from firnline.access.principal import Principal
from firnline.cache.database import TenantDatabase
from firnline.clock import Clock
from firnline.errors import UsageError
from firnline.flights import Flights
from firnline.graph.ahead import Ahead
from firnline.graph.answer import Answer, Question, code_of, extensions_of, formatted
from firnline.graph.askers import Askers
from firnline.graph.cost import COST_MAX
from firnline.graph.cursor import CursorSeal
from firnline.graph.execution import Execution
from firnline.graph.explain.explanation import Explanation, stage
from firnline.graph.freshness import Freshness, KnownFreshness
from firnline.graph.guard import DocumentLimits, guard_variables, guarded
from firnline.graph.memory.answers import ResidentAnswers
from firnline.graph.memory.kept_answers import question_key
from firnline.graph.memory.levels import Level, RecordLevel
from firnline.graph.memory.loading import BackgroundLoading
from firnline.graph.memory.recall import Asked, Recall
from firnline.graph.memory.tables import ResidentTables
from firnline.graph.memory.views import ResidentReader, UnfitError
from firnline.graph.operations import OperationStore, UnknownOperationError, operation_names
from firnline.graph.parts import Parts, may_follow
from firnline.graph.policy.checks import Verification, errors_of
from firnline.graph.rehearsal import Rehearsal
from firnline.graph.request import Completed, GraphContext, unexecuted
from firnline.graph.schema import TenantSchema
from firnline.graph.session import LazySnapshot, NeedsThreadError, Session, SnapshotMovedError
from firnline.graph.sizes import TableSizes
from firnline.graph.tenants import TenantGraphs
from firnline.graph.visible import VisibleGraphs
from firnline.recent import Recent

_LOG = logging.getLogger("firnline.graph")
_ERRORS_MAX = 10
_DOCUMENTS_MAX = 1024
_INTROSPECTION = re.compile(r"__(?:schema|type)\b")


class OperationNameError(UsageError):
    """No operation, or more than one, is meant."""

    code = "operation_name"


class Databases(Protocol):
    """Opens tenants' caches."""

    def __call__(self, tenant: str) -> Awaitable[TenantDatabase]:
        """Return the open cache of a tenant; raises NoDataYetError."""
        ...


class Responder:
    """Answers questions for principals.

    `kept_bytes` are for answers that are asked for again. With `loads_behind` columns are brought
    into memory after DuckDB answered, else before. `mask_key` gives each tenant's key of masks that
    are hashes; without it such fields are null.
    """

    def __init__(
        self,
        graphs: TenantGraphs,
        *,
        databases: Databases,
        operations: OperationStore,
        seal: CursorSeal,
        clock: Clock,
        limits: DocumentLimits | None = None,
        resident: ResidentTables | None = None,
        kept_bytes: int = 0,
        loads_behind: bool = False,
        mask_key: Callable[[str], bytes] | None = None,
        cost_max: int = COST_MAX,
        askers: Askers | None = None,
        verification: Verification | None = None,
        freshness: KnownFreshness | None = None,
    ) -> None:
        self._graphs = graphs
        self._resident = resident
        self._databases = databases
        self._operations = operations
        self._seal = seal
        self._clock = clock
        self._limits = limits or DocumentLimits()
        self._visible = VisibleGraphs(graphs.schema)
        self._documents: Recent[str, DocumentNode] = Recent(_DOCUMENTS_MAX)
        self._freshness = freshness or KnownFreshness()
        self._recall = Recall(
            resident=resident,
            seal=seal,
            clock=clock,
            kept_bytes=kept_bytes,
            may_load=not loads_behind,
            is_of_today=graphs.is_of_today,
            freshness=self._freshness,
        )
        self._flights: Flights[Hashable, Answer] = Flights(goes_on=False)
        self._loads_behind = loads_behind
        self._mask_key = mask_key
        self._verification = verification or Verification(None, clock)
        sizes = TableSizes()
        self._execution = partial(Execution, sizes=sizes, cost_max=cost_max)
        self._askers = askers
        self.ahead = Ahead(
            *(self._asked, self._context, graphs.decisions, self._recall, seal, resident, askers),
            rehearsal=partial(Rehearsal, sizes=sizes, cost_max=cost_max),
        )
        self.loading = BackgroundLoading(clock)

    async def visible_schema(self, principal: Principal) -> TenantSchema:
        """Return the schema of what the principal may read."""
        graph = await self._graphs.graph(principal.tenant)
        async with Session(await self._databases(principal.tenant)) as session:
            decisions = await session.run(self._graphs.decisions, graph, principal)
        now = self._clock.now()
        visible = self._visible.of(graph, decisions, principal=principal, now=now)
        return await asyncio.to_thread(visible.schema)

    async def answer(self, principal: Principal, question: Question) -> Answer:
        """Answer one question; raises FirnlineError when it cannot be asked at all."""
        asked = await self._asked(principal, question)
        if question.takes_parts and asked.explanation is None and may_follow(asked.text):
            return await self._in_parts(asked)
        if asked.explanation is not None or asked.variables is None:
            return await self._answered(asked)
        rights_are_known, principal = True, asked.principal
        try:
            found = self._known(asked)
            if found is not None:
                return found
        except NeedsThreadError:
            rights_are_known = False
        term = self._graphs.term(asked.graph, principal)
        slot = (asked.slot(""), principal, asked.variables, asked.database.generation, term)
        return await self._flights.join(
            slot, lambda: self._answered(asked, may_recall=not rights_are_known)
        )

    async def _asked(self, principal: Principal, question: Question) -> Asked:
        """Return the question with all that answers it; raises what refuses it."""
        explanation = Explanation.of(question.explain, clock=self._clock)
        graph = await self._graphs.graph(principal.tenant)
        reach = self._graphs.reach(principal)
        text, published = await self._text(principal, question)
        reach.require_operation(*published)
        principal = self._graphs.running(principal, published)
        with stage(explanation, "guard"):
            document = self._guarded(text)
            _check_operation(document, question.operation_name)
            guard_variables(question.variables, self._limits)
        return Asked(
            principal,
            question,
            graph,
            text,
            document,
            published,
            schema=await self._graphs.prepared_schema(graph),
            database=await self._databases(principal.tenant),
            variables=question_key(question.variables),
            explanation=explanation,
        )

    def _known(self, asked: Asked) -> Answer | None:
        """Return an answer at once, without a thread, where that is possible.

        Raises NeedsThreadError when the rights are not known.
        """
        freshness = self._freshness.of(asked.database)
        snapshot = LazySnapshot(asked.database)
        decisions = self._graphs.decisions(asked.graph, asked.principal, snapshot)
        return self._recalled(asked, decisions, freshness, snapshot)

    def _recalled(
        self, asked: Asked, decisions: Decisions, freshness: Freshness, snapshot: LazySnapshot
    ) -> Answer | None:
        """Return an answer that was kept, or that columns in memory give at once."""
        context = self._context(asked, decisions, freshness, unexecuted)
        kept = self._recall.kept(asked, context, snapshot.versions)
        if kept is not None or self._recall.is_slow(asked, decisions):
            return kept
        unloaded: list[Level | RecordLevel] = []
        content = self._recall.from_memory(asked, context, unloaded, snapshot)
        return self._remembered(asked, content, context, unloaded, snapshot)

    async def _recalled_in_thread(
        self, asked: Asked, decisions: Decisions, freshness: Freshness, session: Session
    ) -> Answer | None:
        """Return what columns in memory give of a question that would hold up the event loop."""
        if not self._recall.is_slow(asked, decisions):
            return None
        context = self._context(asked, decisions, freshness, unexecuted)
        unloaded: list[Level | RecordLevel] = []
        content = await session.run(self._recall.from_memory, asked, context, unloaded)
        return self._remembered(asked, content, context, unloaded, session.snapshot)

    def _remembered(
        self,
        asked: Asked,
        content: bytes | None,
        context: GraphContext,
        unloaded: Sequence[Level | RecordLevel],
        snapshot: LazySnapshot,
    ) -> Answer | None:
        self._load(asked, context, unloaded)
        if content is None:
            return None
        self._recall.keep(asked, content, context, snapshot.versions)
        if self._askers is not None:
            self._askers.answered(asked, context.decisions.fields_fingerprint)
        extensions = extensions_of(context, context.freshness())
        return Answer(content, extensions=extensions, ran=asked, records=context.records)

    async def _answered(self, asked: Asked, *, may_recall: bool = False) -> Answer:
        """Answer the whole way: parse, validate, plan, load.

        With `may_recall` what is known of earlier questions was not looked at yet.
        """
        for is_settled in (False, True):
            try:
                answer = await self._executed(
                    asked, is_settled=is_settled, may_recall=may_recall or is_settled
                )
            except SnapshotMovedError:
                continue
            if not any(code_of(error) == SnapshotMovedError.code for error in answer.errors):
                return answer
        raise SnapshotMovedError(
            "the data kept changing while the question was answered", hint="Ask again."
        )

    async def _executed(self, asked: Asked, *, is_settled: bool, may_recall: bool) -> Answer:
        graph, question, text = asked.graph, asked.question, asked.text
        # Before the snapshot: a sync between the two may make the data younger than what we say of
        # it, never older.
        freshness = self._freshness.of(asked.database)
        async with Session(asked.database) as session:
            if is_settled:
                await session.run(LazySnapshot.settle)
            with stage(asked.explanation, "access"):
                decisions = await session.run(
                    self._graphs.decisions, graph, asked.principal, inline=True
                )
            if asked.explanation is None:
                found = None
                if may_recall:
                    found = self._recalled(asked, decisions, freshness, session.snapshot)
                found = found or await self._recalled_in_thread(
                    asked, decisions, freshness, session
                )
                if found is not None:
                    return found
            execution = self._execution(
                session,
                self._seal,
                self._resident,
                may_load=not self._loads_behind,
                explanation=asked.explanation,
            )
            context = self._context(asked, decisions, freshness, execution.resolve)
            execution.bind(context)
            if _INTROSPECTION.search(text) and context.visible is not None:
                # Built here, or the first question of each kind of rights would hold up the others.
                await asyncio.to_thread(context.visible.core_schema)
            result = await asked.schema.execute(
                text,
                variable_values=dict(question.variables or {}),
                context_value=context,
                operation_name=question.operation_name,
            )
        content = None if result.data is None else orjson.dumps(result.data)
        context.records = sum(execution.records)
        # Of other root fields it is not known what they depend on.
        if result.data and not result.errors and list(result.data) == list(execution.roots):
            assert content is not None
            shaping = self._recall.compile(asked, execution)
            if self._askers is not None:
                self._askers.compiled(asked, decisions.fields_fingerprint, shaping)
            self._recall.keep(asked, content, context, session.snapshot.versions)
        self._load(asked, context, execution.unloaded)
        answer = _answer_of(asked, content, result.errors, execution, context)
        if asked.explanation is None:
            return answer
        told = asked.explanation.as_dict(context, session.snapshot.versions)
        return replace(answer, extensions={**answer.extensions, "explain": told})

    async def _in_parts(self, asked: Asked) -> Answer:
        """Answer what is not put off; the rest follows, from the same snapshot."""
        freshness = self._freshness.of(asked.database)
        async with AsyncExitStack() as held:
            session = await held.enter_async_context(Session(asked.database))
            await session.run(LazySnapshot.settle)
            decisions = await session.run(self._graphs.decisions, asked.graph, asked.principal)
            execution = self._execution(session, self._seal, self._resident)
            context = self._context(asked, decisions, freshness, execution.resolve)
            execution.bind(context)
            context.takes_parts = True
            result: Any = await asked.schema.execute(
                asked.text,
                variable_values=dict(asked.question.variables or {}),
                context_value=context,
                operation_name=asked.question.operation_name,
            )
            later = None
            if isinstance(result, ExperimentalIncrementalExecutionResults):
                extensions = partial(extensions_of, context, freshness)
                later = Parts(
                    *(result, held.pop_all(), execution.records),
                    formatted=formatted,
                    extensions=extensions,
                    offsets=context.offsets,
                )
                result = result.initial_result
        content = None if result.data is None else orjson.dumps(result.data)
        context.records = sum(execution.records)
        return replace(_answer_of(asked, content, result.errors, execution, context), later=later)

    def _context(
        self,
        asked: Asked,
        decisions: Decisions,
        freshness: Freshness,
        resolve: Callable[[GraphQLResolveInfo[Any]], Awaitable[Completed]],
    ) -> GraphContext:
        now = self._clock.now()
        return GraphContext(
            principal=asked.principal,
            graph=asked.graph,
            decisions=decisions,
            now=now,
            resolve=resolve,
            freshness=lambda: freshness,
            visible=self._visible.of(asked.graph, decisions, principal=asked.principal, now=now),
            scans=None if asked.explanation is None else asked.explanation.begin(),
            mask_key=self._mask_key and partial(self._mask_key, asked.graph.tenant),
            checks=self._verification.checks(decisions, asked.principal),
        )

    def _load(
        self, asked: Asked, context: GraphContext, levels: Sequence[Level | RecordLevel]
    ) -> None:
        """Bring what answers levels into memory, behind the answers."""
        if not levels or self._resident is None:
            return
        resident, database = self._resident, asked.database

        async def load() -> None:
            async with Session(database) as session:
                await session.run(LazySnapshot.settle)
                decisions = await session.run(self._graphs.decisions, asked.graph, asked.principal)
                now = self._context(asked, decisions, {}, unexecuted)
                await session.run(_loaded, resident, now, self._seal, levels)

        slot = (asked.slot(context.decisions.fingerprint), asked.database.generation)
        self.loading.begin(slot, load)

    def _guarded(self, text: str) -> DocumentNode:
        document = self._documents.get(text)
        if document is None:
            document = guarded(text, self._limits)
            self._documents.put(text, document)
        return document

    async def _text(self, principal: Principal, question: Question) -> tuple[str, tuple[str, ...]]:
        """Return the document, and under which name and id it is published."""
        if question.query is not None:
            return question.query, question.published
        if not question.document_id:
            raise UsageError("the request holds no document", hint="Send query or documentId.")
        found = await self._operations.operation(principal.tenant, question.document_id)
        if found is None:
            raise UnknownOperationError(question.document_id)
        return found.text, (found.name, found.operation_id)


def _check_operation(document: DocumentNode, wanted: str | None) -> None:
    """Raise OperationNameError unless exactly one operation is meant."""
    names = operation_names(document)
    if not names:
        raise OperationNameError(
            "the document holds no operation", hint="Write `query { ... }` beside the fragments."
        )
    if wanted and wanted not in names:
        raise OperationNameError(
            "the document holds no operation of that name",
            hint="Send one of the document's own names as operationName.",
        )
    if not wanted and len(names) > 1:
        raise OperationNameError(
            f"the document holds {len(names)} operations and none was chosen",
            hint="Send operationName.",
        )


def _answer_of(
    asked: Asked,
    content: bytes | None,
    errors: Sequence[GraphQLError] | None,
    execution: Execution,
    context: GraphContext,
) -> Answer:
    """Return what an execution came to."""
    return Answer(
        content=content,
        errors=(*map(formatted, (errors or ())[:_ERRORS_MAX]), *errors_of(context.checks)),
        extensions=extensions_of(context, context.freshness()),
        statements=tuple(execution.statements),
        executed=context.variables is not None,
        ran=asked,
        records=context.records,
    )


def _loaded(
    resident: ResidentTables,
    context: GraphContext,
    seal: CursorSeal,
    levels: Sequence[Level | RecordLevel],
    snapshot: LazySnapshot,
) -> None:
    """Load levels one by one; those that cannot be loaded are DuckDB's for good."""
    reader = ResidentReader(resident, context, snapshot.fetch, snapshot.versions)
    for level in levels:
        with suppress(UnfitError):
            ResidentAnswers(reader, seal).load(level)
