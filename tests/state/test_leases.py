"""One holder at a time; what its process left behind ends by itself."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from firnline.settings import Settings
from firnline.state import State

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


async def test_lease_is_held_by_one_until_it_is_released(database: Settings) -> None:
    state = await State.open(database)
    leases = state.leases
    assert await leases.hold("refresh", "one", ttl_s=30, now=NOW) == 1
    assert await leases.hold("refresh", "two", ttl_s=30, now=after(29)) is None
    assert await leases.hold("another", "two", ttl_s=30, now=NOW) == 1

    await leases.release("refresh", "two", now=after(1))
    assert await leases.hold("refresh", "two", ttl_s=30, now=after(1)) is None
    await leases.release("refresh", "one", now=after(1))
    assert await leases.hold("refresh", "two", ttl_s=30, now=after(1)) == 2
    await state.close()


async def test_lease_that_ran_out_is_taken_over_with_a_greater_fence(database: Settings) -> None:
    state = await State.open(database)
    leases = state.leases
    assert await leases.hold("refresh", "one", ttl_s=30, now=NOW) == 1
    assert await leases.hold("refresh", "two", ttl_s=30, now=after(30)) == 2
    await leases.release("refresh", "one", now=after(31))
    assert await leases.hold("refresh", "one", ttl_s=30, now=after(31)) is None
    await state.close()


async def test_holder_prolongs_its_lease_under_the_same_fence(database: Settings) -> None:
    state = await State.open(database)
    leases = state.leases
    for second in (0, 20, 40):
        assert await leases.hold("keep", "one", ttl_s=30, now=after(second)) == 1
    assert await leases.hold("keep", "two", ttl_s=30, now=after(69)) is None
    assert await leases.hold("keep", "one", ttl_s=30, now=after(70)) == 2
    await state.close()


async def test_of_many_who_ask_at_once_one_gets_the_lease(database: Settings) -> None:
    states = [await State.open(database) for _ in range(3)]
    for second in (0, 30):  # a new one, and one that ran out
        fences = await asyncio.gather(
            *(
                states[each % 3].leases.hold("refresh", f"{each}", ttl_s=30, now=after(second))
                for each in range(12)
            )
        )
        assert len([fence for fence in fences if fence is not None]) == 1
    for state in states:
        await state.close()


async def test_released_lease_is_free_for_a_process_whose_clock_is_behind(
    database: Settings,
) -> None:
    state = await State.open(database)
    leases = state.leases
    assert await leases.hold("refresh", "one", ttl_s=30, now=after(300)) == 1
    await leases.release("refresh", "one", now=after(301))
    assert await leases.hold("refresh", "two", ttl_s=30, now=NOW) == 2
    await state.close()
