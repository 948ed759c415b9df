"""Sign-in, GraphiQL's page, probes and static files over real HTTP."""

from __future__ import annotations

import re
import socket
from urllib.parse import urlsplit

import httpx2
import pytest
from tests.web.conftest import Served, Serving

from firnline.web.assets import STATIC
from firnline.web.connection import BoundedConnection
from firnline.web.server import (
    AddressError,
    DevelopmentExposedError,
    PortInUseError,
    open_socket,
)

ANA = {"tenant": "acme", "email": "ana@acme.example"}


async def sign_in(served: Served, form: dict[str, str] | None = None) -> httpx2.Response:
    return await served.client.post("/signin", data=form or ANA)


async def get_token(served: Served, tenant: str = "acme") -> httpx2.Response:
    return await served.client.post(
        f"/graphiql/{tenant}/token", headers={"x-firnline-graphiql": "1"}
    )


async def test_sign_in_page_lists_people_and_escapes_what_crms_say(served: Served) -> None:
    response = await served.client.get("/signin")
    assert response.status_code == 200
    assert "Ana Albers" in response.text
    assert "Sales manager" in response.text
    assert "firnline sync globex" in response.text
    assert "<script>alert" not in response.text
    assert "&lt;script&gt;alert" in response.text


async def test_signed_in_person_gets_graphiql_and_tokens_that_work(served: Served) -> None:
    response = await sign_in(served)
    assert (response.status_code, response.headers["location"]) == (303, "/graphiql/acme")
    cookie = response.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Path=/graphiql/acme" in cookie

    page = await served.client.get("/graphiql/acme")
    assert page.status_code == 200
    assert "Ana Albers" in page.text
    assert "query Deals" in page.text

    facts = (await get_token(served)).json()
    assert facts["expires_in_s"] == 300
    assert facts["token"] not in page.text
    answer = await served.post({"query": "{ me }"}, authorization=f"Bearer {facts['token']}")
    assert answer.json() == {"data": {"me": "ana@acme.example at acme"}}


async def test_session_cookie_is_no_bearer_token(served: Served) -> None:
    cookie = (await sign_in(served)).cookies["firnline_person"]
    answer = await served.post({"query": "{ me }"}, authorization=f"Bearer {cookie}")
    assert answer.status_code == 401


async def test_bearer_token_is_no_session(served: Served) -> None:
    served.client.cookies.set("firnline_person", served.token)
    assert (await get_token(served)).status_code == 401


async def test_session_at_one_tenant_opens_no_other(served: Served) -> None:
    cookie = (await sign_in(served)).cookies["firnline_person"]
    headers = {"cookie": f"firnline_person={cookie}", "x-firnline-graphiql": "1"}
    assert (await served.client.get("/graphiql/globex", headers=headers)).status_code == 303
    assert (await served.client.post("/graphiql/globex/token", headers=headers)).status_code == 401


async def test_page_policy_allows_own_files_and_one_nonce_only(served: Served) -> None:
    await sign_in(served)
    first = await served.client.get("/graphiql/acme")
    second = await served.client.get("/graphiql/acme")
    policy = first.headers["content-security-policy"]
    assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy.replace("style-src-attr 'unsafe-inline'", "")
    assert "worker-src 'self'" in policy and "http" not in policy
    nonce = re.search(r"script-src 'self' 'nonce-([\w-]+)'", policy)
    assert nonce and f'nonce="{nonce[1]}"' in first.text
    assert nonce[1] not in second.headers["content-security-policy"]
    assert "</script><" not in first.text.split('id="boot">')[1].split("</script>")[0]


async def test_visitor_without_session_is_sent_to_sign_in(served: Served) -> None:
    response = await served.client.get("/graphiql/acme")
    assert (response.status_code, response.headers["location"]) == (303, "/signin?tenant=acme")
    assert (await get_token(served)).status_code == 401


