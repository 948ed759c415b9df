"""A sandbox's login sessions end by idling, count against a licence and belong to one user."""

from __future__ import annotations

from datetime import UTC, datetime

from firnline.clock import FixedClock
from firnline.sandbox.sessions import ServerSessions, cookies_of


def clock() -> FixedClock:
    return FixedClock(datetime(2026, 11, 22, 12, 0, tzinfo=UTC))


async def test_session_lives_as_long_as_it_is_used_and_no_longer() -> None:
    time = clock()
    sessions = ServerSessions(clock=time, idle_s=1800)
    opened = sessions.open("ann")
    assert opened is not None
    for _ in range(3):
        await time.sleep(1799)
        assert sessions.used(opened.key) is opened

    await time.sleep(1800)
    assert sessions.used(opened.key) is None


async def test_licence_bounds_the_live_sessions_only() -> None:
    time = clock()
    sessions = ServerSessions(clock=time, idle_s=1800, sessions_max=2)
    first, second = sessions.open("ann"), sessions.open("ann")
    assert first is not None
    assert second is not None
    assert sessions.open("ann") is None

    assert sessions.close(first.key)
    assert not sessions.close(first.key)
    assert sessions.open("ann") is not None
    await time.sleep(1800)
    assert len(sessions) == 0
    assert sessions.opened == 3


def test_each_session_has_its_own_key_and_shows_it_in_no_repr() -> None:
    sessions = ServerSessions(clock=clock(), idle_s=60)
    first, second = sessions.open("ann"), sessions.open("ann")
    assert first is not None
    assert second is not None

    assert first.key != second.key
    assert first.key not in repr(first)
    assert sessions.used("") is None


def test_cookies_of_a_call_are_read() -> None:
    headers = {"cookie": "B1SESSION=a==; ROUTEID=.node1;x"}

    assert cookies_of(headers) == {"B1SESSION": "a==", "ROUTEID": ".node1", "x": ""}
    assert cookies_of({}) == {}
