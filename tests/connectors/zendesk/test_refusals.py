"""Every error form of the vendor, and what it means."""

from __future__ import annotations

from typing import Any

import httpx2
import orjson
import pytest
from tests.connectors.zendesk.account import fault, open_account
from tests.connectors.zendesk.driver import Engine

from firnline.connectors.protocol import Connector, Grounds, Request, Response
from firnline.sandbox.server import listening

FORMS: list[tuple[int, Any, Grounds]] = [
    (401, {"error": "invalid_token", "error_description": "expired"}, Grounds.TOKEN_EXPIRED),
    (401, {"error": "Couldn't authenticate you"}, Grounds.TOKEN_REVOKED),
    (401, "", Grounds.TOKEN_EXPIRED),
    (400, {"error": "invalid_grant", "error_description": "used"}, Grounds.TOKEN_REVOKED),
    (401, {"error": "invalid_client", "error_description": "no"}, Grounds.INVALID),
    (
        403,
        {
            "error": "Forbidden",
            "description": "You are missing the following required scopes: write",
        },
        Grounds.SCOPE_MISSING,
    ),
    (403, {"error": {"title": "Forbidden", "message": "No access"}}, Grounds.FORBIDDEN),
    (403, "<html>", Grounds.FORBIDDEN),
    (404, {"error": "RecordNotFound", "description": "Not found"}, Grounds.NOT_FOUND),
    (404, {"error": "InvalidEndpoint", "description": "Not found"}, Grounds.NOT_FOUND),
    (409, {"error": "UpdateConflict", "description": "changed"}, Grounds.CONFLICT),
    (400, {"error": "IdempotentRequestInProgress"}, Grounds.CONFLICT),
    (400, {"error": "IdempotentRequestError", "description": "differs"}, Grounds.INVALID),
    (400, {"error": "ParameterMissing", "description": "Parameter x is required"}, Grounds.INVALID),
    (422, {"error": "InvalidValue", "description": "Too recent start_time."}, Grounds.INVALID),
    (400, {"error": "InvalidCursor", "description": "The cursor is invalid"}, Grounds.CURSOR_GONE),
    (422, {"error": "invalid", "description": "Invalid search"}, Grounds.INVALID),
    (422, {"error": "unavailable", "description": "Try again"}, Grounds.UNAVAILABLE),
    (429, "Number of allowed API requests per minute exceeded", Grounds.RATE_LIMITED),
    (429, {"error": "APIRateLimitExceeded", "description": "exceeded"}, Grounds.RATE_LIMITED),
    (429, {"error": "TooManyJobs", "description": "30"}, Grounds.RATE_LIMITED),
    (500, {"status": 500, "error": "Internal Server Error"}, Grounds.UNAVAILABLE),
    (503, "<html>down</html>", Grounds.UNAVAILABLE),
    (418, "[]", Grounds.UNKNOWN),
]


@pytest.mark.parametrize(("status", "body", "grounds"), FORMS)
def test_refusal_is_classified(
    connector: Connector, status: int, body: Any, grounds: Grounds
) -> None:
    content = body.encode() if isinstance(body, str) else orjson.dumps(body)
    verdict = connector.classify(Response(status, {"retry-after": "41"}, content))
    assert verdict.grounds is grounds
    assert verdict.retry_after_s == 41.0


def test_validation_errors_are_told_field_by_field(connector: Connector) -> None:
    body = {
        "error": "RecordInvalid",
        "description": "Record validation errors",
        "details": {"name": [{"description": "Name: cannot be blank", "error": "BlankValue"}]},
    }
    verdict = connector.classify(Response(422, {}, orjson.dumps(body)))
    assert verdict.grounds is Grounds.INVALID
    assert verdict.code == "RecordInvalid"
    assert verdict.message == "Record validation errors (name: Name: cannot be blank)"
    assert verdict.retry_after_s is None


@pytest.mark.parametrize("wait", ["soon", "-1", "nan", "1e999", ""])
def test_a_senseless_wait_is_ignored(connector: Connector, wait: str) -> None:
    assert connector.classify(Response(429, {"retry-after": wait}, b"")).retry_after_s is None


