"""A fleet over real HTTP: ports, routes, latency and faults."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import httpx2
import pytest

from firnline.clock import FixedClock, SystemClock
from firnline.connectors.registry import UnknownProviderError, load_connector
from firnline.sandbox.faults import Fault
from firnline.sandbox.protocol import SandboxOptions
from firnline.sandbox.server import (
    SandboxOriginError,
    SandboxServer,
    UnknownSandboxError,
    running,
    vendor_origins,
)
from firnline.sandbox.world import Company
from firnline.transport.routes import Routes


def client(server: SandboxServer, email: str = "") -> httpx2.AsyncClient:
    token = server.sandbox.token_for(email or server.sandbox.integration_email)
    return httpx2.AsyncClient(
        base_url=server.url, headers={"Authorization": f"Bearer {token}"}, trust_env=False
    )


async def test_fleet_serves_every_tenant_on_a_port_of_its_own(
    tinycrm: str, acme: Company, globex: Company
) -> None:
    async with running([acme, globex], providers=[tinycrm]) as fleet:
        urls = {server.url for server in fleet.servers.values()}
        assert len(urls) == 2
        for whose in (acme, globex):
            server = fleet.server(tinycrm, whose.tenant)
            async with client(server) as http:
                records = (await http.get("/accounts?limit=1000")).json()["records"]
            assert [record["name"] for record in records] == [a.name for a in whose.accounts]


async def test_fleet_ports_are_closed_afterwards(tinycrm: str, acme: Company) -> None:
    async with running([acme], providers=[tinycrm]) as fleet:
        server = fleet.server(tinycrm, "acme")
    async with client(server) as http:
        with pytest.raises(httpx2.ConnectError):
            await http.get("/me")


async def test_routes_lead_from_every_vendor_origin_to_the_sandbox(
    tinycrm: str, acme: Company
) -> None:
    async with running([acme], providers=[tinycrm]) as fleet:
        routes = Routes(fleet.routes)
        for url in ("https://acme.tinycrm.example/me", "https://login.acme.tinycrm.example/me"):
            target = routes.target(url)
            assert target == f"{fleet.server(tinycrm, 'acme').url}/me"
        assert routes.target("https://other.tinycrm.example/me") is None
        assert fleet.clients[tinycrm, "acme"].client_id == "tiny"


def test_vendor_origins_fill_the_settings_in(tinycrm: str) -> None:
    assert vendor_origins(load_connector(tinycrm), {"account": "acme"}) == (
        "https://acme.tinycrm.example",
        "https://login.acme.tinycrm.example",
    )


async def test_two_sandboxes_of_one_origin_are_refused(
    tinycrm: str, acme: Company, globex: Company
) -> None:
    same = replace(globex, style={**globex.style, "tinycrm.account": "acme"})
    with pytest.raises(SandboxOriginError, match=r"https://acme\.tinycrm\.example"):
        async with running([acme, same], providers=[tinycrm]):
            pass


async def test_unknown_provider_and_unknown_sandbox_are_named(tinycrm: str, acme: Company) -> None:
    with pytest.raises(UnknownProviderError, match="nosuchcrm"):
        async with running([acme], providers=["nosuchcrm"]):
            pass
    async with running([acme], providers=[tinycrm]) as fleet:
        with pytest.raises(UnknownSandboxError) as caught:
            fleet.sandbox(tinycrm, "globex")
        assert "tinycrm of acme" in caught.value.hint


async def test_latency_is_drawn_from_the_range_by_seed(tinycrm: str, acme: Company) -> None:
    waits = []
    for _ in range(2):
        clock = FixedClock(datetime(2026, 11, 22, tzinfo=UTC))
        options = SandboxOptions(seed=7, now=acme.now, latency_ms=(200, 800))
        async with running([acme], providers=[tinycrm], options=options, clock=clock) as fleet:
            drawn = []
            async with client(fleet.server(tinycrm, "acme")) as http:
                for _ in range(5):
                    before = clock.monotonic()
                    await http.get("/me")
                    drawn.append(clock.monotonic() - before)
        waits.append(drawn)
    assert waits[0] == waits[1]
    assert all(0.2 <= wait <= 0.8 for wait in waits[0])
    assert len(set(waits[0])) == 5


@pytest.mark.parametrize("applied", [False, True])
async def test_reset_cuts_the_connection_as_often_as_asked(
    tinycrm: str, acme: Company, applied: bool
) -> None:
    async with running([acme], providers=[tinycrm]) as fleet:
        server = fleet.server(tinycrm, "acme")
        server.disturb(Fault("reset", path="/accounts", times=2, applied=applied))
        async with client(server) as http:
            assert (await http.get("/me")).status_code == 200
            for _ in range(2):
                with pytest.raises(httpx2.TransportError):
                    await http.get("/accounts")
            assert (await http.get("/accounts")).status_code == 200


async def test_truncated_body_is_noticed_by_the_client(tinycrm: str, acme: Company) -> None:
    async with running([acme], providers=[tinycrm]) as fleet:
        server = fleet.server(tinycrm, "acme")
        server.disturb(Fault("truncate"))
        async with client(server) as http:
            with pytest.raises(httpx2.RemoteProtocolError):
                await http.get("/accounts")
            assert (await http.get("/accounts")).status_code == 200


async def test_slow_body_arrives_whole_but_late(tinycrm: str, acme: Company) -> None:
    async with running([acme], providers=[tinycrm]) as fleet:
        server = fleet.server(tinycrm, "acme")
        async with client(server) as http:
            plain = (await http.get("/accounts")).content
            server.disturb(Fault("slow", delay_s=0.3))
            before = SystemClock().monotonic()
            assert (await http.get("/accounts")).content == plain
            assert SystemClock().monotonic() - before >= 0.25


async def test_status_is_answered_until_cleared(tinycrm: str, acme: Company) -> None:
    async with running([acme], providers=[tinycrm]) as fleet:
        server = fleet.server(tinycrm, "acme")
        server.disturb(
            Fault("status", times=None, status=503, body="down", headers={"retry-after": "7"})
        )
        async with client(server) as http:
            for _ in range(3):
                answer = await http.get("/me")
                assert (answer.status_code, answer.text) == (503, "down")
                assert answer.headers["retry-after"] == "7"
            server.line.clear()
            assert (await http.get("/me")).status_code == 200
        assert server.line.calls == 4
