"""Turns a record's JSON schema, or rows of CustomField, into catalog fields in SuiteQL's names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from firnline.catalog.model import EnumValue, FieldInfo, Reference, ScalarName

from .records import KNOWN, MONEY_FIELDS

# Names become SuiteQL columns and GraphQL fields: anything else is left out.
_COLUMN = re.compile(r"[a-z_][a-z0-9_]{0,127}")
_MONEY = "Currency"
_MULTIPLE = "Multiple Select"
_SCALARS: Mapping[tuple[str, str], ScalarName] = {
    ("boolean", ""): "bool",
    ("integer", "int64"): "long",
    ("integer", ""): "long",
    ("number", "double"): "decimal",
    ("number", ""): "decimal",
    ("number", "float"): "float",
    ("string", "date"): "date",
    ("string", "date-time"): "timestamp",
}
_BY_VALUE_TYPE: Mapping[str, ScalarName] = {
    "Check Box": "bool",
    "Integer Number": "long",
    "Decimal Number": "decimal",
    "Percent": "decimal",
    _MONEY: "decimal",
    "Date": "date",
    "Date/Time": "timestamp",
    _MULTIPLE: "strings",
    "List/Record": "id",
}


@dataclass(frozen=True)
class CustomField:
    """One row of CustomField; `record_type` is the internal id of its custom record type."""

    name: str
    label: str
    value_type: str
    record_type: str


def fields_of(
    object_name: str, schema: Mapping[str, Any], customs: Mapping[str, CustomField]
) -> tuple[FieldInfo, ...]:
    """Return the fields that a JSON schema describes; sublists and links are left out."""
    found: dict[str, FieldInfo] = {}
    properties: Mapping[str, Mapping[str, Any]] = schema.get("properties") or {}
    for prop, described in properties.items():
        name = prop.lower()
        if not _COLUMN.fullmatch(name) or name in found:
            continue
        field = _field(object_name, name, described, customs.get(name))
        if field is not None:
            found[name] = field
    found.setdefault("id", _key())
    return tuple(found.values())


def fields_of_custom_record(
    internal_id: str, customs: Mapping[str, CustomField]
) -> tuple[FieldInfo, ...]:
    """Return the fields of a custom record type that REST does not describe."""
    common = (
        _key(),
        FieldInfo(name="name", type="string", label="Name"),
        FieldInfo(name="isinactive", type="bool", label="Inactive"),
        FieldInfo(name="created", type="timestamp", label="Date Created"),
        FieldInfo(name="lastmodified", type="timestamp", label="Last Modified"),
    )
    own = tuple(
        FieldInfo(
            name=custom.name,
            type=_BY_VALUE_TYPE.get(custom.value_type, "string"),
            label=custom.label,
            source_type=custom.value_type,
            custom=True,
            scale=2 if custom.value_type == _MONEY else 6,
        )
        for custom in customs.values()
        if custom.record_type == internal_id and _COLUMN.fullmatch(custom.name)
    )
    return (*common, *own)


def _key() -> FieldInfo:
    return FieldInfo(name="id", type="id", label="Internal ID", nullable=False, unique=True)


def _field(
    object_name: str, name: str, described: Mapping[str, Any], custom: CustomField | None
) -> FieldInfo | None:
    if name == "id":
        return _key()
    kind, target = str(described.get("type") or ""), _target(object_name, name, described)
    choices = _choices(described)
    value_type = custom.value_type if custom else ""
    if value_type == _MULTIPLE:
        scalar: ScalarName = "strings"
    elif choices is not None:
        scalar = "string"
    elif target is not None:
        scalar = "id"
    elif kind in ("array", "") or (kind == "object" and not _is_reference(described)):
        return None
    elif kind == "object":
        scalar = "id"
    else:
        scalar = _SCALARS.get((kind, str(described.get("format") or "")), "string")
    read_only = bool(described.get("readOnly"))
    is_money = name in MONEY_FIELDS or value_type == _MONEY
    return FieldInfo(
        name=name,
        type=scalar,
        label=str(described.get("title") or (custom.label if custom else name)),
        source_type=value_type or str(described.get("format") or kind),
        custom=bool(described.get("x-ns-custom-field")),
        createable=not read_only,
        updateable=not read_only,
        external_id=name == "externalid",
        scale=2 if is_money else 6,
        values=tuple(EnumValue(value=value) for value in choices or ()),
        reference=_reference(object_name, name, target) if scalar == "id" else None,
    )


def _is_reference(described: Mapping[str, Any]) -> bool:
    return "id" in (described.get("properties") or {})


def _choices(described: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the stored values of a select list, None for anything else."""
    key = (described.get("properties") or {}).get("id")
    listed = key.get("enum") if isinstance(key, Mapping) else None
    return None if listed is None else tuple(str(value) for value in listed)


def _target(object_name: str, name: str, described: Mapping[str, Any]) -> str | None:
    """Return the record type a field refers to, as far as the schema or the product says."""
    link = str(described.get("$ref") or "")
    if link.endswith("Collection"):
        return None
    if "/metadata-catalog/" in link:
        return link.rsplit("/", 1)[1].lower()
    known = KNOWN.get(object_name)
    return known.references.get(name) if known and _is_reference(described) else None


def _reference(object_name: str, name: str, target: str | None) -> Reference | None:
    if target is None:
        return None
    known = KNOWN.get(object_name)
    many = known.inverse if known else object_name
    return Reference(targets=(target,), relation=f"{name}_record", inverse=f"{many}_by_{name}")
