"""One measurement in a process of its own: `python -m benchmarks.schema.subject WHAT ...`.

Prints one JSON line. Memory is what the process holds more than before, so that nothing measured
earlier counts.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import tempfile
import time
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import yaml

from firnline.access.principal import Principal
from firnline.catalog.model import Catalog, FieldInfo, ObjectInfo
from firnline.graph.schema import TenantSchema
from firnline.graph.shape import TenantGraph, build_graph
from firnline.spec.load import load_project

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
_THING = {
    "fields": {"id": {"type": "id"}},
    "sources": {"bench": {"object": "object000", "fields": {"id": "id"}}},
}
_TYPES = ("string", "int", "decimal", "bool", "timestamp", "date", "float", "long", "string", "id")
_PROVIDER = "bench"
TENANT_OBJECTS, TENANT_FIELDS = 50, 60


def catalog(objects: int, fields: int, shape: int = 0) -> Catalog:
    """Return a catalog as discovery finds it; `shape` makes its field names its own."""
    return Catalog(
        provider=_PROVIDER,
        objects=tuple(
            ObjectInfo(
                name=f"object{number:03d}",
                key="id",
                fields=(
                    FieldInfo(name="id", type="id"),
                    *(
                        FieldInfo(name=f"f{shape}_{at:03d}", type=_TYPES[at % len(_TYPES)])  # type: ignore[arg-type]
                        for at in range(1, fields)
                    ),
                ),
            )
            for number in range(objects)
        ),
    )


def write_project(folder: Path, tenants: int) -> Path:
    """Write a project whose tenants show their provider's objects as they are."""
    (folder / "tenants").mkdir()
    spec = {
        "version": 1,
        "name": "bench",
        "objects": {"Thing": _THING},
        "access": {
            "objects": {"*": {"mode": "mirror"}},
            "providers": {_PROVIDER: {"*": {"mode": "mirror"}}},
        },
    }
    (folder / "firnline.yaml").write_text(yaml.safe_dump(spec))
    for number in range(tenants):
        tenant = {"tenant": f"t{number:04d}", "connections": {"crm": {"provider": _PROVIDER}}}
        (folder / "tenants" / f"t{number:04d}.yaml").write_text(yaml.safe_dump(tenant))
    return folder


def rss_mb() -> float:
    """Return what the process holds now, in MB."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _graph(folder: Path, objects: int, fields: int) -> TenantGraph:
    project = load_project(write_project(folder, 1))
    return build_graph(project, "t0000", {"crm": catalog(objects, fields)})


def build(objects: int, fields: int) -> dict[str, Any]:
    """Measure one schema: the first build, later ones, what is allocated, a first operation."""
    with tempfile.TemporaryDirectory() as name:
        start = time.perf_counter()
        graph = _graph(Path(name), objects, fields)
        graph_ms = (time.perf_counter() - start) * 1e3
    times = []
    for _ in range(9):
        start = time.perf_counter()
        TenantSchema(graph)
        times.append((time.perf_counter() - start) * 1e3)
        gc.collect()
    tracemalloc.start()
    schema = TenantSchema(graph)
    gc.collect()
    held_mb = tracemalloc.get_traced_memory()[0] / 2**20
    tracemalloc.stop()
    start = time.perf_counter()
    text = schema.as_str()
    return {
        "graph_ms": round(graph_ms, 1),
        "first_ms": round(times[0], 1),
        "build_ms": round(min(times[1:]), 1),
        "memory_mb": round(held_mb, 2),
        "sdl_ms": round((time.perf_counter() - start) * 1e3, 1),
        "sdl_kb": round(len(text) / 1024),
    }


async def tenants(count: int, shapes: int) -> dict[str, Any]:
    """Measure many tenants on one process: every one's first answer, and memory after all."""
    from benchmarks.schema.stage import answering

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with answering(folder, count, shapes) as app:
            before = rss_mb()
            times = []
            for number in range(count):
                shape = number % shapes
                query = f"{{ crm {{ object000(first: 1) {{ nodes {{ id f{shape}_001 }} }} }} }}"
                who = Principal(tenant=f"t{number:04d}", email="all@bench.example", name="")
                start = time.perf_counter()
                answer = await app.ask(who, query)
                times.append((time.perf_counter() - start) * 1e3)
                found = orjson.loads(answer.body())
                assert found["data"]["crm"]["object000"]["nodes"], found
            after, left_open = rss_mb(), len(app.caches.open_tenants())
    ordered = sorted(times)
    return {
        "tenants": count,
        "shapes": shapes,
        "open_caches": left_open,
        "before_mb": round(before, 1),
        "after_mb": round(after, 1),
        "per_tenant_mb": round((after - before) / count, 3),
        "first_answer_p50_ms": round(ordered[count // 2], 1),
        "first_answer_p95_ms": round(ordered[max(count * 95 // 100 - 1, 0)], 1),
        "first_answer_p99_ms": round(ordered[max(count * 99 // 100 - 1, 0)], 1),
        "first_answer_max_ms": round(ordered[-1], 1),
    }


def main(arguments: list[str]) -> None:
    """Measure what the command line names."""
    what, *numbers = arguments
    first, second = map(int, numbers)
    found = build(first, second) if what == "build" else asyncio.run(tenants(first, second))
    sys.stdout.buffer.write(orjson.dumps(found) + b"\n")


if __name__ == "__main__":
    main(sys.argv[1:])
