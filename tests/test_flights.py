"""The same work at the same time is done once, and ends as its owner wants it to."""

from __future__ import annotations

import asyncio

import pytest

from firnline.flights import Flights


async def test_same_work_at_a_time_is_done_once_while_someone_waits() -> None:
    flights: Flights[str, int] = Flights(goes_on=False)
    begun, may_end, ended = [], asyncio.Event(), []

    async def work() -> int:
        begun.append(1)
        try:
            await may_end.wait()
        finally:
            ended.append(1)
        return 7

    waiting = [asyncio.create_task(flights.join("a", work)) for _ in range(5)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting[0].cancel()
    waiting[1].cancel()
    await asyncio.wait(waiting[:2])
    assert not ended  # three still wait
    may_end.set()
    assert [await each for each in waiting[2:]] == [7, 7, 7]
    assert len(begun) == 1
    may_end.clear()
    last = asyncio.create_task(flights.join("a", work))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    last.cancel()
    with pytest.raises(asyncio.CancelledError):
        await last
    assert len(ended) == 2  # given up, and over before the last one left
    assert len(flights) == 0


async def test_work_that_goes_on_ends_although_everybody_gave_up() -> None:
    flights: Flights[str, int] = Flights(goes_on=True)
    may_end, ended = asyncio.Event(), []

    async def work() -> int:
        await may_end.wait()
        ended.append(1)
        return 7

    only = asyncio.create_task(flights.join("a", work))
    await asyncio.sleep(0)
    only.cancel()
    with pytest.raises(asyncio.CancelledError):
        await only
    assert (len(flights), ended) == (1, [])
    may_end.set()
    await flights.finish()
    assert ended == [1]
    assert len(flights) == 0


async def test_work_that_fails_tells_all_who_wait_and_is_done_again_for_the_next() -> None:
    flights: Flights[str, int] = Flights(goes_on=True)
    runs = 0

    async def fails_first() -> int:
        nonlocal runs
        runs += 1
        await asyncio.sleep(0)
        if runs == 1:
            raise ValueError("not this time")
        return runs

    first = await asyncio.gather(
        *(flights.join("k", fails_first) for _ in range(3)), return_exceptions=True
    )
    assert [str(error) for error in first] == ["not this time"] * 3
    assert await flights.join("k", fails_first) == 2
