"""A Zendesk account on loopback: the vendor's wire protocol over one company's facts.

Made by `create`, served by `firnline sandbox` and by tests. Rate limits, permissions, OAuth and the
minute that exports lag are the vendor's; switches (README) bend what the vendor leaves open.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from httpx2 import AsyncClient
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from firnline.clock import SystemClock
from firnline.sandbox.protocol import SandboxClient, SandboxOptions, Visible
from firnline.sandbox.world import Company

from .sandbox_api import Api, Plan
from .sandbox_custom import ulid
from .sandbox_exports import Exports
from .sandbox_limits import Fault, Limits
from .sandbox_oauth import OAuth
from .sandbox_oracle import Witness
from .sandbox_shape import shape, slug
from .sandbox_store import CUSTOM, Key
from .sandbox_templates import blank
from .sandbox_wire import BAD_ENDPOINT, ApiError, answer_error, json_answer

__all__ = ["Fault", "ZendeskSandbox", "create"]

PREFIX = "/api/v2/"
SCOPE = "read write"


class Edge:
    """The outermost layer: optional `.json`, faults, rate limits, headers of every answer."""

    def __init__(self, app: ASGIApp, *, limits: Limits, faults: list[Fault]) -> None:
        self._app = app
        self._limits = limits
        self._faults = faults
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        inner = {**scope, "vendor_path": path, "path": path.removesuffix(".json")}
        added = {
            "Zendesk-Api-Version": "2022-01-01",
            "X-Zendesk-Request-Id": f"sandbox-{next(self._numbers):012d}",
        }
        refused = self._refused(inner["path"], added)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                more = [(key.lower().encode(), value.encode()) for key, value in added.items()]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        await (refused or self._app)(inner, receive, send_with_headers)

    def _refused(self, path: str, added: dict[str, str]) -> Response | None:
        for fault in self._faults:
            if fault.times > 0 and fault.path in path:
                fault.times -= 1
                return answer_error(ApiError(fault.status, fault.body, fault.headers))
        if path.startswith(PREFIX):
            try:
                added.update(self._limits.spend(path.removeprefix(PREFIX)))
            except ApiError as error:
                return answer_error(error)
        return None


class ZendeskSandbox:
    """One account. See `firnline.sandbox.protocol.Sandbox` for what is promised."""

    provider = "zendesk"

    def __init__(self, company: Company, options: SandboxOptions) -> None:
        switches = options.switches
        subdomain = slug(company.tenant).replace("_", "-")
        self.settings: Mapping[str, str] = {"subdomain": subdomain}
        self.base_url = f"https://{subdomain}.zendesk.com"
        self.client = SandboxClient("firnline", f"sandbox-secret-{subdomain}-{options.seed}")
        self.faults: list[Fault] = []
        self._monotonic = SystemClock().monotonic
        self._began = options.now.timestamp() - self._monotonic()
        has_roles = bool(switches.get("custom_roles", True))
        self.store = shape(company, base=self.base_url, clock=self.now, has_roles=has_roles)
        self.oauth = OAuth(
            self.store,
            self.client.client_id,
            self.client.client_secret,
            options.token_lifetime_s,
            tuple(switches.get("redirect_uris", ())),
            int(switches.get("token_status", 201)),
        )
        exports = Exports(self.store, delay_s=float(switches.get("export_delay_s", 60)))
        plan = Plan(has_roles, bool(switches.get("department_spaces", False)))
        self.api = Api(self.store, self.oauth, exports, plan)
        limits = Limits(on=options.limits, switches=switches, clock=self.now)
        self.app: ASGIApp = Edge(self._routes(), limits=limits, faults=self.faults)
        self._emails = [
            person.email for person in company.people if person.helpdesk and person.active
        ]
        self.integration_email = next(
            person.email
            for person in company.people
            if person.helpdesk == "admin" and person.active
        )

    def _routes(self) -> ASGIApp:
        routes = [
            *self.api.routes(),
            Route("/oauth/authorizations/new", self.oauth.authorize, methods=["GET", "POST"]),
            Route("/oauth/tokens", self.oauth.token, methods=["POST"]),
        ]

        async def refuse(request: Request, error: Exception) -> Response:
            if isinstance(error, ApiError):
                return answer_error(error)
            return json_answer(BAD_ENDPOINT, status=404)

        handlers: dict[Any, Any] = {ApiError: refuse, HTTPException: refuse}
        return Starlette(routes=routes, exception_handlers=handlers)

    # Time

    def now(self) -> float:
        """Return the account's present, in epoch seconds."""
        return self._began + self._monotonic()

    def advance(self, seconds: float) -> None:
        """Let time pass in the account: exports catch up, tokens age, rate limits recover."""
        self._began += seconds

    # What the protocol promises

    def token_for(self, email: str) -> str:
        """Return a valid access token of that person, as if they had signed in."""
        user = self.oauth.user(email)
        if user is None:
            raise LookupError(f"no active user has the address {email}")
        return self.oauth.issue(user["id"], SCOPE).access

    def revoke(self, email: str) -> None:
        """Make every token of that person void."""
        user = self.oauth.user(email)
        for grant in self.oauth.grants(user["id"]) if user else ():
            self.oauth.delete(grant)

    def emails(self) -> Sequence[str]:
        """Return everyone who can sign in to this account."""
        return list(self._emails)

    def counts(self) -> Mapping[str, int]:
        """Return the number of live records by object name."""
        return {name: len(table.live()) for name, table in self.store.tables.items()}

    async def read_as(self, http: AsyncClient, email: str) -> Visible:
        """Return what that person's own API calls show: object -> key -> field -> JSON value."""
        return await Witness(http, self.token_for(email)).see()

    # Changes

    def change(self, object_name: str, key: str, **fields: Any) -> None:
        """Change a record's fields (catalog names), stamped as a person's edit now."""
        self.store.change(object_name, key, fields)

    def delete(self, object_name: str, key: str) -> None:
        """Delete a record: softly where the vendor does, for good elsewhere."""
        self.store.delete(object_name, key)

    def add(self, object_name: str, **fields: Any) -> str:
        """Add a record; return its key."""
        ticket_fields = [
            row["id"] for row in self.store.fields["ticket_fields"] if row["removable"]
        ]
        row = blank(object_name, ticket_fields)
        return self.store.add(object_name, self._next_key(object_name), row, fields)

    def _next_key(self, object_name: str) -> Key:
        rows = self.store.table(object_name).rows
        if object_name.startswith(CUSTOM):
            return ulid(int(self.now() * 1000), len(rows), len(rows))
        return max((int(key) for key in rows), default=1000) + 1


def create(company: Company, options: SandboxOptions) -> ZendeskSandbox:
    """Build the tenant's account from the company's facts, deterministically by seed."""
    return ZendeskSandbox(company, options)
