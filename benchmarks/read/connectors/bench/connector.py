"""The benchmark's provider: only its rights are asked for, as a CRM's sharing would give them.

`rep@bench.example` sees accounts of some owners and accounts shared with them, what hangs below
those, and no margins; `all@bench.example` sees everything.
"""

from __future__ import annotations

from collections.abc import Mapping

from firnline.access.model import (
    AnyOf,
    Everything,
    FieldIn,
    Listed,
    ObjectAccess,
    PermissionRows,
    Person,
    SourceAccess,
    Via,
)
from firnline.catalog.model import Catalog
from firnline.connectors.protocol import (
    Connector,
    Identity,
    Page,
    ReadQuery,
    Request,
    Response,
    Steps,
    Verdict,
)

_SHARED_LEVELS = frozenset({"read", "edit"})


class Bench(Connector):
    """Rights from the `users` table: a user's `team` decides, as a role would."""

    provider = "bench"

    def access(self, rows: PermissionRows, catalog: Catalog, person: Person) -> SourceAccess:
        users = rows.rows("users", email=person.email)
        if not users:
            return SourceAccess(None, "no active user")
        user = users[0]
        everything = ObjectAccess(readable=True, reason="", rows=Everything())
        if user["team"] == "all":
            return SourceAccess(user["id"], objects=dict.fromkeys(catalog.by_name, everything))
        team = {each["id"] for each in rows.rows("users", team=user["team"])}
        visible = AnyOf(
            (
                FieldIn("owner_id", frozenset(team)),
                Listed(
                    "shares",
                    "account_id",
                    "user_id",
                    frozenset({user["id"]}),
                    (("level", _SHARED_LEVELS),),
                ),
            )
        )
        below = Via("account_id", "accounts", visible)
        return SourceAccess(
            user["id"],
            objects={
                "accounts": ObjectAccess(
                    readable=True,
                    reason="",
                    rows=visible,
                    hidden={"margin": "margins are for finance"},
                ),
                "opportunities": ObjectAccess(readable=True, reason="", rows=below),
                "tickets": everything,
                "invoices": everything,
                "assets": everything,
            },
        )

    def identify(self, settings: Mapping[str, str]) -> Steps[Identity]:
        raise NotImplementedError

    def discover(self, settings: Mapping[str, str]) -> Steps[Catalog]:
        raise NotImplementedError

    def build_read(self, query: ReadQuery) -> Request:
        raise NotImplementedError

    def parse_page(self, query: ReadQuery, response: Response) -> Page:
        raise NotImplementedError

    def classify(self, response: Response) -> Verdict:
        raise NotImplementedError
