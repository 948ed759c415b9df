"""The connect pages in a real browser, before the sandboxes' own sign-in and consent pages."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    async_playwright,
    expect,
)
from tests.connections.entered import PASSWORD, USER
from tests.end_to_end.node import installed
from tests.web.connecting import PROVIDERS, connect_site, listening
from tests.web.test_graphiql_browser import FLAGS

from firnline.app import App, opened
from firnline.clock import SystemClock
from firnline.sandbox.seed import DEMO_PEOPLE, company
from firnline.sandbox.server import Fleet, running
from firnline.sandbox.signin import credentials
from firnline.settings import Settings
from firnline.web.server import address_of, open_socket

pytestmark = pytest.mark.browser

DEMO = Path(__file__).resolve().parents[2] / "src" / "firnline" / "demo" / "project"
AXE = Path(__file__).parent / "axe"
HOSTILE = "Acme <img src=x onerror=alert(1)>"
LOGO = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40">
<rect width="40" height="40" rx="10" fill="#7a3ff2"/>
<path d="M10 27l8-14 5 8 3-4 5 10z" fill="#fff"/></svg>"""
BRANDING = """
branding:
  name: Sales Pilot
  color: "#7a3ff2"
  logo: logo.svg
  support_url: https://help.pilot.example/connecting
"""
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "color_scheme": "dark"}
# What the pages of every project promise to everybody who reads them.
SERIOUS = {"serious", "critical"}


@dataclass
class Desk:
    """A served project with its sandboxes, and the browser that stands before it."""

    url: str
    app: App
    fleet: Fleet
    browser: Browser
    axe: str
    complaints: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def link(self, **options: Any) -> str:
        return self.app.make_connect_link("acme", **options).url

    async def context(self, **options: Any) -> BrowserContext:
        """Return another browser session, all of whose complaints are kept."""
        context = await self.browser.new_context(
            **{"viewport": {"width": 1000, "height": 900}} | options
        )
        context.on("console", self._hear)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("request", self._see)
        return context

    async def page(self, **options: Any) -> Page:
        """Return a page that has opened a new link."""
        page = await (await self.context(**options)).new_page()
        await page.goto(self.link())
        return page

    def _hear(self, message: ConsoleMessage) -> None:
        is_ours = message.location["url"].startswith(self.url)  # sandboxes have no icon
        if is_ours and message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def _see(self, sent: Request) -> None:
        known = (self.url, *self.fleet.routes.values())
        if not sent.url.startswith(known):
            self.foreign.append(sent.url)

    async def check(self, page: Page, name: str = "") -> None:
        """Hold the page against axe's rules, and keep a picture of it where one is wanted."""
        await page.evaluate(self.axe)
        found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        wrong = [
            f"{each['id']}: {each['help']} ({each['nodes'][0]['html']})"
            for each in found["violations"]
            if each["impact"] in SERIOUS
        ]
        assert not wrong, wrong
        assert len(found["passes"]) > 10
        if name and (folder := os.environ.get("FIRNLINE_PICTURES")):
            await page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)

    async def row(self, name: str, person: str = "") -> Any:
        return await self.app.state.connection("acme", name, person)


@asynccontextmanager
async def standing(folder: Path) -> AsyncIterator[tuple[str, App, Fleet]]:
    """Serve the demo's project with a look of its own; its OAuth clients are registered."""
    shutil.copytree(DEMO, folder / "project")
    (folder / "project" / "logo.svg").write_text(LOGO)
    with (folder / "project" / "firnline.yaml").open("a") as file:
        file.write(BRANDING)
    clock = SystemClock()
    told = company("acme", scale=0.01, now=clock.now().replace(microsecond=0))
    async with AsyncExitStack() as stack:
        fleet = await stack.enter_async_context(running([told]))
        bound = open_socket("127.0.0.1", 0)
        url = address_of(bound)
        settings = Settings(home=folder / "home", routes=dict(fleet.routes), public_url=url)
        app = await stack.enter_async_context(opened(folder / "project", settings, clock=clock))
        for (provider, tenant), client in fleet.clients.items():
            await app.connections.clients.save(
                credentials(client), provider=provider, tenant=tenant
            )
        await stack.enter_async_context(listening(app, bound))
        yield url, app, fleet


