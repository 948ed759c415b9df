"""Several things go wrong at once: clocks that step, a database that is away, hanging endpoints."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import SecretStr
from tests.connections.conftest import SPEC, Bench

from firnline.connections import Connections, keeping, renewals
from firnline.connections.changing import StillPendingError
from firnline.connections.closed import ConnectionDisabledError
from firnline.connections.renewals import Renewals
from firnline.connections.site import Site, declared_site
from firnline.connections.token_set import TokenSet
from firnline.connectors.protocol import Request
from firnline.spec.model import TenantSpec
from firnline.state import ConnectionRow, State, StateUnavailableError
from firnline.transport import ProviderError, ProviderUnavailableError

GET = Request.get("/things")


@pytest.mark.parametrize("step_s", [-3600, 3600])
async def test_clock_that_steps_after_a_failed_renewal_keeps_nobody_out(
    bench: Bench, step_s: float
) -> None:
    await bench.connect_clips()
    bench.clips.lifetime_s = None
    channel = await bench.connections.channel("acme", SPEC, "clips")
    bench.clips.expire_access()
    bench.clips.token_answer = (503, {})
    with pytest.raises(ProviderUnavailableError):
        await channel.send(GET)
    bench.clips.token_answer = None

    bench.clock._now += timedelta(seconds=step_s)

    assert (await channel.send(GET)).status == 200


async def test_clock_that_steps_back_leaves_no_lease_of_the_dead(bench: Bench) -> None:
    await bench.connect_clips()
    leases = bench.connections.state.leases
    now = bench.clock.now()
    held = await leases.hold("refresh acme clips", "dead", ttl_s=20, now=now)
    assert held is not None
    bench.clock._now -= timedelta(hours=1)
    bench.clips.expire_access()
    channel = await bench.connections.channel("acme", SPEC, "clips")

    assert (await channel.send(GET)).status == 200


async def test_process_that_stood_still_longer_than_its_lease_asks_nobody(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refresh token shown twice would end the whole authorisation at strict providers."""
    await bench.connect_clips()
    bench.clips.expire_access()
    stands, goes_on = asyncio.Event(), asyncio.Event()
    note = Renewals._note_beginning
    frozen = bench.connections._renewals

    async def stand_still(self: Renewals, site: Site, tokens: TokenSet) -> None:
        await note(self, site, tokens)
        if self is frozen:
            stands.set()
            await goes_on.wait()

    monkeypatch.setattr(Renewals, "_note_beginning", stand_still)
    channel = await bench.connections.channel("acme", SPEC, "clips")
    sleeper = asyncio.create_task(channel.send(GET, deadline_s=300))
    await stands.wait()
    await bench.clock.sleep(41)
    async with Connections.open(bench.settings, clock=bench.clock) as other:
        awake = await other.channel("acme", SPEC, "clips")
        assert (await awake.send(GET)).status == 200
    goes_on.set()

    assert (await sleeper).status == 200
    assert len(bench.clips.token_calls) == 2
    assert (await bench.row()).state == "active"


