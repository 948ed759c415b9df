"""One principal's rights over all connections of a tenant, ready for planning.

Takes each connector's `SourceAccess` for the person; scans ask for the rights to an object and the
condition under which its rows are seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from firnline.access.at_source import AtSource
from firnline.access.model import Everything, ObjectAccess, SourceAccess
from firnline.access.reach import UNLIMITED, Reach
from firnline.access.row_filter import RowFilters
from firnline.access.ruling import EVERYTHING_DENIED, UNRULED, FieldRuling, Ruling
from firnline.cache.query import FALSE, Expression
from firnline.catalog.model import Catalog


@dataclass(frozen=True)
class Decisions:
    """Everything the plan may ask about one person.

    `stored` maps connection -> object -> the fields that have a column in the cache. `too_old` maps
    types of the graph to the reason why they are denied though the source allows them: what is
    known of the person's rights is older than the policy allows. Time alone changes nothing before
    `valid_until`; None: never. `at_source` are types whose records count only as far as the source
    confirms each of them. `rulings` are what the builder's policy says of objects, by type;
    `is_ruled` is false only where rows are read that nobody is shown before a ruling was applied.
    `reach` is what scopes and agents leave of it all.
    """

    sources: Mapping[str, SourceAccess]
    catalogs: Mapping[str, Catalog]
    columns: Mapping[str, Mapping[str, Mapping[str, str]]] = field(repr=False)
    stored: Mapping[str, Mapping[str, frozenset[str]]] = field(repr=False)
    too_old: Mapping[str, str] = field(default_factory=dict)
    at_source: Mapping[str, AtSource] = field(default_factory=dict, repr=False)
    valid_until: datetime | None = None
    rulings: Mapping[str, Ruling] = field(default_factory=dict, repr=False)
    is_ruled: bool = True
    reach: Reach = UNLIMITED

    def ruling(self, type_name: str) -> Ruling:
        """Return what the policy says of an object that it binds; denied when nobody asked it."""
        if not self.is_ruled:
            return UNRULED
        return self.rulings.get(type_name, EVERYTHING_DENIED)

    def fields(self, type_name: str) -> Mapping[str, FieldRuling]:
        """Return what the policy says of single fields, also where rows are read that nobody sees.

        Nothing where the policy was not applied: then all of the object is denied.
        """
        return self.rulings.get(type_name, UNRULED).fields

    def object(self, connection: str, name: str) -> ObjectAccess:
        """Return the rights to one object; denied where nothing is known."""
        source = self.sources.get(connection)
        if source is None:
            return ObjectAccess(reason=f"connection {connection} has no permission data")
        return source.object(name)

    def rows(self, connection: str, name: str, alias: str) -> Expression:
        """Return the condition on `alias`, a scan of the object, under which a row is seen."""
        access = self.object(connection, name)
        if not access.readable:
            return FALSE
        filters = RowFilters(
            connection=connection,
            catalog=self.catalogs[connection],
            columns=self.columns[connection],
            stored=self.stored.get(connection, {}),
            prefix=f"{alias}_r",
        )
        return filters.condition(access.rows, name, alias)

    @cached_property
    def fingerprint(self) -> str:
        """Return a digest that is equal for people with equal rights."""
        rulings = sorted((name, ruling.everything) for name, ruling in self.rulings.items())
        denied = (sorted(self.too_old.items()), sorted(self.at_source))
        rights = (sorted(self.sources.items()), denied, rulings, self.reach)
        return hashlib.sha256(repr(rights).encode()).hexdigest()[:16]

    @cached_property
    def fields_fingerprint(self) -> str:
        """Return a digest that is equal for people who may read the same objects and fields.

        Which records they see may differ. What is stored counts too: only that can be planned.
        """
        readable = [
            (connection, name, access.readable, access.reason, sorted(access.hidden.items()))
            for connection, source in sorted(self.sources.items())
            for name, access in sorted(source.objects.items())
        ]
        stored = [
            (connection, name, hash(fields))
            for connection, objects in sorted(self.stored.items())
            for name, fields in sorted(objects.items())
        ]
        ruled = sorted((name, ruling.rights) for name, ruling in self.rulings.items())
        denied = (sorted(self.too_old.items()), sorted(self.at_source), ruled, self.reach.objects)
        return hashlib.sha256(repr((readable, stored, denied)).encode()).hexdigest()[:32]


class Unrestricted(Decisions):
    """Every right to every object: for what decides about records without showing any."""

    def object(self, connection: str, name: str) -> ObjectAccess:
        """Return all rights."""
        return EVERY_RIGHT

    @classmethod
    def of(cls, decisions: Decisions) -> Decisions:
        """Return all rights in the same cache."""
        return cls(
            sources={},
            catalogs=decisions.catalogs,
            columns=decisions.columns,
            stored=decisions.stored,
            is_ruled=False,
        )


EVERY_RIGHT = ObjectAccess(readable=True, reason="", rows=Everything())
