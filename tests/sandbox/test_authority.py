"""The sandboxes' authorization server, met by an independent OAuth client and by attackers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from joserfc import jwt
from joserfc.jwk import ECKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from tests.transport.loopback import serve

from firnline.clock import FixedClock
from firnline.sandbox.authority import Authority, AuthorityClient, AuthorityShape
from firnline.sandbox.authority_grants import GrantRules, challenge_of
from firnline.sandbox.authority_keys import ASSERTION_TYPE, ClientKey

CALLBACK = "https://builder.example/callback"
VERIFIER = "v" * 64
ANN = "ann@north.test"
SECRET = "s3cret:/%"
KEY = ECKey.generate_key("P-256", private=True)
CLIENT = AuthorityClient(
    "app",
    SECRET,
    (CALLBACK,),
    ("read", "write"),
    acts_as="robot@north.test",
    keys=(ClientKey(KEY, "k1", "ES256"),),
)
SHAPE = AuthorityShape(revoke_path="/oauth/revoke")


@dataclass
class Place:
    """One served authorization server, with an API that says who is there."""

    authority: Authority
    clock: FixedClock
    http: httpx2.AsyncClient
    origin: str
    people: list[str]

    async def authorize(self, **changes: str) -> httpx2.Response:
        """Ask for a code as Ann; an empty change leaves a parameter out."""
        asked = {
            "response_type": "code",
            "client_id": "app",
            "redirect_uri": CALLBACK,
            "scope": "read",
            "state": "s1",
            "code_challenge": challenge_of(VERIFIER),
            "code_challenge_method": "S256",
            "sandbox_approve": "1",
            "login_hint": ANN,
            **changes,
        }
        kept = {name: value for name, value in asked.items() if value}
        return await self.http.get("/oauth/authorize", params=kept)

    async def back(self, **changes: str) -> dict[str, str]:
        """Return what the redirect carries."""
        answer = await self.authorize(**changes)
        assert answer.status_code == 302, answer.text
        return dict(parse_qsl(urlsplit(answer.headers["location"]).query))

    async def token(self, **form: str) -> httpx2.Response:
        """Ask the token endpoint as the client."""
        known = {"client_id": "app", "client_secret": SECRET, **form}
        kept = {name: value for name, value in known.items() if value}
        return await self.http.post("/oauth/token", data=kept)

    async def redeem(self, code: str, **changes: str) -> httpx2.Response:
        """Exchange a code."""
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
        return await self.token(**form, **{"code_verifier": VERIFIER, **changes})

    async def signed_in(self) -> dict[str, Any]:
        """Return the tokens of a whole sign-in."""
        tokens: dict[str, Any] = (await self.redeem((await self.back())["code"])).json()
        return tokens

    async def refreshed(self, refresh_token: str) -> httpx2.Response:
        """Exchange a refresh token."""
        return await self.token(grant_type="refresh_token", refresh_token=refresh_token)

    async def who(self, access_token: str) -> str:
        """Return whose a token is; empty when it is not good."""
        headers = {"authorization": f"Bearer {access_token}"}
        answer = await self.http.get("/me", headers=headers)
        return answer.text if answer.status_code == 200 else ""


@asynccontextmanager
async def served(shape: AuthorityShape = SHAPE, **rules: Any) -> AsyncIterator[Place]:
    clock = FixedClock(datetime(2026, 11, 22, 12, 0, tzinfo=UTC))
    people = [ANN, "bob@north.test", "robot@north.test"]
    authority = Authority(
        shape=shape,
        rules=GrantRules(**rules),
        people=lambda: people,
        clients=[CLIENT, AuthorityClient("other", "o", (CALLBACK,))],
        clock=clock,
    )

    async def me(request: Request) -> Response:
        grant = authority.grant_behind(request)
        return PlainTextResponse("", 401) if grant is None else PlainTextResponse(grant.person)

    app = Starlette(routes=[*authority.routes(), Route("/me", me)])
    async with serve(app) as origin, httpx2.AsyncClient(base_url=origin, trust_env=False) as http:
        yield Place(authority, clock, http, origin, people)


@pytest.mark.parametrize("method", ["client_secret_post", "client_secret_basic"])
async def test_independent_client_signs_in_renews_and_revokes(method: str) -> None:
    naming = "basic" if method.endswith("basic") else "body"
    shape = AuthorityShape(revoke_path="/oauth/revoke", naming=frozenset({naming}))
    async with served(shape, rotation="single_use") as place:
        client = AsyncOAuth2Client(
            "app",
            # It sends Basic parts as they are, unlike the standard: a plain secret suits both.
            "plain",
            token_endpoint_auth_method=method,
            revocation_endpoint_auth_method=method,
            scope="read write",
            redirect_uri=CALLBACK,
            code_challenge_method="S256",
            trust_env=False,
        )
        place.authority.clients["app"] = AuthorityClient(
            "app", "plain", (CALLBACK,), ("read", "write")
        )
        endpoint = f"{place.origin}/oauth/token"
        async with client:
            link, _state = client.create_authorization_url(
                f"{place.origin}/oauth/authorize",
                code_verifier=VERIFIER,
                login_hint=ANN,
                sandbox_approve="1",
            )
            landed = (await place.http.get(link)).headers["location"]
            first = await client.fetch_token(
                endpoint, authorization_response=landed, code_verifier=VERIFIER
            )
            assert (await client.get(f"{place.origin}/me")).text == ANN
            second = await client.refresh_token(endpoint, refresh_token=first["refresh_token"])
            assert second["refresh_token"] != first["refresh_token"]
            await client.revoke_token(f"{place.origin}/oauth/revoke", token=second["refresh_token"])
            assert (await client.get(f"{place.origin}/me")).status_code == 401
            with pytest.raises(OAuthError, match="invalid_grant"):
                await client.refresh_token(endpoint, refresh_token=second["refresh_token"])


async def test_code_works_once_and_a_replay_ends_what_it_gave() -> None:
    async with served() as place:
        code = (await place.back())["code"]
        tokens = (await place.redeem(code)).json()
        assert await place.who(tokens["access_token"]) == ANN

        replay = await place.redeem(code)

        assert (replay.status_code, replay.json()["error"]) == (400, "invalid_grant")
        assert await place.who(tokens["access_token"]) == ""
        assert (await place.refreshed(tokens["refresh_token"])).status_code == 400


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"code_verifier": "w" * 64}, "invalid_grant"),
        ({"code_verifier": ""}, "invalid_grant"),
        ({"redirect_uri": f"{CALLBACK}/x"}, "invalid_grant"),
        ({"redirect_uri": ""}, "invalid_grant"),
        ({"code": "never-given"}, "invalid_grant"),
        ({"client_id": "other", "client_secret": "o"}, "invalid_grant"),
        ({"client_secret": "wrong"}, "invalid_client"),
        ({"client_secret": ""}, "invalid_client"),
        ({"client_id": "nobody"}, "invalid_client"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
    ids=str,
)
async def test_code_with_anything_wrong_gives_nothing(wrong: dict[str, str], error: str) -> None:
    async with served() as place:
        form = {
            "grant_type": "authorization_code",
            "code": (await place.back())["code"],
            "redirect_uri": CALLBACK,
            "code_verifier": VERIFIER,
            **wrong,
        }
        answer = await place.token(**form)

        assert answer.json()["error"] == error
        assert answer.status_code == (401 if error == "invalid_client" else 400)


async def test_code_ends_after_its_time() -> None:
    async with served(code_lifetime_s=120) as place:
        code = (await place.back())["code"]
        await place.clock.sleep(120)

        assert (await place.redeem(code)).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    "uri",
    [
        f"{CALLBACK}/",
        f"{CALLBACK}?x=1",
        "https://builder.example.evil.example/callback",
        "https://evil.example/callback",
        "http://builder.example/callback",
        "http://127.0.0.1.evil.example:80/callback",
        "http://user@127.0.0.1:80/callback",
        "http://localhost:80/callback",
        "",
    ],
)
async def test_only_a_registered_redirect_uri_is_ever_redirected_to(uri: str) -> None:
    async with served() as place:
        answer = await place.authorize(redirect_uri=uri)

        assert answer.status_code == 400
        assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": ""}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "read admin"}, "invalid_scope"),
        ({"state": ""}, "invalid_request"),
        ({"login_hint": "nobody@stranger.test"}, "access_denied"),
    ],
    ids=str,
)
async def test_authorization_request_with_anything_wrong_gives_no_code(
    changes: dict[str, str], error: str
) -> None:
    async with served() as place:
        back = await place.back(**changes)

        assert back["error"] == error
        assert "code" not in back


async def test_replaced_refresh_token_ends_the_grant_when_it_comes_again() -> None:
    async with served(rotation="single_use") as place:
        first = await place.signed_in()
        second = (await place.refreshed(first["refresh_token"])).json()
        assert second["refresh_token"] != first["refresh_token"]

        assert (await place.refreshed(first["refresh_token"])).json()["error"] == "invalid_grant"

        assert await place.who(second["access_token"]) == ""
        assert (await place.refreshed(second["refresh_token"])).status_code == 400


async def test_replaced_refresh_token_answers_alike_during_its_grace() -> None:
    async with served(rotation="single_use", grace_s=30) as place:
        first = await place.signed_in()
        second = (await place.refreshed(first["refresh_token"])).json()
        await place.clock.sleep(29)
        again = (await place.refreshed(first["refresh_token"])).json()
        assert again["refresh_token"] == second["refresh_token"]
        assert await place.who(again["access_token"]) == ANN

        await place.clock.sleep(1)
        assert (await place.refreshed(first["refresh_token"])).status_code == 400


async def test_reusable_refresh_token_stays_and_has_its_end() -> None:
    async with served(refresh_lifetime_s=1000) as place:
        first = await place.signed_in()
        assert first["refresh_token_expires_in"] == 1000
        await place.clock.sleep(999)
        second = (await place.refreshed(first["refresh_token"])).json()
        assert second["refresh_token"] == first["refresh_token"]
        assert second["refresh_token_expires_in"] == 1
        await place.clock.sleep(1)

        assert (await place.refreshed(first["refresh_token"])).status_code == 400


async def test_refresh_token_of_another_client_is_unknown() -> None:
    async with served() as place:
        tokens = await place.signed_in()
        form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}

        stolen = await place.token(**form, client_id="other", client_secret="o")
        assert stolen.json()["error"] == "invalid_grant"
        assert (await place.refreshed(tokens["refresh_token"])).status_code == 200


async def test_access_token_ends_with_its_time_its_person_or_its_revocation() -> None:
    async with served(access_lifetime_s=60) as place:
        tokens = await place.signed_in()
        await place.clock.sleep(59)
        assert await place.who(tokens["access_token"]) == ANN
        await place.clock.sleep(1)
        assert await place.who(tokens["access_token"]) == ""

        fresh = (await place.refreshed(tokens["refresh_token"])).json()
        place.people.remove(ANN)
        assert await place.who(fresh["access_token"]) == ""
        place.people.append(ANN)
        place.authority.grants.revoke_person(ANN)
        assert await place.who(fresh["access_token"]) == ""


async def test_client_names_itself_in_one_way_only() -> None:
    async with served(AuthorityShape(naming=frozenset({"body", "basic"}))) as place:
        both = await place.http.post(
            "/oauth/token",
            data={"grant_type": "refresh_token", "client_id": "app", "client_secret": SECRET},
            auth=("app", SECRET),
        )
        assert both.json()["error"] == "invalid_request"


async def test_parameters_come_once_and_from_where_they_are_taken() -> None:
    async with served() as place:
        form = {"grant_type": "refresh_token", "client_id": "app", "client_secret": SECRET}
        by_query = await place.http.post("/oauth/token", params=form)
        by_json = await place.http.post("/oauth/token", json=form)
        twice = await place.http.post(
            "/oauth/token",
            content="grant_type=refresh_token&client_id=app&client_id=other",
            headers={"content-type": "application/x-www-form-urlencoded"},
        )
        unreadable = await place.http.post(
            "/oauth/token", content="{", headers={"content-type": "application/json"}
        )

        for answer in (by_query, by_json, twice, unreadable):
            assert answer.json()["error"] == "invalid_request"


async def test_same_token_is_given_again_until_its_end() -> None:
    shape = AuthorityShape(grant_types=frozenset({"client_credentials"}))
    async with served(shape, gives_same_token=True) as place:
        first = (await place.token(grant_type="client_credentials")).json()
        await place.clock.sleep(3000)
        again = (await place.token(grant_type="client_credentials")).json()
        await place.clock.sleep(600)
        other = (await place.token(grant_type="client_credentials")).json()

        assert (again["access_token"], again["expires_in"]) == (first["access_token"], 600)
        assert other["access_token"] != first["access_token"]
        assert await place.who(other["access_token"]) == "robot@north.test"
        wide = await place.token(grant_type="client_credentials", scope="admin")
        assert wide.json()["error"] == "invalid_scope"


@pytest.mark.parametrize(
    ("changes", "is_good"),
    [
        ({}, True),
        ({"aud": "https://evil.example/oauth/token"}, False),
        ({"iss": "other"}, False),
        ({"sub": "other"}, False),
        ({"exp": 0}, False),
        ({"exp": 10**10}, False),
        ({"jti": None}, False),
        ({"kid": "k2"}, False),
        ({"key": ECKey.generate_key("P-256", private=True)}, False),
    ],
    ids=lambda changes: " ".join(changes) if isinstance(changes, dict) else str(changes),
)
async def test_assertion_of_the_client_counts_once(changes: dict[str, Any], is_good: bool) -> None:
    shape = AuthorityShape(
        grant_types=frozenset({"client_credentials"}), naming=frozenset({"assertion"})
    )
    async with served(shape) as place:
        now = int(place.clock.now().timestamp())
        host = place.origin.removeprefix("http://")
        claims = {
            "iss": "app",
            "sub": "app",
            "aud": f"https://{host}/oauth/token",
            "exp": now + 300,
            "jti": "1",
            **{name: value for name, value in changes.items() if name not in ("kid", "key")},
        }
        kept = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": "ES256", "kid": changes.get("kid", "k1")}
        form = {
            "grant_type": "client_credentials",
            "client_secret": "",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": jwt.encode(header, kept, changes.get("key", KEY)),
        }
        first, second = await place.token(**form), await place.token(**form)

        assert first.status_code == (200 if is_good else 401)
        assert second.json()["error"] == "invalid_client"


async def test_consent_page_says_who_and_what_and_escapes_it() -> None:
    async with served() as place:
        page = await place.authorize(sandbox_approve="", state='"><script>', scope="read write")

        assert page.status_code == 200
        assert all(each in page.text for each in (ANN, "bob@north.test", "read", "write", "Deny"))
        assert "<script>" not in page.text
        denied = await place.back(login_hint="")
        assert denied["error"] == "access_denied"


async def test_issuer_comes_back_beside_the_code_where_the_provider_sends_one() -> None:
    async with served(AuthorityShape(issuer="https://login.example")) as place:
        assert (await place.back())["iss"] == "https://login.example"
    async with served() as place:
        assert "iss" not in await place.back()