async def test_token_that_is_stored_late_is_waited_for_by_whoever_takes_over(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database was away until the lease had run out; then both processes are quick."""
    await bench.connect_clips()
    bench.clips.expire_access()
    save, is_away = State.save_connection, True

    async def away(self: State, row: ConnectionRow) -> ConnectionRow:
        if is_away and self is bench.connections.state and len(bench.clips.token_calls) == 2:
            await asyncio.sleep(0.02)
            raise StateUnavailableError("it is away")
        return await save(self, row)

    monkeypatch.setattr(State, "save_connection", away)
    channel = await bench.connections.channel("acme", SPEC, "clips")
    first = asyncio.create_task(channel.send(GET, deadline_s=5000))
    while len(bench.clips.token_calls) < 2:  # noqa: ASYNC110 - the office tells nobody
        await asyncio.sleep(0.005)
    await bench.clock.sleep(41)
    monkeypatch.setattr(renewals, "TAKEOVER_WAIT_S", 0.0)  # the clock is no real one
    async with Connections.open(bench.settings, clock=bench.clock) as other:

        async def return_of_the_database(self: Renewals, site: Site, tokens: TokenSet) -> None:
            nonlocal is_away
            is_away = False
            await asyncio.wait_for(asyncio.shield(first), 20)

        monkeypatch.setattr(Renewals, "_note_beginning", return_of_the_database)
        taking_over = await other.channel("acme", SPEC, "clips")
        assert (await taking_over.send(GET)).status == 200
    assert (await first).status == 200
    assert len(bench.clips.token_calls) == 2


async def test_calls_of_the_same_moment_look_their_connection_up_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.connect_clips()
    channel = await bench.connections.channel("acme", SPEC, "clips")
    looks: list[str] = []
    look = State.connection

    async def counted(self: State, tenant: str, name: str, person: str = "") -> object:
        looks.append(name)
        return await look(self, tenant, name, person)

    monkeypatch.setattr(State, "connection", counted)
    await asyncio.gather(*(channel.send(GET) for _ in range(16)))
    assert len(looks) == 1

    await bench.connections.disable(SPEC, "clips")
    with pytest.raises(ConnectionDisabledError):  # nothing is kept for the next call
        await channel.send(GET)


async def test_hanging_token_endpoint_holds_up_nobody_while_the_token_lives(bench: Bench) -> None:
    await bench.connect_clips()
    channel = await bench.connections.channel("acme", SPEC, "clips")
    await bench.clock.sleep(3600 - 30)
    bench.clips.token_delay_s = 4.0
    under_way = bench.connections._renewals._flights

    answers = await asyncio.gather(*(channel.send(GET) for _ in range(5)))

    assert {answer.status for answer in answers} == {200}
    assert len(under_way) == 1  # it goes on, and is stored when it comes
    await bench.connections._renewals.finish()
    assert (await bench.row()).version > 2


async def test_same_token_given_for_longer_goes_on(bench: Bench) -> None:
    await bench.connect_clips()
    channel = await bench.connections.channel("acme", SPEC, "clips")
    (token,) = bench.clips.access
    await bench.clock.sleep(3601)
    bench.clips.access[token] = ("ann@north.test", float("inf"))
    answer = {"access_token": token, "expires_in": 3600, "refresh_token": "next"}
    bench.clips.token_answer = (200, answer)

    assert (await channel.send(GET)).status == 200
    assert len(bench.clips.token_calls) == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>sign in</html>",
        b"",
        b"[]",
        b"null",
        b'{"access_token": null}',
        b'{"access_token": ""}',
        b'{"access_token": " padded "}',
        b'{"access_token": "a\\r\\nx-injected: 1"}',
        b'{"access_token": "a\\u0000b"}',
        b'{"access_token": {"a": 1}}',
        b'{"access_token": "' + b"x" * 40_000 + b'"}',
        b'{"token_type": "bearer"}',
    ],
)
async def test_answer_without_a_usable_token_is_named_and_changes_nothing(
    bench: Bench, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    from starlette.responses import Response

    await bench.connect_clips()
    bench.clips.keeps_replaced = True
    channel = await bench.connections.channel("acme", SPEC, "clips")
    bench.clips.expire_access()
    real = type(bench.clips)._by_refresh
    monkeypatch.setattr(bench.clips, "_by_refresh", lambda _body: Response(answer, 200))
    with pytest.raises(ProviderError) as failed:
        await channel.send(GET)
    assert "token endpoint" in failed.value.message
    row = await bench.row()
    assert row.state == "active"
    assert row.renewal_error

    monkeypatch.setattr(bench.clips, "_by_refresh", lambda body: real(bench.clips, body))
    await bench.clock.sleep(2)
    assert (await channel.send(GET)).status == 200


@pytest.mark.parametrize(
    "stated",
    ["-1", '"-5"', "1e400", '"1e400"', "9" * 30, '"soon"', "true", "[]", "{}", "NaN", '"nan"',
     "0.0001", '""', '"' + "9" * 5000 + '"'],
)  # fmt: skip
async def test_whatever_lifetime_is_stated_the_connection_works(
    bench: Bench, stated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from starlette.responses import Response

    await bench.connect_clips()
    channel = await bench.connections.channel("acme", SPEC, "clips")
    bench.clips.expire_access()
    number = iter(range(100))

    def renewed(_body: object) -> Response:
        token = f"access-{next(number)}"
        bench.clips.access[token] = ("ann@north.test", float("inf"))
        text = f'{{"access_token": "{token}", "expires_in": {stated}, "refresh_token": "r"}}'
        return Response(text, 200)

    monkeypatch.setattr(bench.clips, "_by_refresh", renewed)
    try:
        for _ in range(3):
            assert (await channel.send(GET)).status == 200
    except ProviderError as error:
        assert "JSON" in error.message, error
    assert (await bench.row()).state == "active"


@contextmanager
def locked(bench: Bench) -> Iterator[None]:
    """Hold the write lock of the state database."""
    database = sqlite3.connect(bench.settings.home / "state.db", isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        database.execute("ROLLBACK")
        database.close()


async def test_calls_of_others_wait_for_no_writer(bench: Bench) -> None:
    """Nor do they fail: the write lock is held all the time, by a backup or whatever it is."""
    await bench.connect_clips()
    channel = await bench.connections.channel("acme", SPEC, "clips")
    leases, now = bench.connections.state.leases, bench.clock.now()
    with locked(bench):
        holding = (leases.hold(f"work {number}", "me", ttl_s=9, now=now) for number in range(40))
        writers = [asyncio.create_task(each) for each in holding]
        await asyncio.sleep(0.1)
        assert (await channel.send(GET)).status == 200
        assert not any(writer.done() for writer in writers)
    assert all(await asyncio.gather(*writers))


async def test_renewal_that_meets_a_locked_database_is_stored_when_it_is_free(bench: Bench) -> None:
    await bench.connect_clips()
    channel = await bench.connections.channel("acme", SPEC, "clips")
    bench.clips.expire_access()
    bench.clips.token_delay_s = 0.2
    calls = [asyncio.create_task(channel.send(GET)) for _ in range(5)]
    while len(bench.clips.token_calls) < 2:  # noqa: ASYNC110 - the office tells nobody
        await asyncio.sleep(0.005)
    with locked(bench):
        await asyncio.sleep(1.0)
        assert not any(call.done() for call in calls)  # stored before its first use

    assert {answer.status for answer in await asyncio.gather(*calls)} == {200}
    assert len(bench.clips.token_calls) == 2


async def test_database_without_its_tables_is_a_typed_error_everywhere(bench: Bench) -> None:
    await bench.connect_clips()
    channel = await bench.connections.channel("acme", SPEC, "clips")
    bench.clips.expire_access()
    for table in ("clients", "data_keys"):
        with sqlite3.connect(bench.settings.home / "state.db") as database:
            database.execute(f"ALTER TABLE {table} RENAME TO away")
        with pytest.raises(StateUnavailableError) as failed:
            await channel.send(GET)
        assert "SELECT" not in str(failed.value)
        with sqlite3.connect(bench.settings.home / "state.db") as database:
            database.execute(f"ALTER TABLE away RENAME TO {table}")
    assert (await channel.send(GET)).status == 200


async def test_keeping_one_broken_connection_keeps_the_others(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.connect_clips()
    both = TenantSpec.model_validate(
        {
            "tenant": "acme",
            "connections": {
                name: {"provider": "paperclip", "settings": {"office": "north"}}
                for name in ("clips", "again")
            },
        }
    )
    row = await bench.row()
    site = declared_site(both, "again")
    tokens = await bench.connections._renewals.opened(declared_site(both, "clips"), row)
    other = replace(
        row,
        name="again",
        version=0,
        token_ciphertext=await bench.connections._renewals.sealed(
            site, replace(tokens, access_token=SecretStr("x"))
        ),
        expires_at=row.expires_at and row.expires_at - timedelta(seconds=10),
    )
    await bench.connections.state.save_connection(other)
    await bench.clock.sleep(3600 - 60)
    early = Renewals.renewed_early
    asked: list[str] = []

    async def breaks(self: Renewals, site: Site, old: SecretStr) -> object:
        asked.append(site.name)
        if site.name == "again":
            raise KeyError("canary")
        return await early(self, site, old)

    monkeypatch.setattr(Renewals, "renewed_early", breaks)
    monkeypatch.setattr(keeping, "SPREAD_S", 0.0)
    await bench.connections._keeping.look({"acme": both})
    assert asked == ["again", "clips"]
    assert len(bench.clips.token_calls) == 2


async def test_connection_of_a_connector_that_is_gone_can_be_ended(bench: Bench) -> None:
    await bench.connect_clips()
    row = await bench.row()
    gone = replace(row, name="old", provider="removed", version=0)
    await bench.connections.state.save_connection(gone)

    ended = await bench.connections.revoke_all("acme", reason="panic")

    assert {(each.name, each.state) for each in ended} == {("clips", "revoked"), ("old", "revoked")}
    assert not bench.clips.refresh


async def test_connection_that_waits_to_be_confirmed_is_not_switched_off_and_on(
    bench: Bench,
) -> None:
    """Switched on again it would be in use, and nobody would have looked at its account."""
    await bench.connect_clips()
    await bench.connections.state.save_connection(replace(await bench.row(), state="pending"))

    with pytest.raises(StillPendingError):
        await bench.connections.disable(SPEC, "clips", reason="wait")

    assert (await bench.row()).state == "pending"