@pytest.fixture
async def desk(tmp_path: Path, chromium: str) -> AsyncIterator[Desk]:
    axe = (installed(AXE) / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8")
    async with standing(tmp_path) as (url, app, fleet), async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        desk = Desk(url, app, fleet, browser, axe)
        yield desk
        await browser.close()
    assert desk.complaints == []
    assert desk.foreign == []


async def test_admin_connects_two_systems_through_their_consent_pages(desk: Desk) -> None:
    page = await desk.page()
    assert page.url == f"{desk.url}/connect/acme"
    await expect(page.get_by_role("heading", level=1)).to_contain_text("Connect the systems of")
    await expect(page.get_by_role("listitem")).to_have_count(3)
    await desk.check(page, "connect-start")

    email = desk.fleet.sandbox("salesforce", "acme").integration_email
    await page.get_by_role("button", name="Connect Salesforce").click()
    await expect(page).to_have_title("Salesforce sandbox sign-in")
    await page.get_by_role("button", name=f"({email})").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Is this the right account?")
    await expect(page.get_by_role("main")).to_contain_text("Salesforce")
    await desk.check(page, "connect-confirm")
    assert (await desk.row("salesforce")).state == "pending"
    await page.get_by_role("button", name="Yes, connect it").click()
    await expect(page.get_by_role("status")).to_have_text("Salesforce is connected.")
    assert (await desk.row("salesforce")).state == "active"

    await page.get_by_role("button", name="Connect Zendesk").click()
    await expect(page).to_have_title("Sign in to Zendesk (sandbox)")
    await page.get_by_role("button", name="(admin)").first.click()
    await page.get_by_role("button", name="Yes, connect it").click()
    await expect(page.get_by_role("status")).to_have_text("Zendesk Support is connected.")
    await page.get_by_role("button", name="Connect NetSuite").click()
    await page.get_by_role("button", name="Yes, connect it").click()
    await expect(page.get_by_role("status")).to_have_text("NetSuite is connected.")
    await expect(page.locator(".state.good")).to_have_count(3)
    await desk.check(page, "connect")

    for name in ("salesforce", "zendesk", "netsuite"):
        assert await desk.app.connections.test(desk.app.tenant("acme"), name)
    await page.get_by_role("link", name="Refresh").click()
    assert page.url == f"{desk.url}/connect/acme"


async def test_person_who_says_no_comes_back_and_may_say_yes(desk: Desk) -> None:
    page = await desk.page()
    await page.get_by_role("button", name="Connect Zendesk").click()
    await page.get_by_role("button", name="Deny").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(
        "Zendesk Support was not connected"
    )
    await desk.check(page, "connect-refused")
    await page.get_by_role("link", name="Back to the list").click()
    await page.get_by_role("button", name="Connect Zendesk").click()
    await page.get_by_role("button", name="(admin)").first.click()
    await page.get_by_role("button", name="No, cancel").click()
    await expect(page.get_by_role("status")).to_contain_text("not the right account")
    await expect(page.get_by_role("button", name="Connect Zendesk")).to_be_visible()


async def test_keyboard_alone_connects_and_disconnects(desk: Desk) -> None:
    page = await desk.page()

    async def reach(name: str) -> None:
        """Go on with the Tab key until what is called so has the focus, which can be seen."""
        for _ in range(40):
            await page.keyboard.press("Tab")
            here = page.locator(":focus")
            told = " ".join((await here.text_content() or "").split()) if await here.count() else ""
            if re.search(name, told):
                outline = await here.evaluate("each => getComputedStyle(each).outlineStyle")
                assert outline != "none"
                return
        raise AssertionError(f"the Tab key never reaches {name}")

    await reach("Connect Salesforce")
    await page.keyboard.press("Enter")
    await expect(page).to_have_title("Salesforce sandbox sign-in")
    await reach(DEMO_PEOPLE["acme"]["rep"])
    await page.keyboard.press("Space")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Is this the right account?")
    await reach("Yes, connect it")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("status")).to_have_text("Salesforce is connected.")
    await reach("Disconnect Salesforce")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Disconnect Salesforce?")
    await desk.check(page, "connect-disconnect")
    await reach("^Disconnect$")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("status")).to_have_text("Salesforce is disconnected.")


async def test_names_from_elsewhere_are_shown_as_text(desk: Desk) -> None:
    sandbox: Any = desk.fleet.sandbox("zendesk", "acme")
    email = sandbox.integration_email
    users = sandbox.store.table("users").rows
    key = next(key for key, row in users.items() if row["email"] == email)
    users[key]["name"] = HOSTILE
    page = await desk.page()
    await page.get_by_role("button", name="Connect Zendesk").click()
    await page.get_by_role("button", name=HOSTILE).click()
    await expect(page.get_by_role("main")).to_contain_text(HOSTILE)
    await page.get_by_role("button", name="Yes, connect it").click()
    await expect(page.get_by_role("main")).to_contain_text(HOSTILE)
    assert await page.locator("main img").count() == 0
    await desk.check(page)


