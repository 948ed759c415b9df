"""Every registered provider's sandbox can be connected, called, renewed and lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import SecretStr

from firnline.clock import SystemClock
from firnline.connections import Connections, NeedsReconnectError
from firnline.connectors.auth_flows import AuthorizationCode
from firnline.connectors.protocol import Steps
from firnline.connectors.registry import load_manifest
from firnline.errors import FirnlineError
from firnline.sandbox.protocol import Sandbox
from firnline.sandbox.seed import company
from firnline.sandbox.server import running, sandboxed_providers
from firnline.sandbox.signin import SignInError, connect
from firnline.settings import Settings
from firnline.spec.model import TenantSpec
from firnline.transport import Transport
from firnline.transport.call import OutboundCall

NAME = "system"


@dataclass
class World:
    """One provider's running sandbox and the connections that speak to it."""

    provider: str
    sandbox: Sandbox
    connections: Connections
    spec: TenantSpec

    async def connect(self, email: str = "") -> Any:
        return await connect(
            self.connections,
            self.spec,
            NAME,
            client=self.sandbox.client,
            email=email or self.sandbox.integration_email,
        )

    def revoke(self, email: str) -> None:
        """Kill a person's tokens at the provider."""
        cast(Callable[[str], None], self.sandbox.revoke)(email)  # type: ignore[attr-defined]


@pytest.fixture(params=sandboxed_providers())
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    provider: str = request.param
    told = company("acme", scale=0.01, now=datetime(2026, 11, 22, 12, 0, tzinfo=UTC))
    async with running([told], providers=[provider]) as fleet:
        sandbox = fleet.sandbox(provider, "acme")
        settings = Settings(home=tmp_path, routes=dict(fleet.routes))
        declared = {"provider": provider, "settings": dict(sandbox.settings)}
        spec = TenantSpec.model_validate({"tenant": "acme", "connections": {NAME: declared}})
        async with Connections.open(settings, clock=SystemClock()) as connections:
            yield World(provider, sandbox, connections, spec)


async def test_sandbox_connects_by_its_real_flow_and_says_whose_it_is(world: World) -> None:
    row = await world.connect()

    assert (row.state, row.provider) == ("active", world.provider)
    assert row.account
    assert row.account_name
    assert row.user_name


async def test_connected_sandbox_is_discovered_over_the_channel(world: World) -> None:
    await world.connect()
    channel = await world.connections.channel("acme", world.spec, NAME)

    catalog = await channel.run(channel.connector.discover(channel.settings))

    assert catalog.provider == world.provider
    assert any(found.exposed and found.fields for found in catalog.objects)


async def test_token_of_a_person_identifies_that_person(world: World) -> None:
    integration = await world.connect()
    other = next(
        email for email in world.sandbox.emails() if email != world.sandbox.integration_email
    )
    token = SecretStr(world.sandbox.token_for(other))
    channel = world.connections.channel_with_token("acme", world.spec, NAME, token)

    who = await channel.run(channel.connector.identify(channel.settings))

    # A provider without a who-am-I (NetSuite's REST) names no user, for anybody.
    assert who.user_key != integration.user_key or not integration.user_key
    assert who.account == integration.account


async def test_connection_that_is_ended_here_is_ended_at_the_provider_where_it_offers_that(
    world: World,
) -> None:
    await world.connect()
    channel = await world.connections.channel("acme", world.spec, NAME)
    tokens = [await channel._credential.token()]

    row = await world.connections.revoke(world.spec, NAME)

    offers = bool(load_manifest(world.provider).auth[0].revoke_url)
    assert row.state == "revoked"
    assert ("the provider ended it, too" in row.state_reason) is offers, row.state_reason
    given = world.connections.channel_with_token("acme", world.spec, NAME, tokens[0])
    if offers:
        with pytest.raises(FirnlineError, match="is not accepted"):
            await given.run(given.connector.identify(given.settings))
    else:
        assert (await given.run(given.connector.identify(given.settings))).account


async def test_revoked_sandbox_user_is_noticed(world: World) -> None:
    """A code flow needs a person; an assertion is signed anew, unless its mapping is gone."""
    await world.connect()
    channel = await world.connections.channel("acme", world.spec, NAME)
    world.revoke(world.sandbox.integration_email)

    def who() -> Steps[Any]:
        return channel.connector.identify(channel.settings)

    if isinstance(load_manifest(world.provider).auth[0], AuthorizationCode):
        with pytest.raises(NeedsReconnectError):
            await channel.run(who())
        await world.connect()
        channel = await world.connections.channel("acme", world.spec, NAME)
    assert (await channel.run(who())).account


async def test_expired_sandbox_token_is_renewed_once_for_all(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.connect()
    channel = await world.connections.channel("acme", world.spec, NAME)
    await _spoil_access_token(world)
    token_calls: list[str] = []
    send = Transport.send

    async def counted(self: Transport, call: OutboundCall, *, deadline_s: float) -> Any:
        if call.method == "POST" and "token" in call.url:
            token_calls.append(call.endpoint)
        return await send(self, call, deadline_s=deadline_s)

    monkeypatch.setattr(Transport, "send", counted)
    people = await asyncio.gather(
        *(channel.run(channel.connector.identify(channel.settings)) for _ in range(5))
    )

    assert len({who.user_key for who in people}) == 1
    assert len(token_calls) == 1


async def test_stranger_cannot_sign_in_to_a_sandbox(world: World) -> None:
    if isinstance(load_manifest(world.provider).auth[0], AuthorizationCode):
        with pytest.raises(SignInError):
            await world.connect("nobody@stranger.test")


async def _spoil_access_token(world: World) -> None:
    """Replace the stored access token by one that the provider does not know."""
    from dataclasses import replace

    from firnline.connections.endpoint import TokenSet
    from firnline.connections.renewals import seal_tokens
    from firnline.connections.site import declared_site

    state = world.connections.state
    vault = world.connections._vault
    row = await state.connection("acme", NAME)
    assert row is not None
    assert row.token_ciphertext is not None
    stored = await vault.unseal(
        row.token_ciphertext, purpose="token", tenant="acme", connection=NAME
    )
    tokens = replace(TokenSet.from_json(stored), access_token=SecretStr("expired-long-ago"))
    site = declared_site(world.spec, NAME)
    sealed = await seal_tokens(vault, site, tokens)
    await state.save_connection(replace(row, token_ciphertext=sealed))
