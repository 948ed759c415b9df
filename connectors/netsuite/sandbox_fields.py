"""The sandbox account's record types and their fields, as NetSuite names them.

Takes the tenant's style (its custom fields and record type); the record store, the metadata
catalogue and SuiteQL all receive these definitions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

Kind = Literal[
    "id", "string", "boolean", "integer", "money", "float", "date", "datetime", "select", "record"
]
# The label that CustomField.fieldvaluetype shows for a kind.
VALUE_TYPES: Mapping[str, str] = {
    "string": "Free-Form Text",
    "boolean": "Check Box",
    "integer": "Integer Number",
    "money": "Currency",
    "float": "Decimal Number",
    "date": "Date",
    "datetime": "Date/Time",
    "select": "List/Record",
    "record": "List/Record",
}
_METADATA = "/services/rest/record/v1/metadata-catalog"


@dataclass(frozen=True)
class Field:
    """One field. `prop` is the REST property ('' when SuiteQL alone has it); `column` likewise."""

    column: str
    prop: str
    title: str
    kind: Kind = "string"
    target: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    custom: bool = False
    read_only: bool = False

    @cached_property
    def schema(self) -> Mapping[str, Any]:
        """Return the property of the record's JSON schema."""
        plain: Mapping[str, Mapping[str, Any]] = {
            "boolean": {"type": "boolean"},
            "integer": {"type": "integer", "format": "int64"},
            "money": {"type": "number", "format": "double"},
            "float": {"type": "number", "format": "float"},
            "date": {"type": "string", "format": "date"},
            "datetime": {"type": "string", "format": "date-time"},
            "select": {"type": "object", "properties": self._select_properties()},
            "record": {"$ref": f"{_METADATA}/{self.target}"},
        }
        found = {"title": self.title, **plain.get(self.kind, {"type": "string"})}
        if self.kind != "boolean":
            found["nullable"] = True
        if self.read_only:
            found["readOnly"] = True
        if self.custom:
            found["x-ns-custom-field"] = True
        return found

    def _select_properties(self) -> Mapping[str, Any]:
        return {
            "id": {
                "title": "Internal identifier",
                "type": "string",
                "enum": [value for value, _ in self.choices],
            },
            "refName": {"title": "Reference Name", "type": "string"},
        }


@dataclass(frozen=True)
class RecordType:
    """One record type: REST name, SuiteQL table and the permission that opens it."""

    name: str
    title: str
    table: str
    permission: str
    fields: tuple[Field, ...]
    custom: bool = False
    cursor: str = "lastmodifieddate"

    @cached_property
    def columns(self) -> frozenset[str]:
        """Return the SuiteQL columns of its table."""
        return frozenset(field.column for field in self.fields if field.column)

    @cached_property
    def by_column(self) -> Mapping[str, Field]:
        """Return the fields by SuiteQL column."""
        return {field.column: field for field in self.fields if field.column}


_ID = Field("id", "id", "Internal ID", "id")
_EXTERNAL = Field("externalid", "externalId", "External ID")
_INACTIVE = Field("isinactive", "isInactive", "Inactive", "boolean")
_SUBSIDIARY = Field("subsidiary", "subsidiary", "Subsidiary", "record", "subsidiary")
_CURRENCY = Field(
    "currency", "currency", "Currency", "select", choices=(("1", "USD"), ("2", "EUR"))
)
_CREATED = Field("datecreated", "dateCreated", "Date Created", "datetime", read_only=True)
_MODIFIED = Field(
    "lastmodifieddate", "lastModifiedDate", "Last Modified Date", "datetime", read_only=True
)
_PHONE = Field("phone", "phone", "Phone")
INVOICE_STATUS = (("A", "Open"), ("B", "Paid In Full"), ("V", "Voided"))

_CUSTOMER = (
    _ID,
    Field("entityid", "entityId", "Customer ID"),
    Field("companyname", "companyName", "Company Name"),
    Field("isperson", "isPerson", "Is Individual", "boolean"),
    Field("email", "email", "Email"),
    _PHONE,
    Field("url", "url", "Web Address"),
    _SUBSIDIARY,
    Field("salesrep", "salesRep", "Sales Rep", "record", "employee"),
    _CURRENCY,
    Field("creditlimit", "creditLimit", "Credit Limit", "money"),
    # Computed in REST, not a column of SuiteQL.
    Field("", "balance", "Balance", "money", read_only=True),
    _EXTERNAL,
    _INACTIVE,
    _CREATED,
    _MODIFIED,
)
_CONTACT = (
    _ID,
    Field("entityid", "entityId", "Contact Name"),
    Field("firstname", "firstName", "First Name"),
    Field("lastname", "lastName", "Last Name"),
    Field("title", "title", "Job Title"),
    Field("email", "email", "Email"),
    _PHONE,
    Field("company", "company", "Company", "record", "customer"),
    _SUBSIDIARY,
    _EXTERNAL,
    _INACTIVE,
    _CREATED,
    _MODIFIED,
)
_INVOICE = (
    _ID,
    Field("tranid", "tranId", "Invoice #"),
    Field("type", "", "Type"),
    Field("entity", "entity", "Customer", "record", "customer"),
    Field("", "subsidiary", "Subsidiary", "record", "subsidiary"),  # on transactionline
    Field("trandate", "tranDate", "Date", "date"),
    Field("duedate", "dueDate", "Due Date", "date"),
    Field("status", "status", "Status", "select", choices=INVOICE_STATUS, read_only=True),
    _CURRENCY,
    Field("exchangerate", "exchangeRate", "Exchange Rate", "float"),
    Field("foreigntotal", "", "Amount (Transaction Currency)", "money"),
    Field("foreignamountpaid", "", "Amount Paid (Transaction Currency)", "money"),
    Field("foreignamountunpaid", "", "Amount Unpaid (Transaction Currency)", "money"),
    Field("", "total", "Total", "money", read_only=True),
    Field("", "amountPaid", "Amount Paid", "money", read_only=True),
    Field("", "amountRemaining", "Amount Due", "money", read_only=True),
    Field("memo", "memo", "Memo"),
    _EXTERNAL,
    Field("createddate", "createdDate", "Date Created", "datetime", read_only=True),
    _MODIFIED,
)
_EMPLOYEE = (
    _ID,
    Field("entityid", "entityId", "Employee ID"),
    Field("firstname", "firstName", "First Name"),
    Field("lastname", "lastName", "Last Name"),
    Field("title", "title", "Job Title"),
    Field("email", "email", "Email"),
    Field("supervisor", "supervisor", "Supervisor", "record", "employee"),
    _SUBSIDIARY,
    Field("issalesrep", "isSalesRep", "Sales Rep", "boolean"),
    Field("giveaccess", "giveAccess", "Give Access", "boolean"),
    _INACTIVE,
    _CREATED,
    _MODIFIED,
)
_SUBSIDIARIES = (
    _ID,
    Field("name", "name", "Name"),
    Field("legalname", "legalName", "Legal Name"),
    Field("parent", "parent", "Subsidiary of", "record", "subsidiary"),
    Field("country", "country", "Country"),
    _CURRENCY,
    _INACTIVE,
    _MODIFIED,
)


