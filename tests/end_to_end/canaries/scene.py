"""Everything that the canaries live in: providers that issue them, a project, and its processes.

Takes a folder; gives a `Scene`, in which tests act, and whose books and haystack are searched.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Collection, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from joserfc.jwk import ECKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tests.connections.authorities import (
    CLIENT_ID,
    CLIENT_SECRET,
    THUMBPRINT,
    BazaarServer,
    ChimeServer,
    EntryServer,
    Server,
    SprocketServer,
    TallyServer,
)
from tests.connections.entered import BinderServer, PunchServer, StampServer
from tests.connections.office import CLIENT_ID as OFFICE_CLIENT
from tests.connections.office import CLIENT_SECRET as OFFICE_SECRET
from tests.connections.office import Office
from tests.end_to_end.canaries.commands import LOGGED, Nursery, Said
from tests.end_to_end.canaries.needles import Haystack
from tests.end_to_end.canaries.objects import told, variables
from tests.end_to_end.canaries.witness import Books, Witness
from tests.transport.loopback import serve

import firnline.demo
from firnline.clock import SystemClock
from firnline.connectors.registry import load_connector, load_sandbox_module
from firnline.sandbox.authority_keys import ClientKey
from firnline.sandbox.protocol import Sandbox, SandboxOptions
from firnline.sandbox.seed import company
from firnline.sandbox.server import vendor_origins
from firnline.settings import Settings, read_settings

PROVIDERS = Path(__file__).resolve().parents[2] / "connections" / "providers"
PROJECT = Path(firnline.demo.__file__).parent / "project"
ADMIN = "integration@acme.example"
ANN = "ann@north.test"
BROUGHT = ("state", "authorization code")
SANDBOXED = ("salesforce", "zendesk", "netsuite")
NORTH = """
tenant: north
name: North
connections:
  clips: {provider: paperclip, settings: {office: north}}
  staples: {provider: stapler, settings: {office: north}}
  erp: {provider: punch, settings: {office: north, company: SBO_NORTH}}
  ledger: {provider: binder, settings: {office: north}}
  calls: {provider: stamp, settings: {office: north}}
  callsBasic: {provider: stamp, settings: {office: north}, auth: basic}
  sprockets: {provider: sprocket}
  chimes: {provider: chime}
  bazaar: {provider: bazaar, settings: {instance: 123-abc-456}}
  entry: {provider: entry, settings: {org: north, directory: 0a1b2c3d}}
  entryMachine:
    provider: entry
    settings: {org: north, directory: 0a1b2c3d}
    auth: client_credentials
  tally: {provider: tally, settings: {username: robot@north}}
  crm: {provider: salesforce, settings: {domain: acme}, auth: jwt_bearer}
