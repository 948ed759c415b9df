"""Tables in memory: what was computed of each object, within one memory budget.

Takes builders of tables; resident finds records through them. A table belongs to one data version
and goes when that is no longer current.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

from firnline.cache.resident import Coded, Codes, LinkIndex, Mask, Positions
from firnline.recent import Recent

Kept = TypeVar("Kept")
_FULL = 0.9  # of the budget: what one more object needs is not known before
_TEXT_OVERHEAD_BYTES = 100  # of a Python text and its place in a dictionary
_TEXTS_UNCOUNTED_MAX_BYTES = 4 * 1024 * 1024


_serials = count()


@dataclass(slots=True)
class Table:
    """One graph object in one data version, rows in order of key.

    `texts` holds rows rendered as JSON, per selection: row -> text. `crossings` holds, for a
    relation, the code of each row's link in the other table. `related` holds what was worked out
    about the rows, per key by which other tables lead to them.
    """

    count: int
    keys: Any  # pyarrow.Array
    columns: Recent[Hashable, Any] = field(default_factory=lambda: Recent(512))
    codes: Recent[Hashable, Coded] = field(default_factory=lambda: Recent(128))
    indexes: Recent[Hashable, LinkIndex] = field(default_factory=lambda: Recent(32))
    orders: Recent[Hashable, Positions] = field(default_factory=lambda: Recent(32))
    visible: Recent[Hashable, Mask] = field(default_factory=lambda: Recent(256))
    few: Recent[Hashable, Positions] = field(default_factory=lambda: Recent(256))
    crossings: Recent[Hashable, Codes] = field(default_factory=lambda: Recent(32))
    related: Recent[Hashable, Coded | Mask] = field(default_factory=lambda: Recent(64))
    texts: Recent[Hashable, dict[int, bytes]] = field(default_factory=lambda: Recent(64))
    texts_bytes: int = 0
    serial: int = field(default_factory=lambda: next(_serials))

    @property
    def nbytes(self) -> int:
        """Return the memory held."""
        stores: tuple[Recent[Hashable, Any], ...] = (
            self.columns,
            self.codes,
            self.indexes,
            self.orders,
        )
        stores += (self.visible, self.few, self.crossings, self.related)
        held = [self.keys, *(each for store in stores for each in store.values())]
        return sum(int(each.nbytes) for each in held) + self.texts_bytes


class ResidentTables:
    """The columns of all tenants, within one memory budget; the least used go first."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._tables: OrderedDict[Any, Table] = OrderedDict()
        self._lock = threading.Lock()
        self._texts_uncounted_bytes = 0

    def table(self, slot: Any, build: Callable[[], Table]) -> Table:
        """Return the table of `slot`, built when absent."""
        with self._lock:
            table = self._tables.get(slot)
            if table is not None:
                self._tables.move_to_end(slot)
                return table
        built = build()  # without the lock: others need not wait for it
        with self._lock:
            table = self._tables.setdefault(slot, built)
            # The same object in an older version serves nobody any more.
            for other in [old for old in self._tables if old[:2] == slot[:2] and old != slot]:
                del self._tables[other]
            return table

    def has_room(self) -> bool:
        """Say whether more can be loaded without giving up what is there; looks at every table."""
        with self._lock:
            held = sum(table.nbytes for table in self._tables.values())
        return held < self._budget_bytes * _FULL

    def trim(self) -> None:
        """Give up the least used tables until the budget is kept."""
        with self._lock:
            self._texts_uncounted_bytes = 0
            held = sum(table.nbytes for table in self._tables.values())
            while held > self._budget_bytes and len(self._tables) > 1:
                _, dropped = self._tables.popitem(last=False)
                held -= dropped.nbytes
            for table in self._tables.values():  # the last one: its texts are what may go
                if held > self._budget_bytes:
                    held -= table.texts_bytes
                    table.texts.clear()
                    table.texts_bytes = 0

    def wrote(self, table: Table, size: int, number: int) -> None:
        """Count `number` texts of together `size` bytes that were added to a table."""
        added = size + number * _TEXT_OVERHEAD_BYTES
        table.texts_bytes += added
        self._texts_uncounted_bytes += added
        if self._texts_uncounted_bytes > _TEXTS_UNCOUNTED_MAX_BYTES:
            self.trim()

    def forget(self, tenant: str) -> None:
        """Give up a tenant's columns."""
        with self._lock:
            for slot in [each for each in self._tables if each[0] == tenant]:
                del self._tables[slot]
