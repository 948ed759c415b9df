"""Puts load on the targets in turns, and sums it up as medians of the rounds.

Takes running targets whose answers were compared; gives figures as the result file holds them.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console

from benchmarks.read.cases import CASES, Case
from benchmarks.read.load import Loaded, put_load
from benchmarks.read.reference import Reference
from benchmarks.read.targets import STATIC, Target

Figures = dict[str, dict[str, dict[str, float]]]  # target -> clients -> figures
_SLOW_FACTOR = 8


class DifferentAnswerError(AssertionError):
    """A target answers otherwise than the rows say: its speed means nothing."""


@dataclass(frozen=True, slots=True)
class Turns:
    """How a case is measured: all targets once in every round, at each number of clients."""

    rounds: int
    seconds: int
    warm_seconds: int = 0  # of one client, before the first round
    clients: tuple[int, ...] = (1, 16)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the load asks of every target: a case with new variables each time, or always one."""

    case: Case
    span: tuple[int, int]
    variables: Mapping[str, Any] | None = None  # None: new ones for every request

    @classmethod
    def of(cls, case: Case) -> Asked:
        """Ask the case as it is declared."""
        return cls(case, case.span)

    def body(self, target: Target) -> str:
        """Return the body that the load script fills."""
        if self.variables is None:
            return target.body(self.case, self.case.template())
        return target.body(self.case, orjson.dumps(self.variables).decode())


@dataclass(frozen=True, slots=True)
class Loader:
    """The load generator, where it keeps bodies, and who is told of failures."""

    wrk: str
    folder: Path
    console: Console

    def measure(self, asked: Asked, targets: Sequence[Target], turns: Turns) -> Figures:
        """Measure all targets with one question."""
        bodies = [self._written(asked, target, at) for at, target in enumerate(targets)]
        found: dict[str, dict[str, list[Loaded]]] = {}
        for target, body in zip(targets, bodies, strict=True):
            if turns.warm_seconds:
                self._put(asked, target, body, clients=1, seconds=turns.warm_seconds, seed=1)
        for round_ in range(turns.rounds):
            for clients in turns.clients:
                for at, (target, body) in enumerate(zip(targets, bodies, strict=True)):
                    seed = 10_000 * (round_ + 1) + 100 * clients + at
                    one = self._put(
                        asked, target, body, clients=clients, seconds=turns.seconds, seed=seed
                    )
                    found.setdefault(target.name, {}).setdefault(str(clients), []).append(one)
        return {
            name: {clients: summarised(rounds) for clients, rounds in by_clients.items()}
            for name, by_clients in found.items()
        }

    def _written(self, asked: Asked, target: Target, number: int) -> Path:
        path = self.folder / f"{number}-{asked.case.name}.json"
        path.write_text(asked.body(target), "utf-8")
        return path

    def _put(
        self, asked: Asked, target: Target, body: Path, *, clients: int, seconds: int, seed: int
    ) -> Loaded:
        for length in (seconds, _SLOW_FACTOR * seconds):  # longer when no answer was in time
            one = put_load(
                self.wrk,
                target.url,
                template=body,
                span=asked.span,
                seed=seed,
                clients=clients,
                seconds=length,
                token=target.token,
            )
            if one.requests:
                break
        if one.refused or one.broken or not one.requests:
            self.console.print(f"[red]{target.name}, {asked.case.name}: {one}[/]")
        return one


def summarised(rounds: Sequence[Loaded]) -> dict[str, float]:
    """Return the medians of the rounds."""
    return {
        "rps": round(statistics.median(one.rps for one in rounds), 1),
        "p50_ms": round(statistics.median(one.p50_ms for one in rounds), 3),
        "p99_ms": round(statistics.median(one.p99_ms for one in rounds), 3),
        "requests": sum(one.requests for one in rounds),
        "failed": sum(one.refused + one.broken for one in rounds),
    }


def check_equal(
    targets: Sequence[Target],
    references: Mapping[str, Reference],
    cases: Sequence[str],
    *,
    samples: int,
    seed: int,
) -> None:
    """Compare every target's answers with those worked out in Python; this warms them too."""
    chance = random.Random(seed)
    for name in cases:
        for _ in range(samples):
            variables = CASES[name].draw(chance)
            expected = {email: one.answer(name, variables) for email, one in references.items()}
            for target in targets:
                if name not in target.cases or target.name == STATIC:
                    continue
                if target.ask(CASES[name], variables) != expected[target.email]:
                    raise DifferentAnswerError(f"{target.name}: {name} {variables}")