"""


def drawn(prefix: str = "") -> str:
    """Return a secret that nobody else has, with letters that texts escape."""
    return prefix + base64.urlsafe_b64encode(os.urandom(18)).decode()


@dataclass
class Entered:
    """What people and admins type in; each is drawn for this run alone."""

    password: str = field(default_factory=lambda: drawn('pä"ss {x}&%20 '))
    api_key: str = field(default_factory=lambda: drawn("pat-").replace("_", "-"))
    access_secret: str = field(default_factory=drawn)
    wrong_key: str = field(default_factory=lambda: drawn("pat-").replace("_", "-"))
    wrong_secret: str = field(default_factory=drawn)
    database_password: str = field(default_factory=drawn)
    metrics_token: str = field(default_factory=drawn)
    alerts_key: bytes = field(default_factory=lambda: os.urandom(32))

    @property
    def alerts_secret(self) -> str:
        """Return the form of Standard Webhooks."""
        return "whsec_" + base64.b64encode(self.alerts_key).decode()


class Listening(logging.Handler):
    """Keeps each log line of this process as it would be written, tracebacks included."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{self.format(record)} {record.args!r}")

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Listen to everything that this process logs."""
        root = logging.getLogger()
        level = root.level
        root.addHandler(self)
        root.setLevel(logging.DEBUG)
        try:
            yield
        finally:
            root.removeHandler(self)
            root.setLevel(level)


@dataclass
class Scene:
    """The whole world of one run."""

    folder: Path
    books: Books
    hay: Haystack
    entered: Entered
    witnesses: dict[str, Witness]
    sandboxes: dict[str, Sandbox]
    offices: dict[str, Office]
    routes: dict[str, str]
    client_key: RSAKey
    person_key: ECKey
    issuer_key: ECKey
    commands: Nursery
    log: Listening
    port: int
    alerts: list[bytes]
    errors: list[str] = field(default_factory=list)  # codes of what was raised or answered

    @property
    def home(self) -> Path:
        """Return FIRNLINE_HOME."""
        return self.folder / "home"

    @property
    def project(self) -> Path:
        """Return the project's directory."""
        return self.folder / "project"

    def file(self, name: str, content: str) -> str:
        """Write a file of an admin's, outside of home, and return its path."""
        path = self.folder / name
        path.write_text(content)
        return os.fspath(path)

    async def command(
        self,
        *arguments: str,
        stdin: str = "",
        allowed: Collection[str] = (),
        **environment: str,
    ) -> Said:
        """Run a command; all that it says is to be searched."""
        said = await self.commands.run(*arguments, stdin=stdin, **environment)
        self.heard(said, allowed=allowed)
        return said

    def heard(self, said: Said, *, allowed: Collection[str] = ()) -> None:
        """Put what a command said into the haystack."""
        self.hay.add(f"stdout {said.name}", said.out, allowed=allowed)
        self.hay.add(f"stderr {said.name}", said.err, allowed=allowed)

    async def tried(self, what: Awaitable[Any]) -> Any:
        """Await something that may fail; all that the error tells is to be searched."""
        try:
            return await what
        except Exception as error:  # noqa: BLE001 - each is looked at
            code = getattr(error, "code", type(error).__name__)
            self.errors.append(code)
            self.hay.add(f"exception {code}", told(error))
            # What an address brings arrives as text, in the variables of whoever takes it.
            self.hay.add(f"variables {code}", variables(error), allowed=BROUGHT)
            return None

    def token(self, email: str, tenant: str = "acme") -> str:
        """Return a bearer token that the project's issuer signed."""
        from joserfc import jwt

        now = int(datetime.now(UTC).timestamp())
        claims = {
            "iss": "firnline",
            "aud": "firnline",
            "sub": email,
            "tenant": tenant,
            "iat": now,
            "exp": now + 600,
            "jti": drawn(),
        }
        header = {"alg": "ES256", "kid": self.issuer_key.thumbprint()}
        signed = jwt.encode(header, claims, self.issuer_key, algorithms=["ES256"])
        self.books.note("person token", signed)
        return signed

    def settings(self) -> Settings:
        """Return the settings that the commands have, for this process."""
        with pytest.MonkeyPatch.context() as patched:
            for name in [each for each in os.environ if each.startswith("FIRNLINE_")]:
                patched.delenv(name)
            for name, value in self.commands.environment.items():
                if name.startswith("FIRNLINE_"):
                    patched.setenv(name, value)
            return read_settings()

    @property
    def database_url(self) -> str:
        """Return the address of a database that is not there."""
        return f"postgresql+asyncpg://rita:{self.entered.database_password}@127.0.0.1:1/gone"

    def public_keys(self) -> str:
        """Return what FIRNLINE_JWT_KEYS holds."""
        key = self.issuer_key.as_dict(private=False, kid=self.issuer_key.thumbprint())
        return json.dumps({"keys": [key]})

    @asynccontextmanager
    async def serving(self, **environment: str) -> AsyncIterator[Serving]:
        """Run `firnline serve` as a process of its own, started as people start it."""
        name = f"serve-{len(list(self.folder.glob('serve-*.out')))}"
        out, err = self.folder / f"{name}.out", self.folder / f"{name}.err"
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", LOGGED, "serve", "--port", str(self.port)),
                cwd=self.project,
                env={**self.commands.environment, **environment},
                stdout=stdout,
                stderr=stderr,
            )
        served = Serving(process, out, err)
        try:
            await served.until_ready(f"http://127.0.0.1:{self.port}")
            yield served
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
            self.hay.add(f"stdout {name}", out.read_bytes())
            self.hay.add(f"stderr {name}", err.read_bytes())


