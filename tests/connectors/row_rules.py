"""A plain reading of the row-rule algebra: which keys of an object a rule lets through.

Takes records as the provider's admin reads them; connector tests compare its answer with what each
person's own token shows.
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

Tables = Mapping[str, Mapping[str, Mapping[str, Any]]]  # object -> key -> record


def visible_keys(rule: RowRule, object_name: str, tables: Tables, catalog: Catalog) -> set[str]:
    """Return the keys of `object_name` that satisfy `rule`; absent fields are null."""
    records = tables.get(object_name, {})
    match rule:
        case Everything():
            return set(records)
        case Nothing():
            return set()
        case FieldIn(field, values):
            return {key for key, record in records.items() if _text(record, field) in values}
        case FieldIsNull(field):
            return {key for key, record in records.items() if record.get(field) is None}
        case Listed():
            return _listed(rule, object_name, tables)
        case Via(field, target, inner):
            targets = visible_keys(inner, target, tables, catalog)
            return {key for key, record in records.items() if _text(record, field) in targets}
        case ViaChild(child, field, inner):
            children = visible_keys(inner, child, tables, catalog)
            parents = {_text(tables.get(child, {})[key], field) for key in children}
            return {key for key in records if key in parents}
        case AnyOf(rules):
            found = (visible_keys(one, object_name, tables, catalog) for one in rules)
            return set().union(*found)
        case AllOf(rules):
            kept = set(records)
            for one in rules:
                kept &= visible_keys(one, object_name, tables, catalog)
            return kept


def _listed(rule: Listed, object_name: str, tables: Tables) -> set[str]:
    listed = {
        _text(row, rule.key_field)
        for row in tables.get(rule.object, {}).values()
        if _text(row, rule.field) in rule.values
        and all(_text(row, field) in values for field, values in rule.where)
    } - {None}
    records = tables.get(object_name, {})
    if not rule.match:
        return {key for key in records if key in listed}
    return {key for key, record in records.items() if _text(record, rule.match) in listed}


def _text(record: Mapping[str, Any], field: str) -> str | None:
    value = record.get(field)
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)
