"""The objects of a tenant's org: standard ones, what its style adds, and the setup records.

Takes `Company.style`; gives `sandbox_org` and everyone who answers for it the definitions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from .sandbox_schema import (
    FieldDef,
    ObjectDef,
    address,
    audit,
    flag,
    identity,
    lookup,
    number,
    owner,
    picklist,
    stamp,
    text,
)
from .sandbox_setup import setup_objects, share_object

STAGES = (
    "Prospecting",
    "Qualification",
    "Proposal/Price Quote",
    "Negotiation/Review",
    "Closed Won",
    "Closed Lost",
)
INDUSTRIES = ("Banking", "Education", "Energy", "Healthcare", "Manufacturing", "Retail")


def values_of(style: Mapping[str, str], key: str, default: str) -> tuple[str, ...]:
    """Return the stored values that the style lists under `key`."""
    return tuple(style.get(key, default).split(","))


def own_object_name(style: Mapping[str, str]) -> str:
    """Return the tenant's own object that no mapping knows."""
    if "crm.own_object" in style:
        return style["crm.own_object"]
    return "Deal_Activity__c" if meeting_name(style) == "Event" else "Install_Site__c"


def meeting_name(style: Mapping[str, str]) -> str:
    """Return the object that holds meetings: Event, or a custom one under the account."""
    return style.get("crm.meeting", "Event")


def org_objects(style: Mapping[str, str]) -> Mapping[str, ObjectDef]:
    """Return the org's objects by name."""
    objects = [
        _user(),
        _account(style),
        _contact(style),
        _opportunity(style),
        _event(style),
        *_own_objects(style),
        *setup_objects(),
    ]
    objects += [
        share_object(found) for found in objects if found.model == "Private" and found.prefix
    ]
    return {found.name: _opened(found) for found in objects if found.name != "EventShare"}


def _opened(found: ObjectDef) -> ObjectDef:
    """Return setup records without field-level security: it does not speak of them."""
    if not found.setup and not found.share_of and found.name != "Organization":
        return found
    return replace(found, fields=tuple(replace(each, secured=False) for each in found.fields))


def _user() -> ObjectDef:
    plain = {"secured": False}
    return ObjectDef(
        "User",
        "User",
        "Users",
        "005",
        (
            identity(),
            text("Username", "Username", 80, nillable=False, **plain),
            text("LastName", "Last Name", 80, nillable=False, compound="Name", **plain),
            text("FirstName", "First Name", 40, compound="Name", **plain),
            text("Name", "Full Name", 121, writable=False, name_field=True, **plain),
            text("Email", "Email", 128, type="email", nillable=False, **plain),
            text("Title", "Title", 80, **plain),
            text("Alias", "Alias", 8, nillable=False, **plain),
            flag("IsActive", "Active", **plain),
            lookup("UserRoleId", "Role ID", "UserRole", "Users", **plain),
            lookup("ProfileId", "Profile ID", "Profile", "Users", nillable=False, **plain),
            lookup("ManagerId", "Manager ID", "User", "ManagedUsers", **plain),
            picklist("UserType", "User Type", ("Standard",), writable=False, **plain),
            picklist("TimeZoneSidKey", "Time Zone", ("UTC",), nillable=False, **plain),
            *audit(deletes=False),
        ),
        model="Read",
    )


def _account(style: Mapping[str, str]) -> ObjectDef:
    segments = values_of(style, "crm.segment.values", "Enterprise,Mid-Market,Small Business")
    own = _own_account_fields(style)
    return ObjectDef(
        "Account",
        "Account",
        "Accounts",
        "001",
        (
            identity(),
            text("Name", "Account Name", nillable=False, name_field=True, secured=False),
            text("AccountNumber", "Account Number", 40),
            picklist("Type", "Account Type", ("Customer", "Prospect", "Partner")),
            picklist("Industry", "Industry", INDUSTRIES),
            number("AnnualRevenue", "Annual Revenue", "currency", 0),
            text("Phone", "Account Phone", 40, type="phone"),
            text("Website", "Website", type="url"),
            *address("Billing", "Billing"),
            lookup("ParentId", "Parent Account ID", "Account", "ChildAccounts"),
            owner(),
            text("Description", "Account Description", 32000, type="textarea"),
            *audit(),
            picklist(style.get("crm.segment", "Segment__c"), "Segment", segments, restricted=True),
            text("Region__c", "Region", 80, help="Sales region that covers the account"),
            *own,
        ),
        model="Private",
    )


