"""Sandboxes in other processes: spawning, the state file, the control port."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import ValidationError

from firnline.sandbox.faults import Fault
from firnline.sandbox.process import (
    SandboxControlError,
    SandboxStartError,
    read_state,
    spawned,
)
from firnline.sandbox.server import UnknownSandboxError, sandboxed_providers
from firnline.sandbox.serving import ServePlan, StateFileError

NOW = datetime(2026, 11, 22, 16, 0, tzinfo=UTC)


def plan(directory: Path, **changes: Any) -> ServePlan:
    chosen = {
        "tenants": ("acme", "globex"),
        "providers": ("tinycrm",),
        "scale": 0.02,
        "now": NOW,
        "state_file": directory / "sandbox.json",
        **changes,
    }
    return ServePlan(**chosen)


async def ask(url: str, path: str, token: str) -> httpx2.Response:
    async with httpx2.AsyncClient(base_url=url, trust_env=False) as http:
        return await http.get(path, headers={"Authorization": f"Bearer {token}"})


def state_files(directory: Path) -> list[Path]:
    return sorted(directory.glob("sandbox-*.json"))


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_spawned_fleet_runs_one_process_per_tenant_and_ends_them(
    tinycrm: str, tmp_path: Path
) -> None:
    async with spawned(plan(tmp_path), directory=tmp_path) as fleet:
        pids = [read_state(path)["pid"] for path in state_files(tmp_path)]
        assert len(set(pids)) == 2
        assert os.getpid() not in pids
        assert set(fleet.routes) >= {
            "https://acme.tinycrm.example",
            "https://globex.tinycrm.example",
        }
        assert fleet.people["acme"]["rep"] == "dana.whitfield@acme.example"
        assert fleet.clients[tinycrm, "globex"].client_secret == "tiny-secret"
        counts = await fleet.counts()
        assert counts["acme"][tinycrm]["accounts"] == 40
        assert counts["globex"][tinycrm]["accounts"] == 40
    assert not any(is_alive(pid) for pid in pids)
    assert not state_files(tmp_path)


async def test_spawned_fleet_gives_tokens_changes_records_and_serves_faults(
    tinycrm: str, tmp_path: Path
) -> None:
    async with spawned(plan(tmp_path, tenants=("acme",)), directory=tmp_path) as fleet:
        server = fleet.server(tinycrm, "acme")
        rep = fleet.people["acme"]["rep"]
        token = await fleet.token(tinycrm, "acme", rep)
        assert (await ask(server.url, "/me", token)).json() == {"email": rep}

        admin = await fleet.token(tinycrm, "acme", server.integration_email)
        last = (await ask(server.url, "/accounts?limit=999", admin)).json()["last"]
        await fleet.change(tinycrm, "acme", "accounts", "3", name="Renamed")
        await fleet.delete(tinycrm, "acme", "accounts", "4")
        key = await fleet.add(tinycrm, "acme", "accounts", name="New")
        since = (await ask(server.url, f"/accounts?after={last}", admin)).json()["records"]
        assert [record["id"] for record in since] == ["3", "4", key]
        assert since[0]["name"] == "Renamed"
        assert since[1]["deleted"]

        await fleet.disturb(tinycrm, "acme", Fault("status", times=None, status=502))
        assert (await ask(server.url, "/me", token)).status_code == 502
        await fleet.calm(tinycrm, "acme")
        assert (await ask(server.url, "/me", token)).status_code == 200
        await fleet.revoke(tinycrm, "acme", rep)
        assert (await ask(server.url, "/me", token)).status_code == 401


async def test_spawned_fleet_serves_every_registered_provider(tmp_path: Path) -> None:
    wanted = plan(tmp_path, tenants=("acme",), providers=None, scale=0.01, limits=False)
    async with spawned(wanted, directory=tmp_path) as fleet:
        assert {provider for provider, _ in fleet.servers} == set(sandboxed_providers())
        counts = (await fleet.counts())["acme"]
        rights = dict.fromkeys(counts, 0)
        for (provider, tenant), server in fleet.servers.items():
            assert sum(counts[provider].values()) > 20
            for email in server.emails:
                rights[provider] += bool(await fleet.token(provider, tenant, email))
            assert (await ask(server.url, "/", "no-token")).status_code >= 400
        assert all(count >= 4 for count in rights.values())


async def test_control_port_refuses_what_it_cannot_do_with_a_reason(
    tinycrm: str, tmp_path: Path
) -> None:
    async with spawned(plan(tmp_path, tenants=("acme",)), directory=tmp_path) as fleet:
        with pytest.raises(UnknownSandboxError):
            await fleet.token(tinycrm, "initech", "someone@initech.example")
        with pytest.raises(SandboxControlError, match="nobody signs in"):
            await fleet.token(tinycrm, "acme", "stranger@acme.example")
        with pytest.raises(SandboxControlError, match="no such object or record"):
            await fleet.change(tinycrm, "acme", "accounts", "999999", name="x")
        with pytest.raises(SandboxControlError, match="no such object"):
            await fleet.add(tinycrm, "acme", "planets", name="x")

        control = read_state(tmp_path / "sandbox-acme.json")["control"]
        keyless = await ask(control["url"], "/counts", "wrong")
        assert keyless.status_code == 401
        assert keyless.json()["error"]["code"] == "sandbox_control_key"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "not JSON"),
        (b"[]", "not a JSON object"),
        (b'{"provider": 3}', "'provider' must be a text"),
        (b'{"provider": "tinycrm", "tenant": "acme", "kind": "earthquake"}', "kind"),
        (b'{"provider": "tinycrm", "tenant": "acme", "kind": "reset", "x": 1}', "no 'x'"),
    ],
)
async def test_control_port_refuses_malformed_calls(
    tinycrm: str, tmp_path: Path, body: bytes, message: str
) -> None:
    async with spawned(plan(tmp_path, tenants=("acme",)), directory=tmp_path):
        control = read_state(tmp_path / "sandbox-acme.json")["control"]
        async with httpx2.AsyncClient(trust_env=False) as http:
            answer = await http.post(
                control["url"] + "/fault",
                content=body,
                headers={"Authorization": f"Bearer {control['key']}"},
            )
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]


async def test_state_file_is_for_its_owner_only(tinycrm: str, tmp_path: Path) -> None:
    async with spawned(plan(tmp_path, tenants=("acme",)), directory=tmp_path):
        mode = (tmp_path / "sandbox-acme.json").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


async def test_spawn_that_cannot_start_says_why(tinycrm: str, tmp_path: Path) -> None:
    with pytest.raises(SandboxStartError, match="nosuchcrm"):
        async with spawned(plan(tmp_path, providers=("nosuchcrm",)), directory=tmp_path):
            pass


@pytest.mark.parametrize(
    "wrong",
    [
        {"tenants": ()},
        {"tenants": ("../etc",)},
        {"scale": 0},
        {"latency_ms": (5, 1)},
        {"now": datetime(2026, 11, 22)},
    ],
)
def test_plan_that_cannot_be_served_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        plan(tmp_path, **wrong)


def test_state_file_that_is_missing_or_foreign_is_refused(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.json"
    for content in (None, "not json", "[]", "{}"):
        if content is not None:
            foreign.write_text(content)
        with pytest.raises(StateFileError) as caught:
            read_state(foreign)
        assert caught.value.hint
