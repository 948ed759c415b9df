"""A person connects a system: the code flow end to end, and how it is refused."""

from __future__ import annotations

import logging
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from pydantic import SecretStr
from tests.connections.conftest import SPEC, Bench

from firnline.connections import ClientCredentials
from firnline.connections.clients import ClientMissingError
from firnline.connections.consent.authorize import (
    AuthorizationInvalidError,
    OtherBrowserError,
    WrongFlowError,
)
from firnline.connections.endpoint import ClientRefusedError, GrantRefusedError
from firnline.connections.site import ConnectionSettingsError, UnknownConnectionError
from firnline.connectors.protocol import Request
from firnline.sandbox.signin import CALLBACK, SignInError, approve
from firnline.transport import ProviderAnswerError


async def approved(bench: Bench, url: str, email: str = "ann@north.test") -> tuple[str, str]:
    async with httpx2.AsyncClient() as http:
        return await approve(http, url, email, routes=bench.connections.transport.routes)


async def test_connected_system_is_stored_with_its_identity_and_can_be_called(bench: Bench) -> None:
    row = await bench.connect_clips()

    assert (row.state, row.account_name, row.user_name) == ("active", "Office north", "Ann Admin")
    assert row == await bench.row()
    channel = await bench.connections.channel("acme", SPEC, "clips")
    answer = await channel.send(Request.get("/things"))
    assert answer.json() == {"path": "/things", "email": "ann@north.test"}


async def test_link_carries_pkce_and_nothing_secret(bench: Bench) -> None:
    start = await bench.connections.start_authorization(SPEC, "clips", redirect_uri=CALLBACK)
    query = parse_qs(urlsplit(start.url).query)

    assert start.url.startswith("https://north.paperclip.example/oauth/authorize?")
    assert query["code_challenge_method"] == ["S256"]
    assert query["state"] == [start.state]
    assert set(query) == {
        "response_type",
        "client_id",
        "redirect_uri",
        "scope",
        "state",
        "code_challenge",
        "code_challenge_method",
    }
    assert start.state not in repr(start)


async def test_state_works_once(bench: Bench) -> None:
    start = await bench.connections.start_authorization(SPEC, "clips", redirect_uri=CALLBACK)
    code, state = await approved(bench, start.url)
    await bench.connections.finish_authorization(state, code)

    with pytest.raises(AuthorizationInvalidError):
        await bench.connections.finish_authorization(state, code)
    assert len(bench.clips.token_calls) == 1


async def test_state_that_was_never_given_out_reaches_no_token_endpoint(bench: Bench) -> None:
    for state in ("", "forged", "x" * 5000):
        with pytest.raises(AuthorizationInvalidError):
            await bench.connections.finish_authorization(state, "code")

    assert bench.clips.token_calls == []


@pytest.mark.parametrize("browser", ["", "another"])
async def test_sign_in_is_refused_in_another_browser_and_stays_good_in_its_own(
    bench: Bench, browser: str
) -> None:
    start = await bench.connections.start_authorization(
        SPEC, "clips", redirect_uri=CALLBACK, browser="this one"
    )
    code, state = await approved(bench, start.url)

    with pytest.raises(OtherBrowserError):
        await bench.connections.finish_authorization(state, code, browser=browser)
    assert bench.clips.token_calls == []
    row = await bench.connections.finish_authorization(state, code, browser="this one")
    assert row.state == "active"


async def test_sign_in_of_the_command_line_cannot_be_finished_in_a_browser(bench: Bench) -> None:
    start = await bench.connections.start_authorization(SPEC, "clips", redirect_uri=CALLBACK)
    code, state = await approved(bench, start.url)

    with pytest.raises(OtherBrowserError):
        await bench.connections.finish_authorization(state, code, browser="any")


async def test_answer_that_came_to_another_providers_address_reaches_no_token_endpoint(
    bench: Bench,
) -> None:
    start = await bench.connections.start_authorization(SPEC, "clips", redirect_uri=CALLBACK)
    code, state = await approved(bench, start.url)

    with pytest.raises(AuthorizationInvalidError, match="Paperclip"):
        await bench.connections.finish_authorization(
            state, code, redirect_uri=CALLBACK.replace("callback", "callback/stapler")
        )
    with pytest.raises(AuthorizationInvalidError):  # and it is used up
        await bench.connections.finish_authorization(state, code, redirect_uri=CALLBACK)
    assert bench.clips.token_calls == []


async def test_sign_in_that_took_over_ten_minutes_is_refused(bench: Bench) -> None:
    start = await bench.connections.start_authorization(SPEC, "clips", redirect_uri=CALLBACK)
    code, state = await approved(bench, start.url)
    await bench.clock.sleep(600)

    with pytest.raises(AuthorizationInvalidError):
        await bench.connections.finish_authorization(state, code)


