"""Keys, passwords, sessions and CSRF tokens go to their own origin, and into no text at all."""

from __future__ import annotations

import base64
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.connections.entered import (
    ACCESS_KEY,
    ACCESS_SECRET,
    KEY,
    PASSWORD,
    SPEC,
    USER,
    EnteredBench,
    Server,
    entered_bench,
    secrets_of,
)

from firnline.connections.authorisation import Authorisation, authorisation_of
from firnline.connections.csrf import CsrfToken
from firnline.connections.site import declared_site
from firnline.connectors.protocol import Request
from firnline.errors import FirnlineError
from firnline.transport import ForbiddenHostError, ProviderError
from firnline.transport.concealing import without

ENTERED = {
    "calls": {"api_key": KEY},
    "callsBasic": {"username": ACCESS_KEY, "password": ACCESS_SECRET},
    "ledger": {"username": USER, "password": PASSWORD},
    "ledgerKey": {"api_key": KEY},
    "erp": {"username": USER, "password": PASSWORD},
}


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EnteredBench]:
    monkeypatch.setenv("FIRNLINE_CONNECTORS", str(Path(__file__).parent / "providers"))
    async with entered_bench(tmp_path / "home") as opened:
        yield opened


def servers(bench: EnteredBench, name: str) -> tuple[Server, list[Server]]:
    """Return the connection's own server, and the others."""
    every: dict[str, Server] = {"erp": bench.punch, "ledger": bench.binder, "calls": bench.stamp}
    own = next(server for prefix, server in every.items() if name.startswith(prefix))
    return own, [server for server in every.values() if server is not own]


def forms(*secrets: str) -> set[bytes]:
    """Return how the secrets would look in a text: plain, and as Basic shows them."""
    plain = {secret.encode() for secret in secrets}
    return plain | {base64.b64encode(each)[:-4] for each in plain} | {b"canary"}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("name", sorted(ENTERED))
async def test_link_to_another_origin_is_refused_whatever_authorises(
    bench: EnteredBench, name: str, method: str
) -> None:
    """The other servers are real providers of the same tenant."""
    await bench.enter(name, **ENTERED[name])
    channel = await bench.connections.channel("acme", SPEC, name)
    own, others = servers(bench, name)
    own.seen.clear()
    links = [f"https://{server.host}/next" for server in others]
    links += [f"https://{own.host}.evil.com/", f"http://{own.host}/", f"https://{own.host}:8443/"]

    for link in [*links, f"https://{own.host}@evil.com/", "//evil.com/next"]:
        with pytest.raises(ForbiddenHostError):
            await channel.send(Request(method, link))

    assert own.seen == []
    assert [server.seen for server in others] == [[], []]


REDIRECTS = (301, 302, 303, 307, 308)


@pytest.mark.parametrize("name", sorted(ENTERED))
async def test_redirect_to_another_origin_takes_nothing_with_it(
    bench: EnteredBench, name: str
) -> None:
    await bench.enter(name, **ENTERED[name])
    channel = await bench.connections.channel("acme", SPEC, name)
    own, others = servers(bench, name)
    for status in REDIRECTS:
        for request in (Request.get("/things"), Request("POST", "/things", json={})):
            for _ in range(2):  # also what fetches a CSRF token
                own.answer_once(status, location=f"https://{others[0].host}/elsewhere")
            with pytest.raises(ProviderError):
                await channel.send(request)
            own.answers.clear()

    assert [server.seen for server in others] == [[], []]


@pytest.mark.parametrize("name", sorted(ENTERED))
async def test_redirect_inside_the_origin_takes_the_authorisation_along(
    bench: EnteredBench, name: str
) -> None:
    await bench.enter(name, **ENTERED[name])
    channel = await bench.connections.channel("acme", SPEC, name)
    own, _ = servers(bench, name)
    start = len(own.seen)
    own.answer_once(307, location=f"https://{own.host}/moved")

    assert (await channel.send(Request.get("/things"))).status == 200

    first, second = (dict(seen.headers) for seen in own.seen[start:])
    assert own.seen[-1].path == "/moved"
    shown = {"authorization", "cookie", "x-stamp-key"}
    assert {name: first.get(name) for name in shown} == {name: second.get(name) for name in shown}


async def test_csrf_token_is_not_fetched_from_where_a_redirect_leads(bench: EnteredBench) -> None:
    await bench.enter("ledger", **ENTERED["ledger"])
    channel = await bench.connections.channel("acme", SPEC, "ledger")
    bench.binder.answer_once(302, location=f"https://{bench.stamp.host}/token")

    with pytest.raises(ProviderError):
        await channel.send(Request("POST", "/things", json={}))

    assert bench.stamp.seen == []
    assert bench.binder.written == []


