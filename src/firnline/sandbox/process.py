"""Sandboxes in child processes, so that their work does not share this process's interpreter lock.

Takes a plan; gives a `SpawnedFleet`, which asks the children's control ports.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx2
import orjson

from firnline.errors import FirnlineError
from firnline.sandbox.faults import Fault
from firnline.sandbox.protocol import SandboxClient
from firnline.sandbox.server import UnknownSandboxError
from firnline.sandbox.serving import ServePlan, StateFileError

_READY_S = 120.0
_STOP_S = 10.0
_CONTROL_S = 60.0


class SandboxStartError(FirnlineError):
    """A sandbox process ended, or said nothing, before it was ready."""

    code = "sandbox_start"

    def __init__(self, tenants: Sequence[str], why: str, hint: str = "") -> None:
        super().__init__(
            f"the sandboxes of {', '.join(tenants)} did not start: {why}",
            hint=hint or "Run `firnline sandbox` by itself to see what is wrong.",
        )


class SandboxControlError(FirnlineError):
    """A sandbox's control port refused a call."""

    code = "sandbox_refused"


@dataclass(frozen=True, slots=True)
class SpawnedServer:
    """What the state file says about one sandbox."""

    provider: str
    tenant: str
    url: str
    base_url: str
    settings: Mapping[str, str]
    integration_email: str
    emails: tuple[str, ...]
    client: SandboxClient

    @classmethod
    def from_state(cls, facts: Mapping[str, Any]) -> SpawnedServer:
        """Return the server that a state file's entry describes."""
        known = {**facts, "emails": tuple(facts["emails"])}
        return cls(**{**known, "client": SandboxClient(**facts["client"])})


class SpawnedFleet:
    """Sandboxes that run in other processes, known from their state files."""

    def __init__(self, states: Sequence[Mapping[str, Any]], http: httpx2.AsyncClient) -> None:
        self._http = http
        self.routes: dict[str, str] = {}
        self.servers: dict[tuple[str, str], SpawnedServer] = {}
        self.people: dict[str, Mapping[str, str]] = {}
        self._controls: dict[str, tuple[str, str]] = {}
        for state in states:
            self._include(state)

    def _include(self, state: Mapping[str, Any]) -> None:
        self.routes |= state["routes"]
        self.people |= state["people"]
        control = (state["control"]["url"], state["control"]["key"])
        for facts in state["servers"]:
            server = SpawnedServer.from_state(facts)
            self.servers[server.provider, server.tenant] = server
            self._controls[server.tenant] = control

    @property
    def clients(self) -> Mapping[tuple[str, str], SandboxClient]:
        """Return the OAuth client of each (provider, tenant)."""
        return {key: server.client for key, server in self.servers.items()}

    def server(self, provider: str, tenant: str) -> SpawnedServer:
        """Return one server; raises UnknownSandboxError."""
        found = self.servers.get((provider, tenant))
        if found is None:
            raise UnknownSandboxError(provider, tenant, self.servers)
        return found

    async def counts(self) -> Mapping[str, Mapping[str, Mapping[str, int]]]:
        """Return the number of live records: tenant -> provider -> object -> count."""
        counts: dict[str, Mapping[str, Mapping[str, int]]] = {}
        for control in dict.fromkeys(self._controls.values()):
            counts |= await self._call("GET", control, "/counts", None)
        return counts

    async def token(self, provider: str, tenant: str, email: str) -> str:
        """Return a valid access token of that person."""
        answer = await self._post("/token", provider, tenant, email=email)
        return str(answer["token"])

    async def revoke(self, provider: str, tenant: str, email: str) -> None:
        """End every token of that person."""
        await self._post("/revoke", provider, tenant, email=email)

    async def change(
        self, provider: str, tenant: str, object_name: str, key: str, **fields: Any
    ) -> None:
        """Set fields of a record."""
        await self._post("/change", provider, tenant, object=object_name, key=key, fields=fields)

    async def delete(self, provider: str, tenant: str, object_name: str, key: str) -> None:
        """Delete a record."""
        await self._post("/delete", provider, tenant, object=object_name, key=key)

    async def add(self, provider: str, tenant: str, object_name: str, **fields: Any) -> str:
        """Create a record and return its key."""
        answer = await self._post("/add", provider, tenant, object=object_name, fields=fields)
        return str(answer["key"])

    async def disturb(self, provider: str, tenant: str, fault: Fault) -> None:
        """Serve `fault` from the next call on."""
        await self._post("/fault", provider, tenant, **asdict(fault))

    async def calm(self, provider: str, tenant: str) -> None:
        """Serve no fault any more."""
        await self._post("/clear", provider, tenant)

    async def _post(self, path: str, provider: str, tenant: str, /, **asked: Any) -> Any:
        self.server(provider, tenant)
        body = {"provider": provider, "tenant": tenant, **asked}
        return await self._call("POST", self._controls[tenant], path, body)

    async def _call(self, method: str, control: tuple[str, str], path: str, body: Any) -> Any:
        url, key = control
        answer = await self._http.request(
            method,
            url + path,
            content=None if body is None else orjson.dumps(body),
            headers={"Authorization": f"Bearer {key}"},
        )
        told = orjson.loads(answer.content)
        if answer.status_code != 200:
            raise SandboxControlError(told["error"]["message"], hint=told["error"].get("hint", ""))
        return told


