"""NetSuite's sandbox: one account over HTTP, made from a company's facts.

Speaks OAuth 2.0, the REST record API and SuiteQL, and enforces roles with its own code.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from httpx2 import AsyncClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from firnline.clock import Clock, SystemClock
from firnline.sandbox.protocol import SandboxClient, SandboxOptions, Visible
from firnline.sandbox.world import Company

from .sandbox_auth import TOKEN_PATH, Authority
from .sandbox_errors import ApiRefusal, not_signed_in, too_many
from .sandbox_fields import RecordType
from .sandbox_records import Store
from .sandbox_rest import RECORD_PATH, Rest
from .sandbox_roles import View
from .sandbox_witness import visible_to

CONCURRENCY_DEFAULT = 5
Handler = Callable[[Request, View], Awaitable[Response]]


@dataclass
class Fault:
    """Answers the next `times` calls whose path holds `path` with something else."""

    path: str
    times: int = 1
    status: int = 500
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class NetSuiteSandbox:
    """One account. `change`, `add` and `delete` alter records as a person in the UI would."""

    provider = "netsuite"

    def __init__(self, company: Company, options: SandboxOptions, clock: Clock) -> None:
        switches = options.switches
        account = company.style.get("erp.account_number", "1234567")
        host = account.lower().replace("_", "-")
        self.settings: Mapping[str, str] = {"account": account}
        self.base_url = f"https://{host}.suitetalk.api.netsuite.com"
        self.faults: list[Fault] = []
        self.store = Store(company, switches.get("timezone", "America/Los_Angeles"), switches)
        self._options = options
        self._clock = clock
        self._started = clock.monotonic()
        self._account = account
        self._authority = Authority(
            self.store,
            account=account,
            base_url=self.base_url,
            lifetime_s=options.token_lifetime_s,
            redirect_uris=switches.get("redirect_uris", ()),
            algorithm=switches.get("algorithm", "PS256"),
            clock=clock,
        )
        self._concurrency = int(switches.get("concurrency", CONCURRENCY_DEFAULT))
        self._in_flight = 0
        self._rest = Rest(switches.get("permission_error", "forbidden"), self._concurrency)
        self._views: dict[tuple[int, int, int], View] = {}
        self.integration_email = next(
            person.email for person in company.people if person.erp == "admin"
        )
        self.client = self._client()
        self.app = Starlette(routes=self._routes())

    # What Firnline's commands and tests ask

    def token_for(self, email: str) -> str:
        """Return a valid access token of that person's mapping."""
        if not self._authority.may_sign_in(email):
            raise KeyError(email)
        return self._authority.issue(email)

    def emails(self) -> Sequence[str]:
        """Return everyone who can sign in."""
        return [email for email in self.store.role_by_email if self._authority.may_sign_in(email)]

    def counts(self) -> Mapping[str, int]:
        """Return the number of live records by object name."""
        tables = self.store.tables
        return {name: len(tables[record.table]) for name, record in self.store.records.items()}

    async def read_as(self, http: AsyncClient, email: str) -> Visible:
        """Return what that person's own calls show."""
        records = list(self.store.records.values())
        return await visible_to(http, self.token_for(email), records, self.store.timezone)

    def revoke(self, email: str) -> None:
        """End that person's tokens."""
        self._authority.revoke(email)

    def withdraw_certificate(self, email: str) -> None:
        """Revoke the certificate mapped to a person, with their tokens, as Setup does."""
        self._authority.withdraw_certificate(email)

    def map_certificate(self, email: str) -> None:
        """Map the certificate to the person again."""
        self._authority.map_certificate(email)

    def change(self, object_name: str, key: str, **fields: Any) -> None:
        """Change fields of a record; its modification stamp becomes the present."""
        record = self._record(object_name)
        if int(key) not in self.store.tables[record.table]:
            raise KeyError(key)
        self.store.put(record, int(key), fields, self._present())

    def add(self, object_name: str, **fields: Any) -> str:
        """Add a record and return its key."""
        record = self._record(object_name)
        key = 1 + max((row for table in self.store.tables.values() for row in table), default=0)
        defaults = {"type": "CustInvc"} if record.name == "invoice" else {"isinactive": False}
        self.store.put(record, key, {**defaults, **fields}, self._present())
        return str(key)

    def delete(self, object_name: str, key: str) -> None:
        """Delete a record for good."""
        self.store.remove(self._record(object_name), int(key), self._present())

    # How

    def _record(self, name: str) -> RecordType:
        return self.store.records[name]

    def _present(self) -> datetime:
        return self._options.now + timedelta(seconds=self._clock.monotonic() - self._started)

    def _client(self) -> SandboxClient:
        authority = self._authority
        subjects = {email: key_id for key_id, email in authority.mappings.items()}
        pem = authority.key.as_pem(private=True)
        return SandboxClient(
            client_id=authority.client_id,
            client_secret=authority.client_secret,
            private_key_pem=pem.decode() if isinstance(pem, bytes) else pem,
            key_id=subjects[self.integration_email],
            algorithm=authority.algorithm,
            subjects=subjects,
        )

    def _routes(self) -> list[Route]:
        rest, authority = self._rest, self._authority

        async def catalogue(request: Request, view: View) -> Response:
            return rest.catalogue(request, view)

        async def schema(request: Request, view: View) -> Response:
            return rest.schema(request, view, request.path_params["name"])

        async def collection(request: Request, view: View) -> Response:
            return rest.collection(request, view, request.path_params["name"])

        async def singular(request: Request, view: View) -> Response:
            return rest.singular(
                request, view, request.path_params["name"], request.path_params["key"]
            )

        async def governance(request: Request, view: View) -> Response:
            return rest.governance(view)

        async def unknown(request: Request, view: View) -> Response:
            raise ApiRefusal(404, "NOT_FOUND", "The requested resource was not found.")

        async def keys(request: Request) -> Response:
            return JSONResponse(authority.jwks())

        auth = TOKEN_PATH.removesuffix("/token")
        return [
            Route(TOKEN_PATH, self._faulty(authority.token), methods=["POST"]),
            Route(f"{auth}/revoke", self._faulty(authority.revocation), methods=["POST"]),
            Route(f"{auth}/keys", keys),
            Route(
                "/app/login/oauth2/authorize.nl",
                self._faulty(authority.authorize),
                methods=["GET", "POST"],
            ),
            Route(f"{RECORD_PATH}/metadata-catalog", self._gated(catalogue)),
            Route(f"{RECORD_PATH}/metadata-catalog/{{name}}", self._gated(schema)),
            Route(f"{RECORD_PATH}/{{name}}", self._gated(collection)),
            Route(f"{RECORD_PATH}/{{name}}/{{key}}", self._gated(singular)),
            Route("/services/rest/query/v1/suiteql", self._gated(rest.query), methods=["POST"]),
            Route("/services/rest/system/v1/governanceLimits", self._gated(governance)),
            Route("/{rest:path}", self._gated(unknown)),
        ]

    def _faulty(
        self, endpoint: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            return self._fault(request) or await endpoint(request)

        return answer

    def _gated(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """Wrap an API call: faults, concurrency governance, session, error envelope."""

        async def answer(request: Request) -> Response:
            fault = self._fault(request)
            if fault is not None:
                return fault
            if self._in_flight >= self._concurrency:
                return too_many().response()
            self._in_flight += 1
            try:
                # The body is read inside the gate: a slow caller or network holds a slot.
                await request.body()
                return await handler(request, self._view(request))
            except ApiRefusal as refusal:
                return refusal.response()
            finally:
                self._in_flight -= 1

        return answer

    def _fault(self, request: Request) -> Response | None:
        for fault in self.faults:
            if fault.times > 0 and fault.path in request.url.path:
                fault.times -= 1
                return Response(fault.body, fault.status, dict(fault.headers))
        return None

    def _view(self, request: Request) -> View:
        session = self._authority.session(request.headers.get("authorization", ""))
        if session is None:
            raise not_signed_in(self._account)
        place = (session.role, session.employee, self.store.version)
        if place not in self._views:
            # Views of an earlier state will never be asked for again.
            self._views = {at: view for at, view in self._views.items() if at[2] == place[2]}
            role = self.store.roles[session.role]
            self._views[place] = View(self.store, role, session.employee)
        return self._views[place]


def create(
    company: Company, options: SandboxOptions, *, clock: Clock | None = None
) -> NetSuiteSandbox:
    """Build the tenant's account from the company's facts."""
    return NetSuiteSandbox(company, options, clock or SystemClock())
