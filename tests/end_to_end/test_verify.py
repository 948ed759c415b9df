"""Verifying over HTTP: real sandboxes whose rights changed after the last sync, and real tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from firnline.access.principal import Principal
from firnline.app import App, opened
from firnline.cli.access import explained
from firnline.connections.verifying import Verifying, VerifyNotConnectedError, VerifyPausedError
from firnline.connectors.protocol import VerifyQuery
from firnline.connectors.registry import load_module
from firnline.sandbox.protocol import SandboxOptions
from firnline.sandbox.seed import company
from firnline.sandbox.server import Fleet, running
from firnline.sandbox.signin import CALLBACK, approve, connect
from firnline.settings import Settings
from firnline.transport import Transport
from firnline.transport.call import OutboundCall
from firnline.transport.errors import ProviderError

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROJECT = Path(__file__).parent / "verifying"
NOW = datetime.now(UTC).replace(microsecond=0)  # providers check tokens against the real time
TENANT = "acme"
LISTS = {"crm": "accounts", "desk": "tickets", "erp": "customers"}
OBJECT_TYPES = {"crm": "Account", "desk": "Ticket", "erp": "Customer"}
OBJECTS = {"crm": "Account", "desk": "tickets", "erp": "customer"}


@dataclass
class Office:
    """An application over a synced tenant, beside the sandboxes that it was synced from."""

    app: App
    fleet: Fleet

    def sandbox(self, connection: str) -> Any:
        provider = self.app.tenant(TENANT).connections[connection].provider
        return self.fleet.sandbox(provider, TENANT)

    async def connect(self, connection: str, email: str = "") -> None:
        """Connect a system for the organisation, or for one person with their own sign-in."""
        sandbox = self.sandbox(connection)
        await connect(
            *(self.app.connections, self.app.tenant(TENANT), connection),
            client=sandbox.client,
            email=email or sandbox.integration_email,
            is_own=bool(email),
        )

    async def ask(self, email: str, text: str) -> Any:
        answer = await self.app.ask(Principal(TENANT, email.casefold()), text)
        return {"data": answer.data, "errors": answer.errors, **answer.extensions}

    async def seen(self, connection: str, email: str) -> set[str]:
        """Return the keys that a person is answered with, page by page."""
        name, keys, after = LISTS[connection], set(), None
        for _ in range(60):
            text = f"query P {{ {name}(first: 50, after: {_quoted(after)}) {{ nodes {{ id }}"
            page = (await self.ask(email, text + " pageInfo { hasNextPage endCursor } } }"))[
                "data"
            ][name]
            keys |= {node["id"] for node in page["nodes"]}
            after = page["pageInfo"]["endCursor"]
            if not page["pageInfo"]["hasNextPage"]:
                return keys
        raise AssertionError("no end of pages")

    async def shown(self, connection: str, email: str) -> set[str]:
        """Return the keys that the provider shows that person's own token."""
        sandbox = self.sandbox(connection)
        server = self.fleet.server(sandbox.provider, TENANT)
        async with httpx2.AsyncClient(base_url=server.url, trust_env=False) as http:
            return set((await sandbox.read_as(http, email)).get(OBJECTS[connection]) or ())

    def forget(self) -> None:
        """Let what sources said no longer count."""
        kept = self.app.responder._verification.kept
        kept._kept.clear()
        kept._count = 0


