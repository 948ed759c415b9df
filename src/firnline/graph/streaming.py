"""Cuts lists where `@stream` says so: the beginning is answered, the rest follows in parts.

Takes the completed value of a root field; the executor receives it with the ends that were cut off.
Everything was read in one go, so that all is of one data version: parts save the client's waiting
for what it shows first, not the reading.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from graphql import (
    FieldNode,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    GraphQLStreamDirective,
    get_named_type,
    get_nullable_type,
    is_list_type,
)
from graphql.execution.values import get_directive_values

from firnline.errors import UsageError
from firnline.graph.request import Completed, GraphContext, Rest
from firnline.graph.selection import Selections

RESTS_MAX = 100  # of one root field; lists beyond are given whole


class StreamCountError(UsageError):
    """A list should begin with fewer records than none."""

    code = "stream_count"

    def __init__(self, count: int) -> None:
        super().__init__(
            f"initialCount: {count} is below 0",
            hint="Say how many items are to come with the answer, 0 or more.",
        )


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a value is cut: itself after `count` items, or what it holds under keys."""

    count: int | None = None
    label: str | None = None
    below: Mapping[str, Cut] = field(default_factory=dict)


def in_parts(completed: Completed, info: GraphQLResolveInfo[GraphContext]) -> Completed:
    """Return the value of a root field without the ends of its streamed lists, and those.

    Of lists within lists the outer one is streamed. Raises StreamCountError.
    """
    selections = Selections(info, info.context.variables)
    cut = _cut_of(selections, info.field_nodes, info.return_type, info.context.variables)
    if cut is None:
        return completed
    # Columns in memory answer with texts: only values can be cut.
    value = orjson.loads(orjson.dumps(completed.value))
    rests: list[Rest] = []
    return Completed(_shortened(value, cut, (), rests), rests)


def streamed(node: FieldNode, variables: Any) -> Cut | None:
    """Return where a list is cut, None where it stays whole; raises StreamCountError."""
    stream = get_directive_values(GraphQLStreamDirective, node, variables)
    if not stream or not stream["if"]:
        return None
    count = stream["initialCount"] or 0
    if count < 0:
        raise StreamCountError(count)
    return Cut(count, stream.get("label"))


def _cut_of(
    selections: Selections, nodes: Sequence[FieldNode], type_: GraphQLOutputType, variables: Any
) -> Cut | None:
    """Return where the values of a field are cut, None where they stay whole."""
    if is_list_type(get_nullable_type(type_)):
        # Validation lets all nodes of one field stream alike, or none.
        cut = streamed(nodes[0], variables)
        if cut is not None:
            return cut
    named = get_named_type(type_)
    # What a union holds under a key depends on each record: that stays whole.
    if not isinstance(named, GraphQLObjectType):
        return None
    below = {}
    for selected in selections.of(named, nodes):
        if selected.definition is not None:
            cut = _cut_of(selections, selected.nodes, selected.definition.type, variables)
            if cut is not None:
                below[selected.key] = cut
    return Cut(below=below) if below else None


def _shortened(value: Any, cut: Cut, path: tuple[str | int, ...], rests: list[Rest]) -> Any:
    if value is None:
        return None
    if cut.count is not None:
        if len(value) <= cut.count or len(rests) >= RESTS_MAX:
            return value
        rests.append(Rest(path, cut.label, cut.count, value[cut.count :]))
        return value[: cut.count]
    if isinstance(value, list):
        return [_shortened(each, cut, (*path, n), rests) for n, each in enumerate(value)]
    for key, inner in cut.below.items():
        value[key] = _shortened(value[key], inner, (*path, key), rests)
    return value
