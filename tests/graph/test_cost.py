"""What an operation costs is estimated, and bounded, before anything is loaded."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.graph.verified import verified_world
from tests.graph.world import World, seeded

from firnline.access.principal import Principal
from firnline.graph.answer import Question
from firnline.graph.cost import SCANNED_PER_VALUE, SCANNED_UNKNOWN
from firnline.graph.explain.explanation import Detail
from firnline.graph.memory.tables import ResidentTables

PAGES = """{ crm { accounts(first: %d) { nodes { id Deals(first: %d) { nodes { id title
  Account { Children(first: %d) { nodes { id name region } } } } } } } } }"""
TOO_MANY = PAGES % (200, 200, 200)
AT_MOST = 200 * (1 + 200 * (2 + 200 * 3))
ACCOUNTS, DEALS = 24, 60
RESTRICTED = "rep@x.test"
LIST = "{ crm { accounts(first: %d) { nodes { id name } } } }"


def cost(world: World, text: str, email: str = "all@x.test") -> int:
    """Return the estimate that is explained with an answer."""
    question = Question(text, explain=Detail.PERSON)
    answer = world.runner.run(world.responder.answer(Principal("acme", email), question))
    told = orjson.loads(answer.body())["extensions"]["explain"]["cost"]
    assert told["limit"] == 20_000_000
    return int(told["estimated"])


def refusal(world: World, text: str, email: str) -> dict[str, Any]:
    response = world.ask(text, email)
    assert response["data"] is None or not any(response["data"].values())
    return dict(response["errors"][0]["extensions"])


def test_a_page_costs_no_more_records_than_there_are(world: World) -> None:
    assert cost(world, LIST % 3) == 3 * 2
    assert cost(world, LIST % 200) == ACCOUNTS * 2


def test_lists_below_cost_what_parents_have_on_average(world: World) -> None:
    nested = "{ crm { accounts(first: %d) { nodes { Deals(first: %d) { nodes { id } } } } } }"

    assert cost(world, nested % (200, 200)) == DEALS
    assert cost(world, nested % (12, 200)) == DEALS // 2
    assert cost(world, nested % (12, 1)) == 12


def test_pages_within_pages_are_refused_by_the_estimate_with_number_and_limit(
    world: World,
) -> None:
    told = refusal(world, TOO_MANY, RESTRICTED)

    assert told["code"] == "operation_cost"
    assert (told["cost"], told["limit"]) == (AT_MOST, 20_000_000)
    assert "errors" not in world.ask(PAGES % (200, 20, 20), RESTRICTED)
    # Who sees everything is told by what there is.
    assert "errors" not in world.ask(TOO_MANY)


def test_root_fields_share_one_limit(world: World) -> None:
    one = "accounts(first: 200) { nodes { id Children(first: 200) { nodes { id Deals(first: 170) {"
    one += " nodes { id } } } } } }"
    assert "errors" not in world.ask(f"{{ crm {{ {one} }} }}", RESTRICTED)
    several = " ".join(f"k{n}: {one}" for n in range(3))

    assert world.code(f"{{ crm {{ {several} }} }}", RESTRICTED) == "operation_cost"


def test_the_limit_is_a_setting(own_world: World) -> None:
    own_world.fill(seeded())
    own_world.responder._execution = partial(own_world.responder._execution, cost_max=30)

    assert "errors" not in own_world.ask(LIST % 15)
    told = refusal(own_world, LIST % 16, "all@x.test")
    assert (told["code"], told["cost"], told["limit"]) == ("operation_cost", 32, 30)


@pytest.mark.parametrize("email", ["rep@x.test", "shared@x.test", "child@x.test", "denied@x.test"])
@pytest.mark.parametrize(
    "text",
    [
        LIST % 200,
        "{ crm { accounts { totalCount aggregate { count max { revenue } } } } }",
        "{ crm { accounts { groupBy(by: [{region: VALUE}]) { aggregate { count } } } } }",
        "{ crm { users { nodes { id Accounts(first: 50) { nodes { id } totalCount } } } } }",
        "{ crm { deals { nodes { id Account { Children { nodes { id } } } } } } }",
    ],
)
def test_no_row_that_a_person_does_not_see_changes_the_estimate(
    own_world: World, email: str, text: str
) -> None:
    """Half of the accounts, or twice as many: who is shown some of them is told the same number."""
    costs = set()
    for share in (0.5, 1, 2):
        rows = seeded()
        accounts = rows["crm", "accounts"]
        more = [{**row, "id": f"x{row['id']}"} for row in accounts]
        rows["crm", "accounts"] = [*accounts, *more][: int(len(accounts) * share)]
        own_world.fill(rows)
        costs.add(cost(own_world, text, email))

    assert len(costs) == 1


def test_the_estimate_follows_the_rows_of_who_sees_them_all(own_world: World) -> None:
    rows = seeded()
    own_world.fill(rows)
    before = cost(own_world, LIST % 200)
    rows["crm", "accounts"] *= 2
    rows["crm", "accounts"] = [
        {**row, "id": f"y{at}"} for at, row in enumerate(rows["crm", "accounts"])
    ]
    own_world.write({("crm", "accounts"): rows["crm", "accounts"]})

    assert cost(own_world, LIST % 200) == 2 * before


def test_aggregates_and_groups_cost_what_they_look_through(world: World) -> None:
    def counted(aliases: int) -> str:
        sums = " ".join(f"a{n}: aggregate {{ sum {{ rating revenue }} }}" for n in range(aliases))
        return f"{{ crm {{ accounts {{ {sums} }} }} }}"

    groups = (
        "{ crm { accounts { groupBy(by: [{region: VALUE}], first: 1) { aggregate { count } } } } }"
    )
    per_scan = SCANNED_UNKNOWN // SCANNED_PER_VALUE

    assert cost(world, counted(1), RESTRICTED) == 2 * per_scan + 2
    assert cost(world, groups, RESTRICTED) >= per_scan
    # The table of those who see all of it is looked through as it is: a small one costs little.
    assert cost(world, counted(1)) < per_scan / 1000
    assert cost(world, groups) < per_scan / 1000


def test_counts_below_parents_cost_one_look_for_all_of_them(world: World) -> None:
    def counted(first: int) -> str:
        return f"{{ crm {{ users(first: {first}) {{ nodes {{ Accounts {{ totalCount }} }} }} }} }}"

    few, many = (cost(world, counted(first), RESTRICTED) for first in (1, 200))

    assert few == SCANNED_UNKNOWN // SCANNED_PER_VALUE + 1
    assert many - few <= 200


def test_what_a_source_has_to_confirm_counts_as_full_pages(world: World, tmp_path: Path) -> None:
    """Fewer records may be shown than are stored, whoever asks."""
    verified = verified_world(tmp_path)

    assert cost(world, LIST % 200) == ACCOUNTS * 2
    assert cost(verified, LIST % 200) == 200 * 2
    verified.close()


def test_edges_without_nodes_cost_their_page(world: World) -> None:
    assert cost(world, "{ crm { accounts(first: 9) { edges { cursor } } } }") == 9


def test_records_by_keys_cost_one_each(world: World) -> None:
    assert cost(world, '{ accountsByKey(keys: ["a1", "a2", "a3"]) { id name } }') == 6
    text = '{ _entities(representations: [{__typename: "Account", id: "a1"}]) '
    assert cost(world, f"{text} {{ ... on Account {{ id name }} }} }}") == 2


def test_who_may_not_ask_by_their_own_estimate_gets_no_answer_that_others_compiled(
    own_world: World,
) -> None:
    """Else the answer would tell that the whole table is small."""
    own_world.resident = ResidentTables(1 << 28)
    own_world.renew()
    own_world.fill(seeded())
    for _ in range(2):
        assert "errors" not in own_world.ask(TOO_MANY, "all@x.test")
        # Now memory knows which rows they see, and could answer from what others compiled.
        assert "errors" not in own_world.ask(PAGES % (2, 2, 2), RESTRICTED)

    assert refusal(own_world, TOO_MANY, RESTRICTED)["code"] == "operation_cost"
