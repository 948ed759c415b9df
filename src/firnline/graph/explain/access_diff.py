"""How rights differ: objects, fields, rules and how many records are seen.

Takes the decisions for two people over one snapshot, or those for one person at two times or under
two versions of the project; the CLI shows the differences to an operator.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self

from firnline.access.decisions import Decisions
from firnline.access.principal import Principal
from firnline.cache.query import Call
from firnline.cache.render import render
from firnline.graph.explain.rule_words import in_words
from firnline.graph.permitted import ObjectNotSyncedError
from firnline.graph.request import GraphContext, unexecuted
from firnline.graph.scan import Aliases, Scan
from firnline.graph.shape import GraphObject, TenantGraph
from firnline.graph.visible import visible_graph


@dataclass(frozen=True, slots=True)
class ObjectRights:
    """What one person may do with one object; `records` None: nothing of it was synced yet."""

    fields: frozenset[str] = frozenset()
    rule: str = "no record"
    records: int | None = 0

    @property
    def is_readable(self) -> bool:
        """Say whether anything of the object may be read."""
        return bool(self.fields)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it; `from_dict` reads it back."""
        return {"fields": sorted(self.fields), "rule": self.rule, "records": self.records}

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Self:
        """Read what `as_dict` gave; raises KeyError or TypeError for anything else."""
        return cls(frozenset(map(str, told["fields"])), str(told["rule"]), told["records"])


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which rights differ."""

    object: str
    what: str  # readable, fields, records
    first: str
    second: str

    def as_dict(self) -> dict[str, str]:
        """Return it as JSON has it."""
        return {
            "object": self.object,
            "what": self.what,
            "first": self.first,
            "second": self.second,
        }


def rights_of(
    graph: TenantGraph,
    decisions: Decisions,
    *,
    principal: Principal,
    now: datetime,
    snapshot: Any,
) -> dict[str, ObjectRights]:
    """Return a person's rights to every object, by type."""
    seen = visible_graph(graph, decisions, principal=principal, now=now)
    context = GraphContext(
        principal=principal,
        graph=graph,
        decisions=replace(decisions, at_source={}),  # records are counted in the mirror
        now=now,
        resolve=unexecuted,
        freshness=dict,
    )
    found = {}
    for name, whole in graph.objects.items():
        visible = seen.objects.get(name)
        found[name] = ObjectRights()
        if visible is not None:
            rows = decisions.object(whole.connection, whole.source.name).rows
            records = _records(context, whole, snapshot)
            found[name] = ObjectRights(frozenset(visible.fields), in_words(rows), records)
    return found


def differences(
    first: Mapping[str, ObjectRights], second: Mapping[str, ObjectRights]
) -> Iterator[Difference]:
    """Yield in what two sets of rights differ, object by object; what one lacks is not readable."""
    none = ObjectRights()
    for name in sorted({*first, *second}):
        one, other = first.get(name, none), second.get(name, none)
        if one.is_readable != other.is_readable:
            yield Difference(name, "readable", _yes(one.is_readable), _yes(other.is_readable))
        elif one.fields != other.fields:
            beside, lacking = sorted(one.fields - other.fields), sorted(other.fields - one.fields)
            yield Difference(name, "fields", _listed(beside), _listed(lacking))
        if (one.rule, one.records) != (other.rule, other.records) and (
            one.is_readable and other.is_readable
        ):
            yield Difference(name, "records", _counted(one), _counted(other))


def _records(context: GraphContext, found: GraphObject, snapshot: Any) -> int | None:
    try:
        scan = Scan(context, found, Aliases())
        counted = snapshot.fetch(*render(scan.select((("n", Call("count", ())),), [])))
    except ObjectNotSyncedError:
        return None
    return int(counted["n"][0].as_py())


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"


def _listed(names: list[str]) -> str:
    return ", ".join(names) if names else "none more"


def _counted(rights: ObjectRights) -> str:
    number = "not synced yet" if rights.records is None else f"{rights.records:,}"
    return f"{number}: {rights.rule}"
