"""What the tests' own connectors do not do: they say who connected and what answers mean."""

from __future__ import annotations

from collections.abc import Mapping

from firnline.access.model import PermissionRows, Person, SourceAccess
from firnline.catalog.model import Catalog
from firnline.connectors.protocol import Connector, Page, ReadQuery, Request, Response, Steps


class SmallConnector(Connector):
    """Reads nothing."""

    def discover(self, settings: Mapping[str, str]) -> Steps[Catalog]:
        raise NotImplementedError

    def build_read(self, query: ReadQuery) -> Request:
        raise NotImplementedError

    def parse_page(self, query: ReadQuery, response: Response) -> Page:
        raise NotImplementedError

    def access(self, rows: PermissionRows, catalog: Catalog, person: Person) -> SourceAccess:
        raise NotImplementedError


def member(response: Response, name: str) -> str:
    """Return a member of an answer's JSON object as text; empty when there is none."""
    try:
        return str(response.json()[name])
    except (ValueError, KeyError, TypeError):
        return ""
