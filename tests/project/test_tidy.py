"""The tree is the map: imports point one way, SQL stands in one place, names are the house's."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "firnline"
MODULES = sorted(SOURCE.rglob("*.py"))
CONNECTORS = sorted((ROOT / "connectors").rglob("*.py"))

# What each room may import, itself and the shared modules aside.
MAY_IMPORT: dict[str, set[str]] = {
    "spec": {"connectors", "catalog"},
    "state": {"catalog"},
    "transport": {"connectors"},
    "connectors": {"access", "catalog"},
    "catalog": {"spec", "cache", "connectors"},
    "cache": {"catalog", "access"},
    "access": {"catalog", "cache"},
    "connections": {"connectors", "state", "transport", "spec"},
    "sync": {"cache", "catalog", "connectors", "spec"},
    "graph": {"access", "cache", "catalog", "connectors", "spec", "state"},
    "observe": {"state", "transport"},
    "web": {
        *("access", "app", "cache", "catalog", "connections", "connectors", "graph", "observe"),
        *("spec", "state", "transport"),
    },
    "sandbox": {"connectors", "connections", "spec", "state", "transport"},
}
SHARED = {"errors", "clock", "settings", "recent", "flights", "__init__"}
FORBIDDEN_NAMES = {"utils", "helpers", "manager", "data", "info", "process", "handle", "common"}


def imports_of(path: Path) -> Iterator[str]:
    """Yield the firnline rooms that a module imports."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "firnline" and len(parts) > 1:
                yield parts[1]


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_room_imports_only_what_lies_below_it(room: str) -> None:
    allowed = MAY_IMPORT[room] | SHARED | {room}
    wrong = {
        f"{path.relative_to(SOURCE)} imports {name}"
        for path in MODULES
        if path.relative_to(SOURCE).parts[0] == room
        for name in imports_of(path)
        if name not in allowed
    }
    assert not wrong


def test_stages_never_import_one_another() -> None:
    stages = {"sync", "graph", "write"}
    for path in MODULES:
        room = path.relative_to(SOURCE).parts[0]
        if room in stages:
            assert not (set(imports_of(path)) & (stages - {room})), path


def test_sql_text_stands_in_cache_only() -> None:
    statement = re.compile(
        r"\b(SELECT\s+.+\s+FROM|INSERT\s+INTO|DELETE\s+FROM|UPDATE\s+\w+\s+SET"
        r"|CREATE\s+(TABLE|SCHEMA))\b",
        re.DOTALL,
    )
    wrong = []
    for path in MODULES:
        if path.relative_to(SOURCE).parts[0] in {"cache", "demo"}:  # demo asks providers live
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and statement.search(text):
                wrong.append(f"{path.relative_to(SOURCE)}:{node.lineno}")
    assert not wrong


def test_time_is_read_and_slept_in_clock_only() -> None:
    pattern = re.compile(
        r"datetime\.now\(|datetime\.utcnow\(|time\.time\(|time\.sleep\(|asyncio\.sleep\("
    )
    for path in MODULES:
        relative = path.relative_to(SOURCE)
        if relative.parts[0] in {"clock.py", "transport"}:
            continue
        assert not pattern.search(path.read_text("utf-8")), relative


def test_outbound_http_has_one_client() -> None:
    for path in MODULES:
        room = path.relative_to(SOURCE).parts[0]
        if room not in {"transport", "sandbox"}:
            names = {
                alias.name
                for node in ast.walk(ast.parse(path.read_text("utf-8")))
                if isinstance(node, ast.Import)
                for alias in node.names
            }
            assert not names & {"httpx2", "requests", "urllib.request"}, path


def test_modules_say_what_they_are_and_stay_small() -> None:
    for path in [*MODULES, *CONNECTORS]:
        text = path.read_text("utf-8")
        assert ast.get_docstring(ast.parse(text)) or not text.strip(), path
        assert text.count("\n") <= 500, f"{path} holds two rooms"


def test_names_are_the_house_s() -> None:
    wrong = [path for path in MODULES if path.stem in FORBIDDEN_NAMES]
    allowed = {SOURCE / "sandbox" / "process.py"}  # a child process, in the plain sense
    assert not set(wrong) - allowed


def test_error_page_is_current() -> None:
    # In a process of its own: the tests define errors, too.
    environment = {k: v for k, v in os.environ.items() if k != "FIRNLINE_CONNECTORS"}
    command = [sys.executable, "-m", "firnline.cli.error_docs", "--check"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_error_codes_are_words() -> None:
    page = (ROOT / "docs" / "errors.md").read_text("utf-8")
    codes = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
    assert len(codes) == len(set(codes)) > 50
    apollos = {"PERSISTED_QUERY_NOT_FOUND", "PERSISTED_QUERY_NOT_SUPPORTED"}  # its clients' words
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", code) for code in set(codes) - apollos)


def test_lock_names_no_registry_and_keeps_the_floors() -> None:
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    assert "://" not in lock
    pinned = dict(re.findall(r"^([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?==(\S+)", lock, re.MULTILINE))
    floors = {
        "strawberry-graphql": (0, 341),
        "graphql-core": (3, 3, 2),
        "starlette": (1, 3, 1),
        "authlib": (1, 9, 0),
        "joserfc": (1, 7, 7),
        "uvicorn": (0, 49),
        "duckdb": (2, 0),
        "pyyaml": (5, 4),
        "httpx2": (2, 15),
    }
    names = {name.lower(): version for name, version in pinned.items()}
    for name, floor in floors.items():
        found = tuple(int(part) for part in re.findall(r"\d+", names[name])[: len(floor)])
        assert found >= floor, f"{name} {names[name]}"
    assert "python-multipart" not in names


def test_nothing_of_a_build_machine_is_tracked() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False
    ).stdout.decode()
    if not tracked:
        pytest.skip("not a git checkout")
    for name in tracked.split("\0"):
        path = ROOT / name
        if name and path.is_file() and path.suffix in {".py", ".md", ".toml", ".yaml", ".sh", ""}:
            text = path.read_text("utf-8", "replace")
            assert "/" + "work/" not in text, name
