"""A `Company` shaped into NetSuite's tables. Takes the neutral world; SuiteQL and REST read it.

Values are stored as SuiteQL sees them: ids and references as int, booleans 'T' and 'F', moments as
naive datetimes of the account's session time zone, to the second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from firnline.sandbox.world import Account, Company, Invoice, Person

from .sandbox_fields import VALUE_TYPES, Field, RecordType, custom_record_name, record_types
from .sandbox_roles import Role, role_of, roles_of

ROOT_SUBSIDIARY = 1
_FIRST_CUSTOMER = 1001
_FIRST_EMPLOYEE = 11
_FIRST_INVOICE = 5001
_STATUS = {"open": "A", "paid": "B", "void": "V"}
_TEXT_KINDS = frozenset({"string", "select"})

Row = dict[str, Any]


@dataclass
class Store:
    """Every record of the account by table and id, with the tables that describe the account.

    `version` grows with every change, so that what was derived from a state can be dropped.
    """

    company: Company
    timezone: str
    switches: Mapping[str, Any]
    records: Mapping[str, RecordType] = field(init=False)
    roles: Mapping[int, Role] = field(init=False)
    tables: dict[str, dict[int, Row]] = field(default_factory=dict)
    deleted: list[Row] = field(default_factory=list)
    employee_of: dict[str, int] = field(default_factory=dict)
    role_by_email: dict[str, int] = field(default_factory=dict)
    segments: dict[str, list[Row]] = field(default_factory=dict)
    version: int = 0

    def __post_init__(self) -> None:
        self._zone = ZoneInfo(self.timezone)
        segments = bool(self.switches.get("segments", False))
        self.records = record_types(self.company.style, segments=segments)
        self.roles = roles_of(
            self.company.people,
            self.subsidiary_id,
            lacks_columns=bool(self.switches.get("column_permissions", True)),
        )
        for fill in (_subsidiaries, _employees, _customers, _contacts, _invoices, _custom_records):
            name, rows = fill(self)
            self.tables[name] = {row["id"]: row for row in rows}

    def local(self, moment: datetime) -> datetime:
        """Return a moment as the account stores it."""
        return moment.astimezone(self._zone).replace(tzinfo=None, microsecond=0)

    def utc(self, stored: datetime) -> datetime:
        """Return a stored moment as an aware UTC datetime."""
        return stored.replace(tzinfo=self._zone).astimezone(UTC)

    def subsidiary_id(self, name: str) -> int:
        """Return the key of a subsidiary of the company's world."""
        return ROOT_SUBSIDIARY + 1 + self.company.subsidiaries.index(name)

    def currency(self) -> str:
        """Return the account's base currency: euros where customers carry external ids."""
        return "2" if self.company.style.get("erp.account_link") == "externalid" else "1"

    def customer_id(self, position: int) -> int:
        """Return the key of the customer made of the account at `position`."""
        return _FIRST_CUSTOMER + position

    def put(self, record: RecordType, key: int, values: Mapping[str, Any], now: datetime) -> None:
        """Write fields of a record, new or known, stamping it as modified."""
        rows = self.tables[record.table]
        row = dict(rows.get(key, {"id": key}))
        for column, value in values.items():
            row[column] = stored(record.by_column[column], value)
        row[record.cursor] = self.local(now)
        rows[key] = row
        self.version += 1

    def remove(self, record: RecordType, key: int, now: datetime) -> None:
        """Delete a record for good; it then stands among the deleted records."""
        row = self.tables[record.table].pop(key)
        self.deleted.append(
            {
                "recordid": key,
                "type": record.name,
                "name": row.get("entityid") or row.get("tranid") or row.get("name"),
                "deleteddate": self.local(now),
                "context": "UI",
            }
        )
        self.version += 1

    def described(self, table: str) -> list[Row]:
        """Return one of the tables that describe roles, customisations, lines and deletions."""
        match table:
            case "role":
                return [role.row for role in self.roles.values()]
            case "rolerestrictions":
                return [row for role in self.roles.values() for row in role.restriction_rows]
            case "department" | "classification" | "location":
                return list(self.segments.get(table, ()))
            case "rolepermissions":
                return [row for role in self.roles.values() for row in role.permission_rows]
            case "employeerolesforsearch":
                held = self.role_by_email.items()
                return [{"entity": self.employee_of[email], "role": role} for email, role in held]
            case "customrecordtype":
                return list(_custom_record_types(self.records.values()))
            case "customfield":
                return list(_custom_fields(self.records.values()))
            case "transactionline":
                return list(_lines(self))
            case _:
                return list(self.deleted)