def _quoted(text: str | None) -> str:
    return "null" if text is None else f'"{text}"'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def office(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    world = company(TENANT, scale=0.02, now=NOW)
    options = SandboxOptions(seed=7, now=NOW, limits=False)
    async with running([world], options=options) as fleet:
        home = tmp_path_factory.mktemp("home")
        settings = Settings(home=home, routes=fleet.routes, duckdb_threads=1, request_deadline_s=60)
        async with opened(PROJECT, settings) as app:
            office = Office(app, fleet)
            for name in LISTS:
                await office.connect(name)
            assert (await app.sync(TENANT)).ok
            yield office


async def somebody(office: Office, connection: str) -> str:
    """Return a person who sees some records of a system and not all."""
    everything = await office.shown(connection, office.sandbox(connection).integration_email)
    sights = {
        email: await office.shown(connection, email)
        for email in list(office.sandbox(connection).emails())[:30]
    }
    return max(
        (email for email in sights if 2 <= len(sights[email]) < len(everything)),
        key=lambda email: len(sights[email]),
    )


def _reassign(office: Office, connection: str, key: str, email: str) -> None:
    """Take a record out of a person's sight at its source."""
    sandbox = office.sandbox(connection)
    match connection:
        case "crm":
            for row in list(sandbox.org.live("AccountShare")):
                if row["AccountId"] == key and row["RowCause"] != "Owner":
                    sandbox.delete("AccountShare", row["Id"])
            boss = sandbox.org.user_ids[email]
            sandbox.change("Account", key, OwnerId=boss)
            for child in ("Opportunity", "Contact"):  # whoever owns one sees the account
                for row in list(sandbox.org.live(child)):
                    if row["AccountId"] == key:
                        sandbox.change(child, row["Id"], OwnerId=boss)
        case "desk":
            sandbox.change("tickets", key, group_id=None, organization_id=None, assignee_id=None)
        case _:
            subsidiaries = sandbox.store.tables["subsidiary"]
            own = sandbox.store.tables["customer"][int(key)]["subsidiary"]
            other = next(each for each in subsidiaries if each != own)
            sandbox.change("customer", key, subsidiary=other)


@pytest.mark.parametrize("connection", sorted(LISTS))
async def test_verify_shows_what_the_source_shows_now_and_not_what_it_showed_at_the_last_sync(
    office: Office, connection: str
) -> None:
    email = await somebody(office, connection)
    if connection != "crm":
        await office.connect(connection, email)
    office.forget()
    before = await office.seen(connection, email)
    assert before == await office.shown(connection, email)

    boss = office.sandbox(connection).integration_email
    for key in sorted(before)[:2]:
        _reassign(office, connection, key, boss)
    truth = await office.shown(connection, email)
    assert truth < before, "the change took nothing away"
    office.forget()

    assert await office.seen(connection, email) == truth
    counted = await office.ask(email, f"{{ {LISTS[connection]} {{ totalCount }} }}")
    assert counted["data"][LISTS[connection]]["totalCount"] == len(truth)
    gone = min(before - truth)
    facts = await explained(office.app, TENANT, email, OBJECT_TYPES[connection], record=gone)
    assert facts["checkedAtSource"]["countsFor"] == "5s"
    assert (facts["record"]["visibleAtSource"], facts["record"]["visible"]) == (True, False)
    (told,) = counted["access"]
    assert (told["effect"], told["source"], told["countsFor"]) == ("verified", connection, "5s")


async def test_person_who_connected_nothing_is_denied_where_nobody_else_may_ask(
    office: Office,
) -> None:
    """Zendesk tells the organisation nothing of what an agent sees; the rest is answered."""
    desk, crm = office.sandbox("desk"), office.sandbox("crm")
    email = next(each for each in desk.emails() if each in set(crm.emails()))
    row = await office.app.state.connection(TENANT, "desk", email)
    if row is not None:
        await office.app.state.delete_connection(TENANT, "desk", email)
    office.forget()

    told = await office.ask(email, "{ tickets { totalCount } accounts(first: 1) { nodes { id } } }")

    assert told["data"]["tickets"] == {"totalCount": 0}
    notes = {note["coordinate"]: note for note in told["access"]}
    assert notes["Ticket"]["code"] == "verify_not_connected"
    assert f"firnline connect acme desk --person {email}" in notes["Ticket"]["reason"]
    assert notes["Account"]["effect"] in ("verified", "denied")


async def test_connection_of_another_user_gives_nobody_s_rights_away(office: Office) -> None:
    """An agent who signs in as the administrator does not see what the administrator sees."""
    desk = office.sandbox("desk")
    email = await somebody(office, "desk")
    start = await office.app.connections.start_authorization(
        office.app.tenant(TENANT), "desk", redirect_uri=CALLBACK, person=email
    )
    async with httpx2.AsyncClient(trust_env=False) as http:
        routes = office.app.connections.transport.routes
        code, state = await approve(http, start.url, desk.integration_email, routes=routes)
    await office.app.connections.finish_authorization(state, code)
    office.forget()

    told = await office.ask(email, "{ tickets(first: 5) { nodes { id } } }")

    assert told["data"]["tickets"]["nodes"] == []
    assert told["access"][0]["code"] == "verify_other_user"
    await office.connect("desk", email)
    office.forget()
    assert (await office.ask(email, "{ tickets(first: 5) { nodes { id } } }"))["data"]["tickets"][
        "nodes"
    ]


def _counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return where every call to a provider is noted."""
    calls: list[str] = []
    send = Transport.send

    async def counted(self: Transport, call: OutboundCall, *, deadline_s: float) -> Any:
        calls.append(call.endpoint)
        return await send(self, call, deadline_s=deadline_s)

    monkeypatch.setattr(Transport, "send", counted)
    return calls


async def test_450_records_are_asked_about_in_three_requests(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them once, whoever asks twice; what was not asked about is never shown."""
    verifying = Verifying(
        office.app.connections, office.app.project.tenants, clock=office.app.clock
    )
    _, catalog = await office.app.state.catalog(TENANT, "crm")  # type: ignore[misc]
    org = office.sandbox("crm").org
    real = [row["Id"] for name in ("Account", "Contact", "Opportunity") for row in org.live(name)]
    keys = (real + [f"0015g{n:010d}AAA"[:18] for n in range(450)])[:450]
    calls = _counted(monkeypatch)
    email = office.sandbox("crm").integration_email
    query = VerifyQuery(
        catalog.by_name["Account"], (*keys, *keys), org.user_ids[email], is_own=False
    )

    visible = await verifying.visible(TENANT, "crm", query, person=email, deadline_s=20)

    assert len(calls) == 3
    assert visible == set(real) & set(keys)


async def test_source_that_is_down_denies_its_objects_within_the_asker_s_time(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    crm = office.sandbox("crm")
    outage = load_module("salesforce", "sandbox").Fault("/query", 503, times=10_000, body=b"[]")
    crm.faults.append(outage)
    email = crm.integration_email  # who sees everything when the source answers
    office.forget()
    hurried = replace(office.app.verification, deadline_s=1.5)
    monkeypatch.setattr(office.app.responder, "_verification", hurried)
    try:
        told = await office.ask(email, "{ accounts { totalCount nodes { name } } }")
    finally:
        outage.times = 0
    assert told["data"]["accounts"] == {"totalCount": 0, "nodes": []}
    assert [error["extensions"]["code"] for error in told["errors"]] == ["verify_unavailable"]
    assert told["access"][0]["code"] == "verify_unavailable"


async def test_source_that_was_down_is_left_in_peace_for_a_moment(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks meanwhile waits for nothing."""
    verifying = Verifying(
        office.app.connections, office.app.project.tenants, clock=office.app.clock
    )
    _, catalog = await office.app.state.catalog(TENANT, "crm")  # type: ignore[misc]
    crm = office.sandbox("crm")
    outage = load_module("salesforce", "sandbox").Fault("/query", 503, times=10_000, body=b"[]")
    crm.faults.append(outage)
    email = crm.integration_email
    query = VerifyQuery(
        catalog.by_name["Account"], ("001000000000000AAA",), crm.org.user_ids[email], is_own=False
    )
    try:
        with pytest.raises(ProviderError):
            await verifying.visible(TENANT, "crm", query, person=email, deadline_s=0.5)
        calls = _counted(monkeypatch)
        with pytest.raises(VerifyPausedError):
            await verifying.visible(TENANT, "crm", query, person=email, deadline_s=5)
        assert calls == []
    finally:
        outage.times = 0


async def test_tenant_whose_system_is_not_connected_is_told_so(office: Office) -> None:
    """Nobody connected another tenant's system: there is no way around that."""
    verifying = Verifying(
        office.app.connections, office.app.project.tenants, clock=office.app.clock
    )
    _, catalog = await office.app.state.catalog(TENANT, "desk")  # type: ignore[misc]
    query = VerifyQuery(catalog.by_name["tickets"], ("1",), "1", is_own=False)
    with pytest.raises(VerifyNotConnectedError) as refused:
        await verifying.visible(TENANT, "desk", query, person="x@y.test", deadline_s=5)
    assert refused.value.hint == "Run: firnline connect acme desk --person x@y.test"
