"""Other processes for the tests of rotation: one that seals and opens, one that kills itself.

python rotating.py serve HOME       until its input ends; prints what it did as JSON
python rotating.py rotate HOME data|master STEP      killed with SIGKILL before its step STEP
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from firnline.clock import FixedClock, SystemClock
from firnline.connections.sealing import keyring as keyrings
from firnline.connections.sealing import rotation as rotations
from firnline.connections.sealing.rotation import Rotation
from firnline.connections.sealing.vault import Vault
from firnline.settings import Settings
from firnline.state import ConnectionRow, StaleRowError, State
from firnline.state.keys import DataKeyStore
from firnline.state.sealed import SealedStore

TENANTS_MAX = 12


def step_by_step(step: Callable[[], None], patched: Callable[[Any, str, Any], None]) -> None:
    """Call `step` before whatever a rotation writes, and after it where that is a file."""

    def stored(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        async def call(*args: Any, **named: Any) -> Any:
            step()
            return await original(*args, **named)

        patched(owner, name, call)

    def written(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def call(*args: Any, **named: Any) -> Any:
            step()
            found = original(*args, **named)
            step()
            return found

        patched(owner, name, call)

    for name in ("add", "rewrap", "remove_idle"):
        stored(DataKeyStore, name)
    stored(SealedStore, "replace")
    written(rotations, "with_newest_alone")
    for name in ("_draft", "_sync_directory"):
        written(keyrings, name)


async def rotate(settings: Settings, what: str, last: int) -> None:
    """Rotate with a clock that does not wait, and end before step `last`."""
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1
        if steps == last:
            os.kill(os.getpid(), signal.SIGKILL)

    state = await State.open(settings)
    clock = FixedClock(SystemClock().now())
    vault = await Vault.open(settings, state=state, clock=clock)
    step_by_step(step, setattr)
    rotation = Rotation(vault, state.sealed, clock=clock)
    await (rotation.of_master_key() if what == "master" else rotation.of_data_keys())
    await state.close()


async def serve(settings: Settings) -> None:
    """Renew tokens of some tenants as a server does, until there is no more input."""
    state = await State.open(settings)
    vault = await Vault.open(settings, state=state)
    derived = vault.derive(b"audit")
    stored: dict[str, int] = {}
    conflicts = 0
    asked = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    print("ready", flush=True)
    number = 0
    while not asked.done():
        number += 1
        tenant = f"tenant-{number % min(TENANTS_MAX, 1 + number // 20)}"
        row = await state.connection(tenant, "crm")
        if row is not None:
            kept = await vault.unseal(row.token_ciphertext or b"", **_place(tenant))
            assert kept == {"number": stored[tenant]}, (tenant, kept, stored[tenant])
        else:
            now = SystemClock().now()
            row = ConnectionRow(tenant, "crm", "salesforce", {}, "active", now)
        sealed = await vault.seal({"number": number}, **_place(tenant))
        try:
            await state.save_connection(replace(row, token_ciphertext=sealed))
            stored[tenant] = number
        except StaleRowError:
            conflicts += 1
        assert vault.derive(b"audit") == derived
    await state.close()
    told = {"stored": stored, "writes": number, "conflicts": conflicts}
    print(orjson.dumps(told).decode(), flush=True)


def _place(tenant: str) -> dict[str, Any]:
    return {"purpose": "token", "tenant": tenant, "connection": "crm"}


if __name__ == "__main__":
    home = Settings(home=Path(sys.argv[2]), vault_key=None)
    if sys.argv[1] == "serve":
        asyncio.run(serve(home))
    else:
        asyncio.run(rotate(home, sys.argv[3], int(sys.argv[4])))
