"""What NetSuite's record types are called in REST, in SuiteQL and in role permissions.

Facts about the product, not about an account: discovery, reading and permissions receive them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from firnline.catalog.model import FieldInfo, ObjectInfo, Reference

# SuiteQL alias of the record's table, and of the main line joined to a transaction.
RECORD = "r"
LINE = "l"
ADMINISTRATOR_ROLE = "3"
CUSTOM_RECORD_PREFIX = "customrecord"


@dataclass(frozen=True)
class KnownRecord:
    """One standard record type.

    `references` are targets that the JSON schema may leave open; `columns` exist in SuiteQL alone;
    `line_columns` stand on the transaction's main line; `deleted_types` are the names that the
    table of deleted records may use.
    """

    name: str
    table: str
    permission: str
    label: str
    label_plural: str
    inverse: str
    cursor: str = "lastmodifieddate"
    where: str = ""
    references: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[FieldInfo, ...] = ()
    line_columns: frozenset[str] = frozenset()
    deleted_types: tuple[str, ...] = ()


def money(name: str, label: str) -> FieldInfo:
    """Return a currency column: NetSuite currencies have two decimals at most."""
    return FieldInfo(name=name, type="decimal", label=label, source_type="currency", scale=2)


KNOWN: Mapping[str, KnownRecord] = {
    known.name: known
    for known in (
        KnownRecord(
            name="customer",
            table="customer",
            permission="LIST_CUSTJOB",
            label="Customer",
            label_plural="Customers",
            inverse="customers",
            references={
                "subsidiary": "subsidiary",
                "salesrep": "employee",
                "parent": "customer",
                "contact": "contact",
            },
        ),
        KnownRecord(
            name="contact",
            table="contact",
            permission="LIST_CONTACT",
            label="Contact",
            label_plural="Contacts",
            inverse="contacts",
            references={"company": "customer", "subsidiary": "subsidiary", "supervisor": "contact"},
        ),
        KnownRecord(
            name="invoice",
            table="transaction",
            permission="TRAN_CUSTINVC",
            label="Invoice",
            label_plural="Invoices",
            inverse="invoices",
            where=f"{RECORD}.type = 'CustInvc'",
            references={
                "entity": "customer",
                "subsidiary": "subsidiary",
                "salesrep": "employee",
            },
            columns=(
                money("foreigntotal", "Amount (Transaction Currency)"),
                money("foreignamountpaid", "Amount Paid (Transaction Currency)"),
                money("foreignamountunpaid", "Amount Unpaid (Transaction Currency)"),
                # REST calls it salesRep.
                FieldInfo(
                    name="employee",
                    type="id",
                    label="Sales Rep",
                    reference=Reference(
                        targets=("employee",),
                        relation="employee_record",
                        inverse="invoices_by_employee",
                    ),
                ),
            ),
            line_columns=frozenset({"subsidiary", "department", "class", "location"}),
            deleted_types=("invoice", "custinvc"),
        ),
        KnownRecord(
            name="employee",
            table="employee",
            permission="LIST_EMPLOYEE",
            label="Employee",
            label_plural="Employees",
            inverse="employees",
            references={"supervisor": "employee", "subsidiary": "subsidiary"},
        ),
        KnownRecord(
            name="subsidiary",
            table="subsidiary",
            permission="LIST_SUBSIDIARY",
            label="Subsidiary",
            label_plural="Subsidiaries",
            inverse="subsidiaries",
            # A short list: read whole each time, which also shows what vanished.
            cursor="",
            references={"parent": "subsidiary"},
        ),
    )
}

# Currency fields of standard records, which the JSON schema shows as plain doubles.
MONEY_FIELDS = frozenset(
    {"creditlimit", "openingbalance", "total", "amountpaid", "amountremaining"}
)


def _permission_object(name: str, label: str, order: str, *fields: FieldInfo) -> ObjectInfo:
    key = FieldInfo(name="id", type="id", label="Key", nullable=False, unique=True)
    return ObjectInfo(
        name=name,
        key="id",
        label=label,
        exposed=False,
        fields=fields if any(one.name == "id" for one in fields) else (key, *fields),
        extra={"table": name, "order": order},
    )


PERMISSION_OBJECTS = (
    _permission_object(
        "role",
        "Role",
        "id",
        FieldInfo(name="id", type="id", label="Internal ID", nullable=False, unique=True),
        FieldInfo(name="name", type="string", label="Name"),
        FieldInfo(name="isinactive", type="bool", label="Inactive"),
        FieldInfo(name="subsidiaryoption", type="string", label="Accessible Subsidiaries"),
        FieldInfo(name="subsidiaryrestriction", type="strings", label="Selected Subsidiaries"),
        FieldInfo(name="subsidiaryviewingallowed", type="bool", label="Views All Subsidiaries"),
        FieldInfo(name="employeerestriction", type="string", label="Employee Restriction"),
        FieldInfo(name="employeeviewingallowed", type="bool", label="Views All Employees"),
    ),
    _permission_object(
        "rolerestrictions",
        "Role Restriction",
        "role,segment",
        FieldInfo(name="role", type="id", label="Role"),
        FieldInfo(name="segment", type="string", label="Segment"),
        FieldInfo(name="restriction", type="string", label="Restriction"),
        FieldInfo(name="viewingallowed", type="bool", label="Views All"),
    ),
    *(
        _permission_object(
            table,
            label,
            "id",
            FieldInfo(name="id", type="id", label="Internal ID", nullable=False, unique=True),
            FieldInfo(name="parent", type="id", label="Parent"),
        )
        for table, label in (
            ("department", "Department"),
            ("classification", "Class"),
            ("location", "Location"),
        )
    ),
    _permission_object(
        "rolepermissions",
        "Role Permission",
        "role,permkey",
        FieldInfo(name="role", type="id", label="Role"),
        FieldInfo(name="permkey", type="string", label="Permission"),
        FieldInfo(name="permlevel", type="string", label="Level"),
    ),
    _permission_object(
        "employeerolesforsearch",
        "Employee Role",
        "entity,role",
        FieldInfo(name="entity", type="id", label="Employee"),
        FieldInfo(name="role", type="id", label="Role"),
    ),
)
