"""The builder's row conditions as expressions of a scan.

Takes conditions bound to a principal; the scan adds the result to every relation it gives out. What
a condition reads is read whatever the person's own rights are: it decides about records, it never
shows any. Only fields, to-one relations, `and`, `or` and `not` occur.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from firnline.cache.query import Call, Exists, Expression, Select, all_of, any_of
from firnline.catalog.conditions import coerced, condition
from firnline.catalog.mapping import PathResolver, mapped
from firnline.graph.shape import GraphObject, GraphRelation


class RuledScan(Protocol):
    """What is needed of a scan."""

    object: GraphObject

    @property
    def ruling(self) -> PathResolver:
        """Resolve source paths whatever the person may read."""
        ...

    def select(
        self, columns: tuple[tuple[str, Expression], ...], where: list[Expression]
    ) -> Select:
        """Return a query over the scan's rows."""
        ...


class RowRules:
    """Compiles row conditions; `related` gives a scan of another object, free of rights."""

    def __init__(self, related: Callable[[str], RuledScan], now: datetime) -> None:
        self._related = related
        self._now = now

    def condition(self, scan: RuledScan, rows: Mapping[str, Any]) -> Expression:
        """Return the condition that bound `rows` state about `scan`."""
        return all_of([self._part(scan, name, wanted) for name, wanted in rows.items()])

    def _part(self, scan: RuledScan, name: str, wanted: Any) -> Expression:
        match name:
            case "and":
                return all_of([self.condition(scan, each) for each in wanted])
            case "or":
                return any_of([self.condition(scan, each) for each in wanted])
            case "not":
                return Call("not", (self.condition(scan, wanted),))
        relation = scan.object.ruling_relations.get(name)
        if relation is not None:
            return self._through(scan, relation, wanted)
        value, scalar = self._value(scan, name), scan.object.ruling_fields[name].scalar
        return all_of(
            [
                condition(value, scalar, operator, operand, self._now)
                for operator, operand in wanted.items()
            ]
        )

    def _through(
        self, scan: RuledScan, relation: GraphRelation, wanted: Mapping[str, Any]
    ) -> Expression:
        target = self._related(relation.target)
        link = Call("eq", (self._key(target, relation.remote), self._key(scan, relation.local)))
        holds = self.condition(target, wanted)
        return Exists(target.select((("x", Call("and", ())),), [link, holds]))

    def _value(self, scan: RuledScan, name: str) -> Expression:
        declared = scan.object.ruling_fields[name]
        return mapped(declared.mapping, declared.scalar, scan.ruling, self._now)

    def _key(self, scan: RuledScan, name: str) -> Expression:
        """Return a field as text, the form in which both sides of a relation are compared."""
        scalar = scan.object.ruling_fields[name].scalar
        return coerced(self._value(scan, name), scalar, "string")
