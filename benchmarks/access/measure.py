"""Asks the same questions as different people, by turns, in this process and without HTTP.

Takes a filled home; the report receives times in ms. No answer is kept, and operands differ from
question to question, so that each is worked out anew.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from benchmarks.access import org
from benchmarks.common import Summary
from firnline.access.principal import Principal
from firnline.app import App, opened
from firnline.settings import Settings

Draw = Callable[[random.Random], dict[str, Any]]
PEOPLE = {"administrator": org.ADMINISTRATOR, "manager": org.MANAGER, "rep": org.REP}
_COLD_ROUNDS = 2  # columns and masks are made behind the first answers


@dataclass(frozen=True, slots=True)
class Question:
    """One operation, and what is asked with it."""

    graphql: str
    draw: Draw


def _of_stage(chance: random.Random) -> dict[str, Any]:
    return {"stage": chance.choice(org.STAGES), "least": chance.randrange(0, 50_000_000)}


def _of_industry(chance: random.Random) -> dict[str, Any]:
    return {"industry": chance.choice(org.INDUSTRIES), "least": chance.randrange(1, 50_000)}


QUESTIONS: Mapping[str, Question] = {
    "list": Question(
        """query($stage: String!, $least: Decimal!) {
          opportunities(where: {stage: {eq: $stage}, amount: {gte: $least}},
                        orderBy: [{amount: DESC}], first: 20) {
            nodes { id name stage amount closesOn } pageInfo { hasNextPage } } }""",
        _of_stage,
    ),
    "count": Question(
        """query($stage: String!, $least: Decimal!) {
          opportunities(where: {stage: {eq: $stage}, amount: {gte: $least}}) { totalCount } }""",
        _of_stage,
    ),
    "nested": Question(
        """query($industry: String!, $least: Int!) {
          accounts(where: {industry: {eq: $industry}, employees: {gte: $least}},
                   orderBy: [{employees: ASC}], first: 20) {
            nodes { id name
              opportunities(orderBy: [{closesOn: ASC}], first: 5) {
                nodes { name stage amount } } } } }""",
        _of_industry,
    ),
}


async def measured(home: Path, runs: int) -> dict[str, Any]:
    """Return, by question and person, the times of all but the first answers; and first costs."""
    settings = Settings(home=home, response_cache_mb=0, resident_mb=2048, request_deadline_s=120)
    async with opened(org.PROJECT, settings, read_only=True) as app:
        first = {name: await _first(app, email) for name, email in PEOPLE.items()}
        seen = {name: await _seen(app, email) for name, email in PEOPLE.items()}
        answered = {name: await _by_turns(app, each, runs) for name, each in QUESTIONS.items()}
    return {"first": first, "seen": seen, "questions": answered}


async def _first(app: App, email: str) -> dict[str, float]:
    """Return what a person's first answer takes, and making what later ones come from."""
    chance = random.Random(3)
    first_ms, behind_ms = 0.0, 0.0
    for name, question in QUESTIONS.items():
        for turn in range(_COLD_ROUNDS):
            spent_ms = await _ask(app, email, question, chance)
            if name == "list" and turn == 0:
                first_ms = spent_ms
            start = time.perf_counter()
            await app.responder.loading.idle()
            behind_ms += (time.perf_counter() - start) * 1e3
    return {"first_answer_ms": round(first_ms, 1), "made_behind_ms": round(behind_ms, 1)}


async def _seen(app: App, email: str) -> dict[str, int]:
    text = "{ accounts { totalCount } opportunities { totalCount } }"
    answer = await app.ask(Principal(tenant=org.TENANT, email=email), text)
    found = orjson.loads(answer.body())["data"]
    return {name: each["totalCount"] for name, each in found.items()}


async def _by_turns(app: App, question: Question, runs: int) -> dict[str, Any]:
    """Ask the same as one person after the other, so that noise strikes them alike."""
    times: dict[str, list[float]] = {name: [] for name in PEOPLE}
    for turn in range(runs):
        for name, email in PEOPLE.items():
            times[name].append(await _ask(app, email, question, random.Random(turn)))
    return {name: Summary.of(series).as_dict() for name, series in times.items()}


async def _ask(app: App, email: str, question: Question, chance: random.Random) -> float:
    """Return how long one answer took, down to its bytes; raises when it is none."""
    variables = question.draw(chance)
    who = Principal(tenant=org.TENANT, email=email)
    start = time.perf_counter()
    answer = await app.ask(who, question.graphql, variables=variables)
    body = answer.body()
    spent_ms = (time.perf_counter() - start) * 1e3
    if answer.errors or b'"access":[]' not in body:
        raise AssertionError(body[:500])
    return spent_ms
