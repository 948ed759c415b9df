"""What an operation costs: values in its answer and rows it looks through, estimated from its plan.

Takes plans before anything is loaded, and how many rows their tables hold where the person sees
all of them; execution refuses what is not worth it, explain shows the number.

A number of rows is used only where the person sees every row of the table. Anywhere else hidden
rows would decide whether an operation is refused, and whoever asks for pages of different sizes
could count them by that: there a page counts as full, and a scan as one over `SCANNED_UNKNOWN`
rows, whatever is stored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from firnline.access.model import Everything
from firnline.errors import UsageError
from firnline.graph.plan import (
    Child,
    Compound,
    Fork,
    Leaf,
    ListPlan,
    Part,
    RecordPlan,
    RecordSelection,
)
from firnline.graph.policy.binding import ruling_on
from firnline.graph.scan import Scan
from firnline.graph.totals import columns_in

COST_MAX = 20_000_000  # unless the settings say otherwise
SCANNED_PER_VALUE = 100  # values that DuckDB sums up in the time in which one is answered
SCANNED_UNKNOWN = 1_000_000  # rows of a table that the person does not see all of

# Returns how many rows a scan ranges over, None where the person may not know.
RowsOf = Callable[[Scan], int | None]


class CostError(UsageError):
    """An operation would give more values, or look through more rows, than any answer is worth."""

    code = "operation_cost"

    def __init__(self, found: int, limit: int) -> None:
        super().__init__(
            f"the operation costs {found} by estimate, the limit is {limit}",
            hint="Ask for smaller pages (first: ...) where lists stand within lists, for fewer "
            "fields there, or for fewer aggregates at once.",
        )
        self.found = found
        self.limit = limit

    def as_dict(self) -> dict[str, object]:
        """Return the JSON form, with the number and the limit on their own."""
        return {**super().as_dict(), "cost": self.found, "limit": self.limit}


def unknown(_scan: Scan) -> int | None:
    """Tell no number of rows: what is estimated then holds whatever is stored."""
    return None


def is_all_seen(scan: Scan) -> bool:
    """Say whether every row of the scan's table is one that the person sees."""
    found, decisions = scan.object, scan.context.decisions
    rights = decisions.object(found.connection, found.source.name)
    # What the source has to confirm may be less than what is stored.
    is_whole = rights.readable and isinstance(rights.rows, Everything)
    is_mirrored = found.policy.mode != "verify" and found.type_name not in decisions.at_source
    is_whole = is_whole and is_mirrored
    return is_whole and not found.where and not ruling_on(found, decisions).rows


@dataclass(frozen=True, slots=True)
class Planned:
    """One root field: its plan, and how many times a record of it is asked for."""

    plan: ListPlan | RecordPlan
    times: int = 1


def cost_of(planned: Iterable[Planned], *, rows_of: RowsOf, scanned_of: RowsOf) -> int:
    """Return what root fields cost together.

    `rows_of` gives the rows of what pages are taken from, `scanned_of` of what is looked through.
    """
    estimate = _Estimate(rows_of, scanned_of)
    values = sum(estimate.root(each) for each in planned)
    return math.ceil(values + estimate.scanned / SCANNED_PER_VALUE)


class _Estimate:
    def __init__(self, rows_of: RowsOf, scanned_of: RowsOf) -> None:
        self._rows_of = rows_of
        self._scanned_of = scanned_of
        self.scanned = 0

    def root(self, planned: Planned) -> float:
        plan = planned.plan
        if isinstance(plan, ListPlan):
            return self._list(plan, None)
        return planned.times * self._one(plan)

    def _list(self, plan: ListPlan, above: int | None, *, is_root: bool = True) -> float:
        """Return the values of one list; `above` are the rows of the table of its parents."""
        scan = _scan_of(plan)
        rows = None if scan is None else self._known(scan)
        page: float = plan.first
        if rows is not None:
            page = min(page, rows if is_root or not above else rows / above)
        if plan.totals is not None:
            self._scans(plan.totals.scan, len(plan.totals.columns.named))
        return sum(self._part(part, page, rows) for part in plan.parts)

    def _part(self, part: Part, page: float, rows: int | None) -> float:
        if part.groups is not None:
            groups = part.groups
            self._scans(groups.scan, len(groups.values) + len(groups.aggregates))
            count = groups.first if rows is None else min(groups.first, rows)
            return count * max(1, len(groups.shown))
        if part.aggregate is not None:
            return len(list(columns_in(part.aggregate)))
        each = sum(self._record(selection, rows) for selection in part.selections)
        if part.kind == "edges":
            return page * (each + max(0, len(part.names) - len(part.node_keys)))
        return page * each if part.selections else max(1, len(part.names))

    def _one(self, plan: RecordPlan) -> float:
        return self._record(plan.selection, self._known(plan.statement.scan))

    def _record(self, selection: RecordSelection, rows: int | None) -> float:
        """Return the values of one record of a table with `rows`."""
        return sum(self._entry(entry, rows) for entry in selection.entries)

    def _entry(self, entry: Leaf | Child | Fork | Compound, rows: int | None) -> float:
        match entry:
            case Leaf():
                return 1
            case Compound():
                return self._record(entry.selection, rows)
            case Fork():
                return max(map(self._one, entry.ones), default=1)
            case Child():
                if entry.many is not None:
                    return self._list(entry.many, rows, is_root=False)
                return 1 if entry.one is None else self._one(entry.one)

    def _known(self, scan: Scan) -> int | None:
        return self._rows_of(scan) if is_all_seen(scan) else None

    def _scans(self, scan: Scan, expressions: int) -> None:
        """Count one look through a table: below the root it serves all parents at once."""
        rows = self._scanned_of(scan) if is_all_seen(scan) else None
        self.scanned += max(1, expressions) * (SCANNED_UNKNOWN if rows is None else rows)


def _scan_of(plan: ListPlan) -> Scan | None:
    """Return the scan of a list's records; a list that is empty for every parent has none."""
    statements = [each for each in (plan.page, plan.totals) if each is not None]
    statements_of_groups = [part.groups for part in plan.parts if part.groups is not None]
    return next((each.scan for each in (*statements, *statements_of_groups)), None)
