"""Fields shown on some records only: everywhere else their values count as null."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from tests.graph.policies import asked, person, with_policy
from tests.graph.world import World, seeded

from firnline.graph.memory.kept_answers import KeptAnswers

BY_REGION = {"account": {"region": {"in": {"principal": "attributes.regions"}}}}
POLICY: dict[str, Any] = {
    "objects": {
        "Deal": {
            "mode": "mirror",
            "fields": {
                "amount": {"rows": BY_REGION},
                "quantity": {"rows": {"stage": {"eq": "won"}}},
                "accountId": {"rows": {"probability": {"gte": 0.5}}},
            },
        },
        "Account": {
            "mode": "mirror",
            "fields": {
                "contactName": {"rows": {"rating": {"gte": 3}}},
                "region": {"rows": {"name": {"neq": {"principal": "attributes.none"}}}},
            },
        },
    },
    "providers": {
        "alpine": {
            "*": {"mode": "mirror"},
            "accounts": {"mode": "mirror", "fields": {"revenue": {"rows": {"tier": {"eq": "A"}}}}},
        }
    },
}


@pytest.fixture(scope="module", params=[False, True], ids=["duckdb", "resident"])
def celled(
    request: pytest.FixtureRequest, connectors: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """Give a world in which amounts are shown by region."""
    home = tmp_path_factory.mktemp("celled")
    world = with_policy(home, POLICY, is_resident=bool(request.param))
    world.responder._recall._kept = KeptAnswers(1 << 22)
    yield world
    world.close()


def regional(*regions: str, email: str = "all@x.test") -> Any:
    return person(email, attributes={"regions": regions})


def amounts(regions: tuple[str, ...]) -> dict[str, Decimal | None]:
    """Return, by deal, what people of some regions are shown of its amount."""
    rows = seeded()
    shown = {r["id"] for r in rows["crm", "accounts"] if r["region"] in regions}
    return {
        r["id"]: r["amount"] if r["account_id"] in shown else None
        for r in rows["crm", "deals"]
        if r["stage"] not in ("trash", None)
    }


REGIONS = [("north", "West"), ("south",), ("nowhere",)]


@pytest.mark.parametrize("again", range(3))  # planned, compiled, kept
@pytest.mark.parametrize("regions", REGIONS)
def test_value_is_null_where_the_records_condition_does_not_hold(
    celled: World, regions: tuple[str, ...], again: int
) -> None:
    answer = asked(celled, "{ deals(first: 200) { nodes { id amount } } }", regional(*regions))

    expected = amounts(regions)
    found = {each["id"]: each["amount"] for each in answer["data"]["deals"]["nodes"]}
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert (found[key] is None) == (value is None)
        assert value is None or Decimal(found[key]) == value
    (note,) = answer["extensions"]["access"]
    assert (note["coordinate"], note["effect"]) == ("Deal.amount", "masked")


@pytest.mark.parametrize("again", range(3))
@pytest.mark.parametrize("regions", REGIONS)
def test_filters_sorts_groups_and_aggregates_know_the_shown_values_only(
    celled: World, regions: tuple[str, ...], again: int
) -> None:
    answer = asked(
        celled,
        """{ high: deals(where: {amount: {gte: "100"}}, first: 200) { totalCount nodes { id } }
             empty: deals(where: {amount: {isNull: true}}) { totalCount }
             sorted: deals(orderBy: [{amount: DESC}], first: 200) { nodes { id } }
             groups: deals { groupBy(by: [{amount: VALUE}], first: 100)
               { key { amount } aggregate { count } } }
             all: deals { aggregate { count sum { amount } max { amount } countDistinct { amount }
               } }
             accounts(where: {deals: {aggregate: {sum: {amount: {gt: "0"}}}}}, first: 200)
               { nodes { id deals(first: 60) { aggregate { sum { amount } } } } }
             top: accounts(orderBy: [{deals: {aggregate: {max: {amount: DESC}}}}], first: 200)
               { nodes { id } } }""",
        regional(*regions),
    )
    data = answer["data"]
    shown = amounts(regions)
    values = [each for each in shown.values() if each is not None]

    high = sorted(key for key, value in shown.items() if value is not None and value >= 100)
    assert sorted(each["id"] for each in data["high"]["nodes"]) == high
    assert data["high"]["totalCount"] == len(high)
    assert data["empty"]["totalCount"] == len(shown) - len(values)
    known = sorted((-value, key) for key, value in shown.items() if value is not None)
    unknown = sorted(key for key, value in shown.items() if value is None)
    assert [e["id"] for e in data["sorted"]["nodes"]] == [key for _, key in known] + unknown
    counts = {g["key"]["amount"]: g["aggregate"]["count"] for g in data["groups"]["groupBy"]}
    assert counts.get(None, 0) == len(unknown)
    assert {Decimal(k) for k in counts if k is not None} == set(values)
    totals = data["all"]["aggregate"]
    assert totals["count"] == len(shown)
    assert totals["sum"]["amount"] == (None if not values else f"{sum(values):f}")
    assert totals["countDistinct"]["amount"] == len(set(values))
    rows = {r["id"]: r for r in seeded()["crm", "deals"]}
    by_account: dict[str, Decimal] = {}
    for key, value in shown.items():
        owner = rows[key]["account_id"]
        # A deal whose account is not told belongs to none.
        if value is not None and (rows[key]["probability"] or 0) >= 0.5:
            by_account[owner] = by_account.get(owner, Decimal(0)) + value
    expected = {owner: total for owner, total in by_account.items() if total > 0}
    found = {
        n["id"]: Decimal(n["deals"]["aggregate"]["sum"]["amount"])
        for n in data["accounts"]["nodes"]
    }
    assert found == expected
