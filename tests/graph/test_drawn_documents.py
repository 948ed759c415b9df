"""The documents that other tests draw are worth asking: within limits, and of every kind."""

from __future__ import annotations

from collections import Counter

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.graph.documents import drawn, is_small

COUNT = 400
MEANS = ("@include", "@skip", "fragment ", "... on ", "$", "= ", "byKey", "edges", "aggregate")


def test_hardly_any_drawn_document_is_over_the_guards_limits() -> None:
    """What is over them is never asked, so it must not become the rule."""
    found: Counter[str] = Counter()

    @settings(
        max_examples=COUNT,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def draw(choices: st.DataObject) -> None:
        document = drawn(choices.draw)
        found["small" if is_small(document) else "large"] += 1
        found.update(means for means in MEANS if means.lower() in document.text.lower())

    draw()
    assert found["small"] + found["large"] >= COUNT
    assert found["large"] <= COUNT * 0.02, found
    assert min(found[means] for means in MEANS) >= COUNT * 0.02, found
