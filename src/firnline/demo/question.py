"""The demo question: its text, its variable, and how long the cache takes to answer it.

Takes an opened application; gives one `Asked` per person, which is compared and printed.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import orjson

from firnline.access.principal import Principal
from firnline.app import App
from firnline.errors import FirnlineError
from firnline.graph.answer import Answer

PROJECT = Path(__file__).parent / "project"
QUESTION = PROJECT / "operations" / "renewals_at_risk.graphql"
MASKED = PROJECT / "operations" / "money_of_deals.graphql"
ASKERS = ("rep", "manager")

WARM_RUNS = 9
_DAYS_LEFT_MIN = 30


class DemoAnswerError(FirnlineError):
    """The gateway did not answer a question of the demo."""

    code = "demo_answer"


@dataclass(frozen=True, slots=True)
class Asked:
    """One person's answer; times in ms: the first, and the median of warm runs of the text."""

    email: str
    answer: Answer
    first_ms: float
    cached_ms: float

    @property
    def deals(self) -> Sequence[Mapping[str, Any]]:
        """Return the deals of the answer."""
        return deals_of(self.answer.data)


def deals_of(data: Mapping[str, Any] | None) -> Sequence[Mapping[str, Any]]:
    """Return the deals of an answer's data."""
    nodes: Sequence[Mapping[str, Any]] = (data or {"deals": {"nodes": []}})["deals"]["nodes"]
    return nodes


def question_text() -> str:
    """Return the operation as it is published."""
    return QUESTION.read_text("utf-8")


def quarter_end(today: date) -> date:
    """Return the last day of the quarter, or of the next when fewer than 30 days are left."""
    end = _end_of_quarter(today)
    if (end - today).days < _DAYS_LEFT_MIN:
        end = _end_of_quarter(end + timedelta(days=1))
    return end


def _end_of_quarter(day: date) -> date:
    year, month = divmod(day.year * 12 + 3 * ((day.month - 1) // 3) + 3, 12)
    return date(year, month + 1, 1) - timedelta(days=1)


def variables(end: date) -> Mapping[str, Any]:
    """Return the question's variables."""
    return {"quarterEnd": end.isoformat()}


async def ask(app: App, tenant: str, email: str, end: date, *, warm_runs: int = WARM_RUNS) -> Asked:
    """Ask the demo question as one person, once and then `warm_runs` times for the time it takes.

    Raises DemoAnswerError.
    """
    answer, first_ms = await _timed(app, Principal(tenant=tenant, email=email), end)
    again = await times_of(app, tenant, email, end, runs=warm_runs)
    return Asked(email, answer, first_ms, statistics.median(again or [first_ms]))


async def times_of(app: App, tenant: str, email: str, end: date, *, runs: int) -> Sequence[float]:
    """Return the ms that each of `runs` answers took; raises DemoAnswerError."""
    principal = Principal(tenant=tenant, email=email)
    return [(await _timed(app, principal, end))[1] for _ in range(runs)]


async def ask_published(app: App, tenant: str, email: str, end: date, document_id: str) -> Answer:
    """Ask the published operation by its id; raises DemoAnswerError."""
    answer = await app.ask(
        Principal(tenant=tenant, email=email), document_id=document_id, variables=variables(end)
    )
    return _good(answer, tenant, email)


async def ask_masked(app: App, tenant: str, email: str) -> Answer:
    """Ask for amounts and invoices, which not everybody may read; raises DemoAnswerError."""
    answer = await app.ask(Principal(tenant=tenant, email=email), MASKED.read_text("utf-8"))
    return _good(answer, tenant, email)


async def _timed(app: App, principal: Principal, end: date) -> tuple[Answer, float]:
    text = question_text()
    started = app.clock.monotonic()
    answer = await app.ask(principal, text, variables=variables(end))
    answer.body()
    taken_ms = (app.clock.monotonic() - started) * 1000
    return _good(answer, principal.tenant, principal.email), taken_ms


def _good(answer: Answer, tenant: str, email: str) -> Answer:
    if answer.errors:
        first = orjson.loads(orjson.dumps(answer.errors[0]))
        raise DemoAnswerError(
            f"{email} of {tenant} got an error: {first['message']}",
            hint=str(first.get("extensions", {}).get("hint", "")),
        )
    return answer
