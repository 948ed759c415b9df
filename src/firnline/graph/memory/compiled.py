"""Compiled operations: what stays of an operation's plan when it is asked again.

Takes the levels of an operation that columns in memory answered; respond runs them with the values
of the next request, without parsing, validating or planning anew. One compiled operation serves
everybody who may read the same fields; which rows are seen is looked up each time.

Variables that stand for a whole operand (`{eq: $a}`) may have other values each time. All others,
such as `first: $n` or `@include(if: $b)`, shape the plan: each of their values has one of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from graphql import (
    FragmentDefinitionNode,
    GraphQLSchema,
    OperationDefinitionNode,
    VariableDefinitionNode,
    VariableNode,
    Visitor,
    visit,
)
from graphql.execution.values import get_variable_values
from graphql.language import SKIP

from firnline.graph.memory.answers import ResidentAnswers, Text
from firnline.graph.memory.criteria import Values
from firnline.graph.memory.levels import Level, RecordLevel, is_whole, operands_in
from firnline.graph.request import AccessNote, GraphContext
from firnline.recent import Recent

PLANS_MAX = 1024  # documents, per set of readable fields
SHAPES_MAX = 16  # per document: values of the variables that shape the plan
_ABSENT = b"\x00"
_NULL = Text(b"null", 0)

Slot = tuple[str, ...]
# What one response key of the root is answered by: a list or record, the members of a namespace,
# or a text that is always the same.
Root = Level | RecordLevel | tuple[tuple[bytes, "Root"], ...] | bytes


@dataclass(frozen=True, slots=True)
class Compiled:
    """One operation, ready to be asked with other values."""

    root: tuple[tuple[bytes, Root], ...]  # prefix of the response key, what answers it
    definitions: tuple[VariableDefinitionNode, ...]
    notes: Mapping[tuple[str, str], AccessNote]
    objects_read: frozenset[tuple[str, str]]

    def values(self, schema: GraphQLSchema, variables: Mapping[str, Any]) -> Values | None:
        """Return the coerced values of the variables, None when they are not valid."""
        if not self.definitions:
            return {}
        coerced = get_variable_values(schema, self.definitions, dict(variables), max_errors=1)
        return None if isinstance(coerced, list) else coerced.coerced

    def answer(self, answers: ResidentAnswers) -> Text:
        """Return `data` as JSON; raises UnfitError when DuckDB has to answer after all."""
        return _joined(self.root, answers)


def _joined(root: Sequence[tuple[bytes, Root]], answers: ResidentAnswers) -> Text:
    texts = [(prefix, _answered(each, answers)) for prefix, each in root]
    content = b"{%b}" % b",".join([prefix + text.content for prefix, text in texts])
    return Text(content, sum([text.weight for _, text in texts]))


def _answered(root: Root, answers: ResidentAnswers) -> Text:
    if isinstance(root, Level):
        return answers.connection(root)
    if isinstance(root, RecordLevel):
        return answers.record(root) or _NULL
    if isinstance(root, tuple):
        return _joined(root, answers)
    return Text(root, 0)


@dataclass(slots=True)
class _Family:
    """The plans of one document: `shaping` are the variables whose values tell them apart."""

    shaping: tuple[str, ...]
    operands: tuple[str, ...]
    plans: Recent[bytes, Compiled]

    def key(self, variables: Mapping[str, Any]) -> bytes | None:
        try:
            shape = [
                orjson.dumps(variables[name]) if name in variables else _ABSENT
                for name in self.shaping
            ]
        except TypeError:  # not from JSON
            return None
        # No value is no comparison: where it stands the plan is another.
        present = [b"1" if variables.get(name) is not None else b"0" for name in self.operands]
        return b"\x1f".join([*shape, *present])


class CompiledOperations:
    """The compiled operations of all tenants; the least used go first. Safe between threads."""

    def __init__(self, size_max: int = PLANS_MAX) -> None:
        self._families: Recent[Slot, _Family] = Recent(size_max)

    def __len__(self) -> int:
        """Return how many documents are kept."""
        return len(self._families)

    def find(self, slot: Slot, variables: Mapping[str, Any]) -> Compiled | None:
        """Return the plan for a document with such variables."""
        family = self._families.get(slot)
        key = None if family is None else family.key(variables)
        return None if family is None or key is None else family.plans.get(key)

    def keep(
        self,
        slot: Slot,
        operation: OperationDefinitionNode,
        fragments: Iterable[FragmentDefinitionNode],
        variables: Mapping[str, Any],
        root: Mapping[str, Root],
        context: GraphContext,
    ) -> tuple[str, ...] | None:
        """Keep what answered an operation, where that can be asked again.

        Returns the names of the variables that shape the plan, None when nothing is kept.
        """
        levels = [level for each in root.values() for level in levels_of(each)]
        if not all(map(is_whole, levels)):
            return None
        shaping, operands = _roles([operation, *fragments], levels)
        compiled = Compiled(
            root=tuple((orjson.dumps(key) + b":", each) for key, each in root.items()),
            definitions=tuple(operation.variable_definitions or ()),
            notes=dict(context.notes),
            objects_read=frozenset(context.objects_read),
        )
        family = self._families.get(slot)
        if family is None or (family.shaping, family.operands) != (shaping, operands):
            family = _Family(shaping, operands, Recent(SHAPES_MAX))
        key = family.key(variables)
        if key is None:
            return None
        family.plans.put(key, compiled)
        self._families.put(slot, family)
        return shaping


def levels_in(compiled: Compiled) -> Iterator[Level | RecordLevel]:
    """Yield the levels of the root."""
    for _, each in compiled.root:
        yield from levels_of(each)


def levels_of(root: Root) -> Iterator[Level | RecordLevel]:
    """Yield the levels of what answers one response key of the root."""
    if isinstance(root, Level | RecordLevel):
        yield root
    elif isinstance(root, tuple):
        for _, each in root:
            yield from levels_of(each)


def _roles(
    nodes: Sequence[OperationDefinitionNode | FragmentDefinitionNode],
    levels: Sequence[Level | RecordLevel],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the variables that shape the plan, and those that only stand for operands."""
    as_operand = {
        id(operand.variable)
        for level in levels
        for operand in operands_in(level)
        if operand.variable is not None
    }
    uses = _Uses()
    for node in nodes:
        visit(node, uses)
    names = dict.fromkeys(use.name.value for use in uses.found)
    shaping = {use.name.value for use in uses.found if id(use) not in as_operand}
    return (
        tuple(name for name in names if name in shaping),
        tuple(name for name in names if name not in shaping),
    )


class _Uses(Visitor):
    """Collects where variables are used, not where they are defined."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[VariableNode] = []

    def enter_variable_definition(self, *_: Any) -> Any:
        return SKIP

    def enter_variable(self, node: VariableNode, *_: Any) -> None:
        self.found.append(node)
