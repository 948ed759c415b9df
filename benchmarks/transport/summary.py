"""The README's section of the transport benchmark, made from its result file alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.words import in_figures, run_of, table, targets


def section(result: Mapping[str, Any]) -> str:
    """Return the section's Markdown."""
    figures, settings = result["figures"], result["settings"]
    costs = [
        [
            f"{at_once} at a time",
            *(
                in_figures(figures["overhead"][at_once][way][quantile])
                for quantile in ("p50_ms", "p99_ms")
                for way in ("bare", "transport")
            ),
            in_figures(figures["overhead"][at_once]["ratio_p50"]),
        ]
        for at_once in figures["overhead"]
    ]
    outage = figures["outage"]
    lines = [
        f"Calls over HTTP to a provider on the same machine, in ms ({run_of(result)}):",
        "",
        *table(
            ["", "httpx2 p50", "Firnline p50", "httpx2 p99", "Firnline p99", "ratio of p50"], costs
        ),
        "",
        f"A provider that answers 503 for {settings['outage_s']:g} s, with {settings['callers']}"
        f" callers: {outage['failed_calls']} calls failed before",
        f"the circuit opened, then calls were refused in {in_figures(outage['refusals']['p50_ms'])}"
        f" ms (p99 {in_figures(outage['refusals']['p99_ms'])} ms) without reaching it;"
        f" {outage['reached_while_open']} probed,",
        "and the first that was answered closed the circuit,"
        f" {in_figures(outage['closed_after_recovery_s'])} s after the provider had recovered.",
        "",
        "![An outage as callers live it](benchmarks/results/transport.png)",
        "",
        *targets(result),
        "",
        "What limits it: most of a call is httpcore's and h11's work on each message, which both"
        " have; the circuit,",
        "the deadlines and the record add some Python. A connection that was busy and well before"
        " opens only once",
        "failures are half of its last minute. Next lever: HTTP/2, one connection for many calls.",
        "",
        "`make bench NAME=transport` repeats it (`OUTAGE_S=60` for a minute of 503).",
        "",
    ]
    return "\n".join(lines)
