"""Processes share one connection: one of them renews it, and killing it loses nothing unsaid."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tests.connections.conftest import SPEC, Bench
from tests.connections.office import CLIENT_ID, CLIENT_SECRET, Office
from tests.connections.working import PROVIDERS, STOPS, Job, Worker, started
from tests.transport.loopback import serve

from firnline.clock import SystemClock
from firnline.connections import ClientCredentials, Connections, NeedsReconnectError
from firnline.connections.site import declared_site
from firnline.connectors.protocol import Request
from firnline.sandbox.protocol import SandboxOptions
from firnline.sandbox.seed import company
from firnline.sandbox.server import running
from firnline.sandbox.signin import connect
from firnline.settings import Settings
from firnline.spec.model import TenantSpec

GET = Request.get("/things")
SWEEP_MS = range(0, 120, 15)
WORKING = "the provider works"
# Where an office that rotates strictly has taken the old token, and nobody learns the new one.
LOSES = {WORKING, "the answer has come"}


class AheadClock(SystemClock):
    """A clock by which the leases of whoever was killed have run out."""

    def now(self) -> datetime:
        """Return the wall time some minutes later."""
        return super().now() + timedelta(minutes=5)


@dataclass
class Shared:
    """One connection in a real database, before a real server; processes are started on it."""

    bench: Bench
    office: Office
    home: Path

    def job(self, **changes: Any) -> Job:
        return Job(self.home, dict(self.bench.settings.routes), **changes)

    @property
    def renewals(self) -> int:
        calls = self.office.token_calls
        return sum(call["grant_type"] == "refresh_token" for call in calls)


@asynccontextmanager
async def sharing(home: Path, clock: SystemClock) -> AsyncIterator[Shared]:
    office = Office("north.paperclip.example", SystemClock())
    async with serve(office.app) as origin:
        settings = Settings(home=home, routes={f"https://{office.host}": origin})
        async with Connections.open(settings, clock=clock) as connections:
            credentials = ClientCredentials(CLIENT_ID, client_secret=SecretStr(CLIENT_SECRET))
            await connections.clients.save(credentials, provider="paperclip")
            bench = Bench(connections, settings, clock, office, office)  # type: ignore[arg-type]
            yield Shared(bench, office, home)


@pytest.fixture
async def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shared]:
    monkeypatch.setenv("FIRNLINE_CONNECTORS", str(PROVIDERS))
    async with sharing(tmp_path / "home", SystemClock()) as made:
        yield made


@pytest.fixture
async def survivor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shared]:
    """The process that finds what a killed one left, some minutes later."""
    monkeypatch.setenv("FIRNLINE_CONNECTORS", str(PROVIDERS))
    async with sharing(tmp_path / "home", AheadClock()) as made:
        yield made


@pytest.mark.parametrize("is_known", [False, True], ids=["refused", "ran out"])
async def test_fifty_calls_of_three_processes_cause_one_renewal(
    shared: Shared, is_known: bool
) -> None:
    shared.office.lifetime_s = 0.5 if is_known else 3600
    await shared.bench.connect_clips()
    workers = [await started(shared.job(calls=calls)) for calls in (17, 17, 16)]
    await asyncio.sleep(0.6 if is_known else 0)
    shared.office.lifetime_s = 3600
    shared.office.expire_access()
    shared.office.token_delay_s = 1.0  # long enough for all to meet it

    for worker in workers:
        worker.go()
    outcomes = [outcome for worker in workers for outcome in (await worker.done()).outcomes]

    assert outcomes == ["answered"] * 50
    assert shared.renewals == 1


@pytest.mark.parametrize(
    ("provider", "switches"), [("zendesk", {}), ("salesforce", {"refresh_rotation": True})]
)
async def test_fifty_calls_before_a_sandbox_that_rotates_cause_one_renewal(
    tmp_path: Path, provider: str, switches: dict[str, Any]
) -> None:
    told = company("acme", scale=0.01, now=datetime(2026, 11, 22, 12, 0, tzinfo=UTC))
    options = SandboxOptions(seed=7, now=told.now, switches=switches)
    async with running([told], providers=[provider], options=options) as fleet:
        sandbox = fleet.sandbox(provider, "acme")
        declared = {"provider": provider, "settings": dict(sandbox.settings)}
        spec = TenantSpec.model_validate({"tenant": "acme", "connections": {"crm": declared}})
        settings = Settings(home=tmp_path, routes=dict(fleet.routes))
        async with Connections.open(settings, clock=SystemClock()) as connections:
            email = sandbox.integration_email
            await connect(connections, spec, "crm", client=sandbox.client, email=email)
            await forget_access_token(connections, spec)
            job = Job(tmp_path, settings.routes, spec=spec, name="crm", connectors="")
            workers = [await started(replace(job, calls=calls)) for calls in (17, 17, 16)]

            for worker in workers:
                worker.go()
            done = [await worker.done() for worker in workers]
            row = await connections.test(spec, "crm")

    assert [outcome for each in done for outcome in each.outcomes] == ["answered"] * 50
    assert sum(each.token_calls for each in done) == 1
    assert row.account


async def forget_access_token(connections: Connections, spec: TenantSpec) -> None:
    """Put an access token in place of the stored one that the provider does not know."""
    renewals, site = connections._renewals, declared_site(spec, "crm")
    row, tokens = await renewals.current(site)
    gone = replace(tokens, access_token=SecretStr("expired-long-ago"))
    sealed = await renewals.sealed(site, gone)
    await connections.state.save_connection(replace(row, token_ciphertext=sealed))


async def test_lost_connection_is_refused_once_for_all_processes(shared: Shared) -> None:
    await shared.bench.connect_clips()
    workers = [await started(shared.job(calls=10)) for _ in range(3)]
    shared.office.revoke_all()

    for worker in workers:
        worker.go()
    outcomes = {outcome for worker in workers for outcome in (await worker.done()).outcomes}

    assert outcomes == {"needs_reconnect"}
    assert shared.renewals == 1


async def test_lease_of_a_killed_process_is_taken_over_when_it_ends(shared: Shared) -> None:
    """By the real clock: others wait for the lease's end and no longer."""
    await shared.bench.connect_clips()
    stopped = await started(shared.job(stop="the beginning is noted", deadline_s=1.0))
    shared.office.expire_access()
    stopped.go()
    assert await stopped.told() == "the beginning is noted"
    await stopped.kill()

    other = await started(shared.job(calls=3))
    other.go()
    assert (await other.done()).outcomes == ["answered"] * 3
    assert shared.renewals == 1


