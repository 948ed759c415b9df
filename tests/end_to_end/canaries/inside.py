"""The same project opened in this process: faults, the errors that they raise, and live objects."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from pydantic import SecretStr
from tests.end_to_end.canaries.acts import STAMP
from tests.end_to_end.canaries.objects import reachable, shown
from tests.end_to_end.canaries.scene import ANN, CLIENT_ID, Scene
from tests.end_to_end.canaries.scene import CLIENT_SECRET as AUTHORITY_SECRET
from tests.end_to_end.canaries.witness import Spoil, echoing, garbled, leading, lost

from firnline.app import App, opened
from firnline.connections import ClientCredentials
from firnline.connectors.protocol import Request
from firnline.sandbox.signin import approved
from firnline.settings import Settings
from firnline.spec.model import TenantSpec

CALLBACK = "http://127.0.0.1:1/callback"
# How each provider says no, with what it was shown.
SHAPES: dict[str, tuple[str, str, Any]] = {
    "clips": ("paperclip", "/me", {"error": "$ECHO"}),
    "staples": ("stapler", "/me", {"error": "$ECHO"}),
    "erp": ("punch", "/Me", {"error": {"code": "-1", "message": "$ECHO"}}),
    "ledger": ("binder", "/Me", {"error": {"code": "X", "message": {"value": "$ECHO"}}}),
    "callsBasic": ("stamp", "/me", STAMP),
    "sprockets": ("sprocket", "/me", {"category": "ODD", "message": "$ECHO"}),
    "chimes": ("chime", "/me", {"errors": ["$ECHO"]}),
    "entry": ("entry", "/me", {"error": "$ECHO"}),
}
ACME_SHAPES: dict[str, tuple[str, str, Any]] = {
    "salesforce": ("salesforce", "/services/", [{"errorCode": "ODD", "message": "$ECHO"}]),
    "zendesk": ("zendesk", "/api/", {"error": "Odd", "description": "$ECHO"}),
    "netsuite": (
        "netsuite",
        "/services/rest",
        {"title": "$ECHO", "status": 400, "o:errorDetails": [{"detail": "$ECHO"}]},
    ),
}
REFUSED = {"error": "odd", "error_description": "$ECHO", "message": "$ECHO"}
# The connection, its provider, and a part of its token endpoint's path.
RENEWED = {
    "clips": ("paperclip", "/oauth/token"),
    "staples": ("stapler", "/oauth/token"),
    "sprockets": ("sprocket", "/oauth/v1/token"),
    "entry": ("entry", "/token"),
    "entryMachine": ("entry", "/token"),
    "crm": ("salesforce", "/oauth2/token"),
}


async def act_inside(scene: Scene) -> None:
    """Open the project here, let everything fail, and look at what can be reached."""
    settings = scene.settings()
    scene.hay.add("repr of settings", shown(settings))
    elsewhere = settings.model_copy(update={"database_url": SecretStr(scene.database_url)})
    scene.hay.add("repr of settings", shown(elsewhere))
    with scene.log.attached():
        await _act(scene, settings)
    for line in scene.log.lines:
        scene.hay.add("log", line)


async def _act(scene: Scene, settings: Settings) -> None:
    async with opened(scene.project, settings) as app:
        north, acme = app.tenant("north"), app.tenant("acme")
        await asyncio.gather(
            *(_refuse(scene, app, north, name, *how) for name, how in SHAPES.items()),
            *(_refuse(scene, app, acme, name, *how) for name, how in ACME_SHAPES.items()),
        )
        for name, (provider, path) in RENEWED.items():
            await _fail_to_renew(scene, app, north, name, provider, path)
        await _write_with_csrf(scene, app, north)
        await _misuse(scene, app, north)
        async with app.serving():
            await _revoke(scene, app, north)
            async with asyncio.timeout(20):
                while not scene.alerts:  # noqa: ASYNC110 - the receiver tells nobody
                    await asyncio.sleep(0.05)
        await _note_own_keys(scene, app)
        await look_at_records(scene, app)
        await _look_at_objects(scene, app)


async def _refuse(
    scene: Scene, app: App, spec: TenantSpec, name: str, provider: str, path: str, shape: Any
) -> None:
    witness = scene.witnesses[provider]
    test = app.connections.test
    for status in (400, 403):
        witness.spoil(path, echoing(status, shape))
        await scene.tried(test(spec, name))
    spoils: list[Spoil] = [
        echoing(500, shape),
        echoing(503, "<html>$ECHO</html>", content_type="text/html"),
        echoing(200, "$ECHO", content_type="text/plain"),
        leading(302, "https://elsewhere.example/?token="),
    ]
    for spoil in spoils:
        witness.spoil(path, spoil, times=1)
        channel = await app.connections.channel(spec.tenant, spec, name)
        # Not repeatable: the first failure is the last.
        await scene.tried(channel.send(Request("POST", _probe(path), repeatable=False)))
        witness.spoilings.clear()


def _probe(path: str) -> str:
    return f"{path.rstrip('/')}/probe"


async def _fail_to_renew(
    scene: Scene, app: App, spec: TenantSpec, name: str, provider: str, path: str
) -> None:
    witness = scene.witnesses[provider]
    invalid = {"error": "invalid_grant", "error_description": "$ECHO", "status": "$ECHO"}
    client = {"error": "invalid_client", "error_description": "$ECHO"}
    spoils: list[tuple[Spoil, bool]] = [
        (echoing(400, REFUSED), False),
        (echoing(200, REFUSED), False),
        (echoing(200, "callback($ECHO)", content_type="text/javascript"), False),
        (echoing(401, client), False),
        (leading(302, f"https://elsewhere.example{path}?token="), False),
        (garbled, True),
        (lost, True),
        (echoing(400, invalid), False),
    ]
    for spoil, is_done in spoils:
        witness.spoil(path, spoil, times=1, is_done=is_done)
        await scene.tried(app.connections.refresh(spec, name))
        witness.spoilings.clear()


async def _write_with_csrf(scene: Scene, app: App, spec: TenantSpec) -> None:
    channel = await app.connections.channel("north", spec, "ledger")
    write = Request("POST", "/sap/opu/odata/sap/API_BINDER/Orders", json={"a": 1}, repeatable=False)
    assert (await channel.send(write)).status == 201
    shape = {"error": {"code": "X", "message": {"value": "$ECHO"}}}
    scene.witnesses["binder"].spoil("/Orders", echoing(400, shape))
    await scene.tried(channel.send(write))
    scene.hay.add("repr of a channel", shown(channel))


async def _misuse(scene: Scene, app: App, spec: TenantSpec) -> None:
    connections = app.connections
    start = await connections.start_authorization(spec, "chimes", redirect_uri=CALLBACK)
    scene.hay.add("repr of a sign-in", shown(start))
    import httpx2

    async with httpx2.AsyncClient(trust_env=False) as http:
        back = await approved(http, start.url, ANN, routes=connections.transport.routes)
    finish = connections.finish_authorization
    await scene.tried(finish(back["state"], back["code"], browser="another"))
    scene.witnesses["chime"].spoil("token", echoing(400, {"errors": ["$ECHO"]}))
    await scene.tried(finish(back["state"], back["code"]))
    await scene.tried(finish(back["state"], back["code"]))
    await scene.tried(finish(back["state"][:-1], back["code"]))
    entered = {"api_key": SecretStr(scene.entered.wrong_key), "password": SecretStr("x")}
    await scene.tried(connections.connect_with_secrets(spec, "calls", entered))
    wrong = {"username": SecretStr("ACCESSKEY"), "password": SecretStr(scene.entered.wrong_secret)}
    scene.witnesses["stamp"].spoil("/me", echoing(401, STAMP), times=3)
    await scene.tried(connections.connect_with_secrets(spec, "callsBasic", wrong))
    scene.witnesses["stamp"].spoilings.clear()
    secret = SecretStr(AUTHORITY_SECRET)
    client = ClientCredentials(CLIENT_ID, client_secret=secret, private_key_pem=secret)
    scene.hay.add("repr of a client", shown(client))
    given = connections.channel_with_token(
        "north", spec, "sprockets", SecretStr(scene.entered.wrong_secret)
    )
    await scene.tried(given.send(Request.get("/me")))


async def _revoke(scene: Scene, app: App, spec: TenantSpec) -> None:
    for name, provider, path in (
        ("sprockets", "sprocket", "refresh-tokens"),
        ("chimes", "chime", "revoke"),
        ("entry", "entry", "revoke"),
        ("erp", "punch", "Logout"),
    ):
        shape = {"error": {"code": "odd", "message": "$ECHO"}, "message": "$ECHO"}
        scene.witnesses[provider].spoil(path, echoing(503, shape), times=9)
        await scene.tried(app.connections.revoke(spec, name, reason="the contract ended"))
        scene.witnesses[provider].spoilings.clear()


async def _note_own_keys(scene: Scene, app: App) -> None:
    keys = app.connections.vault.keys
    for master in keys.keyring.keys:
        scene.books.note("master key", master.secret.get_secret_value())
    installation = await keys.installation()
    assert installation is not None
    scene.books.note("installation secret", installation.get_secret_value())
    for tenant in ("acme", "north", "*"):
        scene.books.note("data key", (await keys.newest(tenant)).secret.get_secret_value())
    for label in (b"audit", b"connect links", b"cursors"):
        scene.books.note("derived key", app.connections.vault.derive(label))


async def look_at_records(scene: Scene, app: App) -> None:
    """Look at what is kept of connections and calls, as whoever reads it gets it."""
    for tenant in ("acme", "north"):
        spec = app.tenant(tenant)
        for status in await app.connections.statuses(spec):
            scene.hay.add("status", shown(status))
        for row in await app.state.connections(tenant):
            scene.hay.add("row", shown(row))
        for name in spec.connections:
            for record in app.connections.transport.calls.of(tenant, name):  # type: ignore[attr-defined]
                scene.hay.add("call", shown(record))
    for event in await app.connections.events(limit=500):
        scene.hay.add("event", shown(event))


async def _look_at_objects(scene: Scene, app: App) -> None:
    spec = app.tenant("north")
    channels = [
        await app.connections.channel("north", spec, name) for name in ("ledger", "callsBasic")
    ]
    rows = await app.state.connections("north")
    for found in reachable(app, *channels, *rows, logging.getLogger("firnline")):
        scene.hay.add(f"object {type(found).__qualname__}", shown(found))
