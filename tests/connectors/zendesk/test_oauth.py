"""OAuth as the real account does it: PKCE, single-use codes, rotation, revocation."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from tests.connectors.zendesk.account import open_account

from firnline.sandbox.server import listening

REDIRECT = "http://127.0.0.1:8080/connect/zendesk/callback"
VERIFIER = "v" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().strip("=")


@pytest.fixture
def tenant() -> str:
    return "acme"


def question(sandbox: Any, **changed: str) -> dict[str, str]:
    return {
        "response_type": "code",
        "client_id": sandbox.client.client_id,
        "redirect_uri": REDIRECT,
        "scope": "read",
        "state": "s-1",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "login_hint": sandbox.integration_email,
        "sandbox_approve": "1",
        **changed,
    }


async def asked(http: httpx2.AsyncClient, params: Mapping[str, str]) -> httpx2.Response:
    return await http.get("/oauth/authorizations/new", params=dict(params))


def answered(response: httpx2.Response) -> dict[str, str]:
    assert response.status_code == 302, response.text
    assert response.headers["location"].startswith(REDIRECT)
    query = parse_qs(urlsplit(response.headers["location"]).query)
    return {name: values[0] for name, values in query.items()}


async def exchange(
    http: httpx2.AsyncClient, sandbox: Any, code: str, **changed: Any
) -> httpx2.Response:
    body = {
        "grant_type": "authorization_code",
        "code": code,
        "client_id": sandbox.client.client_id,
        "client_secret": sandbox.client.client_secret,
        "redirect_uri": REDIRECT,
        "code_verifier": VERIFIER,
        "scope": "read",
        **changed,
    }
    return await http.post("/oauth/tokens", json=body)


async def signed_in(http: httpx2.AsyncClient, sandbox: Any) -> dict[str, Any]:
    code = answered(await asked(http, question(sandbox)))["code"]
    response = await exchange(http, sandbox, code)
    assert response.status_code == 201, response.text
    tokens: dict[str, Any] = response.json()
    return tokens


async def refresh(http: httpx2.AsyncClient, sandbox: Any, token: str) -> httpx2.Response:
    body = {
        "grant_type": "refresh_token",
        "refresh_token": token,
        "client_id": sandbox.client.client_id,
        "client_secret": sandbox.client.client_secret,
        "scopes": "read",
    }
    return await http.post("/oauth/tokens", json=body)


async def me(http: httpx2.AsyncClient, token: str) -> httpx2.Response:
    return await http.get("/api/v2/users/me.json", headers={"Authorization": f"Bearer {token}"})


async def test_a_code_with_its_verifier_gives_that_persons_token(
    http: httpx2.AsyncClient, sandbox: Any
) -> None:
    answer = answered(await asked(http, question(sandbox)))
    assert answer["state"] == "s-1"
    tokens = (await exchange(http, sandbox, answer["code"])).json()
    assert tokens["token_type"] == "bearer"
    assert tokens["scope"] == "read"
    assert tokens["expires_in"] == pytest.approx(3600, abs=2)
    who = (await me(http, tokens["access_token"])).json()["user"]
    assert who["email"] == sandbox.integration_email


async def test_a_code_works_once(http: httpx2.AsyncClient, sandbox: Any) -> None:
    code = answered(await asked(http, question(sandbox)))["code"]
    assert (await exchange(http, sandbox, code)).status_code == 201
    again = await exchange(http, sandbox, code)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    ("changed", "status", "error"),
    [
        ({"code_verifier": "w" * 64}, 400, "invalid_grant"),
        ({"code_verifier": ""}, 400, "invalid_grant"),
        ({"redirect_uri": REDIRECT + "/"}, 400, "invalid_grant"),
        ({"client_secret": "guess"}, 401, "invalid_client"),
        ({"client_id": "other"}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"expires_in": 10}, 400, "invalid_request"),
    ],
    ids=str,
)
async def test_an_exchange_that_does_not_fit_is_refused(
    http: httpx2.AsyncClient, sandbox: Any, changed: dict[str, Any], status: int, error: str
) -> None:
    code = answered(await asked(http, question(sandbox)))["code"]
    response = await exchange(http, sandbox, code, **changed)
    assert (response.status_code, response.json()["error"]) == (status, error)


async def test_a_code_lives_two_minutes(http: httpx2.AsyncClient, sandbox: Any) -> None:
    code = answered(await asked(http, question(sandbox)))["code"]
    sandbox.advance(121)
    assert (await exchange(http, sandbox, code)).json()["error"] == "invalid_grant"


async def test_a_form_body_is_refused(http: httpx2.AsyncClient) -> None:
    response = await http.post("/oauth/tokens", data={"grant_type": "refresh_token"})
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


async def test_refresh_deletes_the_previous_tokens(http: httpx2.AsyncClient, sandbox: Any) -> None:
    old = await signed_in(http, sandbox)
    response = await refresh(http, sandbox, old["refresh_token"])
    new = response.json()
    assert (await me(http, new["access_token"])).status_code == 200
    gone = await me(http, old["access_token"])
    assert (gone.status_code, gone.json()["error"]) == (401, "invalid_token")
    replay = await refresh(http, sandbox, old["refresh_token"])
    assert (replay.status_code, replay.json()["error"]) == (400, "invalid_grant")


async def test_an_expired_token_is_refused_and_its_refresh_token_works(
    http: httpx2.AsyncClient, sandbox: Any
) -> None:
    tokens = await signed_in(http, sandbox)
    sandbox.advance(3601)
    expired = await me(http, tokens["access_token"])
    assert expired.status_code == 401
    assert "invalid_token" in expired.headers["www-authenticate"]
    assert (await refresh(http, sandbox, tokens["refresh_token"])).status_code == 201


async def test_revocation_voids_access_and_refresh(http: httpx2.AsyncClient, sandbox: Any) -> None:
    tokens = await signed_in(http, sandbox)
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    shown = (await http.get("/api/v2/oauth/tokens/current", headers=headers)).json()["token"]
    assert shown["token"] == tokens["access_token"][:10]
    gone = await http.delete("/api/v2/oauth/tokens/current", headers=headers)
    assert gone.status_code == 204
    assert (await me(http, tokens["access_token"])).status_code == 401
    assert (await refresh(http, sandbox, tokens["refresh_token"])).status_code == 400


async def test_sandbox_revoke_voids_all_tokens_of_a_person(
    http: httpx2.AsyncClient, sandbox: Any
) -> None:
    tokens = await signed_in(http, sandbox)
    sandbox.revoke(sandbox.integration_email)
    assert (await me(http, tokens["access_token"])).status_code == 401
    assert (await refresh(http, sandbox, tokens["refresh_token"])).status_code == 400


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": ""}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"deny": "1"}, "access_denied"),
    ],
    ids=str,
)
async def test_a_question_that_is_refused_goes_back_with_the_error(
    http: httpx2.AsyncClient, sandbox: Any, changed: dict[str, str], error: str
) -> None:
    answer = answered(await asked(http, question(sandbox, **changed)))
    assert answer == {"error": error, "state": "s-1"}


@pytest.mark.parametrize(
    "changed",
    [
        {"redirect_uri": "https://evil.example/"},
        {"redirect_uri": "http://127.0.0.1:80.evil.example/"},
        {"client_id": "<img src=x>"},
    ],
    ids=str,
)
async def test_an_unknown_client_or_redirect_is_never_redirected(
    http: httpx2.AsyncClient, sandbox: Any, changed: dict[str, str]
) -> None:
    response = await asked(http, question(sandbox, **changed))
    assert response.status_code == 400
    assert "location" not in response.headers


async def test_a_registered_https_redirect_is_accepted() -> None:
    uri = "https://gateway.example/connect"
    sandbox = open_account(redirect_uris=[uri])
    async with (
        listening(sandbox.app) as url,
        httpx2.AsyncClient(base_url=url, trust_env=False) as http,
    ):
        response = await asked(http, question(sandbox, redirect_uri=uri))
    assert response.headers["location"].startswith(f"{uri}?code=")


async def test_the_sign_in_page_offers_the_people_and_answers_the_form(
    http: httpx2.AsyncClient, sandbox: Any
) -> None:
    params = question(sandbox, state='"><script>')
    del params["sandbox_approve"]
    page = await asked(http, params)
    assert page.status_code == 200
    assert all(email in page.text for email in sandbox.emails())
    assert "<script>" not in page.text
    chosen = await http.post(
        "/oauth/authorizations/new", params=params, data={"email": sandbox.emails()[-1]}
    )
    tokens = (await exchange(http, sandbox, answered(chosen)["code"])).json()
    who = (await me(http, tokens["access_token"])).json()["user"]
    assert who["email"] == sandbox.emails()[-1]