def test_message_is_bounded(connector: Connector) -> None:
    verdict = connector.classify(Response(500, {}, b"x" * 10_000))
    assert len(verdict.message) == 300


@pytest.mark.parametrize("as_json", [False, True])
async def test_rate_limit_of_exports_is_told_with_the_wait(
    connector: Connector, as_json: bool
) -> None:
    sandbox = open_account(limits=True, json_rate_limit=as_json)
    async with (
        listening(sandbox.app) as url,
        httpx2.AsyncClient(base_url=url, trust_env=False) as http,
    ):
        engine = Engine(connector, http, sandbox.token_for(sandbox.integration_email))
        asked = Request.get("/api/v2/incremental/tickets/cursor", start_time="1", per_page="1")
        answers = [await engine.send(asked) for _ in range(11)]
        assert [answer.status for answer in answers] == [200] * 10 + [429]
        verdict = connector.classify(answers[-1])
        assert verdict.grounds is Grounds.RATE_LIMITED
        assert verdict.retry_after_s is not None
        assert 0 < verdict.retry_after_s <= 60
        # Other calls have the account's own, wider limit.
        other = await engine.send(Request.get("/api/v2/tickets"))
        assert other.status == 200
        assert other.headers["x-rate-limit"] == "700"
        sandbox.advance(verdict.retry_after_s)
        assert (await engine.send(asked)).status == 200


async def test_high_volume_switch_widens_the_limits(connector: Connector) -> None:
    sandbox = open_account(limits=True, high_volume=True)
    async with (
        listening(sandbox.app) as url,
        httpx2.AsyncClient(base_url=url, trust_env=False) as http,
    ):
        engine = Engine(connector, http, sandbox.token_for(sandbox.integration_email))
        asked = Request.get("/api/v2/incremental/tickets/cursor", start_time="1", per_page="1")
        statuses = [(await engine.send(asked)).status for _ in range(31)]
    assert statuses == [200] * 30 + [429]


@pytest.mark.parametrize("tenant", ["acme"], indirect=True)
class TestOverHttp:
    async def test_a_revoked_token_is_told(self, engine: Engine, sandbox: Any) -> None:
        sandbox.revoke(sandbox.integration_email)
        answer = await engine.send(Request.get("/api/v2/users/me"))
        assert engine.connector.classify(answer).grounds is Grounds.TOKEN_EXPIRED

    async def test_a_missing_scope_is_told(
        self, connector: Connector, http: httpx2.AsyncClient, sandbox: Any
    ) -> None:
        user = sandbox.oauth.user(sandbox.integration_email)
        token = sandbox.oauth.issue(user["id"], "users:read").access
        engine = Engine(connector, http, token)
        assert (await engine.send(Request.get("/api/v2/users"))).status == 200
        answer = await engine.send(Request.get("/api/v2/tickets"))
        assert connector.classify(answer).grounds is Grounds.SCOPE_MISSING

    async def test_an_agent_may_not_export(
        self, connector: Connector, http: httpx2.AsyncClient, sandbox: Any
    ) -> None:
        agent = next(
            row["email"]
            for row in sandbox.store.table("users").rows.values()
            if row["role"] == "agent"
        )
        engine = Engine(connector, http, sandbox.token_for(agent))
        for name in ("tickets/cursor", "users/cursor", "organizations"):
            path = f"/api/v2/incremental/{name}"
            answer = await engine.send(Request.get(path, start_time="1"))
            assert connector.classify(answer).grounds is Grounds.FORBIDDEN
        assert (await engine.send(Request.get("/api/v2/custom_roles"))).status == 200

    async def test_a_fault_is_served_once_and_then_the_truth(
        self, engine: Engine, sandbox: Any
    ) -> None:
        sandbox.faults.append(fault("users/me", 503, "down", **{"Retry-After": "7"}))
        asked = Request.get("/api/v2/users/me")
        verdict = engine.connector.classify(await engine.send(asked))
        assert (verdict.grounds, verdict.retry_after_s) == (Grounds.UNAVAILABLE, 7.0)
        assert (await engine.send(asked)).status == 200
