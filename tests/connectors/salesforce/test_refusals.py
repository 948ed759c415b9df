"""What the org's refusals mean: every documented form, and those that the sandbox really gives."""

from __future__ import annotations

import orjson
import pytest
from tests.connectors.salesforce.conftest import World

from firnline.connectors.protocol import Grounds, Response
from firnline.connectors.registry import load_connector, load_module


def rest(status: int, code: str, message: str = "text") -> Response:
    return Response(status, {}, orjson.dumps([{"message": message, "errorCode": code}]))


def oauth(error: str, description: str = "") -> Response:
    body = {"error": error, "error_description": description}
    return Response(400, {}, orjson.dumps(body))


FORMS = [
    (rest(401, "INVALID_SESSION_ID", "Session expired or invalid"), Grounds.TOKEN_EXPIRED),
    (rest(401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE"), Grounds.TOKEN_EXPIRED),
    (
        rest(401, "INVALID_SESSION_ID", "This session is not valid for use with the REST API"),
        Grounds.SCOPE_MISSING,
    ),
    (oauth("invalid_grant", "expired access/refresh token"), Grounds.TOKEN_REVOKED),
    (oauth("invalid_grant", "user hasn't approved this consumer"), Grounds.TOKEN_REVOKED),
    (oauth("invalid_client_id", "client identifier invalid"), Grounds.INVALID),
    (oauth("invalid_client"), Grounds.INVALID),
    (oauth("unsupported_token_type"), Grounds.INVALID),
    (oauth("invalid_token"), Grounds.TOKEN_REVOKED),
    (oauth("invalid_scope"), Grounds.SCOPE_MISSING),
    (Response(403, {}, b"Bad_OAuth_Token"), Grounds.TOKEN_EXPIRED),
    (rest(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."), Grounds.RATE_LIMITED),
    (
        rest(403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentPerOrgLongTxn Limit exceeded."),
        Grounds.RATE_LIMITED,
    ),
    (rest(503, "SERVER_UNAVAILABLE"), Grounds.UNAVAILABLE),
    (Response(502, {}, b"<html>Bad gateway</html>"), Grounds.UNAVAILABLE),
    (rest(500, "UNKNOWN_EXCEPTION"), Grounds.UNAVAILABLE),
    (rest(400, "UNABLE_TO_LOCK_ROW"), Grounds.UNAVAILABLE),
    (rest(400, "QUERY_TIMEOUT"), Grounds.UNAVAILABLE),
    (rest(403, "INSUFFICIENT_ACCESS_OR_READONLY"), Grounds.FORBIDDEN),
    (rest(403, "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY"), Grounds.FORBIDDEN),
    (rest(403, "API_DISABLED_FOR_ORG"), Grounds.FORBIDDEN),
    (rest(404, "NOT_FOUND"), Grounds.NOT_FOUND),
    (rest(404, "ENTITY_IS_DELETED", "entity is deleted"), Grounds.NOT_FOUND),
    (rest(410, "UNSUPPORTED_API_VERSION"), Grounds.INVALID),
    (rest(412, "PRECONDITION_FAILED"), Grounds.CONFLICT),
    (rest(400, "DUPLICATE_VALUE"), Grounds.CONFLICT),
    (rest(400, "DUPLICATES_DETECTED"), Grounds.CONFLICT),
    (rest(400, "INVALID_FIELD", "No such column 'X' on sobject"), Grounds.SCHEMA_DRIFT),
    (rest(400, "INVALID_TYPE", "sObject type 'X__c' is not supported"), Grounds.SCHEMA_DRIFT),
    (rest(400, "INVALID_QUERY_LOCATOR", "invalid query locator"), Grounds.CURSOR_GONE),
    (rest(400, "MALFORMED_QUERY"), Grounds.INVALID),
    (rest(400, "MALFORMED_ID"), Grounds.INVALID),
    (rest(400, "JSON_PARSER_ERROR"), Grounds.INVALID),
    (rest(400, "REQUIRED_FIELD_MISSING"), Grounds.INVALID),
    (rest(400, "FIELD_CUSTOM_VALIDATION_EXCEPTION"), Grounds.INVALID),
    (Response(414, {}, b""), Grounds.INVALID),
    (Response(418, {}, b"[]"), Grounds.UNKNOWN),
]


@pytest.mark.parametrize(("response", "grounds"), FORMS, ids=lambda value: str(value)[:60])
def test_every_form_of_refusal_has_its_grounds(response: Response, grounds: Grounds) -> None:
    verdict = load_connector("salesforce").classify(response)

    assert verdict.grounds is grounds


def test_an_exhausted_daily_allowance_asks_for_a_long_pause() -> None:
    connector = load_connector("salesforce")
    daily = rest(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
    burst = rest(403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentPerOrgLongTxn Limit exceeded.")

    assert (connector.classify(daily).retry_after_s or 0) >= 600
    assert connector.classify(burst).retry_after_s is None


def test_a_stated_pause_is_respected() -> None:
    busy = Response(503, {"retry-after": "7"}, b"")

    assert load_connector("salesforce").classify(busy).retry_after_s == 7.0


async def verdict(world: World, soql: str, email: str = "") -> tuple[Grounds, str]:
    world.driver.token = world.sandbox.token_for(email or world.sandbox.integration_email)
    request = load_module("salesforce", "connector").Request.get(
        "/services/data/v66.0/query", q=soql
    )
    found = world.driver.connector.classify(await world.driver.send(request))
    return found.grounds, found.code


async def test_the_sandbox_refuses_as_the_connector_understands(acme: World) -> None:
    contractor = "lee.park@acme.example"
    drift = Grounds.SCHEMA_DRIFT

    assert await verdict(acme, "SELECT Nope FROM Account") == (drift, "INVALID_FIELD")
    assert await verdict(acme, "SELECT Id FROM Accout") == (drift, "INVALID_TYPE")
    malformed = (Grounds.INVALID, "MALFORMED_QUERY")
    assert await verdict(acme, "SELECT Id FORM Account") == malformed
    amount = "SELECT Id FROM Opportunity WHERE Amount > 1"
    assert await verdict(acme, amount, contractor) == (drift, "INVALID_FIELD")
    setup = "SELECT Id FROM PermissionSet"
    assert await verdict(acme, setup, contractor) == (drift, "INVALID_TYPE")


async def test_a_fault_is_served_as_often_as_it_was_set(acme: World) -> None:
    fault = load_module("salesforce", "sandbox").Fault
    body = b'[{"message":"busy","errorCode":"SERVER_UNAVAILABLE"}]'
    acme.sandbox.faults.append(fault("/query", 503, times=2, body=body))

    grounds = [(await verdict(acme, "SELECT Id FROM User"))[0] for _ in range(3)]

    assert grounds == [Grounds.UNAVAILABLE, Grounds.UNAVAILABLE, Grounds.UNKNOWN]


@pytest.mark.parametrize("acme", [{"switches": {"daily_requests": 3}}], indirect=True)
async def test_the_daily_allowance_runs_out_and_is_reported_on_every_answer(acme: World) -> None:
    path, headers = "/services/data/v66.0/limits", acme.as_(acme.sandbox.integration_email)

    answers = [await acme.http.get(path, headers=headers) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 403]
    assert answers[1].headers["Sforce-Limit-Info"] == "api-usage=2/3"
    assert answers[2].json()["DailyApiRequests"] == {"Max": 3, "Remaining": 0}
    assert answers[3].json()[0]["errorCode"] == "REQUEST_LIMIT_EXCEEDED"


async def test_a_token_without_the_api_scope_is_understood_as_missing_scope(acme: World) -> None:
    tokens = acme.sandbox.tokens
    grant = load_module("salesforce", "sandbox_oauth").Grant
    user = acme.sandbox.org.user_ids[acme.sandbox.integration_email]
    acme.driver.token = tokens.issue(grant(user, ("openid",)))
    request = load_module("salesforce", "connector").Request.get("/services/data/v66.0/limits")

    found = acme.driver.connector.classify(await acme.driver.send(request))

    assert found.grounds is Grounds.SCOPE_MISSING
