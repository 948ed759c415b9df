"""Who is measured: each target's process, its requests, and how its answer is compared."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from benchmarks.read import firnline_home
from benchmarks.read.cases import CASES, Case
from benchmarks.read.dataset import ALL, REP
from benchmarks.read.peers import node_packages
from benchmarks.read.postgres import free_port
from benchmarks.read.reference import comparable

_ROOT = Path(__file__).resolve().parents[2]
_START_S = 60.0
_STOP_S = 20.0
_NODE = Path(__file__).with_name("node")


@dataclass(frozen=True, slots=True)
class Target:
    """One server under load. `form` names the text of a case; empty: it takes the case's name."""

    name: str
    url: str
    form: str
    cases: tuple[str, ...]
    email: str = ALL  # whose answer it gives
    token: str = ""

    def template(self, case: Case) -> str:
        """Return the body that the load script fills."""
        if not self.form:
            return f'{{"case":"{case.name}","variables":{case.template()}}}'
        query = orjson.dumps(getattr(case, self.form)).decode()
        return f'{{"query":{query},"variables":{case.template()}}}'

    def ask(self, case: Case, variables: Mapping[str, Any]) -> Any:
        """Return the answer's data in the comparable form."""
        body: dict[str, Any] = {"variables": dict(variables)}
        body |= {"query": getattr(case, self.form)} if self.form else {"case": case.name}
        headers = {"content-type": "application/json"}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(self.url, orjson.dumps(body), headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                answer = orjson.loads(response.read())
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{self.name}: {error.read()[:500]!r}") from None
        if answer.get("errors"):
            raise AssertionError(f"{self.name}: {answer['errors']}")
        return comparable(answer["data"])


class Servers:
    """Starts servers and stops every one of them in the end."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._stack = ExitStack()
        self.pids: dict[str, int] = {}

    def __enter__(self) -> Servers:
        return self

    def __exit__(self, *failure: object) -> None:
        self._stack.close()

    def start(
        self,
        name: str,
        command: Callable[[int], list[str]],
        *,
        cwd: Path = _ROOT,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """Start a server at a free port and wait until it listens; return its address."""
        port = free_port()
        log = self._stack.enter_context((self._logs / f"{name.replace(' ', '-')}.log").open("wb"))
        process = subprocess.Popen(
            command(port), cwd=cwd, env=environment or os.environ, stdout=log, stderr=log
        )
        self._stack.callback(_stop, process)
        self.pids[name] = process.pid
        url = f"http://127.0.0.1:{port}/graphql"
        until = time.monotonic() + _START_S
        while time.monotonic() < until and process.poll() is None:
            try:
                urllib.request.urlopen(url, timeout=2)
            except urllib.error.HTTPError:
                return url
            except OSError:
                time.sleep(0.1)
                continue
            return url
        text = Path(log.name).read_text("utf-8", "replace")[-600:]
        raise RuntimeError(f"{name} did not start: {text}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def start_all(
    servers: Servers, home: Path, files: Mapping[str, Path], port: int, say: Callable[[str], None]
) -> list[Target]:
    """Start every target that can run here; tell of those that cannot."""
    everything = tuple(CASES)
    found = []
    firnline = Path(sys.executable).with_name("firnline")
    url = servers.start(
        "firnline",
        lambda at: [str(firnline), "serve", "-d", str(firnline_home.PROJECT), "--port", str(at)],
        environment=firnline_home.environment(home),
    )
    for name, email in (("firnline", REP), ("firnline, all rows", ALL)):
        token = firnline_home.token(home, email)
        found.append(Target(name, url, "graphql", everything, email, token))
    for kind, place in (
        ("static", files["static"]),
        ("sqlite", files["sqlite"]),
        ("postgres", port),
        ("duckdb", files["duckdb"]),
    ):
        url = servers.start(
            kind,
            lambda at, kind=kind, place=place: [  # type: ignore[misc]
                *(sys.executable, "-m", "benchmarks.read.plain"),
                *(kind, str(at), str(place)),
            ],
        )
        name = "static answer" if kind == "static" else f"{kind}, one SQL"
        found.append(Target(name, url, "", ("nested",) if kind == "static" else everything))
    url = servers.start(
        "strawberry",
        lambda at: [
            *(sys.executable, "-m", "benchmarks.read.strawberry_app"),
            *(str(at), str(files["duckdb"])),
        ],
    )
    found.append(Target("strawberry + loaders", url, "flat", ("nested", "point")))
    found += _node_targets(servers, port, say)
    return found


def _node_targets(servers: Servers, port: int, say: Callable[[str], None]) -> list[Target]:
    found = []
    for name, form, cases, program in (
        ("mercurius", "flat", tuple(CASES), "node"),
        ("postgraphile", "postgraphile", ("nested", "point", "wide"), "node_modules/.bin/node"),
    ):
        try:
            place = node_packages(name)
            url = servers.start(
                name,
                lambda at, place=place, name=name, program=program: [  # type: ignore[misc]
                    program if program == "node" else str(place / program),
                    *(str(_NODE / f"{name}.js"), str(at), str(port)),
                ],
                cwd=place,
                environment=os.environ | {"NODE_ENV": "production", "GRAPHILE_ENV": "production"},
            )
        except (OSError, subprocess.SubprocessError, RuntimeError) as error:
            say(f"{name} is left out: {str(error)[:300]}")
            continue
        label = "mercurius + jit" if name == "mercurius" else name
        found.append(Target(label, url, form, cases))
    return found
