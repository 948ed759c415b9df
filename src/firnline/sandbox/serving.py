"""Serves a fleet for other processes: sandboxes, their control port, and the state file.

Takes a `ServePlan`; writes a state file that tells another process all it needs (routes, clients,
people, control port), readable by its owner only, because it holds client secrets.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator

from firnline.clock import Clock
from firnline.errors import FirnlineError
from firnline.sandbox.control import Control
from firnline.sandbox.protocol import SandboxOptions
from firnline.sandbox.seed import SCALE_MAX, company, demo_people
from firnline.sandbox.server import Fleet, SandboxServer, listening, running

LATENCY_MS_MAX = 60_000

TenantName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]


class ServePlan(BaseModel):
    """What to serve. Without `providers` every provider that has a sandbox is served."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tenants: Annotated[tuple[TenantName, ...], Field(min_length=1)]
    now: AwareDatetime
    providers: tuple[str, ...] | None = None
    seed: int = 7
    scale: Annotated[float, Field(gt=0, le=SCALE_MAX)] = 1.0
    latency_ms: tuple[int, int] = (0, 0)
    limits: bool = True
    token_lifetime_s: Annotated[int, Field(gt=0)] = 3_600
    switches: Mapping[str, Any] = Field(default_factory=dict)
    state_file: Path

    @field_validator("tenants", "providers")
    @classmethod
    def _each_once(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if names is None else tuple(dict.fromkeys(names))

    @model_validator(mode="after")
    def _latency_is_a_range(self) -> ServePlan:
        low, high = self.latency_ms
        if not 0 <= low <= high <= LATENCY_MS_MAX:
            raise ValueError(f"latency must be LOW-HIGH in ms, at most {LATENCY_MS_MAX}")
        return self


class StateFileError(FirnlineError):
    """The fleet's state file cannot be written or read."""

    code = "sandbox_state_file"
    exit_code = 2

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(
            f"the state file {path} {why}",
            hint="Name another with --state-file, in a directory that exists.",
        )


@dataclass(frozen=True, slots=True)
class ServedFleet:
    """A fleet with its control port."""

    fleet: Fleet
    control_url: str
    control_key: str


def write_owner_only(path: Path, content: bytes) -> None:
    """Write `content` to `path` at once, readable by the owner only; raises StateFileError."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(content)
        # A reader finds the old file, none or the whole new one, never a part.
        draft.replace(path)
    except OSError as error:
        raise StateFileError(path, f"cannot be written: {error.strerror}") from error


def _server_facts(server: SandboxServer) -> dict[str, Any]:
    sandbox = server.sandbox
    return {
        "provider": server.provider,
        "tenant": server.tenant,
        "url": server.url,
        "base_url": sandbox.base_url,
        "settings": dict(sandbox.settings),
        "integration_email": sandbox.integration_email,
        "emails": list(sandbox.emails()),
        "client": asdict(sandbox.client),
    }


def state(served: ServedFleet, plan: ServePlan) -> dict[str, Any]:
    """Return the content of the state file."""
    return {
        "pid": os.getpid(),
        "seed": plan.seed,
        "scale": plan.scale,
        "now": plan.now.isoformat(),
        "latency_ms": list(plan.latency_ms),
        "routes": dict(served.fleet.routes),
        "servers": [_server_facts(server) for server in served.fleet.servers.values()],
        "people": {tenant: dict(demo_people(tenant)) for tenant in plan.tenants},
        "control": {"url": served.control_url, "key": served.control_key},
    }


@contextlib.asynccontextmanager
async def served(plan: ServePlan, *, clock: Clock) -> AsyncIterator[ServedFleet]:
    """Serve what `plan` says while the context lasts; the state file exists meanwhile."""
    now: datetime = plan.now
    companies = [
        company(tenant, seed=plan.seed, scale=plan.scale, now=now) for tenant in plan.tenants
    ]
    options = SandboxOptions(
        seed=plan.seed,
        now=now,
        latency_ms=plan.latency_ms,
        limits=plan.limits,
        token_lifetime_s=plan.token_lifetime_s,
        switches=plan.switches,
    )
    async with contextlib.AsyncExitStack() as stack:
        fleet = await stack.enter_async_context(
            running(companies, providers=plan.providers, options=options, clock=clock)
        )
        key = secrets.token_urlsafe(32)
        control_url = await stack.enter_async_context(listening(Control(fleet, key).app()))
        ready = ServedFleet(fleet, control_url, key)
        write_owner_only(plan.state_file, orjson.dumps(state(ready, plan)))
        stack.callback(plan.state_file.unlink, missing_ok=True)
        yield ready
