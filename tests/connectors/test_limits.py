"""Declared limits: what providers allow can be said, and a tenant's plan changes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import ValidationError

from firnline.connectors.limits import DAY_S, Limits, LimitsOverride, RateLimit

# As the providers document them; their connectors will say the same.
SHAPES: Mapping[str, dict[str, Any]] = {
    "hubspot": {
        "concurrency_max": 10,
        "rates": [
            {"name": "ten_secondly", "calls": 110, "per_s": 10},
            {"name": "search", "calls": 5, "per_s": 1, "applies_to": ["POST /crm/*/search"]},
        ],
        "daily": {"calls": 250000, "resets": "00:00 America/New_York"},
    },
    "dynamics": {
        "concurrency_max": 52,
        "concurrency_per": "user",
        "rates": [
            {"name": "requests", "calls": 6000, "per_s": 300, "per": "user"},
            {
                "name": "execution",
                "calls": 1200,
                "per_s": 300,
                "per": "user",
                "unit": "seconds",
            },
        ],
    },
    "marketo": {
        "concurrency_max": 10,
        "rates": [{"name": "rate", "calls": 100, "per_s": 20}],
        "daily": {"calls": 50000, "resets": "00:00 America/Chicago"},
    },
    "gong": {
        "rates": [{"name": "rate", "calls": 3, "per_s": 1}],
        "daily": {"calls": 10000},
    },
    "sage": {
        "concurrency_max": 6,
        "rates": [
            {"name": "minute", "calls": 1000, "per_s": 60},
            {"name": "hour", "calls": 30000, "per_s": 3600},
        ],
    },
}


@pytest.mark.parametrize("provider", SHAPES)
def test_limits_of_providers_to_come_can_be_declared(provider: str) -> None:
    limits = Limits.model_validate(SHAPES[provider])
    declared = SHAPES[provider]

    wanted = {rate["name"]: rate["calls"] for rate in declared["rates"]}
    if "daily" in declared:
        wanted["daily"] = declared["daily"]["calls"]
    assert {budget.name: budget.calls for budget in limits.budgets} == wanted


def test_budget_counts_only_the_endpoints_it_names() -> None:
    _, search = Limits.model_validate(SHAPES["hubspot"]).rates

    assert search.applies("POST", "/crm/v3/objects/contacts/search")
    assert not search.applies("GET", "/crm/v3/objects/contacts")
    assert RateLimit(name="all", calls=1, per_s=1).applies("GET", "/anything")


def test_tenants_plan_narrows_and_widens_and_is_firm() -> None:
    limits = Limits.model_validate(SHAPES["hubspot"])
    override = LimitsOverride.model_validate(
        {"concurrencyMax": 3, "rates": {"ten_secondly": {"calls": 190}}, "daily": 1000}
    )

    concurrency, budgets = limits.narrowed(override)

    kept = {budget.name: budget for budget in budgets}
    assert concurrency == 3
    assert (kept["ten_secondly"].calls, kept["ten_secondly"].firm) == (190, True)
    assert (kept["search"].calls, kept["search"].firm) == (5, False)
    assert (kept["daily"].calls, kept["daily"].firm) == (1000, True)
    assert kept["daily"].resets == "00:00 America/New_York"
    assert limits.narrowed(None) == (10, limits.budgets)


def test_tenant_may_set_a_daily_limit_where_the_provider_has_none() -> None:
    _, budgets = Limits().narrowed(LimitsOverride(daily=500))

    assert [(budget.name, budget.calls, budget.per_s) for budget in budgets] == [
        ("daily", 500, DAY_S)
    ]


def test_override_of_an_unknown_budget_is_named() -> None:
    override = LimitsOverride.model_validate({"rates": {"minutely": {"calls": 1}}})

    assert Limits.model_validate(SHAPES["hubspot"]).unknown(override) == ("minutely",)


@pytest.mark.parametrize(
    "wrong",
    [
        {"rates": [{"name": "a", "calls": 0, "per_s": 1}]},
        {"rates": [{"name": "a", "calls": 1, "per_s": 0}]},
        {"rates": [{"name": "A b", "calls": 1, "per_s": 1}]},
        {"rates": [{"name": "a", "calls": 1, "per_s": 1}, {"name": "a", "calls": 2, "per_s": 1}]},
        {"rates": [{"name": "daily", "calls": 1, "per_s": 1}], "daily": {"calls": 2}},
        {"rates": [{"name": "a", "calls": 1, "per_s": 60, "resets": "00:00 UTC"}]},
        {"daily": {"calls": 1, "resets": "00:00 Mars/Olympus"}},
        {"daily": {"calls": 1, "resets": "noon"}},
        {"concurrency_max": 0},
    ],
)
def test_limits_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Limits.model_validate(wrong)
