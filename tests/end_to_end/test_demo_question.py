"""The demo question's answer equals one worked out by hand from what each person may see."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.end_to_end.conftest import NOW, PROJECT, TENANTS, Synced
from tests.end_to_end.test_oracle import EVERYONE, asked_directly

from firnline.access.principal import Principal
from firnline.sandbox.seed import DEMO_PEOPLE, STYLES

QUESTION = (PROJECT / "operations" / "renewals_at_risk.graphql").read_text("utf-8")
QUARTER_END = NOW.date() + timedelta(days=130)
SEGMENTS = ("enterprise", "mid_market", "small_business")
STAGES = ("prospecting", "qualification", "proposal", "negotiation", "won", "lost")
Rows = Mapping[str, Mapping[str, Any]]


@pytest.mark.parametrize(("tenant", "email"), EVERYONE)
@pytest.mark.asyncio(loop_scope="session")
async def test_demo_question_equals_brute_force_for_every_person(
    synced: Synced, tenant: str, email: str
) -> None:
    """Computed in plain Python from what the providers show that person."""
    seen = {
        provider: await asked_directly(synced, tenant, provider, email)
        for provider in ("salesforce", "zendesk", "netsuite")
    }
    answer = await synced.app.ask(
        Principal(tenant=tenant, email=email),
        QUESTION,
        variables={"quarterEnd": QUARTER_END.isoformat()},
    )

    refused = refusal(tenant, seen)
    if refused:
        assert answer.errors, "something unreadable took part in the filter or the order"
        assert answer.errors[0]["extensions"]["code"] == refused
        return
    assert not answer.errors, answer.errors
    assert answer.data is not None
    assert answer.data["deals"]["nodes"] == by_hand(tenant, seen)


@pytest.mark.parametrize(("tenant", "email"), EVERYONE)
@pytest.mark.asyncio(loop_scope="session")
async def test_demo_question_asked_again_is_answered_from_memory(
    synced: Synced, tenant: str, email: str
) -> None:
    """The first answer is DuckDB's, while columns are loaded; later ones send no statement."""
    principal = Principal(tenant=tenant, email=email)
    variables = {"quarterEnd": QUARTER_END.isoformat()}
    first = await synced.app.ask(principal, QUESTION, variables=variables)
    await synced.app.responder.loading.idle()
    again = await synced.app.ask(principal, QUESTION, variables=variables)

    assert (again.data, again.errors) == (first.data, first.errors)
    if not first.errors:
        assert not again.statements


@pytest.mark.asyncio(loop_scope="session")
async def test_demo_question_has_something_to_tell_apart(synced: Synced) -> None:
    """Guards the test above: answers exist and differ between the rep and her manager."""
    for tenant in TENANTS:
        names = []
        for role in ("rep", "manager"):
            seen = {
                provider: await asked_directly(synced, tenant, provider, DEMO_PEOPLE[tenant][role])
                for provider in ("salesforce", "zendesk", "netsuite")
            }
            names.append([deal["name"] for deal in by_hand(tenant, seen)])
        assert names[0], "the rep sees nothing"
        assert set(names[0]) < set(names[1])


def refusal(tenant: str, seen: Mapping[str, Mapping[str, Rows]]) -> str:
    """Return the error code that the person must get, empty when they may ask all of it."""
    crm, desk = seen["salesforce"], seen["zendesk"]
    if not {"Account", "Opportunity", STYLES[tenant]["crm.meeting"]} <= crm.keys():
        return "object_not_readable"
    if not {"tickets", "organizations"} <= desk.keys():
        return "object_not_readable"
    if any("Amount" not in deal for deal in crm["Opportunity"].values()):
        return "field_not_readable"
    return ""


