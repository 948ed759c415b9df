"""What the mirrored permissions allow equals what each person's own calls show."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from tests.connectors.row_rules import text, visible_keys
from tests.connectors.zendesk.account import open_account
from tests.connectors.zendesk.driver import Cached, Engine, read_everything

from firnline.access.model import AnyOf, FieldIn, Nothing, Person
from firnline.catalog.model import Catalog, ObjectInfo
from firnline.connectors.protocol import Connector
from firnline.connectors.registry import load_connector
from firnline.sandbox.server import listening

Seen = dict[str, dict[str, dict[str, Any]]]


def shown(catalog: Catalog, object_name: str, row: Any, hidden: Any = ()) -> dict[str, Any]:
    """Return a record's readable values; keys and references compared as text."""
    fields = catalog.by_name[object_name].by_name
    return {
        name: text(row.get(name)) if fields[name].type == "id" else row.get(name)
        for name in fields
        if name not in hidden
    }


def allowed(connector: Connector, catalog: Catalog, tables: Any, email: str) -> Seen:
    """Return what the rules of one person let through, over the admin's records."""
    access = connector.access(Cached(tables), catalog, Person(email))
    seen: Seen = {}
    for described in catalog.objects:
        granted = access.object(described.name)
        if not described.exposed:
            assert not granted.readable
        elif granted.readable:
            keys = visible_keys(granted.rows, described.name, tables, catalog)
            seen[described.name] = {
                key: shown(catalog, described.name, tables[described.name][key], granted.hidden)
                for key in keys
            }
        else:
            assert granted.reason, described.name
    return seen


async def witnessed(sandbox: Any, http: httpx2.AsyncClient, catalog: Catalog, email: str) -> Seen:
    return {
        object_name: {key: shown(catalog, object_name, row) for key, row in rows.items()}
        for object_name, rows in (await sandbox.read_as(http, email)).items()
    }


async def differing(sandbox: Any, http: httpx2.AsyncClient) -> tuple[list[str], dict[str, Seen]]:
    """Return the people whose rules and calls differ, and what the rules gave everyone."""
    engine = Engine(load_connector("zendesk"), http, sandbox.token_for(sandbox.integration_email))
    catalog = await engine.discover()
    tables = await read_everything(engine, catalog)
    wrong, given = [], {}
    for email in sandbox.emails():
        given[email] = allowed(engine.connector, catalog, tables, email)
        if given[email] != await witnessed(sandbox, http, catalog, email):
            wrong.append(email)
    return wrong, given


async def test_every_person_is_given_exactly_what_zendesk_shows_them(
    sandbox: Any, http: httpx2.AsyncClient
) -> None:
    wrong, given = await differing(sandbox, http)
    assert wrong == []
    # The people differ: all tickets, some groups' tickets, own tickets, nothing.
    counts = {len(seen.get("tickets", {})) for seen in given.values()}
    assert len(counts) >= 4
    assert 0 in counts
    assert max(counts) == sandbox.counts()["tickets"]


@pytest.mark.parametrize(
    "ticket_access",
    ["within-organization", "within-groups-and-public-groups", "assigned-only", "all"],
)
async def test_ticket_access_of_a_role_decides_for_everyone_who_holds_it(
    sandbox: Any, http: httpx2.AsyncClient, ticket_access: str
) -> None:
    roles = sandbox.store.table("custom_roles").rows
    agent = next(row for row in roles.values() if row["name"] == "Support agent")
    changed = {**agent["configuration"], "ticket_access": ticket_access}
    sandbox.change("custom_roles", str(agent["id"]), configuration=changed)
    organizations = sandbox.store.table("organizations").live()
    holders = [
        row
        for row in sandbox.store.table("users").rows.values()
        if row.get("custom_role_id") == agent["id"]
    ]
    for holder in holders:
        for organization in organizations[:3]:
            sandbox.add(
                "organization_memberships", user_id=holder["id"], organization_id=organization
            )
    group = sandbox.store.table("groups").live()[0]
    sandbox.store.table("groups").rows[group]["is_public"] = False
    sandbox.store.version += 1

    wrong, given = await differing(sandbox, http)

    assert wrong == []
    count = len(given[holders[0]["email"]]["tickets"])
    everything = sandbox.counts()["tickets"]
    assert count == everything if ticket_access == "all" else count < everything


async def test_without_custom_roles_the_users_own_restriction_decides() -> None:
    sandbox = open_account("acme", custom_roles=False)
    async with (
        listening(sandbox.app) as url,
        httpx2.AsyncClient(base_url=url, trust_env=False) as http,
    ):
        wrong, given = await differing(sandbox, http)
    assert wrong == []
    assert len({len(seen.get("tickets", {})) for seen in given.values()}) >= 4


async def test_agents_see_tickets_of_their_own_brands_only() -> None:
    """Of two brands agents belong to both, one or none; administrators to all."""
    sandbox = open_account("acme", department_spaces=True)
    tickets = sandbox.store.table("tickets")
    for number in tickets.live()[::3]:
        sandbox.change("tickets", str(number), brand_id=77)
    memberships = sandbox.store.table("brand_agents")
    for place, key in enumerate(memberships.live()):
        user = memberships.rows[key]["user_id"]
        if place % 3:
            sandbox.add("brand_agents", user_id=user, brand_id=77)
        if place % 3 == 1:
            sandbox.delete("brand_agents", str(key))
    sandbox.advance(600)  # exports hold changes back for a while
    async with (
        listening(sandbox.app) as url,
        httpx2.AsyncClient(base_url=url, trust_env=False) as http,
    ):
        wrong, given = await differing(sandbox, http)
    assert wrong == []
    counts = {len(seen.get("tickets", {})) for seen in given.values()}
    assert len(counts) >= 4
    assert max(counts) == sandbox.counts()["tickets"]


