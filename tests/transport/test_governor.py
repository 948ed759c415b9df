"""The governor admits within quotas, tells at once when it cannot, and needs no store to go on."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from firnline.clock import SystemClock
from firnline.connectors.limits import RateLimit
from firnline.connectors.protocol import Grounds, Response, Verdict
from firnline.connectors.quotas import QuotaReading
from firnline.settings import Settings
from firnline.state.database import StateUnavailableError
from firnline.state.quotas import QuotaStore
from firnline.transport import Destination, OutboundCall, Use
from firnline.transport.quota.allowance import Allowance
from firnline.transport.quota.errors import QuotaReservedError, QuotaWaitError
from firnline.transport.quota.governor import QuotaGovernor, Standing
from firnline.transport.quota.terms import Shares

T = TypeVar("T")
FINE = Response(200, {}, b"{}")
REFUSED = Response(429, {}, b"{}")
LIMITED = Verdict(Grounds.RATE_LIMITED)


def account(*budgets: RateLimit, name: str = "acme", most: int = 10, **more: Any) -> Destination:
    return Destination(
        provider="vendor",
        tenant=name,
        connection="vendor",
        hosts=("api.vendor.example",),
        account=f"vendor {name}",
        concurrency_max=most,
        allowance=Allowance(budgets, **more),
    )


def a_call(
    to: Destination, *, use: Use = Use.SYNC, path: str = "/records", **more: Any
) -> OutboundCall:
    return OutboundCall(to, "GET", f"https://api.vendor.example{path}", use=use, **more)


class Process:
    """A governor and its store as one process has them."""

    def __init__(self, governor: QuotaGovernor) -> None:
        self.governor = governor

    async def send(
        self, call: OutboundCall, *, within_s: float = 5.0, takes_s: float = 0.0
    ) -> float:
        """Hold a place for a moment and return when it began."""
        async with self.governor.admit(call, time.monotonic() + within_s):
            began = time.monotonic()
            if takes_s:
                await asyncio.sleep(takes_s)
        return began

    async def standing(self, to: Destination) -> Standing:
        return await self.governor.standing(to)


@asynccontextmanager
async def processes(home: Path, count: int = 1, **options: Any) -> AsyncIterator[list[Process]]:
    """Governors that share nothing but their database, as processes do."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(count):
            store = await QuotaStore.open(Settings(home=home), clock=clock)
            stack.push_async_callback(store.close)
            governor = QuotaGovernor(store=store, clock=clock, **options)
            stack.push_async_callback(governor.close)
            made.append(Process(governor))
        yield made


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[Process]:
    async with processes(tmp_path) as (only,):
        yield only


def rate(calls: int, per_s: float, **more: Any) -> RateLimit:
    return RateLimit(name=more.pop("name", "rate"), calls=calls, per_s=per_s, **more)


async def test_call_whose_turn_comes_after_its_deadline_is_refused_at_once(one: Process) -> None:
    to = account(rate(1, 60.0))
    await one.send(a_call(to))

    began = time.monotonic()
    with pytest.raises(QuotaWaitError) as refused:
        await one.send(a_call(to), within_s=20)

    assert time.monotonic() - began < 5
    assert 50 < refused.value.retry_after_s < 62
    assert refused.value.retryable
    assert not refused.value.was_sent
    assert refused.value.budget == "rate"


async def test_calls_far_back_in_the_queue_are_refused_before_their_turn(one: Process) -> None:
    to = account(rate(10, 1.0))
    calls = [one.send(a_call(to), within_s=1.5) for _ in range(60)]
    began = time.monotonic()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)

    refused = [each for each in outcomes if isinstance(each, QuotaWaitError)]
    sent = [each for each in outcomes if isinstance(each, float)]
    assert time.monotonic() - began < 6
    assert len(refused) + len(sent) == 60
    assert len(refused) > 35
    assert len(sent) >= 8