@pytest.mark.parametrize(
    ("form", "status", "code"),
    [
        ({"tenant": "nowhere", "email": "ana@acme.example"}, 404, "unknown_tenant"),
        ({"tenant": "../acme", "email": "ana@acme.example"}, 404, "unknown_tenant"),
        ({"tenant": "acme", "email": "eve@evil.example"}, 400, "unknown_person"),
        ({"tenant": "globex", "email": "ana@acme.example"}, 400, "unknown_person"),
        ({"tenant": "acme"}, 400, "unknown_person"),
        ({f"field{number}": "x" for number in range(20)}, 400, "malformed_request"),
        ({"email": "x" * 5000}, 413, "body_too_large"),
    ],
)
async def test_bad_sign_in_is_refused_without_a_session(
    served: Served, form: dict[str, str], status: int, code: str
) -> None:
    response = await sign_in(served, form)
    assert response.status_code == status
    assert response.json()["errors"][0]["extensions"]["code"] == code
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"host": "evil.example"},
        {"host": "evil.example:8080", "origin": "http://evil.example:8080"},
        {"host": "[::1"},
        {"host": "127.0.0.1.evil.example"},
    ],
)
async def test_other_sites_cannot_use_the_development_pages(
    served: Served, headers: dict[str, str]
) -> None:
    posted = await served.client.post("/signin", data=ANA, headers=headers)
    assert posted.status_code == 403
    assert "set-cookie" not in posted.headers
    await sign_in(served)
    token = await served.client.post(
        "/graphiql/acme/token", headers={**headers, "x-firnline-graphiql": "1"}
    )
    assert token.status_code == 403
    if "host" in headers:
        assert (await served.client.get("/signin", headers=headers)).status_code == 403


async def test_token_needs_the_header_that_forms_cannot_send(served: Served) -> None:
    await sign_in(served)
    assert (await served.client.post("/graphiql/acme/token")).status_code == 403
    assert (await served.client.get("/graphiql/acme/token")).status_code == 405


@pytest.mark.parametrize("path", ["/signin", "/graphiql/acme", "/graphiql/acme/token", "/"])
async def test_development_pages_do_not_exist_in_production(serving: Serving, path: str) -> None:
    with serving(development=False) as (url, _, token):
        async with httpx2.AsyncClient(base_url=url) as client:
            for method in ("GET", "POST"):
                assert (await client.request(method, path)).status_code == 404
            answer = await client.post(
                "/graphql",
                json={"query": "{ me }"},
                headers={"authorization": f"Bearer {token}"},
            )
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "path", ["/nothing", "/graphql/", "//evil.example/", "/graphiql/nowhere", "/static/../app.py"]
)
async def test_unknown_address_is_json_for_programs_and_a_page_for_people(
    served: Served, path: str
) -> None:
    program = await served.client.get(f"{served.url}{path}")
    assert program.status_code == 404
    assert program.json()["errors"][0]["extensions"]["hint"]
    person = await served.client.get(f"{served.url}{path}", headers={"accept": "text/html,*/*"})
    assert person.status_code == 404
    assert person.headers["content-type"].startswith("text/html")
    assert "<h1>" in person.text


async def test_every_kind_of_answer_has_the_security_headers(served: Served) -> None:
    for path in ("/healthz", "/readyz", "/signin", "/nothing", "/static/site.css", "/graphql"):
        headers = (await served.client.get(path)).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"], path
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["referrer-policy"] == "same-origin", path
        assert "server" not in headers, path


async def test_probes_tell_alive_from_ready(served: Served) -> None:
    alive = await served.client.get("/healthz")
    assert (alive.status_code, alive.json()) == (200, {"status": "ok"})
    ready = await served.client.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")

    served.gateway.components["cache"] = "acme has no data yet"
    waiting = await served.client.get("/readyz")
    assert waiting.status_code == 503
    assert waiting.json()["components"]["cache"] == "acme has no data yet"

    served.gateway.failure = RuntimeError("swordfish")
    broken = await served.client.get("/readyz")
    assert broken.status_code == 503
    assert "swordfish" not in broken.text
    assert (await served.client.get("/healthz")).status_code == 200


