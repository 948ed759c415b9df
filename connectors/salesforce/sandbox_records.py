"""Shapes the company's accounts, contacts, deals and meetings into the org's records and shares.

Takes a `Company` and the staff that `sandbox_people` created; fills an `Org`.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

from firnline.sandbox.world import Account, Company, Deal

from .sandbox_objects import STAGES, meeting_name, own_object_name, values_of
from .sandbox_org import Org, wire_time
from .sandbox_people import Staff

_SEGMENTS = ("enterprise", "mid_market", "small_business")
_STAGES = ("prospecting", "qualification", "proposal", "negotiation", "won", "lost")
_DEAL_TYPES = ("new_business", "expansion", "renewal")
_MEETINGS = ("QBR", "demo", "call", "onsite")
_PROBABILITY = (10, 25, 60, 80, 100, 0)


def build_records(org: Org, company: Company, staff: Staff) -> None:
    """Create all business records and their share rows, in the company's order."""
    for account in company.accounts:
        _account(org, company, staff, account)
    contacts = _contacts(org, company, staff)
    deals = [_deal(org, company, staff, deal) for deal in company.deals]
    _meetings(org, company, staff)
    _calls(org, company, staff, deals, contacts)
    if own_object_name(company.style) == "Deal_Activity__c":
        _activities(org, company, staff, deals)
    else:
        _sites(org, company, staff)
    _shares(org, company, staff, deals)
    for found in org.objects.values():
        if not found.setup and not found.share_of:
            org.put(
                "EntityDefinition",
                DurableId=found.name,
                QualifiedApiName=found.name,
                Label=found.label,
                InternalSharingModel=found.model,
            )


def _audit(created: datetime, updated: datetime, user: str) -> dict[str, Any]:
    return {
        "CreatedDate": wire_time(created),
        "CreatedById": user,
        "LastModifiedDate": wire_time(updated),
        "LastModifiedById": user,
        "SystemModstamp": wire_time(updated),
    }


def _account(org: Org, company: Company, staff: Staff, account: Account) -> None:
    style = company.style
    segments = values_of(style, "crm.segment.values", "Enterprise,Mid-Market,Small Business")
    owner = staff.users.get(account.owner, staff.admin)
    own: dict[str, Any] = {
        "Health_Score__c": float((account.number * 37) % 101),
        "Credit_Hold__c": account.number % 23 == 0,
        "Vertragsnummer__c": f"V-{account.number:06d}",
        "Headquarters__Latitude__s": round(47 + (account.number * 7919 % 8000) / 1000, 6),
        "Headquarters__Longitude__s": round(6 + (account.number * 104729 % 9000) / 1000, 6),
    }
    org.put(
        "Account",
        account.crm_id,
        Name=account.name,
        AccountNumber=f"A-{account.number:06d}",
        Type="Customer",
        Industry=account.industry,
        AnnualRevenue=float(account.annual_revenue),
        Phone=f"+1 555 {account.number % 10_000:04d}",
        Website=f"https://{account.domain}",
        BillingStreet=f"{1 + account.number % 200} Market Street",
        BillingCity=account.city,
        BillingCountry=account.country,
        OwnerId=owner,
        **{style.get("crm.segment", "Segment__c"): segments[_SEGMENTS.index(account.segment)]},
        Region__c=account.region,
        **_known(org, "Account", own),
        **_audit(account.created_at, account.updated_at, owner),
    )