def _custom(column: str, title: str, kind: Kind, target: str = "", **more: Any) -> Field:
    return Field(column, column, title, kind, target, custom=True, **more)


_CONTRACT = (
    _custom("custrecord_contract_customer", "Customer", "record", "customer"),
    _custom("custrecord_contract_start", "Start Date", "date"),
    _custom("custrecord_contract_end", "End Date", "date"),
    _custom("custrecord_contract_value", "Annual Value", "money"),
    _custom("custrecord_contract_autorenew", "Renews Automatically", "boolean"),
)
_DUNNING = (
    _custom("custrecord_dunning_customer", "Customer", "record", "customer"),
    _custom(
        "custrecord_dunning_level",
        "Level",
        "select",
        choices=(("1", "Reminder"), ("2", "Final Notice"), ("3", "Collections")),
    ),
    _custom("custrecord_dunning_invoices", "Overdue Invoices", "integer"),
    _custom("custrecord_dunning_amount", "Overdue Amount", "money"),
    _custom("custrecord_dunning_next", "Next Step Due", "datetime"),
)
_CUSTOM_RECORDS: Mapping[str, tuple[str, tuple[Field, ...]]] = {
    "customrecord_contract": ("Contract", _CONTRACT),
    "customrecord_dunning": ("Dunning Case", _DUNNING),
}


def custom_record_name(style: Mapping[str, str]) -> str:
    """Return the script id of the tenant's custom record type."""
    fallback = (
        "customrecord_dunning"
        if style.get("erp.account_link") == "externalid"
        else "customrecord_contract"
    )
    return style.get("erp.custom_record", fallback)


def _custom_record(name: str) -> RecordType:
    title, fields = _CUSTOM_RECORDS[name]
    common = (
        _ID,
        Field("name", "name", "Name"),
        _INACTIVE,
        Field("created", "created", "Date Created", "datetime", read_only=True),
        Field("lastmodified", "lastModified", "Last Modified", "datetime", read_only=True),
    )
    return RecordType(
        name, title, name, name.upper(), (*common, *fields), custom=True, cursor="lastmodified"
    )


_SEGMENTS = ("department", "class", "location")


def record_types(style: Mapping[str, str], *, segments: bool = False) -> Mapping[str, RecordType]:
    """Return the account's record types by REST name.

    With `segments` the features Departments, Classes and Locations are on, and sales reps stand on
    transactions.
    """
    customer, invoice, employee = list(_CUSTOMER), list(_INVOICE), list(_EMPLOYEE)
    if segments:
        invoice.append(Field("employee", "", "Sales Rep", "record", "employee"))
        for name in _SEGMENTS:
            title = name.capitalize()
            invoice.append(Field("", name, title, "integer"))  # on transactionline
            employee.append(Field(name, name, title, "integer"))
    if style.get("erp.account_link", "externalid") != "externalid":
        customer.append(_custom(style["erp.account_link"], "CRM Account ID", "string"))
        invoice.append(_custom("custbody_purchase_order", "Purchase Order", "string"))
    else:
        customer.append(_custom("custentity_sales_region", "Sales Region", "string"))
        invoice.append(_custom("custbody_payment_reference", "Payment Reference", "string"))
        invoice.append(_custom("custbody_dispute", "In Dispute", "boolean"))
    found = (
        RecordType("customer", "Customer", "customer", "LIST_CUSTJOB", tuple(customer)),
        RecordType("contact", "Contact", "contact", "LIST_CONTACT", _CONTACT),
        RecordType("invoice", "Invoice", "transaction", "TRAN_CUSTINVC", tuple(invoice)),
        RecordType("employee", "Employee", "employee", "LIST_EMPLOYEE", tuple(employee)),
        RecordType("subsidiary", "Subsidiary", "subsidiary", "LIST_SUBSIDIARY", _SUBSIDIARIES),
        _custom_record(custom_record_name(style)),
    )
    return {record.name: record for record in found}
