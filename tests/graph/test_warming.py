"""What is prepared at the start is not built or validated again by the first question."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.graph.world import World, seeded

from firnline.graph import sharing
from firnline.graph.schema import TenantSchema, _validation_cache
from firnline.graph.warming import Warming

OPERATION = "query Warm%s($n: Int!) { accounts(first: $n) { nodes { id name } } }"


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Give the list of what was built, in order."""
    found: list[str] = []

    def schema(graph: Any) -> TenantSchema:
        found.append("schema")
        return TenantSchema(graph)

    def graph(*arguments: Any) -> Any:
        found.append("graph")
        return build(*arguments)

    build = sharing.build_graph
    monkeypatch.setattr(sharing, "TenantSchema", schema)
    monkeypatch.setattr(sharing, "build_graph", graph)
    yield found


def validations() -> int:
    """Return how many documents were validated so far, anywhere."""
    return int(_validation_cache().cached_validate_document.cache_info().misses)  # type: ignore[attr-defined]


def warming(world: World, seconds_max: float = 60) -> Warming:
    return Warming(
        world.graphs,
        databases=world._database,
        operations=world.state,
        askers=world.state.askers,
        ahead=world.responder.ahead,
        clock=world.clock,
        seconds_max=seconds_max,
    )


def test_the_first_answer_after_warming_builds_and_validates_nothing(
    own_world: World, built: list[str]
) -> None:
    own_world.fill(seeded())
    text = OPERATION % "First"
    operation = own_world.publish(text)
    own_world.renew()
    built.clear()

    assert own_world.runner.run(warming(own_world).run(["acme"])) == ["acme"]
    assert built == ["graph", "schema"]
    before = validations()
    answer = own_world.answer(None, variables={"n": 3}, document_id=operation)

    assert len(answer.data["accounts"]["nodes"]) == 3
    assert built == ["graph", "schema"]
    assert validations() == before


def test_without_warming_the_first_answer_does_that_work(
    own_world: World, built: list[str]
) -> None:
    own_world.fill(seeded())
    operation = own_world.publish(OPERATION % "Cold")
    own_world.renew()
    built.clear()
    before = validations()

    own_world.answer(None, variables={"n": 3}, document_id=operation)

    assert built == ["graph", "schema"]
    assert validations() == before + 1


def test_a_tenant_without_data_and_an_unknown_one_stop_nobody(own_world: World) -> None:
    own_world.fill(seeded())
    others = [name for name in own_world.project.tenants if name != "acme"]

    done = own_world.runner.run(warming(own_world).run([*others, "nobody", "acme"]))

    assert done == ["acme"]


def test_warming_ends_with_its_time(own_world: World, built: list[str]) -> None:
    own_world.fill(seeded())
    own_world.renew()
    built.clear()

    assert own_world.runner.run(warming(own_world, seconds_max=0).run(["acme"])) == []
    assert built == []


def test_warming_ends_when_more_would_drive_out_what_it_prepared(own_world: World) -> None:
    own_world.fill(seeded())
    own_world.renew()
    own_world.graphs = type(own_world.graphs)(
        own_world.project, catalogs=own_world.state, fields_max=1
    )

    assert own_world.runner.run(warming(own_world).run(["acme", "acme"])) == ["acme"]


def test_a_published_operation_that_no_longer_fits_is_left_to_its_question(
    own_world: World,
) -> None:
    own_world.fill(seeded())
    own_world.runner.run(
        own_world.state.publish_operation(
            "acme", "old", "Old", "query Old { gone { id } }", at=own_world.clock.now()
        )
    )

    assert own_world.runner.run(warming(own_world).run(["acme"])) == ["acme"]
