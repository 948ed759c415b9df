"""What an `aggregate` selection takes from its statement.

Takes selections; plan hangs the result on a connection, and the loader fills it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from firnline.cache.query import Call
from firnline.graph.aggregates import aggregate_expression, aggregate_scalar, fraction_of
from firnline.graph.selection import Selected, Selections
from firnline.graph.shape import GraphObject
from firnline.graph.statements import AggregateStatement, answered


@dataclass(frozen=True, slots=True)
class AggregateColumn:
    """One aggregate value; `empty` is the answer where there are no rows at all.

    It is `function` over `field`, which the count of records does not have.
    """

    name: str
    empty: int | None = None
    function: str = ""
    field: str = ""


@dataclass(slots=True)
class AggregateShape:
    """How an `aggregate` selection is answered: a column, nested ones, or a constant text."""

    entries: dict[str, AggregateColumn | AggregateShape | str] = field(default_factory=dict)


def empty_aggregate(
    selections: Selections, selected: Selected, function: str = ""
) -> AggregateShape:
    """Return the answer over no records, for a relation whose link may not be read."""
    shape = AggregateShape()
    for each in selections.of(selected.object_type, selected.nodes):
        if each.name == "__typename":
            shape.entries[each.key] = each.type.name
        elif each.nodes[0].selection_set is None:
            # `count` is a count only at the top: below, it is a field of that name.
            is_count = function == "countDistinct" or (each.name == "count" and not function)
            empty = 0 if is_count else None
            shape.entries[each.key] = AggregateColumn(each.name, empty)
        else:
            shape.entries[each.key] = empty_aggregate(selections, each, each.name)
    return shape


def aggregate_shape(
    selections: Selections, selected: Selected, totals: AggregateStatement
) -> AggregateShape:
    """Add what is asked of an aggregate to `totals`, and return where the answer takes it from."""
    shape = AggregateShape()
    for each in selections.of(selected.object_type, selected.nodes):
        if each.name == "__typename":
            shape.entries[each.key] = each.type.name
        elif each.name == "count":
            column = totals.columns.add(Call("count", ()))
            shape.entries[each.key] = AggregateColumn(column, 0, "count")
        else:
            shape.entries[each.key] = _operands(selections, each, totals)
    return shape


def _operands(
    selections: Selections, selected: Selected, totals: AggregateStatement
) -> AggregateShape:
    shape = AggregateShape()
    function = selected.name
    fraction = fraction_of(selections.arguments(selected))
    empty = 0 if function == "countDistinct" else None
    for each in selections.of(selected.object_type, selected.nodes):
        if each.name == "__typename":
            shape.entries[each.key] = each.type.name
            continue
        scalar = totals.scan.object.fields[each.name].scalar
        operand = totals.scan.field(each.name, "aggregate")
        value = aggregate_expression(function, operand, scalar, fraction)
        column = totals.columns.add(answered(value, aggregate_scalar(function, scalar)))
        shape.entries[each.key] = AggregateColumn(column, empty, function, each.name)
    return shape


def columns_in(shape: AggregateShape) -> Iterator[AggregateColumn]:
    """Yield the aggregates asked for."""
    for entry in shape.entries.values():
        if isinstance(entry, AggregateShape):
            yield from columns_in(entry)
        elif isinstance(entry, AggregateColumn):
            yield entry


def is_summed_up(shape: AggregateShape, found: GraphObject) -> bool:
    """Say whether columns in memory give all of an aggregate exactly as DuckDB does."""
    return all(_is_summed_up(each, found) for each in columns_in(shape))


def _is_summed_up(column: AggregateColumn, found: GraphObject) -> bool:
    match column.function:
        case "count" | "min" | "max":
            return True
        case "sum":
            return found.fields[column.field].scalar in ("int", "long", "decimal")
        case _:
            return False