async def test_refused_answer_blocks_the_account_in_every_process(tmp_path: Path) -> None:
    to = account(rate(100, 1.0))
    async with processes(tmp_path, 2) as (here, there):
        await here.send(a_call(to))
        verdict = replace(LIMITED, retry_after_s=30.0)
        here.governor.learn(a_call(to), REFUSED, verdict)
        await asyncio.sleep(0.3)
        for process in (here, there):
            with pytest.raises(QuotaWaitError) as refused:
                await process.send(a_call(to, use=Use.INTERACTIVE), within_s=2)
            assert 20 < refused.value.retry_after_s <= 30.1
        (budget,) = (await there.standing(to)).budgets

    assert budget.blocked_until is not None


async def test_refusal_of_an_endpoint_blocks_that_endpoint_alone(one: Process) -> None:
    to = account(rate(100, 1.0), rate(10, 60.0, name="exports", applies_to=("/export/*",)))
    await one.send(a_call(to, path="/export/tickets"))
    verdict = replace(LIMITED, retry_after_s=30.0)
    one.governor.learn(a_call(to, path="/export/tickets"), REFUSED, verdict)
    await asyncio.sleep(0.2)

    await one.send(a_call(to), within_s=2)
    with pytest.raises(QuotaWaitError) as refused:
        await one.send(a_call(to, path="/export/users"), within_s=2)
    assert refused.value.budget == "exports"


async def test_sync_that_used_its_part_of_the_day_is_told_that_the_rest_is_kept(
    one: Process,
) -> None:
    to = account(RateLimit(name="daily", calls=10, per_s=86400), sync_daily_max=50)
    for _ in range(5):
        await one.send(a_call(to))
    with pytest.raises(QuotaReservedError) as reserved:
        await one.send(a_call(to), within_s=20)

    assert reserved.value.code == "quota_reserved"
    assert reserved.value.retry_after_s > 3600
    await one.send(a_call(to, use=Use.INTERACTIVE))
    await one.send(a_call(to, use=Use.WRITE))


async def test_people_who_wait_pass_syncs_that_wait(one: Process) -> None:
    to = account(rate(10, 1.0))
    syncs = [asyncio.create_task(one.send(a_call(to), within_s=20)) for _ in range(25)]
    await asyncio.sleep(0.5)
    asked = time.monotonic()
    began = await one.send(a_call(to, use=Use.INTERACTIVE), within_s=20)

    done = sorted(await asyncio.gather(*syncs))
    assert sum(1 for at in done if at > began) >= 10
    assert began - asked < (done[-1] - asked) / 2


async def test_no_more_calls_run_at_a_time_than_the_account_takes(tmp_path: Path) -> None:
    to = account(most=4)
    running, most = 0, 0

    async def work(process: Process) -> None:
        nonlocal running, most
        async with process.governor.admit(a_call(to), time.monotonic() + 30):
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.02)
            running -= 1

    async with processes(tmp_path, 3) as every:
        await asyncio.gather(*(work(every[number % 3]) for number in range(45)))

    assert 2 <= most <= 4


async def test_another_account_is_not_slowed_by_one_that_is_blocked(one: Process) -> None:
    blocked, other = account(rate(100, 1.0)), account(rate(10_000, 1.0), name="globex")

    async def fifty() -> float:
        began = time.monotonic()
        for _ in range(50):
            await one.send(a_call(other))
        return time.monotonic() - began

    await fifty()
    alone = min([await fifty() for _ in range(3)])
    await one.send(a_call(blocked))
    one.governor.learn(a_call(blocked), REFUSED, replace(LIMITED, retry_after_s=60.0))
    waiting = [asyncio.create_task(one.send(a_call(blocked), within_s=300)) for _ in range(100)]
    await asyncio.sleep(0.2)
    beside = min([await fifty() for _ in range(3)])
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)

    assert beside < 3 * alone + 0.05


async def test_cancelled_call_gives_its_place_and_turn_back(one: Process) -> None:
    to = account(most=1)
    holder = asyncio.create_task(one.send(a_call(to), takes_s=0.3))
    await asyncio.sleep(0.1)
    waiting = asyncio.create_task(one.send(a_call(to)))
    await asyncio.sleep(0.05)
    waiting.cancel()
    holder.cancel()
    await asyncio.gather(waiting, holder, return_exceptions=True)

    await asyncio.wait_for(one.send(a_call(to)), 2)


