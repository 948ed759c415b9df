"""GraphiQL in a real browser: signs in, asks, reads the answer; nothing leaves the machine."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import ConsoleMessage, Page, Request, async_playwright, expect
from tests.web.conftest import FakeGateway, FakeLater

pytestmark = pytest.mark.browser

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class Studio:
    """A browser page at the sign-in, and all that it did behind our back."""

    page: Page
    url: str
    gateway: FakeGateway
    complaints: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def hear(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def see(self, sent: Request) -> None:
        if not sent.url.startswith((f"{self.url}/", "data:")):
            self.foreign.append(sent.url)

    async def write(self, text: str) -> None:
        """Replace the operation by another one."""
        await self.page.locator(".graphiql-query-editor textarea").focus()
        # An editor that has a selection would put typed brackets around it.
        for key in ("Control+a", "Delete"):
            await self.page.keyboard.press(key)
        await self.page.keyboard.insert_text(text)

    async def offered(self, text: str) -> list[str]:
        """Return the names that the editor offers after `text` is typed."""
        await self.write("")
        await self.page.keyboard.type(text, delay=30)
        rows = self.page.locator(".suggest-widget.visible .monaco-list-row .label-name")
        await expect(rows.first).to_be_visible()
        return await rows.all_inner_texts()

    async def sign_in(self, name: str = "Ana Albers") -> None:
        await self.page.goto(f"{self.url}/signin?tenant=acme")
        await self.page.get_by_role("button", name=name).click()
        await expect(self.page.locator(".graphiql-query-editor .view-line").first).to_be_visible()

    async def picture(self, name: str) -> None:
        """Keep a screenshot where FIRNLINE_PICTURES says, for people who want to look."""
        if folder := os.environ.get("FIRNLINE_PICTURES"):
            await self.page.screenshot(path=Path(folder) / f"{name}.png")

    @property
    def workers(self) -> set[str]:
        """Kinds of the web workers that run."""
        kinds = (re.search(r"/static/graphiql/assets/(\w+)\.", w.url) for w in self.page.workers)
        return {kind[1] for kind in kinds if kind}

    @property
    def operation(self) -> Any:
        return self.page.locator(".graphiql-query-editor .view-lines")

    @property
    def answer(self) -> Any:
        return self.page.locator(".graphiql-response .result-window")


@pytest.fixture
async def studio(
    standing: tuple[str, FakeGateway, str], chromium: str, request: pytest.FixtureRequest
) -> AsyncIterator[Studio]:
    url, gateway, _ = standing
    gateway.reset()
    options = getattr(request, "param", {})
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        context = await browser.new_context(
            **{"viewport": {"width": 1280, "height": 800}} | options
        )
        studio = Studio(await context.new_page(), url, gateway)
        studio.page.on("console", studio.hear)
        studio.page.on("pageerror", lambda error: studio.complaints.append(str(error)))
        context.on("request", studio.see)
        yield studio
        await browser.close()
    assert studio.complaints == []
    assert studio.foreign == []


async def test_person_signs_in_and_runs_the_preset_operation(studio: Studio) -> None:
    await studio.page.goto(f"{studio.url}/")
    await expect(studio.page.get_by_role("heading", name="acme")).to_be_visible()
    await studio.picture("signin")
    await studio.sign_in()
    await studio.page.get_by_role("button", name="Execute query").click()
    await expect(studio.answer).to_contain_text("Renewal <img src=x onerror=alert(1)>")
    await studio.picture("answer")
    asked = [request for _, request in studio.gateway.seen if request.operation_name == "Deals"]
    assert asked[0].variables == {"first": 2}
    assert {principal.email for principal, _ in studio.gateway.seen} == {"ana@acme.example"}
    assert "eyJ" not in studio.page.url


async def test_keyboard_alone_opens_a_tab_writes_a_query_and_runs_it(studio: Studio) -> None:
    await studio.sign_in()
    await studio.page.get_by_role("button", name="New tab").focus()
    await studio.page.keyboard.press("Enter")
    await studio.write("{ me }")
    await studio.page.keyboard.press("Control+Enter")
    await expect(studio.answer).to_contain_text("ana@acme.example at acme")


async def test_subscription_shows_each_answer_until_it_is_stopped(studio: Studio) -> None:
    gateway = studio.gateway
    gateway.live.append(b'{"data":{"me":"first"}}')
    await studio.sign_in()
    await studio.write("subscription { me }")
    await studio.page.keyboard.press("Control+Enter")
    await expect(studio.answer).to_contain_text('"first"')
    gateway.live += [b'{"data":{"me":"second"}}'] * 2
    gateway.live.pop(0)
    await expect(studio.answer).to_contain_text('"second"')
    assert gateway.ended == []
    await studio.page.get_by_role("button", name="Stop query").click()
    async with asyncio.timeout(20):
        while not gateway.ended:  # noqa: ASYNC110 - the server is in another thread
            await asyncio.sleep(0.01)
    assert gateway.ended == ["listening"]


async def test_deferred_parts_are_put_into_the_answer(studio: Studio) -> None:
    studio.gateway.deferred = (
        b'{"data":{"me":"Ana"}}',
        FakeLater(
            {"pending": [{"id": "0", "path": []}], "hasNext": True},
            [
                {"incremental": [{"id": "0", "data": {"echo": "later"}}], "hasNext": True},
                {"completed": [{"id": "0"}], "hasNext": False},
            ],
        ),
    )
    await studio.sign_in()
    await studio.write('{ me ... @defer { echo(text: "later") } }')
    await studio.page.keyboard.press("Control+Enter")
    await expect(studio.answer).to_contain_text('"me": "Ana",')
    await expect(studio.answer).to_contain_text('"echo": "later"')
    await expect(studio.answer).not_to_contain_text("pending")
    await expect(studio.page.get_by_role("button", name="Execute query")).to_be_visible()


async def test_docs_open_and_lead_to_a_field(studio: Studio) -> None:
    await studio.sign_in()
    await studio.page.get_by_role("button", name="Show Documentation Explorer").click()
    docs = studio.page.locator(".graphiql-doc-explorer")
    await docs.get_by_role("link", name="Query").click()
    await expect(docs).to_contain_text("Who is asking.")
    await studio.picture("docs")
    await docs.get_by_role("link", name="Deal", exact=True).click()
    await expect(docs).to_contain_text("amount")


async def test_explorer_adds_a_field_to_the_operation(studio: Studio) -> None:
    await studio.sign_in()
    await studio.page.get_by_role("button", name="Show GraphiQL Explorer").click()
    explorer = studio.page.locator(".graphiql-explorer-root")
    await expect(studio.operation).not_to_contain_text("owner")
    await explorer.locator(".graphiql-explorer-field-view").get_by_text("owner").click()
    await expect(studio.operation).to_contain_text("owner")
    await studio.picture("explorer")
    await studio.page.get_by_role("button", name="Execute query").click()
    await expect(studio.answer).to_contain_text('"owner": "Ana"')


async def test_explorer_opens_at_its_beginning_and_takes_lists_calmly(studio: Studio) -> None:
    await studio.sign_in()
    await studio.write('{ echo(text: "a") deals(first: 1, orderBy: [NAME]) { name } }')
    await studio.page.get_by_role("button", name="Show GraphiQL Explorer").click()
    values = studio.page.locator(".graphiql-explorer-root input")
    await expect(values.last).to_be_visible()
    await expect(values.and_(studio.page.locator(":focus"))).to_have_count(0)


async def test_editor_completes_what_the_person_may_read_in_its_workers(studio: Studio) -> None:
    await studio.sign_in("Mia Moreau")
    assert await studio.offered("{ d") == ["deals"]
    assert set(await studio.offered("{ deals { ")) == {"name", "amount", "owner", "__typename"}
    await studio.picture("completion")
    assert studio.workers == {"graphql", "json"}

    await studio.sign_in("alert('x')")
    assert set(await studio.offered("{ deals { ")) == {"name", "__typename"}


async def test_workers_mark_mistakes_in_operation_and_variables(studio: Studio) -> None:
    await studio.sign_in()
    marks = studio.page.locator(".graphiql-query-editor .squiggly-error")
    await expect(marks).to_have_count(0)
    await studio.write("{ nothing }")
    await expect(marks.first).to_be_visible()

    await studio.page.locator(".graphiql-editor-tool textarea").first.focus()
    await studio.page.keyboard.press("Control+a")
    await studio.page.keyboard.insert_text("{,}")
    mark = studio.page.locator(".graphiql-editor-tool .squiggly-error")
    await expect(mark.first).to_be_visible()


async def test_prettifying_formats_operation_and_variables(studio: Studio) -> None:
    await studio.sign_in()
    await studio.write("query Q($first:Int){deals(first:$first){name}}")
    await studio.page.locator(".graphiql-editor-tool textarea").first.focus()
    await studio.page.keyboard.press("Control+a")
    await studio.page.keyboard.press("Delete")
    await studio.page.keyboard.insert_text('{"first":1}')
    await studio.page.get_by_role("button", name="Prettify query").click()
    lines = studio.page.locator(".graphiql-query-editor .view-line")
    await expect(lines).to_have_count(6)
    variables = studio.page.locator(".graphiql-editor-tool .view-lines").first
    await expect(variables.locator(".view-line")).to_have_count(3)


async def test_switching_the_person_changes_who_asks(studio: Studio) -> None:
    await studio.sign_in()
    await studio.page.get_by_label("Person").select_option(label="Mia Moreau - Sales manager")
    await studio.page.get_by_role("button", name="Switch person").click()
    await expect(studio.page.locator(".bar .person")).to_contain_text("mia@acme.example")
    await studio.page.get_by_role("button", name="WhoAmI").click()
    await studio.page.get_by_role("button", name="Execute query").click()
    await expect(studio.answer).to_contain_text("mia@acme.example at acme")


async def test_settings_dialog_opens_within_the_content_policy(studio: Studio) -> None:
    await studio.sign_in()
    await studio.page.get_by_role("button", name="Open settings dialog").click()
    await studio.page.get_by_role("button", name="Dark", exact=True).click()
    await studio.picture("settings")
    await studio.page.keyboard.press("Escape")
    await expect(studio.page.get_by_role("dialog")).to_have_count(0)


async def test_refused_query_shows_its_code_and_hint(studio: Studio) -> None:
    await studio.sign_in()
    await studio.write("{ nothing }")
    await studio.page.keyboard.press("Control+Enter")
    await expect(studio.answer).to_contain_text("Cannot query field")
    await studio.picture("error")
    # The browser itself reports the refused request; that is what was asked for here.
    assert all("400" in complaint for complaint in studio.complaints)
    studio.complaints.clear()


PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "color_scheme": "dark"}


@pytest.mark.parametrize("studio", [PHONE], indirect=True, ids=["phone"])
async def test_phone_shows_query_and_answer_without_scrolling_sideways(studio: Studio) -> None:
    await studio.page.goto(f"{studio.url}/signin")
    await studio.picture("phone-signin")
    await studio.sign_in()
    await studio.page.get_by_role("button", name="Execute query").tap()
    await expect(studio.answer).to_contain_text("Expansion")
    await studio.picture("phone")
    for place in (".graphiql-query-editor", ".graphiql-response"):
        box = await studio.page.locator(place).bounding_box()
        assert box is not None
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390, place
        assert box["width"] > 280 and box["height"] > 120, (place, box)
    await studio.page.get_by_role("button", name="Show GraphiQL Explorer").tap()
    explorer = studio.page.locator(".graphiql-plugin")
    await expect(explorer).to_contain_text("deals")
    await studio.picture("phone-explorer")
    box = await explorer.bounding_box()
    assert box is not None and box["width"] > 320 and box["x"] + box["width"] <= 390, box
    await studio.page.get_by_role("button", name="Hide GraphiQL Explorer").tap()
    await studio.page.get_by_role("button", name="Execute query").tap()
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert await studio.page.evaluate(overflow) == 0
