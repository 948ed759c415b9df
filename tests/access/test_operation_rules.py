"""Rules of the policy about operations: who may run those that it names, and all others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from firnline.access.principal import Principal
from firnline.access.reach import (
    NO_RULES,
    UNLIMITED,
    OperationNotAllowedError,
    OperationRules,
    reach_of,
)
from firnline.spec.verbs import OperationPolicy

PERSON = Principal("acme", "kim@x.test")
HELPER = Principal("acme", "kim@x.test", agent="helper", purpose="forecast")


def rules(**limits: Mapping[str, Any] | None) -> dict[str, OperationPolicy]:
    """Return rules by operation; `others` stands for "*"."""
    return {
        "*" if name == "others" else name: OperationPolicy.model_validate({"only_for": limit})
        for name, limit in limits.items()
    }


NO_AGENT = {"agents": (), "people": True}
HELPERS = {"agents": ("helper",)}


@pytest.mark.parametrize(
    ("who", "names", "may"),
    [
        (PERSON, ("Named",), False),
        (PERSON, ("Named", "sha256:1"), False),
        (PERSON, ("Other",), True),
        (PERSON, (), True),
        (HELPER, ("Named",), True),
        (HELPER, ("Named", "sha256:1"), True),
        (HELPER, ("Named", "Barred"), False),
        (HELPER, ("Barred",), False),
        (HELPER, ("Other",), False),
        (HELPER, (), False),
    ],
)
def test_rule_of_the_name_counts_before_that_of_all_others(
    who: Principal, names: tuple[str, ...], may: bool
) -> None:
    found = reach_of(who, {}, rules(Named=HELPERS, Barred=NO_AGENT, others=NO_AGENT))
    if may:
        found.require_operation(*names)
    else:
        with pytest.raises(OperationNotAllowedError):
            found.require_operation(*names)


@pytest.mark.parametrize("who", [PERSON, HELPER])
def test_operations_that_no_rule_names_are_everybodys(who: Principal) -> None:
    found = reach_of(who, {}, rules(Named=NO_AGENT, Free=None))
    found.require_operation("Other")
    found.require_operation("Free")
    found.require_operation()


def test_person_whom_no_rule_concerns_is_unlimited() -> None:
    assert reach_of(PERSON, {}) is UNLIMITED
    assert reach_of(PERSON, {}, {}) is UNLIMITED
    assert OperationRules.of(PERSON, {}) == NO_RULES


def test_rules_hold_beside_the_limits_of_the_token() -> None:
    who = Principal(
        "acme", "kim@x.test", agent="helper", scopes=frozenset({"read", "operation:Named"})
    )
    ruled = rules(Named=HELPERS, others=NO_AGENT)
    reach_of(who, {}, ruled).require_operation("Named")
    with pytest.raises(OperationNotAllowedError):
        reach_of(who, {}, rules(Named=NO_AGENT)).require_operation("Named")
    with pytest.raises(OperationNotAllowedError):
        reach_of(who, {}, ruled).require_operation("Free")