async def test_assets_are_kept_forever_only_at_addresses_that_name_their_content(
    served: Served,
) -> None:
    await sign_in(served)
    page = (await served.client.get("/graphiql/acme")).text
    addresses = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
    assert any(address.endswith(".js") for address in addresses)
    for address in addresses:
        response = await served.client.get(address)
        assert response.status_code == 200, address
        assert "immutable" in response.headers["cache-control"], address
    for address in ("/static/site.css", "/static/site.css?v=old", "/static/graphiql/manifest.json"):
        response = await served.client.get(address)
        assert response.headers["cache-control"] == "no-cache", address


@pytest.mark.parametrize(
    ("suffix", "content_type"),
    [
        (".js", "text/javascript; charset=utf-8"),
        (".css", "text/css; charset=utf-8"),
        (".ttf", "font/ttf"),
    ],
)
async def test_built_assets_have_their_types_whatever_the_machine_thinks(
    served: Served, monkeypatch: pytest.MonkeyPatch, suffix: str, content_type: str
) -> None:
    monkeypatch.setattr("starlette.responses.guess_type", lambda *_: ("text/plain", None))
    names = [path.name for path in (STATIC / "graphiql" / "assets").glob(f"*{suffix}")]
    assert names
    for name in names:
        response = await served.client.get(f"/static/graphiql/assets/{name}")
        assert response.headers["content-type"] == content_type, name
        assert "immutable" in response.headers["cache-control"], name


async def test_workers_are_under_a_policy_of_their_own(served: Served) -> None:
    """A worker obeys the policy that its file came with, not its page's."""
    workers = list((STATIC / "graphiql" / "assets").glob("*.worker-*.js"))
    assert len(workers) == 2
    for worker in workers:
        response = await served.client.get(f"/static/graphiql/assets/{worker.name}")
        assert response.headers["content-security-policy"].startswith("default-src 'self';")


def test_build_has_no_source_maps_and_names_the_licences_of_what_is_in_it() -> None:
    built = STATIC / "graphiql"
    assert not list(built.rglob("*.map"))
    licences = (built / "licenses.md").read_text()
    for package in ("graphiql", "@graphiql/plugin-explorer", "monaco-editor", "picomatch-browser"):
        assert f"\n## {package} - " in licences, package


async def test_built_assets_name_no_other_host(served: Served) -> None:
    """What the page loads, it loads from here; addresses in texts and comments load nothing."""
    await sign_in(served)
    page = (await served.client.get("/graphiql/acme")).text
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page)


@pytest.mark.parametrize("letters", [b"", b"POST /graphql HTTP/1.1\r\nHost: a\r\nX-Slow: "])
async def test_head_that_never_ends_is_given_up(
    served: Served, letters: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedConnection, "head_timeout_s", 0.3)
    where = urlsplit(served.url)
    assert where.hostname
    with socket.create_connection((where.hostname, where.port or 0), timeout=5) as wire:
        wire.sendall(letters)
        assert wire.recv(1000) == b""


async def test_kept_alive_connection_may_think_longer_than_a_head(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedConnection, "head_timeout_s", 0.2)
    served.gateway.delay_s = 0.5
    for _ in range(2):
        assert (await served.post({"query": "{ me }"})).status_code == 200


async def test_flood_of_headers_is_refused(served: Served) -> None:
    for flood in ({"x-flood": "x" * 40_000}, {f"x-{number}": "x" * 100 for number in range(400)}):
        response = await served.client.get("/healthz", headers=flood)
        assert response.status_code == 431


def test_port_in_use_is_told_with_a_next_step() -> None:
    with open_socket("127.0.0.1", 0) as taken, pytest.raises(PortInUseError) as caught:
        open_socket("127.0.0.1", taken.getsockname()[1])
    assert caught.value.exit_code == 2
    assert "--port" in caught.value.hint


@pytest.mark.parametrize(
    ("host", "port"), [("127.0.0.1", 70000), ("192.0.2.1", 0), ("nowhere.invalid", 0)]
)
def test_impossible_address_is_told_with_a_next_step(host: str, port: int) -> None:
    with pytest.raises(AddressError):
        open_socket(host, port)


def test_development_sign_in_is_not_served_to_the_network() -> None:
    with pytest.raises(DevelopmentExposedError):
        open_socket("0.0.0.0", 0, development=True)