def _known(org: Org, name: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Return those of `fields` that this org's object has."""
    return {key: value for key, value in fields.items() if org.objects[name].has(key)}


def _contacts(org: Org, company: Company, staff: Staff) -> dict[int, str]:
    """Create the contacts; return the first one of each account."""
    channels = ("Email", "Phone", "Video", "On site")
    first: dict[int, str] = {}
    for contact in company.contacts:
        account = company.accounts[contact.account]
        owner = staff.users.get(account.owner, staff.admin)
        chosen = [each for place, each in enumerate(channels) if contact.number >> place & 1]
        key = org.put(
            "Contact",
            AccountId=account.crm_id,
            LastName=contact.last_name,
            FirstName=contact.first_name,
            Name=f"{contact.first_name} {contact.last_name}",
            Email=contact.email,
            Phone=contact.phone,
            Title=contact.title,
            OwnerId=owner,
            Preferred_Channels__c=";".join(chosen) or None,
            **_audit(contact.created_at, contact.updated_at, owner),
        )
        first.setdefault(contact.account, key)
    return first


def _deal(org: Org, company: Company, staff: Staff, deal: Deal) -> str:
    style = company.style
    place = _STAGES.index(deal.stage)
    stage = style.get("crm.stage", "StageName")
    stages = values_of(style, "crm.stage.values", ",".join(STAGES))
    types = values_of(style, "crm.deal_type.values", "New Business,Expansion,Renewal")
    own = {
        "Renewal_Risk__c": ("Low", "Medium", "High")[deal.number % 3],
        "Competitors__c": ("Initech;Hooli", "Umbrella", None, "In-house")[deal.number % 4],
    }
    # An org that keeps its phase in a field of its own never moves the standard stage.
    standard = stage == "StageName"
    probability = _PROBABILITY[place] if standard else 10
    owner = staff.users.get(deal.owner, staff.admin)
    return org.put(
        "Opportunity",
        AccountId=company.accounts[deal.account].crm_id,
        Name=deal.name,
        **{"StageName": "Prospecting", stage: stages[place]},
        Amount=float(deal.amount),
        Probability=float(probability),
        ExpectedRevenue=round(float(deal.amount) * probability / 100, 2),
        CloseDate=deal.close_date.isoformat(),
        **{style.get("crm.deal_type", "Type"): types[_DEAL_TYPES.index(deal.type)]},
        NextStep=deal.next_step or None,
        IsClosed=standard and deal.stage in ("won", "lost"),
        IsWon=standard and deal.stage == "won",
        OwnerId=owner,
        **_known(org, "Opportunity", own),
        **_audit(deal.created_at, deal.updated_at, owner),
    )


def _event(org: Org, start: datetime, minutes: int, **fields: Any) -> None:
    org.put(
        "Event",
        StartDateTime=wire_time(start),
        EndDateTime=wire_time(start + timedelta(minutes=minutes)),
        DurationInMinutes=minutes,
        ActivityDate=start.date().isoformat(),
        **fields,
    )


def _meetings(org: Org, company: Company, staff: Staff) -> None:
    name = meeting_name(company.style)
    is_event = name == "Event"
    field = company.style.get("crm.meeting.type", "Meeting_Type__c" if is_event else "Kind__c")
    default = "QBR,Demo,Call,Onsite" if is_event else "Quarterly Business Review,Demo,Call,Visit"
    kinds = values_of(company.style, "crm.meeting.type.values", default)
    for meeting in company.meetings:
        account = company.accounts[meeting.account].crm_id
        host = staff.users.get(meeting.owner, staff.admin)
        kind = {field: kinds[_MEETINGS.index(meeting.type)]}
        audit = _audit(meeting.created_at, meeting.updated_at, host)
        if is_event:
            _event(
                org,
                meeting.started_at,
                meeting.minutes,
                Subject=meeting.subject,
                WhatId=account,
                AccountId=account,
                OwnerId=host,
                **kind,
                **audit,
            )
            continue
        org.put(
            name,
            Name=f"CM-{meeting.number:06d}",
            Account__c=account,
            Subject__c=meeting.subject,
            Held_On__c=wire_time(meeting.started_at),
            Minutes__c=float(meeting.minutes),
            Host__c=host,
            **kind,
            **audit,
        )


def _calls(
    org: Org, company: Company, staff: Staff, deals: list[str], contacts: dict[int, str]
) -> None:
    """Put a call about every twentieth deal on a calendar; every third names a contact only."""
    for place in range(0, len(deals), 20):
        deal = company.deals[place]
        owner = staff.users.get(deal.owner, staff.admin)
        contact = contacts.get(deal.account)
        with_contact = place % 60 == 0 and contact is not None
        _event(
            org,
            deal.created_at + timedelta(days=3),
            30,
            Subject=f"Call: {deal.name}",
            WhatId=None if with_contact else deals[place],
            WhoId=contact if with_contact else None,
            AccountId=company.accounts[deal.account].crm_id,
            OwnerId=owner,
            **_audit(deal.created_at, deal.updated_at, owner),
        )


def _activities(org: Org, company: Company, staff: Staff, deals: list[str]) -> None:
    kinds = ("Call", "Email", "Site visit", "Legal review")
    sellers = sorted(staff.users.values())
    for place in range(0, len(deals), 2):
        deal = company.deals[place]
        user = staff.users.get(deal.owner, staff.admin)
        owner = staff.queue if place % 26 == 0 else user
        key = org.put(
            "Deal_Activity__c",
            OwnerId=owner,
            Name=f"DA-{place + 1:06d}",
            Opportunity__c=deals[place],
            Kind__c=kinds[place // 2 % 4],
            Logged_On__c=deal.updated_at.date().isoformat(),
            Minutes__c=float(15 + place % 4 * 15),
            Notes__c=deal.next_step or None,
            **_audit(deal.created_at, deal.updated_at, user),
        )
        org.share("Deal_Activity__c", key, owner, "Owner", "All")
        if place % 34 == 0:
            org.share("Deal_Activity__c", key, sellers[place % len(sellers)], "Manual", "Read")


def _sites(org: Org, company: Company, staff: Staff) -> None:
    for account in company.accounts[::3]:
        owner = staff.users.get(account.owner, staff.admin)
        org.put(
            own_object_name(company.style),
            OwnerId=owner,
            Name=f"{account.city} plant",
            Account__c=account.crm_id,
            City__c=account.city,
            Machines__c=float(1 + account.number % 40),
            Commissioned_On__c=account.created_at.date().isoformat(),
            Under_Warranty__c=account.number % 2 == 0,
            **_audit(account.created_at, account.updated_at, owner),
        )


def _shares(org: Org, company: Company, staff: Staff, deals: list[str]) -> None:
    """Create owner rows, one region's accounts for a group, deals shared by hand and by rule."""
    roles = org.rows["UserRole"]
    users = org.rows["User"]
    shared_region = max((account.region for account in company.accounts), default="")
    opens = "None" if own_object_name(company.style) == "Deal_Activity__c" else "Read"
    for row in list(org.rows["Account"].values()):
        role = roles.get(str(users[row["OwnerId"]]["UserRoleId"]), {})
        level = role.get("OpportunityAccessForAccountOwner", "None")
        org.share(
            "Account", row["Id"], row["OwnerId"], "Owner", "All", OpportunityAccessLevel=level
        )
        if row["Region__c"] == shared_region:
            org.share(
                "Account", row["Id"], staff.coverage, "Rule", "Read", OpportunityAccessLevel=opens
            )
    by_hand: defaultdict[int, list[str]] = defaultdict(list)
    for place, email in company.shares:
        by_hand[place].append(email)
    for place, key in enumerate(deals):
        org.share("Opportunity", key, org.rows["Opportunity"][key]["OwnerId"], "Owner", "All")
        for email in by_hand[place]:
            if email in staff.users:
                org.share("Opportunity", key, staff.users[email], "Manual", "Read")
        if place % 41 == 0:
            org.share("Opportunity", key, staff.deal_desk, "Rule", "Read")
