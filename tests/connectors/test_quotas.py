"""What providers tell about quotas is read as they write it; what makes no sense is left out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from firnline.connectors.protocol import Response
from firnline.connectors.quotas import (
    QuotaReading,
    counted_header,
    dynamics_quota,
    hubspot_quota,
    marketo_quota,
    retry_after_quota,
    sage_quota,
)
from firnline.connectors.registry import load_connector


def answer(
    status: int = 200, headers: Mapping[str, str] | None = None, body: Any = None
) -> Response:
    content = body.encode() if isinstance(body, str) else json.dumps(body or {}).encode()
    return Response(status, dict(headers or {}), content)


def read(provider: str, response: Response) -> list[QuotaReading]:
    return list(load_connector(provider).quota(response))


def test_salesforce_states_the_org_s_calls_of_the_day() -> None:
    usage = {"sforce-limit-info": "api-usage=18/5000; per-app-api-usage=17/250(appName=x)"}

    assert read("salesforce", answer(headers=usage)) == [
        QuotaReading("daily", 5000, 4982, window_s=86400)
    ]


def test_salesforce_day_that_is_over_its_limit_has_nothing_left() -> None:
    over = answer(
        403,
        {"sforce-limit-info": "api-usage=5003/5000"},
        [{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}],
    )

    assert read("salesforce", over) == [QuotaReading("daily", 5000, 0, window_s=86400)]


def test_salesforce_long_calls_are_a_matter_of_concurrency() -> None:
    crowded = answer(
        403,
        body=[
            {
                "message": "ConcurrentPerOrgLongTxn Limit exceeded.",
                "errorCode": "REQUEST_LIMIT_EXCEEDED",
            }
        ],
    )

    assert read("salesforce", crowded) == [QuotaReading("concurrency", None, 0)]


@pytest.mark.parametrize("text", ["", "api-usage=", "api-usage=a/b", "api-usage=1/0", "x"])
def test_salesforce_header_that_makes_no_sense_is_left_out(text: str) -> None:
    assert read("salesforce", answer(headers={"sforce-limit-info": text})) == []


def test_zendesk_states_the_minute_and_on_lists_its_reset() -> None:
    plain = {"x-rate-limit": "700", "x-rate-limit-remaining": "699"}
    listed = {"ratelimit-limit": "700", "ratelimit-remaining": "30", "ratelimit-reset": "41"}

    assert read("zendesk", answer(headers=plain)) == [QuotaReading("account", 700, 699, None, 60)]
    assert read("zendesk", answer(headers={**plain, **listed})) == [
        QuotaReading("account", 700, 30, 41, 60)
    ]
    assert read("zendesk", answer()) == []
    assert read("zendesk", answer(headers={"x-rate-limit": "nan"})) == []


def test_zendesk_endpoint_s_own_header_is_read() -> None:
    header = "zendesk-ratelimit-tickets-index"
    told = answer(headers={header: "total=100; remaining=99; resets=41"})

    assert counted_header(told, header, name="index") == [QuotaReading("index", 100, 99, 41)]
    assert counted_header(answer(headers={header: "total=100"}), header, name="index") == []


def test_netsuite_says_no_more_than_that_too_many_ran() -> None:
    crowded = answer(
        429,
        body={
            "type": "https://www.w3.org/Protocols/rfc2616/rfc2616-sec10.html#sec10.4",
            "title": "Bad Request",
            "status": 429,
            "o:errorCode": "USER_ERROR",
            "o:errorDetails": [
                {
                    "detail": "Concurrent request limit exceeded. Request blocked.",
                    "o:errorCode": "CONCURRENCY_LIMIT_EXCEEDED",
                }
            ],
        },
    )

    assert read("netsuite", crowded) == [QuotaReading("concurrency", None, 0)]
    assert read("netsuite", answer()) == []
    assert read("netsuite", answer(429, body="busy")) == []


HUBSPOT = {
    "x-hubspot-ratelimit-max": "110",
    "x-hubspot-ratelimit-remaining": "101",
    "x-hubspot-ratelimit-interval-milliseconds": "10000",
}


def test_hubspot_states_its_ten_seconds_and_its_day() -> None:
    day = {"x-hubspot-ratelimit-daily": "250000", "x-hubspot-ratelimit-daily-remaining": "9"}

    assert list(hubspot_quota(answer(headers=HUBSPOT | day))) == [
        QuotaReading("ten_secondly", 110, 101, window_s=10),
        QuotaReading("daily", 250000, 9, window_s=86400),
    ]
    assert list(hubspot_quota(answer())) == []


@pytest.mark.parametrize(
    ("policy", "name"),
    [("TEN_SECONDLY_ROLLING", "ten_secondly"), ("SECONDLY", "search"), ("DAILY", "daily")],
)
def test_hubspot_refusal_names_the_policy_that_was_broken(policy: str, name: str) -> None:
    body = {
        "status": "error",
        "message": "You have reached your limit.",
        "errorType": "RATE_LIMIT",
        "correlationId": "c033cdaa-2c40-4a64-ae48-b4cec88dad24",
        "policyName": policy,
    }

    (broken,) = hubspot_quota(answer(429, body=body))

    assert (broken.name, broken.remaining) == (name, 0)


def test_dynamics_states_what_is_left_of_five_minutes() -> None:
    left = {
        "x-ms-ratelimit-burst-remaining-xrm-requests": "5990",
        "x-ms-ratelimit-time-remaining-xrm-requests": "1,199.46",
    }
    assert list(dynamics_quota(answer(headers=left))) == [
        QuotaReading("requests", None, 5990, window_s=300)
    ]
    seconds = left | {"x-ms-ratelimit-time-remaining-xrm-requests": "1199.5"}
    span = left | {"x-ms-ratelimit-time-remaining-xrm-requests": "00:19:59.5"}
    for headers in (seconds, span):
        assert list(dynamics_quota(answer(headers=headers)))[1:] == [
            QuotaReading("execution", None, 1199.5, window_s=300)
        ]


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("0x80072322", "requests"),
        ("0x80072321", "execution"),
        ("0x80072326", "concurrency"),
    ],
)
def test_dynamics_refusal_tells_which_protection_and_how_long(code: str, name: str) -> None:
    body = {"error": {"code": code, "message": "Number of requests exceeded the limit of 6000"}}

    assert list(dynamics_quota(answer(429, {"retry-after": "37"}, body))) == [
        QuotaReading(name, None, 0, 37)
    ]


@pytest.mark.parametrize(
    ("code", "message", "wanted"),
    [
        (
            "606",
            "Max rate limit '100' exceeded with in '20' secs",
            QuotaReading("rate", 100, 0, 10, 20),
        ),
        ("607", "Daily quota reached", QuotaReading("daily", None, 0, None, 86400)),
        ("615", "Concurrent access limit reached", QuotaReading("concurrency", None, 0)),
    ],
)
def test_marketo_refusals_are_found_inside_a_200(
    code: str, message: str, wanted: QuotaReading
) -> None:
    body = {
        "requestId": "a883#19492823069",
        "success": False,
        "errors": [{"code": code, "message": message}],
    }

    assert list(marketo_quota(answer(200, body=body))) == [wanted]


@pytest.mark.parametrize(
    "body", [{"success": True, "result": []}, {"errors": "610"}, {"errors": [610]}, "not json", []]
)
def test_marketo_answer_without_a_refusal_tells_nothing(body: Any) -> None:
    assert list(marketo_quota(answer(200, body=body))) == []


def test_gong_s_wait_tells_the_second_from_the_day() -> None:
    def told(headers: Mapping[str, str]) -> list[QuotaReading]:
        return list(retry_after_quota(answer(429, headers), rate="rate"))

    assert told({"retry-after": "1"}) == [QuotaReading("rate", None, 0, 1)]
    assert told({"retry-after": "40000"}) == [QuotaReading("daily", None, 0, 40000)]
    assert told({}) == [QuotaReading("rate", None, 0)]
    assert list(retry_after_quota(answer(200), rate="rate")) == []


@pytest.mark.parametrize("dash", ["-", ""])
def test_sage_headers_are_read_however_they_are_spelt(dash: str) -> None:
    headers = {
        "x-ia-minute-rate-limit": "1000",
        "x-ia-minute-rate-limit-remaining": "990",
        "x-ia-hour-rate-limit": "30000",
        "x-ia-hour-rate-limit-remaining": "0",
        f"x-ia-hour-rate-limit-retry{dash}after": "120",
        "x-ia-throttle-limit": "6",
        "x-ia-throttle-remaining": "5",
    }

    assert list(sage_quota(answer(headers=headers))) == [
        QuotaReading("minute", 1000, 990, None, 60),
        QuotaReading("hour", 30000, 0, 120, 3600),
        QuotaReading("concurrency", 6, 5),
    ]
    assert list(sage_quota(answer())) == []
