"""Attacks on connecting: each is tried over HTTP against the served pages and a strict provider.

Two people stand before it: the victim, whose browser opened a link of their own, and the attacker,
who has a link of their own, too, and an account at the provider.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import re
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import httpx2
import pytest
from tests.web.connecting import (
    ANN,
    BOB,
    PROVIDERS,
    ConnectSite,
    Visitor,
    connect_site,
    form_of,
    query_of,
)

from firnline.connections.consent.authorize import AUTHORIZATION_LIFETIME
from firnline.connectors.registry import load_connector, load_manifest
from firnline.sandbox.seed import company
from firnline.sandbox.server import Fleet, running

RETURN_TO = "https://app.pilot.example/integrations"
CALLBACK = "/connect/callback/paperclip"
ISSUER = "https://north.paperclip.example"


def issuing(folder: Path) -> None:
    """Let Paperclip's connector declare that answers name their issuer (RFC 9207)."""
    shutil.copytree(PROVIDERS, folder)
    manifest = folder / "paperclip" / "connector.yaml"
    text = manifest.read_text()
    manifest.write_text(
        text.replace("auth:\n", "auth:\n  issuer: https://{office}.paperclip.example\n")
    )


def forget_connectors() -> None:
    """Let connectors be read again: this process knows the tests' own ones already."""
    for loaded in (load_manifest, load_connector):
        loaded.cache_clear()


@pytest.fixture
async def site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[ConnectSite]:
    folder = PROVIDERS
    if getattr(request, "param", "") == "issuer":
        folder = tmp_path / "connectors"
        issuing(folder)
        forget_connectors()
    monkeypatch.setenv("FIRNLINE_CONNECTORS", str(folder))
    async with connect_site(tmp_path, return_to=(RETURN_TO,)) as served:
        yield served
    if folder != PROVIDERS:
        forget_connectors()


async def untouched(site: ConnectSite) -> bool:
    """Say whether nothing reached the provider's token endpoint, and nothing was stored."""
    rows = [await site.row(tenant=tenant) for tenant in ("acme", "globex")]
    return not site.clips.token_calls and rows == [None, None]


# -- 31: state ------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["", "state=", "state=forged", "state=" + "x" * 5000])
async def test_answer_without_a_state_of_ours_is_refused(site: ConnectSite, state: str) -> None:
    victim = await site.visitor()
    code = query_of(await victim.approve(await victim.start()))["code"]
    answer = await victim.get(f"{CALLBACK}?code={code}&{state}")

    assert answer.status_code == 400
    assert "forged" not in answer.text
    assert await untouched(site)


async def test_state_is_good_once(site: ConnectSite) -> None:
    victim = await site.visitor()
    back = await victim.approve(await victim.start())
    assert (await victim.get(back)).status_code == 303
    calls = len(site.clips.token_calls)

    assert (await victim.get(back)).status_code == 400
    assert len(site.clips.token_calls) == calls


async def test_state_is_good_once_also_for_many_at_once(site: ConnectSite) -> None:
    victim = await site.visitor()
    back = await victim.approve(await victim.start())
    came = await asyncio.gather(*(victim.get(back) for _ in range(6)))

    assert sorted(each.status_code for each in came) == [303, *[400] * 5]
    assert len(site.clips.token_calls) == 1
    page = await victim.get(next(each for each in came if each.is_redirect).headers["location"])
    confirmed = await asyncio.gather(
        *(victim.press(page, "/connect/acme/clips/confirm") for _ in range(6))
    )
    assert sorted(each.status_code for each in confirmed) == [303, *[400] * 5]
    row = await site.row()
    assert row is not None and row.state == "active"


async def test_state_is_good_for_ten_minutes(site: ConnectSite) -> None:
    victim = await site.visitor()
    back = await victim.approve(await victim.start())
    await site.let_pass(seconds=AUTHORIZATION_LIFETIME.total_seconds())

    assert (await victim.get(back)).status_code == 400
    assert await untouched(site)


async def test_login_csrf_attackers_answer_is_refused_in_the_victims_browser(
    site: ConnectSite,
) -> None:
    """The attacker signs in, keeps the answer to themselves and lets the victim open it."""
    victim, attacker = await site.visitor(), await site.visitor(site.link())
    back = await attacker.approve(await attacker.start(), BOB)
    answer = await victim.get(back)

    assert answer.status_code == 403
    assert "another browser" in answer.text
    assert await untouched(site)