def stored(definition: Field, value: Any) -> Any:
    """Return a value given by a test or a body as the account stores it."""
    if value is None:
        return None
    match definition.kind:
        case "boolean":
            return value if value in ("T", "F") else "FT"[bool(value)]
        case "id" | "record" | "integer":
            return int(value)
        case "money" | "float":
            return Decimal(str(value))
        case "date" if isinstance(value, date):
            return datetime.combine(value, time())
        case "date" | "datetime" if isinstance(value, str):
            return datetime.fromisoformat(value)
        case _:
            return value


def _flag(value: bool) -> str:
    return "T" if value else "F"


def _day(value: date) -> datetime:
    return datetime.combine(value, time())


def _subsidiaries(store: Store) -> tuple[str, Iterable[Row]]:
    company = store.company
    modified = store.local(company.now - timedelta(days=900))
    common = {"currency": store.currency(), "isinactive": "F", "lastmodifieddate": modified}
    root = {"id": ROOT_SUBSIDIARY, "name": company.name, "legalname": company.name, **common}
    return "subsidiary", [
        root,
        *(
            {
                "id": store.subsidiary_id(name),
                "name": name,
                "legalname": name,
                "parent": ROOT_SUBSIDIARY,
                **common,
            }
            for name in company.subsidiaries
        ),
    ]


def _employees(store: Store) -> tuple[str, Iterable[Row]]:
    for position, person in enumerate(store.company.people):
        store.employee_of[person.email] = _FIRST_EMPLOYEE + position
        if person.erp is not None:
            store.role_by_email[person.email] = role_of(person, store.roles, store.subsidiary_id)
    return "employee", [_employee(store, person) for person in store.company.people]


def _employee(store: Store, person: Person) -> Row:
    first, _, last = person.name.partition(" ")
    hired = store.local(store.company.now - timedelta(days=700 + len(person.email) * 7))
    return {
        "id": store.employee_of[person.email],
        "entityid": person.name,
        "firstname": first,
        "lastname": last or None,
        "title": person.title or None,
        "email": person.email,
        "supervisor": store.employee_of.get(person.manager or ""),
        "subsidiary": (
            store.subsidiary_id(person.subsidiaries[0]) if person.subsidiaries else ROOT_SUBSIDIARY
        ),
        "issalesrep": _flag(person.crm in ("rep", "manager")),
        "giveaccess": _flag(person.erp is not None),
        "isinactive": _flag(not person.active),
        "datecreated": hired,
        "lastmodifieddate": hired,
    }


def _customers(store: Store) -> tuple[str, Iterable[Row]]:
    return "customer", [
        _customer(store, position, account)
        for position, account in enumerate(store.company.accounts)
        if account.in_erp
    ]


def _customer(store: Store, position: int, account: Account) -> Row:
    link = store.company.style.get("erp.account_link", "externalid")
    row = {
        "id": store.customer_id(position),
        "entityid": f"CUST{10_000 + position}",
        "companyname": account.name,
        "isperson": "F",
        "email": f"accounts.payable@{account.domain}",
        "url": f"https://www.{account.domain}",
        "subsidiary": store.subsidiary_id(account.subsidiary),
        "salesrep": store.employee_of.get(account.owner),
        "currency": store.currency(),
        "creditlimit": account.credit_limit,
        "isinactive": "F",
        "datecreated": store.local(account.created_at),
        "lastmodifieddate": store.local(account.updated_at),
        link: account.crm_id,
    }
    if link == "externalid":
        row["custentity_sales_region"] = account.region or None
    return row


def _contacts(store: Store) -> tuple[str, Iterable[Row]]:
    company = store.company
    first = _FIRST_CUSTOMER + len(company.accounts)
    return "contact", [
        {
            "id": first + position,
            "entityid": f"{contact.first_name} {contact.last_name}",
            "firstname": contact.first_name,
            "lastname": contact.last_name,
            "title": contact.title or None,
            "email": contact.email,
            "phone": contact.phone or None,
            "company": store.customer_id(contact.account),
            "subsidiary": store.subsidiary_id(company.accounts[contact.account].subsidiary),
            "isinactive": "F",
            "datecreated": store.local(contact.created_at),
            "lastmodifieddate": store.local(contact.updated_at),
        }
        for position, contact in enumerate(company.contacts)
        if company.accounts[contact.account].in_erp
    ]


def _invoices(store: Store) -> tuple[str, Iterable[Row]]:
    return "transaction", [
        _invoice(store, _FIRST_INVOICE + position, invoice)
        for position, invoice in enumerate(store.company.invoices)
        if store.company.accounts[invoice.account].in_erp
    ]


