"""Explaining and figures over HTTP, and the deadline of the command line's way."""

from __future__ import annotations

import asyncio
import io
import logging
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from rich.console import Console
from tests.end_to_end.conftest import PROJECT, Synced
from tests.end_to_end.test_departure import ENDLESS, QUESTION
from tests.end_to_end.test_http import Served, served

from firnline.access.principal import Principal
from firnline.cache.database import Snapshot
from firnline.cli.explaining import show_explanation
from firnline.cli.operations import _figures, _measured
from firnline.graph.deadline import DeadlineError
from firnline.graph.explain.explanation import Detail
from firnline.observe.figures import Figures, read_figures
from firnline.observe.metrics import AD_HOC
from firnline.sandbox.seed import DEMO_PEOPLE
from firnline.web.backend import ProjectGateway
from firnline.web.gateway import GraphRequest

__all__ = ["served"]  # the fixture
pytestmark = pytest.mark.asyncio(loop_scope="session")

EMAIL = DEMO_PEOPLE["acme"]["rep"]
TEXT = (PROJECT / "operations" / "renewals_at_risk.graphql").read_text("utf-8")
VARIABLES = {"quarterEnd": "2099-12-31"}
# Not answered before by any other test, and kept.
LEFT = QUESTION.replace("accounts(", "left: accounts(", 1)
LATE = QUESTION.replace("accounts(", "late: accounts(", 1)


async def figures(served: Served) -> dict[tuple[str, str], Figures]:
    text = (await served.http.get("/metrics")).text
    return dict(read_figures(text))


async def test_question_is_explained_where_the_installation_allows_it(
    synced: Synced, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"query": TEXT, "variables": VARIABLES}
    refused = await served.ask("acme", EMAIL, **asked, extensions={"explain": True})
    assert refused.json()["errors"][0]["extensions"]["code"] == "explain_refused"

    allowed = synced.app.settings.model_copy(update={"explain": True})
    monkeypatch.setattr(synced.app, "settings", allowed)
    answer = (await served.ask("acme", EMAIL, **asked, extensions={"explain": True})).json()
    plain = (await served.ask("acme", EMAIL, **asked)).json()

    told = answer["extensions"]["explain"]
    assert answer["data"] == plain["data"]
    assert "explain" not in plain["extensions"]
    assert told["fields"][0]["object"] == "Deal"
    assert told["detail"] == "person"


async def test_token_with_the_scope_is_told_where_it_is_not_open(synced: Synced) -> None:
    principal = Principal("acme", EMAIL)
    request = GraphRequest(query="{ deals(first: 1) { totalCount } }", extensions={"explain": True})
    gateway = ProjectGateway(synced.app)

    answer = await gateway.execute(
        replace(principal, scopes=frozenset({"explain:operator"})), request
    )

    assert b'"detail":"operator"' in answer.body


async def test_published_operations_are_counted_by_name_and_all_others_together(
    synced: Synced, served: Served
) -> None:
    row = await synced.app.publish("acme", TEXT)
    before = await figures(served)

    await served.ask("acme", EMAIL, documentId=row.operation_id, variables=VARIABLES)
    await served.ask("acme", EMAIL, documentId=row.operation_id, variables={"quarterEnd": 7})
    await served.ask("acme", EMAIL, query="query Mine { deals(first: 1) { totalCount } }")

    after = await figures(served)
    new = {name for _tenant, name in set(after) - set(before)}
    assert new <= {row.name, AD_HOC}, "what nobody published has no name among the figures"
    named = ("acme", row.name)
    assert after[named].calls - before.get(named, Figures()).calls == 2
    assert after[named].refused - before.get(named, Figures()).refused == 1
    other = ("acme", AD_HOC)
    assert after[other].calls - before.get(other, Figures()).calls == 1
    assert after[named].quantile_s(0.5) is not None


async def test_list_of_operations_shows_the_running_servers_figures(
    synced: Synced, served: Served
) -> None:
    row = await synced.app.publish("acme", TEXT)
    await served.ask("acme", EMAIL, documentId=row.operation_id, variables=VARIABLES)
    address = str(served.http.base_url).rstrip("/")
    settings = synced.app.settings.model_copy(update={"public_url": address})
    silent = settings.model_copy(update={"public_url": "http://127.0.0.1:9"})
    elsewhere = settings.model_copy(update={"public_url": "http://203.0.113.7"})

    measured = _measured(row, await _figures(settings))

    assert measured["calls"] >= 1
    assert measured["p95Ms"] >= measured["p50Ms"] > 0
    assert _measured(row, await _figures(silent)) == {}
    assert _measured(row, await _figures(elsewhere)) == {}


async def test_explained_answer_is_shown_as_a_tree(synced: Synced) -> None:
    principal = Principal("acme", EMAIL)
    asked = {"variables": VARIABLES, "explain": Detail.OPERATOR}
    pattern = TEXT.replace("isOpen: {eq: true}", 'isOpen: {eq: true}, name: {contains: "e"}', 1)
    answer = await synced.app.ask(principal, pattern, **asked)  # DuckDB is asked for patterns
    console = Console(file=io.StringIO(), width=200)

    show_explanation(console, answer.extensions["explain"])

    text = console.file.getvalue()
    for expected in ("Answered from", "deals: Deal", "SELECT", "Account", "filtered", "Synced"):
        assert expected in text


async def test_deadline_ends_what_is_asked_without_the_edge(
    synced: Synced, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = Snapshot.fetch
    with monkeypatch.context() as patched:
        patched.setattr(Snapshot, "fetch", lambda each, *_sql: fetch(each, ENDLESS))
        hasty = synced.app.settings.model_copy(update={"request_deadline_s": 0.3})
        patched.setattr(synced.app, "settings", hasty)
        with pytest.raises(DeadlineError):
            await synced.app.ask(Principal("acme", EMAIL), LATE)

    answer = await synced.app.ask(Principal("acme", EMAIL), LATE)
    assert answer.data["late"]["totalCount"]


async def test_departed_client_leaves_nothing_in_the_log(
    synced: Synced,
    served: Served,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    fetch, loop = Snapshot.fetch, asyncio.get_running_loop()
    started, ended = asyncio.Event(), asyncio.Event()

    def endless(snapshot: Snapshot, *_sql: Any) -> Any:
        loop.call_soon_threadsafe(started.set)
        try:
            return fetch(snapshot, ENDLESS)
        finally:
            loop.call_soon_threadsafe(ended.set)

    token = served.signer.issue_token("acme", EMAIL, 60)
    headers = {"authorization": f"Bearer {token}"}
    await synced.app.responder.loading.idle()  # what it fetches would be endless, too
    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING):
        patched.setattr(Snapshot, "fetch", endless)
        async with httpx2.AsyncClient(base_url=served.http.base_url, headers=headers) as leaving:
            asking = asyncio.create_task(leaving.post("/graphql", json={"query": LEFT}))
            await asyncio.wait_for(started.wait(), 10)
            asking.cancel()
            await asyncio.wait([asking])
        await asyncio.wait_for(ended.wait(), 10)
        database = await synced.app.database("acme")
        async with asyncio.timeout(10):
            while database._busy:  # noqa: ASYNC110 - given back just after the statement ended
                await asyncio.sleep(0.01)

    assert [record.getMessage() for record in caplog.records] == []
