"""Turns a `RowRule` into a condition of the scan.

Takes rules over catalog field names; the plan receives an expression over storage columns. Rules
reach into other objects (shares, parents, children) without row filters of their own: they decide
visibility, they never return records.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count

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
from firnline.cache.query import (
    FALSE,
    TRUE,
    Call,
    Column,
    Expression,
    InSelect,
    Select,
    Table,
    all_of,
    any_of,
    texts,
)
from firnline.catalog.model import Catalog, ObjectInfo
from firnline.errors import FirnlineError


class RowRuleError(FirnlineError):
    """A connector's rule names an object or field that the catalog does not have."""

    code = "row_rule_broken"


@dataclass(slots=True)
class RowFilters:
    """Compiles the rules of one connection.

    `columns` maps object -> field -> storage column. `stored` maps the objects that the cache holds
    to their fields there: a rule that leans on anything never synced grants nothing.
    """

    connection: str
    catalog: Catalog
    columns: Mapping[str, Mapping[str, str]]
    stored: Mapping[str, frozenset[str]]
    prefix: str = "r"
    _aliases: Iterator[int] = field(default_factory=count)

    def condition(self, rule: RowRule, object_name: str, alias: str) -> Expression:
        """Return the condition on `alias`, a scan of `object_name`, under which a row is seen."""
        if not self._is_stored(rule, object_name):
            return FALSE
        match rule:
            case Everything():
                return TRUE
            case FieldIn(field_name, values):
                return self._among(alias, object_name, field_name, values)
            case FieldIsNull(field_name):
                return Call("is_null", (self._column(alias, object_name, field_name),))
            case AnyOf(rules):
                return any_of([self.condition(each, object_name, alias) for each in rules])
            case AllOf(rules):
                return all_of([self.condition(each, object_name, alias) for each in rules])
            case Listed():
                return self._listed(rule, object_name, alias)
            case Via(field_name, target, inner):
                pointer = self._column(alias, object_name, field_name)
                return self._in(pointer, target, self._object(target).key, inner)
            case ViaChild(child, field_name, inner):
                own_key = self._column(alias, object_name, self._object(object_name).key)
                return self._in(own_key, child, field_name, inner)
            case _:  # Nothing: and a kind of rule that is not known here shows nothing, either.
                return FALSE

    def _is_stored(self, rule: RowRule, object_name: str) -> bool:
        """Say whether the cache holds the fields that `rule` itself reads."""
        match rule:
            case FieldIn(field_name, _) | FieldIsNull(field_name) | Via(field_name, _, _):
                return self._holds(object_name, field_name)
            case ViaChild(child, field_name, _):
                return self._holds(child, field_name)
            case Listed():
                own = rule.match or self._object(object_name).key
                return self._holds(object_name, own) and self._holds(rule.object, rule.key_field)
            case _:
                return True

    def _holds(self, object_name: str, field_name: str) -> bool:
        self._column("", object_name, field_name)  # a name that nobody knows is a broken rule
        return field_name in self.stored.get(object_name, ())

    def _listed(self, rule: Listed, object_name: str, alias: str) -> Expression:
        own = rule.match or self._object(object_name).key
        narrowing: tuple[RowRule, ...] = tuple(FieldIn(name, among) for name, among in rule.where)
        listing = AllOf((FieldIn(rule.field, rule.values), *narrowing))
        reference = self._column(alias, object_name, own)
        return self._in(reference, rule.object, rule.key_field, listing)

    def _in(self, value: Expression, target: str, field_name: str, rule: RowRule) -> Expression:
        if target not in self.stored:
            return FALSE
        alias = f"{self.prefix}{next(self._aliases)}"
        condition = self.condition(rule, target, alias)
        if condition == FALSE:
            return FALSE
        select = Select(
            columns=(("k", self._column(alias, target, field_name)),),
            source=Table(self.connection, target),
            alias=alias,
            where=None if condition == TRUE else condition,
        )
        return InSelect(value, select)

    def _among(
        self, alias: str, object_name: str, field_name: str, values: frozenset[str]
    ) -> Expression:
        if not values:
            return FALSE
        column: Expression = self._column(alias, object_name, field_name)
        if self._object(object_name).by_name[field_name].type not in ("id", "string"):
            column = Call("text", (column,))
        return Call("in", (column, texts(values)))

    def _object(self, name: str) -> ObjectInfo:
        found = self.catalog.by_name.get(name)
        if found is None:
            raise RowRuleError(f"a rule of {self.connection} names the unknown object {name!r}")
        return found

    def _column(self, alias: str, object_name: str, field_name: str) -> Column:
        column = self.columns.get(object_name, {}).get(field_name)
        if column is None:
            raise RowRuleError(
                f"a rule of {self.connection} names the unknown field {object_name}.{field_name}"
            )
        return Column(alias, column)