async def recovered(survivor: Shared) -> str:
    """Return what a connection is to whoever comes after a killed process, asking repeatedly."""
    before = survivor.renewals
    connections = survivor.bench.connections
    states = []
    for _ in range(4):
        try:
            channel = await connections.channel("acme", SPEC, "clips")
            answers = await asyncio.gather(*(channel.send(GET) for _ in range(3)))
            assert {answer.status for answer in answers} == {200}
            states.append("active")
        except NeedsReconnectError as lost:
            assert "a renewal was interrupted at" in str(lost)
            states.append("needs_reconnect")
    assert len(set(states)) == 1, states
    assert survivor.renewals <= before + 1  # no silent loop
    row = await survivor.bench.row()
    assert row.state == states[0]
    assert row.renewal_began_at is None
    return states[0]


async def killed_while_asked(survivor: Shared, worker: Worker) -> None:
    """Kill a process while the provider works on its answer."""
    before = survivor.renewals
    survivor.office.token_delay_s = 0.2
    worker.go()
    async with asyncio.timeout(30):
        while survivor.renewals == before:  # noqa: ASYNC110 - the server counts, it tells nobody
            await asyncio.sleep(0.002)
    await worker.kill()
    await asyncio.sleep(0.3)  # the office comes to its end all the same
    survivor.office.token_delay_s = 0.0


@pytest.mark.parametrize("has_grace", [False, True], ids=["strict", "with grace"])
async def test_process_killed_in_a_renewal_leaves_a_connection_that_works_or_says_so(
    survivor: Shared, has_grace: bool
) -> None:
    survivor.office.keeps_replaced = has_grace
    for stop in [WORKING, *STOPS]:  # the last one leaves its lease behind
        await survivor.bench.connect_clips()
        stopping = stop if stop in STOPS else ""
        worker = await started(survivor.job(stop=stopping))
        survivor.office.expire_access()
        if stopping:
            worker.go()
            assert await worker.told() == stop
            await worker.kill()
        else:
            await killed_while_asked(survivor, worker)

        state = await recovered(survivor)

        is_lost = not has_grace and stop in LOSES
        assert state == ("needs_reconnect" if is_lost else "active"), stop


async def test_process_killed_at_whatever_moment_leaves_no_loop(survivor: Shared) -> None:
    survivor.office.token_delay_s = 0.03
    for wait_ms in SWEEP_MS:
        await survivor.bench.connect_clips()
        worker = await started(survivor.job())
        survivor.office.expire_access()
        worker.go()
        await asyncio.sleep(wait_ms / 1000)
        await worker.kill()

        await recovered(survivor)
