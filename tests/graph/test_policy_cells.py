"""Fields shown on some records only: everywhere else their values count as null."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.graph.policies import asked, person, with_policy
from tests.graph.world import NOW, World, seeded

from firnline.graph.answer import Question
from firnline.graph.explain.explanation import Detail
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
            "deals": {
                "mode": "mirror",
                "fields": {
                    "amount": {
                        "rows": {"Account": {"region": {"in": {"principal": "attributes.regions"}}}}
                    }
                },
            },
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


@pytest.mark.parametrize("face", ["deals(first: 200) {", "crm { deals(first: 200) {"])
@pytest.mark.parametrize("is_resident", [False, True], ids=["duckdb", "resident"])
def test_change_of_a_related_record_shows_and_hides_values_at_once(
    connectors: None, tmp_path: Path, is_resident: bool, face: str
) -> None:
    """What was kept or brought into memory depends on the records that conditions look at."""
    world = with_policy(tmp_path, POLICY, is_resident=is_resident)
    world.responder._recall._kept = KeptAnswers(1 << 22)
    text = f"{{ {face} nodes {{ id amount }} }} " + "}" * face.count("{")

    def shown() -> set[str]:
        found = asked(world, text, regional("north"))["data"]
        nodes = found.get("crm", found)["deals"]["nodes"]
        return {each["id"] for each in nodes if each["amount"] is not None}

    for _ in range(3):
        before = shown()
    moved = [{**row, "region": "south"} for row in seeded()["crm", "accounts"]]
    world.write({("crm", "accounts"): moved})
    for _ in range(3):
        assert shown() == set()
    world.write({("crm", "accounts"): seeded()["crm", "accounts"]})
    assert shown() == before
    assert before
    world.close()


@pytest.mark.parametrize("is_resident", [False, True], ids=["duckdb", "resident"])
def test_condition_on_the_time_is_asked_at_every_question(
    connectors: None, tmp_path: Path, is_resident: bool
) -> None:
    rule = {"rows": {"createdAt": {"lt": "now-1h"}}}
    account = {"mode": "mirror", "fields": {"name": rule}}
    world = with_policy(tmp_path, {"objects": {"Account": account}}, is_resident=is_resident)
    world.responder._recall._kept = KeptAnswers(1 << 22)
    (row,) = [{**row, "created": NOW} for row in seeded()["crm", "accounts"] if row["name"]][:1]
    world.write({("crm", "accounts"): [row]})
    text = "{ accounts { nodes { name } } }"

    for minutes, expected in ((0, None), (59, None), (2, row["name"]), (60, row["name"])):
        world.runner.run(world.clock.sleep(minutes * 60))
        for _ in range(2):
            assert asked(world, text, person())["data"]["accounts"]["nodes"] == [{"name": expected}]
    world.close()


def test_explanation_withholds_the_condition(celled: World) -> None:
    """People are told that a value is shown on some records only, not on which."""
    question = Question("{ deals { nodes { amount } } }", explain=Detail.PERSON)
    who = regional("a-secret-region")
    answer = celled.runner.run(celled.responder.answer(who, question))
    told = repr(answer.extensions)
    assert "Deal.amount" in told
    assert "a-secret-region" not in told


@pytest.mark.parametrize(
    "key_rule",
    [{"rows": {"tier": {"eq": "A"}}}, {"verbs": []}, {"only_for": {"agents": ["nobody"]}}],
)
def test_key_that_is_kept_back_denies_the_object(
    connectors: None, tmp_path: Path, key_rule: dict[str, Any]
) -> None:
    """The check cannot know the keys of a provider's objects; their records are not shown then."""
    accounts = {"mode": "mirror", "fields": {"id": key_rule}}
    policy = {"providers": {"alpine": {"*": {"mode": "mirror"}, "accounts": accounts}}}
    world = with_policy(tmp_path, policy)
    answer = asked(world, "{ crm { accounts { totalCount nodes { id } } } }", person())
    assert answer["data"]["crm"]["accounts"] == {"totalCount": 0, "nodes": []}
    world.close()


def test_condition_that_needs_a_missing_fact_withholds_the_field_alone(celled: World) -> None:
    answer = asked(celled, "{ deals(first: 3) { nodes { id amount stage } } }", person())
    nodes = answer["data"]["deals"]["nodes"]
    assert [each["amount"] for each in nodes] == [None] * 3
    assert all(each["id"] for each in nodes)
    response = asked(celled, "{ deals(orderBy: [{amount: ASC}]) { totalCount } }", person())
    assert response["errors"][0]["extensions"]["code"] == "field_not_readable"
