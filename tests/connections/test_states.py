"""What a provider's refusal makes of a connection, and what people make of it on purpose."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from tests.connections.conftest import SPEC, Bench

from firnline.clock import SystemClock
from firnline.connections import Connections, NeedsReconnectError, NotConnectedError, keeping
from firnline.connections.activating import OtherAccountError
from firnline.connections.changing import NotRenewableError
from firnline.connections.closed import (
    ConnectionDisabledError,
    ConnectionPendingError,
    ConnectionRevokedError,
)
from firnline.connections.endpoint import ClientRefusedError
from firnline.connections.standing import EXPIRING_AHEAD
from firnline.connectors.protocol import Request
from firnline.sandbox.signin import CALLBACK, approve
from firnline.state import ConnectionRow, State, StateUnavailableError
from firnline.transport import (
    ProviderAnswerError,
    ProviderForbiddenError,
    ProviderRateLimitedError,
    ProviderScopeError,
    ProviderUnavailableError,
    ProviderUnreachableError,
)

GET = Request.get("/things")


@dataclass(frozen=True)
class Fault:
    """What the provider answers how often, and what must come of it."""

    name: str
    api: tuple[tuple[int, Any], ...] = ()  # the next answers of the API, then it works again
    api_always: tuple[int, Any] | None = None
    token: tuple[int, Any] | None = None  # what the token endpoint answers meanwhile
    is_expired: bool = False  # the access token is known to nobody
    is_revoked: bool = False  # the refresh token, too
    raises: type[Exception] | None = None
    state: str = "active"
    renewals: int = 0


FAULTS = [
    Fault("a passing 401", api=((401, {"error": "token expired"}),), renewals=1),
    Fault("three 401 in a row", api=((401, {}),) * 3, renewals=1),
    Fault(
        "a storm of 401 on a token just renewed",
        api_always=(401, {"error": "no entry"}),
        raises=NeedsReconnectError,
        state="needs_reconnect",
        renewals=1,
    ),
    Fault(
        "a 401 about a missing scope",
        api_always=(401, {"error": "missing required scopes: calls:read"}),
        raises=ProviderScopeError,
    ),
    Fault(
        "a 403 about a missing scope",
        api_always=(403, {"category": "MISSING_SCOPES", "error": "crm.schemas.custom.read"}),
        raises=ProviderScopeError,
    ),
    Fault("a 403", api_always=(403, {"error": "not yours"}), raises=ProviderForbiddenError),
    Fault(
        "an answer that says revoked",
        api_always=(410, {"error": "app removed"}),
        raises=NeedsReconnectError,
        state="needs_reconnect",
    ),
    Fault("an expired token", is_expired=True, renewals=1),
    Fault(
        "a revoked refresh token",
        is_revoked=True,
        raises=NeedsReconnectError,
        state="needs_reconnect",
        renewals=1,
    ),
    Fault(
        "an outage of the token endpoint",
        is_expired=True,
        token=(503, {}),
        raises=ProviderUnavailableError,
        renewals=1,
    ),
    Fault(
        "a proxy's page in place of the token endpoint's refusal",
        is_expired=True,
        token=(400, "<html>"),
        raises=ProviderAnswerError,
        renewals=1,
    ),
    Fault(
        "a refusal of Firnline's own client",
        is_expired=True,
        token=(401, {"error": "invalid_client"}),
        raises=ClientRefusedError,
        renewals=1,
    ),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_refusal_makes_of_a_connection_what_its_grounds_say(
    bench: Bench, fault: Fault
) -> None:
    await bench.connect_clips()
    channel = await bench.connections.channel("acme", SPEC, "clips")
    bench.clips.api_next = list(fault.api)
    bench.clips.api_answer = fault.api_always
    bench.clips.token_answer = fault.token
    if fault.is_expired:
        bench.clips.expire_access()
    if fault.is_revoked:
        bench.clips.revoke_all()

    expected = contextlib.nullcontext() if not fault.raises else pytest.raises(fault.raises)
    with expected:
        assert (await channel.send(GET)).status == 200

    row = await bench.row()
    assert (row.state, bool(row.state_reason)) == (fault.state, fault.state != "active")
    assert len(bench.clips.token_calls) - 1 == fault.renewals
    events = await bench.connections.events()
    assert [event.state for event in events] == list(dict.fromkeys(["active", fault.state]))

    bench.clips.token_answer = bench.clips.api_answer = None
    if fault.state == "active":
        assert (await channel.send(GET)).status == 200
    else:
        calls = len(bench.clips.token_calls) + len(bench.clips.seen)
        for _ in range(3):
            with pytest.raises(NeedsReconnectError):
                await bench.connections.channel("acme", SPEC, "clips")
        assert len(bench.clips.token_calls) + len(bench.clips.seen) == calls


async def test_lost_reply_leaves_the_connection_and_is_named_when_it_is_refused_later(
    bench: Bench,
) -> None:
    await bench.connect_clips()
    channel = await bench.connections.channel("acme", SPEC, "clips")
    bench.clips.loses_replies = 1
    bench.clips.api_answer = (401, {})

    with pytest.raises(ProviderUnreachableError):
        await channel.send(GET)

    row = await bench.row()
    assert row.state == "active"
    assert row.renewal_began_at is not None
    assert "no whole answer" in row.renewal_error
    bench.clips.api_answer = None
    with pytest.raises(NeedsReconnectError, match="a renewal was interrupted at 2026-11-22 12:00"):
        await channel.send(GET)  # the office rotated: the old refresh token is dead


async def test_failure_in_between_does_not_make_a_lost_reply_forgotten(bench: Bench) -> None:
    await bench.connect_clips()
    channel = await bench.connections.channel("acme", SPEC, "clips")
    bench.clips.expire_access()
    bench.clips.loses_replies = 1
    with pytest.raises(ProviderUnreachableError):
        await channel.send(GET)
    for answer, error in (
        ((429, {}), ProviderRateLimitedError),
        ((401, {"error": "invalid_client"}), ClientRefusedError),
    ):
        bench.clips.token_answer = answer
        with pytest.raises(error):
            await channel.send(GET)
        assert (await bench.row()).renewal_began_at is not None
    bench.clips.token_answer = None

    with pytest.raises(NeedsReconnectError, match="interrupted"):
        await channel.send(GET)


async def test_provider_in_trouble_is_not_asked_by_every_call(bench: Bench) -> None:
    await bench.connect_clips()
    channel = await bench.connections.channel("acme", SPEC, "clips")
    await bench.clock.sleep(3601)
    bench.clips.token_answer = (503, {})
    for _ in range(20):
        with pytest.raises(ProviderUnavailableError) as failed:
            await channel.send(GET)
        assert str(failed.value).count("paperclip") == 1
    assert len(bench.clips.token_calls) == 2

    bench.clips.token_answer = None
    await bench.clock.sleep(2)
    assert (await channel.send(GET)).status == 200


async def test_lost_reply_harms_nobody_while_the_old_token_lives(bench: Bench) -> None:
    await bench.connect_clips()
    bench.clips.keeps_replaced = True
    channel = await bench.connections.channel("acme", SPEC, "clips")
    await bench.clock.sleep(3600 - 30)
    bench.clips.loses_replies = 1

    assert (await channel.send(GET)).status == 200
    assert (await bench.row()).state == "active"
    calls = len(bench.clips.token_calls)
    assert (await channel.send(GET)).status == 200  # and the next call does not hurry either
    assert len(bench.clips.token_calls) == calls

    await bench.clock.sleep(60)  # now it is needed: the old refresh token answers once more
    assert (await channel.send(GET)).status == 200
    row = await bench.row()
    assert (row.state, row.renewal_began_at, row.renewal_error) == ("active", None, "")


async def test_renewed_token_is_stored_although_the_database_was_away(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.connect_clips()
    channel = await bench.connections.channel("acme", SPEC, "clips")
    bench.clips.expire_access()
    save, failures = State.save_connection, [1, 2, 3]

    async def away(self: State, row: ConnectionRow) -> ConnectionRow:
        if failures and len(bench.clips.token_calls) == 2:
            failures.pop()
            raise StateUnavailableError("it is away")
        return await save(self, row)

    monkeypatch.setattr(State, "save_connection", away)

    assert (await channel.send(GET)).status == 200
    assert failures == []
    assert len(bench.clips.token_calls) == 2
    async with Connections.open(bench.settings, clock=bench.clock) as other:
        channel = await other.channel("acme", SPEC, "clips")
        assert (await channel.send(GET)).status == 200
    assert len(bench.clips.token_calls) == 2


async def test_keeping_goes_on_after_whatever_failure(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []

    async def look(_tenants: object) -> None:
        looks.append(1)
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())

    async def fail() -> None:
        raise RuntimeError("canary")

    monkeypatch.setattr(bench.connections._keeping, "look", look)
    task = asyncio.create_task(bench.connections.keep_fresh({}))
    async with asyncio.timeout(20):
        while len(looks) < 3:  # noqa: ASYNC110 - the loop tells nobody
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


# Ends that are known beforehand


async def test_authorisation_that_nothing_renews_is_expiring_before_its_end(bench: Bench) -> None:
    bench.clips.gives_refresh = False
    row = await bench.connect_clips()

    assert row.state == "expiring"
    assert "2026-11-22 13:00 UTC" in row.state_reason
    channel = await bench.connections.channel("acme", SPEC, "clips")
    assert (await channel.send(GET)).status == 200
    await bench.clock.sleep(3601)
    with pytest.raises(NeedsReconnectError, match="nothing renews it"):
        await channel.send(GET)
    with pytest.raises(NeedsReconnectError):
        await bench.connections.refresh(SPEC, "clips")
    states = [event.state for event in await bench.connections.events()]
    assert states == ["expiring", "needs_reconnect"]


async def test_refresh_token_whose_end_does_not_move_makes_a_connection_expiring(
    bench: Bench,
) -> None:
    end = bench.clock.now() + timedelta(days=9)
    bench.clips.refresh_ends = end
    assert (await bench.connect_clips()).state == "active"
    await bench.clock.sleep(3600)
    assert (await bench.connections.refresh(SPEC, "clips")).state == "active"
    await bench.clock.sleep((timedelta(days=9) - EXPIRING_AHEAD).total_seconds())

    row = await bench.connections.refresh(SPEC, "clips")

    assert (row.state, row.ends_at) == ("expiring", end)
    bench.clips.refresh_ends = end + timedelta(days=30)
    assert (await bench.connections.refresh(SPEC, "clips")).state == "active"


# Kept alive although nobody asks


async def test_idle_connections_are_renewed_ahead_and_once_only(bench: Bench) -> None:
    await bench.connect_clips()
    await bench.connections.connect(SPEC, "staples")
    keeper = bench.connections._keeping
    tenants = {"acme": SPEC}
    await keeper.look(tenants)
    assert len(bench.clips.token_calls) == 1

    await bench.clock.sleep(3600 - 299)
    await keeper.look(tenants)
    await keeper.look(tenants)

    assert len(bench.clips.token_calls) == 2
    assert len(bench.staples.token_calls) == 1  # an assertion is signed when one is needed
    await bench.clock.sleep(7200)
    await keeper.look({})  # a tenant that is declared no more is left alone
    assert len(bench.clips.token_calls) == 2


async def test_failure_rests_before_a_connection_is_renewed_again_unasked(bench: Bench) -> None:
    await bench.connect_clips()
    await bench.clock.sleep(3600 - 200)
    bench.clips.token_answer = (400, {"error": "unheard_of"})
    keeper = bench.connections._keeping
    for _ in range(3):
        await keeper.look({"acme": SPEC})
    assert len(bench.clips.token_calls) == 2

    (status, _staples) = await bench.connections.statuses(SPEC)
    assert (status.state, "unheard_of" in status.last_error) == ("active", True)
    await bench.clock.sleep(301)
    bench.clips.token_answer = None
    await keeper.look({"acme": SPEC})
    assert (await bench.row()).renewal_error == ""


async def test_of_two_processes_one_keeps_connections_fresh(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "EVERY_S", 0.02)
    looks: list[int] = []
    async with contextlib.AsyncExitStack() as stack:
        tasks = []
        for number in range(2):
            opened = Connections.open(bench.settings, clock=SystemClock())
            connections = await stack.enter_async_context(opened)

            async def look(_tenants: object, number: int = number) -> None:
                looks.append(number)

            monkeypatch.setattr(connections._keeping, "look", look)
            tasks.append(asyncio.create_task(connections.keep_fresh({})))
        async with asyncio.timeout(20):
            while len(looks) < 5:  # noqa: ASYNC110 - the loop tells nobody
                await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    assert len(set(looks)) == 1


# On purpose


async def test_revoking_forgets_the_token_here_and_ends_it_there(bench: Bench) -> None:
    await bench.connect_clips()
    channel = await bench.connections.channel("acme", SPEC, "clips")

    row = await bench.connections.revoke(SPEC, "clips", reason="by Ann")

    assert (row.state, row.token_ciphertext) == ("revoked", None)
    assert row.state_reason == "by Ann; the provider ended it, too"
    assert bench.clips.refresh == {}
    assert await bench.row() == row == await bench.connections.revoke(SPEC, "clips")
    with pytest.raises(ConnectionRevokedError, match="by Ann"):
        await channel.send(GET)
    assert [event.state for event in await bench.connections.events()] == ["active", "revoked"]


async def test_provider_that_does_not_confirm_the_end_is_named(bench: Bench) -> None:
    await bench.connect_clips()
    bench.clips.revoke_answer = (500, {})

    row = await bench.connections.revoke(SPEC, "clips")

    assert (row.state, row.token_ciphertext) == ("revoked", None)
    assert "the provider did not confirm its end" in row.state_reason
    bench.clips.revoke_answer = None
    assert (await bench.connections.connect(SPEC, "staples")).state == "active"
    row = await bench.connections.revoke(SPEC, "staples")
    assert "no way to end it" in row.state_reason


async def test_connection_revoked_during_its_renewal_stays_revoked(bench: Bench) -> None:
    await bench.connect_clips()
    bench.clips.token_delay_s = 0.3
    renewing = asyncio.create_task(bench.connections.refresh(SPEC, "clips"))
    while len(bench.clips.token_calls) < 2:  # noqa: ASYNC110 - the server counts, it tells nobody
        await asyncio.sleep(0.005)
    await bench.connections.revoke(SPEC, "clips")

    with pytest.raises(ConnectionRevokedError):
        await renewing
    row = await bench.row()
    assert (row.state, row.token_ciphertext) == ("revoked", None)
    assert bench.clips.refresh == {}  # what the renewal brought was ended, too


async def test_everything_of_a_tenant_is_revoked_at_once(bench: Bench) -> None:
    await bench.connect_clips()
    await bench.connections.connect(SPEC, "staples", person="bob@north.test")

    rows = await bench.connections.revoke_all("acme", reason="the customer left")

    assert [(row.name, row.person, row.state) for row in rows] == [
        ("clips", "", "revoked"),
        ("staples", "bob@north.test", "revoked"),
    ]
    assert await bench.connections.revoke_all("globex") == []


async def test_disabled_connection_keeps_its_token_and_works_when_enabled(bench: Bench) -> None:
    await bench.connect_clips()
    channel = await bench.connections.channel("acme", SPEC, "clips")
    await bench.connections.disable(SPEC, "clips", reason="maintenance")
    with pytest.raises(ConnectionDisabledError, match="maintenance"):
        await channel.send(GET)
    again = await bench.connections.disable(SPEC, "clips", reason="another")
    assert again.state_reason == "maintenance"

    row = await bench.connections.enable(SPEC, "clips")

    assert (row.state, row.state_reason) == ("active", "")
    assert (await channel.send(GET)).status == 200
    assert await bench.connections.enable(SPEC, "clips") == row
    states = [event.state for event in await bench.connections.events()]
    assert states == ["active", "disabled", "active"]


async def test_token_that_was_renewed_while_it_was_disabled_is_kept(bench: Bench) -> None:
    await bench.connect_clips()
    bench.clips.token_delay_s = 0.3
    renewing = asyncio.create_task(bench.connections.refresh(SPEC, "clips"))
    while len(bench.clips.token_calls) < 2:  # noqa: ASYNC110 - the server counts, it tells nobody
        await asyncio.sleep(0.005)
    await bench.connections.disable(SPEC, "clips")
    with pytest.raises(ConnectionDisabledError):
        await renewing

    await bench.connections.enable(SPEC, "clips")
    channel = await bench.connections.channel("acme", SPEC, "clips")
    assert (await channel.send(GET)).status == 200
    assert len(bench.clips.token_calls) == 2


async def test_changes_of_what_is_not_connected_say_so(bench: Bench) -> None:
    for change in (
        bench.connections.revoke,
        bench.connections.disable,
        bench.connections.enable,
        bench.connections.refresh,
        bench.connections.test,
    ):
        with pytest.raises(NotConnectedError):
            await change(SPEC, "clips")


async def test_forced_renewal_and_test_say_what_they_found(bench: Bench) -> None:
    first = await bench.connect_clips()
    assert (await bench.connections.test(SPEC, "clips")).user_name == "Ann Admin"
    renewed = await bench.connections.refresh(SPEC, "clips")
    assert (renewed.state, renewed.state_at) == ("active", first.state_at)
    assert renewed.version > first.version
    bench.clips.gives_refresh = False
    await bench.connect_clips()
    with pytest.raises(NotRenewableError):
        await bench.connections.refresh(SPEC, "clips")


async def test_connection_that_nobody_confirmed_is_not_used(bench: Bench) -> None:
    start = await bench.connections.start_authorization(
        SPEC, "clips", redirect_uri=CALLBACK, browser="b1"
    )
    async with httpx2.AsyncClient() as http:
        routes = bench.connections.transport.routes
        code, state = await approve(http, start.url, "ann@north.test", routes=routes)
    arrivals = bench.connections.arrivals
    token = await arrivals.receive(state, code, browser="b1", redirect_uri=CALLBACK, issuer="")
    row = await bench.row()
    assert (row.state, row.account_name) == ("pending", "Office north")
    with pytest.raises(ConnectionPendingError):
        await bench.connections.channel("acme", SPEC, "clips")

    await arrivals.confirm(token, browser="b1")

    channel = await bench.connections.channel("acme", SPEC, "clips")
    assert (await channel.send(GET)).status == 200


# Connecting again


async def test_connecting_again_makes_a_lost_connection_active_and_tells_of_it(
    bench: Bench,
) -> None:
    await bench.connect_clips()
    channel = await bench.connections.channel("acme", SPEC, "clips")
    bench.clips.revoke_all()
    with pytest.raises(NeedsReconnectError):
        await channel.send(GET)

    assert (await bench.connect_clips()).state == "active"

    assert (await channel.send(GET)).status == 200
    events = await bench.connections.events(1)
    assert [(event.before, event.state) for event in events] == [
        ("active", "needs_reconnect"),
        ("needs_reconnect", "active"),
    ]


@pytest.mark.parametrize("state", ["active", "needs_reconnect", "revoked"])
async def test_another_account_is_refused_unless_it_is_asked_for(bench: Bench, state: Any) -> None:
    row = await bench.connect_clips()
    other = replace(row, account="south", account_name="Office south", state=state)
    known = await bench.connections.state.save_connection(other)

    with pytest.raises(OtherAccountError, match=r"connected to Office south.*to Office north"):
        await bench.connect_clips()

    assert await bench.row() == known
    import httpx2

    start = await bench.connections.start_authorization(SPEC, "clips", redirect_uri=CALLBACK)
    async with httpx2.AsyncClient() as http:
        routes = bench.connections.transport.routes
        code, started = await approve(http, start.url, "ann@north.test", routes=routes)
    row = await bench.connections.finish_authorization(started, code, allow_other_account=True)
    assert (row.state, row.account) == ("active", "north")


async def test_person_cannot_connect_to_another_account_than_the_organisation(
    bench: Bench,
) -> None:
    row = await bench.connections.connect(SPEC, "staples")
    await bench.connections.state.save_connection(replace(row, account="south"))

    with pytest.raises(OtherAccountError):
        await bench.connections.connect(SPEC, "staples", person="bob@north.test")


async def test_statuses_show_declared_stored_and_own_connections(bench: Bench) -> None:
    await bench.connect_clips()
    await bench.connections.connect(SPEC, "staples", person="bob@north.test")

    clips, staples, own = await bench.connections.statuses(SPEC)

    assert (clips.name, clips.flow, clips.state) == ("clips", "authorization_code", "active")
    assert (clips.account_name, clips.user_name) == ("Office north", "Ann Admin")
    assert clips.state_at == bench.clock.now()
    assert clips.scopes == ("read", "write")
    assert (staples.state, staples.flow) == ("not_connected", "client_assertion")
    assert (own.name, own.person, own.user_name) == ("staples", "bob@north.test", "Bob Builder")
    moved = SPEC.connections["clips"].model_copy(update={"settings": {"office": "south"}})
    spec = SPEC.model_copy(update={"connections": {"clips": moved}})
    found = {status.name: status for status in await bench.connections.statuses(spec)}
    assert found["clips"].state == "needs_reconnect"
    assert "settings changed" in found["clips"].reason
    assert not found["staples"].is_declared
    assert "canary" not in str(found)
