"""What providers' token endpoints say when they refuse, as their documents and clients quote it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from firnline.connections.refusals import Refusal, judge, refusal_of, said_in
from firnline.connectors.auth_flows import AuthorizationCode
from firnline.connectors.protocol import Grounds, Response

AUTH = AuthorizationCode(
    authorize_url="https://provider.example/authorize",
    token_url="https://provider.example/token",
    scopes=(),
    refusals={
        "BAD_REFRESH_TOKEN": "grant",
        "BAD_AUTH_CODE": "grant",
        "tokenInvalid": "grant",
        "unknown_error": "transient",
        "AADSTS50196": "rate_limited",
        "login rate exceeded": "rate_limited",
        "refresh token code is invalid": "grant",
    },
)


def answered(status: int, body: Any) -> Response:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return Response(status, {"content-type": "application/json"}, content)


def oauth(error: str, description: str = "") -> dict[str, Any]:
    return {"error": error, "error_description": description}


def microsoft(error: str, number: int) -> dict[str, Any]:
    return {**oauth(error, f"AADSTS{number}: as it is."), "error_codes": [number], "trace_id": "t"}


SAGE = {"error": {"code": "tokenInvalid", "message": "Token is not valid", "errorId": "REST-2102"}}
HUBSPOT = {"status": "BAD_REFRESH_TOKEN", "message": "missing or invalid refresh token"}
GATEWAY = {"status": "error", "message": "internal error", "correlationId": "c"}


@pytest.mark.parametrize(
    ("status", "body", "meaning"),
    [
        # RFC 6749, as Salesforce, Zendesk, Gong, NetSuite and Entra use it
        (400, oauth("invalid_grant", "expired access/refresh token"), Refusal.GRANT),
        (400, oauth("invalid_grant", "Token has been expired or revoked."), Refusal.GRANT),
        (401, oauth("invalid_client", "Bad client credentials"), Refusal.CLIENT),
        (400, oauth("invalid_client_id", "client identifier invalid"), Refusal.CLIENT),
        (400, oauth("unauthorized_client"), Refusal.CLIENT),
        (400, oauth("invalid_scope"), Refusal.SCOPE),
        (400, oauth("temporarily_unavailable"), Refusal.TRANSIENT),
        (400, oauth("slow_down"), Refusal.RATE_LIMITED),
        (400, microsoft("invalid_grant", 700082), Refusal.GRANT),
        (400, microsoft("invalid_grant", 50173), Refusal.GRANT),
        (400, microsoft("interaction_required", 65001), Refusal.GRANT),
        (401, microsoft("invalid_client", 7000215), Refusal.CLIENT),
        (401, microsoft("invalid_client", 7000222), Refusal.CLIENT),
        (400, microsoft("invalid_grant", 50196), Refusal.RATE_LIMITED),
        # words of their own, which the connector declares
        (400, HUBSPOT, Refusal.GRANT),
        (
            400,
            {"status": "BAD_AUTH_CODE", "message": "unknown auth code"},
            Refusal.GRANT,
        ),
        (401, SAGE, Refusal.GRANT),
        (400, SAGE, Refusal.GRANT),
        (400, {"requestId": "r", "errors": ["Refresh token code is invalid."]}, Refusal.GRANT),
        (400, oauth("unknown_error", "retry your request"), Refusal.TRANSIENT),
        (400, oauth("invalid_grant", "Login Rate Exceeded"), Refusal.RATE_LIMITED),
        # a refusal inside of a success
        (200, oauth("invalid_grant"), Refusal.GRANT),
        (200, {"token_type": "Bearer"}, Refusal.UNKNOWN),
        # outages, whatever they say
        (500, oauth("invalid_grant"), Refusal.TRANSIENT),
        (503, HUBSPOT, Refusal.TRANSIENT),
        (520, b"<html>", Refusal.TRANSIENT),
        (408, b"", Refusal.TRANSIENT),
        (429, oauth("invalid_grant"), Refusal.RATE_LIMITED),
        # nobody knows
        (401, b"<html>Logon failed</html>", Refusal.UNKNOWN),
        (403, b"", Refusal.UNKNOWN),
        (302, b"", Refusal.UNKNOWN),
        (404, GATEWAY, Refusal.UNKNOWN),
        (400, {"error": ["invalid_grant"]}, Refusal.UNKNOWN),
        (400, {"error": {"code": {"a": 1}}}, Refusal.UNKNOWN),
        (400, [{"error": "invalid_grant"}], Refusal.UNKNOWN),
        (400, {"error_codes": "invalid_grant", "errors": "invalid_grant"}, Refusal.UNKNOWN),
        (200, {"access_token": "t"}, None),
        (201, {"access_token": "t", "error": ""}, None),
    ],
)
def test_refusal_has_one_meaning(status: int, body: Any, meaning: Refusal | None) -> None:
    assert refusal_of(AUTH, answered(status, body)) is meaning


def test_words_of_one_provider_mean_nothing_at_another() -> None:
    plain = AUTH.model_copy(update={"refusals": {}})

    for body in (HUBSPOT, SAGE, {"errors": ["Refresh token code is invalid"]}):
        assert refusal_of(plain, answered(400, body)) is Refusal.UNKNOWN


def test_only_outages_and_limits_are_repeated_by_the_transport() -> None:
    def grounds(status: int, body: Any) -> Grounds | None:
        verdict = judge(AUTH, answered(status, body))
        return None if verdict is None else verdict.grounds

    assert grounds(502, b"<html>") is Grounds.UNAVAILABLE
    assert grounds(400, oauth("temporarily_unavailable")) is Grounds.UNAVAILABLE
    assert grounds(400, oauth("slow_down")) is Grounds.RATE_LIMITED
    for body in (oauth("invalid_grant"), oauth("invalid_client"), oauth("invalid_scope"), HUBSPOT):
        assert grounds(400, body) is None


def test_message_is_one_line_and_bounded() -> None:
    said = said_in(answered(400, oauth("invalid_grant", "line\nbreak\x1b[31m " + "x" * 5000)))

    assert said.startswith("invalid_grant: line break")
    assert len(said) <= 300
    assert said.isprintable()
    assert said_in(answered(400, microsoft("invalid_grant", 1))) == "AADSTS1: as it is."
    assert said_in(answered(403, b"<html>")) == "403"
