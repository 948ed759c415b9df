"""Who is measured: each target's process, its requests, and how its answer is compared."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from benchmarks.read import firnline_home
from benchmarks.read.cases import CASES, Case
from benchmarks.read.dataset import ALL, REP
from benchmarks.read.peers import PeerMissingError, node_packages
from benchmarks.read.reference import comparable
from benchmarks.read.servers import NotStartedError, Program, Servers

OURS, OURS_ALL = "firnline", "firnline, all rows"
STATIC, MERCURIUS, POSTGRAPHILE = "static answer", "mercurius + jit", "postgraphile"
SQLITE, POSTGRES, DUCKDB = "sqlite, one SQL", "postgres, one SQL", "duckdb, one SQL"
STRAWBERRY = "strawberry + loaders"
CACHED, CACHED_ALL = "firnline, response cache", "firnline, response cache, all rows"
_RESPONSE_CACHE_MB = 64
_NODE = Path(__file__).with_name("node")
_EVERYTHING = tuple(CASES)
# To the person with a row filter, tickets and assets are as to everybody: one target is enough.
_FILTERED = ("nested", "spread", "question")


@dataclass(frozen=True, slots=True)
class Target:
    """One server under load. `form` names the text of a case; empty: it takes the case's name."""

    name: str
    url: str
    form: str
    cases: tuple[str, ...]
    email: str = ALL  # whose answer it gives
    token: str = ""

    def body(self, case: Case, variables: str) -> str:
        """Return the request's body with `variables`, a JSON text or what becomes one."""
        if not self.form:
            return f'{{"case":"{case.name}","variables":{variables}}}'
        query = orjson.dumps(getattr(case, self.form)).decode()
        return f'{{"query":{query},"variables":{variables}}}'

    def ask(self, case: Case, variables: Mapping[str, Any]) -> Any:
        """Return the answer's data in the comparable form."""
        body = self.body(case, orjson.dumps(variables).decode()).encode()
        headers = {"content-type": "application/json"}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(self.url, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                answer = orjson.loads(response.read())
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{self.name}: {error.read()[:500]!r}") from None
        if answer.get("errors"):
            raise AssertionError(f"{self.name}: {answer['errors']}")
        return comparable(answer["data"])


@dataclass(frozen=True, slots=True)
class Peer:
    """One server and the targets that it answers for; their addresses are given at its start."""

    program: Program
    targets: tuple[Target, ...]

    def at(self, url: str) -> list[Target]:
        """Return the targets at the server's address."""
        return [replace(target, url=url) for target in self.targets]


def peers(
    home: Path, files: Mapping[str, Path], port: int, say: Callable[[str], None]
) -> list[Peer]:
    """Return everyone who can be measured here; tell of those that cannot."""
    found = [firnline(home)]
    for kind, name, place in (
        ("static", STATIC, files["static"]),
        ("sqlite", SQLITE, files["sqlite"]),
        ("postgres", POSTGRES, port),
        ("duckdb", DUCKDB, files["duckdb"]),
    ):
        program = _python(kind, "benchmarks.read.plain", kind, place)
        cases = ("nested",) if kind == "static" else _EVERYTHING
        found.append(Peer(program, (Target(name, "", "", cases),)))
    program = _python("strawberry", "benchmarks.read.strawberry_app", "", files["duckdb"])
    found.append(Peer(program, (Target(STRAWBERRY, "", "flat", ("nested",)),)))
    for name, label, form, cases in (
        ("mercurius", MERCURIUS, "flat", _EVERYTHING),
        # Its aggregates need a plugin, and its conditions know no relations.
        ("postgraphile", POSTGRAPHILE, "postgraphile", ("nested", "point", "wide")),
    ):
        try:
            found.append(Peer(_node(name, port), (Target(label, "", form, cases),)))
        except (OSError, subprocess.SubprocessError, PeerMissingError) as error:
            say(f"{name} is left out: {str(error)[:600]}")
    return found


def firnline(home: Path) -> Peer:
    """Return Firnline without its response cache, as two people."""
    people = ((OURS, _EVERYTHING, REP), (OURS_ALL, _FILTERED, ALL))
    return _firnline("firnline", home, people, response_cache_mb=0)


def cached_firnline(home: Path) -> Peer:
    """Return Firnline with its response cache, as two people."""
    people = ((CACHED, ("nested",), REP), (CACHED_ALL, _EVERYTHING, ALL))
    return _firnline("firnline cached", home, people, response_cache_mb=_RESPONSE_CACHE_MB)


def _firnline(
    name: str,
    home: Path,
    people: tuple[tuple[str, tuple[str, ...], str], ...],
    *,
    response_cache_mb: int,
) -> Peer:
    executable = Path(sys.executable).with_name("firnline")
    program = Program(
        name,
        lambda at: [str(executable), "serve", "-d", str(firnline_home.PROJECT), "--port", str(at)],
        environment=firnline_home.environment(home, response_cache_mb=response_cache_mb),
    )
    return Peer(
        program,
        tuple(
            Target(label, "", "graphql", cases, email, firnline_home.token(home, email))
            for label, cases, email in people
        ),
    )


def _python(name: str, module: str, kind: str, place: object) -> Program:
    first = [sys.executable, "-m", module, *([kind] if kind else [])]
    return Program(name, lambda at: [*first, str(at), str(place)])


def _node(name: str, port: int) -> Program:
    place = node_packages(name)
    # PostGraphile 5 needs a newer Node than most machines have: its packages bring one.
    own = place / "node_modules" / ".bin" / "node"
    node = str(own) if own.exists() else "node"
    return Program(
        name,
        lambda at: [node, str(_NODE / f"{name}.js"), str(at), str(port)],
        cwd=place,
        environment=os.environ | {"NODE_ENV": "production", "GRAPHILE_ENV": "production"},
    )


def start_all(servers: Servers, everyone: list[Peer], say: Callable[[str], None]) -> list[Target]:
    """Start every server; tell of a peer's that does not start, raise for ours."""
    found: list[Target] = []
    for peer in everyone:
        try:
            found += peer.at(servers.start(peer.program))
        except NotStartedError as error:
            if peer.program.name.startswith("firnline"):
                raise
            say(f"{peer.program.name} is left out: {error}")
    return found
