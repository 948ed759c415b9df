"""Answers the demo question from a `Company` in plain Python, for people and for everyone."""

from __future__ import annotations

from datetime import date, timedelta

from firnline.sandbox.world import Company, Deal

_CLOSED = ("won", "lost")


def quarter_end(today: date) -> date:
    """Return the last day of today's quarter."""
    year, month = divmod(today.year * 12 + 3 * ((today.month - 1) // 3) + 3, 12)
    return date(year, month + 1, 1) - timedelta(days=1)


def _below(company: Company, email: str) -> set[str]:
    """Return the emails of a person and everyone below them."""
    found = {email}
    while True:
        more = {one.email for one in company.people if one.manager in found} | found
        if more == found:
            return found
        found = more


def _visible_deals(company: Company, email: str) -> set[int]:
    owners = _below(company, email)
    shared = {place for place, who in company.shares if who in owners}
    return {
        place
        for place, deal in enumerate(company.deals)
        if deal.owner in owners or company.accounts[deal.account].owner in owners or place in shared
    }


def _ticket_counts(company: Company, email: str | None) -> dict[int, int]:
    groups = None
    if email and company.person[email].helpdesk == "group_agent":
        groups = company.person[email].groups
    counts: dict[int, int] = {}
    for ticket in company.tickets:
        if groups is None or ticket.group in groups:
            counts[ticket.account] = counts.get(ticket.account, 0) + 1
    return counts


def renewals_at_risk(company: Company, email: str | None = None) -> list[Deal]:
    """Return open renewals closing by quarter's end at accounts with more than ten tickets whose
    last QBR was more than ninety days ago, as far as the person may see them."""
    counts = _ticket_counts(company, email)
    last_review: dict[int, object] = {}
    for meeting in sorted(company.meetings, key=lambda one: one.started_at):
        if meeting.type == "QBR":
            last_review[meeting.account] = meeting.started_at
    stale = {
        account
        for account, at in last_review.items()
        if at < company.now - timedelta(days=90)  # type: ignore[operator]
    }
    visible = _visible_deals(company, email) if email else set(range(len(company.deals)))
    end = quarter_end(company.now.date())
    return [
        deal
        for place, deal in enumerate(company.deals)
        if place in visible
        and deal.type == "renewal"
        and deal.stage not in _CLOSED
        and deal.close_date <= end
        and counts.get(deal.account, 0) > 10
        and deal.account in stale
    ]
