"""Why a person may read an object, a field or a record: which rule decides, from where, how old.

Takes a request's context and a snapshot; the CLI, and `_access` for those with explain rights, show
the result to an operator. It names roles, groups and people of the source: nobody else may see it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from firnline.access.grounds import Coordinate, Naming
from firnline.access.model import ObjectAccess, objects_of
from firnline.access.row_filter import RowFilters
from firnline.cache.permission_rows import CachedPermissionRows
from firnline.cache.query import Bound, Call
from firnline.cache.render import render
from firnline.catalog.mapping import source_paths
from firnline.connectors.protocol import Connector
from firnline.connectors.registry import load_connector
from firnline.errors import UsageError
from firnline.graph.explain.evidence import Evidence
from firnline.graph.explain.rule_words import in_words
from firnline.graph.permitted import ObjectNotSyncedError
from firnline.graph.policy.binding import ruling_on
from firnline.graph.policy.checks import checked_because
from firnline.graph.policy.masks import mask_reason
from firnline.graph.policy.verdicts import Verdicts
from firnline.graph.request import GraphContext
from firnline.graph.scan import Aliases, MaskedFieldError, Scan
from firnline.graph.shape import GraphObject


class NothingToExplainError(UsageError):
    """The object or field that is to be explained does not exist."""

    code = "nothing_to_explain"


@dataclass(frozen=True, slots=True)
class AccessExplainer:
    """Explains the rights of the context's person over one snapshot."""

    context: GraphContext
    snapshot: Any

    def explain(self, type_name: str, *, field: str = "", record: str = "") -> dict[str, Any]:
        """Return what decides; raises NothingToExplainError."""
        found = self.context.graph.objects.get(type_name)
        if found is None or (field and field not in found.ruling_fields):
            what = f"{type_name}.{field}" if field else type_name
            raise NothingToExplainError(
                f"there is no {what}", hint="Name a type of the graph, such as Account."
            )
        source = _Source.of(self.context, found, self.snapshot)
        denial = self._denial(found)
        rows = source.access.rows
        facts: dict[str, Any] = {
            "object": type_name,
            "source": f"{found.connection}.{found.source.name}",
            "user": source.user_key,
            "mode": found.policy.mode,
            "readable": denial is None,
            "reason": denial[0] if denial else "",
            "decidedBy": denial[1] if denial else found.connection,
            "because": source.grounds(),
            "rows": in_words(rows) if source.access.readable else "none",
            "why": rows.why if source.access.readable else "",
            "checkedAtSource": self._checked(type_name),
            "isNarrowedByPolicy": bool(ruling_on(found, self.context.decisions).rows),
            **self._verdicts(found).as_dict(),
        }
        if field:
            facts["field"] = self._field(found, field, source)
        if record and source.access.readable:
            facts["record"] = self._record(found, record, source)
        ages = source.ages()
        return facts | {
            "readAt": min((at for at in ages.values() if at), default=None),
            "ages": ages,
        }

    def _checked(self, type_name: str) -> dict[str, str] | None:
        """Return why each record has to be confirmed at its source, None where none has to."""
        about = self.context.decisions.at_source.get(type_name)
        if about is None:
            return None
        return {
            "reason": checked_because(about),
            "countsFor": f"{about.kept_for.total_seconds():.0f}s",
        }

    def _denial(self, found: GraphObject) -> tuple[str, str] | None:
        """Return why nothing of an object is readable, as scans find it, and who says so."""
        context = replace(self.context, notes={}, objects_read=set(), scans=None)
        try:
            denied = Scan(context, found, Aliases()).denied
        except ObjectNotSyncedError as missing:
            return missing.message, found.connection
        return None if denied is None else (denied.reason, denied.source)

    def _field(self, found: GraphObject, name: str, source: _Source) -> dict[str, Any]:
        """Return whether a field may be read, and what gives or takes what it is read from."""
        facts: dict[str, Any] = {"name": name, "readable": True}
        if name in found.policy.mask:
            reason = mask_reason(found.policy.mask[name], found.ruling_fields[name].scalar)
            facts |= {"mask": reason, "decidedBy": "policy"}
        if name not in found.fields:
            return facts | {"readable": False, "reason": "hidden", "decidedBy": "policy"}
        paths = source_paths(found.fields[name].mapping)
        facts["because"] = [
            ground
            for own in dict.fromkeys(path.partition(".")[0] for path in paths)
            for ground in source.grounds(own)
        ]
        context = replace(self.context, notes={}, objects_read=set(), scans=None)
        try:
            Scan(context, found, Aliases()).shown(name)
        except MaskedFieldError as masked:
            note = masked.note
            facts |= {"readable": False, "reason": note.reason, "decidedBy": note.source}
        except ObjectNotSyncedError as missing:
            facts |= {"readable": False, "reason": missing.message, "decidedBy": found.connection}
        return facts | {"verbs": self._verdicts(found).of_field_as_dict(name)}

    def _verdicts(self, found: GraphObject) -> Verdicts:
        """Return what the person may do with the object, verb by verb."""
        context = self.context
        return Verdicts.of(context.graph, found, context.decisions, now=context.now)

    def _record(self, found: GraphObject, key: str, source: _Source) -> dict[str, Any]:
        evidence, name = source.evidence(), found.source.name
        exists = evidence.exists(name, key)
        told = evidence.tell(source.access.rows, name, key)
        # Alternatives one by one; any other rule is one.
        rules = told.get("parts", [told]) if told["rule"].startswith("(") else [told]
        return {
            "key": key,
            "exists": exists,
            "visibleAtSource": told["holds"],
            "visible": is_visible(self.context, found, self.snapshot, key, is_source_key=True),
            "why": told["why"],
            "rules": rules,
        }