async def test_victims_answer_is_refused_in_the_attackers_browser_and_stays_the_victims(
    site: ConnectSite,
) -> None:
    victim, attacker = await site.visitor(), await site.visitor(site.link())
    back = await victim.approve(await victim.start())

    assert (await attacker.get(back)).status_code == 403
    assert (await (await site.visitor("")).get(back)).status_code == 403
    assert await untouched(site)
    assert (await victim.get(back)).status_code == 303


async def test_session_at_another_tenant_finishes_nothing(site: ConnectSite) -> None:
    victim = await site.visitor()
    attacker = await site.visitor(site.link("globex"))
    back = await victim.approve(await victim.start())
    # Also not with the cookie under the other tenant's name.
    cookie = attacker.http.cookies["firnline-connect-globex"]
    renamed = {"cookie": f"firnline-connect-acme={cookie}"}

    assert (await attacker.get(back)).status_code == 403
    assert (await (await site.visitor("")).get(back, **renamed)).status_code == 403
    assert await untouched(site)


async def test_organisations_link_finishes_no_personal_sign_in(site: ConnectSite) -> None:
    attacker = await site.visitor(site.link(person=BOB))
    back = await attacker.approve(await attacker.start(), BOB)
    await attacker.open(site.link())  # the same browser, with another link

    assert (await attacker.get(back)).status_code == 403
    assert await site.row() is None and await site.row(person=BOB) is None


@pytest.mark.parametrize("twice", ["state", "code"])
async def test_parameter_that_comes_twice_is_refused(site: ConnectSite, twice: str) -> None:
    victim = await site.visitor()
    back = await victim.approve(await victim.start())
    answer = await victim.get(f"{back}&{twice}=other")

    assert answer.status_code == 400
    assert await untouched(site)


# -- 32: codes and PKCE ---------------------------------------------------------------------------


async def test_sign_in_always_has_a_challenge_of_its_own_and_no_secret(site: ConnectSite) -> None:
    victim = await site.visitor()
    asked = [query_of(await victim.start()) for _ in range(3)]

    assert {each["code_challenge_method"] for each in asked} == {"S256"}
    for name in ("code_challenge", "state"):
        assert len({each[name] for each in asked}) == 3
    assert not {"code_verifier", "client_secret"} & set(asked[0])


async def test_challenge_is_the_verifiers_digest_which_only_we_and_the_provider_see(
    site: ConnectSite,
) -> None:
    victim = await site.visitor()
    address = await victim.start()
    await victim.get(await victim.approve(address))
    verifier = site.clips.token_calls[0]["code_verifier"]
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())

    assert query_of(address)["code_challenge"] == digest.rstrip(b"=").decode()
    assert len(verifier) >= 43


@pytest.mark.parametrize("provider", ["salesforce", "zendesk"])
@pytest.mark.parametrize("change", ["plain", "none"])
async def test_pkce_downgrade_is_refused_by_the_sandboxes(provider: str, change: str) -> None:
    """Who rewrites the sign-in link gets no code: the sandboxes want S256 of everybody."""
    fleet: Fleet
    told = company("acme", scale=0.01, now=datetime(2026, 11, 22, 12, 0, tzinfo=UTC))
    async with running([told], providers=[provider]) as fleet:
        server = fleet.server(provider, "acme")
        paths = {"salesforce": "/services/oauth2/authorize", "zendesk": "/oauth/authorizations/new"}
        asked = {
            "client_id": server.sandbox.client.client_id,
            "response_type": "code",
            "redirect_uri": "http://127.0.0.1:1/connect/callback/x",
            "state": "s",
            "login_hint": server.sandbox.integration_email,
            "sandbox_approve": "1",
        }
        plain = {"code_challenge": "A" * 43, "code_challenge_method": "plain"}
        s256 = {"code_challenge": "A" * 43, "code_challenge_method": "S256"}
        async with httpx2.AsyncClient(base_url=server.url, trust_env=False) as http:
            good = await http.get(paths[provider], params=asked | s256)
            bad = await http.get(
                paths[provider], params=asked | (plain if change == "plain" else {})
            )

    assert "code=" in good.headers["location"]
    assert "code=" not in bad.headers.get("location", "")


async def test_code_is_redeemed_once(site: ConnectSite) -> None:
    """A second sign-in that brings the first one's code is refused by the provider."""
    victim = await site.visitor()
    first = query_of(await victim.approve(await victim.start()))
    assert (await victim.get(f"{CALLBACK}?code={first['code']}&state={first['state']}")).is_redirect
    second = query_of(await victim.start())
    replayed = await victim.get(f"{CALLBACK}?code={first['code']}&state={second['state']}")

    assert replayed.status_code >= 400
    assert "refused" in replayed.text


