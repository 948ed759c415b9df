"""`mode: policy`: the builder's conditions decide instead of the source's rights, never beside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.graph.policies import asked, person, with_policy
from tests.graph.world import World

STRANGER = "stranger@x.test"  # no user of any provider
OURS = {"objects": {"Account": {"mode": "policy", "rows": {"rating": {"gte": 3}}}}}


@pytest.fixture(params=[False, True], ids=["duckdb", "resident"])
def ruled(request: pytest.FixtureRequest, connectors: None, tmp_path: Path) -> Iterator[World]:
    """Give a world in which the builder alone decides about accounts."""
    world = with_policy(tmp_path, OURS, is_resident=request.param)
    yield world
    world.close()


def test_whoever_no_provider_knows_sees_what_the_conditions_say(ruled: World) -> None:
    """Exactly those records, each time they are asked for, and nothing of mirrored objects."""
    wanted = asked(
        ruled,
        "{ crm { accounts(first: 100, where: {rating: {gte: 3}}) { nodes { id } totalCount } } }",
        person(),
    )["data"]["crm"]["accounts"]
    assert 0 < wanted["totalCount"] < 60
    text = "{ accounts(first: 100) { nodes { id } totalCount } }"
    for _ in range(3):
        answer = asked(ruled, text, person(STRANGER))
        assert answer["data"]["accounts"]["totalCount"] == wanted["totalCount"]
        found = {each["id"] for each in answer["data"]["accounts"]["nodes"]}
        assert found == {each["id"] for each in wanted["nodes"]}
    assert asked(ruled, "{ deals { totalCount } }", person(STRANGER))["data"]["deals"] == {
        "totalCount": 0
    }


def test_field_read_through_a_reference_keeps_the_sources_rights(ruled: World) -> None:
    """The builder decides about accounts; owners are users, whom the source keeps back."""
    text = "{ accounts(first: 3) { nodes { id ownerName } } }"
    answer = asked(ruled, text, person(STRANGER))
    assert [each["ownerName"] for each in answer["data"]["accounts"]["nodes"]] == [None] * 3
    notes = {note["coordinate"] for note in answer["extensions"]["access"]}
    assert notes == {"Account.ownerName"}


def test_providers_own_face_of_the_object_stays_mirrored(ruled: World) -> None:
    """A policy speaks for the object that it names."""
    answer = asked(ruled, "{ crm { accounts { totalCount } } }", person(STRANGER))
    assert answer["data"]["crm"]["accounts"] == {"totalCount": 0}


@pytest.mark.parametrize("tenant_mode", ["mirror", "deny"])
def test_tenant_that_narrows_to_a_stricter_mode_wins(
    connectors: None, tmp_path: Path, tenant_mode: str
) -> None:
    """Of two modes the stricter holds: deny, then mirror, then policy."""
    own = {"objects": {"Account": {"mode": tenant_mode}}}
    world = with_policy(tmp_path, OURS, tenant=own)
    try:
        answer = asked(world, "{ accounts { totalCount } }", person(STRANGER))
        if tenant_mode == "deny":
            assert answer["errors"][0]["extensions"]["code"] == "operation_refused"
        else:
            assert answer["data"]["accounts"] == {"totalCount": 0}
    finally:
        world.close()
