"""Answers questions that were answered before: kept answers, and compiled operations over memory.

Takes a question with the asking person's rights; respond receives `data` at once, or goes the whole
way and hands what came of it back, to be recalled the next time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import DocumentNode

from firnline.access.decisions import Decisions
from firnline.access.principal import Principal
from firnline.cache.bookkeeping import Versions
from firnline.cache.database import TenantDatabase
from firnline.clock import Clock
from firnline.errors import FirnlineError
from firnline.graph.answer import Answer, Question, extensions_of
from firnline.graph.cursor import CursorSeal
from firnline.graph.execution import Execution
from firnline.graph.explain.explanation import Explanation
from firnline.graph.freshness import KnownFreshness
from firnline.graph.memory.answers import ResidentAnswers
from firnline.graph.memory.compiled import CompiledOperations, levels_in
from firnline.graph.memory.kept_answers import KeptAnswers
from firnline.graph.memory.levels import Level, RecordLevel
from firnline.graph.memory.repeats import Repeat
from firnline.graph.memory.tables import ResidentTables
from firnline.graph.memory.views import ResidentReader, UnfitError, UnloadedError
from firnline.graph.moments import is_timeless, is_timeless_document
from firnline.graph.request import GraphContext
from firnline.graph.schema import TenantSchema
from firnline.graph.session import LazySnapshot, NeedsThreadError
from firnline.graph.shape import TenantGraph
from firnline.recent import Recent

_DOCUMENTS_MAX = 1024
_QUICK_S = 0.015  # longer work would hold up the event loop


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that may be asked, with all that answers it."""

    principal: Principal
    question: Question
    graph: TenantGraph
    text: str
    document: DocumentNode
    published: tuple[str, ...]  # its operation's name and id
    schema: TenantSchema
    database: TenantDatabase
    variables: bytes | None  # in one form
    explanation: Explanation | None = None

    def slot(self, rights: str) -> tuple[str, ...]:
        """Return what tells the question from others asked with other rights."""
        name = self.question.operation_name or ""
        return (self.graph.tenant, self.graph.version, rights, self.text, name)

    def answer_slot(self, decisions: Decisions) -> tuple[Any, ...] | None:
        """Return what tells the answer from all others; None where nothing can."""
        if self.variables is None:
            return None
        # The whole principal: cursors belong to one, and policies look at more than the e-mail.
        return (*self.slot(decisions.fingerprint), self.principal, self.variables)


class Recall:
    """What is known of earlier questions. `kept_bytes` are for answers asked for again."""

    def __init__(
        self,
        *,
        resident: ResidentTables | None,
        seal: CursorSeal,
        clock: Clock,
        kept_bytes: int,
        may_load: bool,
        is_of_today: Callable[[TenantGraph], bool],
        freshness: KnownFreshness,
    ) -> None:
        self._resident = resident
        self._seal = seal
        self._clock = clock
        self._may_load = may_load
        self._is_of_today = is_of_today
        self._freshness = freshness
        self._compiled = CompiledOperations()
        self._kept = KeptAnswers(kept_bytes)
        self._slow: Recent[tuple[str, ...], bool] = Recent(_DOCUMENTS_MAX)
        self._timeless: Recent[str, bool] = Recent(_DOCUMENTS_MAX)

    def kept(self, asked: Asked, context: GraphContext, versions: Versions) -> Answer | None:
        """Return an answer that was given before and is still true."""
        generation = asked.database.generation  # before the versions are looked at
        slot = asked.answer_slot(context.decisions)
        kept = self._kept.get(slot, versions)
        if kept is None:
            return None
        context.notes.update(kept.notes)
        context.objects_read.update(kept.objects_read)
        freshness = context.freshness()
        extensions = extensions_of(context, freshness)
        repeat = Repeat(
            slot=slot,
            kept=kept,
            among=self._kept,
            graph=asked.graph,
            is_of_today=self._is_of_today,
            known_freshness=self._freshness,
            freshness=freshness,
            database=asked.database,
            generation=generation,
            valid_until=context.decisions.valid_until,
            clock=self._clock,
        )
        return Answer(
            kept.content,
            extensions=extensions,
            is_kept=True,
            ran=asked,
            records=kept.records,
            repeat=repeat,
        )

    def is_slow(self, asked: Asked, decisions: Decisions) -> bool:
        """Say whether memory takes so long for a question that it belongs into a thread."""
        return asked.slot(decisions.fields_fingerprint) in self._slow

    def from_memory(
        self,
        asked: Asked,
        context: GraphContext,
        unloaded: list[Level | RecordLevel],
        snapshot: LazySnapshot,
    ) -> bytes | None:
        """Return `data` where a compiled operation and columns in memory give it.

        Adds to `unloaded` what has to be brought into memory for that. May run in any thread.
        """
        if self._resident is None:
            return None
        slot = asked.slot(context.decisions.fields_fingerprint)
        variables = asked.question.variables or {}
        compiled = self._compiled.find(slot, variables)
        values = None if compiled is None else compiled.values(asked.schema.core, variables)
        if compiled is None or values is None:
            return None
        reader = ResidentReader(
            self._resident,
            context,
            snapshot.fetch,
            snapshot.versions,
            may_load=self._may_load,
            require_thread=snapshot.require_thread,
        )
        started = self._clock.monotonic()
        try:
            text = compiled.answer(ResidentAnswers(reader, self._seal, values=values))
        except UnloadedError:
            unloaded += levels_in(compiled)
            return None
        except (UnfitError, NeedsThreadError, FirnlineError):
            # Whatever it is, the whole way finds it again and can say what it means.
            return None
        self._timed(slot, self._clock.monotonic() - started)
        context.notes.update(compiled.notes)
        context.objects_read.update(compiled.objects_read)
        context.records = text.weight
        return text.content

    def keep(self, asked: Asked, content: bytes, context: GraphContext, versions: Versions) -> None:
        """Keep an answer that stays true until data changes."""
        slot = asked.answer_slot(context.decisions)
        if not self._kept.is_on or slot is None or not is_timeless(asked.question.variables or {}):
            return
        if self._is_timeless(asked):
            self._kept.put(slot, content, context, versions)

    def compile(self, asked: Asked, execution: Execution) -> tuple[str, ...] | None:
        """Keep what answered an operation from memory, to be asked again.

        Returns the names of the variables that shape its plan, None when nothing is kept.
        """
        info, context = execution.asked, execution.context
        if info is None or context is None or not execution.is_compilable:
            return None
        slot = asked.slot(context.decisions.fields_fingerprint)
        fragments = [getattr(each, "definition", each) for each in info.fragments.values()]
        roots = {key: root for key, root in execution.roots.items() if root is not None}
        variables: Mapping[str, Any] = asked.question.variables or {}
        return self._compiled.keep(slot, info.operation, fragments, variables, roots, context)

    def _is_timeless(self, asked: Asked) -> bool:
        known = self._timeless.get(asked.text)
        if known is None:
            known = is_timeless_document(asked.document)
            self._timeless.put(asked.text, known)
        return known

    def _timed(self, slot: tuple[str, ...], spent_s: float) -> None:
        """Remember which questions take so long that they belong into a thread."""
        if spent_s > _QUICK_S:
            self._slow.put(slot, True)
        elif spent_s < _QUICK_S / 2:
            self._slow.drop(slot)
