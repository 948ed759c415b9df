"""Attacks with bearer tokens over HTTP: whatever is sent, keys come from the issuer alone.

Each attack is sent to a served project with data, beside a token that is good. It is refused with
401 and a stable code, tells nothing of what it carried, and asks nobody for anything.
"""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import hashes, hmac
from joserfc import jws
from joserfc.jwk import ECKey, Key, RSAKey
from tests.web.issuer import IssuerServer, publishing
from tests.web.project import ServedProject, connectors, filled, serving_project

from firnline.access.principal import TOKEN_BYTES_MAX
from firnline.web import subscribing

__all__ = ["connectors", "filled"]  # the fixtures
pytestmark = pytest.mark.asyncio(loop_scope="module")

ACME, BETA = "https://id.acme.example", "https://id.beta.example"
WHO = {"query": "{ _gateway { tenant person { email } } }"}
STRANGER = ECKey.generate_key("P-256")
RSA = RSAKey.generate_key(2048)


@pytest.fixture(scope="module")
def issuers() -> Iterator[tuple[IssuerServer, IssuerServer]]:
    """Two customers' identity providers: one speaks for acme alone, one for beta."""
    with publishing(ACME) as acme, publishing(BETA) as beta:
        acme.keys = {"rsa": RSA, "k1": acme.keys["k1"]}
        beta.keys["only-betas"] = ECKey.generate_key("P-256")
        yield acme, beta


@pytest.fixture(scope="module")
def acme(issuers: tuple[IssuerServer, IssuerServer]) -> IssuerServer:
    return issuers[0]


@pytest.fixture(scope="module")
def beta(issuers: tuple[IssuerServer, IssuerServer]) -> IssuerServer:
    return issuers[1]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(
    filled: Path, acme: IssuerServer, beta: IssuerServer
) -> AsyncIterator[ServedProject]:
    declared = [
        {
            "issuer": each.name,
            "audience": "firnline",
            "jwks_url": f"{each.name}/keys",
            "tenants": [tenant],
        }
        for tenant, each in (("acme", acme), ("beta", beta))
    ]
    routes = {ACME: acme.url, BETA: beta.url}
    async with serving_project(filled, jwt_issuers=declared, routes=routes) as project:
        yield project


async def asked(served: ServedProject, token: str) -> httpx2.Response:
    return await served.http.post(
        "/graphql", json=WHO, headers=[(b"authorization", b"Bearer " + token.encode())]
    )


