"""`@defer` and `@stream`: taken everywhere, and answered at once where nobody takes parts."""

from __future__ import annotations

import pytest
from tests.graph.world import World

SAME = [
    ("{ accounts(first: 2) { totalCount } ... @defer { deals(first: 2) { nodes { id } } } }",
     "{ accounts(first: 2) { totalCount } deals(first: 2) { nodes { id } } }"),
    ("{ deals(first: 2) { nodes { id ... @defer(label: \"more\") { title account { id } } } } }",
     "{ deals(first: 2) { nodes { id title account { id } } } }"),
    ("{ deals(first: 2) { nodes @stream(initialCount: 1) { id } } }",
     "{ deals(first: 2) { nodes { id } } }"),
    ("{ ...Late @defer } fragment Late on Query { crm { deals(first: 1) { nodes { id } } } }",
     "{ crm { deals(first: 1) { nodes { id } } } }"),
    ("{ crm { ... @defer { deals(first: 1) { totalCount } } } }",
     "{ crm { deals(first: 1) { totalCount } } }"),
    ("{ _gateway { ... @defer { tenant } } _search(text: \"deal\", first: 2) @stream { path } }",
     "{ _gateway { tenant } _search(text: \"deal\", first: 2) { path } }"),
]  # fmt: skip


@pytest.fixture(scope="module", params=[False, True], ids=["duckdb", "resident"])
def is_resident(request: pytest.FixtureRequest) -> bool:
    """Hold everything here both ways: from DuckDB alone, and with columns in memory."""
    return bool(request.param)


@pytest.mark.parametrize(("text", "plain"), SAME)
def test_directives_change_nothing_for_who_takes_one_answer(
    world: World, text: str, plain: str
) -> None:
    for _ in range(2):  # planned, then as it was kept
        assert world.ask(text) == world.ask(plain)


@pytest.mark.parametrize("value", [True, False])
def test_condition_of_defer_takes_a_variable(world: World, value: bool) -> None:
    text = (
        """query ($late: Boolean!) { ... @defer(if: $late) { deals(first: 1) { totalCount } } }"""
    )

    assert world.ask(text, variables={"late": value}) == world.ask(
        "{ deals(first: 1) { totalCount } }"
    )


@pytest.mark.parametrize(
    "text",
    [
        "{ deals { nodes { id @stream } } }",
        "{ deals { nodes @defer { id } } }",
        "{ ... @defer(label: 1) { deals { totalCount } } }",
        '{ ... @defer(label: "a") { deals { totalCount } } ... @defer(label: "a") '
        "{ accounts { totalCount } } }",
    ],
)
def test_misplaced_directives_are_refused(world: World, text: str) -> None:
    answer = world.answer(text)

    assert not answer.executed
    assert answer.errors


def test_directives_are_bounded_like_all_others(world: World) -> None:
    many = " ".join("... @defer { deals { totalCount } }" for _ in range(101))

    with pytest.raises(Exception, match="the limit is"):
        world.answer(f"{{ {many} }}")
