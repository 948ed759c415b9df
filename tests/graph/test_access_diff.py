"""Two people's rights compared: what one may read and the other may not."""

from __future__ import annotations

from tests.graph.world import NOW, World

from firnline.access.principal import Principal
from firnline.graph.explain.access_diff import Difference, ObjectRights, differences, rights_of
from firnline.graph.session import LazySnapshot, Session
from firnline.graph.shape import TenantGraph


def rights(world: World, email: str) -> dict[str, ObjectRights]:
    principal = Principal("acme", email)

    def look(graph: TenantGraph, snapshot: LazySnapshot) -> dict[str, ObjectRights]:
        decisions = world.graphs.decisions(graph, principal, snapshot)
        return rights_of(graph, decisions, principal=principal, now=NOW, snapshot=snapshot)

    async def asked() -> dict[str, ObjectRights]:
        graph = await world.graphs.graph("acme")
        async with Session(world.database()) as session:
            found: dict[str, ObjectRights] = await session.run(look, graph)
            return found

    return world.runner.run(asked())


def between(world: World, first: str, second: str) -> dict[tuple[str, str], Difference]:
    found = differences(rights(world, first), rights(world, second))
    return {(each.object, each.what): each for each in found}


def test_people_of_equal_rights_differ_in_nothing(world: World) -> None:
    assert between(world, "all@x.test", "all@x.test") == {}


def test_records_are_counted_as_each_person_is_answered(world: World) -> None:
    found = between(world, "all@x.test", "rep@x.test")
    text = "{ accounts { totalCount } }"
    counts = [world.data(text, email)["accounts"]["totalCount"] for email in
              ("all@x.test", "rep@x.test")]  # fmt: skip
    one = found["Account", "records"]
    assert (one.first, one.second.split(":")[0]) == (f"{counts[0]}: every record", str(counts[1]))
    assert "owner_id is one of u1, u2" in one.second


def test_withheld_fields_and_objects_are_named(world: World) -> None:
    masked = between(world, "all@x.test", "masked@x.test")
    assert set(masked["Account", "fields"].first.split(", ")) >= {"revenue", "segment"}
    assert masked["Account", "fields"].second == "none more"
    denied = between(world, "denied@x.test", "all@x.test")
    assert (denied["Account", "readable"].first, denied["Account", "readable"].second) == (
        "no",
        "yes",
    )
    assert ("Account", "fields") not in denied