def is_visible(
    context: GraphContext,
    found: GraphObject,
    snapshot: Any,
    key: str,
    *,
    is_source_key: bool = False,
) -> bool:
    """Say whether the person is shown a record, as scans decide it.

    `key` is that of the graph's object, or with `is_source_key` the source's own.
    """
    quiet = replace(context, notes={}, objects_read=set(), scans=None)
    try:
        scan = Scan(quiet, found, Aliases())
        if scan.denied is not None:
            return False
        own = scan.ruling.raw(found.source.key)[0] if is_source_key else scan.key(found.key)
        is_it = Call("eq", (Call("text", (own,)), Bound(key, "VARCHAR")))
        select = scan.select((("x", Bound(1, "INTEGER")),), [is_it]).but(limit=1)
        if context.checks is not None:
            select = context.checks.settled(select, snapshot.fetch)
    except (ObjectNotSyncedError, MaskedFieldError):
        return False
    return bool(snapshot.fetch(*render(select)).num_rows)


@dataclass(frozen=True, slots=True)
class _Source:
    """What one connection knows of the person's rights to one object."""

    context: GraphContext
    found: GraphObject
    snapshot: Any
    connector: Connector
    rows: CachedPermissionRows

    @classmethod
    def of(cls, context: GraphContext, found: GraphObject, snapshot: Any) -> _Source:
        """Return it for the connection that an object is of."""
        graph, connection = context.graph, found.connection
        rows = CachedPermissionRows(
            *(snapshot.fetch, connection, graph.catalogs[connection]),
            *(graph.columns[connection], context.decisions.stored.get(connection, {})),
        )
        connector = load_connector(graph.catalogs[connection].provider)
        return cls(context, found, snapshot, connector, rows)

    @property
    def access(self) -> ObjectAccess:
        """Return the rights to the object."""
        return self.context.decisions.object(self.found.connection, self.found.source.name)

    @property
    def user_key(self) -> str | None:
        """Return who the person is there."""
        return self.context.decisions.sources[self.found.connection].user_key

    def grounds(self, field: str = "") -> list[dict[str, str]]:
        """Return what gives or takes the right to the object, or to one of its fields."""
        if self.user_key is None:
            return []
        catalog = self.context.graph.catalogs[self.found.connection]
        asked = Coordinate(self.found.source.name, field)
        grounds = self.connector.grounds(self.rows, catalog, self.user_key, asked)
        return [each.as_dict() for each in dict.fromkeys(grounds)]

    def evidence(self) -> Evidence:
        """Return what looks through rules over the connection's records."""
        graph, connection = self.context.graph, self.found.connection
        filters = RowFilters(
            connection=connection,
            catalog=graph.catalogs[connection],
            columns=graph.columns[connection],
            stored=self.context.decisions.stored.get(connection, {}),
        )
        return Evidence(filters, self.snapshot, self._named)

    def _named(self, value: Naming) -> str:
        if self.user_key is None:
            return ""
        catalog = self.context.graph.catalogs[self.found.connection]
        return self.connector.named(self.rows, catalog, self.user_key, value)

    def ages(self) -> Mapping[str, str | None]:
        """Return when each object that was looked at, or decides, was last read in full."""
        rule = self.access.rows
        stamps = self.snapshot.freshness
        connection = self.found.connection
        names = {self.found.source.name, *objects_of(rule), *self.rows.objects_read}
        known = self.context.graph.catalogs[connection].by_name
        return {
            name: stamps[connection, name].isoformat() if (connection, name) in stamps else None
            for name in sorted(names)
            if name in known
        }
