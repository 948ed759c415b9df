"""A role's restrictions by employee, department, class and location: takes cached permission rows,
permissions receives row rules.

"Own" is what stands on the employee's own record, subordinates are everything below it in its tree.
Which kind of record a restriction speaks of is Oracle's: employees restrict transactions, customers
and employees, the three segments transactions and employees.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from firnline.access.model import (
    AnyOf,
    Everything,
    FieldIn,
    FieldIsNull,
    Nothing,
    PermissionRows,
    RowRule,
)
from firnline.catalog.model import Catalog, ObjectInfo

Row = Mapping[str, Any]
EMPLOYEE = "employee"
# Segment -> (field of the records it restricts, table that holds its tree).
SEGMENTS: Mapping[str, tuple[str, str]] = {
    "DEPARTMENT": ("department", "department"),
    "CLASS": ("class", "classification"),
    "LOCATION": ("location", "location"),
}
_BY_SEGMENT = frozenset({"invoice", "employee"})
_BY_EMPLOYEE: Mapping[str, str] = {
    "invoice": "employee",
    "customer": "salesrep",
    "employee": "supervisor",
}


@dataclass(frozen=True)
class Restriction:
    """Records that carry one of `allowed` in `field`, those that carry nothing where `unassigned`.

    `allowed` is None when the restriction is of a kind that is not understood: no record passes.
    """

    field: str
    own: str
    allowed: frozenset[str] | None
    unassigned: bool = False

    def rule(self, described: ObjectInfo) -> RowRule:
        """Return the rows of one object that pass."""
        by_employee = self.field == EMPLOYEE
        if described.name not in (_BY_EMPLOYEE if by_employee else _BY_SEGMENT):
            return Everything()
        field = _BY_EMPLOYEE[described.name] if by_employee else self.field
        if self.allowed is None or field not in described.by_name:
            return Nothing()
        rules: list[RowRule] = []
        if self.allowed:
            rules.append(FieldIn(field, self.allowed, why=f"the employee's own {field} or below"))
        if self.unassigned:
            rules.append(FieldIsNull(field, why=f"records without {field} are open, too"))
        if by_employee and described.name == "employee":
            rules.append(FieldIn("id", frozenset({self.own}), why="the employee's own record"))
        return AnyOf(tuple(rules)) if rules else Nothing()


def restrictions_of(
    rows: PermissionRows, catalog: Catalog, employee: Row, role: Row
) -> tuple[Restriction, ...]:
    """Return what restricts an employee in a role; what is not known restricts entirely."""
    key = str(employee["id"])
    found: list[Restriction] = []
    if "employeerestriction" not in catalog.by_name["role"].by_name:
        found.append(Restriction(EMPLOYEE, key, None))
    elif role.get("employeeviewingallowed") is not True:
        below = _below(rows.rows("employee"), "supervisor", key)
        found += _restriction(EMPLOYEE, key, role.get("employeerestriction"), below | {key})
    if not rows.knows("rolerestrictions"):
        found += [Restriction(field, key, None) for field, _ in SEGMENTS.values()]
        return tuple(found)
    for row in rows.rows("rolerestrictions", role=str(role["id"])):
        segment = SEGMENTS.get(str(row.get("segment") or "").upper())
        if segment is None or row.get("viewingallowed") is True:
            continue
        field, table = segment
        own = employee.get(field)
        allowed = set() if own is None else {str(own)}
        if own is not None:
            allowed |= _below(rows.rows(table), "parent", str(own))
        found += _restriction(field, key, row.get("restriction"), allowed)
    return tuple(found)


def _restriction(
    field: str, own: str, option: Any, allowed: Iterable[str]
) -> Iterable[Restriction]:
    """Yield the restriction that an option makes, none where it only sets a default."""
    letters = "".join(mark for mark in str(option or "NONE").upper() if mark.isalpha())
    if letters.startswith(("NONE", "DEFAULT")):
        return
    if not letters.startswith("OWN") or "SUBORDINATE" not in letters:
        yield Restriction(field, own, None)
        return
    yield Restriction(field, own, frozenset(allowed), unassigned="UNASSIGNED" in letters)


def _below(rows: Iterable[Row], parent: str, top: str) -> set[str]:
    """Return the keys below `top` in a tree, without it."""
    children: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        children[str(row.get(parent))].append(str(row["id"]))
    found: set[str] = set()
    waiting = [top]
    while waiting:
        for child in children[waiting.pop()]:
            if child not in found and child != top:
                found.add(child)
                waiting.append(child)
    return found
