"""`firnline demo`: what it answers, that both ways agree, and that it leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from firnline.connectors.registry import load_sandbox_module
from firnline.sandbox.protocol import SandboxOptions
from firnline.sandbox.seed import company
from firnline.sandbox.server import sandboxed_providers

SCALE = 0.05
COMMAND = (
    sys.executable,
    "-c",
    "from firnline.cli import main; main()",
    "demo",
    *("--scale", str(SCALE), "--home", "home"),
)
PATIENCE_S = 60


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """Return what `firnline demo --once --json` prints, run in an empty directory."""
    folder = tmp_path_factory.mktemp("empty")
    done = subprocess.run(
        [*COMMAND, "--latency", "0-0", "--once", "--json"],
        cwd=folder,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.count(b"\n") == 1, "exactly one JSON object"
    assert b"rate limits are off" in done.stderr
    assert (folder / "home").stat().st_mode & 0o077 == 0
    assert list(folder.iterdir()) == [folder / "home"]
    facts: Mapping[str, Any] = orjson.loads(done.stdout)
    return facts


def _people(shown: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for tenant, facts in shown["tenants"].items():
        for chair, person in facts["people"].items():
            yield tenant, chair, person


def _deals(shown: Mapping[str, Any], tenant: str, chair: str) -> list[str]:
    nodes = shown["tenants"][tenant]["people"][chair]["data"]["deals"]["nodes"]
    return [node["name"] for node in nodes]


def test_demo_answers_rep_and_manager_of_both_tenants(shown: Mapping[str, Any]) -> None:
    asked = {(tenant, chair) for tenant, chair, _ in _people(shown)}
    assert asked == {(t, c) for t in ("acme", "globex") for c in ("rep", "manager")}
    for _, _, person in _people(shown):
        assert person["cached_ms"] > 0
        assert person["live_ms"] > 0
        assert set(person["extensions"]) == {"access", "freshness"}
        assert person["data"]["deals"]["nodes"]


def test_live_calls_give_the_same_answers(shown: Mapping[str, Any]) -> None:
    for tenant, chair, person in _people(shown):
        assert person["live_equal"] is True, (tenant, chair)
        assert person["live_calls"] >= 4, "three systems, and one more for the tickets"


def test_rep_gets_strictly_less_than_her_manager(shown: Mapping[str, Any]) -> None:
    assert set(_deals(shown, "acme", "rep")) < set(_deals(shown, "acme", "manager"))


def test_contractor_gets_no_amounts_and_is_told_why(shown: Mapping[str, Any]) -> None:
    for facts in shown["tenants"].values():
        assert facts["masked"]["data"]["deals"]["nodes"]
        assert {deal["amount"] for deal in facts["masked"]["data"]["deals"]["nodes"]} == {None}
        reasons = {
            note["coordinate"]: note["reason"] for note in facts["masked"]["extensions"]["access"]
        }
        assert "Contract Sales" in reasons["Deal.amount"]


def test_revoked_connection_is_noticed_answered_as_stale_and_resumed(
    shown: Mapping[str, Any],
) -> None:
    lost = shown["lost"]

    assert (lost["noticed"], lost["stale"]["connection"]) == ("needs_reconnect", "needs_reconnect")
    assert lost["reason"]
    assert lost["answered"] > 0
    assert lost["incremental"] is True
    assert lost["rows_again"] < lost["rows_first"]


def test_synced_counts_are_the_sandboxes_counts(shown: Mapping[str, Any]) -> None:
    now = datetime.now(UTC)
    for tenant in ("acme", "globex"):
        world = company(tenant, scale=SCALE, now=now)
        for provider in sandboxed_providers():
            sandbox = load_sandbox_module(provider).create(world, SandboxOptions(seed=7, now=now))
            synced = shown["synced"][tenant][provider]
            held = {name: count for name, count in sandbox.counts().items() if name in synced}
            assert held == {name: synced[name] for name in held}
            assert len(held) >= 5, provider


def _children(pid: int) -> set[int]:
    """Return the processes that `pid` started."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found.add(int(stat.parent.name))
    return found


def _is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are read from /proc")
@pytest.mark.parametrize(
    ("number", "latency", "when"),
    [(signal.SIGTERM, "300-300", b"discover"), (signal.SIGINT, "0-0", b"Serving until")],
    ids=["terminated while it prepares", "interrupted while it serves"],
)
def test_stopped_demo_leaves_no_process(
    tmp_path: Path, number: signal.Signals, latency: str, when: bytes
) -> None:
    started = subprocess.Popen(
        [*COMMAND, "--scale", "0.02", "--latency", latency, "--port", "0"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        # A shell that runs the tests in the background has them, and us, ignore interrupts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads
    )
    with started, contextlib.ExitStack() as ended:
        ended.callback(started.kill)  # whatever fails here, nothing goes on serving
        assert started.stdout is not None
        if when == b"discover":
            _wait_for(tmp_path / "home" / "state.db")
        else:
            assert any(when in line for line in started.stdout)
        children = _children(started.pid)
        started.send_signal(number)
        said, _ = started.communicate(timeout=PATIENCE_S)
    assert len(children) == 2, "one process for each tenant"
    assert not [pid for pid in children if _is_alive(pid)]
    assert b"Traceback" not in said
    assert started.returncode == (0 if when == b"Serving until" else 128 + number)
    assert not list((tmp_path / "home").glob("sandbox*.json")), "client secrets are not left behind"


def _wait_for(path: Path) -> None:
    ends_at = time.monotonic() + PATIENCE_S
    while not path.exists():
        assert time.monotonic() < ends_at, path
        time.sleep(0.05)
