"""The sandbox keeps the vendor's rules of pages, search, deletions and refusals."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

Headers = dict[str, str]


@pytest.fixture
def tenant() -> str:
    return "globex"


@pytest.fixture
def admin(sandbox: Any) -> Headers:
    return {"Authorization": f"Bearer {sandbox.token_for(sandbox.integration_email)}"}


async def get(http: httpx2.AsyncClient, path: str, headers: Headers, **params: str) -> Any:
    return await http.get(path, headers=headers, params=params or None)


async def test_offset_pages_end_at_a_hundred(http: httpx2.AsyncClient, admin: Headers) -> None:
    last = await get(http, "/api/v2/tickets", admin, per_page="2", page="100")
    assert last.status_code == 200
    assert len(last.json()["tickets"]) == 2
    beyond = await get(http, "/api/v2/tickets", admin, per_page="2", page="101")
    assert beyond.status_code == 400


async def test_pages_hold_at_most_a_hundred(http: httpx2.AsyncClient, admin: Headers) -> None:
    by_cursor = await get(http, "/api/v2/tickets.json", admin, **{"page[size]": "5000"})
    assert len(by_cursor.json()["tickets"]) == 100
    by_number = await get(http, "/api/v2/tickets", admin, per_page="5000")
    assert len(by_number.json()["tickets"]) == 100


async def test_cursor_links_lead_forward_and_back(http: httpx2.AsyncClient, admin: Headers) -> None:
    first = (await get(http, "/api/v2/tickets", admin, **{"page[size]": "10"})).json()
    second = (await get(http, first["links"]["next"], admin)).json()
    assert first["tickets"][-1]["id"] < second["tickets"][0]["id"]
    back = (await get(http, second["links"]["prev"], admin)).json()
    assert back["tickets"] == first["tickets"]


async def test_links_are_built_from_the_host_that_was_asked(
    http: httpx2.AsyncClient, admin: Headers
) -> None:
    named = {**admin, "Host": "globex.zendesk.com", "X-Forwarded-Proto": "https"}
    page = (await get(http, "/api/v2/tickets.json", named, **{"page[size]": "1"})).json()
    link = urlsplit(page["links"]["next"])
    assert f"{link.scheme}://{link.netloc}{link.path}" == (
        "https://globex.zendesk.com/api/v2/tickets.json"
    )


@pytest.mark.parametrize(
    ("path", "params", "status"),
    [
        ("/api/v2/tickets", {"page[size]": "1", "page[after]": "nonsense"}, 400),
        ("/api/v2/tickets", {"page[size]": "many"}, 400),
        ("/api/v2/incremental/tickets/cursor", {"cursor": "nonsense"}, 400),
        ("/api/v2/incremental/tickets/cursor", {}, 400),
        ("/api/v2/incremental/organizations.json", {"start_time": "99999999999"}, 422),
        ("/api/v2/search", {}, 400),
        ("/api/v2/search", {"query": "type:ticket", "page": "11"}, 422),
        ("/api/v2/search", {"query": "type:ticket colour:red"}, 422),
        ("/api/v2/search", {"query": "type:planet"}, 422),
        ("/api/v2/search/export", {"query": "status:open"}, 400),
        ("/api/v2/tickets/show_many", {"ids": ",".join(map(str, range(101)))}, 400),
        ("/api/v2/tickets/1234567890", {}, 404),
        ("/api/v2/custom_objects/unknown/records", {}, 404),
        ("/api/v2/nothing", {}, 404),
    ],
)
async def test_a_wrong_call_is_refused_in_the_vendors_form(
    http: httpx2.AsyncClient, admin: Headers, path: str, params: dict[str, str], status: int
) -> None:
    response = await get(http, path, admin, **params)
    assert response.status_code == status
    assert isinstance(response.json()["error"], str)


async def test_without_a_token_nothing_is_shown(http: httpx2.AsyncClient) -> None:
    response = await http.get("/api/v2/tickets")
    assert response.status_code == 401
    assert response.json() == {"error": "Couldn't authenticate you"}


async def test_end_users_are_kept_out_of_the_agents_api(
    http: httpx2.AsyncClient, sandbox: Any
) -> None:
    email = next(
        row["email"]
        for row in sandbox.store.table("users").rows.values()
        if row["role"] == "end-user"
    )
    own = {"Authorization": f"Bearer {sandbox.token_for(email)}"}
    assert (await get(http, "/api/v2/users/me", own)).status_code == 200
    paths = ("tickets", "users", "organizations", "groups", "custom_roles", "search?query=a")
    for path in (*paths, "custom_objects", "incremental/tickets/cursor?start_time=1"):
        response = await get(http, f"/api/v2/{path}", own)
        assert response.status_code == 403, path
        assert response.json()["error"]["title"] == "Forbidden"
    assert await sandbox.read_as(http, email) == {}


async def test_search_terms_combine(http: httpx2.AsyncClient, admin: Headers, sandbox: Any) -> None:
    tickets = sandbox.store.table("tickets").rows.values()
    some = next(iter(tickets))
    organization = some["organization_id"]
    name = sandbox.store.table("organizations").rows[organization]["name"]
    expected = {
        row["id"]
        for row in tickets
        if row["organization_id"] == organization and row["status"] in ("open", "new")
    }
    for who in (str(organization), f'"{name}"'):
        query = f"type:ticket organization:{who} status:open status:new"
        found = (await get(http, "/api/v2/search", admin, query=query)).json()
        assert {row["id"] for row in found["results"]} == expected
        assert {row["result_type"] for row in found["results"]} <= {"ticket"}
        counted = (await get(http, "/api/v2/search/count", admin, query=query)).json()
        assert counted == {"count": len(expected)}
    query = "type:ticket tags:prio_urgent -status:closed updated>=2026-01-01"
    found = (await get(http, "/api/v2/search/count", admin, query=query)).json()["count"]
    assert found == sum(
        "prio_urgent" in row["tags"]
        and row["status"] != "closed"
        and row["updated_at"] >= "2026-01-01"
        for row in tickets
    )
    assert found > 0


async def test_search_stops_at_a_thousand_results(
    http: httpx2.AsyncClient, admin: Headers, sandbox: Any
) -> None:
    for number in range(1001 - sandbox.counts()["tickets"]):
        sandbox.add("tickets", subject=f"one more {number}")
    last = await get(http, "/api/v2/search", admin, query="type:ticket", page="10")
    assert last.json()["count"] >= 1001
    assert last.json()["next_page"] is None


async def test_deleted_tickets_leave_lists_and_stand_in_exports(
    http: httpx2.AsyncClient, admin: Headers, sandbox: Any
) -> None:
    key = sandbox.store.table("tickets").live()[3]
    status = sandbox.store.table("tickets").rows[key]["status"]
    sandbox.delete("tickets", str(key))
    sandbox.advance(61)
    assert (await get(http, f"/api/v2/tickets/{key}", admin)).status_code == 404
    deleted = (await get(http, "/api/v2/deleted_tickets", admin)).json()["deleted_tickets"]
    assert [(row["id"], row["previous_state"]) for row in deleted] == [(key, status)]
    export = "/api/v2/incremental/tickets/cursor"
    rows = (await get(http, export, admin, start_time="1")).json()["tickets"]
    assert next(row for row in rows if row["id"] == key)["status"] == "deleted"
    kept = (await get(http, export, admin, start_time="1", exclude_deleted="true")).json()
    assert key not in {row["id"] for row in kept["tickets"]}


async def test_show_many_count_and_organization_tickets_agree(
    http: httpx2.AsyncClient, admin: Headers, sandbox: Any
) -> None:
    tickets = sandbox.store.table("tickets")
    counted = (await get(http, "/api/v2/tickets/count.json", admin)).json()
    assert counted["count"]["value"] == len(tickets.live())
    organization = tickets.rows[tickets.live()[0]]["organization_id"]
    path = f"/api/v2/organizations/{organization}/tickets"
    own = (await get(http, path, admin, include="users")).json()
    ids = [row["id"] for row in own["tickets"]]
    assert {row["organization_id"] for row in own["tickets"]} == {organization}
    many = (await get(http, "/api/v2/tickets/show_many", admin, ids=",".join(map(str, ids)))).json()
    assert [row["id"] for row in many["tickets"]] == ids
    requesters = {row["requester_id"] for row in own["tickets"]}
    assert requesters <= {row["id"] for row in own["users"]}


async def test_an_agent_without_the_scope_on_a_custom_object_cannot_read_it(
    http: httpx2.AsyncClient, sandbox: Any
) -> None:
    roles = sandbox.store.table("custom_roles").rows
    restricted = next(key for key, row in roles.items() if row["name"] == "Case owner")
    email = next(
        row["email"]
        for row in sandbox.store.table("users").rows.values()
        if row.get("custom_role_id") == restricted
    )
    own = {"Authorization": f"Bearer {sandbox.token_for(email)}"}
    listed = (await get(http, "/api/v2/custom_objects", own)).json()["custom_objects"]
    assert [row["key"] for row in listed] == ["product_asset"]
    for path in (
        "custom_objects/product_asset/records?page[size]=1",
        "incremental/custom_objects/product_asset/cursor?start_time=1",
    ):
        assert (await get(http, f"/api/v2/{path}", own)).status_code == 403