def _own_account_fields(style: Mapping[str, str]) -> tuple[FieldDef, ...]:
    if own_object_name(style) == "Deal_Activity__c":
        return (number("Health_Score__c", "Health Score", "percent", 0, precision=3),)
    location = "Headquarters__c"
    return (
        flag("Credit_Hold__c", "Credit Hold"),
        text("Vertragsnummer__c", "Vertragsnummer", 40, external_id=True),
        number("Headquarters__Latitude__s", "Headquarters (Latitude)", scale=6, compound=location),
        number(
            "Headquarters__Longitude__s", "Headquarters (Longitude)", scale=6, compound=location
        ),
        FieldDef(location, "location", "Headquarters", writable=False),
    )


def _contact(style: Mapping[str, str]) -> ObjectDef:
    return ObjectDef(
        "Contact",
        "Contact",
        "Contacts",
        "003",
        (
            identity(),
            lookup("AccountId", "Account ID", "Account", "Contacts", secured=True),
            text("LastName", "Last Name", 80, nillable=False, compound="Name", secured=False),
            text("FirstName", "First Name", 40, compound="Name", secured=False),
            text("Name", "Full Name", 121, writable=False, name_field=True, secured=False),
            text("Email", "Email", 80, type="email"),
            text("Phone", "Business Phone", 40, type="phone"),
            text("Title", "Title", 128),
            owner(),
            *audit(),
            picklist(
                "Preferred_Channels__c",
                "Preferred Channels",
                ("Email", "Phone", "Video", "On site"),
                type="multipicklist",
            ),
        ),
        model="ControlledByParent",
    )


def _opportunity(style: Mapping[str, str]) -> ObjectDef:
    return ObjectDef(
        "Opportunity",
        "Opportunity",
        "Opportunities",
        "006",
        (
            identity(),
            lookup("AccountId", "Account ID", "Account", "Opportunities"),
            text("Name", "Name", 120, nillable=False, name_field=True, secured=False),
            picklist("StageName", "Stage", _stage_names(style), nillable=False, secured=False),
            number("Amount", "Amount", "currency"),
            number("Probability", "Probability (%)", "percent", 0, precision=3),
            number("ExpectedRevenue", "Expected Amount", "currency", writable=False),
            FieldDef("CloseDate", "date", "Close Date", nillable=False, secured=False),
            picklist("Type", "Opportunity Type", _deal_types(style)),
            text("NextStep", "Next Step", 255),
            flag("IsClosed", "Closed", writable=False, secured=False),
            flag("IsWon", "Won", writable=False, secured=False),
            owner(),
            *audit(),
            *_own_opportunity_fields(style),
        ),
        model="Private",
    )


def _stage_names(style: Mapping[str, str]) -> tuple[str, ...]:
    standard = style.get("crm.stage", "StageName") == "StageName"
    return values_of(style, "crm.stage.values", ",".join(STAGES)) if standard else STAGES


def _deal_types(style: Mapping[str, str]) -> tuple[str, ...]:
    plain = "New Business,Expansion,Renewal"
    standard = style.get("crm.deal_type", "Type") == "Type"
    return values_of(style, "crm.deal_type.values", plain) if standard else tuple(plain.split(","))


def _own_opportunity_fields(style: Mapping[str, str]) -> tuple[FieldDef, ...]:
    fields: list[FieldDef] = []
    if style.get("crm.stage", "StageName") != "StageName":
        fields.append(
            picklist(style["crm.stage"], "Sales Phase", style["crm.stage.values"].split(","))
        )
    if style.get("crm.deal_type", "Type") != "Type":
        values = style["crm.deal_type.values"].split(",")
        fields.append(picklist(style["crm.deal_type"], "Deal Category", values))
    if own_object_name(style) == "Deal_Activity__c":
        risks = ("Low", "Medium", "High")
        fields.append(picklist("Renewal_Risk__c", "Renewal Risk", risks, restricted=True))
    else:
        rivals = ("Initech", "Umbrella", "Hooli", "In-house")
        fields.append(picklist("Competitors__c", "Competitors", rivals, type="multipicklist"))
    return tuple(fields)


