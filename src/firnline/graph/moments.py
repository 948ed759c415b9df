"""What an answer depends on the clock for: relative times in filters, mappings and variables.

Takes parts of the spec, a document or its variables; columns and answers that are kept ask whether
they stay true while nothing but time goes by. Told by looks: a text that could be a relative time
counts as one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from graphql import DocumentNode, StringValueNode, Visitor, visit

from firnline.catalog.conditions import bound
from firnline.catalog.model import ScalarName
from firnline.catalog.relative_time import is_relative
from firnline.graph.shape import GraphField
from firnline.spec.model import When

_FORM_LENGTH_MAX = 32


def is_timeless(value: Any) -> bool:
    """Say whether no text within `value`, as JSON gives it, could be a relative time."""
    match value:
        case str():
            return len(value) > _FORM_LENGTH_MAX or not is_relative(value)
        case Mapping():
            return all(map(is_timeless, value.values()))
        case list() | tuple():
            return all(map(is_timeless, value))
        case _:
            return True


def is_timeless_field(field: GraphField) -> bool:
    """Say whether a field's values stay the same until its record changes."""
    return not isinstance(field.mapping, When) or is_timeless(field.mapping.when)


def bounds_of(
    field: GraphField, scalar_of: Callable[[str], ScalarName], now: datetime
) -> tuple[object, ...] | None:
    """Return what the relative times in a field's mapping mean at `now`, empty where it has none.

    None where that is something else at every moment. `scalar_of` tells the type at a source path.
    """
    if not isinstance(field.mapping, When) or is_timeless_field(field):
        return ()
    found: list[object] = []
    for path, operators in field.mapping.when.items():
        scalar = scalar_of(path)
        for operator, operand in operators.items():
            for each in operand if isinstance(operand, list | tuple) else (operand,):
                if is_timeless(each):
                    continue
                if scalar == "timestamp" and str(each).startswith("now"):
                    return None
                found.append((path, operator, bound(each, scalar, now).value))
    return tuple(found)


def is_timeless_document(document: DocumentNode) -> bool:
    """Say whether no literal of the document could be a relative time."""
    seen = _Literals()
    visit(document, seen)
    return is_timeless(seen.texts)


class _Literals(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def enter_string_value(self, node: StringValueNode, *_: Any) -> None:
        self.texts.append(node.value)
