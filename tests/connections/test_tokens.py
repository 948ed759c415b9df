"""Tokens stay fresh: renewed early, once for all who wait, stored before use, given up cleanly."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from pydantic import SecretStr
from tests.connections.conftest import SPEC, Bench

from firnline.connections import Connections, NeedsReconnectError, NotConnectedError
from firnline.connections.closed import ConnectionDisabledError
from firnline.connections.endpoint import ClientRefusedError, GrantRefusedError
from firnline.connectors.protocol import Request
from firnline.errors import UsageError
from firnline.transport import ProviderTimeoutError, ProviderUnavailableError

GET = Request.get("/things")


async def test_twenty_calls_after_expiry_cause_one_renewal(bench: Bench) -> None:
    await bench.connect_clips()
    bench.clips.expire_access()
    bench.clips.token_delay_s = 0.05
    channel = await bench.connections.channel("acme", SPEC, "clips")

    answers = await asyncio.gather(*(channel.send(GET) for _ in range(20)))

    assert {answer.status for answer in answers} == {200}
    grants = [call["grant_type"] for call in bench.clips.token_calls]
    assert grants == ["authorization_code", "refresh_token"]


async def test_rotated_refresh_tokens_keep_working_for_a_new_process(bench: Bench) -> None:
    await bench.connect_clips()
    for _ in range(3):
        bench.clips.expire_access()
        async with Connections.open(bench.settings, clock=bench.clock) as other:
            channel = await other.channel("acme", SPEC, "clips")
            assert (await channel.send(GET)).status == 200

    assert len(bench.clips.token_calls) == 4


async def test_token_is_renewed_ahead_of_its_end_without_a_refusal(bench: Bench) -> None:
    await bench.connect_clips()
    channel = await bench.connections.channel("acme", SPEC, "clips")
    await bench.clock.sleep(3600 - 61)
    await channel.send(GET)
    assert len(bench.clips.token_calls) == 1

    await bench.clock.sleep(2)
    before = len(bench.clips.seen)
    await channel.send(GET)

    assert len(bench.clips.token_calls) == 2
    assert len(bench.clips.seen) == before + 1


async def test_failed_early_renewal_harms_nobody_while_the_token_lives(bench: Bench) -> None:
    await bench.connect_clips()
    channel = await bench.connections.channel("acme", SPEC, "clips")
    bench.clips.token_answer = (503, {})
    await bench.clock.sleep(3600 - 30)
    assert (await channel.send(GET)).status == 200

    await bench.clock.sleep(60)
    with pytest.raises(ProviderUnavailableError):
        await channel.send(GET)
    assert (await bench.row()).state == "active"


async def test_token_without_a_stated_end_is_renewed_when_refused(bench: Bench) -> None:
    bench.clips.lifetime_s = None
    row = await bench.connect_clips()
    assert row.expires_at is None
    bench.clips.expire_access()

    channel = await bench.connections.channel("acme", SPEC, "clips")
    assert (await channel.send(GET)).status == 200


async def test_revoked_connection_needs_a_person_and_says_so_from_then_on(bench: Bench) -> None:
    await bench.connect_clips()
    channel = await bench.connections.channel("acme", SPEC, "clips")
    bench.clips.revoke_all()

    outcomes = await asyncio.gather(*(channel.send(GET) for _ in range(5)), return_exceptions=True)

    assert all(isinstance(outcome, NeedsReconnectError) for outcome in outcomes)
    row = await bench.row()
    assert row.state == "needs_reconnect"
    assert "no longer accepts" in row.state_reason
    calls = len(bench.clips.token_calls) + len(bench.clips.seen)
    with pytest.raises(NeedsReconnectError) as refused:
        await bench.connections.channel("acme", SPEC, "clips")
    assert refused.value.hint == "Run: firnline connect acme clips"
    assert len(bench.clips.token_calls) + len(bench.clips.seen) == calls


async def test_provider_that_refuses_even_a_new_token_is_not_asked_forever(bench: Bench) -> None:
    await bench.connect_clips()
    channel = await bench.connections.channel("acme", SPEC, "clips")
    bench.clips.api_answer = (401, {"error": "no entry"})

    with pytest.raises(NeedsReconnectError, match="no entry"):
        await channel.send(GET)

    assert len(bench.clips.token_calls) == 2
    assert (await bench.row()).state == "needs_reconnect"


async def test_refused_client_leaves_the_connection_active(bench: Bench) -> None:
    await bench.connect_clips()
    bench.clips.expire_access()
    bench.clips.token_answer = (401, {"error": "invalid_client"})

    channel = await bench.connections.channel("acme", SPEC, "clips")
    with pytest.raises(ClientRefusedError):
        await channel.send(GET)

    bench.clips.token_answer = None
    assert (await channel.send(GET)).status == 200


async def test_cancelled_caller_does_not_lose_the_rotated_token(bench: Bench) -> None:
    await bench.connect_clips()
    bench.clips.expire_access()
    bench.clips.token_delay_s = 0.1
    channel = await bench.connections.channel("acme", SPEC, "clips")
    impatient = asyncio.create_task(channel.send(GET))
    while len(bench.clips.token_calls) < 2:  # noqa: ASYNC110 - the server counts, it tells nobody
        await asyncio.sleep(0.005)
    impatient.cancel()
    await asyncio.gather(impatient, return_exceptions=True)

    assert (await channel.send(GET)).status == 200
    assert len(bench.clips.token_calls) == 2


async def test_deadline_counts_while_waiting_for_a_renewal(bench: Bench) -> None:
    await bench.connect_clips()
    bench.clips.expire_access()
    bench.clips.token_delay_s = 0.5
    channel = await bench.connections.channel("acme", SPEC, "clips")

    with pytest.raises(ProviderTimeoutError, match="renewing"):
        await channel.send(GET, deadline_s=0.2)
    bench.clips.token_delay_s = 0
    assert (await channel.send(GET)).status == 200


async def test_closing_waits_for_a_renewal_under_way(bench: Bench) -> None:
    await bench.connect_clips()
    bench.clips.expire_access()
    bench.clips.token_delay_s = 0.1
    async with Connections.open(bench.settings, clock=bench.clock) as other:
        channel = await other.channel("acme", SPEC, "clips")
        with pytest.raises(ProviderTimeoutError):
            await channel.send(GET, deadline_s=0.05)

    channel = await bench.connections.channel("acme", SPEC, "clips")
    assert (await channel.send(GET)).status == 200
    assert len(bench.clips.token_calls) == 2


async def test_two_processes_that_renew_at_once_end_with_a_working_connection(
    bench: Bench,
) -> None:
    await bench.connect_clips()
    bench.clips.expire_access()
    bench.clips.token_delay_s = 0.05
    async with Connections.open(bench.settings, clock=bench.clock) as other:
        channels = [
            await connections.channel("acme", SPEC, "clips")
            for connections in (bench.connections, other)
        ]
        await asyncio.gather(*(channel.send(GET) for channel in channels), return_exceptions=True)

    assert (await bench.row()).state == "active"
    channel = await bench.connections.channel("acme", SPEC, "clips")
    assert (await channel.send(GET)).status == 200


async def test_token_is_never_sent_to_an_account_it_was_not_obtained_from(bench: Bench) -> None:
    await bench.connect_clips()
    declared = SPEC.connections["clips"].model_copy(update={"settings": {"office": "south"}})
    spec = SPEC.model_copy(update={"connections": {"clips": declared}})

    with pytest.raises(NeedsReconnectError, match="settings changed"):
        await bench.connections.channel("acme", spec, "clips")


async def test_declaration_of_another_tenant_gives_no_channel(bench: Bench) -> None:
    await bench.connect_clips()

    with pytest.raises(UsageError):
        await bench.connections.channel("globex", SPEC, "clips")
    with pytest.raises(NotConnectedError):
        other = SPEC.model_copy(update={"tenant": "globex"})
        await bench.connections.channel("globex", other, "clips")


async def test_disabled_connection_stays_disabled(bench: Bench) -> None:
    row = await bench.connect_clips()
    await bench.connections.state.save_connection(
        replace(row, state="disabled", state_reason="by the admin")
    )

    with pytest.raises(ConnectionDisabledError, match="by the admin"):
        await bench.connections.channel("acme", SPEC, "clips")


async def test_assertion_connects_without_a_browser_and_renews_itself(bench: Bench) -> None:
    row = await bench.connections.connect(SPEC, "staples")
    assert (row.state, row.user_name) == ("active", "Ann Admin")
    channel = await bench.connections.channel("acme", SPEC, "staples")
    bench.staples.expire_access()
    assert (await channel.send(GET)).status == 200
    assert len(bench.staples.token_calls) == 2

    await bench.clock.sleep(3600)
    assert (await channel.send(GET)).status == 200
    assert len(bench.staples.token_calls) == 3


async def test_unmapped_certificate_needs_a_person(bench: Bench) -> None:
    await bench.connections.connect(SPEC, "staples")
    channel = await bench.connections.channel("acme", SPEC, "staples")
    bench.staples.expire_access()
    bench.staples.keys.clear()

    with pytest.raises(NeedsReconnectError):
        await channel.send(GET)
    assert (await bench.row("staples")).state == "needs_reconnect"


async def test_channel_of_a_person_speaks_as_that_person_and_stores_nothing(bench: Bench) -> None:
    connections = bench.connections
    token = await connections.subject_token("acme", SPEC, "staples", "bob@north.test")
    channel = connections.channel_with_token("acme", SPEC, "staples", token)

    assert (await channel.send(GET)).json()["email"] == "bob@north.test"
    assert await connections.state.connections("acme") == []
    with pytest.raises(UsageError, match="no key is registered"):
        await connections.subject_token("acme", SPEC, "staples", "eve@north.test")


async def test_given_token_that_ran_out_is_a_typed_error_and_touches_no_connection(
    bench: Bench,
) -> None:
    await bench.connect_clips()
    channel = bench.connections.channel_with_token("acme", SPEC, "clips", SecretStr("canary"))

    with pytest.raises(GrantRefusedError) as refused:
        await channel.send(GET)

    assert "canary" not in str(refused.value.as_dict()) + repr(channel)
    assert (await bench.row()).state == "active"
    assert len(bench.clips.token_calls) == 1


@pytest.mark.parametrize("expires_in", ["nan", "-1", 0, None, "soon", [], 1e400, {}])
async def test_absurd_lifetime_does_not_break_the_connection(
    bench: Bench, expires_in: object
) -> None:
    token = "canary-fixed"
    bench.clips.access[token] = ("ann@north.test", float("inf"))
    answer = {"access_token": token, "expires_in": expires_in}
    bench.clips.token_answer = (200, answer)

    assert (await bench.connect_clips()).state == "active"
