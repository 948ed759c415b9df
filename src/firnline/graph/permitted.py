"""One table under an alias, as one principal may see it: its rows, and the columns asked for.

Takes an object of a connection and the request; scans join several of them.
"""

from __future__ import annotations

from collections.abc import Mapping

from firnline.access.decisions import EVERY_RIGHT
from firnline.access.model import ObjectAccess
from firnline.cache.query import TRUE, Bound, Column, Expression, Select, Table, Verified
from firnline.catalog.conditions import COLUMN_TYPES
from firnline.catalog.model import ObjectInfo
from firnline.errors import FirnlineError
from firnline.graph.request import GraphContext


class ObjectNotSyncedError(FirnlineError):
    """The object is known but the cache holds nothing of it yet."""

    code = "object_not_synced"
    retryable = True
    status = 409

    def __init__(self, tenant: str, name: str) -> None:
        super().__init__(f"{name} has not been synced yet", hint=f"Run `firnline sync {tenant}`.")


class Permitted:
    """One permitted table under an alias, naming only the columns that were asked for."""

    def __init__(
        self,
        context: GraphContext,
        connection: str,
        source: ObjectInfo,
        alias: str,
        *,
        is_ours: bool = False,
    ) -> None:
        self.context = context
        self.connection = connection
        self.source = source
        self.alias = alias
        # What the builder's conditions alone decide, they decide instead of the source's rights.
        self.is_ours = is_ours
        rights = EVERY_RIGHT if is_ours else context.decisions.object(connection, source.name)
        self.access: ObjectAccess = rights
        self.withheld: Mapping[str, str] = {}  # what the source keeps back at this moment
        self._used: dict[str, Expression] = {}
        stored = context.decisions.stored.get(connection, {}).get(source.name)
        if stored is None:
            raise ObjectNotSyncedError(context.tenant, f"{connection}.{source.name}")
        self._stored = stored
        context.objects_read.add((connection, source.name))

    def column(self, name: str) -> Expression:
        """Return a column, null for one that nothing was synced of yet."""
        field = self.source.by_name[name]
        if name not in self._stored:  # discovered since the last sync
            return Bound(None, COLUMN_TYPES[field.type])
        column = self.context.graph.columns[self.connection][self.source.name][name]
        self._used[column] = Column(f"{self.alias}_raw", column)
        return Column(self.alias, column)

    def relation(self) -> Select:
        """Return the rows that the principal sees, with the columns asked for so far."""
        raw = f"{self.alias}_raw"
        decisions, name = self.context.decisions, self.source.name
        visible = TRUE if self.is_ours else decisions.rows(self.connection, name, raw)
        columns = self._used or {"_": Bound(1, "INTEGER")}
        return Select(
            columns=tuple(columns.items()),
            source=Table(self.connection, self.source.name),
            alias=raw,
            where=None if visible == TRUE else visible,
        )


class HiddenColumnError(Exception):
    """The person may not read a column, for a reason that `connection` has."""

    def __init__(self, connection: str, reason: str) -> None:
        super().__init__(reason)
        self.connection = connection
        self.reason = reason


def confirmed(permitted: Permitted) -> Verified:
    """Return the mark of rows that the source has yet to confirm."""
    source = permitted.source
    return Verified(permitted.connection, source.name, permitted.column(source.key))


def readable(permitted: Permitted, name: str) -> Expression:
    """Return a column that the person may read; raises HiddenColumnError."""
    reason = permitted.access.hidden.get(name) or permitted.withheld.get(name)
    if reason is not None:
        raise HiddenColumnError(permitted.connection, reason)
    return permitted.column(name)
