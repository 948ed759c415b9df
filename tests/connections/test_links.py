"""Connect links: what they say nobody else can write, and one browser alone may use them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.connections.conftest import SPEC

from firnline.clock import FixedClock
from firnline.connections.consent.links import (
    CONTENT_BYTES_MAX,
    ConnectLinkError,
    ConnectLinkInvalidError,
    ConnectLinks,
    ConnectLinkUsedError,
    MadeLink,
)
from firnline.connections.consent.return_to import (
    ReturnToRefusedError,
    checked_return,
    with_outcome,
)
from firnline.connections.site import UnknownConnectionError
from firnline.settings import Settings
from firnline.state import State

KEY = bytes(range(32))
LISTED = ("https://app.example.com/integrations", "http://127.0.0.1:8001/done")


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(datetime(2026, 11, 22, 12, 0, tzinfo=UTC))


@pytest.fixture
async def links(
    tmp_path: Path, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ConnectLinks]:
    monkeypatch.setenv("FIRNLINE_CONNECTORS", str(Path(__file__).parent / "providers"))
    state = await State.open(Settings(home=tmp_path))
    yield made(state, clock)
    await state.close()


def made(state: State, clock: FixedClock, *, key: bytes = KEY, **changes: Any) -> ConnectLinks:
    options = {"public_url": "https://firnline.example.com/", "return_to": LISTED} | changes
    return ConnectLinks(key, claims=state.connect_links, clock=clock, **options)


def token_of(made: MadeLink) -> str:
    return parse_qs(urlsplit(made.url).query)["link"][0]


async def test_link_gives_a_session_of_what_it_offers(links: ConnectLinks) -> None:
    made = links.make(
        SPEC,
        person=" Ann@north.test",
        connections=["clips"],
        return_to="https://app.example.com/integrations?tab=crm",
    )
    session = await links.enter(token_of(made), "acme")

    assert made.url.startswith("https://firnline.example.com/connect/acme?link=")
    assert session.link == made.link
    assert (session.tenant, session.person) == ("acme", "ann@north.test")
    assert session.offers("clips") and not session.offers("staples")
    assert session.link.return_to == "https://app.example.com/integrations?tab=crm"
    assert links.session(links.cookie(session), "acme") == session
    assert token_of(made) not in repr(made)
    assert session.browser not in repr(session)


async def test_second_browser_is_told_to_ask_for_a_new_link(links: ConnectLinks) -> None:
    token = token_of(links.make(SPEC))
    first = await links.enter(token, "acme")

    with pytest.raises(ConnectLinkUsedError):
        await links.enter(token, "acme")
    other = await links.enter(token_of(links.make(SPEC)), "acme")
    with pytest.raises(ConnectLinkUsedError):
        await links.enter(token, "acme", session=other)
    assert await links.enter(token, "acme", session=first) == first


async def test_of_many_browsers_at_once_one_gets_the_link(links: ConnectLinks) -> None:
    token = token_of(links.make(SPEC))
    came = await asyncio.gather(
        *(links.enter(token, "acme") for _ in range(8)), return_exceptions=True
    )

    refused = [each for each in came if isinstance(each, ConnectLinkUsedError)]
    assert len(refused) == 7


async def test_shared_link_gives_each_browser_a_session_of_its_own(links: ConnectLinks) -> None:
    token = token_of(links.make(SPEC, is_shared=True))
    sessions = [await links.enter(token, "acme") for _ in range(3)]

    assert len({session.browser for session in sessions}) == 3


async def test_session_of_another_link_never_gives_its_id_away(links: ConnectLinks) -> None:
    """Whoever planted the first session in a browser would know the second one's."""
    planted = await links.enter(token_of(links.make(SPEC)), "acme")
    own = await links.enter(token_of(links.make(SPEC)), "acme", session=planted)

    assert own.browser != planted.browser


async def test_link_ends_when_it_says_and_its_session_a_little_later(
    links: ConnectLinks, clock: FixedClock
) -> None:
    token = token_of(links.make(SPEC, lifetime=timedelta(hours=2)))
    await clock.sleep(2 * 3600 - 1)
    session = await links.enter(token, "acme")
    cookie = links.cookie(session)
    await clock.sleep(1)

    with pytest.raises(ConnectLinkInvalidError):
        await links.enter(token, "acme", session=session)
    assert links.session(cookie, "acme") == session
    await clock.sleep(1800)
    assert links.session(cookie, "acme") is None


async def test_claims_are_forgotten_with_their_links(
    links: ConnectLinks, clock: FixedClock, tmp_path: Path
) -> None:
    used = links.make(SPEC)
    await links.enter(token_of(used), "acme")
    await clock.sleep(3600)
    await links.enter(token_of(links.make(SPEC)), "acme")

    state = await State.open(Settings(home=tmp_path))
    try:
        claim = state.connect_links.claim
        later = clock.now() + timedelta(hours=1)
        from firnline.connections.consent.links import digest_of

        assert await claim(
            "acme", digest_of(used.link.id), "anybody", expires_at=later, now=clock.now()
        )
    finally:
        await state.close()


@pytest.mark.parametrize("change", ["", "x", "?", "cut", "flipped", "longer", "é", "A" * 5000])
async def test_damaged_link_and_cookie_open_nothing(links: ConnectLinks, change: str) -> None:
    token = token_of(links.make(SPEC))
    session = await links.enter(token_of(links.make(SPEC)), "acme")
    for good in (token, links.cookie(session)):
        other = "A" if good[40] != "A" else "B"
        bad = {
            "cut": good[:-4],
            "flipped": good[:40] + other + good[41:],
            "longer": good + "AAAA",
        }.get(change, change)
        with pytest.raises(ConnectLinkInvalidError):
            await links.enter(bad, "acme")
        assert links.session(bad, "acme") is None


