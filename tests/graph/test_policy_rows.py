"""Rows of the builder's policy: every way to an object leads to the permitted records only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.graph.policies import asked, person, with_policy
from tests.graph.world import World, seeded

from firnline.graph.memory.kept_answers import KeptAnswers

REGIONS = {"attributes": {"regions": ("north", "West")}}
POLICY = {
    "objects": {
        "Account": {
            "mode": "mirror",
            "rows": {"region": {"in": {"principal": "attributes.regions"}}},
        },
        "Deal": {
            "mode": "mirror",
            "rows": {"account": {"region": {"in": {"principal": "attributes.regions"}}}},
        },
    }
}


@pytest.fixture(scope="module", params=[False, True], ids=["duckdb", "resident"])
def ruled(
    request: pytest.FixtureRequest, connectors: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """Give a world in which accounts and deals are shown by region."""
    home = tmp_path_factory.mktemp("ruled")
    world = with_policy(home, POLICY, is_resident=bool(request.param))
    world.responder._recall._kept = KeptAnswers(1 << 22)
    yield world
    world.close()


def expected(regions: tuple[str, ...]) -> tuple[list[str], list[str]]:
    rows = seeded()
    accounts = [r["id"] for r in rows["crm", "accounts"] if r["region"] in regions]
    deals = [
        r["id"]
        for r in rows["crm", "deals"]
        if r["account_id"] in accounts and r["stage"] not in ("trash", None)
    ]
    return sorted(accounts), sorted(deals)


@pytest.mark.parametrize("again", range(3))  # planned, compiled, kept
@pytest.mark.parametrize("regions", [("north", "West"), ("south",), ("nowhere",)])
def test_lists_counts_and_groups_range_over_the_policys_rows(
    ruled: World, regions: tuple[str, ...], again: int
) -> None:
    accounts, deals = expected(regions)
    who = person(attributes={"regions": regions})

    plain = asked(ruled, "{ accounts(first: 200) { totalCount nodes { id } } }", who)["data"]
    data = asked(
        ruled,
        """{ accounts(first: 30) { totalCount nodes { id deals(first: 60) { nodes { id } } }
               aggregate { count } groupBy(by: [{region: VALUE}]) { key { region } } }
             deals(first: 200) { totalCount nodes { id account { id region } } }
             other: accounts(where: {deals: {some: {}}}, first: 200) { nodes { id } } }""",
        who,
    )["data"]

    assert sorted(each["id"] for each in plain["accounts"]["nodes"]) == accounts
    assert plain["accounts"]["totalCount"] == len(accounts)
    assert sorted(each["id"] for each in data["accounts"]["nodes"]) == accounts
    assert data["accounts"]["totalCount"] == data["accounts"]["aggregate"]["count"] == len(accounts)
    assert {g["key"]["region"] for g in data["accounts"]["groupBy"]} <= set(regions)
    assert sorted(each["id"] for each in data["deals"]["nodes"]) == deals
    assert data["deals"]["totalCount"] == len(deals)
    below = [d["id"] for a in data["accounts"]["nodes"] for d in a["deals"]["nodes"]]
    assert sorted(below) == deals
    assert all(each["account"]["region"] in regions for each in data["deals"]["nodes"])
    with_deals = {d["account"]["id"] for d in data["deals"]["nodes"]}
    assert {each["id"] for each in data["other"]["nodes"]} == with_deals


def test_records_by_key_entities_search_and_cursors_range_over_the_policys_rows(
    ruled: World,
) -> None:
    accounts, _ = expected(("south",))
    who = person(attributes={"regions": ("south",)})
    every = sorted(r["id"] for r in seeded()["crm", "accounts"])
    keys = ", ".join(f'"{key}"' for key in every)
    entities = ", ".join(f'{{__typename: "Account", id: "{key}"}}' for key in every)

    data = asked(
        ruled,
        f"""{{ accountsByKey(keys: [{keys}]) {{ id }}
              _entities(representations: [{entities}]) {{ ... on Account {{ id }} }}
              accounts(search: "a", first: 200) {{ nodes {{ id }} }} }}""",
        who,
    )["data"]

    assert [each and each["id"] for each in data["accountsByKey"]] == [
        key if key in accounts else None for key in every
    ]
    assert [each and each["id"] for each in data["_entities"]] == [
        key if key in accounts else None for key in every
    ]
    assert {each["id"] for each in data["accounts"]["nodes"]} <= set(accounts)
    wide = person(attributes={"regions": ("north", "West")})
    text = """query ($a: String) { accounts(first: 3, after: $a) {
        nodes { id } pageInfo { endCursor } } }"""
    cursor = asked(ruled, text, wide)["data"]["accounts"]["pageInfo"]["endCursor"]
    following = asked(ruled, text, who, {"a": cursor})["data"]["accounts"]["nodes"]
    assert following
    assert {each["id"] for each in following} <= set(accounts)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_missing_attribute_shows_nothing_whoever_asked_before(
    ruled: World, order: tuple[int, int]
) -> None:
    """The same person with and without the attribute, in both orders, answers kept."""
    text = "{ accounts(first: 7) { totalCount nodes { id } } deals(first: 7) { totalCount } }"
    people = [person("shared@x.test"), person("shared@x.test", attributes={"regions": ("north",)})]

    for index in (*order, *order):
        response = asked(ruled, text, people[index])
        notes = {note["coordinate"]: note for note in response["extensions"]["access"]}
        if index:
            assert response["data"]["accounts"]["totalCount"] > 0
            assert not notes
        else:
            assert response["data"]["accounts"] == {"totalCount": 0, "nodes": []}
            assert response["data"]["deals"]["totalCount"] == 0
            assert notes["Account"]["effect"] == "denied"
            assert notes["Account"]["source"] == "policy"
            assert "region" not in notes["Account"]["reason"]


def test_policys_rows_narrow_what_the_source_shows_and_never_add(ruled: World) -> None:
    text = "{ accounts(first: 200) { nodes { id } } crm { accounts(first: 200) { nodes { id } } } }"
    who = person("shared@x.test", attributes={"regions": ("north", "West")})

    data = asked(ruled, text, who)["data"]

    mirrored = {each["id"] for each in data["crm"]["accounts"]["nodes"]}
    shown = {each["id"] for each in data["accounts"]["nodes"]}
    with_region = set(expected(("north", "West"))[0])
    assert shown == mirrored & with_region
    assert shown < mirrored


def test_commit_to_what_decides_changes_kept_answers(
    connectors: None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Deals are shown by their account: another region of it must show at once."""
    for is_resident in (False, True):
        world = with_policy(tmp_path_factory.mktemp("moved"), POLICY, is_resident=is_resident)
        world.responder._recall._kept = KeptAnswers(1 << 22)
        text = "{ deals(first: 200) { totalCount } }"
        who = person(attributes={"regions": ("north",)})
        before = asked(world, text, who)["data"]["deals"]["totalCount"]
        assert asked(world, text, who)["data"]["deals"]["totalCount"] == before > 0

        rows: list[dict[str, Any]] = [
            {**row, "region": "south"} for row in seeded()["crm", "accounts"]
        ]
        world.write({("crm", "accounts"): rows})

        assert asked(world, text, who)["data"]["deals"]["totalCount"] == 0
        world.close()