async def test_code_injection_attackers_code_with_the_victims_state_is_refused(
    site: ConnectSite,
) -> None:
    """PKCE: the code belongs to another verifier than the victim's sign-in has."""
    victim, attacker = await site.visitor(), await site.visitor(site.link())
    stolen = query_of(await attacker.approve(await attacker.start(), BOB))["code"]
    state = query_of(await victim.start())["state"]
    answer = await victim.get(f"{CALLBACK}?code={stolen}&state={state}")

    assert answer.status_code >= 400
    assert await site.row() is None


# -- 33: mix-up -----------------------------------------------------------------------------------


async def test_redirect_uri_of_each_provider_is_its_own(site: ConnectSite) -> None:
    victim = await site.visitor()
    asked = query_of(await victim.start())

    assert asked["redirect_uri"] == f"{site.url}{CALLBACK}"


async def test_mix_up_answer_at_another_providers_address_is_refused(site: ConnectSite) -> None:
    victim = await site.visitor()
    answer = query_of(await victim.approve(await victim.start()))
    query = f"code={answer['code']}&state={answer['state']}"

    assert (await victim.get(f"/connect/callback/stapler?{query}")).status_code == 400
    assert await untouched(site)
    # And the sign-in is over: who led it astray may have the code.
    assert (await victim.get(f"{CALLBACK}?{query}")).status_code == 400


@pytest.mark.parametrize("site", ["issuer"], indirect=True)
@pytest.mark.parametrize(
    "issuer", ["", "https://evil.example", ISSUER + "/", ISSUER.upper(), ISSUER + ".evil.example"]
)
async def test_mix_up_answer_of_another_issuer_is_refused(site: ConnectSite, issuer: str) -> None:
    victim = await site.visitor()
    back = await victim.approve(await victim.start())
    answer = await victim.get(f"{back}&iss={quote(issuer, safe='')}")
    assert answer.status_code == 400
    assert await untouched(site)

    again = await victim.approve(await victim.start())
    assert (await victim.get(f"{again}&iss={quote(ISSUER, safe='')}")).status_code == 303


async def test_token_request_goes_to_the_declared_place_whatever_the_answer_says(
    site: ConnectSite,
) -> None:
    victim = await site.visitor()
    back = await victim.approve(await victim.start())
    answer = await victim.get(
        f"{back}&token_endpoint=https://evil.example/&iss=https://evil.example"
    )

    assert answer.status_code == 303
    assert len(site.clips.token_calls) == 1


# -- 34: redirects --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "suffix", ["/", "/x", "%2f..", "/../stapler", "x", ".evil.example", "/%2e%2e/stapler"]
)
async def test_address_that_only_begins_like_the_redirect_uri_is_none(
    site: ConnectSite, suffix: str
) -> None:
    victim = await site.visitor()
    answer = query_of(await victim.approve(await victim.start()))
    query = f"?code={answer['code']}&state={answer['state']}"
    request = victim.http.build_request("GET", f"{CALLBACK}{query}")
    request.url = request.url.copy_with(raw_path=f"{CALLBACK}{suffix}{query}".encode())
    came = await victim.http.send(request)

    assert came.status_code in (400, 404)
    assert await untouched(site)


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/",
        f"{RETURN_TO}.evil.example",
        f"{RETURN_TO}/../evil",
        "//evil.example",
        "javascript:alert(1)",
    ],
)
async def test_open_redirect_no_link_leads_to_an_address_that_is_not_listed(
    site: ConnectSite, address: str
) -> None:
    from firnline.connections.consent.return_to import ReturnToRefusedError

    with pytest.raises(ReturnToRefusedError):
        site.link(return_to=address)
    victim = await site.visitor(site.link(return_to=RETURN_TO))
    await victim.get(f"/connect/acme?return_to={quote(address, safe='')}")
    done = await victim.connect()
    assert done.headers["location"].startswith(f"{RETURN_TO}?")


async def test_address_that_is_not_listed_any_more_is_not_returned_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRNLINE_CONNECTORS", str(PROVIDERS))
    async with connect_site(tmp_path, return_to=(RETURN_TO,)) as site:
        link = urlsplit(site.link(return_to=RETURN_TO))
    async with connect_site(tmp_path) as site:
        victim = await site.visitor(f"{link.path}?{link.query}")
        done = await victim.connect()

    assert done.headers["location"] == "/connect/acme?done=connected&connection=clips"


