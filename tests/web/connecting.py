"""The connect pages of a whole project, served over HTTP before the tests' own providers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
from joserfc.jwk import ECKey
from pydantic import SecretStr
from tests.connections.entered import PunchServer, StampServer
from tests.connections.office import CLIENT_ID, CLIENT_SECRET, Office
from tests.transport.loopback import serve

from firnline.app import App, opened
from firnline.clock import FixedClock
from firnline.connections import ClientCredentials
from firnline.settings import Settings
from firnline.state import ConnectionRow
from firnline.web.project import project_web
from firnline.web.server import address_of, create_server, open_socket

PROVIDERS = Path(__file__).resolve().parents[1] / "connections" / "providers"
ANN, BOB = "ann@north.test", "bob@north.test"
BRANDING = {"name": "Sales Pilot", "color": "#ffcc00", "support_url": "https://help.pilot.example/"}
PROJECT = """
version: 1
name: desk
objects:
  Thing: {{fields: {{id: {{type: id}}}}}}
access: {{}}
branding: {branding}
"""
SYSTEMS = """
connections:
  clips: {provider: paperclip, settings: {office: north}}
  staples: {provider: stapler, settings: {office: north}}
  erp: {provider: punch, settings: {office: north, company: SBO_NORTH}}
  calls: {provider: stamp, settings: {office: north}}
"""
TENANTS = {
    "acme": f"tenant: acme\nname: Acme & Sons\n{SYSTEMS}",
    "globex": f"tenant: globex\n{SYSTEMS}",
}


def form_of(page: str, action: str) -> dict[str, str]:
    """Return the hidden fields of the form that posts to `action`."""
    forms = re.findall(r"<form[^>]* action=\"([^\"]*)\".*?</form>", page, re.DOTALL)
    assert action in forms, (action, forms)
    found = re.search(rf'<form[^>]* action="{re.escape(action)}".*?</form>', page, re.DOTALL)
    assert found
    return {
        unescape(name): unescape(value)
        for name, value in re.findall(r'type="hidden" name="([^"]*)" value="([^"]*)"', found[0])
    }


@dataclass
class Visitor:
    """One browser: it keeps cookies and follows nothing by itself."""

    http: httpx2.AsyncClient
    url: str

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        return await self.http.get(path, headers=headers)

    async def open(self, link: str) -> httpx2.Response:
        """Open a link and the page that it leads to."""
        entered = await self.http.get(link)
        assert entered.status_code == 303, entered.text
        return await self.http.get(entered.headers["location"])

    async def press(self, page: httpx2.Response, action: str, **more: str) -> httpx2.Response:
        """Send one of a page's forms as a browser does."""
        return await self.post(action, form_of(page.text, action) | more)

    async def post(
        self, path: str, form: Mapping[str, str], **headers: str | None
    ) -> httpx2.Response:
        usual: dict[str, str | None] = {"origin": self.url, "sec-fetch-site": "same-origin"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {name: value for name, value in (usual | named).items() if value is not None}
        return await self.http.post(path, data=dict(form), headers=sent)

    async def start(self, name: str = "clips", tenant: str = "acme") -> str:
        """Press Connect and return the provider's address that it leads to."""
        page = await self.get(f"/connect/{tenant}")
        answer = await self.press(page, f"/connect/{tenant}/{name}/connect")
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])

    async def approve(self, address: str, email: str = ANN) -> str:
        """Sign in at the provider and return where it leads back to, which is not opened yet."""
        host = "north.paperclip.example"
        async with httpx2.AsyncClient(trust_env=False) as http:
            answer = await http.get(f"{address}&login_hint={email}", headers={"host": host})
        assert answer.status_code == 302, answer.text
        return str(answer.headers["location"])

    async def connect(self, name: str = "clips", tenant: str = "acme", email: str = ANN) -> Any:
        """Go through the whole sign-in, and return the answer to the confirmation."""
        page = await self.arrive(name, tenant, email)
        return await self.press(page, f"/connect/{tenant}/{name}/confirm")

    async def arrive(
        self, name: str = "clips", tenant: str = "acme", email: str = ANN
    ) -> httpx2.Response:
        """Come back from the provider, and return the page that asks for confirmation."""
        back = await self.get(await self.approve(await self.start(name, tenant), email))
        assert back.status_code == 303, back.text
        return await self.get(back.headers["location"])


