"""How many rows tables hold, counted once per data version.

Takes a request's snapshot; cost asks for the tables that a person sees all of.
"""

from __future__ import annotations

from typing import Protocol

from firnline.cache.bookkeeping import Versions
from firnline.graph.cost import RowsOf
from firnline.graph.scan import Scan
from firnline.recent import Recent

_TABLES_MAX = 8192

Slot = tuple[str, str, str]


class Countable(Protocol):
    """One data version of a tenant's cache."""

    @property
    def versions(self) -> Versions:
        """Return (connection, object) -> data version."""
        ...

    def count(self, connection: str, object_name: str) -> int:
        """Return how many records of one object there are."""
        ...


class TableSizes:
    """The numbers of rows of all tenants' tables; the least used go first. Safe between threads."""

    def __init__(self, tables_max: int = _TABLES_MAX) -> None:
        self._counts: Recent[Slot, tuple[int | None, int]] = Recent(tables_max)

    def of(self, snapshot: Countable) -> RowsOf:
        """Return what gives the rows of a scan's table; it may raise what the snapshot raises."""

        def rows(scan: Scan) -> int:
            found = scan.object
            slot = (scan.context.tenant, found.connection, found.source.name)
            return self._rows(slot, snapshot)

        return rows

    def _rows(self, slot: Slot, snapshot: Countable) -> int:
        version = snapshot.versions.get(slot[1:])
        known = self._counts.get(slot)
        if known is not None and known[0] == version:
            return known[1]
        counted = snapshot.count(*slot[1:])
        self._counts.put(slot, (version, counted))
        return counted
