"""How long a server takes that was just started: to listen, and to its first answers.

The files it reads are in the system's page cache, as after a restart of the process.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.read.cases import Case
from benchmarks.read.postgres import free_port
from benchmarks.read.servers import address, await_listening, stop
from benchmarks.read.targets import Peer


def started(peer: Peer, case: Case, variables: Mapping[str, Any], folder: Path) -> dict[str, float]:
    """Start one server for its first target and give what passed, in ms."""
    port, log = free_port(), folder / f"cold-{peer.program.name.replace(' ', '-')}.log"
    target = peer.at(address(port))[0]
    start = time.perf_counter()
    process = peer.program.start(port, log)
    try:
        await_listening(peer.program.name, process, port, log)
        listening = time.perf_counter()
        target.ask(case, variables)
        first = time.perf_counter()
        target.ask(case, variables)
        second = time.perf_counter()
    finally:
        stop(process)
    return {
        "listening_ms": (listening - start) * 1e3,
        "first_answer_ms": (first - listening) * 1e3,
        "start_to_first_answer_ms": (first - start) * 1e3,
        "second_answer_ms": (second - first) * 1e3,
    }


def measure(
    peers: Sequence[Peer], case: Case, variables: Mapping[str, Any], folder: Path, *, rounds: int
) -> dict[str, dict[str, float]]:
    """Start every server once a round; give the medians by the first target's name."""
    found: dict[str, list[dict[str, float]]] = {}
    for _ in range(rounds):
        for peer in peers:
            one = started(peer, case, variables, folder)
            found.setdefault(peer.targets[0].name, []).append(one)
    return {
        name: {key: round(statistics.median(one[key] for one in several), 1) for key in several[0]}
        for name, several in found.items()
    }