def read_state(path: Path) -> Mapping[str, Any]:
    """Return the content of a state file; raises StateFileError."""
    try:
        state = orjson.loads(path.read_bytes())
    except OSError as error:
        raise StateFileError(path, f"cannot be read: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise StateFileError(path, "is not JSON") from error
    if not isinstance(state, dict) or "control" not in state:
        raise StateFileError(path, "was not written by a sandbox")
    return state


@contextlib.asynccontextmanager
async def attached(*state_files: Path) -> AsyncIterator[SpawnedFleet]:
    """Give the fleet that other processes serve, known by their state files."""
    states = [read_state(path) for path in state_files]
    async with httpx2.AsyncClient(timeout=_CONTROL_S, trust_env=False) as http:
        yield SpawnedFleet(states, http)


@contextlib.asynccontextmanager
async def spawned(plan: ServePlan, *, directory: Path) -> AsyncIterator[SpawnedFleet]:
    """Serve `plan` in one child process for each tenant while the context lasts.

    State files are written into `directory`; the plan's own is not used. Raises SandboxStartError.
    """
    plans = _one_per_tenant(plan, directory)
    async with contextlib.AsyncExitStack() as stack:
        # Started together: each builds its world on a core of its own.
        children = [await stack.enter_async_context(_child(part)) for part in plans]
        for child, part in zip(children, plans, strict=True):
            await _ready(child, part)
        states = [part.state_file for part in plans]
        try:
            yield await stack.enter_async_context(attached(*states))
        finally:
            for child in children:
                _ask_to_end(child)


def _one_per_tenant(plan: ServePlan, directory: Path) -> list[ServePlan]:
    directory.mkdir(parents=True, exist_ok=True)
    return [
        plan.model_copy(
            update={"tenants": (tenant,), "state_file": directory / f"sandbox-{tenant}.json"}
        )
        for tenant in plan.tenants
    ]


@contextlib.asynccontextmanager
async def _child(plan: ServePlan) -> AsyncIterator[asyncio.subprocess.Process]:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "firnline.sandbox",
        plan.model_dump_json(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        # The child's complaints would tear the progress bars of whoever started it.
        stderr=asyncio.subprocess.DEVNULL if not os.environ.get("FIRNLINE_DEBUG") else None,
        start_new_session=True,  # Ctrl-C is the starter's to handle, not sent to the child as well
    )
    try:
        yield child
    finally:
        await _stop(child)


async def _ready(child: asyncio.subprocess.Process, plan: ServePlan) -> None:
    assert child.stdout is not None
    try:
        line = await asyncio.wait_for(child.stdout.readline(), _READY_S)
    except TimeoutError:
        raise SandboxStartError(plan.tenants, f"not ready after {_READY_S:g} s") from None
    if not line:
        raise SandboxStartError(plan.tenants, "the process ended")
    told = orjson.loads(line)
    if "error" in told:
        refused = told["error"]
        raise SandboxStartError(plan.tenants, refused["message"], refused.get("hint", ""))


def _ask_to_end(child: asyncio.subprocess.Process) -> None:
    if child.stdin is not None:
        child.stdin.close()


async def _stop(child: asyncio.subprocess.Process) -> None:
    _ask_to_end(child)
    try:
        await asyncio.wait_for(child.wait(), _STOP_S)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
