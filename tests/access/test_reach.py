"""How far agents and scopes let a principal reach: only ever less than without them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from firnline.access.principal import Principal
from firnline.access.reach import (
    NO_RULES,
    UNLIMITED,
    AgentRefusedError,
    Limit,
    OperationNotAllowedError,
    OperationRules,
    PurposeRefusedError,
    Reach,
    reach_of,
)
from firnline.spec.policy import OnlyFor
from firnline.spec.verbs import OperationPolicy


@dataclass(frozen=True)
class Agent:
    operations: tuple[str, ...] | None = None
    objects: tuple[str, ...] | None = None
    purposes: tuple[str, ...] | None = None
    read_only: bool = False


def who(*scopes: str, **facts: Any) -> Principal:
    return Principal("acme", "ana@acme.example", scopes=frozenset(scopes), **facts)


def may_read(reach: Reach, name: str = "Order") -> bool:
    return reach.denial(name) is None


def may_run(reach: Reach, *names: str) -> bool:
    try:
        reach.require_operation(*names)
    except OperationNotAllowedError:
        return False
    return True


@pytest.mark.parametrize(
    ("names", "admitted", "refused"),
    [
        (("Order",), ("Order",), ("Orders", "order", "", "Orde")),
        (("Sales*",), ("Sales", "SalesOrder"), ("Sale", "sales", "PreSales", "Sales"[:-1])),
        (("*",), ("Order", ""), ()),
        ((), (), ("Order", "")),
        (("Order", "Li*"), ("Order", "Line", "Li"), ("L", "Orders")),
    ],
)
def test_limit_admits_its_names_and_beginnings_alone(
    names: tuple[str, ...], admitted: tuple[str, ...], refused: tuple[str, ...]
) -> None:
    limit = Limit(names, "", "")
    assert all(limit.admits(name) for name in admitted)
    assert not any(limit.admits(name) for name in refused)


def test_object_must_be_admitted_by_every_limit() -> None:
    one, other = Limit(("A", "B"), "one", "scope"), Limit(("B", "C"), "other", "agents")
    reach = Reach((one, other))
    assert reach.denial("A") is other
    assert reach.denial("B") is None
    assert reach.denial("C") is one
    assert reach.denial("D") is one


def test_operation_must_be_admitted_by_every_limit_under_any_of_its_names() -> None:
    reach = Reach((), (Limit(("A", "B"), "one", "scope"), Limit(("id-a", "C"), "other", "agents")))
    assert may_run(reach, "A", "id-a")
    assert may_run(reach, "id-a", "A")
    assert not may_run(reach, "A")
    assert not may_run(reach, "C")
    with pytest.raises(OperationNotAllowedError, match="other") as caught:
        reach.require_operation("B")
    assert (caught.value.code, caught.value.status) == ("operation_not_allowed", 403)


def test_text_that_nobody_published_is_no_published_operation() -> None:
    published = Reach((), (Limit(("*",), "published only", "scope"),))
    assert may_run(published, "anything")
    assert not may_run(published)
    assert not may_run(published, "")
    assert may_run(published, "", "anything")
    assert may_run(UNLIMITED)


POLICY = {
    "forAll": OperationPolicy(),
    "forBot": OperationPolicy(only_for=OnlyFor(agents=("bot",))),
    "forSupport": OperationPolicy(only_for=OnlyFor(purposes=("support",))),
    "itself": OperationPolicy(only_for=OnlyFor(operations=("itself",))),
    "another": OperationPolicy(only_for=OnlyFor(operations=("itself",))),
}
OTHERS_BARRED = {**POLICY, "*": OperationPolicy(only_for=OnlyFor(agents=()))}


def test_rules_of_operations_sort_them_by_who_asks() -> None:
    rules = OperationRules.of(who(agent="bot", purpose="sales"), POLICY)
    assert rules.admitted == {"forAll", "forBot", "itself"}
    assert rules.barred == {"forSupport", "another"}
    assert rules.may_others
    support = OperationRules.of(who(agent="other", purpose="support"), OTHERS_BARRED)
    assert support.admitted == {"forAll", "forSupport", "itself"}
    assert support.barred == {"forBot", "another"}
    assert not support.may_others


def test_barred_name_wins_and_unnamed_operations_go_by_the_rule_for_others() -> None:
    open_, closed = (
        OperationRules(frozenset({"yes"}), frozenset({"no"}), may_others)
        for may_others in (True, False)
    )
    for rules in (open_, closed):
        assert rules.admit(["yes"])
        assert rules.admit(iter(["id", "yes"]))
        assert not rules.admit(["no"])
        assert not rules.admit(["yes", "no"])
    assert open_.admit(["id"])
    assert open_.admit([])
    assert not closed.admit(["id"])
    assert not closed.admit([])


def test_policy_bars_operations_that_no_limit_keeps_back() -> None:
    reach = reach_of(who(), {}, OTHERS_BARRED)
    assert may_run(reach, "forAll")
    assert not may_run(reach, "forBot")
    assert not may_run(reach)
    with pytest.raises(OperationNotAllowedError, match="other agents or purposes only"):
        reach.require_operation("forSupport")
    narrowed = reach_of(who("operation:forBot", "read", agent="bot"), {}, OTHERS_BARRED)
    assert may_run(narrowed, "forBot")
    assert not may_run(narrowed, "forAll"), "allowed by the policy, but not by the scope"


def test_person_without_agent_and_scopes_is_not_limited() -> None:
    assert reach_of(who(), {"bot": Agent(objects=())}) == UNLIMITED
    assert reach_of(who(), {}, {}) is UNLIMITED
    assert reach_of(who(), {}, {"*": OperationPolicy()}) is UNLIMITED
    assert Reach((), (), False, NO_RULES) == UNLIMITED


@pytest.mark.parametrize(
    ("scopes", "agent", "order", "line"),
    [
        (("read",), "", True, True),
        (("read", "read:Line"), "bot", True, True),
        (("read:Order",), "", True, False),
        (("read:Order",), "bot", True, False),
        (("read:Order", "read:Li*"), "", True, True),
        (("read:",), "", False, False),
        (("read:a:Order",), "", False, False),
        (("openid",), "", True, True),
        (("reading", "write"), "", True, True),
        (("openid",), "bot", False, False),
        (("reading:Order",), "bot", False, False),
        (("write",), "bot", False, False),
        ((), "bot", True, True),
    ],
)
def test_scope_names_what_may_be_read(
    scopes: tuple[str, ...], agent: str, order: bool, line: bool
) -> None:
    reach = reach_of(who(*scopes, agent=agent), {})
    assert (may_read(reach), may_read(reach, "Line")) == (order, line)
    assert all(each.source == "scope" and each.reason for each in reach.objects)


@pytest.mark.parametrize(
    ("scopes", "is_read_only"),
    [
        (("read",), True),
        (("read:Order",), True),
        (("read", "write"), False),
        (("write",), False),
        (("openid",), False),
        (("operations",), False),
    ],
)
def test_scope_of_reading_alone_writes_nothing(scopes: tuple[str, ...], is_read_only: bool) -> None:
    assert reach_of(who(*scopes), {}).is_read_only is is_read_only


@pytest.mark.parametrize(
    ("scopes", "allowed", "refused"),
    [
        (("operation:A",), (("A",), ("id", "A")), ((), ("B",), ("operation:A",))),
        (("operation:A", "operation:B"), (("A",), ("B",)), ((), ("C",))),
        (("operation:A", "operations"), (("A",),), ((), ("B",))),
        (("operation:A*",), (("A",), ("Ab",)), ((), ("B",))),
        (("operations",), (("A",),), ((), ("",))),
        (("read",), ((), ("A",)), ()),
    ],
)
def test_scope_names_what_may_be_run(scopes: tuple[str, ...], allowed: Any, refused: Any) -> None:
    reach = reach_of(who(*scopes), {})
    assert all(may_run(reach, *names) for names in allowed)
    assert not any(may_run(reach, *names) for names in refused)
    assert all(each.source == "scope" and each.reason for each in reach.operations)


def test_agent_that_is_not_declared_is_refused_where_any_is() -> None:
    with pytest.raises(AgentRefusedError, match="'bot'") as caught:
        reach_of(who(agent="bot"), {"other": Agent()})
    assert (caught.value.code, caught.value.status) == ("agent_refused", 403)
    assert reach_of(who(agent="bot"), {}) == Reach()
    assert reach_of(who("read"), {"other": Agent(objects=())}).objects == ()


@pytest.mark.parametrize(
    ("purposes", "purpose", "is_allowed"),
    [
        (None, "", True),
        (None, "sales", True),
        (("support",), "support", True),
        (("support",), "sales", False),
        (("support",), "", False),
        ((), "support", False),
    ],
)
def test_agent_reads_for_its_purposes_alone(
    purposes: tuple[str, ...] | None, purpose: str, is_allowed: bool
) -> None:
    def reach() -> Reach:
        return reach_of(who(agent="bot", purpose=purpose), {"bot": Agent(purposes=purposes)})

    if is_allowed:
        assert reach() == Reach()
        return
    with pytest.raises(PurposeRefusedError) as caught:
        reach()
    assert (caught.value.code, caught.value.status) == ("purpose_refused", 403)
    assert "the agent 'bot' may not read" in str(caught.value)
    assert ("without a stated purpose" in str(caught.value)) is (purpose == "")
    assert (repr(purpose) in str(caught.value)) is (purpose != "")


def test_agent_is_limited_to_its_objects_and_operations() -> None:
    declared = {"bot": Agent(operations=("A",), objects=("Order",), read_only=True)}
    reach = reach_of(who(agent="bot"), declared)
    assert may_read(reach)
    denial = reach.denial("Line")
    assert denial == Limit(("Order",), "agent bot may not read it", "agents")
    assert may_run(reach, "A")
    assert not may_run(reach)
    limited = "agent bot is limited to certain published operations"
    assert reach.operations == (Limit(("A",), limited, "agents"),)
    assert reach.is_read_only
    nothing = reach_of(who(agent="bot"), {"bot": Agent(operations=(), objects=())})
    assert not may_read(nothing)
    assert not may_run(nothing, "A")
    assert not nothing.is_read_only


def test_agents_scope_and_declaration_both_hold() -> None:
    declared = {"bot": Agent(operations=("A", "B"), objects=("Order", "Line"))}
    reach = reach_of(who("read:Order", "read:User", "operation:A", agent="bot"), declared)
    assert may_read(reach, "Order")
    assert not may_read(reach, "Line")
    assert not may_read(reach, "User")
    assert may_run(reach, "A")
    assert not may_run(reach, "B")
    assert reach.is_read_only
    assert reach_of(who("read", "write", agent="bot"), {"bot": Agent(read_only=True)}).is_read_only
    assert not reach_of(who("read", "write", agent="bot"), {"bot": Agent()}).is_read_only


def test_rules_of_the_policy_hold_beside_every_other_limit() -> None:
    for principal in (who(agent="bot"), who("read"), who()):
        reach = reach_of(principal, {}, {"x": OperationPolicy(only_for=OnlyFor(agents=("z",)))})
        assert reach.rules.barred == {"x"}
        assert not may_run(reach, "x")
