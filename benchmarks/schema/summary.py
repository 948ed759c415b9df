"""The README's section of the schema benchmark, made from its result file alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.words import in_figures, run_of, table, targets


def section(result: Mapping[str, Any]) -> str:
    """Return the section's Markdown."""
    builds, many = result["figures"]["builds"], result["figures"]["tenants"]
    rows = [
        [size, *(in_figures(one[key]) for key in ("build_ms", "first_ms", "memory_mb", "sdl_ms"))]
        for size, one in builds.items()
    ]
    lines = [
        "Building one tenant's schema, and many tenants of a few shapes answering from one process",
        f"({run_of(result)}):",
        "",
        *table(["types x fields", "build ms", "first build ms", "memory MB", "SDL ms"], rows),
        "",
        f"{many['tenants']:,} tenants of {many['shapes']} shapes: {many['after_mb']:,.0f} MB for"
        f" the process ({in_figures(many['per_tenant_mb'])} MB a tenant more), a tenant's first"
        f" answer {in_figures(many['first_answer_p50_ms'])} ms,"
        f" p99 {in_figures(many['first_answer_p99_ms'])} ms.",
        "",
        "![Building a tenant's schema](benchmarks/results/schema.png)",
        "",
        *targets(result),
        "",
        "What limits it: a schema is Python objects, some for each type and field, made once per"
        " shape; a tenant's",
        "memory is mostly its open DuckDB file, and its first answer waits for that to open."
        " Next lever:",
        "one DuckDB instance with the files attached that are in use.",
        "",
        "`make bench NAME=schema` repeats it (`QUICK=1` with 50 tenants).",
        "",
    ]
    return "\n".join(lines)
