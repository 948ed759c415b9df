"""The connect pages over real HTTP: links, the list, each way to connect, and the way back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.connections.entered import KEY, PASSWORD, USER
from tests.web.connecting import (
    ANN,
    BOB,
    PROVIDERS,
    ConnectSite,
    connect_site,
    form_of,
    query_of,
)

from firnline.connections.consent.arrivals import ARRIVAL_LIFETIME
from firnline.state import StaleRowError

RETURN_TO = "https://app.pilot.example/integrations"


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ConnectSite]:
    monkeypatch.setenv("FIRNLINE_CONNECTORS", str(PROVIDERS))
    async with connect_site(tmp_path, return_to=(RETURN_TO,)) as running:
        yield running


# -- links and sessions ---------------------------------------------------------------------------


async def test_link_becomes_a_session_and_leaves_the_address(site: ConnectSite) -> None:
    visitor = await site.visitor("")
    answer = await visitor.get(site.link())

    assert (answer.status_code, answer.headers["location"]) == (303, "/connect/acme")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("firnline-connect-acme=")
    for attribute in ("HttpOnly", "SameSite=lax", "Path=/connect", "Max-Age=3600"):
        assert attribute in cookie
    page = await visitor.get("/connect/acme")
    assert page.status_code == 200
    assert "Connect the systems of Acme &amp; Sons" in page.text
    assert "link=" not in page.text


async def test_second_browser_is_told_to_ask_for_a_new_link(site: ConnectSite) -> None:
    link = site.link()
    first = await site.visitor(link)
    second = await site.visitor("")
    refused = await second.get(link)

    assert refused.status_code == 403
    assert "already opened in another browser" in refused.text
    assert "set-cookie" not in refused.headers
    assert (await second.get("/connect/acme")).status_code == 403
    assert (await first.open(link)).status_code == 200


@pytest.mark.parametrize("header", ["sec-purpose", "purpose"])
async def test_fetching_a_link_ahead_does_not_use_it_up(site: ConnectSite, header: str) -> None:
    link = site.link()
    scanner = await site.visitor("")

    assert (await scanner.get(link, **{header: "prefetch"})).status_code == 403
    assert (await scanner.http.head(link)).status_code == 403
    assert (await (await site.visitor("")).open(link)).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/connect/acme",
        "/connect/acme?link=",
        "/connect/acme?link=AAAA",
        "/connect/nowhere",
        "/connect/nowhere?link=AAAA",
        "/connect/acme/clips/enter",
        "/connect/acme/clips/disconnect",
        "/connect/acme/clips/confirm?arrival=x",
    ],
)
async def test_without_a_session_nothing_is_shown(site: ConnectSite, path: str) -> None:
    answer = await (await site.visitor("")).get(path)

    assert answer.status_code == 403
    assert "Acme &amp; Sons" not in answer.text and "Paperclip" not in answer.text
    assert "ask" in answer.text.lower()


async def test_session_ends_with_its_link(site: ConnectSite) -> None:
    visitor = await site.visitor(site.link(lifetime=timedelta(hours=2)))
    await site.let_pass(hours=1, minutes=59)
    assert (await visitor.get("/connect/acme")).status_code == 200
    await site.let_pass(minutes=1)
    assert (await visitor.get("/connect/acme")).status_code == 403


async def test_session_of_one_tenant_opens_no_other(site: ConnectSite) -> None:
    visitor = await site.visitor()
    cookie = visitor.http.cookies["firnline-connect-acme"]
    visitor.http.cookies.clear()
    stolen = {"cookie": f"firnline-connect-globex={cookie}"}

    assert (await visitor.get("/connect/globex", **stolen)).status_code == 403
    await visitor.open(site.link("globex"))
    await visitor.open(site.link("acme"))
    for tenant in ("acme", "globex"):
        assert (await visitor.get(f"/connect/{tenant}")).status_code == 200


# -- connecting -----------------------------------------------------------------------------------


async def test_system_is_connected_once_its_account_is_confirmed(site: ConnectSite) -> None:
    visitor = await site.visitor()
    asked = await visitor.arrive()

    assert asked.status_code == 200
    for told in ("Is this the right account?", "Paperclip", "Office north", "Ann Admin"):
        assert told in asked.text
    row = await site.row()
    assert row is not None and row.state == "pending"
    listed = await visitor.get("/connect/acme")
    assert "Not confirmed" in listed.text

    done = await visitor.press(asked, "/connect/acme/clips/confirm")
    assert done.headers["location"] == "/connect/acme?done=connected&connection=clips"
    page = await visitor.get(done.headers["location"])
    assert "Paperclip is connected." in page.text
    row = await site.row()
    assert row is not None
    assert (row.state, row.user_name) == ("active", "Ann Admin")


async def test_connection_that_works_goes_on_until_another_is_confirmed(site: ConnectSite) -> None:
    visitor = await site.visitor()
    await visitor.connect()
    before = await site.row()
    asked = await visitor.arrive(email=BOB)

    assert await site.row() == before
    spec = site.app.tenant("acme")
    assert await site.app.connections.channel("acme", spec, "clips")
    await visitor.press(asked, "/connect/acme/clips/confirm")
    after = await site.row()
    assert after is not None and after.user_name == "Bob Builder"


async def test_sign_in_that_is_discarded_leaves_what_was_before(site: ConnectSite) -> None:
    visitor = await site.visitor()
    asked = await visitor.arrive()
    answer = await visitor.press(asked, "/connect/acme/clips/discard")
    page = await visitor.get(answer.headers["location"])

    assert "not the right account" in page.text
    row = await site.row()
    assert row is not None and (row.state, row.token_ciphertext) == ("revoked", None)
    again = await visitor.press(asked, "/connect/acme/clips/confirm")
    assert again.status_code == 400

    await visitor.connect()
    working = await site.row()
    await visitor.press(await visitor.arrive(email=BOB), "/connect/acme/clips/discard")
    assert await site.row() == working


async def test_confirmation_is_good_once_and_for_a_quarter_of_an_hour(site: ConnectSite) -> None:
    visitor = await site.visitor()
    asked = await visitor.arrive()
    await site.let_pass(seconds=ARRIVAL_LIFETIME.total_seconds())
    late = await visitor.press(asked, "/connect/acme/clips/confirm")
    assert (late.status_code, "start again" in late.text) == (400, True)

    asked = await visitor.arrive()
    assert (await visitor.press(asked, "/connect/acme/clips/confirm")).status_code == 303
    assert (await visitor.press(asked, "/connect/acme/clips/confirm")).status_code == 400


async def test_refused_sign_in_is_told_kindly_and_can_be_repeated(site: ConnectSite) -> None:
    visitor = await site.visitor(site.link(return_to=RETURN_TO))
    state = query_of(await visitor.start())["state"]
    said = "error_description=<img src=x onerror=alert(1)>"
    back = await visitor.get(
        f"/connect/callback/paperclip?state={state}&error=access_denied&{said}"
    )

    assert back.status_code == 200
    assert "Paperclip was not connected" in back.text
    assert "&lt;img src=x" in back.text and "<img src=x" not in back.text
    assert "state=refused" in back.text
    assert await site.row() is None
    assert (await visitor.connect()).status_code == 303


async def test_provider_trouble_is_told_without_our_commands(site: ConnectSite) -> None:
    visitor = await site.visitor()
    site.clips.token_answer = (400, {"error": "invalid_grant", "error_description": "no such code"})
    refused = await visitor.get(await visitor.approve(await visitor.start()))
    assert "Paperclip refused the connection" in refused.text
    assert "no such code" in refused.text

    site.clips.token_answer = (400, {"error": "invalid_client"})
    unset = await visitor.get(await visitor.approve(await visitor.start()))
    assert "Paperclip cannot be connected yet" in unset.text
    for page in (refused, unset):
        assert page.status_code >= 400
        assert "firnline connect" not in page.text and "Back to the list" in page.text


async def test_return_address_gets_what_became_of_it(site: ConnectSite) -> None:
    visitor = await site.visitor(site.link(return_to=f"{RETURN_TO}?tab=2&state=old"))
    done = await visitor.connect()

    assert done.headers["location"] == f"{RETURN_TO}?tab=2&connection=clips&state=active"


async def test_system_with_a_registered_key_is_connected_once_its_account_is_confirmed(
    site: ConnectSite,
) -> None:
    visitor = await site.visitor()
    page = await visitor.get("/connect/acme")
    assert "No sign-in is needed" in page.text
    done = await visitor.press(page, "/connect/acme/staples/connect")

    row = await site.row("staples")
    assert row is not None and row.state == "pending"
    asked = await visitor.get(done.headers["location"])
    assert "Is this the right account?" in asked.text and "Office north" in asked.text

    confirmed = await visitor.press(asked, "/connect/acme/staples/confirm")

    assert confirmed.headers["location"].endswith("done=connected&connection=staples")
    row = await site.row("staples")
    assert row is not None and row.state == "active"


async def test_secrets_are_entered_tried_and_never_shown_again(site: ConnectSite) -> None:
    visitor = await site.visitor()
    listed = await visitor.get("/connect/acme")
    place = "/connect/acme/erp/enter"
    assert f'href="{place}"' in listed.text
    form = await visitor.get(place)
    assert form.text.count('autocomplete="off"') >= 3
    assert 'type="password"' in form.text

    wrong = await visitor.press(form, place, username=USER, password="canary-wrong")
    assert wrong.status_code == 422
    assert "canary" not in wrong.text and USER not in wrong.text
    assert await site.row("erp") is None
    missing = await visitor.press(form, place, username=USER)
    assert missing.status_code == 422

    right = await visitor.press(form, place, username=USER, password=PASSWORD)
    row = await site.row("erp")
    assert row is not None and row.state == "pending"
    asked = await visitor.get(right.headers["location"])
    assert "Is this the right account?" in asked.text and "canary" not in asked.text
    right = await visitor.press(asked, "/connect/acme/erp/confirm")
    assert right.headers["location"].endswith("done=connected&connection=erp")
    row = await site.row("erp")
    assert row is not None and row.state == "active"
    assert "canary" not in (await visitor.get(right.headers["location"])).text

    key = await visitor.press(
        await visitor.get("/connect/acme/calls/enter"), "/connect/acme/calls/enter", api_key=KEY
    )
    assert key.status_code == 303


async def test_disconnecting_asks_once_more_and_ends_the_connection(site: ConnectSite) -> None:
    visitor = await site.visitor()
    await visitor.connect()
    asked = await visitor.get("/connect/acme/clips/disconnect")
    assert "Disconnect Paperclip?" in asked.text
    row = await site.row()
    assert row is not None and row.state == "active"

    done = await visitor.press(asked, "/connect/acme/clips/disconnect")
    page = await visitor.get(done.headers["location"])
    assert "Paperclip is disconnected." in page.text
    # Whether the provider ended it, too, is for the admin to know.
    assert "disconnected on the connect page; the provider" in page.text
    row = await site.row()
    assert row is not None and (row.state, row.token_ciphertext) == ("revoked", None)
    assert (await visitor.press(asked, "/connect/acme/clips/disconnect")).status_code == 303


@pytest.mark.parametrize("done", ["connected", "disconnected", "refused", "x", "<script>", ""])
async def test_address_alone_cannot_make_the_page_say_what_is_not_so(
    site: ConnectSite, done: str
) -> None:
    visitor = await site.visitor()
    page = await visitor.get(f"/connect/acme?done={done}&connection=clips")

    assert 'class="done"' not in page.text and "<script" not in page.text


async def test_link_for_some_systems_offers_no_others(site: ConnectSite) -> None:
    visitor = await site.visitor(site.link(connections=["staples"]))
    page = await visitor.get("/connect/acme")

    assert "Stapler" in page.text and "Paperclip" not in page.text
    ticket = {"ticket": page.text.split('name="ticket" value="')[1].split('"')[0]}
    for path in ("clips/connect", "clips/disconnect", "nothing/connect"):
        assert (await visitor.post(f"/connect/acme/{path}", ticket)).status_code == 404
    assert (await visitor.get("/connect/acme/erp/enter")).status_code == 404


async def test_person_connects_what_people_sign_in_to_for_themselves_alone(
    site: ConnectSite,
) -> None:
    visitor = await site.visitor(site.link(person=BOB))
    page = await visitor.get("/connect/acme")
    assert "Connect your own accounts" in page.text and BOB in page.text
    assert "Paperclip" in page.text
    assert not any(other in page.text for other in ("Stapler", "Punch", "Stamp"))

    await visitor.connect(email=BOB)
    assert await site.row() is None
    own = await site.row(person=BOB)
    assert own is not None and (own.state, own.user_name) == ("active", "Bob Builder")
    other = await site.visitor(site.link(person=ANN))
    assert "Bob Builder" not in (await other.get("/connect/acme")).text
    assert "Bob Builder" not in (await (await site.visitor()).get("/connect/acme")).text


async def test_what_the_operator_switched_off_a_customer_cannot_switch_on(
    site: ConnectSite,
) -> None:
    visitor = await site.visitor()
    await visitor.connect()
    waiting = await visitor.arrive()
    page = await visitor.get("/connect/acme")
    spec = site.app.tenant("acme")
    await site.app.connections.disable(spec, "clips", reason="paused for the <b>audit</b>")
    shown = (await visitor.get("/connect/acme")).text

    assert "Switched off" in shown and "paused for the &lt;b&gt;audit&lt;/b&gt;" in shown
    assert "Office north" in shown and "Ann Admin" in shown
    assert "22 November 2026, 12:00 UTC" in shown
    assert "clips/connect" not in shown
    for action, source in (("connect", page), ("confirm", waiting)):
        answer = await visitor.press(source, f"/connect/acme/clips/{action}")
        assert (answer.status_code, "switched off" in answer.text) == (409, True)
    row = await site.row()
    assert row is not None and row.state == "disabled"


async def rewritten(site: ConnectSite, **changes: object) -> None:
    """Let the stored connection be another one."""
    row = await site.row()
    assert row is not None
    await site.app.state.save_connection(replace(row, **changes))  # type: ignore[arg-type]


async def test_another_account_than_before_is_warned_of_and_may_be_confirmed(
    site: ConnectSite,
) -> None:
    visitor = await site.visitor()
    await visitor.connect()
    assert "another account than before" not in (await visitor.arrive()).text
    await rewritten(site, account="south", account_name="Office <south>")
    asked = await visitor.arrive()

    assert "another account than before" in asked.text and "Office &lt;south&gt;" in asked.text
    assert (await visitor.press(asked, "/connect/acme/clips/confirm")).status_code == 303
    row = await site.row()
    assert row is not None and row.account_name == "Office north"


async def test_another_account_is_warned_of_after_disconnecting_too(site: ConnectSite) -> None:
    visitor = await site.visitor()
    await visitor.connect()
    await rewritten(site, account="south", account_name="Office south")
    asked = await visitor.get("/connect/acme/clips/disconnect")
    await visitor.press(asked, "/connect/acme/clips/disconnect")

    assert "Office south" in (await visitor.arrive()).text


async def test_account_that_was_discarded_is_not_the_one_before(site: ConnectSite) -> None:
    visitor = await site.visitor()
    await visitor.press(await visitor.arrive(), "/connect/acme/clips/discard")
    asked = await visitor.arrive(email=BOB)

    assert "another account than before" not in asked.text
    row = await site.row()
    assert row is not None and (row.account, row.user_name) == ("", "")


async def test_persons_own_account_must_be_the_organisations(site: ConnectSite) -> None:
    await (await site.visitor()).connect()
    await rewritten(site, account="south", account_name="Office south")
    visitor = await site.visitor(site.link(person=BOB))
    refused = await visitor.get(await visitor.approve(await visitor.start(), BOB))

    assert refused.status_code == 409
    assert "not your organisation" in refused.text
    assert await site.row(person=BOB) is None


async def test_passing_failure_at_the_confirmation_costs_no_second_sign_in(
    site: ConnectSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor = await site.visitor()
    asked = await visitor.arrive()
    activation = site.app.connections.arrivals

    async def away(*_: object, **__: object) -> None:
        raise StaleRowError("acme", "clips")  # any that is worth another try

    with monkeypatch.context() as broken:
        broken.setattr(activation, "_activate", away)
        failed = await visitor.press(asked, "/connect/acme/clips/confirm")
    assert failed.status_code == 409 and "Try again" in failed.text
    assert (await visitor.press(asked, "/connect/acme/clips/confirm")).status_code == 303


async def test_system_whose_declaration_changed_is_to_be_connected_again(
    site: ConnectSite,
) -> None:
    visitor = await site.visitor()
    await visitor.connect()
    await rewritten(site, settings={"office": "south"})
    page = await visitor.get("/connect/acme")

    assert "Sign-in needed" in page.text and "its settings changed" in page.text


async def test_end_that_is_known_is_told(site: ConnectSite) -> None:
    visitor = await site.visitor()
    await visitor.connect()
    await rewritten(site, state="expiring", ends_at=site.clock.now() + timedelta(days=2))
    page = await visitor.get("/connect/acme")

    assert "Connected, ends soon" in page.text and "24 November 2026, 12:00 UTC" in page.text


async def test_key_without_a_permission_is_told_from_a_wrong_key(site: ConnectSite) -> None:
    site.stamp.beyond_scope.add("/me")
    visitor = await site.visitor()
    place = "/connect/acme/calls/enter"

    refused = await visitor.press(await visitor.get(place), place, api_key=KEY)

    assert "a permission is missing" in refused.text
    assert "The scope payroll is required" in refused.text
    assert await site.row("calls") is None


async def test_form_has_its_focus_in_the_first_field(
    site: ConnectSite,
) -> None:
    visitor = await site.visitor()

    form = await visitor.get("/connect/acme/erp/enter")

    assert form.text.count("autofocus") == 1
    assert form.text.index("autofocus") < form.text.index('name="password"')


async def test_form_that_is_too_large_is_refused_in_words(site: ConnectSite) -> None:
    visitor = await site.visitor()
    place = "/connect/acme/calls/enter"
    form = await visitor.get(place)
    for length, status in ((4_000, 422), (40_000, 413)):
        answer = await visitor.press(form, place, api_key="x" * length)
        assert answer.status_code == status
        assert "documentId" not in answer.text


async def test_cookie_is_for_tls_alone_where_the_pages_are_on_https(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRNLINE_CONNECTORS", str(PROVIDERS))
    async with connect_site(tmp_path, public_url="https://firnline.example.com") as site:
        link = urlsplit(site.link())
        assert link.netloc == "firnline.example.com"
        visitor = await site.visitor("")
        entered = await visitor.get(f"{link.path}?{link.query}")
        cookie = entered.headers["set-cookie"]
        assert cookie.startswith("__Secure-firnline-connect-acme=") and "; Secure" in cookie
        own = {"cookie": cookie.split(";")[0]}
        page = await visitor.get("/connect/acme", **own)
        form = form_of(page.text, "/connect/acme/clips/connect")
        start = await visitor.post(
            "/connect/acme/clips/connect", form, origin="https://firnline.example.com", **own
        )

    came = query_of(start.headers["location"])["redirect_uri"]
    assert came == "https://firnline.example.com/connect/callback/paperclip"
