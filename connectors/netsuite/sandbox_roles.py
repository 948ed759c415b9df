"""The account's roles, and what a session of one role sees. Takes people; SuiteQL and REST ask it.

A session is one employee in one role. Record permissions open tables, subsidiary restrictions
filter rows silently, and (a switch of this sandbox) a role may lack single columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from firnline.sandbox.world import Person

from .sandbox_fields import RecordType
from .suiteql import SuiteQLError
from .suiteql_run import Table

if TYPE_CHECKING:
    from .sandbox_records import Store

ADMINISTRATOR = 3
CONTROLLER = 1010
RECEIVABLES = 1011
SALES_OWN = 1020
_FIRST_SALES_SELECTED = 1021
_LEVELS = {"NONE": 0, "VIEW": 1, "CREATE": 2, "EDIT": 3, "FULL": 4}
# What every role needs to use REST and SuiteQL at all.
_ENTRY = {"ADMI_RESTWEBSERVICES": "FULL", "ADMI_LOGIN_OAUTH": "FULL", "REPO_ANALYTICS": "EDIT"}
_ACCOUNTING = {
    "LIST_CUSTJOB": "EDIT",
    "LIST_CONTACT": "EDIT",
    "TRAN_CUSTINVC": "FULL",
    "LIST_EMPLOYEE": "VIEW",
    "LIST_SUBSIDIARY": "VIEW",
    "LIST_CUSTRECORDENTRY": "EDIT",
}
_RECEIVABLES = {"LIST_CUSTJOB": "VIEW", "TRAN_CUSTINVC": "EDIT", "LIST_SUBSIDIARY": "VIEW"}
_SALES = {
    "LIST_CUSTJOB": "VIEW",
    "LIST_CONTACT": "VIEW",
    "TRAN_CUSTINVC": "VIEW",
    "LIST_SUBSIDIARY": "VIEW",
}
# Tables beside the records, and the permission that opens them.
_DESCRIBING = {
    "role": "ADMI_MANAGEROLES",
    "rolepermissions": "ADMI_MANAGEROLES",
    "rolerestrictions": "ADMI_MANAGEROLES",
    "department": "LIST_DEPARTMENT",
    "classification": "LIST_CLASS",
    "location": "LIST_LOCATION",
    "employeerolesforsearch": "ADMI_MANAGEROLES",
    "customrecordtype": "ADMI_CUSTRECORD",
    "customfield": "ADMI_CUSTFIELD",
    "deletedrecord": "ADMI_DELETEDRECORD",
    "transactionline": "TRAN_CUSTINVC",
}
_DESCRIBING_COLUMNS: Mapping[str, frozenset[str]] = {
    "role": frozenset(
        {
            "id",
            "name",
            "isinactive",
            "subsidiaryoption",
            "subsidiaryrestriction",
            "subsidiaryviewingallowed",
            "employeerestriction",
            "employeeviewingallowed",
            "centertype",
        }
    ),
    "rolerestrictions": frozenset(
        {"role", "segment", "restriction", "viewingallowed", "itemsrestricted"}
    ),
    "department": frozenset({"id", "name", "parent"}),
    "classification": frozenset({"id", "name", "parent"}),
    "location": frozenset({"id", "name", "parent"}),
    "rolepermissions": frozenset({"role", "permkey", "permlevel", "name"}),
    "employeerolesforsearch": frozenset({"entity", "role"}),
    "customrecordtype": frozenset({"internalid", "scriptid", "name", "description"}),
    "customfield": frozenset(
        {
            "scriptid",
            "name",
            "fieldtype",
            "fieldvaluetype",
            "ismandatory",
            "isstored",
            "isshowinlist",
            "recordtype",
            "lastmodifieddate",
        }
    ),
    "deletedrecord": frozenset({"recordid", "type", "name", "deleteddate", "deletedby", "context"}),
    "transactionline": frozenset(
        {
            "transaction",
            "id",
            "mainline",
            "subsidiary",
            "department",
            "class",
            "location",
            "linelastmodifieddate",
        }
    ),
}


@dataclass(frozen=True)
class Role:
    """One role: permissions with their levels, subsidiary restriction and columns it lacks."""

    id: int
    name: str
    permissions: Mapping[str, str]
    option: str = "ALL"
    selected: frozenset[int] = frozenset()
    lacks: frozenset[tuple[str, str]] = frozenset()
    views_subsidiaries: bool = False
    employees: str = "NONE"
    views_employees: bool = False
    segments: tuple[tuple[str, str, bool], ...] = ()  # segment, restriction, viewing allowed

    @cached_property
    def row(self) -> dict[str, Any]:
        """Return its row in the Role table."""
        return {
            "id": self.id,
            "name": self.name,
            "isinactive": "F",
            "centertype": "BASIC",
            "subsidiaryoption": self.option,
            "subsidiaryrestriction": ", ".join(map(str, sorted(self.selected))) or None,
            "subsidiaryviewingallowed": "FT"[self.views_subsidiaries],
            "employeerestriction": self.employees,
            "employeeviewingallowed": "FT"[self.views_employees],
        }

    @cached_property
    def restriction_rows(self) -> list[dict[str, Any]]:
        """Return its rows in RoleRestrictions."""
        return [
            {
                "role": self.id,
                "segment": segment,
                "restriction": restriction,
                "viewingallowed": "FT"[viewing],
                "itemsrestricted": "F",
            }
            for segment, restriction, viewing in self.segments
        ]

    @cached_property
    def permission_rows(self) -> list[dict[str, Any]]:
        """Return its rows in RolePermissions; a column it lacks is a permission of level 0."""
        held = [
            {"role": self.id, "permkey": key, "permlevel": _LEVELS[level]}
            for key, level in self.permissions.items()
        ]
        return held + [
            {"role": self.id, "permkey": f"{record}.{column}", "permlevel": 0}
            for record, column in sorted(self.lacks)
        ]

    def holds(self, permission: str) -> bool:
        """Say whether the role has at least View on what `permission` opens."""
        if self.id == ADMINISTRATOR or self.permissions.get(permission, "NONE") != "NONE":
            return True
        every = self.permissions.get("LIST_CUSTRECORDENTRY", "NONE")
        return permission.startswith("CUSTOMRECORD_") and every != "NONE"


def roles_of(
    people: Iterable[Person], subsidiary_id: Callable[[str], int], *, lacks_columns: bool
) -> dict[int, Role]:
    """Return the roles that these people need, by key."""
    roles = [
        Role(ADMINISTRATOR, "Administrator", {}),
        Role(CONTROLLER, "Controller", {**_ENTRY, **_ACCOUNTING}),
        Role(
            RECEIVABLES,
            "Receivables Clerk",
            {**_ENTRY, **_RECEIVABLES},
            lacks=frozenset({("customer", "creditlimit")} if lacks_columns else ()),
        ),
        Role(SALES_OWN, "Sales (Own Subsidiary)", {**_ENTRY, **_SALES}, option="OWN"),
    ]
    selections = sorted(
        {
            tuple(sorted(person.subsidiaries))
            for person in people
            if person.erp == "subsidiary_sales" and len(person.subsidiaries) != 1
        }
    )
    for place, names in enumerate(selections):
        key = _FIRST_SALES_SELECTED + place
        chosen = frozenset(subsidiary_id(name) for name in names)
        title = f"Sales ({', '.join(names) or 'No Subsidiary'})"
        roles.append(Role(key, title, {**_ENTRY, **_SALES}, "SELECTED", chosen))
    return {role.id: role for role in roles}


def role_of(person: Person, roles: Mapping[int, Role], subsidiary_id: Callable[[str], int]) -> int:
    """Return the role that a person signs in with."""
    plain = {"admin": ADMINISTRATOR, "controller": CONTROLLER, "receivables": RECEIVABLES}
    if person.erp in plain:
        return plain[person.erp]
    if len(person.subsidiaries) == 1:
        return SALES_OWN
    wanted = frozenset(subsidiary_id(name) for name in person.subsidiaries)
    return next(
        role.id for role in roles.values() if role.option == "SELECTED" and role.selected == wanted
    )


class NotPermitted(Exception):
    """The role does not open a table."""


class View:
    """What one session may see of one state of the store; SuiteQL's `Database`."""

    def __init__(self, store: Store, role: Role, employee: int) -> None:
        self.store = store
        self.role = role
        self.timezone = store.timezone
        self._employee = employee
        self._tables: dict[str, Table] = {}

    def may_read(self, record: RecordType) -> bool:
        """Say whether the role opens this record type."""
        return self.role.holds(record.permission)

    def hidden(self, record: RecordType) -> frozenset[str]:
        """Return the columns of a record type that the role lacks."""
        return frozenset(column for name, column in self.role.lacks if name == record.name)

    def table(self, name: str) -> Table:
        """Return the visible part of a table; raises SuiteQLError or NotPermitted."""
        if name not in self._tables:
            self._tables[name] = self._open(name)
        return self._tables[name]

    def ids(self, record: RecordType) -> list[int]:
        """Return the keys of the visible records."""
        return sorted(row["id"] for row in self.table(record.table).rows)

    def display(self, table: str, column: str, value: Any) -> str | None:
        """Return the text that people see for a stored value."""
        record = next((one for one in self.store.records.values() if one.table == table), None)
        definition = record.by_column.get(column) if record is not None else None
        if record is None or definition is None or value is None:
            return None if value is None else str(value)
        if definition.kind == "select":
            text = dict(definition.choices).get(value, value)
            return f"Invoice : {text}" if (table, column) == ("transaction", "status") else text
        if definition.kind == "record":
            return self.name_of(definition.target, value)
        return str(value)

    def name_of(self, record_name: str, key: int) -> str | None:
        """Return the name of a referred record."""
        row = self.store.tables[self.store.records[record_name].table].get(key)
        if row is None:
            return None
        return str(row.get("companyname") or row.get("entityid") or row.get("name"))

    def _open(self, name: str) -> Table:
        record = next((one for one in self.store.records.values() if one.table == name), None)
        if record is None and name not in _DESCRIBING:
            raise SuiteQLError(f"Search error occurred: Record '{name}' was not found.")
        if not self.role.holds(record.permission if record else _DESCRIBING[name]):
            raise NotPermitted(name)
        if record is None:
            rows = self.store.described(name)
            if name == "transactionline":
                seen = {row["id"] for row in self.table("transaction").rows}
                rows = [row for row in rows if row["transaction"] in seen]
            return Table(name, rows, _DESCRIBING_COLUMNS[name])
        hidden = self.hidden(record)
        return Table(name, self._rows(record), record.columns - hidden, hidden)

    def _rows(self, record: RecordType) -> list[dict[str, Any]]:
        rows = [
            row
            for row in self.store.tables[record.table].values()
            if self._passes_restrictions(record, row)
        ]
        allowed = self._subsidiaries()
        if allowed is None or record.custom:
            return rows
        customers = self.store.tables["customer"]

        def subsidiary(row: Mapping[str, Any]) -> int | None:
            if record.name == "subsidiary":
                return int(row["id"])
            if record.name == "contact":
                # A contact shows where its customer shows.
                return customers.get(row.get("company") or 0, {}).get("subsidiary")
            return row.get("subsidiary")

        return [row for row in rows if subsidiary(row) in allowed]

    def _passes_restrictions(self, record: RecordType, row: Mapping[str, Any]) -> bool:
        """Say whether the role's employee and segment restrictions let a record through."""
        if self.role.id == ADMINISTRATOR:
            return True
        if not self.role.views_employees and self.role.employees.startswith("OWN"):
            columns = {"transaction": "employee", "customer": "salesrep", "employee": "supervisor"}
            column = columns.get(record.table)
            own = record.name == "employee" and row["id"] == self._employee
            if column and not own and not self._in_charge(row.get(column), self.role.employees):
                return False
        if record.table not in ("transaction", "employee"):
            return True
        mine = self.store.tables["employee"].get(self._employee, {})
        return all(
            viewing
            or not option.startswith("OWN")
            or self._below(segment.lower(), row.get(segment.lower()), mine, option)
            for segment, option, viewing in self.role.segments
        )

    def _in_charge(self, employee: int | None, option: str) -> bool:
        """Say whether an employee is this session's, or reports to it at some remove."""
        if employee is None:
            return "UNASSIGNED" in option
        passed: set[int] = set()
        while employee is not None and employee not in passed:
            if employee == self._employee:
                return True
            passed.add(employee)
            employee = self.store.tables["employee"].get(employee, {}).get("supervisor")
        return False

    def _below(self, segment: str, value: int | None, mine: Mapping[str, Any], option: str) -> bool:
        """Say whether a department, class or location is the employee's own or below it."""
        if value is None:
            return "UNASSIGNED" in option
        own = mine.get(segment)
        table = "classification" if segment == "class" else segment
        parents = {row["id"]: row["parent"] for row in self.store.segments.get(table, ())}
        passed: set[int] = set()
        while value is not None and value not in passed:
            if own is not None and value == own:
                return True
            passed.add(value)
            value = parents.get(value)
        return False

    def _subsidiaries(self) -> frozenset[int] | None:
        """Return the subsidiaries that the role is restricted to, None for all."""
        if self.role.option == "ALL" or self.role.views_subsidiaries:
            return None
        if self.role.option == "ACTIVE":
            live = self.store.tables["subsidiary"].values()
            return frozenset(row["id"] for row in live if row["isinactive"] == "F")
        if self.role.option == "SELECTED":
            return self.role.selected
        own = self.store.tables["employee"].get(self._employee, {}).get("subsidiary")
        return frozenset() if own is None else frozenset({own})
