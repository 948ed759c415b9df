"""Every call leaves one record: what, to whom, how it went; no ids, bodies, queries or secrets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import Request as WebRequest
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.responses import Response as WebResponse
from tests.transport.test_transport import DESTINATION, NOW, Script, get, speaking_to

from firnline.clock import SystemClock
from firnline.connectors.protocol import ErrorClass, Grounds, Response, Verdict
from firnline.observe.calls import CallMetrics
from firnline.transport import (
    CallRecord,
    CircuitFacts,
    CircuitState,
    ProviderError,
    RecentCalls,
    Use,
)
from firnline.transport.call_log import CALLS_MAX, derived_template

SALESFORCE_ID = "0015g00000XyZabAAB"


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/", "/"),
        ("", "/"),
        ("/services/data/v66.0/query", "/services/data/v66.0/query"),
        ("/services/data/v66.0/query/01g3A00007lZwLKQA0-2000", "/services/data/v66.0/query/{id}"),
        (
            f"/services/data/v66.0/sobjects/Deal_Activity__c/{SALESFORCE_ID}",
            "/services/data/v66.0/sobjects/Deal_Activity__c/{id}",
        ),
        ("/api/v2/tickets/35436.json", "/api/v2/tickets/{id}"),
        ("/api/v2/users/show_many.json", "/api/v2/users/show_many.json"),
        ("/services/oauth2/token", "/services/oauth2/token"),
        ("/crm/v3/objects/contacts/2F51", "/crm/v3/objects/contacts/{id}"),
        ("/odata/v2/Orders(17)/Lines", "/odata/v2/Orders({id})/Lines"),
        ("/b1s/v2/Items('canary')", "/{id}/v2/Items({id})"),
        ("/a/f47ac10b-58cc-4372-a567-0e02b2c3d479/b", "/a/{id}/b"),
        ("/users/ann@acme.example/mail", "/users/{id}/mail"),
        ("/users/J%C3%BCrgen", "/users/{id}"),
        ("/x/QwErTyUiOpAsDfGhJkLz", "/x/{id}"),
        ("/x/" + "a" * 60, "/x/{id}"),
        ("/x/2026-11-22", "/x/{id}"),
        ("/metadata-catalog/contactRole", "/metadata-catalog/contactRole"),
        ("/record/v1/customerSubsidiaryRelationship", "/record/v1/customerSubsidiaryRelationship"),
        ("/a" * 40, "/a" * 12 + "/..."),
    ],
)
def test_template_holds_names_and_versions_only(path: str, template: str) -> None:
    assert derived_template(path) == template


async def recorded(
    answer: Callable[[WebRequest], Any],
    *,
    clock: Any = None,
    deadline_s: float = 60,
    **changes: Any,
) -> CallRecord:
    log = RecentCalls()
    async with speaking_to(answer, call_log=log, clock=clock) as transport:
        with suppress(ProviderError):
            await transport.send(get(**changes), deadline_s=deadline_s)
    (record,) = log.of("acme", "desk")
    return record


async def test_record_tells_what_went_out_and_how_it_went() -> None:
    record = await recorded(
        Script(503, 200),
        path=f"/things/{SALESFORCE_ID}?token=canary",
        method="PUT",
        json={"canary": 1},
        use=Use.SYNC,
        target="token",
    )

    assert record == CallRecord(
        at=record.at,
        tenant="acme",
        provider="zendesk",
        connection="desk",
        target="token",
        use=Use.SYNC,
        method="PUT",
        template="/things/{id}",
        status=200,
        error_class=None,
        code="",
        attempts=2,
        duration_s=0.125,
        bytes_out=2 * len('{"canary":1}'),
        bytes_in=2 * len('{"call":1}'),
        quota_left=None,
    )


async def test_template_of_the_connector_is_taken_as_it_is() -> None:
    record = await recorded(Script(200), path="/things/acme-corp", template="/things/{name}")
    assert record.template == "/things/{name}"


@pytest.mark.parametrize(
    ("status", "error_class", "code", "attempts"),
    [
        (404, ErrorClass.NOT_FOUND, "", 1),
        (503, ErrorClass.TRANSIENT, "provider_unavailable", 4),
        (429, ErrorClass.RATE_LIMITED, "provider_rate_limited", 4),
    ],
)
async def test_refusals_are_recorded_with_their_class(
    status: int, error_class: ErrorClass, code: str, attempts: int
) -> None:
    grounds = {404: Grounds.NOT_FOUND, 503: Grounds.UNAVAILABLE, 429: Grounds.RATE_LIMITED}
    record = await recorded(Script(status), judge=lambda _: Verdict(grounds[status], "canary"))

    assert (record.status, record.error_class, record.code) == (status, error_class, code)
    assert record.attempts == attempts


async def test_refusal_that_only_the_caller_understands_is_no_success() -> None:
    record = await recorded(Script(400), target="token")
    assert (record.status, record.error_class, record.code) == (400, ErrorClass.INVALID, "")


async def test_call_that_is_given_up_leaves_a_record() -> None:
    async def slow(_request: WebRequest) -> WebResponse:
        await asyncio.sleep(30)
        return PlainTextResponse("")

    log = RecentCalls()
    async with speaking_to(slow, call_log=log, clock=SystemClock()) as transport:
        task = asyncio.create_task(transport.send(get(), deadline_s=60))
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    (record,) = log.of("acme", "desk")
    assert (record.error_class, record.code, record.attempts) == (
        ErrorClass.UNKNOWN,
        "cancelled",
        1,
    )


async def test_connector_that_fails_to_judge_leaves_a_record_of_an_unknown_outcome() -> None:
    def judge(_response: Response) -> Verdict:
        raise KeyError("canary")

    log = RecentCalls()
    async with speaking_to(Script(200), call_log=log) as transport:
        with pytest.raises(KeyError):
            await transport.send(get(judge=judge), deadline_s=5)

    (record,) = log.of("acme", "desk")
    assert (record.error_class, record.code, record.status) == (ErrorClass.UNKNOWN, "internal", 200)


async def test_call_that_an_open_circuit_refused_was_not_attempted() -> None:
    log = RecentCalls()
    async with speaking_to(Script(503), call_log=log) as transport:
        for _ in range(20):
            with suppress(ProviderError):
                await transport.send(get(method="POST", repeatable=False), deadline_s=60)

    refused = [each for each in log.of("acme", "desk") if each.code == "provider_circuit_open"]
    assert len(refused) == 10
    assert {(each.attempts, each.status, each.bytes_out) for each in refused} == {(0, 0, 0)}


async def test_last_calls_of_each_connection_are_kept_and_no_more() -> None:
    log = RecentCalls()
    other = replace(DESTINATION, connection="other")
    async with speaking_to(Script(200), call_log=log) as transport:
        for number in range(CALLS_MAX + 5):
            await transport.send(get(template=f"/{number}"), deadline_s=5)
        await transport.send(get(destination=other), deadline_s=5)

    kept = log.of("acme", "desk")
    assert [record.template for record in kept] == [f"/{n}" for n in range(5, CALLS_MAX + 5)]
    assert len(log.of("acme", "other")) == 1
    assert log.of("globex", "desk") == ()


async def test_no_secret_or_id_is_in_a_record_a_line_or_a_figure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)

    def answer(_request: WebRequest) -> WebResponse:
        return JSONResponse({"canary": "canary"}, 403, {"x-canary": "canary"})

    metrics = CallMetrics()
    log = RecentCalls()
    async with speaking_to(answer, call_log=log) as transport:
        transport.tell(metrics.record)
        call = get(
            "/canary1/canary@canary/%63anary?canary=canary",
            headers={"authorization": "Bearer canary"},
            params={"canary": "canary"},
            method="POST",
            json={"canary": "canary"},
            judge=lambda _: Verdict(Grounds.FORBIDDEN, "canary"),
        )
        await transport.send(call, deadline_s=5)

    (record,) = log.of("acme", "desk")
    (line,) = [each for each in caplog.messages if each.startswith("call ")]
    assert "canary" not in f"{record}{line}{metrics.text().decode()}{caplog.text}"
    assert "endpoint=/{id}/{id}/{id} status=403 class=forbidden code=- attempts=1" in line


LABELS = ("provider", "use", "class", "direction", "state")


def samples(metrics: CallMetrics) -> dict[tuple[str, tuple[str, ...]], float]:
    return {
        (
            sample.name,
            tuple(sample.labels[name] for name in LABELS if name in sample.labels),
        ): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
        if not sample.name.endswith(("_created", "_bucket"))
    }


async def test_figures_count_calls_by_provider_use_and_class() -> None:
    metrics = CallMetrics()
    async with speaking_to(Script(503, 200)) as transport:
        transport.tell(metrics.record)
        await transport.send(get(use=Use.SYNC), deadline_s=60)
        await transport.send(get(method="PUT", json={}), deadline_s=60)
    found = samples(metrics)

    assert found["firnline_provider_calls_total", ("zendesk", "sync", "ok")] == 1
    assert found["firnline_provider_calls_total", ("zendesk", "interactive", "ok")] == 1
    assert found["firnline_provider_attempts_total", ("zendesk", "sync")] == 2
    assert found["firnline_provider_call_seconds_count", ("zendesk", "sync")] == 1
    assert found["firnline_provider_bytes_total", ("zendesk", "out")] == 2


async def test_labels_are_bounded_whatever_is_called() -> None:
    metrics = CallMetrics()
    async with speaking_to(Script(200)) as transport:
        transport.tell(metrics.record)
        for number in range(100):
            whose = replace(DESTINATION, tenant=f"t{number}", connection=f"c{number}")
            await transport.send(get(f"/{'x' * number}", destination=whose), deadline_s=5)

    counted = [key for key in samples(metrics) if key[0] == "firnline_provider_calls_total"]
    assert counted == [("firnline_provider_calls_total", ("zendesk", "interactive", "ok"))]


def test_figures_count_circuits_by_state_when_somebody_looks() -> None:
    def facts(state: CircuitState) -> CircuitFacts:
        return CircuitFacts("zendesk", "acme", "desk", "api", state, NOW, 0.5, 0.0)

    states = [CircuitState.OPEN, CircuitState.OPEN, CircuitState.CLOSED]
    metrics = CallMetrics(lambda: [facts(state) for state in states])

    found = samples(metrics)
    assert found["firnline_provider_circuits", ("zendesk", "open")] == 2
    assert found["firnline_provider_circuits", ("zendesk", "half_open")] == 0
    states.clear()
    assert ("firnline_provider_circuits", ("zendesk", "open")) not in samples(metrics)
