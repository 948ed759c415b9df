"""Distinct ad-hoc documents without end: caches stay at their bounds, and memory levels off.

10,000 documents with FIRNLINE_TESTS=long. An ordinary run asks a few hundred and makes the caches
of documents small for it, so that each of them is filled many times over.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from tests.graph.runs import IS_LONG, PATIENCE
from tests.graph.world import World

from firnline.graph import respond, schema
from firnline.graph.memory.compiled import CompiledOperations

pytestmark = PATIENCE
COUNT = 10_000 if IS_LONG else 480
BOUND = 1_024 if IS_LONG else 16
WAYS = (
    "{{ k{n}: accounts(first: 1) {{ totalCount nodes {{ id x{n}: name }} }} }}",
    "query Q{n} {{ accounts(where: {{rating: {{eq: {n}}}}}, first: 2) {{ nodes {{ id }} }} }}",
    "query ($n: Int = 3) {{ deals(first: $n) {{ nothing{n}: totalCount }} }}",
    "{{ nothing{n} }}",
    '{{ account(id: "a{n}") {{ id deals(first: 1) {{ nodes {{ k{n}: id }} }} }} }}',
)


@pytest.fixture(scope="module", params=[True, False] if IS_LONG else [True])
def is_resident(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_caches_and_memory_stay_bounded_under_endless_distinct_documents(
    world: World, is_resident: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(respond, "_DOCUMENTS_MAX", BOUND)
    monkeypatch.setattr(schema, "_DOCUMENTS_CACHED_MAX", BOUND)
    world.renew()
    world.responder._recall._compiled = CompiledOperations(BOUND)
    held: list[int] = []
    kept: list[dict[str, int]] = []
    gc.collect()
    tracemalloc.start()
    try:
        # Mostly once each; some again, so that what is prepared for a second time is kept as well.
        for n in range(COUNT):
            for _ in range(1 + (n % 8 == 0)):
                world.ask(WAYS[n % len(WAYS)].format(n=n))
            if (n + 1) % (COUNT // 4) == 0:
                gc.collect()
                held.append(tracemalloc.get_traced_memory()[0])
                kept.append(dict(containers(world.responder)))
    finally:
        tracemalloc.stop()
    documents = len(world.responder._documents)
    compiled = len(world.responder._recall._compiled)
    assert compiled <= BOUND
    assert bool(compiled) == is_resident  # DuckDB's answers are not compiled
    world.renew()

    assert documents == BOUND
    later = {name: size for name, size in kept[-1].items() if size > kept[1].get(name, BOUND)}
    assert later == {}, "these went on growing"
    # What the first quarter filled is all there is to fill.
    assert held[3] - held[1] < held[0] / 4, held


def containers(of: Any, path: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, int]]:
    """Yield the sizes of all mappings and lists that the read path's objects hold.

    What has a bound of its own is left out while it keeps to that.
    """
    seen = set() if seen is None else seen
    if id(of) in seen:
        return
    seen.add(id(of))
    if isinstance(of, Mapping | list | set):
        yield path, len(of)
        values = list(of.values())[:50] if isinstance(of, Mapping) else []
        for each in values:
            yield from containers(each, f"{path}[]", seen)
        return
    if not type(of).__module__.startswith(("firnline.graph", "firnline.recent")):
        return
    names = [*getattr(of, "__dict__", ()), *getattr(type(of), "__slots__", ())]
    for name in names:
        inner = getattr(of, name, None)
        where = f"{path or type(of).__name__}.{name}"
        for at, size in containers(inner, where, seen):
            if at != where or size > getattr(of, "_weight_max", -1):
                yield at, size