@dataclass
class ConnectSite:
    """Everything behind the pages."""

    url: str
    app: App
    clock: FixedClock
    clips: Office
    punch: PunchServer
    stamp: StampServer
    stack: AsyncExitStack
    visitors: list[Visitor] = field(default_factory=list)

    def link(self, tenant: str = "acme", **options: Any) -> str:
        """Return a new link."""
        return self.app.make_connect_link(tenant, **options).url

    async def visitor(self, link: str | None = None) -> Visitor:
        """Return another browser, which has opened a link unless it is empty."""
        http = await self.stack.enter_async_context(
            httpx2.AsyncClient(base_url=self.url, trust_env=False)
        )
        visitor = Visitor(http, self.url)
        if link != "":
            await visitor.open(link or self.link())
        return visitor

    async def row(
        self, name: str = "clips", tenant: str = "acme", person: str = ""
    ) -> ConnectionRow | None:
        """Return what is stored of a connection."""
        return await self.app.state.connection(tenant, name, person)

    async def let_pass(self, **time: float) -> None:
        """Let time pass."""
        await self.clock.sleep(timedelta(**time).total_seconds())


def query_of(address: str) -> dict[str, str]:
    """Return the query of an address; no name comes twice."""
    found = parse_qs(urlsplit(address).query, strict_parsing=True)
    assert all(len(values) == 1 for values in found.values())
    return {name: values[0] for name, values in found.items()}


def write_project(directory: Path, branding: Mapping[str, str]) -> None:
    """Write a project with two tenants."""
    (directory / "tenants").mkdir(parents=True)
    (directory / "firnline.yaml").write_text(PROJECT.format(branding=dict(branding)))
    for name, text in TENANTS.items():
        (directory / "tenants" / f"{name}.yaml").write_text(text)


@asynccontextmanager
async def listening(app: App, bound: Any) -> AsyncIterator[None]:
    """Serve a project's web application at a bound socket."""
    async with project_web(app) as web:
        server = create_server(web, log_level="critical")
        serving = asyncio.create_task(server.serve(sockets=[bound]))
        try:
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.005)
            yield
        finally:
            server.should_exit = True
            server.force_exit = True
            await serving
            bound.close()


@asynccontextmanager
async def connect_site(
    folder: Path,
    *,
    branding: Mapping[str, str] = BRANDING,
    more_routes: Mapping[str, str] | None = None,
    **changes: Any,
) -> AsyncIterator[ConnectSite]:
    """Serve the pages of a project whose OAuth clients are registered; nothing is connected."""
    clock = FixedClock(datetime(2026, 11, 22, 12, 0, tzinfo=UTC))
    key = ECKey.generate_key("P-256", private=True)
    clips, staples = (Office(f"north.{name}.example", clock) for name in ("paperclip", "stapler"))
    staples.keys = {"key-ann": (key, ANN)}
    punch, stamp = PunchServer(clock), StampServer()
    if not (folder / "project").exists():
        write_project(folder / "project", branding)
    async with AsyncExitStack() as stack:
        routes = {
            f"https://{server.host}": await stack.enter_async_context(serve(server.app))
            for server in (clips, staples, punch, stamp)
        } | dict(more_routes or {})
        bound = open_socket("127.0.0.1", 0)
        url = address_of(bound)
        options = {"home": folder / "home", "routes": routes, "public_url": url} | changes
        app = await stack.enter_async_context(
            opened(folder / "project", Settings(**options), clock=clock)
        )
        secret = ClientCredentials(CLIENT_ID, client_secret=SecretStr(CLIENT_SECRET))
        await app.connections.clients.save(secret, provider="paperclip")
        pem = SecretStr(key.as_pem(private=True).decode())
        signing = ClientCredentials(
            CLIENT_ID, private_key_pem=pem, key_id="key-ann", algorithm="ES256"
        )
        await app.connections.clients.save(signing, provider="stapler")
        await stack.enter_async_context(listening(app, bound))
        visitors = await stack.enter_async_context(AsyncExitStack())
        yield ConnectSite(url, app, clock, clips, punch, stamp, visitors)
