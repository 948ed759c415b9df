"""What the gateway answers is what plain Python works out from the rows and the person's rights.

FIRNLINE_TESTS=long asks thousands of operations, each run others, instead of the same hundred.
"""

from __future__ import annotations

import math
import re
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.graph.asking import Writer, asks
from tests.graph.reference import LIST_FIELDS, Ask, Reference, Refused
from tests.graph.runs import IS_LONG, PATIENCE
from tests.graph.world import PEOPLE, World, seeded


@pytest.fixture(scope="module", params=[False, True], ids=["duckdb", "resident"])
def is_resident(request: pytest.FixtureRequest) -> bool:
    """Hold everything here both ways: from DuckDB alone, and with columns in memory."""
    return bool(request.param)


@pytest.fixture(scope="module", autouse=True)
def at_any_cost(world: World) -> None:
    """Let pages of pages of pages be asked: what is refused for its cost is another test's."""
    responder = world.responder
    responder._execution = partial(responder._execution, cost_max=10**12)


pytestmark = PATIENCE
ROWS = seeded()
_PAGE_PARTS = """edges { cursor node { id } } totalCount
  pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"""
bounded = settings(
    max_examples=3_000 if IS_LONG else 110,
    deadline=None,
    derandomize=not IS_LONG,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@bounded
@given(ask=asks(), email=st.sampled_from(sorted(PEOPLE)), seed=st.integers(0, 999))
def test_any_operation_answers_what_plain_python_works_out(
    world: World, ask: Ask, email: str, seed: int
) -> None:
    text = Writer(seed).operation(ask, LIST_FIELDS[ask.kind])

    response = world.ask(text, email)

    try:
        expected = Reference(ROWS, email).answer(ask)
    except Refused:
        codes = {error["extensions"]["code"] for error in response["errors"]}
        assert codes <= {"field_not_readable", "object_not_readable"}
        assert response["data"] is None
    else:
        assert "errors" not in response, (text, response["errors"])
        assert_same(response["data"]["answer"], expected, text)


@settings(bounded, max_examples=500 if IS_LONG else 25)
@given(
    ask=asks(depth=0),
    email=st.sampled_from(("all@x.test", "rep@x.test", "shared@x.test")),
    size=st.sampled_from((1, 2, 7)),
)
def test_paging_over_everything_neither_skips_nor_repeats(
    world: World, ask: Ask, email: str, size: int
) -> None:
    try:
        rows = Reference(ROWS, email).ordered(ask)
    except Refused:
        return
    ask.first = size
    keys: list[str] = []
    after, more = None, True
    while more:
        asked = Writer(0).asked(ask, LIST_FIELDS[ask.kind], after)
        text = f"{{ answer: {asked} {{ nodes {{ id }} {_PAGE_PARTS} }} }}"
        page = world.data(text, email)["answer"]
        assert page["totalCount"] == len(rows)
        assert page["pageInfo"]["hasPreviousPage"] == (after is not None)
        assert [edge["node"] for edge in page["edges"]] == page["nodes"]
        if page["edges"]:
            assert page["pageInfo"]["startCursor"] == page["edges"][0]["cursor"]
        keys += [node["id"] for node in page["nodes"]]
        after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
        assert len(keys) <= len(rows)
    assert keys == [row["id"] for row in rows]


@pytest.mark.parametrize("email", sorted(PEOPLE))
def test_record_by_key_is_there_exactly_for_those_who_see_it(world: World, email: str) -> None:
    reference = Reference(ROWS, email)
    for kind, source in (("Account", ("crm", "accounts")), ("Deal", ("crm", "deals"))):
        visible = {row["id"] for row in reference.all_of(kind)}
        one = kind.lower()
        asked = [*(row["id"] for row in ROWS[source][:16]), "nothing", "' OR 1=1 --"]
        fields = " ".join(f"k{n}: {one}(id: $k{n}) {{ id }}" for n in range(len(asked)))
        variables = ", ".join(f"$k{n}: ID!" for n in range(len(asked)))
        given_keys = {f"k{n}": key for n, key in enumerate(asked)}

        data = world.data(f"query ({variables}) {{ {fields} }}", email, variables=given_keys)

        found = {given_keys[name] for name, record in data.items() if record}
        assert found == visible & set(asked)


def assert_same(got: Any, expected: Any, where: str) -> None:
    """Compare answers: keys, order and values alike, floats but for their last digits."""
    if isinstance(expected, dict):
        assert got.keys() == expected.keys(), where
        for key, value in expected.items():
            assert_same(got[key], value, f"{where}\n at {key}")
    elif isinstance(expected, list):
        assert len(got) == len(expected), (got, expected, where)
        for one, other in zip(got, expected, strict=True):
            assert_same(one, other, where)
    elif isinstance(expected, float):
        # DuckDB takes deviations of doubles: from 2^53 on it sees every other whole number only.
        is_wide = re.search(r"at stddev\n at (number|big)$", where) is not None
        tolerance = math.ulp(2.0**53) if is_wide else 1e-9
        assert got is not None and math.isclose(got, expected, abs_tol=tolerance), (
            *(got, expected, where),
        )
    else:
        assert got == expected, (got, expected, where)
