"""Draws a `Company` from a tenant's style, a seed and a scale."""

from __future__ import annotations

from collections.abc import Mapping

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
        # NetSuite: the customer's external id is the CRM id.
        "erp.account_link": "externalid",
        "erp.account_number": "7654321_SB1",
    },
}
