"""The oracle notices each rule that is broken: its structures reach every one of them.

FIRNLINE_TESTS=long takes as many structures as the rarest rule needs, and wants every rule noticed.
An ordinary run takes a few, and wants half of the rules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.database import InMemoryExampleDatabase
from tests.oracle import (
    netsuite_account,
    salesforce_org,
    test_netsuite,
    test_salesforce,
    zendesk_account,
)
from tests.oracle.mutants import Mutant, broken
from tests.oracle.mutants_netsuite import NETSUITE
from tests.oracle.mutants_salesforce import SALESFORCE
from tests.oracle.mutants_zendesk import ZENDESK
from tests.oracle.noticing import drawn, unnoticed
from tests.oracle.reloading import Oracle, Structure
from tests.oracle.runs import IS_LONG, PATIENCE

AT_MOST, AT_MOST_LONG = 30, 400


pytestmark = PATIENCE


@dataclass(frozen=True)
class Rules:
    """A provider's rules, and the structures that reach them."""

    mutants: Sequence[Mutant]
    structures: Any
    sandbox_of: Callable[[Any], Any]
    first: tuple[Structure, ...] = ()


def _netsuite_sandbox() -> Callable[[Any], Any]:
    sandbox: list[Any] = []

    def of(structure: Any) -> Any:
        if not sandbox:
            sandbox.append(netsuite_account.sandbox_of(structure))
        return netsuite_account.reseeded(sandbox[0], structure)

    return of


RULES = {
    "salesforce": Rules(
        SALESFORCE,
        salesforce_org.structures,
        salesforce_org.sandbox_of,
        first=(
            test_salesforce.CHAIN_OF_ROLES,
            test_salesforce.EVERY_FIELD,
            test_salesforce.HIERARCHIES_OFF,
            test_salesforce.HIERARCHIES_ON,
            test_salesforce.MUTED_GROUP,
            test_salesforce.ACCOUNT_SHARES,
        ),
    ),
    "zendesk": Rules(ZENDESK, zendesk_account.structures, zendesk_account.sandbox_of),
    "netsuite": Rules(
        NETSUITE,
        netsuite_account.structures,
        _netsuite_sandbox(),
        first=(test_netsuite.CHAIN_OF_COMMAND, test_netsuite.DEEP_DEPARTMENTS),
    ),
}


@pytest.mark.parametrize("provider", RULES)
def test_rule_that_is_broken_is_noticed(provider: str) -> None:
    rules = RULES[provider]
    at_most = AT_MOST_LONG if IS_LONG else AT_MOST
    structures = [*rules.first, *drawn(rules.structures, at_most=at_most)]

    taken = unnoticed(rules.sandbox_of, structures, rules.mutants)

    print(f"{provider}: structures until noticed: {taken}")  # shown with -s, and when it fails
    unseen = [rule for rule, number in taken.items() if number is None]
    assert len(unseen) <= (0 if IS_LONG else len(taken) // 2), unseen


def test_counterexample_shrinks_and_comes_first_the_next_time() -> None:
    """What a run finds is small enough to read, and is kept until it holds."""
    kept = InMemoryExampleDatabase()
    mutant = next(each for each in ZENDESK if each.rule == "admins see everything")
    witness = Oracle(zendesk_account.sandbox_of, zendesk_account.Structure())
    tried: list[zendesk_account.Structure] = []
    few = st.builds(
        zendesk_account.Structure, organizations=st.integers(1, 3), assets=st.integers(0, 2)
    )

    def run(*phases: Phase) -> None:
        @settings(
            max_examples=10,
            deadline=None,
            database=kept,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        )
        @given(structure=few)
        def compare(structure: zendesk_account.Structure) -> None:
            tried.append(structure)
            assert witness.differences(structure) == []

        compare()

    try:
        with broken("zendesk", mutant):
            with pytest.raises(AssertionError):
                run(Phase.generate, Phase.shrink)
            smallest = tried[-1]
            tried.clear()
            with pytest.raises(AssertionError):
                run(Phase.reuse)
            assert tried[0] == smallest
            assert smallest == zendesk_account.Structure()
        tried.clear()
        run(Phase.reuse)
        assert smallest in tried, "what once failed is looked at again"
    finally:
        witness.close()
