"""How the read benchmark starts, measures and judges: what it says must be what happened."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

pytest.importorskip("matplotlib", reason="the reports draw plots")

from benchmarks.read import cold, peers, report, stores
from benchmarks.read.cases import CASES, NESTED
from benchmarks.read.dataset import ALL, dataset
from benchmarks.read.load import Loaded
from benchmarks.read.measure import Asked, DifferentAnswerError, check_equal, summarised
from benchmarks.read.reference import Reference
from benchmarks.read.servers import NotStartedError, Program, Servers, held_mb
from benchmarks.read.targets import (
    CACHED_ALL,
    MERCURIUS,
    OURS,
    POSTGRES,
    SQLITE,
    STATIC,
    Peer,
    Target,
)

_NPM = """#!/bin/sh
echo run >> "$CALLS"
mkdir -p node_modules/half
[ "$(wc -l < "$CALLS")" -gt "${FAIL:-0}" ] || { echo "registry is away" >&2; exit 1; }
"""


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put an npm in the way that fails as often as $FAIL says; give the file of its calls."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "npm").write_text(_NPM)
    (programs / "npm").chmod(0o755)
    calls = tmp_path / "calls"
    calls.touch()
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(calls))
    monkeypatch.setenv("FIRNLINE_BENCH_CACHE", str(tmp_path / "cache"))
    return calls


def _count(calls: Path) -> int:
    return len(calls.read_text().split())


def test_node_packages_are_installed_once_until_other_versions_are_wanted(
    npm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = peers.node_packages("mercurius")
    assert (place / "node_modules" / "half").is_dir()
    assert peers.node_packages("mercurius") == place
    assert _count(npm) == 1
    monkeypatch.setitem(peers.NODE_PACKAGES, "mercurius", ("mercurius@17",))
    assert peers.node_packages("mercurius") == place
    assert _count(npm) == 2


def test_installation_that_fails_once_is_tried_again(
    npm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIL", "1")
    assert (peers.node_packages("mercurius") / "installed").is_file()
    assert _count(npm) == 2


def test_installation_that_fails_tells_why_and_leaves_nothing_that_looks_whole(
    npm: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FAIL", "99")
    with pytest.raises(peers.PeerMissingError, match="registry is away"):
        peers.node_packages("mercurius")
    assert list((tmp_path / "cache" / "npm").iterdir()) == []


def test_missing_npm_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("FIRNLINE_BENCH_CACHE", str(tmp_path / "cache"))
    with pytest.raises(peers.PeerMissingError, match="npm is missing"):
        peers.node_packages("mercurius")


@pytest.fixture(scope="module")
def tables() -> dict[str, Any]:
    return dataset(0.02)


@pytest.fixture
def plain(tables: dict[str, Any], tmp_path: Path) -> Peer:
    stores.fill_sqlite(tmp_path / "sqlite", tables)
    command = [sys.executable, "-m", "benchmarks.read.plain", "sqlite"]
    program = Program("plain", lambda port: [*command, str(port), str(tmp_path / "sqlite")])
    return Peer(program, (Target("plain", "", "", ("nested",)),))


def test_cold_start_is_timed_from_the_process_to_its_first_answer(
    plain: Peer, tmp_path: Path
) -> None:
    variables = NESTED.draw(random.Random(1))
    found = cold.measure([plain], NESTED, variables, tmp_path, rounds=1)["plain"]
    parts = found["listening_ms"] + found["first_answer_ms"]
    assert found["start_to_first_answer_ms"] == pytest.approx(parts, abs=0.2)
    assert 0 < found["first_answer_ms"] < found["start_to_first_answer_ms"]


def test_target_that_answers_otherwise_stops_the_run(
    plain: Peer, tables: dict[str, Any], tmp_path: Path
) -> None:
    with Servers(tmp_path) as servers:
        targets = plain.at(servers.start(plain.program))
        check_equal(targets, {ALL: Reference(tables, ALL)}, ("nested",), samples=2, seed=1)
        wrong = tables | {"tickets": tables["tickets"].slice(50)}
        with pytest.raises(DifferentAnswerError, match="plain: nested"):
            check_equal(targets, {ALL: Reference(wrong, ALL)}, ("nested",), samples=9, seed=1)


def test_server_that_ends_at_once_is_told_with_its_last_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such database')"]
    with Servers(tmp_path) as servers, pytest.raises(NotStartedError, match="no such database"):
        servers.start(Program("ends", lambda port: command))


def test_memory_of_a_server_includes_the_processes_it_started() -> None:
    child = "import time; held = bytearray(40_000_000); print(1, flush=True); time.sleep(60)"
    parent = (
        "import subprocess, sys, time;"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}]);"
        "sys.stdin.readline(); child.kill(); child.wait()"
    )
    command = [sys.executable, "-c", parent]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        held = held_mb(process.pid)
        process.communicate(b"\n")
    assert held > 40


def test_repeated_request_is_the_same_every_time_and_others_are_filled_by_the_load() -> None:
    target = Target("firnline", "", "graphql", ("nested",))
    variables = {"segment": "segment-a", "floor": 3}
    fixed = orjson.loads(Asked(NESTED, NESTED.span, variables).body(target))
    assert fixed == {"query": NESTED.graphql, "variables": variables}
    for case in CASES.values():
        assert "%number%" in Asked.of(case).body(target)


def test_rounds_are_summed_up_as_medians_and_failures_are_counted() -> None:
    rounds = [Loaded(10 * at, 10.0 * at, 1.0 * at, 2.0 * at, at, 1) for at in (3, 1, 2)]
    found = summarised(rounds)
    assert (found["rps"], found["p50_ms"], found["p99_ms"]) == (20.0, 2.0, 4.0)
    assert (found["requests"], found["failed"]) == (60, 9)


def _clients(p50_ms: float, rps: float, failed: int = 0) -> dict[str, Any]:
    one = {"p50_ms": p50_ms, "p99_ms": 2 * p50_ms, "rps": rps, "failed": failed}
    return {"1": one, "16": one}


def _figures() -> dict[str, Any]:
    return {
        "nested": {
            OURS: _clients(2.0, 600.0),
            MERCURIUS: _clients(4.0, 200.0),
            SQLITE: _clients(2.5, 500.0),
            POSTGRES: _clients(4.0, 600.0),
        },
        "repeated": {
            "nested": {STATIC: _clients(0.1, 9_000.0), CACHED_ALL: _clients(0.2, 3_000.0)},
            "point": {STATIC: _clients(0.1, 9_000.0), CACHED_ALL: _clients(0.2, 3_000.0)},
        },
        "growth": {
            "nested": {
                "0.05": {"rows": 100, "p50_ms": 2.0},
                "0.5": {"rows": 1_000, "p50_ms": 9.0},
                "5": {"rows": 10_000, "p50_ms": 2.8},
            }
        },
    }


def test_goals_are_judged_by_the_ratios_that_they_name() -> None:
    found = {goal.name: (goal.measured, goal.met) for goal in report.judged(_figures())}
    assert found == {
        "p99 / p50, 1 client": (2.0, True),
        f"p50 / {MERCURIUS}, 1 client": (0.5, True),
        f"rps / {MERCURIUS}, 16 clients": (3.0, True),
        f"p50 / {SQLITE}, 1 client": (0.8, True),
        f"rps / {POSTGRES}, 16 clients": (1.0, False),
        "p50 at 100x rows / at 1x, 1 client": (1.4, True),
        "response cache: rps / static answer, 16 clients": (pytest.approx(1 / 3), False),
        "failed requests": (0, True),
    }


def test_peer_that_was_left_out_judges_nothing_and_failures_of_any_case_count() -> None:
    figures = _figures()
    del figures["nested"][MERCURIUS]
    del figures["growth"]["nested"]["5"]
    figures["point"] = {OURS: _clients(1.0, 1.0, failed=2)}
    found = {goal.name: goal.measured for goal in report.judged(figures)}
    assert not any(MERCURIUS in name or "100x" in name for name in found)
    assert found["failed requests"] == 4
