"""JWT bearer at the org, as independent clients sign it: signature, audience, time, approval."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from authlib.integrations.httpx_client import AsyncAssertionClient
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from tests.connectors.salesforce.conftest import World, _world

ADMIN, REP = "integration@acme.example", "dana.whitfield@acme.example"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN = "/services/oauth2/token"


@pytest.fixture
async def org() -> AsyncIterator[World]:
    async for found in _world("acme", switches={"jwt_users": [ADMIN, REP]}):
        yield found


def assertion(org: World, *, key: Any = None, alg: str = "RS256", **claims: Any) -> str:
    """Return a signed assertion; None as a claim leaves it out."""
    client = org.sandbox.client
    payload = {
        "iss": client.client_id,
        "sub": ADMIN,
        "aud": "https://login.salesforce.com",
        "exp": int(time.time()) + 170,
        **claims,
    }
    kept = {name: value for name, value in payload.items() if value is not None}
    used = key or RSAKey.import_key(client.private_key_pem)
    return jwt.encode({"alg": alg}, kept, used, algorithms=[alg])


async def ask(org: World, signed: str) -> Any:
    return await org.http.post(TOKEN, data={"grant_type": GRANT, "assertion": signed})


async def test_assertion_gives_a_token_of_that_user_and_no_refresh_token(org: World) -> None:
    for email in (ADMIN, REP):
        answer = (await ask(org, assertion(org, sub=email))).json()

        assert "refresh_token" not in answer
        assert answer["id"].endswith(org.sandbox.org.user_ids[email])
        told = await org.http.get(
            "/services/oauth2/userinfo",
            headers={"Authorization": f"Bearer {answer['access_token']}"},
        )
        assert told.json()["email"] == email


async def test_assertion_may_come_again_until_it_expires(org: World) -> None:
    signed = assertion(org)

    assert [(await ask(org, signed)).status_code for _ in range(2)] == [200, 200]


async def test_independent_client_gets_a_token(org: World) -> None:
    client = org.sandbox.client
    async with AsyncAssertionClient(
        token_endpoint=f"{org.url}{TOKEN}",
        issuer=client.client_id,
        subject=ADMIN,
        audience="https://login.salesforce.com",
        expires_at=int(time.time()) + 120,
        header={"alg": "RS256"},
        key=RSAKey.import_key(client.private_key_pem),
        trust_env=False,
    ) as independent:
        answer = await independent.get(f"{org.url}/services/oauth2/userinfo")

    assert answer.json()["email"] == ADMIN


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"aud": "https://test.salesforce.com"}, "invalid_grant"),
        ({"aud": "https://acme.my.salesforce.com/services/oauth2/token"}, "invalid_grant"),
        ({"aud": ["https://login.salesforce.com"]}, "invalid_grant"),
        ({"aud": None}, "invalid_grant"),
        ({"exp": int(time.time()) - 1}, "invalid_grant"),
        ({"exp": int(time.time()) + 3600}, "invalid_grant"),
        ({"exp": None}, "invalid_grant"),
        ({"sub": "marcus.oyelaran@acme.example"}, "invalid_grant"),
        ({"sub": None}, "invalid_grant"),
        ({"iss": "another-app"}, "invalid_client_id"),
        ({"key": RSAKey.generate_key(2048)}, "invalid_grant"),
        ({"key": OctKey.import_key("s" * 64), "alg": "HS256"}, "invalid_grant"),
        ({"alg": "PS256"}, "invalid_grant"),
    ],
    ids=lambda wrong: " ".join(wrong) if isinstance(wrong, dict) else wrong,
)
async def test_assertion_with_anything_wrong_is_refused(
    org: World, wrong: dict[str, Any], error: str
) -> None:
    answer = await ask(org, assertion(org, **wrong))

    assert (answer.status_code, answer.json()["error"]) == (400, error)


async def test_text_that_is_no_assertion_is_refused(org: World) -> None:
    for text in ("", "a.b.c", "x" * 9000, assertion(org) + "x"):
        assert (await ask(org, text)).json()["error"] == "invalid_grant"


async def test_inactive_user_is_refused(org: World) -> None:
    user = org.sandbox.org.rows["User"][org.sandbox.org.user_ids[REP]]
    user["IsActive"] = False

    assert (await ask(org, assertion(org, sub=REP))).json()["error"] == "invalid_grant"


async def test_app_without_a_certificate_takes_no_assertions(acme: World) -> None:
    key = RSAKey.generate_key(2048)

    assert (await ask(acme, assertion(acme, key=key))).json()["error"] == "invalid_client"
