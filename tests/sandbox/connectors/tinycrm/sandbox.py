"""Tiny CRM's sandbox: accounts in order of change, seen by their owners and by admins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from httpx2 import AsyncClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from firnline.sandbox.protocol import SandboxClient, SandboxOptions
from firnline.sandbox.world import Company

_FIELDS = [
    {"name": "id", "type": "id"},
    {"name": "name", "type": "string"},
    {"name": "owner", "type": "id"},
    {"name": "seq", "type": "long"},
]


class TinySandbox:
    """One account of Tiny CRM."""

    provider = "tinycrm"

    def __init__(self, company: Company, options: SandboxOptions) -> None:
        self.options = options
        account = company.style.get("tinycrm.account", company.tenant)
        self.settings = {"account": account}
        self.base_url = f"https://{account}.tinycrm.example"
        self.client = SandboxClient("tiny", "tiny-secret")
        people = [person for person in company.people if person.crm and person.active]
        self._admins = {person.email: person.crm == "admin" for person in people}
        self.integration_email = people[0].email
        self._seq = 0
        self._revoked: list[str] = []
        self._records: dict[str, dict[str, Any]] = {}
        for account in company.accounts:
            self.add("accounts", id=str(account.number), name=account.name, owner=account.owner)
        self.app = Starlette(
            routes=[
                Route("/me", self._me),
                Route("/fields", self._fields),
                Route("/users", self._users),
                Route("/accounts", self._accounts),
            ]
        )

    def _who(self, request: Request) -> str | None:
        email = request.headers.get("authorization", "").removeprefix("Bearer token-of-")
        return email if email in self._admins and email not in self._revoked else None

    async def _me(self, request: Request) -> Response:
        email = self._who(request)
        return JSONResponse({"email": email}, status_code=200 if email else 401)

    async def _fields(self, request: Request) -> Response:
        return JSONResponse(_FIELDS, status_code=200 if self._who(request) else 401)

    async def _users(self, request: Request) -> Response:
        if not self._admins.get(self._who(request) or ""):
            return JSONResponse({}, status_code=403)
        rows = [{"email": email, "admin": admin} for email, admin in self._admins.items()]
        return JSONResponse({"records": rows, "next": None, "last": None})

    async def _accounts(self, request: Request) -> Response:
        email = self._who(request)
        if email is None:
            return JSONResponse({}, status_code=401)
        after = int(request.query_params.get("after", "0"))
        limit = int(request.query_params.get("limit", "50"))
        rows = [
            row
            for row in sorted(self._records.values(), key=lambda row: int(row["seq"]))
            if row["seq"] > after and (self._admins[email] or row["owner"] == email)
        ]
        page = rows[:limit]
        last = str(page[-1]["seq"] if page else after)
        return JSONResponse(
            {"records": page, "next": last if len(rows) > limit else None, "last": last}
        )

    def token_for(self, email: str) -> str:
        """Return that person's token."""
        return f"token-of-{email}"

    def emails(self) -> Sequence[str]:
        """Return the active people."""
        return list(self._admins)

    def counts(self) -> Mapping[str, int]:
        """Return the number of live records."""
        live = sum(not row["deleted"] for row in self._records.values())
        return {"accounts": live, "users": len(self._admins)}

    def change(self, object_name: str, key: str, /, **fields: Any) -> None:
        """Set fields of a record."""
        self._seq += 1
        {"accounts": self._records}[object_name][key].update(fields, seq=self._seq)

    def delete(self, object_name: str, key: str, /) -> None:
        """Delete a record."""
        self.change(object_name, key, deleted=True)

    def add(self, object_name: str, /, **fields: Any) -> str:
        """Create a record."""
        table = {"accounts": self._records}[object_name]
        key = str(fields.get("id") or len(table) + 1)
        table[key] = {"name": "", "owner": "", "deleted": False, **fields, "id": key}
        self.change(object_name, key)
        return key

    def revoke(self, email: str, /) -> None:
        """End that person's tokens."""
        self._revoked.append(email)

    async def read_as(self, http: AsyncClient, email: str) -> Mapping[str, Any]:
        """Return what that person's own calls show."""
        headers = {"Authorization": f"Bearer {self.token_for(email)}"}
        answer = await http.get("/accounts", params={"limit": "100000"}, headers=headers)
        live = [row for row in answer.json()["records"] if not row["deleted"]]
        names = [field["name"] for field in _FIELDS]
        return {"accounts": {row["id"]: {name: row[name] for name in names} for row in live}}


def create(company: Company, options: SandboxOptions) -> TinySandbox:
    """Build the tenant's account."""
    return TinySandbox(company, options)
