"""Publishing compiles each operation's plan at each tenant, and tells what stands in its way."""

from __future__ import annotations

from typing import Any

import pytest
from tests.graph.world import NOW, World, seeded

from firnline.clock import FixedClock
from firnline.graph.compiling import Compilation, Compiler
from firnline.graph.cost import CostError
from firnline.graph.cursor import CursorSeal
from firnline.graph.plan import Planner

PAGED = """query Paged($n: Int!) { crm { accounts(first: $n) { nodes { id
  Deals(first: $n) { nodes { id Account { Children(first: $n) { nodes { id name region } } } } }
} } } }"""


def compiled(
    world: World, text: str, *, tenant: str = "acme", is_cached: bool = True, **more: Any
) -> Compilation:
    async def cache(name: str) -> Any:
        return world.database(name) if is_cached else None

    compiler = Compiler(
        world.graphs, caches=cache, seal=CursorSeal(b"k" * 32), clock=FixedClock(NOW), **more
    )
    return world.runner.run(compiler.compile(tenant, text))


@pytest.mark.parametrize(
    ("text", "is_from_memory"),
    [
        ("query A { crm { accounts { totalCount nodes { id name owner_id } } } }", True),
        ("query B($id: ID!) { account(id: $id) { name deals { nodes { title } } } }", True),
        ("query C { accounts(distinctOn: [{region: VALUE}]) { nodes { region } } }", False),
        ("query D { crm { deals { groupBy(by: [{stage: VALUE}]) { key { stage } } } } }", False),
        ("query E($d: Date!) { deals(where: {closesOn: {lt: $d}}) { nodes { id } } }", True),
        ('query F { _search(text: "deal") { coordinate } _gateway { tenant } }', False),
        ('query G { accountsByKey(keys: ["a1"]) { name } }', False),
    ],
)
def test_what_can_be_asked_is_compiled(world: World, text: str, is_from_memory: bool) -> None:
    found = compiled(world, text)

    assert found.problem is None
    assert found.from_memory == is_from_memory


def test_compiling_loads_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = []
    plan = Planner.connection
    monkeypatch.setattr(
        Planner, "connection", lambda *given: (planned.append(given[1].type_name), plan(*given))[1]
    )
    database = world.database("acme")
    rows = []
    snapshot = database.snapshot

    def watched() -> Any:
        manager = snapshot()

        class Watched:
            def __enter__(self) -> Any:
                found = manager.__enter__()
                fetch = found.fetch
                found.fetch = lambda *given: (rows.append(given[0]), fetch(*given))[1]
                return found

            def __exit__(self, *error: Any) -> Any:
                return manager.__exit__(*error)

        return Watched()

    monkeypatch.setattr(database, "snapshot", watched)

    assert compiled(world, "query A { crm { accounts { nodes { id } } } }").problem is None
    assert planned
    assert all("count(*)" in sql for sql in rows)


def test_cost_is_of_the_rows_there_are_and_of_full_pages_without_a_cache(world: World) -> None:
    text = "query A { crm { accounts(first: 200) { nodes { id name } } } }"
    counted, full = compiled(world, text), compiled(world, text, is_cached=False)

    assert (counted.cost, counted.is_counted) == (48, True)
    assert (full.cost, full.is_counted) == (400, False)
    assert full.problem is None


def test_a_cost_over_the_limit_is_refused_with_its_number(world: World) -> None:
    text = "query A { crm { accounts(first: 200) { nodes { id name } } } }"
    found = compiled(world, text, cost_max=47)

    assert found.is_refused
    with pytest.raises(CostError) as caught:
        found.require()
    assert (caught.value.found, caught.value.limit) == (48, 47)


def test_pages_that_a_variable_sizes_are_told_of_and_not_refused(world: World) -> None:
    found = compiled(world, PAGED, is_cached=False)

    assert isinstance(found.problem, CostError)
    assert not found.is_refused
    assert found.cost > found.limit
    assert compiled(world, PAGED, is_cached=False, cost_max=1).is_refused


def test_what_can_never_be_planned_is_refused(world: World) -> None:
    page = compiled(world, "query A { crm { accounts(first: 201) { nodes { id } } } }")
    date = compiled(world, 'query B { deals(where: {closesOn: {lt: "soon"}}) { nodes { id } } }')

    assert page.problem is not None and page.problem.code == "page_size"
    assert page.is_refused
    assert date.is_refused


def test_made_up_values_refuse_nothing(world: World) -> None:
    """A cursor cannot be made up: with one of its own the operation may well be answered."""
    found = compiled(world, "query A($c: String!) { crm { accounts(after: $c) { nodes { id } } } }")

    assert found.problem is not None and found.problem.code == "cursor_invalid"
    assert not found.is_refused


def test_what_was_never_synced_is_told_of_and_not_refused(own_world: World) -> None:
    rows = seeded()
    own_world.fill({slot: each for slot, each in rows.items() if slot != ("crm", "deals")})
    found = compiled(own_world, "query A { crm { deals { nodes { id } } } }")

    assert found.problem is not None and found.problem.code == "object_not_synced"
    assert not found.is_refused