async def test_host_header_decides_no_address(site: ConnectSite) -> None:
    victim = await site.visitor("")
    evil = {"host": "evil.example", "x-forwarded-host": "evil.example"}
    entered = await victim.get(site.link(), **evil)
    assert entered.headers["location"] == "/connect/acme"
    page = await victim.get("/connect/acme", **evil)
    form = form_of(page.text, "/connect/acme/clips/connect")
    started = await victim.post("/connect/acme/clips/connect", form, **evil)

    assert query_of(started.headers["location"])["redirect_uri"] == f"{site.url}{CALLBACK}"
    assert "evil" not in page.text


# -- 35: fixation ---------------------------------------------------------------------------------


async def test_fixation_victim_cannot_be_led_to_finish_the_attackers_sign_in(
    site: ConnectSite,
) -> None:
    """The attacker starts a sign-in at their tenant, and lets the victim approve it."""
    attacker = await site.visitor(site.link("globex"))
    victim = await site.visitor()
    address = await attacker.start(tenant="globex")
    back = await victim.approve(address, ANN)
    answer = await victim.get(back)

    assert answer.status_code == 403
    assert await untouched(site)


async def test_fixation_account_is_named_and_not_used_before_it_is_confirmed(
    site: ConnectSite,
) -> None:
    victim = await site.visitor()
    page = await victim.arrive(email=BOB)

    assert "Bob Builder" in page.text and "Office north" in page.text
    row = await site.row()
    assert row is not None and (row.state, row.token_ciphertext) == ("pending", None)
    spec = site.app.tenant("acme")
    from firnline.connections.closed import ConnectionClosedError

    with pytest.raises(ConnectionClosedError):
        await site.app.connections.channel("acme", spec, "clips")


async def test_fixation_what_waits_is_confirmed_in_its_own_session_only(site: ConnectSite) -> None:
    attacker, victim = await site.visitor(site.link()), await site.visitor()
    page = await attacker.arrive(email=BOB)
    waiting = form_of(page.text, "/connect/acme/clips/confirm")["arrival"]
    own = form_of((await victim.get("/connect/acme")).text, "/connect/acme/clips/connect")

    shown = await victim.get(f"/connect/acme/clips/confirm?arrival={waiting}")
    assert shown.status_code == 400 and "Bob Builder" not in shown.text
    for action in ("confirm", "discard"):
        answer = await victim.post(
            f"/connect/acme/clips/{action}", {"ticket": own["ticket"], "arrival": waiting}
        )
        assert answer.status_code == 400
    row = await site.row()
    assert row is not None and row.state == "pending"
    other = await attacker.post(
        "/connect/acme/staples/confirm", form_of(page.text, "/connect/acme/clips/confirm")
    )
    assert other.status_code == 400


async def test_fixation_state_and_arrival_do_not_stand_for_each_other(site: ConnectSite) -> None:
    victim = await site.visitor()
    state = query_of(await victim.start())["state"]
    waiting = await victim.get(f"/connect/acme/clips/confirm?arrival={state}")
    assert waiting.status_code == 400
    page = await victim.arrive()
    arrival = form_of(page.text, "/connect/acme/clips/confirm")["arrival"]
    back = await victim.get(f"{CALLBACK}?code=x&state={arrival}")
    assert back.status_code == 400
    assert (await victim.press(page, "/connect/acme/clips/confirm")).status_code == 303


# -- 24, 27: forms and pages ----------------------------------------------------------------------

FORMS = ["connect", "disconnect", "confirm", "discard", "enter"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example", "sec_fetch_site": "cross-site"},
        {"origin": "null", "sec_fetch_site": None},
        {"origin": None, "sec_fetch_site": "cross-site"},
        {"origin": None, "sec_fetch_site": "same-site"},
        {"origin": None, "sec_fetch_site": "none"},
        {"origin": "http://127.0.0.1.evil.example", "sec_fetch_site": None},
    ],
    ids=str,
)
async def test_form_of_another_site_changes_nothing(
    site: ConnectSite, form: str, headers: dict[str, str | None]
) -> None:
    victim = await site.visitor()
    page = await victim.get("/connect/acme")
    ticket = form_of(page.text, "/connect/acme/clips/connect")
    answer = await victim.post(f"/connect/acme/clips/{form}", ticket, **headers)

    assert answer.status_code == 403
    assert await untouched(site)


