"""The seeded world: the same everywhere, plausible, and with an answer to the demo question."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from tests.sandbox.demo_question import renewals_at_risk

from firnline.sandbox.books import crm_id
from firnline.sandbox.draws import allot
from firnline.sandbox.seed import DEMO_PEOPLE, STYLES, ScaleError, company, style
from firnline.sandbox.world import Company

NOW = datetime(2026, 11, 22, 16, 0, tzinfo=UTC)
TENANTS = ("acme", "globex", "initech")


@pytest.fixture(scope="module", params=TENANTS)
def world(request: pytest.FixtureRequest) -> Company:
    return company(request.param, scale=0.1, now=NOW)


def digest(built: Company) -> str:
    parts = (built.people, built.accounts, built.contacts, built.deals, built.meetings)
    text = repr((parts, built.tickets, built.invoices, built.shares, sorted(built.style.items())))
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("tenant", TENANTS)
@pytest.mark.parametrize("hash_seed", ["0", "4711"])
def test_world_is_the_same_in_another_process(tenant: str, hash_seed: str) -> None:
    program = (
        "from datetime import UTC, datetime\n"
        "from firnline.sandbox.seed import company\n"
        "from tests.sandbox.test_seed import digest\n"
        "now = datetime(2026, 11, 22, 16, tzinfo=UTC)\n"
        f"print(digest(company({tenant!r}, scale=0.03, now=now)))"
    )
    told = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == digest(company(tenant, scale=0.03, now=NOW))


def test_world_differs_by_seed_and_by_tenant() -> None:
    digests = {digest(company(tenant, scale=0.02, now=NOW)) for tenant in TENANTS}
    digests |= {digest(company("acme", seed=8, scale=0.02, now=NOW))}
    assert len(digests) == 4


def test_world_at_scale_one_has_the_promised_size_and_is_built_quickly() -> None:
    started = time.process_time()
    built = company("acme", now=NOW)
    took_s = time.process_time() - started

    assert len(built.accounts) == 2_000
    assert len(built.contacts) == 4_000
    assert len(built.deals) == 8_000
    assert len(built.meetings) == 6_000
    assert len(built.tickets) == 40_000
    assert len(built.invoices) == 10_000
    assert took_s < 2


@pytest.mark.parametrize("scale", [0.01, 0.05, 0.3])
def test_sizes_follow_the_scale(scale: float) -> None:
    built = company("globex", scale=scale, now=NOW)
    assert len(built.accounts) == round(2_000 * scale)
    assert len(built.tickets) == round(40_000 * scale)
    assert len(built.deals) == round(8_000 * scale)


@pytest.mark.parametrize("scale", [0, -1, 1_000, float("nan")])
def test_impossible_scale_is_refused_with_a_hint(scale: float) -> None:
    with pytest.raises(ScaleError) as caught:
        company("acme", scale=scale, now=NOW)
    assert caught.value.hint


def test_stamps_are_ordered_and_never_after_now(world: Company) -> None:
    kinds = (
        world.accounts,
        world.contacts,
        world.deals,
        world.meetings,
        world.tickets,
        world.invoices,
    )
    for records in kinds:
        assert [record.number for record in records] == list(range(1, len(records) + 1))
        for record in records:
            assert record.created_at <= record.updated_at <= NOW, record
            assert record.created_at.utcoffset() == timedelta(0)


def test_children_are_not_older_than_their_account(world: Company) -> None:
    for record in (*world.contacts, *world.deals, *world.tickets, *world.invoices):
        assert record.created_at >= world.accounts[record.account].created_at


def test_many_records_share_a_modification_stamp(world: Company) -> None:
    for records in (world.accounts, world.deals, world.tickets, world.invoices):
        most = Counter(record.updated_at for record in records).most_common(1)[0][1]
        assert most >= 5


def test_references_lead_to_records_that_exist(world: Company) -> None:
    people = world.person
    for account in world.accounts:
        assert people[account.owner].crm
        assert account.subsidiary in world.subsidiaries
    for deal in world.deals:
        assert people[deal.owner].crm
    for ticket in world.tickets:
        assert world.contacts[ticket.contact].account == ticket.account
        assert world.accounts[ticket.account].in_helpdesk
        assert ticket.group in world.groups
        if ticket.assignee:
            assert ticket.group in people[ticket.assignee].groups
            assert people[ticket.assignee].helpdesk not in (None, "end_user")
    for invoice in world.invoices:
        assert world.accounts[invoice.account].in_erp
        assert invoice.subsidiary == world.accounts[invoice.account].subsidiary
    for place, email in world.shares:
        assert world.deals[place].owner != email
        assert people[email].active


def test_names_keys_and_addresses_are_distinct(world: Company) -> None:
    for values in (
        [account.name for account in world.accounts],
        [account.domain for account in world.accounts],
        [account.crm_id for account in world.accounts],
        [contact.email for contact in world.contacts],
        [invoice.reference for invoice in world.invoices],
        [person.email for person in world.people],
        [person.name for person in world.people],
    ):
        assert len(set(values)) == len(values)
    assert all(domain.isascii() for domain in (account.domain for account in world.accounts))
    assert not all(account.name.isascii() for account in world.accounts)


def test_crm_id_carries_the_vendors_checksum() -> None:
    # The 15-character form and its checksum as the vendor's documentation shows them.
    assert crm_id("001", 0) == "001000000000000AAA"
    assert len(crm_id("001Ak", 710_000_037)) == 18


def test_invoices_add_up(world: Company) -> None:
    for invoice in world.invoices:
        assert invoice.total > 0
        assert invoice.due >= invoice.issued
        if invoice.status == "open":
            assert 0 < invoice.balance <= invoice.total
        else:
            assert invoice.balance == 0
    assert {invoice.status for invoice in world.invoices} == {"open", "paid", "void"}
    assert any(i.status == "open" and i.due < NOW.date() for i in world.invoices)


def test_renewals_spread_around_now_and_past_ones_are_mostly_decided(world: Company) -> None:
    renewals = [deal for deal in world.deals if deal.type == "renewal"]
    days = [(deal.close_date - NOW.date()).days for deal in renewals]
    assert min(days) < -150
    assert max(days) > 240
    past = [deal for deal in renewals if deal.close_date < NOW.date()]
    assert sum(deal.stage in ("won", "lost") for deal in past) > 0.8 * len(past)


def test_tickets_have_a_long_tail(world: Company) -> None:
    counts = sorted(Counter(ticket.account for ticket in world.tickets).values(), reverse=True)
    over_ten = sum(count > 10 for count in counts)
    assert 0.2 * len(world.accounts) < over_ten < 0.7 * len(world.accounts)
    assert sum(counts[: len(counts) // 10]) > 0.3 * len(world.tickets)


def test_people_have_a_hierarchy_and_every_kind_of_right(world: Company) -> None:
    admins = [p for p in world.people if p.crm == p.helpdesk == p.erp == "admin"]
    assert world.people[0] is admins[0]
    assert {p.crm for p in world.people} >= {"admin", "executive", "manager", "rep", "contractor"}
    assert {p.helpdesk for p in world.people} >= {
        "admin",
        "agent",
        "group_agent",
        "assigned_agent",
        "end_user",
    }
    assert {p.erp for p in world.people} >= {"controller", "receivables", "subsidiary_sales"}
    assert any(not p.active for p in world.people)
    assert any((p.crm, p.helpdesk).count(None) == 2 and p.erp for p in world.people)
    for person in world.people:
        assert person.manager is None or person.manager in world.person
        assert set(person.groups) <= set(world.groups)
        assert bool(person.subsidiaries) == (person.erp == "subsidiary_sales")


@pytest.mark.parametrize("scale", [0.05, 0.1, 1.0])
@pytest.mark.parametrize("tenant", sorted(DEMO_PEOPLE))
def test_demo_question_has_an_answer_that_differs_by_person(tenant: str, scale: float) -> None:
    built = company(tenant, scale=scale, now=NOW)
    everyone = len(renewals_at_risk(built))
    rep = {deal.number for deal in renewals_at_risk(built, DEMO_PEOPLE[tenant]["rep"])}
    manager = {deal.number for deal in renewals_at_risk(built, DEMO_PEOPLE[tenant]["manager"])}

    assert 5 <= everyone <= 60
    assert rep
    assert rep < manager
    assert len(manager) <= everyone


@pytest.mark.parametrize(
    "day", [datetime(2026, 12, 31, 23, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)]
)
def test_demo_question_has_an_answer_at_the_edges_of_a_quarter(day: datetime) -> None:
    built = company("acme", scale=0.05, now=day)
    assert renewals_at_risk(built, DEMO_PEOPLE["acme"]["rep"])


def test_demo_rep_reports_to_the_demo_manager() -> None:
    for tenant, people in DEMO_PEOPLE.items():
        person = company(tenant, scale=0.01, now=NOW).person
        assert person[people["rep"]].manager == people["manager"]
        assert person[people["rep"]].helpdesk
        assert person[people["rep"]].erp


def test_unknown_tenant_gets_a_whole_style_of_its_own() -> None:
    derived = style("initech")
    assert set(derived) >= set.intersection(*(set(known) for known in STYLES.values()))
    assert derived["erp.account_number"] not in {
        known["erp.account_number"] for known in STYLES.values()
    }
    crm = {key: value for key, value in derived.items() if key.startswith("crm.")}
    assert any(crm.items() <= known.items() for known in STYLES.values())


def test_allot_gives_exactly_the_total_and_respects_the_least() -> None:
    assert allot([1, 1, 1], 10) == [4, 3, 3]
    assert sum(allot([0.1, 5, 2.2, 0], 997, [3, 0, 0, 1])) == 997
    assert allot([0, 1], 5, [2, 0]) == [2, 3]
