"""Keys and passwords: tried before they are stored, shown as declared, lost only when refused."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.connections.entered import (
    ACCESS_KEY,
    ACCESS_SECRET,
    KEY,
    LOGIN,
    PASSWORD,
    SPEC,
    USER,
    EnteredBench,
    entered_bench,
    secrets_of,
)

from firnline.connections import Connections, NeedsReconnectError, NotConnectedError
from firnline.connections.entering import EntryFieldsError
from firnline.connections.flows.entered import CredentialsRefusedError
from firnline.connectors.auth_flows import fields_of
from firnline.connectors.protocol import Request
from firnline.connectors.registry import load_manifest
from firnline.transport import (
    ProviderForbiddenError,
    ProviderScopeError,
    ProviderUnavailableError,
    ProviderUnreachableError,
)

GET = Request.get("/things")
READ = Request.get("/sap/opu/odata/sap/API_BINDER/Things")


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EnteredBench]:
    monkeypatch.setenv("FIRNLINE_CONNECTORS", str(Path(__file__).parent / "providers"))
    async with entered_bench(tmp_path / "home") as opened:
        yield opened


async def test_key_is_shown_in_its_own_header_and_nowhere_else(bench: EnteredBench) -> None:
    row = await bench.enter("calls", api_key=KEY)

    channel = await bench.connections.channel("acme", SPEC, "calls")
    assert (await channel.send(GET)).status == 200

    assert (row.state, row.user_name, row.expires_at) == ("active", "Rita Robot", None)
    headers = bench.stamp.seen[-1].headers
    assert headers["x-stamp-key"] == KEY
    assert [name for name, value in headers.items() if "canary" in value] == ["x-stamp-key"]
    assert "authorization" not in headers


async def test_key_that_is_a_bearer_token_is_shown_with_its_prefix(bench: EnteredBench) -> None:
    await bench.enter("ledgerKey", api_key=KEY)

    channel = await bench.connections.channel("acme", SPEC, "ledgerKey")
    assert (await channel.send(READ)).json()["d"]["UserName"] == "robot"
    assert bench.binder.seen[-1].headers["authorization"] == f"Bearer {KEY}"


async def test_access_key_and_secret_are_shown_as_basic(bench: EnteredBench) -> None:
    await bench.enter("callsBasic", username=ACCESS_KEY, password=ACCESS_SECRET)

    channel = await bench.connections.channel("acme", SPEC, "callsBasic")
    await channel.send(GET)

    pair = base64.b64encode(f"{ACCESS_KEY}:{ACCESS_SECRET}".encode()).decode()
    assert bench.stamp.seen[-1].headers["authorization"] == f"Basic {pair}"


async def test_password_with_colons_braces_and_umlauts_arrives_as_it_was_entered(
    bench: EnteredBench,
) -> None:
    assert {":", "{", "ä", "%"} <= set(PASSWORD)

    row = await bench.enter("ledger", username=USER, password=PASSWORD)

    assert row.user_name == USER


async def test_connection_outlives_the_process_that_made_it(bench: EnteredBench) -> None:
    await bench.enter("calls", api_key=KEY)

    async with Connections.open(bench.settings, clock=bench.clock) as other:
        channel = await other.channel("acme", SPEC, "calls")
        assert (await channel.send(GET)).status == 200


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("calls", {"api_key": "pat-canary-wrong"}),
        ("callsBasic", {"username": ACCESS_KEY, "password": "canary-wrong"}),
        ("ledger", {"username": USER, "password": "canary-wrong"}),
        ("ledgerKey", {"api_key": "canary-wrong"}),
        ("erp", {"username": USER, "password": "canary-wrong"}),
    ],
)
async def test_wrong_secrets_are_refused_and_nothing_is_stored(
    bench: EnteredBench, name: str, fields: dict[str, str]
) -> None:
    with pytest.raises(CredentialsRefusedError) as refused:
        await bench.enter(name, **fields)

    assert await bench.row(name) is None
    assert "canary" not in str(refused.value.as_dict())
    assert "nothing was stored" in refused.value.hint
    with pytest.raises(NotConnectedError):
        await bench.connections.channel("acme", SPEC, name)


async def test_wrong_secrets_leave_a_working_connection_as_it_is(bench: EnteredBench) -> None:
    before = await bench.enter("calls", api_key=KEY)

    with pytest.raises(CredentialsRefusedError):
        await bench.enter("calls", api_key="pat-wrong")

    assert await bench.row("calls") == before
    channel = await bench.connections.channel("acme", SPEC, "calls")
    assert (await channel.send(GET)).status == 200


@pytest.mark.parametrize("status", [503, 403])
async def test_trouble_while_secrets_are_tried_is_not_called_wrong_secrets(
    bench: EnteredBench, status: int
) -> None:
    expected = {503: ProviderUnavailableError, 403: ProviderForbiddenError}[status]
    for _ in range(4):
        bench.stamp.answer_once(status)

    with pytest.raises(expected):
        await bench.enter("calls", api_key=KEY)

    assert await bench.row("calls") is None


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("calls", {}, "Stamp key is missing"),
        ("calls", {"api_key": ""}, "Stamp key is missing"),
        ("calls", {"api_key": "canary-of-another-kind"}, "does not look like one"),
        ("calls", {"api_key": f"{KEY}\n"}, "does not look like one"),
        ("calls", {"api_key": "pat-" + "x" * 5000}, "does not look like one"),
        ("calls", {"api_key": KEY, "password": "canary"}, "does not ask for password"),
        ("ledger", {"username": "a:canary", "password": PASSWORD}, "user does not look like one"),
        ("ledger", {"username": USER, "password": "canary\r\nx: 1"}, "does not look like one"),
        ("erp", {"username": USER}, "Password is missing"),
    ],
)
async def test_what_is_not_asked_for_is_refused_before_anybody_is_called(
    bench: EnteredBench, name: str, fields: dict[str, str], message: str
) -> None:
    with pytest.raises(EntryFieldsError, match=message) as refused:
        await bench.enter(name, **fields)

    assert "canary" not in str(refused.value.as_dict())
    assert bench.punch.seen == bench.binder.seen == bench.stamp.seen == []


async def test_one_refusal_of_a_key_is_asked_about_again_before_it_counts(
    bench: EnteredBench,
) -> None:
    await bench.enter("calls", api_key=KEY)
    channel = await bench.connections.channel("acme", SPEC, "calls")
    bench.stamp.answer_once(401)

    assert (await channel.send(GET)).status == 200
    row = await bench.row("calls")
    assert row is not None
    assert row.state == "active"


@pytest.mark.parametrize("name", ["calls", "callsBasic", "ledger", "ledgerKey"])
async def test_key_that_was_taken_back_needs_a_person_and_is_not_shown_again(
    bench: EnteredBench, name: str
) -> None:
    fields = {"api_key": KEY} if name in ("calls", "ledgerKey") else {}
    fields = fields or {"username": USER, "password": PASSWORD}
    if name == "callsBasic":
        fields = {"username": ACCESS_KEY, "password": ACCESS_SECRET}
    await bench.enter(name, **fields)
    channel = await bench.connections.channel("acme", SPEC, name)
    for taken in (bench.stamp.keys, bench.stamp.basic, bench.binder.users, bench.binder.keys):
        taken.clear()

    before = len(bench.stamp.seen) + len(bench.binder.seen)

    outcomes = await asyncio.gather(
        *(channel.send(READ) for _ in range(20)), return_exceptions=True
    )

    assert {type(outcome) for outcome in outcomes} == {NeedsReconnectError}
    # Users for whom a wrong password comes again and again are locked.
    assert len(bench.stamp.seen) + len(bench.binder.seen) == before + 20 + 1
    row = await bench.row(name)
    assert row is not None
    assert row.state == "needs_reconnect"
    calls = len(bench.stamp.seen) + len(bench.binder.seen)
    with pytest.raises(NeedsReconnectError) as refused:
        await bench.connections.channel("acme", SPEC, name)
    assert refused.value.hint == f"Run: firnline connect acme {name}"
    assert len(bench.stamp.seen) + len(bench.binder.seen) == calls


async def test_twenty_refusals_that_pass_are_got_over_by_all(bench: EnteredBench) -> None:
    await bench.enter("calls", api_key=KEY)
    channel = await bench.connections.channel("acme", SPEC, "calls")
    for _ in range(20):
        bench.stamp.answer_once(401)

    answers = await asyncio.gather(*(channel.send(GET) for _ in range(20)))

    assert {answer.status for answer in answers} == {200}
    assert len(bench.stamp.calls("GET", "/things")) == 40


async def test_key_that_the_provider_calls_dead_is_not_asked_about_again(
    bench: EnteredBench,
) -> None:
    await bench.enter("calls", api_key=KEY)
    channel = await bench.connections.channel("acme", SPEC, "calls")
    said = {"category": "REVOKED_AUTHENTICATION", "message": f"Key {KEY} was revoked."}
    bench.stamp.answer_once(401, said)
    before = len(bench.stamp.seen)

    with pytest.raises(NeedsReconnectError, match="was revoked") as lost:
        await channel.send(GET)

    assert len(bench.stamp.seen) == before + 1
    row = await bench.row("calls")
    assert row is not None
    assert row.state == "needs_reconnect"
    assert "canary" not in str(lost.value) + row.state_reason


async def test_entering_another_key_mends_the_connection_for_channels_in_use(
    bench: EnteredBench,
) -> None:
    await bench.enter("calls", api_key=KEY)
    channel = await bench.connections.channel("acme", SPEC, "calls")
    bench.stamp.keys = {"pat-canary-2"}

    await bench.enter("calls", api_key="pat-canary-2")

    assert (await channel.send(GET)).status == 200
    assert bench.stamp.seen[-1].headers["x-stamp-key"] == "pat-canary-2"


async def test_call_that_met_the_old_key_goes_on_with_the_new_one(bench: EnteredBench) -> None:
    await bench.enter("calls", api_key=KEY)
    channel = await bench.connections.channel("acme", SPEC, "calls")
    held = bench.stamp.hold = asyncio.Event()
    asked = asyncio.create_task(channel.send(GET))
    while len(bench.stamp.seen) < 2:  # noqa: ASYNC110 - the server counts, it tells nobody
        await asyncio.sleep(0.005)
    bench.stamp.hold = None
    bench.stamp.keys = {"pat-canary-2"}
    await bench.enter("calls", api_key="pat-canary-2")
    held.set()

    assert (await asked).status == 200


async def test_missing_scope_and_missing_permission_leave_the_connection_active(
    bench: EnteredBench,
) -> None:
    await bench.enter("calls", api_key=KEY)
    await bench.enter("ledger", username=USER, password=PASSWORD)
    calls = await bench.connections.channel("acme", SPEC, "calls")
    ledger = await bench.connections.channel("acme", SPEC, "ledger")

    with pytest.raises(ProviderScopeError):
        await calls.send(Request.get("/payroll"))
    with pytest.raises(ProviderForbiddenError):
        await ledger.send(Request.get("/sap/opu/odata/sap/API_BINDER/Payroll"))

    for name in ("calls", "ledger"):
        row = await bench.row(name)
        assert row is not None
        assert row.state == "active"


async def test_network_fault_leaves_the_connection_active(bench: EnteredBench) -> None:
    await bench.enter("calls", api_key=KEY)
    gone = bench.settings.model_copy(
        update={"routes": {"https://north.stamp.example": "http://127.0.0.1:1"}}
    )
    async with Connections.open(gone, clock=bench.clock) as other:
        channel = await other.channel("acme", SPEC, "calls")
        with pytest.raises(ProviderUnreachableError):
            await channel.send(GET)

    row = await bench.row("calls")
    assert row is not None
    assert row.state == "active"


async def test_secret_of_one_flow_is_not_shown_by_another(bench: EnteredBench) -> None:
    await bench.enter("calls", api_key=KEY)
    before = len(bench.stamp.seen)
    declared = SPEC.connections["calls"].model_copy(update={"auth": "basic"})
    spec = SPEC.model_copy(update={"connections": {"calls": declared}})

    with pytest.raises(NeedsReconnectError, match="api_key"):
        channel = await bench.connections.channel("acme", spec, "calls")
        await channel.send(GET)

    assert len(bench.stamp.seen) == before


async def test_personal_key_stands_beside_the_organisations(bench: EnteredBench) -> None:
    bench.stamp.keys = {KEY, "pat-canary-ann"}
    await bench.enter("calls", api_key=KEY)
    await bench.connections.connect_with_secrets(
        SPEC, "calls", secrets_of(api_key="pat-canary-ann"), person="ann@north.test"
    )

    own = await bench.connections.channel("acme", SPEC, "calls", person="ann@north.test")
    await own.send(GET)
    assert bench.stamp.seen[-1].headers["x-stamp-key"] == "pat-canary-ann"
    shared = await bench.connections.channel("acme", SPEC, "calls")
    await shared.send(GET)
    assert bench.stamp.seen[-1].headers["x-stamp-key"] == KEY


async def test_flow_tells_what_a_form_has_to_ask(bench: EnteredBench) -> None:
    auth = load_manifest("binder").auth_by("basic")
    assert auth is not None

    assert [(field.name, field.title, field.secret) for field in fields_of(auth)] == [
        ("username", "Communication user", False),
        ("password", "Password", True),
    ]
    assert set(LOGIN) == {field.name for field in fields_of(auth)}
