"""The endpoints under /api/v2: what a caller asks, what the store answers to that caller."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .sandbox_exports import Exports
from .sandbox_oauth import Grant, OAuth
from .sandbox_paging import by_cursor, paged
from .sandbox_permissions import Permissions
from .sandbox_search_api import SearchApi
from .sandbox_store import CUSTOM, Key, Row, Store, Table
from .sandbox_wire import (
    NOT_FOUND,
    ApiError,
    forbidden,
    iso,
    json_answer,
    refusal,
    whole,
)

LISTS = (
    "tickets",
    "users",
    "organizations",
    "groups",
    "group_memberships",
    "organization_memberships",
    "custom_roles",
    "brand_agents",
)
FIELD_LISTS = ("ticket_fields", "user_fields", "organization_fields")
SHOW_MANY = ("tickets", "users", "organizations")
Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What the account's plan has beyond the smallest."""

    custom_roles: bool
    department_spaces: bool


class Api:
    """Every endpoint. One instance per account."""

    def __init__(self, store: Store, oauth: OAuth, exports: Exports, plan: Plan) -> None:
        self.store = store
        self.oauth = oauth
        self.exports = exports
        self.plan = plan
        self.permissions = Permissions(store, has_department_spaces=plan.department_spaces)

    def routes(self) -> list[Route]:
        """Return the routes, without the optional `.json` that the application strips."""
        search = SearchApi(self)
        made: list[tuple[str, Endpoint]] = [
            ("/users/me", self.me),
            ("/oauth/tokens", self.tokens),
            ("/oauth/tokens/current", self.current_token),
            ("/deleted_tickets", self.deleted_tickets),
            ("/deleted_users", self.deleted_users),
            ("/search", search.search),
            ("/search/count", search.search_count),
            ("/search/export", search.search_export),
            ("/tickets/count", self.ticket_count),
            ("/organizations/{id:int}/tickets", self.organization_tickets),
            ("/custom_objects", self.custom_objects),
            ("/custom_objects/{key}/fields", self.custom_object_fields),
            ("/custom_objects/{key}/records", self.custom_object_records),
            ("/custom_objects/{key}/records/{id}", self.custom_object_record),
            ("/incremental/custom_objects/{key}/cursor", self.export_custom_object),
        ]
        made += [(f"/{name}", self._field_list(name)) for name in FIELD_LISTS]
        made += [(f"/{name}/show_many", self._show_many(name)) for name in SHOW_MANY]
        made += [(f"/{name}", self._list(name)) for name in LISTS]
        made += [(f"/{name}/{{id:int}}", self._single(name)) for name in LISTS]
        for name in ("tickets", "users", "organizations"):
            made.append((f"/incremental/{name}", self._export(name, by_cursor=False)))
            if name != "organizations":
                made.append((f"/incremental/{name}/cursor", self._export(name, by_cursor=True)))
        routes = [Route(f"/api/v2{path}", endpoint, methods=["GET"]) for path, endpoint in made]
        for path in ("/oauth/tokens/current", "/oauth/tokens/{id:int}"):
            routes.append(Route(f"/api/v2{path}", self.revoke_token, methods=["DELETE"]))
        return routes

    # The caller

    def grant(self, request: Request) -> Grant:
        """Return the caller's grant; raises the vendor's 401."""
        return self.oauth.authenticate(request.headers.get("authorization"))

    def caller(self, request: Request, resource: str) -> Row:
        """Return the calling user, whose token must have the scope to read `resource`."""
        grant = self.grant(request)
        scopes = grant.scope.split()
        if "read" not in scopes and f"{resource}:read" not in scopes:
            raise ApiError(
                403,
                {
                    "error": "Forbidden",
                    "description": "You are missing the following required scopes: read",
                },
            )
        return self.store.table("users").rows[grant.user_id]

    def _render(self, table: Table) -> Callable[[Sequence[Key]], list[Row]]:
        return lambda keys: [self.store.render(table, key) for key in keys]

    # Lists and single records

    def _list(self, name: str) -> Endpoint:
        async def listed(request: Request) -> Response:
            caller = self.caller(request, name)
            self.permissions.require_list(caller, name)
            self._require_plan(name)
            table = self.store.table(name)
            keys = self.permissions.visible(caller, name)
            body = paged(request, name, keys, self._render(table))
            self._sideload(request, body, name)
            return json_answer(body)

        return listed

    def _require_plan(self, name: str) -> None:
        if name == "custom_roles" and not self.plan.custom_roles:
            raise forbidden()
        if name == "brand_agents" and not self.plan.department_spaces:
            raise forbidden()

    def _sideload(self, request: Request, body: dict[str, Any], name: str) -> None:
        wanted = request.query_params.get("include", "").split(",")
        references = {
            "users": ("requester_id", "assignee_id", "submitter_id"),
            "groups": ("group_id",),
            "organizations": ("organization_id",),
        }
        for other, fields in references.items():
            if other in wanted and other != name:
                table = self.store.table(other)
                keys = {row.get(field) for row in body[name] for field in fields} - {None}
                body[other] = [self.store.render(table, key) for key in sorted(keys)]

    def _single(self, name: str) -> Endpoint:
        async def single(request: Request) -> Response:
            caller = self.caller(request, name)
            self.permissions.require_agent(caller)
            if name == "brand_agents":
                self.permissions.require_admin(caller)
            self._require_plan(name)
            table = self.store.table(name)
            key = request.path_params["id"]
            if key not in table.rows or (key in table.deleted and name != "users"):
                raise ApiError(404, NOT_FOUND)
            if not self.permissions.sees(caller, name, key):
                raise forbidden()
            return json_answer({name[:-1]: self.store.render(table, key)})

        return single

    def _show_many(self, name: str) -> Endpoint:
        async def many(request: Request) -> Response:
            caller = self.caller(request, name)
            self.permissions.require_list(caller, name)
            table = self.store.table(name)
            texts = [text for text in request.query_params.get("ids", "").split(",") if text]
            if len(texts) > 100:
                raise refusal(400, "TooManyValues", "ids has too many values, the limit is 100")
            asked = [whole(text, "ids", 0) for text in texts]
            found = [
                key
                for key in dict.fromkeys(asked)
                if key in table.rows
                and key not in table.deleted
                and self.permissions.sees(caller, name, key)
            ]
            rows = self._render(table)(found)
            body = {name: rows, "next_page": None, "previous_page": None, "count": len(rows)}
            return json_answer(body)

        return many

    def _field_list(self, name: str) -> Endpoint:
        async def fields(request: Request) -> Response:
            caller = self.caller(request, name)
            if name != "ticket_fields":
                self.permissions.require_agent(caller)
            return json_answer(self._definitions(request, name, name))

        return fields

    def _definitions(self, request: Request, resource: str, wire_name: str) -> dict[str, Any]:
        by_id = {row["id"]: row for row in self.store.fields[resource]}
        return paged(request, wire_name, sorted(by_id), lambda keys: [by_id[key] for key in keys])

    async def me(self, request: Request) -> Response:
        """Answer with the calling user."""
        caller = self.caller(request, "users")
        return json_answer({"user": self.store.render(self.store.table("users"), caller["id"])})

    async def ticket_count(self, request: Request) -> Response:
        """Answer with the number of tickets that the caller sees."""
        caller = self.caller(request, "tickets")
        self.permissions.require_agent(caller)
        count = len(self.permissions.visible(caller, "tickets"))
        now = iso(self.store.clock())
        return json_answer({"count": {"value": count, "refreshed_at": now}})

    async def organization_tickets(self, request: Request) -> Response:
        """Answer with the tickets of one organization that the caller sees."""
        caller = self.caller(request, "tickets")
        self.permissions.require_agent(caller)
        organization = request.path_params["id"]
        if organization not in self.permissions.visible(caller, "organizations"):
            raise ApiError(404, NOT_FOUND)
        table = self.store.table("tickets")
        keys = [
            key
            for key in self.permissions.visible(caller, "tickets")
            if table.rows[key]["organization_id"] == organization
        ]
        body = paged(request, "tickets", keys, self._render(table))
        self._sideload(request, body, "tickets")
        return json_answer(body)

    # Deleted records

    async def deleted_tickets(self, request: Request) -> Response:
        """Answer with deleted tickets, to admins."""
        self.permissions.require_admin(self.caller(request, "tickets"))
        table = self.store.table("tickets")

        def rows(keys: Sequence[Key]) -> list[Row]:
            return [
                {
                    "id": key,
                    "subject": table.rows[key]["subject"],
                    "actor": {"id": -1, "name": "System"},
                    "deleted_at": iso(table.deleted[key]),
                    "previous_state": table.previous[key],
                }
                for key in keys
            ]

        keys = sorted(table.deleted)
        return json_answer(paged(request, "deleted_tickets", keys, rows))

    async def deleted_users(self, request: Request) -> Response:
        """Answer with deleted users."""
        self.permissions.require_agent(self.caller(request, "users"))
        table = self.store.table("users")
        keys = sorted(table.deleted)
        return json_answer(paged(request, "deleted_users", keys, self._render(table)))

    # Custom objects

    async def custom_objects(self, request: Request) -> Response:
        """Answer with the custom objects of the account."""
        self.permissions.require_agent(self.caller(request, "custom_objects"))
        return json_answer({"custom_objects": self.store.custom_objects})

    def _custom(self, request: Request) -> str:
        name = CUSTOM + str(request.path_params["key"])
        if name not in self.store.tables:
            raise ApiError(404, NOT_FOUND)
        return name

    async def custom_object_fields(self, request: Request) -> Response:
        """Answer with the fields of one custom object."""
        self.permissions.require_agent(self.caller(request, "custom_objects"))
        name = self._custom(request)
        return json_answer(self._definitions(request, name, "custom_object_fields"))

    async def custom_object_records(self, request: Request) -> Response:
        """Answer with the records of one custom object; by cursor only."""
        caller = self.caller(request, "custom_objects")
        name = self._custom(request)
        self.permissions.require_list(caller, name)
        keys = self.permissions.visible(caller, name)
        render = self._render(self.store.table(name))
        return json_answer(by_cursor(request, "custom_object_records", keys, render, size_max=100))

    async def custom_object_record(self, request: Request) -> Response:
        """Answer with one record of one custom object."""
        caller = self.caller(request, "custom_objects")
        name = self._custom(request)
        self.permissions.require_list(caller, name)
        table, key = self.store.table(name), request.path_params["id"]
        if key not in table.rows or key in table.deleted:
            raise ApiError(404, NOT_FOUND)
        return json_answer({"custom_object_record": self.store.render(table, key)})

    # Exports

    def _export(self, name: str, *, by_cursor: bool) -> Endpoint:
        read = self.exports.by_cursor if by_cursor else self.exports.by_time

        async def export(request: Request) -> Response:
            self.permissions.require_admin(self.caller(request, name))
            return json_answer(read(request, self.store.table(name), name))

        return export

    async def export_custom_object(self, request: Request) -> Response:
        """Answer with changes of one custom object, to those who may read it."""
        caller = self.caller(request, "custom_objects")
        name = self._custom(request)
        self.permissions.require_list(caller, name)
        table = self.store.table(name)
        return json_answer(self.exports.by_cursor(request, table, "custom_object_records"))

    # Tokens

    async def tokens(self, request: Request) -> Response:
        """Answer with the caller's tokens."""
        grants = self.oauth.grants(self.grant(request).user_id)
        return json_answer({"tokens": [self.oauth.describe(grant) for grant in grants]})

    async def current_token(self, request: Request) -> Response:
        """Answer with the token of this request."""
        return json_answer({"token": self.oauth.describe(self.grant(request))})

    async def revoke_token(self, request: Request) -> Response:
        """Revoke the token of this request, or another of the caller's by its id."""
        own = self.grant(request)
        number = request.path_params.get("id", own.number)
        for grant in self.oauth.grants(own.user_id):
            if grant.number == number:
                self.oauth.delete(grant)
                return Response(status_code=204)
        raise ApiError(404, NOT_FOUND)
