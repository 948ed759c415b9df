"""Which parts of a row rule hold for one record, and by which values there.

Takes a rule and a record's key; whether a part holds is asked of the same SQL that scans use. The
values are those of the source, whatever anybody may read: the result is for operators alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from firnline.access.grounds import Naming
from firnline.access.model import (
    AllOf,
    AnyOf,
    Everything,
    FieldIn,
    FieldIsNull,
    Listed,
    RowRule,
    Via,
    ViaChild,
)
from firnline.access.row_filter import RowFilters
from firnline.cache.query import FALSE, Bound, Call, Column, Expression, Select, Table, all_of
from firnline.cache.render import render
from firnline.graph.explain.rule_words import in_words

_LISTINGS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Evidence:
    """Looks through rules over one connection's records; `named` says what a value is called."""

    filters: RowFilters
    snapshot: Any
    named: Callable[[Naming], str]

    def tell(self, rule: RowRule, object_name: str, key: str) -> dict[str, Any]:
        """Return whether a rule holds for a record, why it is there, and so for its parts."""
        told: dict[str, Any] = {"rule": in_words(rule), "why": rule.why}
        told["holds"] = self.holds(rule, object_name, key)
        because = list(self._values(rule, object_name, key, is_held=told["holds"]))
        parts = list(self._parts(rule, object_name, key, is_held=told["holds"]))
        return told | {
            name: each for name, each in (("because", because), ("parts", parts)) if each
        }

    def holds(self, rule: RowRule, object_name: str, key: str) -> bool:
        """Say whether a rule holds for the source's record of that key."""
        return bool(self._first(object_name, self._key(object_name), rule, key))

    def exists(self, object_name: str, key: str) -> bool:
        """Say whether the cache holds a record."""
        return self.holds(Everything(), object_name, key)

    def _values(
        self, rule: RowRule, object_name: str, key: str, *, is_held: bool
    ) -> Iterator[dict[str, Any]]:
        """Yield the values that decide, with what they are called at the source."""
        match rule:
            case FieldIn(name, _) | Via(name, _, _) | FieldIsNull(name):
                yield self._told(object_name, name, self._value(object_name, name, key))
            case Listed() if is_held:
                yield from self._listings(rule, object_name, key)
            case _:
                return

    def _parts(
        self, rule: RowRule, object_name: str, key: str, *, is_held: bool
    ) -> Iterator[dict[str, Any]]:
        match rule:
            case AnyOf(rules) | AllOf(rules):
                for each in rules:
                    yield self.tell(each, object_name, key)
            case Via(name, target, inner):
                parent = self._value(object_name, name, key)
                if parent is not None:
                    yield self.tell(inner, target, parent) | {"record": f"{target} {parent}"}
            case ViaChild(child, name, inner) if is_held:
                (found,) = self._first(child, name, inner, key)
                yield self.tell(inner, child, found) | {"record": f"{child} {found}"}
            case _:
                return

    def _told(self, object_name: str, name: str, value: str | None) -> dict[str, Any]:
        told: dict[str, Any] = {"field": f"{object_name}.{name}", "value": value}
        called = "" if value is None else self.named(Naming(object_name, name, value))
        return told | ({"called": called} if called else {})

    def _listings(self, rule: Listed, object_name: str, key: str) -> Iterator[dict[str, Any]]:
        """Yield the listing rows that open a record: for whom, and how they came about."""
        match = self._value(object_name, rule.match or self._key(object_name), key)
        narrowing = tuple(FieldIn(name, among) for name, among in rule.where)
        listing = AllOf((FieldIn(rule.field, rule.values), *narrowing))
        told = [name for name in rule.told if self._is_stored(rule.object, name)]
        names = [rule.field, *told]
        table = self._fetch(
            rule.object,
            tuple((f"c{at}", self._text(rule.object, name)) for at, name in enumerate(names)),
            [self._is(rule.object, rule.key_field, match), self._condition(listing, rule.object)],
            limit=_LISTINGS_SHOWN,
        )
        for row in table.to_pylist():
            value = row["c0"]
            facts = {name: row[f"c{at}"] for at, name in enumerate(names) if at}
            yield self._told(rule.object, rule.field, value) | facts

    def _value(self, object_name: str, name: str, key: str) -> str | None:
        if not self._is_stored(object_name, name):
            return None
        is_it = self._is(object_name, self._key(object_name), key)
        columns = (("c0", self._text(object_name, name)),)
        rows = self._fetch(object_name, columns, [is_it], limit=1).to_pylist()
        return rows[0]["c0"] if rows else None

    def _first(self, object_name: str, name: str, rule: RowRule, wanted: str) -> list[str]:
        """Return the key of a record that a rule opens and whose field is `wanted`, if any is."""
        if not self._is_stored(object_name, name):
            return []
        columns = (("c0", self._text(object_name, self._key(object_name))),)
        where = [self._is(object_name, name, wanted), self._condition(rule, object_name)]
        rows = self._fetch(object_name, columns, where, limit=1).to_pylist()
        return [row["c0"] for row in rows]

    def _fetch(
        self,
        object_name: str,
        columns: tuple[tuple[str, Expression], ...],
        where: list[Expression],
        *,
        limit: int,
    ) -> Any:
        source = Table(self.filters.connection, object_name)
        select = Select(columns, source, "t", where=all_of(where), limit=limit)
        return self.snapshot.fetch(*render(select))

    def _condition(self, rule: RowRule, object_name: str) -> Expression:
        return self.filters.condition(rule, object_name, "t")

    def _is(self, object_name: str, name: str, value: str | None) -> Expression:
        if value is None:
            return FALSE
        return Call("eq", (self._text(object_name, name), Bound(value, "VARCHAR")))

    def _text(self, object_name: str, name: str) -> Expression:
        column = Column("t", self.filters.columns[object_name][name])
        return Call("text", (column,))

    def _key(self, object_name: str) -> str:
        return self.filters.catalog.by_name[object_name].key

    def _is_stored(self, object_name: str, name: str) -> bool:
        return name in self.filters.stored.get(object_name, ())
