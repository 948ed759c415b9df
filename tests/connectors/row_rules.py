"""Row rules evaluated in plain Python over plain rows: the slow reference of what a rule means.

`tables` is object -> key -> field -> value, as an admin reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
from firnline.catalog.model import Catalog

Row = Mapping[str, Any]
Tables = Mapping[str, Mapping[str, Row]]


def text(value: Any) -> str | None:
    """Return a value as rules compare it: as text, null as nothing."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def visible_keys(rule: RowRule, object_name: str, tables: Tables, catalog: Catalog) -> set[str]:
    """Return the keys of the records of `object_name` that satisfy `rule`."""
    rows = tables.get(object_name, {})
    match rule:
        case Everything():
            return set(rows)
        case Nothing():
            return set()
        case FieldIn(field, values):
            _known(catalog, object_name, field)
            return {key for key, row in rows.items() if text(row[field]) in values}
        case FieldIsNull(field):
            _known(catalog, object_name, field)
            return {key for key, row in rows.items() if row[field] is None}
        case Listed():
            return _listed(rule, object_name, tables, catalog)
        case Via(field, target, inner):
            _known(catalog, object_name, field)
            allowed = visible_keys(inner, target, tables, catalog)
            return {key for key, row in rows.items() if text(row[field]) in allowed}
        case ViaChild(child, field, inner):
            _known(catalog, child, field)
            allowed = visible_keys(inner, child, tables, catalog)
            pointed = {text(tables[child][key][field]) for key in allowed}
            return {key for key in rows if key in pointed}
        case AnyOf(rules):
            return set().union(*(visible_keys(one, object_name, tables, catalog) for one in rules))
        case AllOf(rules):
            kept = [visible_keys(one, object_name, tables, catalog) for one in rules]
            return set(rows).intersection(*kept)


def _listed(rule: Listed, object_name: str, tables: Tables, catalog: Catalog) -> set[str]:
    for field in (rule.key_field, rule.field, *(name for name, _ in rule.where)):
        _known(catalog, rule.object, field)
    listed = {
        text(row[rule.key_field])
        for row in tables.get(rule.object, {}).values()
        if text(row[rule.field]) in rule.values
        and all(text(row[name]) in allowed for name, allowed in rule.where)
    }
    rows = tables.get(object_name, {})
    if not rule.match:
        return {key for key in rows if key in listed}
    _known(catalog, object_name, rule.match)
    return {key for key, row in rows.items() if text(row[rule.match]) in (listed - {None})}


def _known(catalog: Catalog, object_name: str, field: str) -> None:
    """Rules may name catalog fields only: the cache has no other columns."""
    assert field in catalog.by_name[object_name].by_name, f"{object_name}.{field}"