@dataclass
class Serving:
    """A server process."""

    process: asyncio.subprocess.Process
    out: Path
    err: Path

    async def until_ready(self, url: str) -> None:
        """Wait until it answers."""
        async with asyncio.timeout(60), httpx2.AsyncClient(trust_env=False) as http:
            while True:
                assert self.process.returncode is None, self.err.read_text()[-3000:]
                try:
                    if (await http.get(f"{url}/healthz")).status_code == 200:
                        return
                except httpx2.TransportError:
                    await asyncio.sleep(0.05)


@dataclass
class Browser:
    """Asks the served project; every answer is to be searched."""

    scene: Scene
    http: httpx2.AsyncClient

    async def ask(
        self, method: str, path: str, *, allowed: Collection[str] = (), **more: Any
    ) -> httpx2.Response:
        """Ask, and keep head and body of the answer."""
        answer = await self.http.request(method, path, **more)
        head = "\n".join(f"{name}: {value}" for name, value in answer.headers.multi_items())
        place = f"response {method} {path.partition('?')[0][:40]} {answer.status_code}"
        self.scene.hay.add(place, f"{head}\n\n".encode() + answer.content, allowed=allowed)
        return answer


@asynccontextmanager
async def browsing(scene: Scene, **headers: str) -> AsyncIterator[Browser]:
    """Open a browser, or a program with headers of its own."""
    url = f"http://127.0.0.1:{scene.port}"
    async with httpx2.AsyncClient(
        base_url=url, trust_env=False, headers=headers, timeout=30
    ) as http:
        yield Browser(scene, http)


@asynccontextmanager
async def staged(folder: Path) -> AsyncIterator[Scene]:
    """Serve the providers, write the project and open what commands are run with."""
    clock, entered, books = SystemClock(), Entered(), Books()
    alerts: list[bytes] = []
    client_key = RSAKey.generate_key(2048, private=True)
    person_key = ECKey.generate_key("P-256", private=True)
    offices = {name: Office(f"north.{name}.example", clock) for name in ("paperclip", "stapler")}
    offices["stapler"].keys = {"key-ann": (person_key, ANN)}
    sandboxes = _sandboxes()
    apps = _applications(offices, sandboxes, entered, client_key, clock, alerts)
    witnesses: dict[str, Witness] = {}
    log = Listening()
    async with AsyncExitStack() as stack:
        patched = stack.enter_context(pytest.MonkeyPatch.context())
        patched.setenv("FIRNLINE_CONNECTORS", os.fspath(PROVIDERS))
        routes: dict[str, str] = {}
        for name, (app, origins) in apps.items():
            witnesses[name] = Witness(app, books)
            url = await stack.enter_async_context(serve(witnesses[name]))
            routes |= dict.fromkeys(origins, url)
        _write_project(folder / "project")
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.fspath(folder),
            "FIRNLINE_HOME": os.fspath(folder / "home"),
            "FIRNLINE_ROUTES": json.dumps(routes),
            "FIRNLINE_CONNECTORS": os.fspath(PROVIDERS),
            "FIRNLINE_DUCKDB_THREADS": "1",
            "FIRNLINE_WARM_TENANTS_MAX": "0",
            "FIRNLINE_ALERTS_URL": "https://alerts.example/hook",
            "FIRNLINE_ALERTS_SECRET": entered.alerts_secret,
            "FIRNLINE_METRICS_TOKEN": entered.metrics_token,
            "FIRNLINE_PROVIDER_DEADLINE_S": "5",
            "PYTHONPATH": os.pathsep.join(each for each in sys.path if each),
            "COLUMNS": "200",
        }
        commands = Nursery(folder / "project", environment, folder / "outputs")
        await stack.enter_async_context(commands)
        scene = Scene(
            folder=folder,
            books=books,
            hay=Haystack(),
            entered=entered,
            witnesses=witnesses,
            sandboxes=sandboxes,
            offices=offices,
            routes=routes,
            client_key=client_key,
            person_key=person_key,
            issuer_key=ECKey.generate_key("P-256", private=True),
            commands=commands,
            log=log,
            port=_free_port(),
            alerts=alerts,
        )
        scene.commands.environment["FIRNLINE_PUBLIC_URL"] = f"http://127.0.0.1:{scene.port}"
        _note_entered(scene)
        yield scene


