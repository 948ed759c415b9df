"""Draws a `Company` from a tenant's style, a seed and a scale."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from firnline.errors import UsageError
from firnline.sandbox import books, dealings, ledger, support
from firnline.sandbox.books import Setting
from firnline.sandbox.draws import stream
from firnline.sandbox.staff import GROUNDS, Staff, ground, staff
from firnline.sandbox.world import Company

SCALE_MAX = 20.0

# How each demo tenant built its systems. Sandboxes read these by key; a missing key means the
# vendor's plain standard field.
STYLES: Mapping[str, Mapping[str, str]] = {
    "acme": {
        # Salesforce: mostly standard, one custom tier field; meetings are Events.
        "crm.segment": "Customer_Tier__c",  # picklist: Tier 1 / Tier 2 / Tier 3
        "crm.segment.values": "Tier 1,Tier 2,Tier 3",  # enterprise, mid_market, small_business
        "crm.stage": "StageName",
        "crm.stage.values": (
            "Prospecting,Qualification,Proposal/Price Quote,Negotiation/Review,"
            "Closed Won,Closed Lost"
        ),
        "crm.deal_type": "Type",
        "crm.deal_type.values": "New Business,Expansion,Renewal",
        "crm.meeting": "Event",  # with Meeting_Type__c
        "crm.meeting.type": "Meeting_Type__c",
        "crm.meeting.type.values": "QBR,Demo,Call,Onsite",  # QBR, demo, call, onsite
        # Zendesk: the system priority; organizations carry the CRM id as external_id.
        "helpdesk.priority": "priority",
        "helpdesk.account_link": "external_id",
        # NetSuite: the customer carries the CRM id in a custom entity field.
        "erp.account_link": "custentity_crm_account_id",
        "erp.account_number": "1234567",
    },
    "globex": {
        # Salesforce: the standard StageName is unused noise; the real phase is custom.
        "crm.segment": "Segmentation__c",
        "crm.segment.values": "Global Key,Regional,Long Tail",
        "crm.stage": "Sales_Phase__c",
        "crm.stage.values": "0-Lead,1-Qualify,2-Offer,3-Negotiate,6-Signed,9-Dead",
        "crm.deal_type": "Deal_Category__c",
        "crm.deal_type.values": "Neukunde,Ausbau,Vertragsverlängerung",
        "crm.meeting": "Customer_Meeting__c",  # custom object, Account__c is master-detail
        "crm.meeting.type": "Kind__c",
        "crm.meeting.type.values": "Quarterly Business Review,Demo,Call,Visit",
        # Zendesk: priority lives in tags (prio_urgent ...); organizations have a custom field.
        "helpdesk.priority": "tags",
        "helpdesk.account_link": "organization_fields.crm_account_id",
        "helpdesk.custom_object": "product_asset",  # what an organization has in use
        # NetSuite: the customer's external id is the CRM id.
        "erp.account_link": "externalid",
        "erp.account_number": "7654321_SB1",
    },
}


class ScaleError(UsageError):
    """A sandbox world was asked for in a size that cannot be built."""

    code = "sandbox_scale"

    def __init__(self, scale: float) -> None:
        super().__init__(
            f"a sandbox scale of {scale:g} is not possible",
            hint=f"Choose a scale above 0 and up to {SCALE_MAX:g}; 1 has about 2,000 accounts.",
        )


def style(tenant: str) -> Mapping[str, str]:
    """Return how the tenant built its systems; one without a style gets a mixture of the known.

    Each system is taken whole from one known tenant, because its keys belong together.
    """
    if tenant in STYLES:
        return STYLES[tenant]
    rng = stream(tenant, 0, "style")
    mixed: dict[str, str] = {}
    for system in ("crm.", "helpdesk.", "erp."):
        origin = STYLES[rng.choice(sorted(STYLES))]
        mixed |= {key: value for key, value in origin.items() if key.startswith(system)}
    mixed["erp.account_number"] = str(rng.randrange(1_000_000, 10_000_000))
    return mixed


def _staff(tenant: str) -> Staff:
    # People do not depend on the world's seed: sign-ins and tests name them.
    choice = stream(tenant, 0, "ground").randrange(len(GROUNDS))
    return staff(tenant, ground(tenant, choice), stream(tenant, 0, "staff"))


def company(tenant: str, *, seed: int = 7, scale: float = 1.0, now: datetime) -> Company:
    """Return the tenant's world: the same for the same arguments on every machine.

    At scale 1 it holds about 2,000 accounts, 8,000 deals, 40,000 tickets and 10,000 invoices. `now`
    must be aware; nothing was created or updated after it. Raises ScaleError.
    """
    if not 0 < scale <= SCALE_MAX:
        raise ScaleError(scale)
    now = now.astimezone(UTC).replace(microsecond=0)
    choice = stream(tenant, 0, "ground").randrange(len(GROUNDS))
    setting = Setting(tenant, seed, scale, now, ground(tenant, choice), _staff(tenant))
    customers = books.customers(setting)
    contacts = books.contacts(setting, customers)
    deals = dealings.deals(setting, customers)
    return Company(
        tenant=tenant,
        name=setting.ground.company_name,
        seed=seed,
        now=now,
        style=style(tenant),
        people=setting.staff.people,
        groups=setting.ground.groups,
        subsidiaries=tuple(region.subsidiary for region in setting.ground.regions),
        accounts=tuple(customer.account for customer in customers),
        contacts=tuple(contacts),
        deals=tuple(deals),
        meetings=tuple(dealings.meetings(setting, customers)),
        tickets=tuple(support.tickets(setting, customers, contacts)),
        invoices=tuple(ledger.invoices(setting, customers)),
        shares=tuple(dealings.shares(setting, deals)),
    )


def demo_people(tenant: str) -> Mapping[str, str]:
    """Return the emails of the people that demonstrations ask as, by what they are."""
    return {
        chair: person.email
        for chair, person in _staff(tenant).by_chair.items()
        if chair in ("integration", "vp", "rep", "manager", "contractor", "controller")
    }


# A rep and the rep's manager, and a few others, for each demo tenant.
DEMO_PEOPLE: Mapping[str, Mapping[str, str]] = {tenant: demo_people(tenant) for tenant in STYLES}
