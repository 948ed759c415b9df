"""Turns a company's facts into one Zendesk account: rows, roles, custom fields, custom objects.

Takes a `Company` and its style, gives a filled `Store` to the sandbox. Ids are a function of the
tenant and the record's number, so that a restart shows the same account.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from zlib import crc32

from firnline.sandbox.world import Account, Company, Contact, HelpdeskRole, Person, Ticket

from . import sandbox_templates as given
from .sandbox_custom import define_custom_object, define_fields
from .sandbox_store import Row, Store, Table
from .sandbox_wire import stamp

KINDS = (
    "group",
    "agent",
    "user",
    "organization",
    "role",
    "membership",
    "field",
    "status",
    "brand",
)
DECIDES = re.compile(r"\b(chief|c[efiot]o|vp|vice president|head|director|owner)\b", re.IGNORECASE)


def slug(text: str) -> str:
    """Return a text as the vendor turns it into a tag."""
    return re.sub(r"[^0-9a-z]+", "_", text.lower()).strip("_")


class Shaper:
    """Builds one account. Used once, by `shape`."""

    def __init__(
        self, company: Company, *, base: str, clock: Callable[[], float], has_roles: bool
    ) -> None:
        self.company = company
        self.style = company.style
        self.has_roles = has_roles
        self.store = Store(base=base, clock=clock)
        self.start = 26_000_000_000_000 + crc32(company.tenant.encode()) % 900 * 1_000_000_000
        self.asset_key = company.style.get("helpdesk.custom_object", "")
        self.product_areas = {
            f"area_{slug(area)}": area
            for area in sorted({ticket.product_area for ticket in company.tickets})
        }
        # The account is older than everything in it.
        moments = [account.created_at for account in company.accounts] or [company.now]
        opening = min(moments) - timedelta(days=30)
        self.opened = stamp(opening)
        self.opened_at = int(opening.timestamp())

    def id(self, kind: str, number: int) -> int:
        """Return the id of a record of `kind`."""
        return self.start + KINDS.index(kind) * 100_000_000 + number * 17 + 11

    def draw(self, name: str, number: int, below: int) -> int:
        """Return a number that depends on the seed, a name and a record only."""
        return crc32(f"{self.company.seed}:{name}:{number}".encode()) % below

    def settled(self, moment: datetime) -> int:
        """Return the stamp of a past change: exports lag a minute, the past is all exported."""
        return int(min(moment, self.company.now - timedelta(minutes=2)).timestamp())

    def table(self, name: str, template: Mapping[str, Any], path: str = "") -> Table:
        """Return a new table of the store."""
        made = Table(name, path or name, template)
        self.store.tables[name] = made
        return made

    # Roles, groups and agents

    def role_id(self, role: HelpdeskRole) -> int | None:
        """Return the id of an agent's custom role, None on accounts without custom roles."""
        return self.id("role", list(given.ROLES).index(role)) if self.has_roles else None

    def roles(self) -> None:
        """Add the custom roles, when the plan has them."""
        made = self.table("custom_roles", {})
        if not self.has_roles:
            return
        for role, (title, _, role_type, ticket_access, reads_custom) in given.ROLES.items():
            scopes = ["read"] if reads_custom else []
            held = {self.asset_key: {"scopes": scopes}} if self.asset_key else {}
            row = {
                "name": title,
                "description": f"{title} (tickets: {ticket_access})",
                "role_type": role_type,
                "team_member_count": sum(one.helpdesk == role for one in self.company.people),
                "configuration": {
                    **given.ROLE_CONFIGURATION,
                    "ticket_access": ticket_access,
                    "custom_objects": held,
                },
                "created_at": self.opened,
                "updated_at": self.opened,
            }
            number = self.id("role", list(given.ROLES).index(role))
            made.put(number, row, self.opened_at)

    @property
    def brand(self) -> int:
        """Return the account's one brand."""
        return self.id("field", 91)

    def brand_member(self, user_id: int) -> Row:
        """Return somebody's membership of the account's brand."""
        return {
            "user_id": user_id,
            "brand_id": self.brand,
            "created_at": self.opened,
            "updated_at": self.opened,
        }

    def groups(self) -> dict[str, int]:
        """Add the support groups; return their ids by name."""
        made = self.table("groups", given.GROUP)
        ids = {name: self.id("group", at) for at, name in enumerate(self.company.groups)}
        for at, (name, number) in enumerate(ids.items()):
            row = {
                "name": name,
                "default": at == 0,
                "created_at": self.opened,
                "updated_at": self.opened,
            }
            made.put(number, row, self.opened_at)
        return ids

    def agents(self, groups: Mapping[str, int]) -> dict[str, int]:
        """Add the company's own people and their groups; return the ids of users by email."""
        users = self.table("users", given.USER)
        memberships = self.table("group_memberships", {"default": False})
        brands = self.table("brand_agents", {})
        ids: dict[str, int] = {}
        for at, person in enumerate(self.company.people):
            if person.helpdesk is None:
                continue
            number = ids[person.email] = self.id("agent", at)
            own = [groups[name] for name in person.groups if name in groups]
            row = self.agent(person, own)
            users.put(number, row, self.opened_at)
            if not person.active:
                row["active"] = users.rows[number]["active"] = False
                users.deleted[number] = users.stamps[number]
            for order, group in enumerate(own if person.helpdesk != "end_user" else ()):
                member = {
                    "user_id": number,
                    "group_id": group,
                    "default": order == 0,
                    "created_at": self.opened,
                    "updated_at": self.opened,
                }
                memberships.put(self.id("membership", at * 100 + order), member, self.opened_at)
            if person.helpdesk != "end_user":
                # New members of a team are members of every brand.
                brands.put(self.id("brand", at), self.brand_member(number), self.opened_at)
        return ids

    def agent(self, person: Person, groups: list[int]) -> Row:
        """Return the user of one of the company's people."""
        common = {
            "name": person.name,
            "email": person.email.lower(),
            "details": person.title,
            "created_at": self.opened,
            "updated_at": self.opened,
            "user_fields": {"job_title": person.title, "is_decision_maker": False},
        }
        role = person.helpdesk
        if role is None or role == "end_user":
            return {**common, **given.END_USER}
        _, wire_role, role_type, _, _ = given.ROLES[role]
        return {
            **common,
            "role": wire_role,
            "role_type": role_type if self.has_roles else None,
            "custom_role_id": self.role_id(role),
            "ticket_restriction": given.RESTRICTIONS[role],
            "restricted_agent": given.RESTRICTIONS[role] is not None,
            "moderator": role == "admin",
            "report_csv": role == "admin",
            "default_group_id": groups[0] if groups else None,
        }

    # Customers

    def organizations(self) -> dict[int, int]:
        """Add an organization for each account that is in the help desk; return ids by account."""
        made = self.table("organizations", given.ORGANIZATION)
        ids: dict[int, int] = {}
        for at, account in enumerate(self.company.accounts):
            if account.in_helpdesk:
                number = ids[at] = self.id("organization", account.number)
                made.put(number, self.organization(account), self.settled(account.updated_at))
        return ids

    def organization(self, account: Account) -> Row:
        """Return one organization, linked to the CRM the way this tenant does it."""
        link = self.style.get("helpdesk.account_link", "external_id")
        values: Row = {
            "support_tier": f"tier_{account.segment}",
            # The vendor writes dates of organizations and users as midnight UTC.
            "customer_since": f"{account.created_at.date().isoformat()}T00:00:00+00:00",
        }
        if link.startswith("organization_fields."):
            values[link.removeprefix("organization_fields.")] = account.crm_id
        return {
            "name": account.name,
            "external_id": account.crm_id if link == "external_id" else None,
            "domain_names": [account.domain],
            "tags": [f"tier_{account.segment}", slug(account.region)],
            "created_at": stamp(account.created_at),
            "updated_at": stamp(account.updated_at),
            "organization_fields": values,
        }

    def contacts(self, organizations: Mapping[int, int]) -> dict[int, int]:
        """Add customers' people as end users; return their ids by contact."""
        users = self.store.table("users")
        made = self.table("organization_memberships", {"default": True, "view_tickets": False})
        taken = {row["email"] for row in users.rows.values()}
        ids: dict[int, int] = {}
        for at, contact in enumerate(self.company.contacts):
            organization = organizations.get(contact.account)
            if organization is None:
                continue
            number = ids[at] = self.id("user", contact.number)
            row = self.end_user(contact, organization)
            if row["email"] in taken:
                row["email"] = f"{contact.number}.{row['email']}"
            taken.add(row["email"])
            users.put(number, row, self.settled(contact.updated_at))
            member = {
                "user_id": number,
                "organization_id": organization,
                "created_at": row["created_at"],
                "updated_at": row["created_at"],
            }
            made.put(self.id("membership", 1_000_000 + contact.number), member, self.opened_at)
        return ids

    def end_user(self, contact: Contact, organization: int) -> Row:
        """Return the end user of one contact."""
        return {
            **given.END_USER,
            "name": f"{contact.first_name} {contact.last_name}",
            "email": contact.email.lower(),
            "phone": contact.phone,
            "organization_id": organization,
            "created_at": stamp(contact.created_at),
            "updated_at": stamp(contact.updated_at),
            "user_fields": {
                "job_title": contact.title,
                "is_decision_maker": bool(DECIDES.search(contact.title)),
            },
        }

    # Tickets

    def tickets(
        self,
        groups: Mapping[str, int],
        agents: Mapping[str, int],
        organizations: Mapping[int, int],
        contacts: Mapping[int, int],
    ) -> None:
        """Add the tickets of accounts that are in the help desk."""
        made = self.table("tickets", given.TICKET)
        for ticket in self.company.tickets:
            if ticket.account not in organizations or ticket.contact not in contacts:
                continue
            requester = contacts[ticket.contact]
            row = self.ticket(ticket)
            row.update(
                requester_id=requester,
                submitter_id=requester,
                assignee_id=agents.get(ticket.assignee or ""),
                organization_id=organizations[ticket.account],
                group_id=groups.get(ticket.group),
            )
            made.put(ticket.number, row, self.settled(ticket.updated_at))

    def ticket(self, ticket: Ticket) -> Row:
        """Return one ticket without its references."""
        by_tags = self.style.get("helpdesk.priority") == "tags"
        area = f"area_{slug(ticket.product_area)}"
        priority_tags = [f"prio_{ticket.priority}"] if by_tags else []
        promised = ticket.created_at + timedelta(days=2 + self.draw("sla", ticket.number, 9))
        fields: dict[int, Any] = {
            self.id("field", 20): area,
            self.id("field", 21): self.draw("escalated", ticket.number, 12) == 0,
            self.id("field", 22): promised.date().isoformat() if ticket.number % 3 == 0 else None,
        }
        if self.asset_key:
            fields[self.id("field", 23)] = None
        return {
            "subject": ticket.subject,
            "raw_subject": ticket.subject,
            "description": ticket.description,
            "status": ticket.status,
            "custom_status_id": self.id("status", given.STATUSES.index(ticket.status)),
            "priority": None if by_tags else ticket.priority,
            "tags": sorted({*ticket.tags, *priority_tags, area}),
            "ticket_form_id": self.id("field", 90),
            "brand_id": self.brand,
            "created_at": stamp(ticket.created_at),
            "updated_at": stamp(ticket.updated_at),
            "fields": fields,
        }


def shape(company: Company, *, base: str, clock: Callable[[], float], has_roles: bool) -> Store:
    """Return the account of `company`."""
    shaper = Shaper(company, base=base, clock=clock, has_roles=has_roles)
    shaper.roles()
    groups = shaper.groups()
    agents = shaper.agents(groups)
    organizations = shaper.organizations()
    contacts = shaper.contacts(organizations)
    shaper.tickets(groups, agents, organizations, contacts)
    define_fields(shaper)
    define_custom_object(shaper, organizations)
    return shaper.store
