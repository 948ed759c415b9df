"""Work that ends at once costs nothing more; work that waits ends with its deadline or client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message

from firnline.graph.deadline import Deadline, DeadlineError, in_time
from firnline.web.departure import while_connected


class Client:
    """An ASGI `receive` of a client that stays until told to leave."""

    def __init__(self) -> None:
        self.leaves = asyncio.Event()
        self.is_watched = False

    async def receive(self) -> Message:
        self.is_watched = True
        await self.leaves.wait()
        return {"type": "http.disconnect"}


async def at_once() -> str:
    return "answer"


async def waits(log: list[str], *, seconds: float = 60) -> str:
    try:
        await asyncio.sleep(0)
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        log.append("cancelled")
        await asyncio.sleep(0)  # a cursor is given back
        log.append("ended")
        raise
    return "answer"


async def test_work_that_never_waits_starts_no_task_and_watches_nobody() -> None:
    client, before = Client(), asyncio.all_tasks()
    assert await while_connected(at_once(), client.receive, Deadline(1)) == "answer"
    assert not client.is_watched
    assert asyncio.all_tasks() == before


async def test_work_that_waits_is_answered_and_leaves_no_task_behind() -> None:
    client, before = Client(), asyncio.all_tasks()
    assert await while_connected(waits([], seconds=0.01), client.receive, Deadline(5)) == "answer"
    assert client.is_watched
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_departure_cancels_the_work_to_its_end_and_only_the_work() -> None:
    client, log = Client(), []
    asyncio.get_running_loop().call_later(0.01, client.leaves.set)
    with pytest.raises(ClientDisconnect):
        await while_connected(waits(log), client.receive, Deadline(5))
    assert log == ["cancelled", "ended"]
    task = asyncio.current_task()
    assert task and not task.cancelling()
    await asyncio.sleep(0)


async def test_deadline_cancels_the_work_to_its_end() -> None:
    log: list[str] = []
    with pytest.raises(DeadlineError, match=r"0\.01 seconds"):
        await while_connected(waits(log), Client().receive, Deadline(0.01))
    with pytest.raises(DeadlineError):
        await in_time(waits(log), Deadline(0.01))
    assert log == ["cancelled", "ended"] * 2


async def test_failure_of_cancelled_work_is_still_a_departure() -> None:
    async def interrupted() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise RuntimeError("interrupted") from None

    client = Client()
    client.leaves.set()
    with pytest.raises(ClientDisconnect):
        await while_connected(interrupted(), client.receive, Deadline(5))


async def test_broken_connection_is_a_departure() -> None:
    async def broken() -> Message:
        raise ConnectionResetError

    log: list[str] = []
    with pytest.raises(ClientDisconnect):
        await while_connected(waits(log), broken, Deadline(5))
    assert log == ["cancelled", "ended"]


async def test_cancellation_from_outside_stays_one() -> None:
    client, log = Client(), []
    request = asyncio.create_task(while_connected(waits(log), client.receive, Deadline(5)))
    await asyncio.sleep(0.01)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert log == ["cancelled", "ended"]


async def test_timeout_inside_the_work_cancels_what_it_means_to() -> None:
    async def with_own_timeout() -> str:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(60)
        except TimeoutError:
            await asyncio.sleep(0)
            return "in its own time"
        return "never"

    answer = await while_connected(with_own_timeout(), Client().receive, Deadline(5))
    assert answer == "in its own time"


@pytest.mark.parametrize("failure", [ValueError, TimeoutError, KeyError, StopAsyncIteration])
async def test_failure_of_the_work_arrives_as_it_is(failure: Callable[[], Exception]) -> None:
    async def fails(*, later: bool) -> Any:
        if later:
            await asyncio.sleep(0)
        raise failure()

    for later in (False, True):
        with pytest.raises(type(failure())):
            await while_connected(fails(later=later), Client().receive, Deadline(5))


async def test_failure_of_what_the_work_waits_for_reaches_the_work() -> None:
    async def recovers() -> str:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_exception, KeyError("gone"))
        try:
            await future
        except KeyError:
            return "recovered"
        return "never"

    assert await while_connected(recovers(), Client().receive, Deadline(5)) == "recovered"
