"""Why a person may read an object, a field or a record: which rule decides, from where, how old.

Takes a person's decisions and a snapshot; the CLI shows the result to an operator. Whether a rule
holds for a record is asked of the same SQL that scans use.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from firnline.access.decisions import Decisions
from firnline.access.model import (
    AllOf,
    AnyOf,
    Everything,
    FieldIn,
    FieldIsNull,
    Listed,
    Nothing,
    RowRule,
    Via,
    ViaChild,
)
from firnline.access.row_filter import RowFilters
from firnline.cache.query import Bound, Call, Column, Select, Table, all_of
from firnline.cache.render import render
from firnline.catalog.mapping import source_paths
from firnline.errors import UsageError
from firnline.graph.policy.binding import ruling_on
from firnline.graph.shape import GraphObject, TenantGraph

_VALUES_SHOWN = 5


class NothingToExplainError(UsageError):
    """The object or field that is to be explained does not exist."""

    code = "nothing_to_explain"


@dataclass(frozen=True, slots=True)
class AccessExplainer:
    """Explains one person's rights over one snapshot."""

    graph: TenantGraph
    decisions: Decisions
    snapshot: Any

    def explain(self, type_name: str, *, field: str = "", record: str = "") -> dict[str, Any]:
        """Return what decides; raises NothingToExplainError."""
        found = self.graph.objects.get(type_name)
        if found is None or (field and field not in found.fields):
            what = f"{type_name}.{field}" if field else type_name
            raise NothingToExplainError(
                f"there is no {what}", hint="Name a type of the graph, such as Account."
            )
        source = self.decisions.sources[found.connection]
        access = self.decisions.object(found.connection, found.source.name)
        denial = self._denial(found)
        facts: dict[str, Any] = {
            "object": type_name,
            "source": f"{found.connection}.{found.source.name}",
            "user": source.user_key,
            "readable": denial is None,
            "reason": denial[0] if denial else access.reason,
            "decidedBy": denial[1] if denial else found.connection,
            "rows": in_words(access.rows) if access.readable else "none",
            "isNarrowedByPolicy": bool(ruling_on(found, self.decisions).rows),
            "readAt": self._ages(found.connection),
        }
        if field:
            facts["field"] = self._field(found, field)
        if record and access.readable:
            facts["record"] = self._record(found, access.rows, record)
        return facts

    def _denial(self, found: GraphObject) -> tuple[str, str] | None:
        access = self.decisions.object(found.connection, found.source.name)
        if not access.readable:
            return access.reason, found.connection
        limit = self.decisions.reach.denial(found.type_name)
        if limit is not None:
            return limit.reason, limit.source
        ruling = ruling_on(found, self.decisions)
        if ruling.denied:
            return ruling.denied, "policy"
        too_old = self.decisions.too_old.get(found.type_name)
        return (too_old, found.connection) if too_old is not None else None

    def _field(self, found: GraphObject, name: str) -> dict[str, Any]:
        """Return whether a field may be read: hidden by policy, or by one of its own sources."""
        if name in found.policy.hide:
            return {"name": name, "readable": False, "reason": "hidden", "decidedBy": "policy"}
        hidden = self.decisions.object(found.connection, found.source.name).hidden
        for path in source_paths(found.fields[name].mapping):
            reason = hidden.get(path.partition(".")[0])
            if reason is not None:
                decided = {"reason": reason, "decidedBy": found.connection}
                return {"name": name, "readable": False, **decided}
        return {"name": name, "readable": True}

    def _record(self, found: GraphObject, rule: RowRule, key: str) -> dict[str, Any]:
        exists = self._holds(found, Everything(), key)
        branches = [
            {"rule": in_words(each), "holds": exists and self._holds(found, each, key)}
            for each in branches_of(rule)
        ]
        visible = exists and self._holds(found, rule, key)
        return {"key": key, "exists": exists, "visibleAtSource": visible, "rules": branches}

    def _holds(self, found: GraphObject, rule: RowRule, key: str) -> bool:
        """Ask the cache whether a rule holds for the source's record of that key."""
        connection, source = found.connection, found.source
        filters = RowFilters(
            connection=connection,
            catalog=self.graph.catalogs[connection],
            columns=self.graph.columns[connection],
            stored=self.decisions.stored.get(connection, {}),
        )
        own = Column("t", self.graph.columns[connection][source.name][source.key])
        is_it = Call("eq", (Call("text", (own,)), Bound(key, "VARCHAR")))
        where = all_of([is_it, filters.condition(rule, source.name, "t")])
        select = Select((("k", own),), Table(connection, source.name), "t", where=where)
        return bool(self.snapshot.fetch(*render(select)).num_rows)

    def _ages(self, connection: str) -> str | None:
        """Return when the oldest complete read of the connection began."""
        stamps = [at for (owner, _), at in self.snapshot.freshness.items() if owner == connection]
        return min(stamps).isoformat() if stamps else None


def branches_of(rule: RowRule) -> Iterator[RowRule]:
    """Yield the alternatives of a rule, one level deep."""
    if isinstance(rule, AnyOf):
        yield from rule.rules
    else:
        yield rule


def in_words(rule: RowRule) -> str:
    """Return a rule as a sentence's part."""
    match rule:
        case Everything():
            return "every record"
        case Nothing():
            return "no record"
        case FieldIn(name, values):
            return f"{name} is {_listed(values)}"
        case FieldIsNull(name):
            return f"{name} is empty"
        case Listed(name, key_field, name_field, values):
            return f"{name} lists it ({key_field}) for {name_field} {_listed(values)}"
        case Via(name, target, inner):
            return f"its {name} is a {target} where {in_words(inner)}"
        case ViaChild(child, name, inner):
            return f"a {child} refers to it by {name} where {in_words(inner)}"
        case AnyOf(rules):
            return " or ".join(f"({in_words(each)})" for each in rules) or "no record"
        case AllOf(rules):
            return " and ".join(f"({in_words(each)})" for each in rules) or "every record"


def _listed(values: frozenset[str]) -> str:
    shown = sorted(values)[:_VALUES_SHOWN]
    more = f" and {len(values) - len(shown)} more" if len(values) > len(shown) else ""
    return "one of " + ", ".join(shown) + more
