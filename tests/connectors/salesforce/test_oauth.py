"""The org's OAuth as a real client meets it: PKCE, single-use codes, refresh, revocation."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.connectors.salesforce.conftest import World

VERIFIER = "a-verifier-that-is-long-enough-to-be-one-0123456789"
CALLBACK = "http://127.0.0.1:4999/callback"


def challenge(verifier: str = VERIFIER) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def authorization(world: World, **changes: str) -> dict[str, str]:
    return {
        "response_type": "code",
        "client_id": world.sandbox.client.client_id,
        "redirect_uri": CALLBACK,
        "scope": "api refresh_token openid",
        "state": "s1",
        "code_challenge": challenge(),
        "code_challenge_method": "S256",
        "login_hint": world.sandbox.integration_email,
        "sandbox_approve": "1",
        **changes,
    }


async def sign_in(world: World, **changes: str) -> dict[str, str]:
    answer = await world.http.get(
        "/services/oauth2/authorize", params=authorization(world, **changes)
    )
    assert answer.status_code == 302, answer.text
    location = answer.headers["location"]
    assert location.startswith(CALLBACK)
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


async def exchange(world: World, **form: str) -> Any:
    client = world.sandbox.client
    return await world.http.post(
        "/services/oauth2/token",
        data={"client_id": client.client_id, "client_secret": client.client_secret, **form},
        headers={"Host": "acme.my.salesforce.com", "X-Forwarded-Proto": "https"},
    )


async def redeem(world: World, code: str, /, **changes: str) -> Any:
    return await exchange(
        world,
        **{
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": CALLBACK,
            "code_verifier": VERIFIER,
            **changes,
        },
    )


async def works(world: World, token: str) -> bool:
    answer = await world.http.get(
        "/services/data/v66.0/limits", headers={"Authorization": f"Bearer {token}"}
    )
    return answer.status_code == 200


async def test_sign_in_gives_a_working_token_of_that_person(acme: World) -> None:
    back = await sign_in(acme)
    tokens = (await redeem(acme, back["code"])).json()

    assert back["state"] == "s1"
    assert tokens["token_type"] == "Bearer"
    assert tokens["instance_url"] == "https://acme.my.salesforce.com"
    assert tokens["scope"] == "api refresh_token openid"
    assert "expires_in" not in tokens
    assert tokens["id"].endswith(acme.sandbox.org.user_ids[acme.sandbox.integration_email])
    acme.driver.token = tokens["access_token"]
    identity = await acme.driver.converse(acme.driver.connector.identify({"domain": "acme"}))
    assert identity.user_name == "Firnline Integration"


async def test_a_code_works_once_only(acme: World) -> None:
    code = (await sign_in(acme))["code"]
    first, second = await redeem(acme, code), await redeem(acme, code)

    assert first.status_code == 200
    assert (second.status_code, second.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    "wrong",
    [
        {"code_verifier": "another-verifier-that-is-long-enough-0123456789"},
        {"redirect_uri": "http://127.0.0.1:4999/other"},
        {"code": "never-issued"},
    ],
    ids=str,
)
async def test_a_code_with_anything_wrong_is_refused(acme: World, wrong: dict[str, str]) -> None:
    answer = await redeem(acme, (await sign_in(acme))["code"], **wrong)

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


async def test_a_code_expires(acme: World) -> None:
    code = (await sign_in(acme))["code"]
    real = acme.sandbox.tokens.monotonic
    acme.sandbox.tokens.monotonic = lambda: real() + 901

    assert (await redeem(acme, code)).json()["error_description"] == "expired authorization code"


async def test_pkce_is_required(acme: World) -> None:
    for changes in ({"code_challenge": ""}, {"code_challenge_method": "plain"}):
        assert (await sign_in(acme, **changes))["error"] == "invalid_request"


async def test_an_unregistered_callback_or_client_is_not_redirected_to(acme: World) -> None:
    for changes in (
        {"redirect_uri": "https://evil.example/callback"},
        {"redirect_uri": "http://127.0.0.1.evil.example:80/"},
        {"client_id": "other"},
    ):
        answer = await acme.http.get(
            "/services/oauth2/authorize", params=authorization(acme, **changes)
        )
        assert answer.status_code == 400
        assert "location" not in answer.headers


async def test_the_sign_in_page_lists_active_people_only(acme: World) -> None:
    answer = await acme.http.get(
        "/services/oauth2/authorize", params=authorization(acme, sandbox_approve="0", state='"><b>')
    )

    assert all(email in answer.text for email in acme.sandbox.emails())
    inactive = next(row for row in acme.sandbox.org.rows["User"].values() if not row["IsActive"])
    assert inactive["Email"] not in answer.text
    assert '"><b>' not in answer.text


async def test_an_inactive_user_cannot_sign_in(acme: World) -> None:
    inactive = next(row for row in acme.sandbox.org.rows["User"].values() if not row["IsActive"])

    assert (await sign_in(acme, login_hint=inactive["Email"]))["error"] == "access_denied"
    with pytest.raises(LookupError):
        acme.sandbox.token_for(inactive["Email"])


async def test_refresh_gives_a_new_access_token_and_keeps_the_refresh_token(acme: World) -> None:
    tokens = (await redeem(acme, (await sign_in(acme))["code"])).json()
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}

    answers = [(await exchange(acme, **form)).json() for _ in range(2)]

    assert all("refresh_token" not in answer for answer in answers)
    assert all([await works(acme, answer["access_token"]) for answer in answers])


@pytest.mark.parametrize("acme", [{"switches": {"refresh_rotation": True}}], indirect=True)
async def test_refresh_rotates_where_the_app_says_so(acme: World) -> None:
    tokens = (await redeem(acme, (await sign_in(acme))["code"])).json()
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    fresh = (await exchange(acme, **form)).json()

    replay = await exchange(acme, **form)
    third = await exchange(acme, grant_type="refresh_token", refresh_token=fresh["refresh_token"])

    assert fresh["refresh_token"] != tokens["refresh_token"]
    assert (replay.status_code, replay.json()["error"]) == (400, "invalid_grant")
    assert third.status_code == 200


@pytest.mark.parametrize("acme", [{"token_lifetime_s": 60}], indirect=True)
async def test_an_idle_access_token_expires_and_use_keeps_it_awake(acme: World) -> None:
    token = acme.sandbox.token_for(acme.sandbox.integration_email)
    real = acme.sandbox.tokens.monotonic
    for passed in (50, 100):
        acme.sandbox.tokens.monotonic = lambda passed=passed: real() + passed
        assert await works(acme, token)
    acme.sandbox.tokens.monotonic = lambda: real() + 170

    assert not await works(acme, token)


async def test_revoking_the_refresh_token_kills_its_access_tokens(acme: World) -> None:
    tokens = (await redeem(acme, (await sign_in(acme))["code"])).json()
    revoked = await acme.http.post(
        "/services/oauth2/revoke", data={"token": tokens["refresh_token"]}
    )
    again = await acme.http.post("/services/oauth2/revoke", data={"token": tokens["refresh_token"]})
    refreshed = await exchange(
        acme, grant_type="refresh_token", refresh_token=tokens["refresh_token"]
    )

    assert (revoked.status_code, revoked.content) == (200, b"")
    assert again.status_code == 400
    assert not await works(acme, tokens["access_token"])
    assert refreshed.json()["error_description"] == "expired access/refresh token"


async def test_revoking_a_person_kills_all_their_tokens_and_nobody_elses(acme: World) -> None:
    other = acme.sandbox.token_for(acme.sandbox.emails()[1])
    tokens = (await redeem(acme, (await sign_in(acme))["code"])).json()
    acme.sandbox.revoke(acme.sandbox.integration_email)

    assert not await works(acme, tokens["access_token"])
    assert not await works(acme, acme.driver.token)
    assert await works(acme, other)
    assert await works(acme, acme.sandbox.token_for(acme.sandbox.integration_email))


async def test_a_wrong_client_secret_is_refused(acme: World) -> None:
    code = (await sign_in(acme))["code"]

    answer = await redeem(acme, code, client_secret="wrong")

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client")


async def test_a_public_client_may_not_skip_the_secret(acme: World) -> None:
    answer = await redeem(acme, (await sign_in(acme))["code"], client_secret="")

    assert answer.status_code == 400
