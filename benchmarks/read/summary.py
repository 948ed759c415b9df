"""The README's section of the read benchmark, made from its result file alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.read.cases import WIDE_FIELDS
from benchmarks.read.report import by_latency
from benchmarks.read.targets import CACHED_ALL, MERCURIUS, OURS, POSTGRES, SQLITE, STATIC
from benchmarks.words import in_figures, run_of, table, targets

_CASES = {
    "spread": "the same of 50 accounts from anywhere",
    "point": "one record by key",
    "wide": f"200 records x {len(WIDE_FIELDS)} fields",
    "aggregate": "count, sum, min, max over tickets",
    "group": "tickets grouped by two fields",
    "question": "filters by aggregates of relations, as the demo's",
}
_OTHERS = (OURS, SQLITE, POSTGRES, MERCURIUS)


def section(result: Mapping[str, Any]) -> str:
    """Return the section's Markdown."""
    settings, figures = result["settings"], result["figures"]
    rows = sum(settings["rows"].values())
    lines = [
        "50 accounts of a segment in order, each with its top 5 opportunities, open tickets and"
        " invoices, out of",
        f"{rows:,} rows; new random variables with every request, token and access checks on,"
        " response cache off.",
        "`firnline, all rows` answers a person who may see all, as all peers answer: like for like."
        " `firnline` answers",
        "one with a row filter and a hidden field; the targets judge that one. Before it is"
        " measured, every answer is",
        f"compared with plain Python over the rows ({run_of(result)}):",
        "",
        *_nested(figures["nested"]),
        "",
        "![The read path beside its peers](benchmarks/results/read.png)",
        "",
        *_others(figures),
        *_by_state(figures),
        *targets(result),
        "",
        *_facts(result),
        "",
        *_limits(figures),
        "",
        "`make bench NAME=read` repeats it in about eleven minutes: `wrk` at 1 and at 16 clients,"
        " the targets in turns,",
        f"medians of {_rounds(settings)} (`QUICK=1`: a tenth of the rows, in about a minute). It"
        " needs Debian's `wrk`,",
        "and Node with npm for two of the peers.",
        "",
    ]
    return "\n".join(lines)


def _rounds(settings: Mapping[str, Any]) -> str:
    rounds = settings["rounds"]
    return f"{rounds} round{'s' if rounds > 1 else ''} of {settings['seconds']} s"


def _nested(by_target: Mapping[str, Any]) -> list[str]:
    rows = []
    for name in by_latency(by_target):
        one, many = by_target[name]["1"], by_target[name]["16"]
        cells = [in_figures(one["p50_ms"]), in_figures(one["p99_ms"]), in_figures(many["rps"])]
        rows.append(
            [f"**{name}**", *(f"**{cell}**" for cell in cells)]
            if name.startswith(OURS)
            else [name, *cells]
        )
    titles = ["", "p50 ms, 1 client", "p99 ms, 1 client", "requests a second, 16 clients"]
    return table(titles, rows)


def _others(figures: Mapping[str, Any]) -> list[str]:
    """Return a row per other case: p50 at one client, and throughput at 16."""
    rows = []
    for case, words in _CASES.items():
        if case in figures:
            found = [figures[case].get(name) for name in _OTHERS]
            rows.append([words, *(_pair(each) for each in found)])
    if not rows:
        return []
    titles = ["p50 ms, 1 client / requests a second, 16 clients", *_OTHERS]
    return [*table(titles, rows), ""]


def _pair(by_clients: Mapping[str, Any] | None) -> str:
    if by_clients is None:
        return ""
    return f"{in_figures(by_clients['1']['p50_ms'])} / {in_figures(by_clients['16']['rps'])}"


def _facts(result: Mapping[str, Any]) -> list[str]:
    figures = result["figures"]
    cold, memory = figures["cold"]["nested"][OURS], figures["memory"]["resident"]
    return [
        f"- Cold process: {cold['start_to_first_answer_ms'] / 1e3:.1f} s from start to the first"
        f" answer, which itself takes {cold['first_answer_ms']:.0f} ms; the second"
        f" {in_figures(cold['second_answer_ms'])} ms.",
        f"- Growth, p50 of the same question at one client: {_grown(figures, 'nested')}; of 50"
        f" accounts from anywhere: {_grown(figures, 'spread')}; of the groups:"
        f" {_grown(figures, 'group')}.",
        f"- Memory: {memory['bytes_per_row']:.0f} bytes per row made resident"
        f" ({memory['arrow_bytes_per_row']:.0f} in Arrow columns), at {memory['rows']:,} rows,"
        " after some hundred questions.",
    ]


def _by_state(figures: Mapping[str, Any]) -> list[str]:
    """Return a row per case: the first answer of a new process, and of the response cache."""
    rows = []
    for case, words in {"nested": "accounts with three lists each", **_CASES}.items():
        cold, repeated = figures["cold"].get(case, {}), figures["repeated"].get(case, {})
        if case not in figures or CACHED_ALL not in repeated:
            continue
        firsts = [_first(cold.get(name)) for name in (OURS, POSTGRES, MERCURIUS)]
        cached, static = (repeated[name]["16"]["rps"] for name in (CACHED_ALL, STATIC))
        rates = [in_figures(cached), in_figures(static), in_figures(cached / static)]
        rows.append([words, *firsts, *rates])
    if not rows:
        return []
    firsts = [f"first answer ms, {name}" for name in (OURS, POSTGRES, MERCURIUS)]
    titles = ["", *firsts, "response cache, requests a second", "static answer", "ratio"]
    lead = (
        "A process that was just started, and one request repeated by 16 clients beside the same"
        " bytes as a constant behind bare Starlette:"
    )
    return [lead, "", *table(titles, rows), ""]


def _first(cold: Mapping[str, float] | None) -> str:
    return "" if cold is None else in_figures(cold["first_answer_ms"])


def _grown(figures: Mapping[str, Any], case: str) -> str:
    sizes = figures["growth"][case].values()
    return ", ".join(f"{in_figures(one['p50_ms'])} ms at {one['rows']:,} rows" for one in sizes)


def _limits(figures: Mapping[str, Any]) -> list[str]:
    inside = figures["memory"]["resident"]["in_process_p50_ms"]
    static = figures["nested"][STATIC]["1"]["p50_ms"]
    return [
        "What limits it, and the next lever:",
        "",
        f"- One client: without HTTP, token and a load beside it the question takes"
        f" {in_figures(inside)} ms in plan, access, columns and JSON; HTTP alone costs"
        f" {in_figures(static)} ms (the static answer). Rows that were answered before are kept as"
        " text: accounts from anywhere cost more than the top ones, until most were asked for."
        " Lever: joining the rows' texts in compiled code.",
        "- 16 clients: Python's processor time per answer; the load generator takes part of the"
        " same cores. Lever: several processes over the same columns, mapped from Arrow files.",
        "- Response cache: HTTP parsing and the socket, then counters and the record of each"
        " answer. Lever: heads of responses made once, too.",
        "- Aggregates, groups and filters through relations: DuckDB scans, so their time grows with"
        " the rows, where the SQL peers have an index made for the question. Lever: sums and groups"
        " over the columns in memory, kept per data version and row filter.",
        "- Cold: Python's imports, then opening the cache and compiling the plan, which publishing"
        " does ahead; tables become resident behind the answer. Lever: columns kept as files.",
        "- Memory: beside the columns, each order and key asked for has an index of its own, and"
        " answered rows are kept as text. Lever: narrower integers for codes and positions.",
    ]
