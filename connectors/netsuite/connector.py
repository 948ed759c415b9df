"""NetSuite: turns reads into SuiteQL, answers into records, roles into row rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from firnline.access.grounds import Coordinate, Ground, Naming
from firnline.access.model import PermissionRows, Person, SourceAccess
from firnline.catalog.model import Catalog
from firnline.connectors.protocol import (
    Connector,
    Grounds,
    Identity,
    Page,
    ProviderRefusal,
    ReadQuery,
    Request,
    Response,
    Steps,
    Verdict,
    VerifyQuery,
)
from firnline.connectors.quotas import QuotaReading

from . import discovery, explaining, permissions, reading, refusals


class NetSuite(Connector):
    """SuiteTalk REST and SuiteQL with an M2M certificate."""

    provider = "netsuite"

    def derived_settings(self, settings: Mapping[str, str]) -> Mapping[str, str]:
        """Add `host`, the account id as NetSuite writes it in host names."""
        return {**settings, "host": settings["account"].lower().replace("_", "-")}

    def identify(self, settings: Mapping[str, str]) -> Steps[Identity]:
        """Name the account by its root subsidiary; NetSuite has no call that names the user."""
        account = settings["account"]
        request = reading.suiteql("SELECT id, name FROM subsidiary WHERE parent IS NULL")
        (response,) = yield [request]
        name = account
        if not self.refused(response):
            items = response.json()["items"]
            name = str(items[0].get("name") or account) if items else account
        elif self.classify(response).grounds not in (Grounds.FORBIDDEN, Grounds.INVALID):
            # A role may lack subsidiaries, and accounts without OneWorld have none.
            raise ProviderRefusal(request, response)
        return Identity(account, name, user_key="", user_name="the certificate's mapped user")

    def discover(self, settings: Mapping[str, str]) -> Steps[Catalog]:
        """Find the objects and fields that REST describes and SuiteQL can select."""
        return discovery.discover(self)

    def build_read(self, query: ReadQuery) -> Request:
        """Return the query for one page, ordered by modification stamp and id."""
        return reading.read_request(query, self.manifest.limits.overlap_s)

    def parse_page(self, query: ReadQuery, response: Response) -> Page:
        """Return the records of a page, stamps in UTC."""
        return reading.page_of(query, response)

    def build_deletes(self, query: ReadQuery) -> Request | None:
        """Return the query for deleted keys; objects read whole show their deletions."""
        if not query.object.supports.deletes:
            return None
        return reading.deletes_request(query, self.manifest.limits.overlap_s)

    def parse_deletes(self, query: ReadQuery, response: Response) -> Page:
        """Return the deleted keys of a page."""
        return reading.deletes_of(query, response)

    def classify(self, response: Response) -> Verdict:
        """Say what a refusal means."""
        return refusals.classify(response)

    def quota(self, response: Response) -> Sequence[QuotaReading]:
        """Read the one thing NetSuite says: that too many calls ran at a time."""
        return refusals.concurrency(response)

    def access(self, rows: PermissionRows, catalog: Catalog, person: Person) -> SourceAccess:
        """Return what a person's roles show."""
        return permissions.source_access(rows, catalog, person)

    def build_verify(self, query: VerifyQuery) -> Request:
        """Return a query for the records' ids, which the role of the token filters."""
        return reading.verify_request(query)

    def parse_verify(self, query: VerifyQuery, response: Response) -> frozenset[str]:
        """Return the ids that came."""
        return reading.verified_of(query, response)

    def people(self, rows: PermissionRows) -> Sequence[Person]:
        """Return the active employees who may log in."""
        return permissions.staff(rows)

    def inactive(self, rows: PermissionRows) -> Sequence[Person]:
        """Return the employees who may not log in."""
        return permissions.former_staff(rows)

    def grounds(
        self, rows: PermissionRows, catalog: Catalog, user_key: str, asked: Coordinate
    ) -> Sequence[Ground]:
        """Return which roles give or take the right."""
        return list(explaining.grounds(rows, catalog, user_key, asked))

    def named(self, rows: PermissionRows, catalog: Catalog, user_key: str, value: Naming) -> str:
        """Return which subsidiary, segment or employee a key stands for."""
        return explaining.named(rows, user_key, value)
