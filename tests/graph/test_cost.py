"""What an operation may give at most is known, and bounded, before anything is loaded."""

from __future__ import annotations

import pytest
from tests.graph.world import World

PAGES = """{ accounts(first: %d) { nodes { id deals(first: %d) { nodes { id title
  account { children(first: %d) { nodes { id name region } } } } } } } }"""


@pytest.mark.parametrize(
    ("pages", "values"),
    [((200, 200, 200), None), ((2, 3, 4), 2 * (1 + 3 * (2 + 4 * 3))), ((200, 20, 20), 248_200)],
)
def test_pages_within_pages_are_refused_by_what_they_multiply_to(
    world: World, pages: tuple[int, int, int], values: int | None
) -> None:
    response = world.ask(PAGES % pages)
    if values is not None:
        assert "errors" not in response
        return
    (error,) = response["errors"]
    assert error["extensions"]["code"] == "operation_cost"
    assert "24080200 values" in error["message"]
    assert "the limit is 20000000" in error["message"]
    assert response["data"] is None


def test_root_fields_share_one_limit(world: World) -> None:
    one = PAGES.strip("{} ") % (200, 200, 60) + " } } } } } } }"
    assert "errors" not in world.ask(f"{{ {one} }}")
    several = " ".join(f"k{n}: {one}" for n in range(3))
    codes = {error["extensions"]["code"] for error in world.ask(f"{{ {several} }}")["errors"]}
    assert codes == {"operation_cost"}
