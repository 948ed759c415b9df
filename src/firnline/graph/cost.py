"""What an operation may cost at most: values in its answer, from page sizes and fields.

Takes plans before anything is loaded; execution refuses what could never be worth it, whatever
happens to be stored.
"""

from __future__ import annotations

from firnline.errors import UsageError
from firnline.graph.plan import Child, Compound, Fork, Leaf, ListPlan, Part, RecordSelection

VALUES_MAX = 20_000_000  # in the answer of one operation, if every page were full


class CostError(UsageError):
    """The pages of an operation multiply to more values than any answer should hold."""

    code = "operation_cost"

    def __init__(self, found: int, limit: int) -> None:
        super().__init__(
            f"the operation may give {found} values if every page is full, the limit is {limit}",
            hint="Ask for smaller pages (first: ...) where lists stand within lists, or for fewer "
            "fields there.",
        )


def cost_of_list(plan: ListPlan) -> int:
    """Return how many values a list may give."""
    return sum(_part(part, plan.first) for part in plan.parts)


def cost_of_record(selection: RecordSelection) -> int:
    """Return how many values one record may give."""
    return sum(map(_entry, selection.entries))


def _part(part: Part, first: int) -> int:
    if part.groups is not None:
        return part.groups.first * max(1, len(part.groups.shown))
    if not part.selections:
        return max(1, len(part.names))
    return first * sum(map(cost_of_record, part.selections))


def _entry(entry: Leaf | Child | Fork | Compound) -> int:
    match entry:
        case Leaf():
            return 1
        case Compound():
            return cost_of_record(entry.selection)
        case Fork():
            return max((cost_of_record(each.selection) for each in entry.ones), default=1)
        case Child():
            if entry.many is not None:
                return cost_of_list(entry.many)
            return 1 if entry.one is None else cost_of_record(entry.one.selection)
