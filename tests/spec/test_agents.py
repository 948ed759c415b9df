"""What the integration and a tenant together allow an agent, and what `check` says of it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.spec.conftest import Copy, listed

from firnline.spec.agents import AgentSpec, covers, narrowed_agent


def agent(**limits: Any) -> AgentSpec:
    return AgentSpec(**limits)


def test_agent_may_do_what_both_sides_allow() -> None:
    outer = agent(operations=("A", "B"), objects=("Account", "Crm_*"), purposes=("sales", "care"))
    inner = agent(operations=("B", "C"), objects=("Account", "Crm_lead", "Desk_x"), readOnly=True)
    both = narrowed_agent(outer, inner)
    assert both.operations == ("B",)
    assert both.objects == ("Account", "Crm_lead")
    assert both.purposes == ("sales", "care")
    assert both.read_only


def test_side_that_says_nothing_leaves_it_to_the_other() -> None:
    assert narrowed_agent(agent(), agent(objects=())).objects == ()
    assert narrowed_agent(agent(operations=("A",)), agent()).operations == ("A",)
    assert narrowed_agent(agent(), agent()).objects is None


@pytest.mark.parametrize(
    ("pattern", "name", "is_covered"),
    [
        ("Account", "Account", True),
        ("Account", "AccountPlan", False),
        ("*", "Account", True),
        ("Crm_*", "Crm_lead", True),
        ("Crm_*", "Crm_le*", True),
        ("Crm_le*", "Crm_*", False),
        ("Crm_*", "*", False),
        ("Crm_lead", "Crm_*", False),
    ],
)
def test_pattern_covers_all_that_begin_alike(pattern: str, name: str, is_covered: bool) -> None:
    assert covers(pattern, name) is is_covered


AGENTS = """
agents:
  renewals: {objects: [Account, Deal, "Salesforce_*"], purposes: [renewal], readOnly: true}
  support: {operations: [OpenTickets]}
"""


@pytest.fixture
def declared(copy: Copy) -> Copy:
    """The demo project with two agents."""
    copy.append("firnline.yaml", AGENTS)
    return copy


def test_agents_and_links_of_people_are_loaded(declared: Copy) -> None:
    declared.append("tenants/acme.yaml", "\nagents: {renewals: {objects: [Account]}}\n")
    project = declared.load()
    assert project.integration.agents["renewals"].objects == ("Account", "Deal", "Salesforce_*")
    assert project.tenants["acme"].agents["renewals"].objects == ("Account",)


@pytest.mark.parametrize(
    ("tenant", "code", "says"),
    [
        ("agents: {other: {}}", "override_widens", "'other'"),
        ("agents: {renewals: {objects: [Ticket]}}", "override_widens", "'Ticket'"),
        ('agents: {renewals: {objects: ["*"]}}', "override_widens", "'*'"),
        ("agents: {renewals: {purposes: [spam]}}", "override_widens", "'spam'"),
        ("agents: {support: {operations: [Everything]}}", "override_widens", "'Everything'"),
        ("agents: {support: {objects: [Acount]}}", "unknown_object", "'Account'"),
        ("people: {ana@x.example: {nowhere: U1}}", "unknown_connection", "nowhere"),
        (
            "people: {ana@x.example: {CONNECTION: U1}, bo@x.example: {CONNECTION: U1}}",
            "user_linked_twice",
            "ana@x.example",
        ),
    ],
)
def test_mistake_is_reported_once(declared: Copy, tenant: str, code: str, says: str) -> None:
    first = next(iter(declared.load().tenants["acme"].connections))
    declared.append("tenants/acme.yaml", f"\n{tenant.replace('CONNECTION', first)}\n")
    found = declared.problems()
    assert [problem.code for problem in found] == [code], listed(found)
    assert says in f"{found[0].message} | {found[0].hint}"
