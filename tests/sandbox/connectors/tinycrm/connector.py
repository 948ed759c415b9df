"""Tiny CRM: the least that a connector can be, for tests of the machinery around sandboxes."""

from __future__ import annotations

from collections.abc import Mapping

from firnline.access.model import (
    Everything,
    FieldIn,
    ObjectAccess,
    PermissionRows,
    Person,
    SourceAccess,
)
from firnline.catalog.model import Catalog, FieldInfo, ObjectInfo, ObjectSupports
from firnline.connectors.protocol import (
    Connector,
    Grounds,
    Identity,
    Page,
    ReadQuery,
    Request,
    Response,
    Steps,
    Verdict,
    expect,
)

_GROUNDS = {
    401: Grounds.TOKEN_EXPIRED,
    403: Grounds.FORBIDDEN,
    404: Grounds.NOT_FOUND,
    429: Grounds.RATE_LIMITED,
}


class TinyCrm(Connector):
    """Reads accounts in pages; owners see their own, admins all."""

    provider = "tinycrm"

    def identify(self, settings: Mapping[str, str]) -> Steps[Identity]:
        """Ask who the token is."""
        request = Request.get("/me")
        (response,) = yield [request]
        told = expect(self, request, response)
        return Identity(settings["account"], settings["account"], told["email"], told["email"])

    def discover(self, settings: Mapping[str, str]) -> Steps[Catalog]:
        """Ask for the fields of accounts."""
        request = Request.get("/fields")
        (response,) = yield [request]
        fields = tuple(FieldInfo(**field) for field in expect(self, request, response))
        users = (FieldInfo(name="email", type="id"), FieldInfo(name="admin", type="bool"))
        return Catalog(
            provider="tinycrm",
            objects=(
                ObjectInfo(
                    name="accounts",
                    key="id",
                    cursor="seq",
                    fields=fields,
                    supports=ObjectSupports(changes=True, deletes=True),
                ),
                ObjectInfo(name="users", key="email", exposed=False, fields=users),
            ),
        )

    def build_read(self, query: ReadQuery) -> Request:
        """Ask for the records after a sequence number."""
        after = query.page or query.since or "0"
        return Request.get(f"/{query.object.name}", after=after, limit=str(query.page_size))

    def parse_page(self, query: ReadQuery, response: Response) -> Page:
        """Return the records and the last sequence number."""
        told = response.json()
        live = [record for record in told["records"] if not record.get("deleted")]
        gone = [record["id"] for record in told["records"] if record.get("deleted")]
        return Page(live, told["next"], told["last"], gone)

    def classify(self, response: Response) -> Verdict:
        """Go by the status."""
        unavailable = Grounds.UNAVAILABLE if response.status >= 500 else Grounds.UNKNOWN
        return Verdict(_GROUNDS.get(response.status, unavailable))

    def access(self, rows: PermissionRows, catalog: Catalog, person: Person) -> SourceAccess:
        """Give admins everything, others what they own."""
        found = rows.rows("users", email=person.email.lower())
        if not found:
            return SourceAccess(None, "no user has that email")
        own = Everything() if found[0]["admin"] else FieldIn("owner", frozenset({person.email}))
        return SourceAccess(person.email, objects={"accounts": ObjectAccess(True, rows=own)})