def by_hand(tenant: str, seen: Mapping[str, Mapping[str, Rows]]) -> list[dict[str, Any]]:
    """Answer the question with loops and dictionaries."""
    style = STYLES[tenant]
    crm, desk, erp = seen["salesforce"], seen["zendesk"], seen["netsuite"]
    stages = dict(zip(style["crm.stage.values"].split(","), STAGES, strict=True))
    renewal = style["crm.deal_type.values"].split(",")[2]
    tickets = tickets_by_account(style, desk)
    reviewed = last_review(style, crm)
    invoices = overdue_by_account(style, erp)
    found = []
    for deal in crm["Opportunity"].values():
        stage = stages[deal[style["crm.stage"]]]
        account = crm["Account"].get(deal["AccountId"] or "")
        if deal[style["crm.deal_type"]] != renewal or stage in ("won", "lost"):
            continue
        if account is None or date.fromisoformat(deal["CloseDate"]) > QUARTER_END:
            continue
        stale = reviewed.get(account["Id"])
        if len(tickets.get(account["Id"], [])) <= 10 or stale is None:
            continue
        if stale < NOW - timedelta(days=90):
            found.append((deal, stage, account))
    found.sort(key=lambda each: each[0]["Id"])
    found.sort(key=lambda each: Decimal(str(each[0]["Amount"])), reverse=True)
    segments = dict(zip(style["crm.segment.values"].split(","), SEGMENTS, strict=True))
    return [
        {
            "name": deal["Name"],
            "stage": stage,
            "amount": f"{Decimal(str(deal['Amount'])):.2f}",
            "closeDate": deal["CloseDate"],
            "account": {
                "name": account["Name"],
                "segment": segments[account[style["crm.segment"]]],
                "owner": {"name": crm["User"][account["OwnerId"]]["Name"]},
                "tickets": {"nodes": newest_open(style, tickets[account["Id"]])},
                "invoices": {"aggregate": invoices.get(account["Id"], nothing_due())},
            },
        }
        for deal, stage, account in found[:20]
    ]


def tickets_by_account(style: Mapping[str, str], desk: Mapping[str, Rows]) -> dict[str, list[Any]]:
    link = style["helpdesk.account_link"].replace(".", "_")
    found: dict[str, list[Any]] = {}
    for ticket in desk["tickets"].values():
        organization = desk["organizations"].get(str(ticket["organization_id"]))
        if organization is not None and organization.get(link):
            found.setdefault(organization[link], []).append(ticket)
    return found


def newest_open(style: Mapping[str, str], tickets: list[Any]) -> list[dict[str, Any]]:
    kept = [ticket for ticket in tickets if ticket["status"] == "open"]
    kept.sort(key=lambda ticket: str(ticket["id"]))
    kept.sort(key=lambda ticket: ticket["created_at"], reverse=True)
    return [
        {"subject": ticket["subject"], "priority": priority_of(style, ticket)}
        for ticket in kept[:5]
    ]


def priority_of(style: Mapping[str, str], ticket: Mapping[str, Any]) -> str | None:
    if style["helpdesk.priority"] == "priority":
        return ticket["priority"]
    for word in ("urgent", "high", "normal", "low"):
        if f"prio_{word}" in ticket["tags"]:
            return word
    return None


def last_review(style: Mapping[str, str], crm: Mapping[str, Rows]) -> dict[str, datetime]:
    custom = style["crm.meeting"] != "Event"
    account, started = ("Account__c", "Held_On__c") if custom else ("AccountId", "StartDateTime")
    review = style["crm.meeting.type.values"].split(",")[0]
    found: dict[str, datetime] = {}
    for meeting in crm[style["crm.meeting"]].values():
        if meeting[style["crm.meeting.type"]] == review and meeting[account]:
            at = datetime.fromisoformat(meeting[started].replace("+0000", "+00:00"))
            at = at.astimezone(UTC)
            found[meeting[account]] = max(found.get(meeting[account], at), at)
    return found


def overdue_by_account(style: Mapping[str, str], erp: Mapping[str, Rows]) -> dict[str, Any]:
    sums: dict[str, list[Decimal]] = {}
    for invoice in erp.get("invoice", {}).values():
        customer = erp["customer"].get(str(invoice["entity"]))
        if invoice["status"] != "A" or date.fromisoformat(invoice["duedate"]) >= NOW.date():
            continue
        if customer is not None and customer.get(style["erp.account_link"]):
            link = customer[style["erp.account_link"]]
            sums.setdefault(link, []).append(Decimal(invoice["foreigntotal"]))
    return {
        link: {"count": len(totals), "sum": {"total": f"{sum(totals):.2f}"}}
        for link, totals in sums.items()
    }


def nothing_due() -> dict[str, Any]:
    return {"count": 0, "sum": {"total": None}}
