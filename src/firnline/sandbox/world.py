"""The facts behind the sandboxes: one company per tenant, told once and shaped by each provider.

A `Company` is neutral; each provider's sandbox turns it into its own records and ids. Everything is
drawn from a seed, so that the same seed and scale give the same world on every machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from typing import Literal

Segment = Literal["enterprise", "mid_market", "small_business"]
DealType = Literal["new_business", "expansion", "renewal"]
DealStage = Literal["prospecting", "qualification", "proposal", "negotiation", "won", "lost"]
MeetingType = Literal["QBR", "demo", "call", "onsite"]
TicketStatus = Literal["new", "open", "pending", "hold", "solved", "closed"]
TicketPriority = Literal["low", "normal", "high", "urgent"]
InvoiceStatus = Literal["open", "paid", "void"]

CrmProfile = Literal["admin", "executive", "manager", "rep", "contractor"]
HelpdeskRole = Literal["admin", "agent", "group_agent", "assigned_agent", "end_user"]
ErpRole = Literal["admin", "controller", "receivables", "subsidiary_sales"]


@dataclass(frozen=True, slots=True)
class Person:
    """Someone at the tenant. A None role means: no user in that system.

    CRM: everyone sits in the role hierarchy under `manager`. `admin` sees all; `executive` has
    View All on deals; `manager` and `rep` see what they and those below them own, and what is
    shared with them; `contractor` is a rep without field access to money and without invoices.
    Helpdesk: `group_agent` sees tickets of `groups`, `assigned_agent` only their own, `end_user`
    nothing by the agents' API. ERP: `subsidiary_sales` sees only `subsidiaries`, `receivables` sees
    invoices and customers but not their credit limits.
    """

    email: str
    name: str
    title: str
    manager: str | None = None
    region: str = ""
    crm: CrmProfile | None = None
    helpdesk: HelpdeskRole | None = None
    erp: ErpRole | None = None
    groups: tuple[str, ...] = ()
    subsidiaries: tuple[str, ...] = ()
    active: bool = True


@dataclass(frozen=True, slots=True)
class Account:
    """A customer of the tenant. `crm_id` is its 18-character CRM id, which other systems know.

    `in_helpdesk` and `in_erp` say whether that system has it at all.
    """

    number: int
    crm_id: str
    name: str
    domain: str
    segment: Segment
    industry: str
    region: str
    country: str
    city: str
    owner: str
    subsidiary: str
    annual_revenue: Decimal
    credit_limit: Decimal
    created_at: datetime
    updated_at: datetime
    in_helpdesk: bool = True
    in_erp: bool = True


@dataclass(frozen=True, slots=True)
class Contact:
    """A person at a customer."""

    number: int
    account: int
    first_name: str
    last_name: str
    email: str
    title: str
    phone: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Deal:
    """A sales opportunity; `won` and `lost` are closed."""

    number: int
    account: int
    name: str
    type: DealType
    stage: DealStage
    amount: Decimal
    close_date: date
    owner: str
    next_step: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Meeting:
    """A held or planned meeting with a customer."""

    number: int
    account: int
    type: MeetingType
    subject: str
    started_at: datetime
    minutes: int
    owner: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Ticket:
    """A support request. `assignee` is an agent's email or None, `group` a support group's name."""

    number: int
    account: int
    contact: int
    subject: str
    description: str
    status: TicketStatus
    priority: TicketPriority
    product_area: str
    group: str
    assignee: str | None
    tags: tuple[str, ...]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Invoice:
    """A customer invoice, `balance` open of `total`; overdue is a matter of `due` and today."""

    number: int
    account: int
    reference: str
    issued: date
    due: date
    total: Decimal
    balance: Decimal
    status: InvoiceStatus
    subsidiary: str
    memo: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Company:
    """One tenant's world. Indexes in `account` and `contact` fields are positions in these tuples.

    `style` says how this tenant built its systems: sandboxes read it for names of custom fields,
    custom objects and stored values (see `STYLES` in `sandbox.seed`).
    """

    tenant: str
    name: str
    seed: int
    now: datetime
    style: Mapping[str, str]
    people: tuple[Person, ...]
    groups: tuple[str, ...]
    subsidiaries: tuple[str, ...]
    accounts: tuple[Account, ...]
    contacts: tuple[Contact, ...]
    deals: tuple[Deal, ...]
    meetings: tuple[Meeting, ...]
    tickets: tuple[Ticket, ...]
    invoices: tuple[Invoice, ...]
    shares: tuple[tuple[int, str], ...] = field(default=())  # (deal, email): shared by hand

    @cached_property
    def person(self) -> Mapping[str, Person]:
        """Return the people by email."""
        return {person.email: person for person in self.people}
