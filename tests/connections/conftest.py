"""A tenant with two connections to the tests' own providers, on real HTTP and SQLite."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from joserfc.jwk import ECKey
from pydantic import SecretStr
from tests.connections.office import CLIENT_ID, CLIENT_SECRET, Office
from tests.transport.loopback import serve

from firnline.clock import FixedClock
from firnline.connections import ClientCredentials, Connections
from firnline.sandbox.signin import CALLBACK, approve
from firnline.settings import Settings
from firnline.spec.model import TenantSpec
from firnline.state import ConnectionRow

SPEC = TenantSpec.model_validate(
    {
        "tenant": "acme",
        "connections": {
            "clips": {"provider": "paperclip", "settings": {"office": "north"}},
            "staples": {"provider": "stapler", "settings": {"office": "north"}},
        },
    }
)


@dataclass
class Bench:
    """What a test holds: the connections under test and the servers they speak to."""

    connections: Connections
    settings: Settings
    clock: FixedClock
    clips: Office
    staples: Office
    spec: TenantSpec = SPEC

    async def connect_clips(self, email: str = "ann@north.test") -> ConnectionRow:
        """Go through the whole browser flow."""
        import httpx2

        start = await self.connections.start_authorization(
            self.spec, "clips", redirect_uri=CALLBACK
        )
        async with httpx2.AsyncClient() as http:
            routes = self.connections.transport.routes
            code, state = await approve(http, start.url, email, routes=routes)
        return await self.connections.finish_authorization(state, code)

    async def row(self, name: str = "clips") -> ConnectionRow:
        """Return the stored connection."""
        found = await self.connections.state.connection("acme", name)
        assert found is not None
        return found


@pytest.fixture(scope="session")
def person_key() -> ECKey:
    return ECKey.generate_key("P-256", private=True)


@pytest.fixture
async def bench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, person_key: ECKey
) -> AsyncIterator[Bench]:
    monkeypatch.setenv("FIRNLINE_CONNECTORS", str(Path(__file__).parent / "providers"))
    clock = FixedClock(datetime(2026, 11, 22, 12, 0, tzinfo=UTC))
    clips = Office("north.paperclip.example", clock)
    staples = Office("north.stapler.example", clock)
    staples.keys = {
        "key-ann": (person_key, "ann@north.test"),
        "key-bob": (person_key, "bob@north.test"),
    }
    async with AsyncExitStack() as stack:
        routes = {
            f"https://{office.host}": await stack.enter_async_context(serve(office.app))
            for office in (clips, staples)
        }
        settings = Settings(home=tmp_path / "home", routes=routes)
        connections = await stack.enter_async_context(Connections.open(settings, clock=clock))
        await connections.clients.save(
            ClientCredentials(CLIENT_ID, client_secret=SecretStr(CLIENT_SECRET)),
            provider="paperclip",
        )
        await connections.clients.save(
            ClientCredentials(
                CLIENT_ID,
                private_key_pem=SecretStr(person_key.as_pem(private=True).decode()),
                key_id="key-ann",
                algorithm="ES256",
                subjects={"bob@north.test": "key-bob"},
            ),
            provider="stapler",
            tenant="acme",
        )
        yield Bench(connections, settings, clock, clips, staples)
