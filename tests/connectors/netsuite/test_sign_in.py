"""OAuth of the account: assertions as an independent client signs them, consent, refresh, end."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey
from tests.connectors.netsuite.account import NOW, Driver, sandbox_of, serve, world

from firnline.clock import FixedClock

TOKEN = "/services/rest/auth/oauth2/v1/token"
AUTHORIZE = "/app/login/oauth2/authorize.nl"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
CALLBACK = "http://127.0.0.1:9/callback"
VERIFIER = "v" * 64
STATE = "s" * 22


@pytest.fixture
async def account() -> AsyncIterator[Driver]:
    """An account whose clock stands still until a test moves it."""
    clock = FixedClock(NOW)
    sandbox = sandbox_of(
        world("acme"), clock=clock, switches={"redirect_uris": ["https://b.example/cb"]}
    )
    sandbox.clock = clock
    async with serve(sandbox.app) as http:
        yield Driver(http, sandbox)


def assertion(
    sandbox: Any, *, key: Any = None, alg: str = "PS256", kid: str = "", **claims: Any
) -> str:
    """Return a signed assertion; None as a claim leaves it out."""
    issued = int(NOW.timestamp())
    payload = {
        "iss": sandbox.client.client_id,
        "scope": ["rest_webservices"],
        "aud": f"{sandbox.base_url}{TOKEN}",
        "iat": issued,
        "exp": issued + 300,
        **claims,
    }
    header = {"typ": "JWT", "alg": alg, "kid": kid or sandbox.client.key_id}
    kept = {name: value for name, value in payload.items() if value is not None}
    used = key or RSAKey.import_key(sandbox.client.private_key_pem)
    return jwt.encode(header, kept, used, algorithms=[alg])


async def ask(account: Driver, signed: str, **more: str) -> httpx2.Response:
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION,
        "client_assertion": signed,
        **more,
    }
    return await account.http.post(TOKEN, data=form)


async def works(account: Driver, token: str) -> bool:
    answer = await account.http.get(
        "/services/rest/record/v1/metadata-catalog", headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status_code in (200, 401)
    return answer.status_code == 200


async def test_assertion_of_each_person_gives_a_token_of_their_own_role(account: Driver) -> None:
    sandbox = account.sandbox
    for email in sandbox.emails():
        answer = await ask(account, assertion(sandbox, kid=sandbox.client.subjects[email]))
        body = answer.json()
        assert (body["token_type"].lower(), body["expires_in"]) == ("bearer", 3600)
        assert "refresh_token" not in body
        keys = (await account.http.get(f"{TOKEN.removesuffix('token')}keys")).json()
        claims = jwt.decode(body["access_token"], KeySet.import_key_set(keys)).claims
        role, employee = sandbox.store.role_by_email[email], sandbox.store.employee_of[email]
        assert claims["sub"] == f"{role};{employee}"
        assert await works(account, body["access_token"])


@pytest.mark.parametrize(
    "scope", [["rest_webservices"], "rest_webservices", "restlets, rest_webservices"], ids=str
)
async def test_scope_is_taken_as_array_and_as_text(account: Driver, scope: Any) -> None:
    assert (await ask(account, assertion(account.sandbox, scope=scope))).status_code == 200


@pytest.mark.parametrize(
    ("fault", "status", "error"),
    [
        ({"aud": "https://1234567.suitetalk.api.netsuite.com"}, 400, "invalid_grant"),
        ({"aud": None}, 400, "invalid_grant"),
        ({"exp": int(NOW.timestamp()) - 1}, 400, "invalid_grant"),
        ({"exp": int(NOW.timestamp()) + 3601}, 400, "invalid_grant"),
        ({"iat": int(NOW.timestamp()) + 3000}, 400, "invalid_grant"),
        ({"exp": None}, 400, "invalid_request"),
        ({"iss": "someone"}, 401, "invalid_client"),
        ({"kid": "unknown"}, 401, "invalid_client"),
        ({"scope": ["everything"]}, 400, "invalid_scope"),
        ({"scope": None}, 400, "invalid_scope"),
        ({"key": RSAKey.generate_key(2048)}, 400, "invalid_grant"),
        ({"key": ECKey.generate_key("P-256"), "alg": "ES256"}, 400, "invalid_grant"),
        ({"alg": "RS256"}, 400, "invalid_grant"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else str(value),
)
async def test_faulty_assertion_is_refused_by_code_alone(
    account: Driver, fault: Mapping[str, Any], status: int, error: str
) -> None:
    answer = await ask(account, assertion(account.sandbox, **fault))

    assert (answer.status_code, answer.json()) == (status, {"error": error})


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, "invalid_request"),
        (
            {
                "grant_type": "client_credentials",
                "client_assertion_type": ASSERTION,
                "client_assertion": "not.a.jwt",
            },
            "invalid_grant",
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else value,
)
async def test_malformed_token_request_is_refused(
    account: Driver, form: Mapping[str, str], error: str
) -> None:
    answer = await account.http.post(TOKEN, data=dict(form))

    assert (answer.status_code, answer.json()) == (400, {"error": error})


async def test_elliptic_key_signs_where_the_account_uses_one() -> None:
    sandbox = sandbox_of(world("acme"), clock=FixedClock(NOW), switches={"algorithm": "ES256"})
    key = ECKey.import_key(sandbox.client.private_key_pem)
    async with serve(sandbox.app) as http:
        answer = await ask(Driver(http, sandbox), assertion(sandbox, key=key, alg="ES256"))

    assert (sandbox.client.algorithm, answer.status_code) == ("ES256", 200)


async def test_token_ends_with_its_lifetime_and_with_revocation(account: Driver) -> None:
    sandbox = account.sandbox
    first = sandbox.token_for(sandbox.integration_email)
    sandbox.clock._monotonic += 3599
    second = sandbox.token_for(sandbox.integration_email)
    assert await works(account, first)
    sandbox.clock._monotonic += 1
    assert not await works(account, first)
    assert await works(account, second)

    sandbox.revoke(sandbox.integration_email)

    assert not await works(account, second)


def consent(sandbox: Any, **changed: str) -> dict[str, str]:
    challenge = urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
    return {
        "response_type": "code",
        "client_id": sandbox.client.client_id,
        "redirect_uri": CALLBACK,
        "scope": "rest_webservices",
        "state": STATE,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        "login_hint": sandbox.integration_email,
        "sandbox_approve": "1",
        **changed,
    }


async def code_of(account: Driver) -> str:
    answer = await account.http.get(AUTHORIZE, params=consent(account.sandbox))
    assert answer.status_code == 302, answer.text
    granted = dict(parse_qsl(urlsplit(answer.headers["location"]).query))
    assert (granted["state"], granted["company"], granted["role"]) == (STATE, "1234567", "3")
    return granted["code"]


async def redeem(account: Driver, **form: str) -> httpx2.Response:
    client = (account.sandbox.client.client_id, account.sandbox.client.client_secret)
    return await account.http.post(TOKEN, data=form, auth=client)


def exchange(code: str) -> dict[str, str]:
    return {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
    }


async def test_consent_gives_a_code_that_works_once(account: Driver) -> None:
    code = await code_of(account)

    first = await redeem(account, **exchange(code))
    again = await redeem(account, **exchange(code))

    assert await works(account, first.json()["access_token"])
    assert (again.status_code, again.json()) == (400, {"error": "invalid_grant"})


@pytest.mark.parametrize(
    "changed",
    [{"code_verifier": "w" * 64}, {"redirect_uri": "http://127.0.0.1:9/other"}, {"code": "guess"}],
    ids=lambda value: next(iter(value)),
)
async def test_code_is_refused_without_its_verifier_and_redirect(
    account: Driver, changed: dict[str, str]
) -> None:
    answer = await redeem(account, **{**exchange(await code_of(account)), **changed})

    assert answer.json() == {"error": "invalid_grant"}


async def test_code_expires_after_ten_minutes(account: Driver) -> None:
    code = await code_of(account)
    account.sandbox.clock._monotonic += 600

    assert (await redeem(account, **exchange(code))).json() == {"error": "invalid_grant"}


async def test_refresh_keeps_its_token_for_seven_days_and_ends_with_revocation(
    account: Driver,
) -> None:
    answer = (await redeem(account, **exchange(await code_of(account)))).json()
    refresh = {"grant_type": "refresh_token", "refresh_token": answer["refresh_token"]}
    account.sandbox.clock._monotonic += 6 * 24 * 3600

    renewed = (await redeem(account, **refresh)).json()
    assert "refresh_token" not in renewed
    assert await works(account, renewed["access_token"])
    client = (account.sandbox.client.client_id, account.sandbox.client.client_secret)
    form = {"token": answer["refresh_token"]}
    revoked = await account.http.post(TOKEN.replace("token", "revoke"), data=form, auth=client)

    assert revoked.status_code == 200
    assert not await works(account, renewed["access_token"])
    assert (await redeem(account, **refresh)).json() == {"error": "invalid_grant"}


async def test_wrong_client_secret_is_refused_with_a_challenge(account: Driver) -> None:
    client = (account.sandbox.client.client_id, "wrong")
    form = exchange(await code_of(account))

    answer = await account.http.post(TOKEN, data=form, auth=client)

    assert (answer.status_code, answer.json()) == (401, {"error": "invalid_client"})
    assert answer.headers["www-authenticate"] == 'Basic realm="1234567"'


@pytest.mark.parametrize(
    "changed",
    [
        {"redirect_uri": "https://evil.example/cb"},
        {"redirect_uri": "http://127.0.0.1.evil.example:9/cb"},
        {"redirect_uri": "https://b.example/cb/more"},
        {"client_id": "other"},
        {"scope": "everything"},
        {"state": "short"},
        {"code_challenge_method": "plain"},
        {"code_challenge": ""},
        {"response_type": "token"},
    ],
    ids=lambda value: "=".join(next(iter(value.items()))),
)
async def test_consent_with_a_wrong_parameter_never_redirects(
    account: Driver, changed: dict[str, str]
) -> None:
    answer = await account.http.get(AUTHORIZE, params=consent(account.sandbox, **changed))

    assert answer.status_code == 400
    assert "location" not in answer.headers


async def test_consent_screen_lists_people_and_answers_the_form(account: Driver) -> None:
    asked = consent(account.sandbox, redirect_uri="https://b.example/cb")
    del asked["sandbox_approve"]
    page = await account.http.get(AUTHORIZE, params=asked)
    chosen = account.sandbox.emails()[1]

    answer = await account.http.post(AUTHORIZE, params=asked, data={"email": chosen})

    assert chosen in page.text
    assert answer.headers["location"].startswith("https://b.example/cb?")


async def test_person_without_login_is_sent_back_with_a_refusal(account: Driver) -> None:
    asked = consent(account.sandbox, login_hint="nobody@acme.example")

    answer = await account.http.get(AUTHORIZE, params=asked)

    assert answer.headers["location"] == f"{CALLBACK}?error=access_denied&state={STATE}"
