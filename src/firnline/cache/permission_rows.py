"""Cached permission records, read whole and without row filters.

Takes a snapshot; connectors' `access` reads through it. Remembers which objects were read, so that
what was decided can be kept until one of them changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from firnline.cache.query import Bound, Call, Column, Select, Table, all_of
from firnline.cache.render import render
from firnline.catalog.model import Catalog

Fetch = Callable[[str, Sequence[Any]], Any]


class CachedPermissionRows:
    """The records of one connection (`access.model.PermissionRows`)."""

    def __init__(
        self,
        fetch: Fetch,
        connection: str,
        catalog: Catalog,
        columns: Mapping[str, Mapping[str, str]],
        stored: Mapping[str, frozenset[str]],
    ) -> None:
        self._fetch = fetch
        self._connection = connection
        self._catalog = catalog
        self._columns = columns
        self._stored = stored
        self.objects_read: set[str] = set()

    def rows(self, object_name: str, **equals: str) -> Sequence[Mapping[str, Any]]:
        """Return the records of `object_name` whose named fields equal the given texts."""
        self.objects_read.add(object_name)
        stored = self._stored.get(object_name)
        if stored is None or object_name not in self._catalog.by_name:
            return []
        if not stored.issuperset(equals):
            return []
        names = [f.name for f in self._catalog.by_name[object_name].fields if f.name in stored]
        columns = self._columns[object_name]
        where = all_of(
            [
                Call("eq", (Call("text", (Column("p", columns[name]),)), Bound(value, "VARCHAR")))
                for name, value in equals.items()
            ]
        )
        select = Select(
            columns=tuple((columns[name], Column("p", columns[name])) for name in names),
            source=Table(self._connection, object_name),
            alias="p",
            where=where,
        )
        table = self._fetch(*render(select))
        return [dict(zip(names, row.values(), strict=True)) for row in table.to_pylist()]

    def knows(self, object_name: str) -> bool:
        """Say whether the object was synced."""
        self.objects_read.add(object_name)
        return object_name in self._stored and object_name in self._catalog.by_name