async def test_link_is_no_session_and_session_no_link(links: ConnectLinks) -> None:
    token = token_of(links.make(SPEC))
    session = await links.enter(token, "acme")

    assert links.session(token, "acme") is None
    with pytest.raises(ConnectLinkInvalidError):
        await links.enter(links.cookie(session), "acme")


async def test_link_and_session_of_one_tenant_open_no_other(links: ConnectLinks) -> None:
    token = token_of(links.make(SPEC))
    cookie = links.cookie(await links.enter(token, "acme"))

    with pytest.raises(ConnectLinkInvalidError):
        await links.enter(token, "globex")
    assert links.session(cookie, "globex") is None


async def test_link_of_another_installation_is_refused(
    links: ConnectLinks, clock: FixedClock, tmp_path: Path
) -> None:
    state = await State.open(Settings(home=tmp_path / "other"))
    try:
        token = token_of(made(state, clock, key=bytes(32)).make(SPEC))
    finally:
        await state.close()

    with pytest.raises(ConnectLinkInvalidError):
        await links.enter(token, "acme")


async def test_ticket_is_good_for_its_session_and_purpose_alone(links: ConnectLinks) -> None:
    session = await links.enter(token_of(links.make(SPEC)), "acme")
    other = await links.enter(token_of(links.make(SPEC)), "acme")
    ticket = links.ticket(session, "form")

    assert links.is_ticket(ticket, session, "form")
    for wrong, whose, about in (
        (ticket, other, "form"),
        (ticket, session, "confirm"),
        ("", session, "form"),
        ("é", session, "form"),
        (links.ticket(session, "fo", "rm"), session, "form"),
    ):
        assert not links.is_ticket(wrong, whose, about)


@pytest.mark.parametrize(
    "wrong",
    [
        {"lifetime": timedelta(days=8)},
        {"lifetime": timedelta(seconds=1)},
        {"lifetime": timedelta(seconds=-1)},
        {"person": "nobody"},
        {"person": "a@b\nc"},
        {"person": "ann@north.test", "connections": ["staples"]},
    ],
    ids=str,
)
async def test_link_that_makes_no_sense_is_not_made(
    links: ConnectLinks, wrong: dict[str, Any]
) -> None:
    with pytest.raises(ConnectLinkError) as refused:
        links.make(SPEC, **wrong)
    assert refused.value.hint


async def test_unknown_connection_is_named_when_the_link_is_made(links: ConnectLinks) -> None:
    with pytest.raises(UnknownConnectionError):
        links.make(SPEC, connections=["nope"])


async def test_link_too_long_for_a_cookie_is_not_made(
    clock: FixedClock, links: ConnectLinks, tmp_path: Path
) -> None:
    declared = SPEC.connections["clips"]
    many = {f"c{number:060}": declared for number in range(CONTENT_BYTES_MAX // 50)}
    spec = SPEC.model_copy(update={"connections": many})

    with pytest.raises(ConnectLinkError, match="too long"):
        links.make(spec, connections=list(many))
    session = await links.enter(token_of(links.make(spec, connections=list(many)[:20])), "acme")
    assert len(links.cookie(session)) < 4_000


# -- where links may lead back to -----------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "https://app.example.com/integrations",
        "https://app.example.com/integrations?tab=crm&x=1",
        "https://app.example.com:443/integrations",
        "https://APP.example.com/integrations",
        "http://127.0.0.1:8001/done",
    ],
)
def test_listed_address_may_be_returned_to_with_any_query(address: str) -> None:
    assert checked_return(address, LISTED) == address


@pytest.mark.parametrize(
    "address",
    [
        "https://app.example.com/",
        "https://app.example.com/integrations/",
        "https://app.example.com/integrations/../admin",
        "https://app.example.com/integrations%2f..",
        "https://app.example.com/integrations#x",
        "https://app.example.com:444/integrations",
        "http://app.example.com/integrations",
        "https://app.example.com.evil.example/integrations",
        "https://evil.example/integrations",
        "https://app.example.com@evil.example/integrations",
        "https://evil.example\\@app.example.com/integrations",
        "https://evil.example\\.app.example.com/integrations",
        "//app.example.com/integrations",
        "///evil.example",
        "/integrations",
        "javascript:alert(1)",
        "data:text/html,x",
        "https:app.example.com/integrations",
        "https:/app.example.com/integrations",
        " https://app.example.com/integrations",
        "https://app.example.com/integrations\r\nset-cookie: a=b",
        "https://app.example.com\t/integrations",
        "https://аpp.example.com/integrations",
        "https://[app.example.com/integrations",
        "https://app.example.com:x/integrations",
        "https://app.example.com/integrations?" + "x" * 1000,
        "http://127.0.0.1:8002/done",
    ],
)
def test_address_that_is_not_listed_letter_by_letter_is_refused(address: str) -> None:
    with pytest.raises(ReturnToRefusedError) as refused:
        checked_return(address, LISTED)
    assert "evil" not in refused.value.message


def test_nothing_is_returned_to_where_nothing_is_listed() -> None:
    with pytest.raises(ReturnToRefusedError):
        checked_return("https://app.example.com/integrations", ())


def test_outcome_replaces_what_the_query_said_of_it() -> None:
    address = "https://app.example.com/i?tab=a%26b&state=active&state=x"

    assert with_outcome(address, {"connection": "crm", "state": "refused"}) == (
        "https://app.example.com/i?tab=a%26b&connection=crm&state=refused"
    )
