"""OAuth flows against strict servers: connected, renewed, lost and revoked, each told apart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc.jwk import RSAKey
from pydantic import SecretStr
from starlette.responses import HTMLResponse, JSONResponse
from tests.connections.authorities import (
    ANN,
    CLIENT_SECRET,
    SPEC,
    THUMBPRINT,
    OAuthBench,
    oauth_bench,
)

from firnline.connections import NeedsReconnectError
from firnline.connections.endpoint import TokenSet
from firnline.connections.flows.client_credentials import ClientIsNobodyError
from firnline.connections.refusals import ClientRefusedError, GrantRefusedError
from firnline.connections.site import declared_site
from firnline.connectors.protocol import Request
from firnline.sandbox.signin import CALLBACK
from firnline.transport import (
    ForbiddenHostError,
    ProviderAnswerError,
    ProviderError,
    ProviderForbiddenError,
    ProviderScopeError,
    ProviderUnavailableError,
)

GET = Request.get("/things")
BAZAAR_GET = Request.get("/rest/v1/things")


@pytest.fixture(scope="session")
def certificate_key() -> RSAKey:
    return RSAKey.generate_key(2048)


@pytest.fixture
async def bench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, certificate_key: RSAKey
) -> AsyncIterator[OAuthBench]:
    monkeypatch.setenv("FIRNLINE_CONNECTORS", str(Path(__file__).parent / "providers"))
    async with oauth_bench(tmp_path / "home", certificate_key) as opened:
        yield opened


async def tokens_of(bench: OAuthBench, name: str) -> TokenSet:
    """Return what the vault keeps of a connection."""
    row = await bench.row(name)
    sealed = await bench.connections.vault.unseal(
        row.token_ciphertext or b"", purpose="token", tenant="acme", connection=name
    )
    return TokenSet.from_json(sealed)


async def ask(bench: OAuthBench, name: str, request: Request = GET) -> None:
    """Make one call through a connection."""
    channel = await bench.connections.channel("acme", SPEC, name)
    await channel.send(request)


# Authorization code


@pytest.mark.parametrize("name", ["sprockets", "chimes", "entry"])
async def test_code_flow_connects_calls_and_renews(bench: OAuthBench, name: str) -> None:
    row = await bench.sign_in(name)
    before = await tokens_of(bench, name)
    await ask(bench, name)
    await bench.clock.sleep(2 * 86_400)

    await ask(bench, name)

    assert (row.state, row.user_key) == ("active", ANN)
    after = await tokens_of(bench, name)
    assert after.access_token != before.access_token
    is_same = after.refresh_token == before.refresh_token
    assert is_same == (name == "sprockets")  # the others' refresh tokens are good once


async def test_refresh_token_for_one_use_is_good_again_and_again(bench: OAuthBench) -> None:
    await bench.sign_in("chimes")
    for _ in range(3):
        await bench.clock.sleep(86_400)
        await ask(bench, "chimes")

    assert bench.chime.token_calls == 4
    assert (await bench.row("chimes")).state == "active"


async def test_granted_scopes_are_kept_with_the_connection(bench: OAuthBench) -> None:
    chimes, sprockets = await bench.sign_in("chimes"), await bench.sign_in("sprockets")

    assert chimes.scopes == ("api:calls:read:basic", "api:users:read")
    # What an answer does not tell is what was asked for.
    assert sprockets.scopes == ("contacts.read", "deals.read")


async def test_placeholders_of_scopes_and_extra_parameters_are_in_the_link(
    bench: OAuthBench,
) -> None:
    start = await bench.connections.start_authorization(SPEC, "entry", redirect_uri=CALLBACK)

    query = parse_qs(urlsplit(start.url).query)
    assert query["scope"] == ["https://north.crm.entry.example/user_impersonation offline_access"]
    assert query["prompt"] == ["select_account"]
    assert query["code_challenge_method"] == ["S256"]


async def test_end_of_a_refresh_token_is_known_and_moves_on_with_each(bench: OAuthBench) -> None:
    """Entra does not tell it: 90 days from each use, by the manifest."""
    await bench.sign_in("entry")
    first = await tokens_of(bench, "entry")
    await bench.clock.sleep(3599)
    await ask(bench, "entry")

    second = await tokens_of(bench, "entry")
    assert first.refresh_expires_at is not None
    assert second.refresh_expires_at is not None
    moved = second.refresh_expires_at - first.refresh_expires_at
    assert moved.total_seconds() == 3599


async def test_end_of_a_refresh_token_that_is_told_is_kept(bench: OAuthBench) -> None:
    row = await bench.sign_in("chimes")
    tokens = await tokens_of(bench, "chimes")

    assert row.ends_at == tokens.refresh_expires_at == bench.clock.now() + timedelta(days=30)


@pytest.mark.parametrize("replaced", [None, "same", "other"])
def test_refresh_token_that_stays_keeps_its_end(replaced: str | None) -> None:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    end = now + timedelta(days=7)
    old = TokenSet(
        SecretStr("a"), SecretStr("same"), now, None, refresh_expires_at=end, scopes=("read",)
    )
    given = None if replaced is None else SecretStr(replaced)

    fresh = TokenSet(SecretStr("b"), given, now, None).renewed_from(old)

    assert fresh.refresh_expires_at == (None if replaced == "other" else end)
    assert fresh.refresh_token == SecretStr(replaced or "same")
    assert fresh.scopes == ("read",)


def test_tokens_come_back_from_the_vault_as_they_were() -> None:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    full = TokenSet(
        SecretStr("a"),
        SecretStr("r"),
        now,
        now + timedelta(hours=1),
        flow="authorization_code",
        refresh_expires_at=now + timedelta(days=7),
        scopes=("read", "write"),
        base_url="https://company-17.api.chime.example/v2",
        entered={"password": SecretStr("p")},
    )
    stored = full.as_json()

    assert TokenSet.from_json(stored) == full
    earlier = {name: stored[name] for name in ("access_token", "refresh_token")}
    earlier |= {name: stored[name] for name in ("issued_at", "expires_at")}
    assert TokenSet.from_json(earlier).flow == ""  # stored by an earlier version


# Base URLs that come with tokens


async def test_calls_go_to_the_host_that_the_token_is_for(bench: OAuthBench) -> None:
    await bench.sign_in("chimes")
    await ask(bench, "chimes")

    assert {seen["host"] for seen in bench.chime.seen} == {"company-17.api.chime.example"}
    assert bench.chime.seen[-1]["path"] == "/v2/things"


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example",
        "http://company-17.api.chime.example",
        "https://company-17.api.chime.example.evil.example",
        "https://a.b.api.chime.example",
        "https://someone@company-17.api.chime.example",
        "https://company-17.api.chime.example:8443",
        "https://127.0.0.1",
        "//company-17.api.chime.example",
        "company-17.api.chime.example",
    ],
)
async def test_token_follows_no_answer_to_a_foreign_host(
    bench: OAuthBench, elsewhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.chime.wire, "base_url", elsewhere)

    with pytest.raises(ForbiddenHostError):
        await bench.sign_in("chimes")

    assert bench.chime.seen == []
    assert await bench.connections.state.connection("acme", "chimes") is None


async def test_host_that_a_renewal_moves_elsewhere_gets_no_token(
    bench: OAuthBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.sign_in("chimes")
    called = len(bench.chime.seen)
    monkeypatch.setattr(bench.chime.wire, "base_url", "https://evil.example")
    await bench.clock.sleep(86_400)

    with pytest.raises(ForbiddenHostError):
        await ask(bench, "chimes")
    assert len(bench.chime.seen) == called


# Lost, and not lost


@pytest.mark.parametrize("name", ["sprockets", "chimes", "entry"])
async def test_consent_that_was_withdrawn_needs_a_person(bench: OAuthBench, name: str) -> None:
    await bench.sign_in(name)
    server = {"sprockets": bench.sprocket, "chimes": bench.chime, "entry": bench.entry}[name]
    server.grants.revoke_person(ANN)

    with pytest.raises(NeedsReconnectError):
        await ask(bench, name)
    asked = server.token_calls
    with pytest.raises(NeedsReconnectError):
        await ask(bench, name)

    assert (await bench.row(name)).state == "needs_reconnect"
    assert server.token_calls == asked  # nobody keeps trying
    await bench.sign_in(name)
    await ask(bench, name)


OUTAGES = {
    "bad gateway, as HTML": HTMLResponse("<h1>Bad gateway</h1>", 502),
    "server error that names the grant": JSONResponse({"error": "invalid_grant"}, 500),
    "unavailable": JSONResponse({"error": "temporarily_unavailable"}, 400),
    "a proxy's page": HTMLResponse("<title>Login to the network</title>", 403),
    "a page instead of a token": HTMLResponse("<title>Maintenance</title>", 200),
    "an unknown word": JSONResponse({"error": "weather"}, 400),
    "not an object": JSONResponse(["invalid_grant"], 400),
    "no token": JSONResponse({"token_type": "Bearer"}, 200),
    "an unusable token": JSONResponse({"access_token": "a\nb: c"}, 200),
}


@pytest.mark.parametrize("outage", OUTAGES)
async def test_outage_of_the_token_endpoint_is_not_the_end_of_a_connection(
    bench: OAuthBench, outage: str
) -> None:
    await bench.sign_in("chimes")
    await bench.clock.sleep(86_400)
    bench.chime.before = [OUTAGES[outage]]

    with pytest.raises(ProviderError) as failed:
        await ask(bench, "chimes")

    assert not isinstance(failed.value, GrantRefusedError | ClientRefusedError)
    assert (await bench.row("chimes")).state in ("active", "expiring")
    await bench.clock.sleep(60)
    await ask(bench, "chimes")


async def test_throttled_renewal_is_asked_again_within_the_call(bench: OAuthBench) -> None:
    """What is throttled was not looked at: also a token for one use may be shown again."""
    await bench.sign_in("chimes")
    await bench.clock.sleep(86_400)
    bench.chime.before = [JSONResponse({"error": "invalid_grant"}, 429, {"retry-after": "1"})]

    await ask(bench, "chimes")
    assert bench.chime.token_calls == 3


async def test_lost_reply_is_survived_where_the_old_token_answers_for_a_while(
    bench: OAuthBench,
) -> None:
    await bench.sign_in("entry")
    await bench.clock.sleep(3599)
    bench.entry.after = [HTMLResponse("gone", 502)]

    await ask(bench, "entry")

    assert bench.entry.token_calls == 3
    assert (await bench.row("entry")).state == "active"


async def test_lost_reply_without_a_grace_says_that_a_person_is_needed(bench: OAuthBench) -> None:
    await bench.sign_in("chimes")
    await bench.clock.sleep(86_400)
    bench.chime.after = [HTMLResponse("gone", 502)]

    with pytest.raises(ProviderUnavailableError):
        await ask(bench, "chimes")
    assert bench.chime.token_calls == 2  # not asked twice in one breath
    await bench.clock.sleep(60)
    with pytest.raises(NeedsReconnectError):
        await ask(bench, "chimes")


async def test_refresh_token_that_ran_out_says_that_a_person_is_needed(bench: OAuthBench) -> None:
    await bench.sign_in("entry")
    bench.entry.before = [
        JSONResponse(
            {
                "error": "invalid_grant",
                "error_description": "AADSTS700082: The refresh token has expired.",
                "error_codes": [700082],
            },
            400,
        )
    ]
    await bench.clock.sleep(3599)

    with pytest.raises(NeedsReconnectError):
        await ask(bench, "entry")


async def test_client_whose_secret_changed_is_named_and_the_connection_kept(
    bench: OAuthBench,
) -> None:
    for name, provider in (("sprockets", "sprocket"), ("chimes", "chime"), ("entry", "entry")):
        await bench.sign_in(name)
        await bench.register(provider, client_secret=SecretStr("canary-old"))
        await bench.clock.sleep(86_400)

        with pytest.raises(ClientRefusedError) as refused:
            await ask(bench, name)

        assert "canary" not in str(refused.value.as_dict())
        await bench.register(provider)
        await bench.clock.sleep(60)
        await ask(bench, name)


async def test_missing_scope_is_no_lost_connection(bench: OAuthBench) -> None:
    """HubSpot says it by a 403, Gong by the same 401 as for a dead token."""
    await bench.sign_in("sprockets")
    await bench.sign_in("chimes")
    for name, path in (("sprockets", "/custom"), ("chimes", "/stats")):
        with pytest.raises(ProviderScopeError):
            await ask(bench, name, Request.get(path))
        assert (await bench.row(name)).state == "active"
    assert (bench.sprocket.token_calls, bench.chime.token_calls) == (1, 1)


async def test_token_of_another_flow_is_not_used(bench: OAuthBench) -> None:
    """The tenant's YAML chose another way to sign in since."""
    await bench.sign_in("entry")
    changed = SPEC.model_copy(
        update={"connections": {**SPEC.connections, "entry": SPEC.connections["entryMachine"]}}
    )
    await bench.clock.sleep(3599)

    channel = None
    with pytest.raises(NeedsReconnectError):
        channel = await bench.connections.channel("acme", changed, "entry")
        await channel.send(GET)


