"""A commit to what a person may not see makes no other answer for them: a subscription is silent.

The hidden part of a tenant is scrambled by a commit; for a battery of operations the answers before
and after have one fingerprint, cursors included.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.graph.asking import Writer, asks
from tests.graph.reference import LIST_FIELDS
from tests.graph.runs import IS_LONG, PATIENCE
from tests.graph.test_non_interference import ANSWERED, ROWS, scrambled
from tests.graph.world import PEOPLE, World

from firnline.graph.live import fingerprint

pytestmark = PATIENCE
OPERATIONS = 200 if IS_LONG else 25
PAGES = (
    "{ deals(first: 3) { totalCount edges { cursor node { id } } pageInfo { endCursor } } }",
    "{ accounts { aggregate { avg { rating revenue } stddev { rating } percentile(p: 0.3) "
    "{ rating } } } }",
    "{ deals { aggregate { avg { probability quantity } stddev { probability quantity } } } }",
)


@pytest.fixture(scope="module", params=[False, True], ids=["duckdb", "resident"])
def is_resident(request: pytest.FixtureRequest) -> bool:
    """Hold this both ways: from DuckDB alone, and with columns in memory."""
    return bool(request.param)


def drawn() -> list[str]:
    """Return operations drawn at random."""
    texts: list[str] = []

    @settings(
        max_examples=OPERATIONS,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(ask=asks(), seed=st.integers(0, 999))
    def collect(ask: object, seed: int) -> None:
        texts.append(Writer(seed).operation(ask, LIST_FIELDS[ask.kind]))  # type: ignore[attr-defined]

    collect()
    return texts


@pytest.fixture(scope="module")
def texts() -> Iterator[list[str]]:
    named = [text for kind, each in ANSWERED.items() if kind != "definitions" for text in each]
    yield [*PAGES, *named, *drawn()]


@pytest.mark.parametrize("email", sorted(PEOPLE))
def test_commit_to_hidden_rows_and_fields_makes_no_other_answer(
    world: World, texts: list[str], email: str
) -> None:
    world.write(ROWS)
    before = [fingerprint(world.answer(text, email)) for text in texts]
    generation = world.database().generation
    world.write(scrambled(email, seed=len(email)))
    assert world.database().generation > generation
    for text, expected in zip(texts, before, strict=True):
        assert fingerprint(world.answer(text, email)) == expected, text


def test_commit_that_is_seen_makes_another_answer(world: World, texts: list[str]) -> None:
    """Otherwise equal fingerprints would prove nothing."""
    world.write(ROWS)
    before = [fingerprint(world.answer(text)) for text in texts]
    world.write(scrambled("rep@x.test", seed=1))
    after = [fingerprint(world.answer(text)) for text in texts]
    others = sum(old != new for old, new in zip(before, after, strict=True))
    assert others > len(texts) / 3