def _sandboxes() -> dict[str, Sandbox]:
    now = datetime.now(UTC).replace(microsecond=0)
    world = company("acme", scale=0.01, now=now)
    made = {}
    for provider in SANDBOXED:
        switches = {"jwt_users": [ADMIN]} if provider == "salesforce" else {}
        options = SandboxOptions(seed=world.seed, now=now, limits=False, switches=switches)
        made[provider] = load_sandbox_module(provider).create(world, options)
    return made


def _applications(
    offices: Mapping[str, Office],
    sandboxes: Mapping[str, Sandbox],
    entered: Entered,
    client_key: RSAKey,
    clock: SystemClock,
    alerts: list[bytes],
) -> dict[str, tuple[Any, Collection[str]]]:
    """Return each provider's application, and the origins that lead to it."""
    apps: dict[str, tuple[Any, Collection[str]]] = {
        name: (office.app, [f"https://{office.host}"]) for name, office in offices.items()
    }
    for provider, sandbox in sandboxes.items():
        origins = vendor_origins(load_connector(provider), sandbox.settings)
        login = ["https://login.salesforce.com"] if provider == "salesforce" else []
        apps[provider] = (sandbox.app, [*origins, *login])
    certificate = ClientKey(client_key, THUMBPRINT, "PS256", "x5t#S256")
    servers: dict[str, tuple[Server, tuple[str, ...]]] = {
        "sprocket": (SprocketServer(clock), ()),
        "chime": (ChimeServer(clock), ("api.chime.example", "app.chime.example")),
        "bazaar": (BazaarServer(clock), ()),
        "entry": (EntryServer(clock, keys=(certificate,)), ("login.entry.example",)),
        "tally": (TallyServer(clock), ()),
    }
    for name, (server, more) in servers.items():
        apps[name] = (server, [f"https://{host}" for host in (*server.hosts, *more)])
    punch, binder, stamp = PunchServer(clock), BinderServer(clock), StampServer()
    punch.password = entered.password
    binder.users = {"manager": entered.password}
    stamp.keys = {entered.api_key}
    pair = base64.b64encode(f"ACCESSKEY:{entered.access_secret}".encode()).decode()
    stamp.basic = {f"Basic {pair}"}
    for one, name in ((punch, "punch"), (binder, "binder"), (stamp, "stamp")):
        apps[name] = (one.app, [f"https://{one.host}"])
    apps["alerts"] = (_receiver(alerts), ["https://alerts.example"])
    return apps


def _receiver(alerts: list[bytes]) -> Starlette:
    async def taken(request: Request) -> Response:
        alerts.append(await request.body())
        return Response(status_code=204)

    return Starlette(routes=[Route("/hook", taken, methods=["POST"])])


def _write_project(project: Path) -> None:
    shutil.copytree(PROJECT, project)
    (project / "tenants" / "globex.yaml").unlink()
    (project / "tenants" / "north.yaml").write_text(NORTH)


def _note_entered(scene: Scene) -> None:
    note, entered = scene.books.note, scene.entered
    for password in (entered.password, entered.access_secret):
        note("password", password)
    for key in (entered.api_key, entered.wrong_key):
        note("API key", key)
    for secret in (OFFICE_SECRET, CLIENT_SECRET, entered.wrong_secret):
        note("client secret", secret)
    note("metrics token", entered.metrics_token)
    note("database password", entered.database_password)
    note("alerts secret", entered.alerts_key)
    note("alerts secret", entered.alerts_secret)
    keys = [scene.client_key, scene.person_key, scene.issuer_key]
    for key in keys:
        note("private key", key.as_pem(private=True))
    for sandbox in scene.sandboxes.values():
        if sandbox.client.private_key_pem:
            note("private key", sandbox.client.private_key_pem)
        if sandbox.client.client_secret:
            note("client secret", sandbox.client.client_secret)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


__all__ = [
    "ADMIN",
    "ANN",
    "CLIENT_ID",
    "CLIENT_SECRET",
    "OFFICE_CLIENT",
    "OFFICE_SECRET",
    "Browser",
    "Scene",
    "browsing",
    "staged",
]
