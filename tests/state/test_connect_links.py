"""A connect link belongs to the browser that used it first, whichever process it came to."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from firnline.settings import Settings
from firnline.state import State

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


async def test_of_browsers_at_several_processes_one_gets_the_link(database: Settings) -> None:
    stores = [await State.open(database) for _ in range(3)]
    try:
        claims = [
            store.connect_links.claim("acme", "link", f"{number}", expires_at=NOW + HOUR, now=NOW)
            for number, store in enumerate(stores * 4)
        ]
        came = await asyncio.gather(*claims)
        owner = came.index(True)
        again = [
            await store.connect_links.claim(
                "acme", "link", f"{owner}", expires_at=NOW + HOUR, now=NOW
            )
            for store in stores
        ]
    finally:
        for store in stores:
            await store.close()

    assert came.count(True) == 1
    assert again == [True] * 3


@pytest.mark.parametrize("other", [("globex", "link"), ("acme", "other")])
async def test_each_link_of_each_tenant_is_claimed_for_itself(
    database: Settings, other: tuple[str, str]
) -> None:
    store = await State.open(database)
    try:
        claim = store.connect_links.claim
        assert await claim("acme", "link", "one", expires_at=NOW + HOUR, now=NOW)
        assert await claim(*other, "two", expires_at=NOW + HOUR, now=NOW)
        assert not await claim("acme", "link", "two", expires_at=NOW + HOUR, now=NOW)
        # Once it ran out nothing of it is left; links themselves say that they did.
        assert await claim("acme", "link", "two", expires_at=NOW + 3 * HOUR, now=NOW + 2 * HOUR)
    finally:
        await store.close()
