"""Puts the measured figures into README.md, between `<!-- benchmarks:NAME -->` and `<!-- end -->`.

Run as `python -m benchmarks.readme --write` or `--check`; the figures come from benchmarks/results.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import orjson

from benchmarks.access import summary as access
from benchmarks.read import summary as read
from benchmarks.schema import summary as schema
from benchmarks.transport import summary as transport

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
_SECTION = re.compile(r"(<!-- benchmarks:(\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def demo(result: dict[str, Any]) -> str:
    """Return the section of the demo benchmark."""
    machine, settings = result["machine"], result["settings"]
    low, high = settings["latency_ms"]
    lines = [
        "| person | cached p50 | cached p95 | live p50 | live calls | ratio |",
        "|---|---|---|---|---|---|",
    ]
    for person, figures in result["figures"].items():
        cached, live = figures["cached"], figures["live"]
        lines.append(
            f"| {person} | {cached['p50_ms']:.0f} ms | {cached['p95_ms']:.0f} ms "
            f"| {live['p50_ms']:,.0f} ms | {figures['live_calls']} | {figures['ratio']:.0f}x |"
        )
    return "\n".join(
        [
            "The demo question over three systems, from the cache beside well-batched live calls as"
            " the same person",
            f"({low}-{high} ms a call, scale {settings['scale']:g}, {machine['cores']} cores,"
            f" {result['date'][:10]}; both give the same answer):",
            "",
            *lines,
            "",
            "![Cached against live](benchmarks/results/demo.png)",
            "",
        ]
    )


SECTIONS = {
    "demo": demo,
    "read": read.section,
    "schema": schema.section,
    "access": access.section,
    "transport": transport.section,
}


def filled(text: str) -> str:
    """Return `text` with every section made from its result file."""

    def section(match: re.Match[str]) -> str:
        start, name, end = match.groups()
        result = orjson.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_bytes())
        return f"{start}{SECTIONS[name](result)}{end}"

    return _SECTION.sub(section, text)


def main(arguments: list[str]) -> int:
    """Write the sections, or say whether they are current."""
    text = README.read_text("utf-8")
    wanted = filled(text)
    if arguments == ["--write"]:
        README.write_text(wanted, "utf-8")
        return 0
    if wanted != text:
        sys.stderr.write("README.md shows other figures: python -m benchmarks.readme --write\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