def _event(style: Mapping[str, str]) -> ObjectDef:
    kinds = values_of(style, "crm.meeting.type.values", "QBR,Demo,Call,Onsite")
    own = (
        (picklist(style.get("crm.meeting.type", "Meeting_Type__c"), "Meeting Type", kinds),)
        if meeting_name(style) == "Event"
        else ()
    )
    targets = f"Account Opportunity {own_object_name(style)}"
    return ObjectDef(
        "Event",
        "Event",
        "Events",
        "00U",
        (
            identity(),
            lookup("WhoId", "Name ID", "Contact", "Events", secured=False),
            lookup("WhatId", "Related To ID", targets, "Events", secured=False),
            lookup("AccountId", "Account ID", "Account", writable=False, secured=False),
            text("Subject", "Subject", type="combobox", secured=False),
            text("Location", "Location", secured=False),
            flag("IsAllDayEvent", "All-Day Event", secured=False),
            stamp("StartDateTime", "Start Date Time", secured=False),
            stamp("EndDateTime", "End Date Time", secured=False),
            FieldDef("DurationInMinutes", "int", "Duration", secured=False),
            FieldDef("ActivityDate", "date", "Due Date Only", secured=False),
            owner(),
            *audit(),
            *own,
        ),
        model="Private",
    )


def _own_objects(style: Mapping[str, str]) -> list[ObjectDef]:
    objects = [_deal_activity() if own_object_name(style) == "Deal_Activity__c" else _site(style)]
    if meeting_name(style) != "Event":
        objects.append(_meeting(style))
    return objects


def _record_name(label: str) -> FieldDef:
    return text("Name", label, 80, writable=False, secured=False, auto_number=True, name_field=True)


def _meeting(style: Mapping[str, str]) -> ObjectDef:
    kinds = values_of(style, "crm.meeting.type.values", "Quarterly Business Review,Demo,Call,Visit")
    return ObjectDef(
        meeting_name(style),
        "Customer Meeting",
        "Customer Meetings",
        "a01",
        (
            identity(),
            _record_name("Meeting No."),
            *audit(),
            lookup(
                "Account__c",
                "Account",
                "Account",
                "Customer_Meetings__r",
                nillable=False,
                secured=False,
                master_order=0,
            ),
            picklist(style.get("crm.meeting.type", "Kind__c"), "Kind", kinds, restricted=True),
            text("Subject__c", "Subject", 255),
            stamp("Held_On__c", "Held On"),
            number("Minutes__c", "Minutes", scale=0, precision=4),
            lookup("Host__c", "Host", "User", "Hosted_Meetings__r"),
        ),
        model="ControlledByParent",
    )


def _deal_activity() -> ObjectDef:
    return ObjectDef(
        "Deal_Activity__c",
        "Deal Activity",
        "Deal Activities",
        "a02",
        (
            identity(),
            owner("Group", "User"),
            _record_name("Activity No."),
            *audit(),
            lookup("Opportunity__c", "Opportunity", "Opportunity", "Deal_Activities__r"),
            picklist("Kind__c", "Kind", ("Call", "Email", "Site visit", "Legal review")),
            FieldDef("Logged_On__c", "date", "Logged On"),
            number("Minutes__c", "Minutes", scale=0, precision=4),
            text("Notes__c", "Notes", 32000, type="textarea"),
        ),
        model="Private",
    )


def _site(style: Mapping[str, str]) -> ObjectDef:
    return ObjectDef(
        own_object_name(style),
        "Install Site",
        "Install Sites",
        "a02",
        (
            identity(),
            owner("Group", "User"),
            text("Name", "Site Name", 80, nillable=False, secured=False, name_field=True),
            *audit(),
            lookup("Account__c", "Account", "Account", "Install_Sites__r"),
            text("City__c", "City", 80),
            number("Machines__c", "Machines", scale=0, precision=5),
            FieldDef("Commissioned_On__c", "date", "Commissioned On"),
            flag("Under_Warranty__c", "Under Warranty"),
        ),
        model="Read",
    )