@pytest.mark.parametrize("form", FORMS)
async def test_form_without_its_sessions_ticket_changes_nothing(
    site: ConnectSite, form: str
) -> None:
    victim, attacker = await site.visitor(), await site.visitor(site.link())
    page = await attacker.get("/connect/acme")
    foreign = form_of(page.text, "/connect/acme/clips/connect")
    for ticket in ({"arrival": "x"}, {"ticket": ""}, {"ticket": "x"}, foreign):
        answer = await victim.post(f"/connect/acme/clips/{form}", ticket)
        assert answer.status_code == 403
    assert await untouched(site)


@pytest.mark.parametrize("form", ["connect", "discard"])
async def test_nothing_is_changed_by_a_get(site: ConnectSite, form: str) -> None:
    victim = await site.visitor()
    ticket = form_of((await victim.get("/connect/acme")).text, "/connect/acme/clips/connect")
    answer = await victim.http.get(f"/connect/acme/clips/{form}", params=ticket)

    assert answer.status_code == 405
    assert await untouched(site)


@pytest.mark.parametrize("media", ["text/plain", "application/json", "multipart/form-data"])
async def test_only_plain_forms_are_read(site: ConnectSite, media: str) -> None:
    victim = await site.visitor()
    ticket = form_of((await victim.get("/connect/acme")).text, "/connect/acme/clips/connect")
    answer = await victim.http.post(
        "/connect/acme/clips/connect",
        content=f"ticket={ticket['ticket']}",
        headers={"content-type": media, "origin": site.url},
    )
    assert answer.status_code == 415
    assert await untouched(site)


async def pages_of(site: ConnectSite, visitor: Visitor) -> list[httpx2.Response]:
    """Return every page and redirect that there is, refusals included."""
    answers = [await visitor.get("/connect/acme/erp/enter"), await visitor.get("/connect/nowhere")]
    asked = await visitor.arrive()
    answers += [asked, await visitor.press(asked, "/connect/acme/clips/confirm")]
    answers += [await visitor.get("/connect/acme/clips/disconnect"), await visitor.get(CALLBACK)]
    answers += [await visitor.get("/connect/acme"), await visitor.get(site.link())]
    page = await visitor.get("/connect/acme")
    return [*answers, page, await visitor.press(page, "/connect/acme/clips/connect")]


async def test_every_page_keeps_others_out_and_runs_no_script(site: ConnectSite) -> None:
    visitor = await site.visitor()
    for answer in await pages_of(site, visitor):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert "img-src 'self'" in policy and "unsafe" not in policy and "script-src" not in policy
        assert "no-store" in answer.headers["cache-control"]
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert not re.search(r"<script|\son\w+=|javascript:|style=|<style", answer.text)


async def test_page_is_framed_by_listed_origins_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRNLINE_CONNECTORS", str(PROVIDERS))
    listed = ("https://app.pilot.example",)
    async with connect_site(tmp_path, connect_frame_ancestors=listed) as site:
        page = await (await site.visitor()).get("/connect/acme")

    assert "frame-ancestors https://app.pilot.example" in page.headers["content-security-policy"]
    assert page.text.count('target="_top"') >= 3  # providers refuse to be framed


async def test_no_secret_is_in_a_page_a_log_or_the_database(
    site: ConnectSite, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    link = site.link()
    visitor = await site.visitor(link)
    asked = await visitor.arrive()
    done = await visitor.press(asked, "/connect/acme/clips/confirm")
    page = await visitor.get(done.headers["location"])
    secrets = [
        parse_qs(urlsplit(link).query)["link"][0],
        visitor.http.cookies["firnline-connect-acme"],
        site.clips.token_calls[0]["code_verifier"],
        "canary",
    ]
    arrival = form_of(asked.text, "/connect/acme/clips/confirm")["arrival"]
    home = site.app.settings.home
    stored = b"".join(path.read_bytes() for path in home.glob("state.db*"))
    # The visitors' and the gateway's HTTP libraries log addresses; the gateway's are loopback ones.
    told = [each for each in caplog.records if not each.name.startswith(("httpx2", "httpcore2"))]
    logged = "\n".join(each.getMessage() for each in told)
    for secret in secrets:
        assert secret not in asked.text + page.text + logged
        assert secret.encode() not in stored
    assert arrival.encode() not in stored and arrival not in logged
