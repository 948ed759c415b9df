"""What one person may do with an object and its fields: the whole of what was decided, by verb.

Takes an object of the graph and a person's decisions; explain and tests of policies show it, and a
write takes from it what it may contain and what it sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self

from firnline.access.decisions import Decisions
from firnline.access.principal import Principal
from firnline.access.ruling import Ruling
from firnline.graph.policy.binding import ruling_on
from firnline.graph.policy.verbs import NOT_ALLOWED, is_writable, written_field
from firnline.graph.request import GraphContext, unexecuted
from firnline.graph.scan import Aliases, MaskedFieldError, Scan
from firnline.graph.shape import GraphObject, TenantGraph, everything_stored
from firnline.spec.verbs import FIELD_VERBS, PRESET_VERBS, VERBS

WRITING = ("create", "update", "delete")
_SET = "set by the builder's policy"
_READ_ONLY = "the token or its agent may only read"
_NOT_AT_SOURCE = "the source does not take it"


@dataclass(frozen=True, slots=True)
class WriteDecision:
    """What one kind of write may contain, and what it sets whoever asks.

    `refused` says why there may be no such write, empty where there may. Relative times in
    `presets` mean the moment of the write.
    """

    refused: str
    fields: frozenset[str] = frozenset()
    presets: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Says of every verb why a person may not use it; empty where they may.

    What is read is asked of the same scan that answers are read by.
    """

    scan: Scan

    @classmethod
    def of(
        cls, graph: TenantGraph, found: GraphObject, decisions: Decisions, *, now: datetime
    ) -> Self:
        """Return the verdicts on an object of the graph for whom the decisions are for."""
        context = GraphContext(
            principal=Principal(graph.tenant, ""),  # of whom nothing more is asked
            graph=graph,
            # Rights do not depend on what was synced already.
            decisions=replace(decisions, stored=everything_stored(graph)),
            now=now,
            resolve=unexecuted,
            freshness=dict,
        )
        return cls(Scan(context, found, Aliases()))

    def of_object(self, verb: str) -> str:
        """Return why a verb is refused on the object."""
        if verb not in VERBS:
            return NOT_ALLOWED
        refused = self._ruling.refused.get(verb, "")
        if verb not in WRITING:
            return refused or ("" if self.scan.denied is None else self.scan.denied.reason)
        return refused or self._reach() or self._source()

    def of_field(self, name: str, verb: str) -> str:
        """Return why a verb is refused on a field."""
        if verb not in FIELD_VERBS:
            return NOT_ALLOWED
        refused = self.of_object(verb)
        return refused or (self._written(name, verb) if verb in WRITING else self._read(name, verb))

    def _read(self, name: str, verb: str) -> str:
        try:
            if verb == "read":
                self.scan.shown(name)
            else:
                self.scan.field(name, "filter" if verb == "filter" else "aggregate")
        except MaskedFieldError as masked:
            return masked.note.reason
        return ""

    def _written(self, name: str, verb: str) -> str:
        own = self._ruling.fields.get(name)
        if own is not None and verb in own.refused:
            return own.refused[verb]
        if name in self._ruling.presets.get(verb, {}):
            return _SET
        if not is_writable(self._found, self._found.fields[name], verb):
            return _NOT_AT_SOURCE
        target = written_field(self._found, self._found.fields[name])
        assert target is not None
        return self.scan.withheld_at_source(target.name)

    @property
    def _found(self) -> GraphObject:
        return self.scan.object

    @property
    def _ruling(self) -> Ruling:
        return ruling_on(self._found, self.scan.context.decisions)

    def _reach(self) -> str:
        reach = self.scan.context.decisions.reach
        limit = reach.denial(self._found.type_name)
        if limit is not None:
            return limit.reason
        return _READ_ONLY if reach.is_read_only else ""

    def _source(self) -> str:
        """Return why nothing is written of what the source keeps back; it decides again itself."""
        decisions = self.scan.context.decisions
        return self.scan.denied_at_source or decisions.too_old.get(self._found.type_name, "")

    def write(self, verb: str) -> WriteDecision:
        """Return what a write of one kind may contain, and what it sets."""
        refused = self.of_object(verb)
        if refused:
            return WriteDecision(refused)
        settable = (name for name in self._found.fields if not self.of_field(name, verb))
        fields = frozenset() if verb == "delete" else frozenset(settable)
        return WriteDecision("", fields, self._ruling.presets.get(verb, {}))

    def as_dict(self) -> dict[str, Any]:
        """Return the verbs of the object with why they are refused, and what writes set."""
        verbs = {verb: self.of_object(verb) or None for verb in VERBS}
        presets = {verb: dict(self.write(verb).presets) for verb in PRESET_VERBS}
        return {"verbs": verbs, "presets": {verb: each for verb, each in presets.items() if each}}

    def of_field_as_dict(self, name: str) -> dict[str, str | None]:
        """Return the verbs of a field with why they are refused, null where they are not."""
        return {verb: self.of_field(name, verb) or None for verb in FIELD_VERBS}
