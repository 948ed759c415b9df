"""Refusals: what every answer outside success means to the engine."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.contract.conftest import NOW, OpenAccount
from tests.contract.engine import Account

from firnline.connectors.protocol import Connector, Grounds, Response
from firnline.sandbox.faults import Fault
from firnline.sandbox.seed import company

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


@pytest.fixture
async def fresh(open_account: OpenAccount) -> AsyncIterator[Account]:
    async with open_account(company("acme", scale=0.01, now=NOW)) as account:
        yield account


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
    # The transport bounds a long wait; a negative one or none at all (nan) would slip through.
    assert verdict.retry_after_s is None or verdict.retry_after_s >= 0


async def test_ended_token_is_told_from_a_missing_right(fresh: Account) -> None:
    described = next(found for found in (await fresh.discover()).objects if found.exposed)
    request = fresh.connector.build_read(fresh.query(described))
    for token in ("no-such-token", "x"):
        response = await fresh.send(request, token=token)
        assert fresh.connector.refused(response)
        assert fresh.connector.classify(response).grounds in EXPECTED[401]

    valid = fresh.sandbox.token_for(fresh.sandbox.integration_email)
    fresh.sandbox.revoke(fresh.sandbox.integration_email)
    response = await fresh.send(request, token=valid)
    assert fresh.connector.refused(response)
    verdict = fresh.connector.classify(response)
    assert verdict.grounds in EXPECTED[401]
    assert valid not in verdict.message


async def test_outage_is_the_providers_trouble(fresh: Account) -> None:
    described = next(found for found in (await fresh.discover()).objects if found.exposed)
    request = fresh.connector.build_read(fresh.query(described))
    fresh.server.disturb(Fault("status", status=503, body="<html>upstream down</html>"))
    response = await fresh.send(request)
    assert fresh.connector.classify(response).grounds is Grounds.UNAVAILABLE
    assert not fresh.connector.refused(await fresh.send(request))
