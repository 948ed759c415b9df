"""The README's section of the access benchmark, made from its result file alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.words import in_figures, run_of, table, targets

_WORDS = {"list": "page of 20", "count": "count", "nested": "page with related records"}


def section(result: Mapping[str, Any]) -> str:
    """Return the section's Markdown."""
    settings, figures = result["settings"], result["figures"]
    people = list(figures["seen"])
    asked = [
        [_WORDS[name], *(in_figures(found[person]["p50_ms"]) for person in people)]
        for name, found in figures["questions"].items()
    ]
    kept = [
        [title, *(in_figures(figures["first"][person][key]) for person in people)]
        for key, title in (
            ("first_answer_ms", "first answer, after nothing"),
            ("made_behind_ms", "columns and mask, made once behind it"),
        )
    ]
    seen = [
        [f"{name} seen", *(f"{figures['seen'][person][name]:,}" for person in people)]
        for name in ("accounts", "opportunities")
    ]
    lines = [
        f"The same questions as three people at a Salesforce tenant with {settings['records']:,}"
        f" records, {settings['shares']:,} share rows and {settings['roles']} roles,",
        f"p50 in ms, by turns, no answer kept ({run_of(result)}):",
        "",
        *table(["", *people], [*asked, *kept, *seen]),
        "",
        "![Access beside no limits](benchmarks/results/access.png)",
        "",
        *targets(result),
        "",
        "What limits it: the first question of a person with other rights waits for DuckDB to find"
        " their rows; then a",
        "bitmap over the columns in memory stands in for the row filter until permissions or"
        " records change. Next lever:",
        "the bitmaps of roles and groups kept apart, so that a change of one share makes only its"
        " own anew.",
        "",
        "`make bench NAME=access` repeats it (`QUICK=1` with a fifth of the records).",
        "",
    ]
    return "\n".join(lines)