async def test_phone_shows_everything_without_scrolling_sideways(desk: Desk) -> None:
    page = await desk.page(**PHONE)
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert await page.evaluate(overflow) == 0
    await desk.check(page, "connect-phone")
    await page.get_by_role("button", name="Connect Salesforce").tap()
    await page.get_by_role("button", name=DEMO_PEOPLE["acme"]["rep"]).tap()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Is this the right account?")
    assert await page.evaluate(overflow) == 0
    await desk.check(page, "connect-phone-confirm")
    await page.get_by_role("button", name="Yes, connect it").tap()
    await expect(page.get_by_role("status")).to_have_text("Salesforce is connected.")
    for button in await page.locator("main button, main .button").all():
        box = await button.bounding_box()
        assert box and box["height"] >= 24 and box["x"] >= 0 and box["x"] + box["width"] <= 390
    await desk.check(page)


async def test_second_browser_cannot_use_the_link_or_finish_the_sign_in(desk: Desk) -> None:
    link = desk.link()
    first = await (await desk.context()).new_page()
    await first.goto(link)
    second = await (await desk.context()).new_page()
    await second.goto(link)
    await expect(second.get_by_role("main")).to_contain_text("already opened in another browser")
    await desk.check(second, "connect-trouble")

    held: list[str] = []

    async def hold(route: Any) -> None:
        answer = await route.fetch(max_redirects=0)
        held.append(answer.headers["location"])
        await route.fulfill(body="held", content_type="text/plain")

    await first.get_by_role("button", name="Connect Salesforce").click()
    await first.route("**/services/oauth2/authorize?**", hold)
    await first.get_by_role("button", name=DEMO_PEOPLE["acme"]["rep"]).click()
    await expect(first.locator("body")).to_have_text("held")
    await second.goto(desk.link())
    await second.goto(held[0])
    await expect(second.get_by_role("main")).to_contain_text("started in another browser")
    await first.goto(held[0])
    await first.get_by_role("button", name="Yes, connect it").click()
    await expect(first.get_by_role("status")).to_have_text("Salesforce is connected.")
    # The browser itself reports answers of 403, which is what was asked for here.
    assert all("403" in complaint for complaint in desk.complaints)
    desk.complaints.clear()


async def test_form_for_secrets_has_labels_and_shows_nothing_again(
    tmp_path: Path, chromium: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRNLINE_CONNECTORS", str(PROVIDERS))
    axe = (installed(AXE) / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8")
    async with connect_site(tmp_path) as site, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        desk = Desk(site.url, site.app, Fleet({}), browser, axe)
        page = await desk.page(**PHONE)
        await page.get_by_role("link", name="Connect Punch").tap()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Connect Punch")
        await desk.check(page, "connect-enter")
        await page.get_by_label("User name").fill(USER)
        await page.get_by_label("Password").fill("canary-wrong")
        await page.get_by_role("button", name="Connect").tap()
        await expect(page.get_by_role("alert")).to_contain_text("does not take what was entered")
        await expect(page.get_by_label("User name")).to_have_value("")
        await expect(page.get_by_label("Password")).to_have_value("")
        await desk.check(page, "connect-enter-refused")
        await page.get_by_label("User name").fill(USER)
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Connect").tap()
        await page.get_by_role("button", name="Yes, connect it").tap()
        await expect(page.get_by_role("status")).to_have_text("Punch is connected.")
        assert "canary" not in await page.content()
        await desk.check(page, "connect-many")
        await browser.close()
    assert all("422" in complaint for complaint in desk.complaints)
    assert desk.foreign == []


async def test_another_account_than_before_is_warned_of(desk: Desk) -> None:
    page = await desk.page()
    await page.get_by_role("button", name="Connect Salesforce").click()
    await page.get_by_role("button", name=DEMO_PEOPLE["acme"]["rep"]).click()
    await page.get_by_role("button", name="Yes, connect it").click()
    await expect(page.get_by_role("status")).to_have_text("Salesforce is connected.")
    row = await desk.row("salesforce")
    await desk.app.state.save_connection(replace(row, account="other", account_name=HOSTILE))
    await page.get_by_role("button", name="Reconnect Salesforce").click()
    await page.get_by_role("button", name=DEMO_PEOPLE["acme"]["rep"]).click()
    await expect(page.get_by_role("alert")).to_contain_text("another account than before")
    await expect(page.get_by_role("alert")).to_contain_text(HOSTILE)
    await desk.check(page, "connect-other-account")


async def test_pages_work_where_scripts_do_not_run(desk: Desk) -> None:
    page = await desk.page(java_script_enabled=False)
    await page.get_by_role("button", name="Connect Salesforce").click()
    await page.get_by_role("button", name=DEMO_PEOPLE["acme"]["rep"]).click()
    await page.get_by_role("button", name="Yes, connect it").click()
    await expect(page.get_by_role("status")).to_have_text("Salesforce is connected.")
