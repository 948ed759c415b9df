"""A login session: one per connection, shared by all callers, logged in again when it is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.connections.entered import (
    LOGIN,
    PASSWORD,
    SPEC,
    USER,
    EnteredBench,
    entered_bench,
    secrets_of,
)

from firnline.clock import SystemClock
from firnline.connections import Connections, NeedsReconnectError
from firnline.connections.channel import Channel
from firnline.connections.endpoint import GrantRefusedError
from firnline.connections.flows.entered import CredentialsRefusedError
from firnline.connections.site import declared_site
from firnline.connectors.protocol import Request
from firnline.transport import (
    ProviderAnswerError,
    ProviderForbiddenError,
    ProviderUnavailableError,
    ProviderUnreachableError,
)

GET = Request.get("/b1s/v2/Orders")
WRITE = Request("POST", "/b1s/v2/Orders", json={"CardCode": "C1"}, repeatable=False)
LOGIN_PATH, LOGOUT_PATH = "/b1s/v2/Login", "/b1s/v2/Logout"


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EnteredBench]:
    monkeypatch.setenv("FIRNLINE_CONNECTORS", str(Path(__file__).parent / "providers"))
    async with entered_bench(tmp_path / "home") as opened:
        yield opened


@pytest.fixture
async def channel(bench: EnteredBench) -> Channel:
    await bench.connections.connect_with_secrets(SPEC, "erp", LOGIN)
    return await bench.connections.channel("acme", SPEC, "erp")


def logins(bench: EnteredBench) -> int:
    return len(bench.punch.calls("POST", LOGIN_PATH))


async def test_one_login_serves_all_calls_on_the_node_that_knows_it(
    bench: EnteredBench, channel: Channel
) -> None:
    answers = await asyncio.gather(*(channel.send(GET) for _ in range(20)))

    assert len({answer.json()["node"] for answer in answers}) == 1
    assert logins(bench) == 1
    assert len(bench.punch.sessions) == 1
    cookie = bench.punch.seen[-1].headers["cookie"]
    assert cookie.startswith("B1SESSION=")
    assert cookie.endswith("; ROUTEID=.node1")
    assert "authorization" not in bench.punch.seen[-1].headers


async def test_server_without_a_balancer_sets_one_cookie_and_gets_one(bench: EnteredBench) -> None:
    bench.punch.has_balancer = False
    await bench.connections.connect_with_secrets(SPEC, "erp", LOGIN)
    channel = await bench.connections.channel("acme", SPEC, "erp")

    await channel.send(GET)

    assert "ROUTEID" not in bench.punch.seen[-1].headers["cookie"]


async def test_session_is_shared_with_other_processes(
    bench: EnteredBench, channel: Channel
) -> None:
    async with Connections.open(bench.settings, clock=bench.clock) as other:
        there = await other.channel("acme", SPEC, "erp")
        await asyncio.gather(*(each.send(GET) for each in (channel, there) for _ in range(5)))

    assert logins(bench) == 1


async def test_session_that_is_used_goes_on_beyond_its_idle_time(
    bench: EnteredBench, channel: Channel
) -> None:
    for _ in range(5):
        await bench.clock.sleep(1799)
        await channel.send(GET)

    assert logins(bench) == 1


async def test_twenty_calls_after_the_session_idled_out_log_in_once(
    bench: EnteredBench, channel: Channel
) -> None:
    await bench.clock.sleep(1800)

    answers = await asyncio.gather(*(channel.send(GET) for _ in range(20)))

    assert {answer.status for answer in answers} == {200}
    assert logins(bench) == 2
    assert len(bench.punch.sessions) == 1


async def test_write_that_met_a_dead_session_is_sent_again_once(
    bench: EnteredBench, channel: Channel
) -> None:
    bench.punch.sessions.close_all()

    assert (await channel.send(WRITE)).status == 200

    assert len(bench.punch.calls("POST", "/Orders")) == 2
    assert logins(bench) == 2


async def test_new_session_is_stored_for_those_who_come_later(
    bench: EnteredBench, channel: Channel
) -> None:
    bench.punch.sessions.close_all()
    await channel.send(GET)

    async with Connections.open(bench.settings, clock=bench.clock) as other:
        await (await other.channel("acme", SPEC, "erp")).send(GET)

    assert logins(bench) == 2


async def test_changed_password_needs_a_person_after_one_wrong_login(
    bench: EnteredBench, channel: Channel
) -> None:
    """Providers lock users who log in wrongly again and again."""
    bench.punch.password = "changed"
    bench.punch.sessions.close_all()

    outcomes = await asyncio.gather(*(channel.send(GET) for _ in range(20)), return_exceptions=True)

    assert {type(outcome) for outcome in outcomes} == {NeedsReconnectError}
    assert logins(bench) == 2
    row = await bench.row("erp")
    assert row is not None
    assert row.state == "needs_reconnect"
    with pytest.raises(NeedsReconnectError):
        await bench.connections.channel("acme", SPEC, "erp")
    assert logins(bench) == 2


async def test_entering_the_new_password_mends_the_connection(
    bench: EnteredBench, channel: Channel
) -> None:
    bench.punch.password = "canary-changed"
    bench.punch.sessions.close_all()
    with pytest.raises(NeedsReconnectError):
        await channel.send(GET)

    await bench.enter("erp", username=USER, password="canary-changed")

    assert (await channel.send(GET)).status == 200


async def test_refusal_of_the_user_within_a_live_session_needs_a_person(
    bench: EnteredBench, channel: Channel
) -> None:
    error = {"code": "100000027", "message": "The user was removed."}
    bench.punch.answer_once(401, {"error": error})

    with pytest.raises(NeedsReconnectError, match="removed"):
        await channel.send(GET)
    assert logins(bench) == 1


async def test_missing_permission_leaves_the_session_alone(
    bench: EnteredBench, channel: Channel
) -> None:
    with pytest.raises(ProviderForbiddenError, match="not permitted"):
        await channel.send(Request.get("/b1s/v2/Payroll"))

    row = await bench.row("erp")
    assert row is not None
    assert row.state == "active"
    assert logins(bench) == 1


async def test_outage_at_the_login_leaves_the_connection_active(
    bench: EnteredBench, channel: Channel
) -> None:
    bench.punch.sessions.close_all()
    session_gone = {"error": {"code": "301", "message": "Invalid session."}}
    bench.punch.answer_once(401, session_gone)
    bench.punch.answer_once(503)

    with pytest.raises(ProviderUnavailableError):
        await channel.send(GET)

    row = await bench.row("erp")
    assert row is not None
    assert row.state == "active"
    assert (await channel.send(GET)).status == 200


async def test_unreachable_server_leaves_the_connection_active(
    bench: EnteredBench, channel: Channel
) -> None:
    routes = {"https://north.punch.example:50000": "http://127.0.0.1:1"}
    gone = bench.settings.model_copy(update={"routes": routes})
    async with Connections.open(gone, clock=bench.clock) as other:
        with pytest.raises(ProviderUnreachableError):
            await (await other.channel("acme", SPEC, "erp")).send(GET)

    row = await bench.row("erp")
    assert row is not None
    assert row.state == "active"


async def test_used_up_licence_is_a_passing_trouble(bench: EnteredBench, channel: Channel) -> None:
    bench.punch.sessions.close_all()
    for _ in range(5):
        assert bench.punch.sessions.open("somebody else") is not None

    with pytest.raises(ProviderUnavailableError, match="No license"):
        await channel.send(GET)

    await bench.clock.sleep(1800)
    assert (await channel.send(GET)).status == 200


async def test_login_whose_answer_is_lost_is_not_sent_again_at_once(bench: EnteredBench) -> None:
    """It may have taken a licence."""
    bench.punch.answer_once(504)

    with pytest.raises(ProviderUnavailableError):
        await bench.enter("erp", username=USER, password=PASSWORD)

    assert logins(bench) == 1


async def test_login_that_sets_no_session_is_an_unusable_answer(bench: EnteredBench) -> None:
    bench.punch.answer_once(200, {"SessionId": "canary"}, **{"set-cookie": "other=canary"})

    with pytest.raises(ProviderAnswerError, match="B1SESSION") as unusable:
        await bench.enter("erp", username=USER, password=PASSWORD)

    assert "canary" not in str(unusable.value.as_dict())


async def test_login_that_leads_to_no_identity_gives_its_licence_back(
    bench: EnteredBench,
) -> None:
    bench.punch.me_is_forbidden = True

    with pytest.raises(ProviderForbiddenError):
        await bench.enter("erp", username=USER, password=PASSWORD)

    assert logins(bench) == 1
    assert len(bench.punch.sessions) == 0
    assert await bench.row("erp") is None


async def test_logging_in_anew_gives_the_old_sessions_licence_back(
    bench: EnteredBench, channel: Channel
) -> None:
    for _ in range(10):
        await bench.enter("erp", username=USER, password=PASSWORD)

    assert len(bench.punch.sessions) == 1
    assert (await channel.send(GET)).status == 200


async def test_wrong_password_at_logging_in_anew_costs_no_more_than_a_login(
    bench: EnteredBench, channel: Channel
) -> None:
    with pytest.raises(CredentialsRefusedError):
        await bench.enter("erp", username=USER, password="wrong")

    assert (await channel.send(GET)).status == 200
    assert len(bench.punch.sessions) == 1


async def test_revoking_logs_out_and_a_session_that_is_gone_counts_as_ended(
    bench: EnteredBench,
) -> None:
    flows = bench.connections.flows
    site = declared_site(SPEC, "erp")
    tokens = await flows.obtain(site, LOGIN)

    assert await flows.revoke(site, tokens)
    assert len(bench.punch.sessions) == 0
    assert await flows.revoke(site, tokens)
    assert len(bench.punch.calls("POST", LOGOUT_PATH)) == 2


async def test_refreshing_a_living_session_keeps_no_second_licence(
    bench: EnteredBench, channel: Channel
) -> None:
    for _ in range(6):
        await bench.connections.refresh(SPEC, "erp")

    assert len(bench.punch.sessions) == 1
    assert (await channel.send(GET)).status == 200
    assert logins(bench) == 7


async def test_logout_that_fails_does_not_lose_the_new_session(
    bench: EnteredBench, channel: Channel
) -> None:
    bench.punch.sessions.close_all()
    bench.punch.logout_is_broken = True

    assert (await channel.send(GET)).status == 200
    assert (await channel.send(GET)).status == 200
    assert logins(bench) == 2


async def test_disconnecting_logs_out(bench: EnteredBench, channel: Channel) -> None:
    row = await bench.connections.revoke(SPEC, "erp", reason="no longer used")

    assert row.state == "revoked"
    assert len(bench.punch.sessions) == 0


@pytest.mark.parametrize("kept", [{}, {"username": LOGIN["username"]}], ids=["nothing", "half"])
async def test_login_that_asks_for_more_than_is_stored_is_not_tried(
    bench: EnteredBench, kept: dict[str, SecretStr]
) -> None:
    flows = bench.connections.flows
    site = declared_site(SPEC, "erp")
    tokens = replace(await flows.obtain(site, LOGIN), entered=kept)

    with pytest.raises(GrantRefusedError, match="not all is stored"):
        await flows.renew(site, tokens)
    assert logins(bench) == 1


async def test_processes_whose_session_idled_out_log_in_once(
    bench: EnteredBench, channel: Channel
) -> None:
    """On the machine's clock, as their leases are held by it."""
    await bench.clock.sleep(1800)
    bench.punch.delay_s = 0.02
    async with AsyncExitStack() as stack:
        channels = []
        for _ in range(3):
            opened = Connections.open(bench.settings, clock=SystemClock())
            there = await stack.enter_async_context(opened)
            channels.append(await there.channel("acme", SPEC, "erp"))
        answers = await asyncio.gather(*(each.send(GET) for each in channels for _ in range(10)))

    assert {answer.status for answer in answers} == {200}
    assert logins(bench) == 2
    assert len(bench.punch.sessions) == 1


async def test_sessions_of_two_tenants_never_meet(bench: EnteredBench, channel: Channel) -> None:
    other = SPEC.model_copy(update={"tenant": "globex"})
    await bench.connections.connect_with_secrets(
        other, "erp", secrets_of(username=USER, password=PASSWORD)
    )
    theirs = await bench.connections.channel("globex", other, "erp")
    start = len(bench.punch.seen)

    await asyncio.gather(*(each.send(GET) for each in (channel, theirs) for _ in range(20)))

    cookies = [seen.headers["cookie"] for seen in bench.punch.seen[start:]]
    assert len(set(cookies)) == 2
    assert {cookies.count(cookie) for cookie in set(cookies)} == {20}
    assert logins(bench) == 2