# Revocation


async def test_revocation_by_the_tokens_own_address_shows_the_token_nowhere(
    bench: OAuthBench, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.sign_in("sprockets")
    site, tokens = declared_site(SPEC, "sprockets"), await tokens_of(bench, "sprockets")
    assert tokens.refresh_token is not None

    assert await bench.connections.flows.revoke(site, tokens)
    with pytest.raises(GrantRefusedError):
        await bench.connections.flows.renew(site, tokens)
    assert await bench.connections.flows.revoke(site, tokens)  # ended is ended

    assert tokens.refresh_token.get_secret_value() not in caplog.text


async def test_revocation_of_an_access_token_is_asked_of_its_provider(bench: OAuthBench) -> None:
    await bench.connections.connect(SPEC, "tally")
    site, tokens = declared_site(SPEC, "tally"), await tokens_of(bench, "tally")

    assert await bench.connections.flows.revoke(site, tokens)
    assert bench.tally.grants.grant_of(tokens.access_token.get_secret_value()) is None


async def test_provider_that_revokes_nothing_is_not_asked(bench: OAuthBench) -> None:
    await bench.sign_in("chimes")
    site, tokens = declared_site(SPEC, "chimes"), await tokens_of(bench, "chimes")

    assert not await bench.connections.flows.revoke(site, tokens)
    assert bench.chime.token_calls == 1


async def test_revocation_that_fails_is_no_success(bench: OAuthBench) -> None:
    await bench.connections.connect(SPEC, "tally")
    site, tokens = declared_site(SPEC, "tally"), await tokens_of(bench, "tally")
    await bench.register("tally", client_secret=SecretStr("wrong"))

    with pytest.raises(ProviderAnswerError):
        await bench.connections.flows.revoke(site, tokens)


# Client credentials


async def test_machine_connects_calls_and_renews(bench: OAuthBench) -> None:
    for name, request, lifetime_s in (
        ("bazaar", BAZAAR_GET, 3600),
        ("entryMachine", GET, 3599),
        ("tally", GET, 3600),
    ):
        row = await bench.connections.connect(SPEC, name)
        before = await tokens_of(bench, name)
        await ask(bench, name, request)
        await bench.clock.sleep(lifetime_s)
        await ask(bench, name, request)

        assert (row.state, row.user_key) == ("active", "robot@north")
        assert before.refresh_token is None
        assert (await tokens_of(bench, name)).access_token != before.access_token


async def test_same_token_given_again_is_asked_for_a_few_times_only(bench: OAuthBench) -> None:
    """Marketo gives the same token with the seconds that are left of it."""
    await bench.connections.connect(SPEC, "bazaar")
    first = await tokens_of(bench, "bazaar")
    for seconds in (*[60] * 58, *[1] * 180):
        await ask(bench, "bazaar", BAZAAR_GET)
        await bench.clock.sleep(seconds)

    assert bench.bazaar.token_calls <= 6
    assert (await tokens_of(bench, "bazaar")).access_token != first.access_token
    assert (await bench.row("bazaar")).state == "active"


async def test_token_that_ran_out_on_the_way_is_replaced_within_the_call(
    bench: OAuthBench,
) -> None:
    """Error 602 inside of a 200."""
    await bench.connections.connect(SPEC, "bazaar")
    await ask(bench, "bazaar", BAZAAR_GET)
    bench.bazaar.grants.expire_access()

    await ask(bench, "bazaar", BAZAAR_GET)
    assert bench.bazaar.token_calls == 2


async def test_denied_call_inside_of_a_success_is_no_lost_connection(bench: OAuthBench) -> None:
    await bench.connections.connect(SPEC, "bazaar")

    with pytest.raises(ProviderForbiddenError):
        await ask(bench, "bazaar", Request.get("/rest/v1/denied"))
    assert bench.bazaar.token_calls == 1
    assert (await bench.row("bazaar")).state == "active"


@pytest.mark.parametrize("name", ["bazaar", "entryMachine", "tally"])
async def test_machine_whose_client_is_gone_needs_a_person(bench: OAuthBench, name: str) -> None:
    await bench.connections.connect(SPEC, name)
    server = {"bazaar": bench.bazaar, "entryMachine": bench.entry, "tally": bench.tally}[name]
    server.authority.clients.clear()
    server.grants.revoke_person("robot@north")
    request = BAZAAR_GET if name == "bazaar" else GET

    with pytest.raises(NeedsReconnectError):
        await ask(bench, name, request)
    assert (await bench.row(name)).state == "needs_reconnect"


async def test_same_token_given_again_and_refused_again_ends_in_few_calls(
    bench: OAuthBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.connections.connect(SPEC, "bazaar")
    monkeypatch.setattr(bench.bazaar, "answer", lambda _grant, _path: bench.bazaar.stranger("it"))

    with pytest.raises(NeedsReconnectError):
        await ask(bench, "bazaar", BAZAAR_GET)

    assert bench.bazaar.token_calls <= 3
    assert (await bench.row("bazaar")).state == "needs_reconnect"


@pytest.mark.parametrize("name", ["bazaar", "entryMachine", "tally"])
async def test_machine_is_nobodys_own_connection(bench: OAuthBench, name: str) -> None:
    """What it shows would count as what that person may see."""
    with pytest.raises(ClientIsNobodyError):
        await bench.connections.connect(SPEC, name, person=ANN)

    assert await bench.connections.state.connection("acme", name, ANN) is None


async def test_certificate_signs_instead_of_a_secret(bench: OAuthBench) -> None:
    pem = SecretStr(bench.key.as_pem(private=True).decode())
    await bench.register("entry", client_secret=None, private_key_pem=pem, key_id=THUMBPRINT)

    assert (await bench.connections.connect(SPEC, "entryMachine")).state == "active"
    await bench.register("entry", client_secret=None, private_key_pem=pem, key_id="another")
    with pytest.raises(ClientRefusedError):
        await bench.connections.connect(SPEC, "entryMachine")


async def test_user_that_the_client_may_not_act_as_is_refused(bench: OAuthBench) -> None:
    spec = SPEC.model_copy(
        update={
            "connections": {
                "tally": SPEC.connections["tally"].model_copy(
                    update={"settings": {"username": "boss@north"}}
                )
            }
        }
    )

    with pytest.raises(GrantRefusedError, match="tokenInvalid"):
        await bench.connections.connect(spec, "tally")


async def test_no_secret_is_in_any_message_or_repr(
    bench: OAuthBench, caplog: pytest.LogCaptureFixture
) -> None:
    """Chime and Bazaar take secrets in query strings, which are the first thing to be logged."""
    caplog.set_level("DEBUG")
    await bench.sign_in("chimes")
    await bench.connections.connect(SPEC, "bazaar")
    tokens = await tokens_of(bench, "chimes")
    assert tokens.refresh_token is not None
    bench.chime.before = [HTMLResponse("gone", 502)]
    await bench.clock.sleep(86_400)
    with pytest.raises(ProviderUnavailableError) as failed:
        await ask(bench, "chimes")

    told = f"{caplog.text} {failed.value.as_dict()} {tokens!r} {bench.connections!r}"
    for secret in (CLIENT_SECRET, "canary", tokens.refresh_token.get_secret_value()):
        assert secret not in told
