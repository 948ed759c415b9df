"""A connection's quota: its tenant's own limits, what its provider says, and whose it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from firnline.clock import SystemClock
from firnline.connections import Connections
from firnline.connections.site import declared_site
from firnline.sandbox.protocol import Sandbox
from firnline.sandbox.seed import company
from firnline.sandbox.server import running
from firnline.sandbox.signin import connect
from firnline.settings import Settings
from firnline.spec.model import TenantSpec
from firnline.transport import Use
from firnline.transport.quota.errors import QuotaReservedError, QuotaWaitError
from firnline.transport.quota.governor import BudgetStanding

NAME = "system"


@dataclass(frozen=True)
class World:
    sandbox: Sandbox
    connections: Connections
    spec: TenantSpec

    async def budgets(self) -> Mapping[str, BudgetStanding]:
        standing = await self.connections.standing(self.spec, NAME)
        assert standing is not None
        return {budget.name: budget for budget in standing.budgets}


@asynccontextmanager
async def world(
    provider: str, home: Path, limits: Mapping[str, Any] | None = None
) -> AsyncIterator[World]:
    """One connected system whose sandbox keeps the vendor's limits."""
    told = company("acme", scale=0.01, now=datetime(2026, 11, 22, 12, 0, tzinfo=UTC))
    async with running([told], providers=[provider]) as fleet:
        sandbox = fleet.sandbox(provider, "acme")
        settings = Settings(home=home, routes=dict(fleet.routes), quota_pacing=True)
        declared = {"provider": provider, "settings": dict(sandbox.settings)}
        if limits is not None:
            declared["limits"] = limits
        spec = TenantSpec.model_validate({"tenant": "acme", "connections": {NAME: declared}})
        async with Connections.open(settings, clock=SystemClock()) as connections:
            email = sandbox.integration_email
            await connect(connections, spec, NAME, client=sandbox.client, email=email)
            yield World(sandbox, connections, spec)


async def test_zendesk_s_own_limit_replaces_the_smallest_plan_s(tmp_path: Path) -> None:
    async with world("zendesk", tmp_path) as one:
        channel = await one.connections.channel("acme", one.spec, NAME, use=Use.SYNC)
        before = one.sandbox
        await channel.run(channel.connector.discover(channel.settings))
        await channel.run(channel.connector.identify(channel.settings))
        budgets = await one.budgets()

    assert before is one.sandbox
    assert budgets["account"].limit == 700
    assert 3 <= budgets["account"].used < 60
    assert budgets["exports"].limit == 10


async def test_salesforce_s_day_is_known_after_the_first_answer(tmp_path: Path) -> None:
    async with world("salesforce", tmp_path) as one:
        channel = await one.connections.channel("acme", one.spec, NAME)
        await channel.run(channel.connector.identify(channel.settings))
        await channel.run(channel.connector.identify(channel.settings))
        budgets = await one.budgets()

    assert budgets["daily"].limit == 100_000
    assert budgets["daily"].window_s == 86_400


async def test_tenant_s_own_limit_holds_whatever_the_provider_states(tmp_path: Path) -> None:
    limits = {"rates": {"account": {"calls": 5}}, "concurrencyMax": 2}
    async with world("zendesk", tmp_path, limits) as one:
        channel = await one.connections.channel("acme", one.spec, NAME)
        with pytest.raises(QuotaWaitError):
            for _ in range(6):
                await channel.run(channel.connector.identify(channel.settings), deadline_s=3)
        standing = await one.connections.standing(one.spec, NAME)

    assert standing is not None
    assert standing.budgets[0].limit == 5
    assert standing.concurrency_limit == 2


async def test_sync_pauses_where_the_rest_of_the_day_is_kept(tmp_path: Path) -> None:
    limits = {"daily": 10, "syncDailyMax": 30}
    async with world("netsuite", tmp_path, limits) as one:
        syncing = await one.connections.channel("acme", one.spec, NAME, use=Use.SYNC)
        with pytest.raises(QuotaReservedError) as kept:
            for _ in range(6):
                await syncing.run(syncing.connector.identify(syncing.settings))
        asking = await one.connections.channel("acme", one.spec, NAME)
        await asking.run(asking.connector.identify(asking.settings))

    assert kept.value.retry_after_s > 3600


def spec_of(tenant: str, **connections: Mapping[str, Any]) -> TenantSpec:
    return TenantSpec.model_validate({"tenant": tenant, "connections": connections})


def test_connections_to_one_account_share_its_quota_and_people_have_their_own_key() -> None:
    zendesk = {"provider": "zendesk", "settings": {"subdomain": "acme"}}
    one, other = spec_of("acme", desk=zendesk, second=zendesk), spec_of("globex", desk=zendesk)
    desk = declared_site(one, "desk")

    accounts = {
        desk.destination.account,
        declared_site(one, "second").destination.account,
        declared_site(other, "desk").destination.account,
        desk.of("ann@acme.example").destination.account,
    }
    users = {
        desk.destination.allowance.user,
        desk.of("ann@acme.example").destination.allowance.user,
        desk.of("bob@acme.example").destination.allowance.user,
        declared_site(other, "desk").destination.allowance.user,
    }
    assert len(accounts) == 1
    assert len(users) == 4
    assert desk.of("ann@acme.example").of("").destination.allowance.user == "acme/desk"
