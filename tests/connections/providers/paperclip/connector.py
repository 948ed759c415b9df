"""Paperclip: the smallest connector that has every kind of refusal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firnline.access.model import PermissionRows, Person, SourceAccess
from firnline.catalog.model import Catalog
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

GROUNDS = {
    401: Grounds.TOKEN_EXPIRED,
    403: Grounds.FORBIDDEN,
    404: Grounds.NOT_FOUND,
    410: Grounds.TOKEN_REVOKED,
    422: Grounds.INVALID,
    429: Grounds.RATE_LIMITED,
    451: Grounds.SCOPE_MISSING,
    503: Grounds.UNAVAILABLE,
}


class Paperclip(Connector):
    provider = "paperclip"

    def identify(self, settings: Mapping[str, str]) -> Steps[Identity]:
        request = Request.get("/me")
        (answer,) = yield [request]
        me = expect(self, request, answer)
        return Identity(settings["office"], f"Office {settings['office']}", me["id"], me["name"])

    def discover(self, settings: Mapping[str, str]) -> Steps[Catalog]:
        raise NotImplementedError

    def build_read(self, query: ReadQuery) -> Request:
        raise NotImplementedError

    def parse_page(self, query: ReadQuery, response: Response) -> Page:
        raise NotImplementedError

    def classify(self, response: Response) -> Verdict:
        try:
            body: Any = response.json()
        except ValueError:
            body = {}
        said = body.get("error", "")
        # As Gong says it with the status of a dead token, and HubSpot with that of a permission.
        if "required scopes" in said or body.get("category") == "MISSING_SCOPES":
            return Verdict(Grounds.SCOPE_MISSING, said)
        return Verdict(GROUNDS.get(response.status, Grounds.UNKNOWN), said)

    def access(self, rows: PermissionRows, catalog: Catalog, person: Person) -> SourceAccess:
        raise NotImplementedError
