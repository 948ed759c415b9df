"""The builder's look on the connect pages: whatever the colour, everything can be read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tests.transport.loopback import serve
from tests.web.connecting import BRANDING, PROVIDERS, ConnectSite, connect_site, write_project

from firnline.clock import FixedClock
from firnline.errors import FirnlineError
from firnline.spec.branding import Branding
from firnline.web.assets import STATIC
from firnline.web.connect.colors import CONTRAST_MIN, DARK_PAGE, LIGHT_PAGE, accent_on, contrast
from firnline.web.connect.theme import LOGO_KEPT_S, LOGO_RETRIED_S, Theme, style_of
from firnline.web.refusals import NotFoundError

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
ELSEWHERE = "https://cdn.example/logo.png"


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ConnectSite]:
    monkeypatch.setenv("FIRNLINE_CONNECTORS", str(PROVIDERS))
    write_project(tmp_path / "project", BRANDING | {"logo": "logo.svg"})
    (tmp_path / "project" / "logo.svg").write_bytes(SVG)
    async with connect_site(tmp_path) as served:
        yield served


# -- colours --------------------------------------------------------------------------------------


@given(st.integers(0, 0xFFFFFF))
@example(0x000000)
@example(0xFFFFFF)
@example(0x777777)
@example(0xFFFF00)
@example(0x10181E)
def test_every_accent_can_be_read_on_light_and_dark_pages(number: int) -> None:
    for page in (LIGHT_PAGE, DARK_PAGE):
        accent = accent_on(f"#{number:06x}", page)
        assert contrast(accent.color, accent.ink) >= CONTRAST_MIN
        assert all(contrast(accent.color, under) >= CONTRAST_MIN for under in page)


def test_accent_that_can_be_read_stays_as_it_is() -> None:
    assert accent_on("#0f6c9c", LIGHT_PAGE).color == "#0f6c9c"


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("#000000", "#ffffff", 21.0), ("#777777", "#ffffff", 4.48), ("#ff0000", "#ffffff", 4.0)],
)
def test_contrast_is_the_one_of_wcag(one: str, other: str, expected: float) -> None:
    assert contrast(one, other) == pytest.approx(expected, abs=0.01)
    assert contrast(one, other) == contrast(other, one)


def test_colours_are_measured_on_what_the_pages_really_have() -> None:
    style = (STATIC / "site.css").read_text()
    for color in (*LIGHT_PAGE, *DARK_PAGE):
        assert color in style or (color == "#ffffff" and "#fff;" in style)


# -- what is served -------------------------------------------------------------------------------


async def test_pages_carry_the_builders_name_and_help(site: ConnectSite) -> None:
    page = await (await site.visitor()).get("/connect/acme")

    assert "Sales Pilot" in page.text and "Firnline" not in page.text
    assert 'href="https://help.pilot.example/"' in page.text
    refused = await (await site.visitor("")).get("/connect/acme")
    assert "Sales Pilot" in refused.text and "https://help.pilot.example/" in refused.text


async def test_style_and_logo_come_from_our_own_origin(site: ConnectSite) -> None:
    visitor = await site.visitor()
    page = await visitor.get("/connect/acme")
    addresses = [
        part.split('"')[0] for part in page.text.split("/connect/theme/")[1:] if '"' in part
    ]
    style, logo = (
        next(each for each in addresses if each.startswith(name)) for name in ("style", "logo")
    )
    answer = await visitor.get(f"/connect/theme/{style}")
    assert answer.headers["content-type"].startswith("text/css")
    assert "immutable" in answer.headers["cache-control"]
    assert "prefers-color-scheme: dark" in answer.text

    picture = await visitor.get(f"/connect/theme/{logo}")
    assert (picture.content, picture.headers["content-type"]) == (SVG, "image/svg+xml")
    # Opened as a page of its own it may run nothing.
    assert "sandbox" in picture.headers["content-security-policy"]
    assert "default-src 'none'" in picture.headers["content-security-policy"]


async def test_project_without_branding_is_called_by_its_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRNLINE_CONNECTORS", str(PROVIDERS))
    async with connect_site(tmp_path, branding={}) as site:
        visitor = await site.visitor()
        page = await visitor.get("/connect/acme")
        assert "desk" in page.text and "/connect/theme/logo" not in page.text
        assert (await visitor.get("/connect/theme/logo")).status_code == 404


async def test_tenants_names_are_not_taken_away_by_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRNLINE_CONNECTORS", str(PROVIDERS))
    write_project(tmp_path / "project", BRANDING)
    for name in ("callback", "theme"):
        text = (tmp_path / "project" / "tenants" / "acme.yaml").read_text()
        own = text.replace("tenant: acme", f"tenant: {name}")
        (tmp_path / "project" / "tenants" / f"{name}.yaml").write_text(own)
    async with connect_site(tmp_path) as site:
        for name in ("callback", "theme"):
            visitor = await site.visitor(site.link(name))
            assert (await visitor.connect(tenant=name)).status_code == 303


# -- a logo from elsewhere ------------------------------------------------------------------------


async def test_logo_at_an_address_is_fetched_through_the_one_outbound_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRNLINE_CONNECTORS", str(PROVIDERS))
    answers = {"/logo.png": PNG, "/page": b"<html></html>"}
    seen: list[str] = []

    async def answer(asked: Request) -> Response:
        seen.append(asked.headers["host"])
        return Response(answers[asked.url.path])

    cdn = Starlette(routes=[Route("/{path:path}", answer)])
    async with serve(cdn) as origin:
        for path, expected in (("logo.png", 200), ("page", 404)):
            branding = {"logo": f"https://cdn.example/{path}"}
            folder = tmp_path / path
            routes = {"https://cdn.example": origin}
            async with connect_site(folder, branding=branding, more_routes=routes) as site:
                visitor = await site.visitor()
                shown = await visitor.get("/connect/theme/logo")
                assert shown.status_code == expected
                assert "cdn.example" not in (await visitor.get("/connect/acme")).text
    assert seen == ["cdn.example"] * 2


class Elsewhere:
    """A server that has a logo, or not."""

    def __init__(self) -> None:
        self.content = PNG
        self.is_away = False
        self.asked: list[str] = []

    async def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        if self.is_away:
            raise FirnlineError("nobody answers")
        return self.content


def theme(elsewhere: Elsewhere, clock: FixedClock) -> Theme:
    return Theme(
        Branding(logo=ELSEWHERE),
        name="x",
        directory=Path(),
        fetch=elsewhere.fetch,
        clock=clock,
    )


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(datetime(2026, 11, 22, 12, 0, tzinfo=UTC))


def request() -> Request:
    return Request({"type": "http", "method": "GET", "path": "/", "headers": []})


async def test_logo_from_elsewhere_is_fetched_by_us_and_kept_for_an_hour(
    clock: FixedClock,
) -> None:
    elsewhere = Elsewhere()
    shown = theme(elsewhere, clock)
    for _ in range(3):
        assert (await shown.logo(request())).body == PNG
    assert elsewhere.asked == [ELSEWHERE]
    assert shown.look.logo.startswith("/connect/theme/logo?v=")

    await clock.sleep(LOGO_KEPT_S)
    elsewhere.is_away = True
    assert (await shown.logo(request())).body == PNG  # the last one stays
    assert len(elsewhere.asked) == 2


async def test_logo_that_cannot_be_had_is_asked_for_again_a_minute_later(
    clock: FixedClock,
) -> None:
    elsewhere = Elsewhere()
    elsewhere.is_away = True
    shown = theme(elsewhere, clock)
    for _ in range(3):
        with pytest.raises(NotFoundError):
            await shown.logo(request())
    assert len(elsewhere.asked) == 1
    elsewhere.is_away = False
    await clock.sleep(LOGO_RETRIED_S)
    assert (await shown.logo(request())).body == PNG


@pytest.mark.parametrize("content", [b"", b"<html>", b"<script>alert(1)</script>", b"%PDF-1.7"])
async def test_what_is_no_picture_is_not_passed_on(clock: FixedClock, content: bytes) -> None:
    elsewhere = Elsewhere()
    elsewhere.content = content
    with pytest.raises(NotFoundError):
        await theme(elsewhere, clock).logo(request())


def test_without_a_colour_the_pages_keep_their_own() -> None:
    assert style_of("") == ""