async def test_login_that_is_redirected_takes_the_password_nowhere(bench: EnteredBench) -> None:
    bench.punch.answer_once(307, location=f"https://{bench.stamp.host}/b1s/v2/Login")

    with pytest.raises(FirnlineError):
        await bench.enter("erp", **ENTERED["erp"])

    assert bench.stamp.seen == []


@pytest.mark.parametrize("name", sorted(ENTERED))
async def test_no_secret_is_in_a_log_a_repr_an_error_or_a_file(
    bench: EnteredBench, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    own, _ = servers(bench, name)
    told: list[object] = [await bench.enter(name, **ENTERED[name])]
    site = declared_site(SPEC, name)
    channel = await bench.connections.channel("acme", SPEC, name)
    quoted = " ".join(ENTERED[name].values()) + " " + own.seen[-1].headers.get("cookie", "")
    for status in (400, 401, 403, 404, 418, 429, 503):
        for _ in range(8):
            own.answers.append((status, {}, quoted.encode()))
        for request in (Request.get("/a"), Request("POST", "/b", json={}, repeatable=False)):
            with pytest.raises(FirnlineError) as raised:
                await channel.send(request, deadline_s=1.5)
            told += [raised.value.as_dict(), repr(raised.value), str(raised.value)]
        own.answers.clear()
        await bench.enter(name, **ENTERED[name])
    tokens = await bench.connections.flows.obtain(site, secrets_of(**ENTERED[name]))
    shown = authorisation_of(site.auth, tokens.access_token)
    told += [site, channel, tokens, shown, CsrfToken(shown, shown), bench.connections.flows]
    told += [channel.__dict__["_csrf"], await bench.row(name)]

    secrets = forms(*(value for key, value in ENTERED[name].items() if value != USER))
    secrets |= {value.encode() for value in shown.hidden()}
    texts = [repr(each).encode() + str(each).encode() for each in told]
    texts += [record.getMessage().encode() for record in caplog.records]
    texts += [path.read_bytes() for path in bench.settings.home.rglob("*") if path.is_file()]
    for text in texts:
        assert not [secret for secret in secrets if secret in text]


@pytest.mark.parametrize("name", ["calls", "erp", "ledger"])
async def test_provider_that_quotes_what_it_refuses_is_not_quoted_in_turn(
    bench: EnteredBench, name: str
) -> None:
    await bench.enter(name, **ENTERED[name])
    channel = await bench.connections.channel("acme", SPEC, name)
    own, _ = servers(bench, name)
    shown = own.seen[-1].headers
    secret = {
        "calls": KEY,
        "ledger": PASSWORD,
        "erp": shown.get("cookie", "").partition(";")[0].removeprefix("B1SESSION="),
    }[name]
    said = {
        "calls": {"category": "REVOKED_AUTHENTICATION", "message": f"Dead: {secret}"},
        "ledger": {"error": {"code": "1", "message": {"value": f"Dead: {secret}"}}},
        "erp": {"error": {"code": "1", "message": f"Dead: {secret}"}},
    }[name]
    for _ in range(4):  # as often as a refusal is doubted
        own.answer_once(401, said)

    with pytest.raises(FirnlineError, match="Dead: …") as lost:
        await channel.send(Request.get("/things"))

    row = await bench.row(name)
    assert row is not None
    assert secret not in row.state_reason + str(lost.value.as_dict())


async def test_login_that_quotes_the_password_is_not_quoted_in_turn(bench: EnteredBench) -> None:
    error = {"code": "100000027", "message": f"{USER}/{PASSWORD} is not known"}
    bench.punch.answer_once(401, {"error": error})

    with pytest.raises(FirnlineError, match=f"{USER}/… is not known") as refused:
        await bench.enter("erp", **ENTERED["erp"])

    assert "canary" not in str(refused.value.as_dict())


def test_secrets_are_cut_out_of_a_text_also_where_they_are_encoded() -> None:
    text = "key a%2Fb+c and a/b+c, session s1"

    assert without(["a/b+c", "s1", ""], text) == "key a%2Fb+c and …, session …"
    assert without(["a/b+c"], "in a URL: a%2Fb%2Bc") == "in a URL: …"
    assert without(["one", "one-and-more"], "one-and-more, one") == "…, …"


def test_authorisation_shows_nothing_and_the_later_part_wins() -> None:
    first = Authorisation({"authorization": "canary"}, {"s": "canary-1"}, ("canary",))
    both = first.plus(Authorisation({"x-csrf-token": "canary-t"}, {"s": "canary-2", "n": "1"}))

    assert both.as_headers() == {
        "authorization": "canary",
        "x-csrf-token": "canary-t",
        "cookie": "s=canary-2; n=1",
    }
    assert "canary" not in repr(both) + str(both)
    assert both.hidden() == {"canary", "canary-2", "1"}
    assert Authorisation({"a": "1"}).as_headers() == {"a": "1"}