async def test_token_endpoint_is_never_held_up(one: Process) -> None:
    to = account(rate(1, 60.0), most=1)
    async with one.governor.admit(a_call(to), time.monotonic() + 5):
        await one.send(a_call(to, target="token"), within_s=0.5)


class Broken:
    """A store whose database is locked or gone, when it is told to be."""

    def __init__(self, store: QuotaStore) -> None:
        self.store = store
        self.is_broken = False

    async def change(
        self,
        accounts: Sequence[str],
        change: Callable[[Mapping[str, str], float], tuple[Mapping[str, str], T]],
    ) -> T:
        if self.is_broken:
            raise StateUnavailableError("the quotas cannot be shared (OperationalError)")
        return await self.store.change(accounts, change)

    async def read(self, accounts: Sequence[str]) -> tuple[Mapping[str, str], float]:
        if self.is_broken:
            raise StateUnavailableError("the quotas cannot be read (OperationalError)")
        return await self.store.read(accounts)


async def test_calls_go_on_within_the_limit_while_the_store_is_in_trouble(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = SystemClock()
    shared = await QuotaStore.open(Settings(home=tmp_path), clock=clock)
    store = Broken(shared)
    process = Process(QuotaGovernor(store=store, clock=clock))
    to = account(rate(10, 60.0))
    for _ in range(4):
        await process.send(a_call(to, use=Use.INTERACTIVE))

    store.is_broken = True
    with caplog.at_level(logging.WARNING):
        for _ in range(6):  # what it knew before counts: ten in all
            await process.send(a_call(to, use=Use.INTERACTIVE))
        with pytest.raises(QuotaWaitError):
            await process.send(a_call(to, use=Use.INTERACTIVE), within_s=5)
        (budget,) = (await process.standing(to)).budgets
    await process.governor.close()
    await shared.close()

    assert budget.used == 10
    assert "quotas are counted by this process alone" in caplog.text
    assert "state_unavailable" in caplog.text


async def test_concurrency_refusals_lower_what_runs_at_a_time(one: Process) -> None:
    to = account(most=10)
    reading = [QuotaReading("concurrency", None, 0)]
    crowded = a_call(to, quota=lambda response: reading)
    await one.send(crowded)
    one.governor.learn(crowded, REFUSED, LIMITED)
    await asyncio.sleep(0.2)

    assert (await one.standing(to)).concurrency_limit == 7
    await one.send(a_call(to), within_s=2)  # and nothing is blocked


async def test_standing_tells_what_is_used_and_left(one: Process) -> None:
    to = account(rate(10, 60.0), RateLimit(name="daily", calls=100, per_s=86400))
    for _ in range(3):
        await one.send(a_call(to))
    reading = [QuotaReading("daily", 200, 50, None)]
    told = a_call(to, quota=lambda response: reading)

    assert one.governor.learn(told, FINE, None) == 50
    await one.send(a_call(to))
    standing = await one.standing(to)

    minute, day = standing.budgets
    assert (minute.name, minute.limit, minute.used, minute.remaining) == ("rate", 10, 4, 6)
    assert minute.blocked_until is None
    assert (day.limit, day.remaining) == (200, 49)
    assert standing.processes == 1


async def test_user_has_limits_of_their_own_beside_the_account_s(one: Process) -> None:
    budget = rate(2, 60.0, per="user")
    ann = account(budget, user="acme/crm ann@acme.example")
    bob = account(budget, user="acme/crm bob@acme.example")
    for _ in range(2):
        await one.send(a_call(ann, use=Use.INTERACTIVE))
    with pytest.raises(QuotaWaitError):
        await one.send(a_call(ann, use=Use.INTERACTIVE), within_s=2)

    await one.send(a_call(bob, use=Use.INTERACTIVE), within_s=2)


async def test_without_pacing_only_what_the_provider_says_counts(tmp_path: Path) -> None:
    to = account(rate(2, 60.0))
    async with processes(tmp_path, is_pacing=False) as (one,):
        for _ in range(30):
            await one.send(a_call(to), within_s=2)
        one.governor.learn(a_call(to), REFUSED, replace(LIMITED, retry_after_s=30.0))
        await asyncio.sleep(0.2)
        with pytest.raises(QuotaWaitError):
            await one.send(a_call(to), within_s=2)


async def test_process_that_closes_gives_its_places_back(tmp_path: Path) -> None:
    to = account(most=2)
    async with processes(tmp_path, 2) as (first, second):
        await first.send(a_call(to))
        await first.governor.close()
        assert (await second.standing(to)).concurrency_granted == 0
        await second.send(a_call(to), within_s=1)


async def test_reserve_for_people_can_be_set(tmp_path: Path) -> None:
    to = account(rate(10, 60.0))
    async with processes(tmp_path, shares=Shares(interactive_reserve=50)) as (one,):
        await one.send(a_call(to, use=Use.INTERACTIVE))
        for _ in range(4):
            await one.send(a_call(to), within_s=2)
        with pytest.raises(QuotaReservedError):
            for _ in range(3):
                await one.send(a_call(to), within_s=12)
        await one.send(a_call(to, use=Use.INTERACTIVE), within_s=1)


async def test_few_transactions_serve_many_calls_and_admitting_is_cheap(tmp_path: Path) -> None:
    """Under load a transaction serves several calls."""
    clock = SystemClock()
    shared = await QuotaStore.open(Settings(home=tmp_path), clock=clock)
    changes = 0

    class Counting(Broken):
        async def change(
            self,
            accounts: Sequence[str],
            change: Callable[[Mapping[str, str], float], tuple[Mapping[str, str], T]],
        ) -> T:
            nonlocal changes
            changes += 1
            return await self.store.change(accounts, change)

    process = Process(QuotaGovernor(store=Counting(shared), clock=clock))
    to = account(RateLimit(name="daily", calls=1_000_000, per_s=86400), most=20)
    await asyncio.gather(*(process.send(a_call(to), within_s=30) for _ in range(400)))
    await process.governor.close()
    texts, _ = await shared.read([to.account])
    await shared.close()

    assert changes <= 80
    stored = json.loads(texts[to.account])["budgets"]["daily"]["groups"]
    used = sum(sum(counts) for _, _, *counts in stored)
    assert 400 <= used <= 420  # what was booked and not used went back


async def test_locked_database_delays_the_first_call_and_stops_none(tmp_path: Path) -> None:
    to = account(rate(100, 1.0))
    async with processes(tmp_path) as (one,):
        await one.send(a_call(to))
        other = sqlite3.connect(tmp_path / "quotas.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            await asyncio.sleep(0.2)  # what was booked before has passed
            await one.send(a_call(to), within_s=8)
            began = time.monotonic()
            for _ in range(5):
                await one.send(a_call(to), within_s=2)
                await asyncio.sleep(0.05)
        finally:
            other.execute("ROLLBACK")
            other.close()

    assert time.monotonic() - began < 2


async def test_people_who_wait_in_one_process_pass_the_syncs_of_another(tmp_path: Path) -> None:
    to = account(rate(10, 1.0))
    async with processes(tmp_path, 2) as (syncing, asking):
        await asking.send(a_call(to, use=Use.INTERACTIVE))
        syncs = [asyncio.create_task(syncing.send(a_call(to), within_s=30)) for _ in range(60)]
        await asyncio.sleep(1.5)  # the window is as full as syncs may make it
        waits = []
        for _ in range(4):
            asked = time.monotonic()
            waits.append(await asking.send(a_call(to, use=Use.INTERACTIVE)) - asked)
            await asyncio.sleep(0.6)
        still_waiting = sum(1 for task in syncs if not task.done())
        for task in syncs:
            task.cancel()
        await asyncio.gather(*syncs, return_exceptions=True)

    assert still_waiting > 10
    assert sorted(waits)[1] < 0.4  # by far not behind those that wait there