def _invoice(store: Store, key: int, invoice: Invoice) -> Row:
    row = {
        "id": key,
        "type": "CustInvc",
        "tranid": invoice.reference,
        "entity": store.customer_id(invoice.account),
        "subsidiary": store.subsidiary_id(invoice.subsidiary),
        "trandate": _day(invoice.issued),
        "duedate": _day(invoice.due),
        "status": _STATUS[invoice.status],
        "currency": store.currency(),
        "exchangerate": Decimal(1),
        "foreigntotal": invoice.total,
        "foreignamountpaid": invoice.total - invoice.balance,
        "foreignamountunpaid": invoice.balance,
        "memo": invoice.memo or None,
        "createddate": store.local(invoice.created_at),
        "lastmodifieddate": store.local(invoice.updated_at),
    }
    columns = store.records["invoice"].columns
    if "custbody_purchase_order" in columns:
        row["custbody_purchase_order"] = f"PO-{key * 7 % 90_000 + 10_000}" if key % 3 else None
    if "custbody_payment_reference" in columns:
        row["custbody_payment_reference"] = f"RF{key % 97:02d}{key}"
        row["custbody_dispute"] = _flag(invoice.status == "open" and key % 11 == 0)
    return row


def _custom_records(store: Store) -> tuple[str, Iterable[Row]]:
    name = custom_record_name(store.company.style)
    makers: Mapping[str, Callable[[Store], Iterable[Row]]] = {
        "customrecord_contract": _contracts,
        "customrecord_dunning": _dunning_cases,
    }
    return name, makers[name](store)


def _contracts(store: Store) -> Iterable[Row]:
    """Every customer older than a year whose number is not a multiple of three has a contract."""
    company = store.company
    for position, account in enumerate(company.accounts):
        age = company.now - account.created_at
        if not account.in_erp or age < timedelta(days=365) or position % 3 == 0:
            continue
        start = account.created_at.date() + timedelta(days=age.days // 365 * 365)
        yield {
            "id": position + 1,
            "name": f"Contract {account.name}",
            "isinactive": "F",
            "created": store.local(account.created_at),
            "lastmodified": store.local(account.updated_at),
            "custrecord_contract_customer": store.customer_id(position),
            "custrecord_contract_start": _day(start),
            "custrecord_contract_end": _day(start + timedelta(days=364)),
            "custrecord_contract_value": (account.credit_limit * 2).quantize(Decimal("0.01")),
            "custrecord_contract_autorenew": _flag(position % 2 == 0),
        }


def _dunning_cases(store: Store) -> Iterable[Row]:
    """Every customer with overdue invoices has one case; its level grows with their number."""
    company = store.company
    overdue: dict[int, list[Invoice]] = {}
    for invoice in company.invoices:
        if invoice.status == "open" and invoice.due < company.now.date():
            overdue.setdefault(invoice.account, []).append(invoice)
    for position, invoices in sorted(overdue.items()):
        account = company.accounts[position]
        if not account.in_erp:
            continue
        changed = store.local(max(invoice.updated_at for invoice in invoices))
        yield {
            "id": position + 1,
            "name": f"Dunning {account.name}",
            "isinactive": "F",
            "created": changed,
            "lastmodified": changed,
            "custrecord_dunning_customer": store.customer_id(position),
            "custrecord_dunning_level": str(min(3, len(invoices))),
            "custrecord_dunning_invoices": len(invoices),
            "custrecord_dunning_amount": sum((one.balance for one in invoices), Decimal(0)),
            "custrecord_dunning_next": changed + timedelta(days=14),
        }


def _lines(store: Store) -> Iterable[Row]:
    """Every transaction has its main line, which carries the subsidiary, and one item line."""
    for key, row in store.tables["transaction"].items():
        on_line = ("subsidiary", "department", "class", "location")
        shared = {"transaction": key, **{name: row.get(name) for name in on_line}}
        yield {**shared, "id": 0, "mainline": "T", "linelastmodifieddate": row["lastmodifieddate"]}
        yield {**shared, "id": 1, "mainline": "F", "linelastmodifieddate": row["lastmodifieddate"]}


def _custom_record_types(records: Iterable[RecordType]) -> Iterable[Row]:
    for place, record in enumerate(record for record in records if record.custom):
        yield {"internalid": 100 + place, "scriptid": record.name.upper(), "name": record.title}


def _custom_fields(records: Iterable[RecordType]) -> Iterable[Row]:
    prefixes = {"custentity": "ENTITY", "custbody": "BODY", "custrecord": "RECORD"}
    custom_types = {record.name: 100 for record in records if record.custom}
    for record in records:
        for definition in record.fields:
            if not definition.custom:
                continue
            yield {
                "scriptid": definition.column.upper(),
                "name": definition.title,
                "fieldtype": prefixes[definition.column.partition("_")[0]],
                "fieldvaluetype": VALUE_TYPES[definition.kind],
                "ismandatory": "F",
                "isstored": "T",
                "recordtype": custom_types.get(record.name),
            }