def segment(content: Any) -> str:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def claims(**changes: Any) -> dict[str, Any]:
    now_s = int(time.time())
    good = {
        "iss": ACME,
        "aud": "firnline",
        "sub": "ana@acme.example",
        "tenant": "acme",
        "exp": now_s + 60,
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def made(
    key: Key,
    header: dict[str, Any] | None = None,
    payload: bytes | None = None,
    **changes: Any,
) -> str:
    """Return a well-signed token with any header and any claims, made without a library's care."""
    head = segment({"alg": "ES256", "kid": "k1", **(header or {})})
    body = segment(claims(**changes) if payload is None else payload)
    algorithm = jws.JWSRegistry.algorithms["ES256"]
    return f"{head}.{body}.{segment(algorithm.sign(f'{head}.{body}'.encode(), key))}"


def hmac_with(secret: bytes, kid: str = "rsa") -> str:
    head, body = segment({"alg": "HS256", "kid": kid}), segment(claims())
    mac = hmac.HMAC(secret, hashes.SHA256())
    mac.update(f"{head}.{body}".encode())
    return f"{head}.{body}.{segment(mac.finalize())}"


def unsigned(algorithm: str, signature: str = "") -> str:
    return f"{segment({'alg': algorithm, 'kid': 'k1'})}.{segment(claims())}.{signature}"


def own(acme: IssuerServer) -> ECKey:
    key = acme.keys["k1"]
    assert isinstance(key, ECKey)
    return key


def with_stranger_s(name: str) -> Callable[[IssuerServer], str]:
    """Return a token signed by a key that its header brings, or says where to find."""
    values = {
        "jwk": STRANGER.as_dict(private=False),
        "jku": f"{ACME}/evil-keys",
        "x5u": f"{ACME}/evil-certificate",
        "x5c": [segment(b"certificate")],
    }
    return lambda acme: made(STRANGER, {name: values[name]})


def json_form(acme: IssuerServer, **members: Any) -> str:
    head, body, signature = made(own(acme)).split(".")
    whole = {
        "payload": body,
        "signatures": [{"protected": head, "signature": signature}],
        **members,
    }
    return json.dumps(whole)


def twice(acme: IssuerServer, name: str, value: str) -> str:
    text = json.dumps(claims())[:-1] + f', "{name}": {json.dumps(value)}}}'
    return made(own(acme), payload=text.encode())


FAR = 10**9
TWICE = b'{"alg": "none", "kid": "k1", "alg": "ES256"}'
ATTACKS: dict[str, Callable[[IssuerServer], str]] = {
    # 28
    "alg none": lambda acme: unsigned("none"),
    "alg none, signed": lambda acme: unsigned("none", "AAAA"),
    "alg nOnE": lambda acme: unsigned("nOnE", "AAAA"),
    "alg missing": lambda acme: made(own(acme), {"alg": None}),
    "HS256 with the RSA key's PEM": lambda acme: hmac_with(RSA.as_pem(private=False)),
    "HS256 with the RSA key's DER": lambda acme: hmac_with(RSA.as_der(private=False)),
    "HS256 with the EC key's PEM": lambda acme: hmac_with(own(acme).as_pem(private=False), "k1"),
    "HS256 with no secret": lambda acme: hmac_with(b""),
    "algorithm of another key": lambda acme: made(own(acme), {"kid": "rsa"}),
    "crit": lambda acme: made(own(acme), {"crit": ["exp"], "exp": FAR}),
    "crit unknown": lambda acme: made(own(acme), {"crit": ["bork"], "bork": 1}),
    "crit b64": lambda acme: made(own(acme), {"crit": ["b64"], "b64": False}),
    "b64": lambda acme: made(own(acme), {"b64": False}),
    "jwk": with_stranger_s("jwk"),
    "jku": with_stranger_s("jku"),
    "x5u": with_stranger_s("x5u"),
    "x5c": with_stranger_s("x5c"),
    "zip": lambda acme: made(own(acme), {"zip": "DEF"}),
    "encrypted": lambda acme: f"{segment({'alg': 'dir', 'enc': 'A128GCM', 'kid': 'k1'})}..A.A.A",
    "stranger's signature": lambda acme: made(STRANGER),
    # 29
    "kid as path": lambda acme: made(own(acme), {"kid": "../../../dev/null"}),
    "kid as SQL": lambda acme: made(own(acme), {"kid": "k1' UNION SELECT 'x' --"}),
    "kid as URL": lambda acme: made(own(acme), {"kid": f"{ACME}/evil"}),
    "kid as command": lambda acme: made(own(acme), {"kid": "|/bin/true"}),
    "kid with NUL": lambda acme: made(own(acme), {"kid": "k1\x00"}),
    "kid missing": lambda acme: made(own(acme), {"kid": None}),
    "kid as list": lambda acme: made(own(acme), {"kid": ["k1"]}),
    "kid as object": lambda acme: made(own(acme), {"kid": {"k1": 1}}),
    "kid as number": lambda acme: made(own(acme), {"kid": 1}),
    "kid endless": lambda acme: made(own(acme), {"kid": "k" * 4000}),
    # 30
    "issuers": lambda acme: made(own(acme), iss=[ACME]),
    "issuer missing": lambda acme: made(own(acme), iss=None),
    "issuer unknown": lambda acme: made(own(acme), iss="https://evil.example"),
    "issuer with a slash": lambda acme: made(own(acme), iss=f"{ACME}/"),
    "issuer in capitals": lambda acme: made(own(acme), iss=ACME.upper()),
    "issuer of another": lambda acme: made(own(acme), iss=BETA),
    "audiences": lambda acme: made(own(acme), aud=["firnline"]),
    "audience wrong": lambda acme: made(own(acme), aud="firnline-test"),
    "audience missing": lambda acme: made(own(acme), aud=None),
    "expiry missing": lambda acme: made(own(acme), exp=None),
    "expiry null": lambda acme: made(
        own(acme), payload=json.dumps(claims() | {"exp": None}).encode()
    ),
    "expiry as text": lambda acme: made(own(acme), exp=str(FAR * 9)),
    "expiry infinite": lambda acme: made(own(acme), exp=float("inf")),
    "expired": lambda acme: made(own(acme), exp=int(time.time()) - 61),
    "far nbf": lambda acme: made(own(acme), nbf=int(time.time()) + FAR),
    "nbf beyond the skew": lambda acme: made(own(acme), nbf=int(time.time()) + 70),
    "padded": lambda acme: made(own(acme)) + "=",
    "padded inside": lambda acme: made(own(acme)).replace(".", "=.", 1),
    "spaces": lambda acme: made(own(acme)).replace(".", ". ", 1),
    "JSON serialisation": json_form,
    "JSON without signatures": lambda acme: json_form(acme, signatures=[]),
    "JSON with an empty signature": lambda acme: json_form(acme, signatures=[{"signature": ""}]),
    "flattened JSON": lambda acme: json_form(acme, signatures=None, signature=""),
    "oversize": lambda acme: made(own(acme), note="x" * TOKEN_BYTES_MAX),
    "tenant twice": lambda acme: twice(acme, "tenant", "beta"),
    "issuer twice": lambda acme: twice(acme, "iss", ACME),
    "header twice": lambda acme: f"{segment(TWICE)}.{segment(claims())}.AAAA",
    "five parts": lambda acme: made(own(acme)) + ".AAAA.AAAA",
    "empty": lambda acme: "..",
    # beside the list
    "other tenant": lambda acme: made(own(acme), tenant="beta"),
    "tenants": lambda acme: made(own(acme), tenant=["acme"]),
    "tenant as path": lambda acme: made(own(acme), tenant="../beta"),
    "unverified address": lambda acme: made(own(acme), email_verified=False),
}


async def test_good_tokens_of_both_issuers_are_accepted(
    served: ServedProject, acme: IssuerServer, beta: IssuerServer
) -> None:
    for issuer, tenant in ((acme, "acme"), (beta, "beta")):
        who = f"ana@{tenant}.example"
        named = await asked(served, issuer.token(sub=who, tenant=tenant))
        assert named.json()["data"]["_gateway"] == {"tenant": tenant, "person": {"email": who}}
        implied = await asked(served, issuer.token(sub=who, tenant=None))
        assert implied.json()["data"]["_gateway"]["tenant"] == tenant
    assert (await asked(served, made(own(acme)))).status_code == 200, "as attacks are made"


@pytest.mark.parametrize("name", ATTACKS)
async def test_attack_is_refused_and_asks_nobody_for_anything(
    served: ServedProject, acme: IssuerServer, name: str
) -> None:
    await asked(served, acme.token())
    attack = ATTACKS[name](acme)
    before = len(acme.asked)
    answer = await asked(served, attack)

    assert answer.status_code == 401, answer.text
    (error,) = answer.json()["errors"]
    assert error["extensions"]["code"] == "token_refused"
    assert error["extensions"]["hint"]
    assert "data" not in answer.json()
    assert answer.headers["www-authenticate"].startswith("Bearer")
    told = answer.text
    assert not [part for part in attack.split(".") if len(part) > 8 and part in told]
    assert "evil" not in told and "beta" not in told and "UNION" not in told
    assert set(acme.asked) == {"/keys"}, "only ever the configured address"
    assert len(acme.asked) <= before + 1, "a key that nobody knows may be asked about"
    assert (await asked(served, acme.token())).status_code == 200


@pytest.mark.parametrize("name", ["alg none", "jku", "other tenant", "issuer of another", "empty"])
async def test_attack_opens_the_admin_api_no_more_than_graphql(
    served: ServedProject, acme: IssuerServer, name: str
) -> None:
    headers = {"authorization": f"Bearer {ATTACKS[name](acme)}"}
    answer = await served.http.get("/admin/v1/tenants/acme/connections", headers=headers)
    assert answer.status_code == 401


async def test_key_of_one_issuer_signs_for_no_other(
    served: ServedProject, acme: IssuerServer, beta: IssuerServer
) -> None:
    theirs = beta.keys["only-betas"]
    for kid in ("k1", "only-betas"):
        for tenant in ("acme", "beta"):
            forged = acme.token(kid, theirs, tenant=tenant)
            assert (await asked(served, forged)).status_code == 401
    assert (await asked(served, beta.token("only-betas", tenant="beta"))).status_code == 200


async def test_flood_of_unknown_key_ids_asks_each_issuer_once_a_minute(
    served: ServedProject, acme: IssuerServer, beta: IssuerServer
) -> None:
    before = len(acme.asked), len(beta.asked)
    flood = [made(STRANGER, {"kid": f"guess-{number}"}) for number in range(200)]
    answers = await asyncio.gather(*(asked(served, token) for token in flood))
    assert {each.status_code for each in answers} == {401}
    assert len(acme.asked) <= before[0] + 1
    assert len(beta.asked) == before[1], "another issuer has nothing to do with it"
    assert (await asked(served, acme.token())).status_code == 200


async def test_padded_attacks_cost_no_more_than_their_bytes(served: ServedProject) -> None:
    """Deep JSON, long numbers and compressed parts are refused before anything costly is done."""
    bombs = [
        f"{segment(b'[' * 5000)}.AAAA.AAAA",
        f"{segment({'alg': 'ES256', 'kid': 'k1'})}.{segment(b'[' * 5000)}.AAAA",
        f"{segment({'alg': 'ES256', 'kid': 'k1'})}.{segment(b'1' * 5500)}.AAAA",
        f"{segment({'alg': 'ES256', 'kid': 'k1', 'x': 'y' * 5000})}.e30.AAAA",
    ]
    for bomb in bombs:
        assert (await asked(served, bomb)).status_code == 401


@pytest.fixture
def home(filled: Path, tmp_path: Path) -> Path:
    """Give the data to a server of the test's own."""
    return Path(shutil.copytree(filled, tmp_path / "home"))


@pytest.fixture
def rotating() -> Iterator[IssuerServer]:
    with publishing("https://id.rotating.example") as issuer:
        yield issuer


async def test_new_key_is_found_at_once_and_a_withdrawn_one_ends_at_the_next_reading(
    home: Path, rotating: IssuerServer
) -> None:
    """Rotation without a restart: the issuer is asked when a token names a key that is new."""
    declared = [{"issuer": rotating.name, "audience": "firnline", "jwks_url": f"{rotating.name}/k"}]
    routes = {rotating.name: rotating.url}
    async with serving_project(home, jwt_issuers=declared, routes=routes) as project:
        old = rotating.token("k1")
        assert (await asked(project, old)).status_code == 200
        first = rotating.keys.pop("k1")
        rotating.keys["k2"] = ECKey.generate_key("P-256")
        assert (await asked(project, old)).status_code == 200, "it was verified before"

        new = rotating.token("k2")
        assert (await asked(project, new)).status_code == 200
        assert (await asked(project, old)).status_code == 401, "the reading withdrew its key"
        assert (await asked(project, rotating.token("k1", first))).status_code == 401
        assert len(rotating.asked) == 2


async def test_key_file_is_taken_up_while_serving(home: Path, tmp_path: Path) -> None:
    issuer = IssuerServer("https://id.file.example")
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(issuer.jwks()))
    declared = [{"issuer": issuer.name, "audience": "firnline", "jwks_file": str(path)}]
    async with serving_project(home, jwt_issuers=declared) as project:
        old = issuer.token("k1")
        assert (await asked(project, old)).status_code == 200
        issuer.keys = {"k2": ECKey.generate_key("P-256")}
        path.with_suffix(".new").write_text(json.dumps(issuer.jwks()))
        path.with_suffix(".new").replace(path)
        async with asyncio.timeout(10):
            while (await asked(project, old)).status_code == 200:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert (await asked(project, issuer.token("k2"))).status_code == 200


