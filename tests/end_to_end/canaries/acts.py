"""What people, admins, programs and failing providers do in the scene, one act after another.

Each act takes the scene; what is said and written on the way lies in its haystack afterwards.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
from tests.end_to_end.canaries.scene import (
    ADMIN,
    ANN,
    CLIENT_ID,
    OFFICE_CLIENT,
    OFFICE_SECRET,
    Browser,
    Scene,
    browsing,
)
from tests.end_to_end.canaries.scene import CLIENT_SECRET as AUTHORITY_SECRET
from tests.end_to_end.canaries.witness import echoing

from firnline.transport.routes import Routes

REP = "dana.whitfield@acme.example"
QUESTION = "{ accounts(first: 3) { nodes { id name deals { totalCount } } } }"
READ = ("Account", "Opportunity", "User", "UserRole")
SCOPES = ("connections:read", "connections:write", "connect-links:write")
STAMP = {"category": "INVALID_AUTHENTICATION", "message": "$ECHO"}
OAUTH_CLIENT = {"error": "invalid_client", "error_description": "$ECHO"}
# What can be looked at together, by whoever has a terminal.
LOOKS = (
    (
        ("query", "acme", QUESTION, "--as", REP, "--explain"),
        ("query", "acme", QUESTION, "--as", REP, "--explain", "--json"),
        ("connections", "list"),
        ("connections", "list", "north", "--json"),
        ("connections", "test", "acme", "--json"),
    ),
    (
        ("connections", "test", "north"),
        ("connections", "show", "north", "erp"),
        ("connections", "show", "north", "calls", "--json"),
        ("access", "explain", "--tenant", "acme", "--person", REP, "--object", "Account"),
        ("access", "rights", "--tenant", "acme", "--person", REP, "--json"),
    ),
    (
        ("connections", "refresh", "north", "clips"),
        ("connections", "refresh", "north", "erp", "--json"),
        ("connections", "revoke", "north", "bazaar", "--json"),
        ("audit", "list", "acme"),
        ("audit", "export", "acme"),
    ),
    (("vault", "rotate", "--json"), ("connections", "refresh", "north", "entry")),
    (("vault", "rotate", "--master"), ("connections", "refresh", "north", "tally")),
    (
        ("vault", "status"),
        ("vault", "status", "--json"),
        ("audit", "verify", "acme", "--json"),
        ("operations", "list", "--tenant", "acme", "--json"),
        ("keys", "revoke", "shop", "--json"),
    ),
)


# -- connecting on the command line ---------------------------------------------------------------


async def connect_by_commands(scene: Scene) -> None:
    """Connect by keys, passwords, certificates and in a browser; also with wrong ones."""
    entered = scene.entered
    password, key = scene.file("password", entered.password), scene.file("key", entered.api_key)
    access, wrong = (
        scene.file("access", entered.access_secret),
        scene.file("bad", entered.wrong_key),
    )
    secret = scene.file("secret", AUTHORITY_SECRET)
    office = scene.file("office", OFFICE_SECRET)
    pem = scene.file("client.pem", scene.client_key.as_pem(private=True).decode())
    person = scene.file("person.pem", scene.person_key.as_pem(private=True).decode())

    # What the provider refuses, and says back whole.
    scene.witnesses["stamp"].spoil("/me", echoing(401, STAMP), times=4)
    await scene.command("connect", "north", "calls", "--api-key-file", wrong)
    scene.witnesses["stamp"].spoilings.clear()
    refused = {"error": {"code": "301", "message": "$ECHO"}}
    scene.witnesses["punch"].spoil("Login", echoing(401, refused))
    erp = ("connect", "north", "erp", "--username", "manager", "--secret-file", password)
    await scene.command(*erp, "--json")
    client = ("--client-id", CLIENT_ID, "--client-secret-file", secret)
    scene.witnesses["tally"].spoil("token", echoing(400, OAUTH_CLIENT))
    await scene.command("connect", "north", "tally", *client)
    await scene.command("vault", "status", FIRNLINE_VAULT_KEY=entered.wrong_secret)
    await scene.command("connect", "north", "calls", "--api-key-file", "-", stdin=entered.password)
    await scene.command("vault", "status", FIRNLINE_DATABASE_URL=scene.database_url)
    await scene.command(
        "vault", "status", "--json", FIRNLINE_DATABASE_URL=f"odd:{scene.database_url}"
    )

    done = [
        await scene.command("connect", "north", "calls", "--api-key-file", key),
        await scene.command(*erp),
        await scene.command("connect", "north", "tally", *client, "--json"),
        await scene.command("connect", "north", "bazaar", *client),
        await scene.command(
            *("connect", "north", "callsBasic", "--username", "ACCESSKEY"),
            *("--secret-file", access),
        ),
        await scene.command(
            "connect", "north", "ledger", "--username", "manager", "--secret-file", password
        ),
        await scene.command(
            *("connect", "north", "entryMachine", "--client-id", CLIENT_ID),
            *("--key-file", pem, "--key-id", "q1w2e3r4t5", "--algorithm", "PS256"),
        ),
        await scene.command(
            *("connect", "north", "staples", "--client-id", OFFICE_CLIENT),
            *("--key-file", person, "--key-id", "key-ann", "--algorithm", "ES256"),
        ),
        await _by_certificate(scene, "acme", "netsuite", "netsuite"),
        await _by_certificate(scene, "north", "crm", "salesforce"),
        await _in_a_browser(scene, "acme", "salesforce", ADMIN),
        await _in_a_browser(scene, "acme", "zendesk", scene.sandboxes["zendesk"].integration_email),
        await _in_a_browser(
            scene,
            *("north", "clips", ANN),
            *("--client-id", OFFICE_CLIENT, "--client-secret-file", office),
        ),
        await _in_a_browser(scene, "north", "sprockets", ANN, *client),
        await _in_a_browser(scene, "north", "chimes", ANN, *client),
        await _in_a_browser(scene, "north", "entry", ANN, *client),
    ]
    failed = [said for said in done if said.code]
    assert not failed, [(said.name, said.out[-500:], said.err[-3000:]) for said in failed]


async def _by_certificate(scene: Scene, tenant: str, name: str, provider: str) -> Any:
    client = scene.sandboxes[provider].client
    pem = scene.file(f"{provider}.pem", client.private_key_pem)
    named = ["--client-id", client.client_id, "--key-file", pem]
    named += ["--key-id", client.key_id] if client.key_id else []
    named += ["--username", client.username] if client.username else []
    named += ["--algorithm", client.algorithm] if client.algorithm else []
    return await scene.command("connect", tenant, name, *named)


async def _in_a_browser(scene: Scene, tenant: str, name: str, email: str, *client: str) -> Any:
    """Connect as a person who opens the link that the command prints."""
    if not client:
        provider = "salesforce" if name == "salesforce" else "zendesk"
        own = scene.sandboxes[provider].client
        file = scene.file(f"{provider}.secret", own.client_secret)
        client = ("--client-id", own.client_id, "--client-secret-file", file)
    running = await scene.commands.start("connect", tenant, name, *client, "--no-browser")
    said = await running.until("code_challenge_method=S256")
    (url,) = re.findall(r"https?://\S+code_challenge\S*", said)[:1]
    await sign_in(scene, url, email)
    ended = await running.said()
    # It hands the link over to the person who opens it, the state in it.
    scene.hay.add(f"stdout {ended.name}", ended.out, allowed={"state"})
    scene.hay.add(f"stderr {ended.name}", ended.err, allowed={"state"})
    return ended


async def sign_in(scene: Scene, url: str, email: str) -> httpx2.Response:
    """Approve as a person, and open what that leads back to."""
    async with httpx2.AsyncClient(trust_env=False) as http:
        return await http.get(await approved(scene, url, email))


async def approved(scene: Scene, url: str, email: str) -> str:
    """Approve as a person; return where it leads back to."""
    origin = next((o for o, route in scene.routes.items() if url.startswith(route)), "")
    host = urlsplit(origin or url).netloc
    target = url if origin else Routes(scene.routes).target(url)
    async with httpx2.AsyncClient(trust_env=False) as http:
        answer = await http.get(
            httpx2.URL(target or url).copy_merge_params(
                {"login_hint": email, "sandbox_approve": "1"}
            ),
            headers={"host": host, "x-forwarded-proto": "https"},
        )
    assert answer.status_code == 302, answer.text
    return str(answer.headers["location"])


# -- everything else on the command line ----------------------------------------------------------


async def ask_by_commands(scene: Scene) -> None:
    """Sync, ask, look at everything, with and without JSON."""
    read = [part for name in READ for part in ("--object", name)]
    done = [await scene.command("sync", "acme", *read)]
    for together in LOOKS:
        done += await asyncio.gather(*(scene.command(*look) for look in together))
    failed = [said for said in done if said.code > 1]
    assert not failed, [(said.name, said.out[-500:], said.err[-2000:]) for said in failed]
    note_keys_in_home(scene)


async def make_keys(scene: Scene) -> str:
    """Make API keys and links, which are shown this once; return a key for the admin API."""
    scopes = [part for scope in SCOPES for part in ("--scope", scope)]
    made = ""
    for name, more in (("shop", ()), ("desk", ("--json",))):
        said = await scene.commands.run("keys", "create", name, *scopes, "--all-tenants", *more)
        assert said.code == 0, said
        (made,) = re.findall(r"fl_[\w.-]+", said.out)
        scene.books.note("Firnline key", made)
        scene.heard(said, allowed={"Firnline key"})
    for more in ((), ("--json",)):
        said = await scene.commands.run("connect", "link", "north", "--shared", *more)
        (link,) = re.findall(r"link=([\w.~-]+)", said.out)
        scene.books.note("connect link", link)
        scene.heard(said, allowed={"connect link"})
    await asyncio.gather(scene.command("keys", "list"), scene.command("keys", "list", "--json"))
    return made


def note_keys_in_home(scene: Scene) -> None:
    """Note the master keys, new ones too."""
    import base64

    for line in (scene.home / "vault.key").read_text().split():
        text = line.partition(" ")[0]
        scene.books.note("master key", text)
        scene.books.note("master key", base64.urlsafe_b64decode(text + "=="))


# -- over HTTP ------------------------------------------------------------------------------------


async def serve_in_production(scene: Scene, key: str) -> None:
    """Ask everything that is served, rightly and wrongly, until the server is killed."""
    async with scene.serving(FIRNLINE_JWT_KEYS=scene.public_keys()) as served:
        await _graph(scene)
        await _admin(scene, key)
        await _pages(scene, key)
        await _figures(scene)
        look_at_processes(scene, served.process.pid)
        # Killed in the middle of renewals.
        office = scene.offices["paperclip"]
        office.token_delay_s = 0.5
        async with browsing(scene, authorization=f"Bearer {key}") as admin:
            path = "/admin/v1/tenants/north/connections/clips/refresh"
            asking = asyncio.create_task(scene.tried(admin.ask("POST", path)))
            await asyncio.sleep(0.25)
            served.process.send_signal(signal.SIGKILL)
            await asking
        office.token_delay_s = 0.0
        await asyncio.sleep(0.3)
    look_at_files(scene, "killed")


async def _graph(scene: Scene) -> None:
    token = scene.token(REP)
    async with browsing(scene, authorization=f"Bearer {token}") as asks:
        answer = await asks.ask("POST", "/graphql", json={"query": QUESTION})
        assert answer.status_code == 200, answer.text
        explained = {"query": QUESTION, "extensions": {"explain": True}}
        await asks.ask("POST", "/graphql", json=explained)
        await asks.ask("POST", "/graphql", json={"query": "{ nosuch }"})
        await asks.ask("POST", "/graphql", content=b"{")
        await asks.ask("GET", f"/graphql?access_token={token}")
    bad = scene.token(REP, tenant="nosuch")
    for shown in (f"Bearer {bad}", f"Bearer {token[:-3]}AAA", f"Basic {token}"):
        async with browsing(scene, authorization=shown) as asks:
            await asks.ask("POST", "/graphql", json={"query": QUESTION})


async def _admin(scene: Scene, key: str) -> None:
    """Use the admin API while providers fail and say back what they were shown."""
    root = "/admin/v1/tenants/north/connections"
    async with browsing(scene, authorization=f"Bearer {key}") as admin:
        await admin.ask("GET", root)
        await admin.ask("GET", "/admin/v1/connection-events?limit=500")
        scene.witnesses["stamp"].spoil("/me", echoing(403, STAMP))
        await admin.ask("POST", f"{root}/calls/test")
        # A connector that stumbles over an answer: the server has no word for it but "internal".
        scene.witnesses["stamp"].spoil("/me", echoing(200, {"echo": "$ECHO"}))
        crashed = await admin.ask("POST", f"{root}/calls/test")
        assert crashed.status_code == 500, crashed.text
        scene.witnesses["sprocket"].spoil(
            "/oauth/v1/token", echoing(400, {"status": "ODD", "message": "$ECHO"})
        )
        await admin.ask("POST", f"{root}/sprockets/refresh")
        scene.witnesses["chime"].spoil("token", echoing(401, OAUTH_CLIENT))
        await admin.ask("POST", f"{root}/chimes/refresh")
        scene.witnesses["tally"].spoil("revoke", echoing(400, OAUTH_CLIENT))
        await admin.ask("POST", f"{root}/tally/revoke", json={"reason": "over"})
        await admin.ask("POST", f"{root}/entry/test")
        await admin.ask("POST", f"{root}/nosuch/test", json={"reason": 7})
        await admin.ask("GET", "/admin/v1/connection-events?limit=500")
    async with browsing(scene, authorization=f"Bearer {key[:-2]}zz") as stranger:
        await stranger.ask("GET", root)


async def _pages(scene: Scene, key: str) -> None:
    """Connect on the pages, and be refused there."""
    async with browsing(scene, authorization=f"Bearer {key}") as admin:
        path = "/admin/v1/tenants/north/connect-links"
        made = await admin.ask("POST", path, json={}, allowed={"connect link"})
        url = made.json()["url"]
        scene.books.note("connect link", dict(parse_qsl(urlsplit(url).query))["link"])
    async with browsing(scene, origin=f"http://127.0.0.1:{scene.port}") as browser:
        entered = await browser.ask("GET", url, allowed={"page session"})
        for cookie in browser.http.cookies.jar:
            scene.books.note("page session", cookie.value or "")
        assert entered.status_code == 303, entered.text
        await browser.ask("GET", url.replace("link=", "link=A"))
        await _sign_in_on_pages(scene, browser)
        await _enter_on_pages(scene, browser)


async def _sign_in_on_pages(scene: Scene, browser: Browser) -> None:
    for name in ("sprockets", "clips"):
        page = await browser.ask("GET", "/connect/north", allowed={"form ticket"})
        form = _form(scene, page, f"/connect/north/{name}/connect")
        start = await browser.ask(
            "POST", f"/connect/north/{name}/connect", data=form, allowed={"state"}
        )
        assert start.status_code == 303, start.text
        back = await approved(scene, start.headers["location"], ANN)
        if name == "clips":
            scene.witnesses["paperclip"].spoil(
                "token", echoing(400, {"error": "odd", "error_description": "$ECHO"})
            )
        arrived = await browser.ask("GET", back, allowed={"form ticket"})
        if name == "sprockets":
            assert arrived.status_code == 303, arrived.text
            page = await browser.ask("GET", arrived.headers["location"], allowed={"form ticket"})
            path = "/connect/north/sprockets/confirm"
            await browser.ask("POST", path, data=_form(scene, page, path))
        await browser.ask("GET", back)  # once more
    async with browsing(scene) as other:
        await other.ask("GET", back)


async def _enter_on_pages(scene: Scene, browser: Browser) -> None:
    path = "/connect/north/calls/enter"
    page = await browser.ask("GET", path, allowed={"form ticket"})
    form = _form(scene, page, path)
    scene.witnesses["stamp"].spoil("/me", echoing(401, STAMP), times=3)
    refused = form | {"api_key": scene.entered.wrong_key}
    shown = await browser.ask("POST", path, data=refused, allowed={"form ticket"})
    assert shown.status_code == 422, shown.text
    scene.witnesses["stamp"].spoilings.clear()
    taken = await browser.ask("POST", path, data=form | {"api_key": scene.entered.api_key})
    assert taken.status_code == 303, taken.text
    await browser.ask("POST", path, data={"ticket": "forged", "api_key": scene.entered.api_key})


def _form(scene: Scene, page: httpx2.Response, action: str) -> dict[str, str]:
    found = re.search(rf'<form[^>]* action="{re.escape(action)}".*?</form>', page.text, re.DOTALL)
    assert found, page.text
    hidden = re.findall(r'type="hidden" name="([^"]*)" value="([^"]*)"', found[0])
    form = {unescape(name): unescape(value) for name, value in hidden}
    for value in form.values():
        scene.books.note("form ticket", value)
    return form


async def _figures(scene: Scene) -> None:
    async with browsing(scene, authorization=f"Bearer {scene.entered.metrics_token}") as collector:
        figures = await collector.ask("GET", "/metrics")
        assert "firnline_provider_calls" in figures.text
        scene.hay.add("metrics", figures.content)
    async with browsing(scene, authorization=f"Bearer {scene.entered.wrong_secret}") as stranger:
        await stranger.ask("GET", "/metrics")


async def serve_in_development(scene: Scene) -> None:
    """Sign in as a developer, and stop the server as an operator does."""
    async with scene.serving(FIRNLINE_DEVELOPMENT="true") as served:
        origin = f"http://127.0.0.1:{scene.port}"
        async with browsing(scene, origin=origin) as browser:
            await browser.ask("GET", "/signin")
            form = {"tenant": "acme", "email": REP}
            await browser.ask("POST", "/signin", data=form, allowed={"sign-in session"})
            for cookie in browser.http.cookies.jar:
                scene.books.note("sign-in session", cookie.value or "")
            await browser.ask("GET", "/graphiql/acme")
            given = await browser.ask(
                *("POST", "/graphiql/acme/token"),
                headers={"x-firnline-graphiql": "1"},
                allowed={"person token"},
            )
            assert given.status_code == 200, given.text
            scene.books.note("person token", given.json()["token"])
            token = given.json()["token"]
        async with browsing(scene, authorization=f"Bearer {token}") as asks:
            await asks.ask("POST", "/graphql", json={"query": QUESTION})
            await asks.ask("GET", "/metrics")
        look_at_processes(scene, served.process.pid)
    said = await scene.commands.run(
        "token", "acme", "--as", REP, "--json", FIRNLINE_DEVELOPMENT="true"
    )
    scene.books.note("person token", re.findall(r"eyJ[\w.-]+", said.out)[0])
    scene.heard(said, allowed={"person token"})


# -- looking --------------------------------------------------------------------------------------


def look_at_processes(scene: Scene, pid: int) -> None:
    """Look at the command lines of a server and its children, and at what it hands to those."""
    own = _descendants(pid)
    for each in (pid, *own):
        scene.hay.add(f"cmdline {each}", Path(f"/proc/{each}/cmdline").read_bytes())
    for each in own:
        scene.hay.add(f"environ {each}", Path(f"/proc/{each}/environ").read_bytes())


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it ended meanwhile
            if parent == pid:
                found += [int(folder.name), *_descendants(int(folder.name))]
    return found


def look_at_files(scene: Scene, moment: str) -> None:
    """Look at every file under home, but those whose content is a key."""
    keys = {scene.home / "vault.key"}
    for path in sorted(scene.home.rglob("*")):
        if path.is_file() and path not in keys and path.parent != scene.home / "jwt":
            name = os.fspath(path.relative_to(scene.home))
            scene.hay.add(f"file {moment} {name}", path.read_bytes())
            scene.hay.add("filename", name)
