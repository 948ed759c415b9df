"""A Salesforce org in a process: takes a Company, gives a server that speaks the REST API.

Switches: `refresh_rotation` (each refresh replaces the refresh token), `redirect_uris` (https
callbacks beside the loopback ones), `jwt_users` (e-mails of those whom an admin approved for the
app, to whom JWT bearer assertions may refer; a certificate is registered when there are any),
`sandbox_org` (the org is a Salesforce sandbox), `daily_requests` (the allowance when limits are
on).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from httpx2 import AsyncClient
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from firnline.clock import SystemClock
from firnline.sandbox.protocol import SandboxClient, SandboxOptions, Visible
from firnline.sandbox.world import Company

from .sandbox_jwt import AssertionDesk, audience_of
from .sandbox_oauth import Grant, OAuthEndpoints, TokenDesk
from .sandbox_objects import org_objects
from .sandbox_oracle import visible_to
from .sandbox_org import Org
from .sandbox_people import build_people, crm_people
from .sandbox_records import build_records
from .sandbox_rest import Desk, RestEndpoints

_DAILY_REQUESTS = 100_000


@dataclass(slots=True)
class Fault:
    """An answer served `times` times instead of the real one, where the path holds `path`."""

    path: str
    status: int
    times: int = 1
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class SalesforceSandbox:
    """One tenant's org. Tests change it by `change`, `delete`, `add`, `revoke` and `faults`."""

    provider = "salesforce"
    app: ASGIApp
    settings: Mapping[str, str]
    base_url: str
    client: SandboxClient
    integration_email: str

    def __init__(
        self, company: Company, options: SandboxOptions, *, org: Org | None = None
    ) -> None:
        """Build the company's org, or serve a ready-made one to the users that it has."""
        if org is None:
            org = Org(org_objects(company.style), options.now)
            build_records(org, company, build_people(org, company))
            people = crm_people(company)
            self.integration_email = next(each.email for each in people if each.crm == "admin")
            self._emails = tuple(each.email for each in people if each.active)
        else:
            self._emails = tuple(row["Email"] for row in org.live("User") if row["IsActive"])
            self.integration_email = self._emails[0]
        self.org = org
        domain = f"{company.tenant}--uat.sandbox"
        self.settings = {
            "domain": domain if options.switches.get("sandbox_org") else company.tenant
        }
        flat = [found.name for found in org.objects.values() if not found.hierarchies]
        if flat:
            self.settings = {**self.settings, "without_hierarchies": ",".join(flat)}
        self.base_url = f"https://{self.settings['domain']}.my.salesforce.com"
        seed = hashlib.sha256(f"{company.tenant}:{options.seed}".encode()).hexdigest()
        jwt_users = tuple(options.switches.get("jwt_users", ()))
        key = RSAKey.generate_key(2048) if jwt_users else None
        self.client = SandboxClient(
            client_id=f"3MVG9{seed[:40]}",
            client_secret=seed[40:].upper(),
            private_key_pem="" if key is None else key.as_pem(private=True).decode(),
            username=jwt_users[0] if jwt_users else "",
            subjects={email: email for email in jwt_users},
        )
        self.assertions = AssertionDesk(
            client_id=self.client.client_id,
            certificate=key,
            approved=set(jwt_users),
            audience=audience_of(self.settings["domain"]),
            now=SystemClock().now,
        )
        self.faults: list[Fault] = []
        self.tokens = TokenDesk(
            self.org,
            self.client.client_id,
            self.client.client_secret,
            float(options.token_lifetime_s),
            bool(options.switches.get("refresh_rotation", False)),
            tuple(options.switches.get("redirect_uris", ())),
            time.monotonic,
        )
        allowance = int(options.switches.get("daily_requests", _DAILY_REQUESTS))
        self.desk = Desk(self.org, self.tokens, allowance, options.limits)
        oauth = OAuthEndpoints(self.tokens, self.assertions)
        routes = [*oauth.routes(), *RestEndpoints(self.desk).routes()]
        self._routed = Starlette(routes=routes)
        self.app = self._serve

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        fault = self._fault(scope["path"]) if scope["type"] == "http" else None
        if fault is None:
            await self._routed(scope, receive, send)
            return
        headers = {"content-type": "application/json;charset=UTF-8", **fault.headers}
        await Response(fault.body, fault.status, headers)(scope, receive, send)

    def _fault(self, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.times > 0 and fault.path in path:
                fault.times -= 1
                return fault
        return None

    def token_for(self, email: str) -> str:
        """Return a valid access token of that person; raises LookupError for who cannot sign in."""
        user = self.tokens.active_user(email)
        if user is None:
            raise LookupError(f"nobody with the e-mail {email} can sign in to this org")
        return self.tokens.issue(Grant(user["Id"], ("api", "refresh_token", "openid")))

    def emails(self) -> Sequence[str]:
        """Return everyone who can sign in."""
        return self._emails

    def counts(self) -> Mapping[str, int]:
        """Return the number of live records of the objects that people work with."""
        return {
            found.name: sum(1 for _ in self.org.live(found.name))
            for found in self.org.objects.values()
            if not found.setup and not found.share_of and found.name != "Organization"
        }

    async def read_as(self, http: AsyncClient, email: str) -> Visible:
        """Return what that person's own calls show; multi-selects come as lists."""
        return await visible_to(http, self.token_for(email))

    def revoke(self, email: str) -> None:
        """Kill every token of that person."""
        self.tokens.revoke_user(self.org.user_ids[email])

    def change(self, object_name: str, key: str, **fields: Any) -> None:
        """Change a record as a user would; the modification stamp moves."""
        self.org.change(object_name, key, **fields)

    def delete(self, object_name: str, key: str) -> None:
        """Delete a record as a user would, with what hangs on it."""
        self.org.delete(object_name, key)

    def add(self, object_name: str, **fields: Any) -> str:
        """Create a record as a user would; return its key."""
        return self.org.add(object_name, **fields)


def create(company: Company, options: SandboxOptions) -> SalesforceSandbox:
    """Build the tenant's org."""
    return SalesforceSandbox(company, options)
