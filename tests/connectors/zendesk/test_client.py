"""An independent client of the vendor, zenpy, against the sandbox over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.connectors.zendesk.account import NOW, open_account
from zenpy import Zenpy
from zenpy.lib.exception import APIException, RecordNotFoundException

from firnline.sandbox.server import listening


@pytest.fixture
def tenant() -> str:
    return "acme"


@pytest.fixture
async def served(monkeypatch: pytest.MonkeyPatch, sandbox: Any) -> AsyncIterator[str]:
    async with listening(sandbox.app) as url:
        monkeypatch.setenv("ZENPY_FORCE_SCHEME", "http")
        monkeypatch.setenv("ZENPY_FORCE_NETLOC", urlsplit(url).netloc)
        yield url


def client(sandbox: Any, email: str | None = None) -> Zenpy:
    token = sandbox.token_for(email or sandbox.integration_email)
    return Zenpy(subdomain="acme", oauth_token=token, disable_cache=True)


def agent_of(sandbox: Any, role: str) -> Any:
    roles = sandbox.store.table("custom_roles").rows
    return next(
        row
        for row in sandbox.store.table("users").rows.values()
        if roles.get(row.get("custom_role_id"), {}).get("name") == role
    )


async def test_zenpy_lists_every_object_page_by_page(served: str, sandbox: Any) -> None:
    def ids(zenpy: Zenpy) -> dict[str, list[int]]:
        return {
            "tickets": [one.id for one in zenpy.tickets()],
            "users": [one.id for one in zenpy.users()],
            "organizations": [one.id for one in zenpy.organizations()],
            "groups": [one.id for one in zenpy.groups()],
            "group_memberships": [one.id for one in zenpy.group_memberships()],
            "custom_roles": [one.id for one in zenpy.custom_agent_roles()],
        }

    found = await asyncio.to_thread(ids, client(sandbox))
    counts = sandbox.counts()
    assert {name: len(set(keys)) for name, keys in found.items()} == {
        name: counts[name] for name in found
    }
    assert all(len(set(keys)) == len(keys) for keys in found.values())


async def test_zenpy_follows_the_cursor_export_to_its_end(served: str, sandbox: Any) -> None:
    def ids(zenpy: Zenpy) -> list[int]:
        return [one.id for one in zenpy.tickets.incremental(start_time=1, per_page=97)]

    found = await asyncio.to_thread(ids, client(sandbox))
    assert sorted(found) == sandbox.store.table("tickets").live()


async def test_zenpy_reads_fields_and_the_time_based_export(served: str, sandbox: Any) -> None:
    def read(zenpy: Zenpy) -> tuple[set[str], int]:
        titles = {one.title for one in zenpy.ticket_fields()}
        return titles, len(list(zenpy.organizations.incremental(start_time=1)))

    titles, count = await asyncio.to_thread(read, client(sandbox))
    assert {"Subject", "Product area", "Escalated", "Promised until"} <= titles
    assert count == sandbox.counts()["organizations"]


async def test_zenpy_searches_and_exports_a_search(served: str, sandbox: Any) -> None:
    after = NOW - timedelta(days=90)

    def found(zenpy: Zenpy) -> tuple[set[int], set[int], int]:
        searched = zenpy.search(type="ticket", status_less_than="solved", created_after=after)
        exported = zenpy.search_export(type="ticket", created_after=after)
        counted = zenpy.search.count(type="ticket", created_after=after)
        return {one.id for one in searched}, {one.id for one in exported}, counted

    searched, exported, counted = await asyncio.to_thread(found, client(sandbox))
    tickets = sandbox.store.table("tickets").rows.values()
    recent = [row for row in tickets if row["created_at"] > after.strftime("%Y-%m-%dT%H:%M:%SZ")]
    unsolved = ("new", "open", "pending", "hold")
    assert searched == {row["id"] for row in recent if row["status"] in unsolved}
    assert searched
    assert exported == {row["id"] for row in recent}
    assert int(getattr(counted, "count", counted)) == len(recent)


async def test_zenpy_as_a_restricted_agent_sees_own_tickets_only(served: str, sandbox: Any) -> None:
    agent = agent_of(sandbox, "Case owner")
    tickets = sandbox.store.table("tickets").rows
    own = {key for key, row in tickets.items() if row["assignee_id"] == agent["id"]}
    other = next(key for key in tickets if key not in own)

    def read(zenpy: Zenpy) -> tuple[set[int], str]:
        try:
            zenpy.tickets(id=other)
        except APIException as error:
            return {one.id for one in zenpy.tickets()}, str(error)
        return set(), "no error"

    seen, refusal = await asyncio.to_thread(read, client(sandbox, agent["email"]))
    assert seen == own
    assert seen
    assert "You do not have access to this page" in refusal


async def test_zenpy_is_told_of_a_missing_record(served: str, sandbox: Any) -> None:
    with pytest.raises(RecordNotFoundException):
        await asyncio.to_thread(client(sandbox).tickets, id=987654321)


def test_the_same_seed_builds_the_same_account() -> None:
    first, second = open_account("acme"), open_account("acme")
    for name, table in first.store.tables.items():
        assert table.rows == second.store.table(name).rows