def test_conditions_read_what_the_person_may_not_and_what_the_policy_hides(
    connectors: None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The person sees no tiers, and nobody sees parents: both still decide."""
    policy = {
        "objects": {
            "Account": {
                "mode": "mirror",
                "hide": ["region", "parentId"],
                "rows": {
                    "or": [
                        {"segment": {"eq": "enterprise"}},
                        {"not": {"parent": {"region": {"eq": "north"}}}},
                    ]
                },
            }
        }
    }
    rows = {row["id"]: row for row in seeded()["crm", "accounts"]}

    def shown(row: dict[str, Any]) -> bool:
        parent = rows.get(row["parent_id"] or "")
        return row["tier"] == "A" or parent is None or parent["region"] != "north"

    for is_resident in (False, True):
        world = with_policy(tmp_path_factory.mktemp("free"), policy, is_resident=is_resident)
        for _ in range(2):
            response = asked(
                world, "{ accounts(first: 200) { nodes { id } } }", person("masked@x.test")
            )
            ids = sorted(each["id"] for each in response["data"]["accounts"]["nodes"])
            assert ids == sorted(key for key, row in rows.items() if shown(row))
            assert 0 < len(ids) < len(rows)
        world.close()


def test_relative_times_in_conditions_are_told_by_the_clock(
    connectors: None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    policy = {"objects": {"Account": {"mode": "mirror", "rows": {"createdAt": {"gte": "now-5d"}}}}}
    for is_resident in (False, True):
        world = with_policy(tmp_path_factory.mktemp("timed"), policy, is_resident=is_resident)
        world.responder._recall._kept = KeptAnswers(1 << 22)
        text = "{ accounts(first: 200) { totalCount } }"
        young = asked(world, text, person())["data"]["accounts"]["totalCount"]
        assert young > 0

        world.runner.run(world.clock.sleep(60 * 86_400))

        assert asked(world, text, person())["data"]["accounts"]["totalCount"] == 0
        world.close()
