"""Refusals: what every answer outside success means to the engine."""

from __future__ import annotations

import pytest
from tests.contract.engine import Account

from firnline.connectors.protocol import Connector, Grounds, Response
from firnline.sandbox.faults import Fault

BODIES = (
    b"",
    b"<html><body>Service Unavailable</body></html>",
    b'{"unexpected": {"shape": [1, 2, 3]}}',
    b'["error"]',
    b'[{"message": 5, "errorCode": null}]',
    b'{"error": null}',
    b'{"error": ["a"], "errors": {"a": "b"}}',
    b'{"o:errorDetails": "none"}',
    b"null",
    b"7",
    b'"text"',
    b"\xff\xfe\x00",
    b"{" * 2_000,
)
EXPECTED = {
    401: {Grounds.TOKEN_EXPIRED, Grounds.TOKEN_REVOKED},
    403: {Grounds.FORBIDDEN, Grounds.SCOPE_MISSING},
    404: {Grounds.NOT_FOUND},
    429: {Grounds.RATE_LIMITED},
    500: {Grounds.UNAVAILABLE},
    502: {Grounds.UNAVAILABLE},
    503: {Grounds.UNAVAILABLE},
    504: {Grounds.UNAVAILABLE},
}


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
@pytest.mark.parametrize("status", sorted(EXPECTED))
def test_status_alone_is_understood_whatever_the_body(
    connector: Connector, status: int, body: bytes
) -> None:
    for content_type in ("application/json", "text/html"):
        response = Response(status, {"content-type": content_type}, body)
        assert connector.refused(response)
        assert connector.classify(response).grounds in EXPECTED[status]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
@pytest.mark.parametrize("status", [300, 302, 400, 402, 405, 409, 410, 415, 418, 422, 451, 599])
def test_any_other_status_gets_a_verdict(connector: Connector, status: int, body: bytes) -> None:
    verdict = connector.classify(Response(status, {}, body))
    assert verdict.grounds in Grounds
    assert verdict.grounds is not Grounds.RATE_LIMITED


def test_wait_that_the_provider_asks_for_is_kept(connector: Connector) -> None:
    verdict = connector.classify(Response(429, {"retry-after": "7"}, b""))
    assert verdict.retry_after_s == 7


@pytest.mark.parametrize("wait", ["soon", "-1", "", "nan", "1e999"])
def test_senseless_wait_is_ignored(connector: Connector, wait: str) -> None:
    verdict = connector.classify(Response(429, {"retry-after": wait}, b""))
    assert verdict.grounds is Grounds.RATE_LIMITED
    assert verdict.retry_after_s is None or 0 <= verdict.retry_after_s < 1e6


@pytest.mark.parametrize("tenant", ["acme"], indirect=True)
async def test_ended_token_is_told_from_a_missing_right(account: Account) -> None:
    described = next(found for found in (await account.discover()).objects if found.exposed)
    request = account.connector.build_read(account.query(described))
    for token in ("no-such-token", "x"):
        response = await account.send(request, token=token)
        assert account.connector.refused(response)
        assert account.connector.classify(response).grounds in EXPECTED[401]

    valid = account.sandbox.token_for(account.sandbox.integration_email)
    account.sandbox.revoke(account.sandbox.integration_email)
    response = await account.send(request, token=valid)
    assert account.connector.refused(response)
    verdict = account.connector.classify(response)
    assert verdict.grounds in EXPECTED[401]
    assert valid not in verdict.message


@pytest.mark.parametrize("tenant", ["acme"], indirect=True)
async def test_outage_is_the_providers_trouble(account: Account) -> None:
    described = next(found for found in (await account.discover()).objects if found.exposed)
    request = account.connector.build_read(account.query(described))
    account.server.disturb(Fault("status", status=503, body="<html>upstream down</html>"))
    response = await account.send(request)
    assert account.connector.classify(response).grounds is Grounds.UNAVAILABLE
    assert not account.connector.refused(await account.send(request))