@pytest.mark.parametrize("credential", ["key", "token"])
async def test_subscription_ends_with_its_credential_at_its_next_answer(
    home: Path, rotating: IssuerServer, credential: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A revoked API key, and a token whose key its issuer withdrew: no answer goes out after."""
    monkeypatch.setattr(subscribing.Subscribing, "changed", _shortly)
    declared = [{"issuer": rotating.name, "audience": "firnline", "jwks_url": f"{rotating.name}/k"}]
    routes = {rotating.name: rotating.url}
    async with serving_project(home, jwt_issuers=declared, routes=routes) as project:
        token = await project.key("graphql", person="all@x.test")
        if credential == "token":
            token = rotating.token("k1", sub="all@x.test")
        question = {"query": "subscription { accounts(first: 1) { totalCount } }"}
        headers = {"authorization": f"Bearer {token}", "accept": "text/event-stream"}
        async with (
            asyncio.timeout(20),
            project.http.stream("POST", "/graphql", json=question, headers=headers) as answer,
        ):
            lines = answer.aiter_lines()
            data = [line async for line in _until(lines, "data: ")]
            assert "totalCount" in data[-1]
            if credential == "key":
                now = project.app.clock.now()
                await project.app.state.api_keys.revoke(token.split("_")[1], at=now)
            else:
                rotating.keys = {"k2": ECKey.generate_key("P-256")}
                assert (await asked(project, rotating.token("k2"))).status_code == 200
            data = [line async for line in _until(lines, "data: ")]
            code = "api_key_refused" if credential == "key" else "token_refused"
            assert code in data[-1]
            assert [line async for line in _until(lines, "event: complete")]


async def _shortly(*_: object, within_s: float) -> None:
    await asyncio.sleep(0.05)


async def _until(lines: AsyncIterator[str], start: str) -> AsyncIterator[str]:
    async for line in lines:
        yield line
        if line.startswith(start):
            return


async def test_issuer_that_is_down_from_the_start_lets_nobody_in_and_is_back_by_itself(
    home: Path, rotating: IssuerServer
) -> None:
    rotating.status = 503
    declared = [{"issuer": rotating.name, "audience": "firnline", "jwks_url": f"{rotating.name}/k"}]
    routes = {rotating.name: rotating.url}
    async with serving_project(home, jwt_issuers=declared, routes=routes) as project:
        token = rotating.token()
        assert (await asked(project, token)).status_code == 401
        rotating.status = 200
        async with asyncio.timeout(20):
            while (await asked(project, token)).status_code != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