async def test_code_of_another_sign_in_is_refused_by_pkce(bench: Bench) -> None:
    """Code injection: the attacker's code comes back with the victim's state."""
    victim = await bench.connections.start_authorization(SPEC, "clips", redirect_uri=CALLBACK)
    attacker = await bench.connections.start_authorization(SPEC, "clips", redirect_uri=CALLBACK)
    code, _ = await approved(bench, attacker.url, "bob@north.test")

    with pytest.raises(GrantRefusedError):
        await bench.connections.finish_authorization(victim.state, code)
    assert await bench.connections.state.connection("acme", "clips") is None


async def test_wrong_client_secret_is_a_clear_error_without_the_secret(bench: Bench) -> None:
    wrong = ClientCredentials("client-1", client_secret=SecretStr("canary-wrong"))
    await bench.connections.clients.save(wrong, provider="paperclip", tenant="acme")

    with pytest.raises(ClientRefusedError) as refused:
        await bench.connect_clips()

    assert "canary" not in str(refused.value.as_dict())
    assert "firnline connect" in refused.value.hint


async def test_most_particular_client_is_used(bench: Bench) -> None:
    wrong = ClientCredentials("nobody")
    clients = bench.connections.clients
    await clients.save(wrong, provider="paperclip", tenant="globex")
    await clients.save(wrong, provider="stapler", tenant="acme", connection="clips")
    await clients.save(wrong, provider="paperclip", tenant="acme", connection="other")

    assert (await bench.connect_clips()).state == "active"


async def test_missing_client_says_how_to_register_one(bench: Bench) -> None:
    spec = SPEC.model_copy(update={"tenant": "globex"})

    with pytest.raises(ClientMissingError, match="no OAuth client") as refused:
        await bench.connections.connect(spec, "staples")

    assert "firnline connect globex staples --client-id" in refused.value.hint


async def test_person_who_may_not_sign_in_gets_no_code(bench: Bench) -> None:
    with pytest.raises(SignInError, match="access_denied"):
        await bench.connect_clips("eve@evil.test")


@pytest.mark.parametrize(
    "answer",
    [
        (200, []),
        (200, {"token_type": "Bearer"}),
        (200, {"access_token": ""}),
        (200, {"access_token": "a\r\nX-Injected: 1"}),
        (200, {"access_token": 7}),
        (302, {}),
        (400, {"error": "canary\r\n" + "x" * 5000}),
    ],
    ids=str,
)
async def test_unusable_token_answer_is_a_bounded_error(
    bench: Bench, answer: tuple[int, object]
) -> None:
    bench.clips.token_answer = answer

    with pytest.raises(ProviderAnswerError) as raised:
        await bench.connect_clips()

    assert len(str(raised.value)) < 500
    assert "\n" not in str(raised.value)


async def test_flow_that_the_provider_does_not_have_is_named(bench: Bench) -> None:
    with pytest.raises(WrongFlowError):
        await bench.connections.start_authorization(SPEC, "staples", redirect_uri=CALLBACK)
    with pytest.raises(WrongFlowError):
        await bench.connections.connect(SPEC, "clips")


async def test_undeclared_connection_lists_the_declared_ones(bench: Bench) -> None:
    with pytest.raises(UnknownConnectionError) as refused:
        await bench.connections.channel("acme", SPEC, "nope")

    assert refused.value.hint == "Declared connections: clips, staples."


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"office": "north", "more": "1"},
        {"office": "evil.com/#"},
        {"office": "evil.com:443/"},
        {"office": "a@evil.com"},
        {"office": "north\n"},
        {"office": "NORTH"},
    ],
    ids=str,
)
async def test_setting_that_would_lead_elsewhere_is_refused(
    bench: Bench, settings: dict[str, str]
) -> None:
    declared = SPEC.connections["clips"].model_copy(update={"settings": settings})
    spec = SPEC.model_copy(update={"connections": {"clips": declared}})

    with pytest.raises(ConnectionSettingsError):
        await bench.connections.start_authorization(spec, "clips", redirect_uri=CALLBACK)


async def test_reconnecting_replaces_token_and_state(bench: Bench) -> None:
    first = await bench.connect_clips()
    await bench.connections.state.save_connection(replace(first, state="needs_reconnect"))

    second = await bench.connect_clips("bob@north.test")

    assert (second.state, second.user_name, second.version) == ("active", "Bob Builder", 3)


async def test_no_secret_shows_in_database_logs_or_reprs(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """The canaries are the client secret, both tokens, the state, the code and the verifier."""
    caplog.set_level(logging.DEBUG)
    start = await bench.connections.start_authorization(SPEC, "clips", redirect_uri=CALLBACK)
    code, state = await approved(bench, start.url)
    row = await bench.connections.finish_authorization(state, code)
    channel = await bench.connections.channel("acme", SPEC, "clips")
    await channel.send(Request.get("/things"))

    secrets = [state, bench.clips.token_calls[0]["code_verifier"], "canary"]
    home = bench.settings.home
    stored = b"".join(path.read_bytes() for path in home.glob("state.db*"))
    shown = caplog.text + repr(row) + repr(channel) + repr(bench.connections) + repr(start)
    for secret in secrets:
        assert secret.encode() not in stored
        assert secret not in shown
    assert code not in caplog.text.replace(f"/callback?code={code}", "")