async def test_brands_that_were_never_read_hide_all_tickets(engine: Engine) -> None:
    catalog = await engine.discover()
    brands = ObjectInfo(
        name="brand_agents", key="id", exposed=False, fields=catalog.objects[0].fields
    )
    catalog = catalog.model_copy(update={"objects": (*catalog.objects, brands)})
    role = {"5": {"id": "5", "name": "R", "configuration": {"ticket_access": "all"}}}
    tables: Any = {"users": {"7": {**USER, "custom_role_id": "5"}}, "custom_roles": role}
    person = Person("ann@acme.example")

    unread = engine.connector.access(Cached(tables), catalog, person).object("tickets")
    assert not unread.readable
    tables["brand_agents"] = {}
    none = engine.connector.access(Cached(tables), catalog, person).object("tickets")
    assert none.rows == Nothing()
    tables["brand_agents"] = {"1": {"id": "1", "user_id": "7", "brand_id": "77"}}
    one = engine.connector.access(Cached(tables), catalog, person).object("tickets")
    assert one.rows == FieldIn("brand_id", frozenset({"77"}))


async def test_a_role_that_may_not_list_users_hides_them(
    sandbox: Any, http: httpx2.AsyncClient
) -> None:
    roles = sandbox.store.table("custom_roles").rows
    agent = next(row for row in roles.values() if row["name"] == "Group agent")
    changed = {**agent["configuration"], "end_user_list_access": "none"}
    sandbox.change("custom_roles", str(agent["id"]), configuration=changed)
    wrong, given = await differing(sandbox, http)
    assert wrong == []
    assert any("users" not in seen and seen for seen in given.values())


USER = {
    "id": "7",
    "email": "ann@acme.example",
    "role": "agent",
    "role_type": 0,
    "custom_role_id": None,
    "active": True,
    "suspended": False,
    "chat_only": False,
    "ticket_restriction": None,
    "organization_id": None,
}


async def decided(engine: Engine, asked: str = "ann@acme.example", /, **changed: Any) -> Any:
    catalog = await engine.discover()
    tables = {"users": {"7": {**USER, **changed}}}
    return engine.connector.access(Cached(tables), catalog, Person(asked))


@pytest.mark.parametrize("tenant", ["acme"], indirect=True)
class TestDenials:
    """Whatever is not understood is denied, with a reason."""

    @pytest.mark.parametrize(
        "changed",
        [{"active": False}, {"suspended": True}, {"email": "bob@acme.example"}, {"email": None}],
        ids=str,
    )
    async def test_without_an_active_user_there_are_no_rights(
        self, engine: Engine, changed: dict[str, Any]
    ) -> None:
        access = await decided(engine, **changed)
        assert access.user_key is None
        assert "no active Zendesk user" in access.object("tickets").reason

    async def test_an_address_in_another_case_is_the_same_agent(self, engine: Engine) -> None:
        access = await decided(engine, "ANN@Acme.example", email="Ann@acme.example")
        assert access.user_key == "7"

    async def test_an_empty_address_matches_nobody(self, engine: Engine) -> None:
        assert (await decided(engine, "", email="")).user_key is None

    @pytest.mark.parametrize(
        "changed",
        [
            {"role": "end-user"},
            {"role": "owner"},
            {"chat_only": True},
            {"role_type": 2},
            {"custom_role_id": "99"},
            {"ticket_restriction": "something-new"},
            {"ticket_restriction": "requested"},
        ],
        ids=str,
    )
    async def test_a_role_that_is_not_understood_reads_no_tickets(
        self, engine: Engine, changed: dict[str, Any]
    ) -> None:
        access = await decided(engine, **changed)
        granted = access.object("tickets")
        assert not granted.readable
        assert granted.reason

    async def test_role_and_restriction_together_give_the_narrower(self, engine: Engine) -> None:
        catalog = await engine.discover()
        tables: Any = {
            "users": {"7": {**USER, "custom_role_id": "5", "ticket_restriction": "assigned"}},
            "custom_roles": {
                "5": {"id": "5", "name": "R", "configuration": {"ticket_access": "all"}}
            },
        }
        access = engine.connector.access(Cached(tables), catalog, Person("ann@acme.example"))
        assert access.object("tickets").rows == FieldIn("assignee_id", frozenset({"7"}))

    async def test_a_configuration_kept_as_text_is_read_all_the_same(self, engine: Engine) -> None:
        catalog = await engine.discover()
        role = {
            "id": "5",
            "name": "R",
            "configuration": '{"ticket_access":"within-groups-and-public-groups"}',
        }
        tables: Any = {
            "users": {"7": {**USER, "custom_role_id": "5"}},
            "custom_roles": {"5": role},
            "groups": {"3": {"id": "3", "is_public": True}, "4": {"id": "4", "is_public": False}},
        }
        access = engine.connector.access(Cached(tables), catalog, Person("ann@acme.example"))
        rows = access.object("tickets").rows
        assert isinstance(rows, AnyOf)
        assert FieldIn("group_id", frozenset({"3"})) in rows.rules
