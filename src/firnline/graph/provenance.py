"""Where a builder's field comes from, in words: for descriptions, which people and agents read.

Takes a mapping and the catalog's object; shape appends the result to what the builder wrote.
"""

from __future__ import annotations

from firnline.catalog.model import FieldInfo, ObjectInfo
from firnline.spec.model import Constant, FieldMapping, FirstOf, FromField, FromTags, When


def provenance(mapping: FieldMapping, source: ObjectInfo, provider: str) -> str:
    """Return one sentence that names the source and what is done to it."""
    owner = f"{provider}.{source.name}"
    match mapping:
        case FromField():
            mapped = ", values mapped" if mapping.values else ""
            return f"From {owner}.{mapping.from_}{_label(mapping.from_, source)}{mapped}."
        case FromTags():
            return f"From the list {owner}.{mapping.tags}, values mapped."
        case When():
            return f"True where {owner}.{' and '.join(mapping.when)} meet conditions."
        case FirstOf():
            return f"The first that is set of {owner}.{', '.join(mapping.first_of)}."
        case Constant():
            return f"Always the same: {mapping.constant}."


def label_and_help(field: FieldInfo) -> str:
    """Return what the provider's own people read about a field: label, help text and type."""
    label = field.label if field.label != field.name else ""
    words = ": ".join(part for part in (label, field.description) if part) or field.name
    return f"{words} ({field.source_type})" if field.source_type else words


def sentences(*parts: str) -> str:
    """Return parts as sentences of one text; empty ones are left out."""
    return " ".join(part if part[-1] in ".!?" else f"{part}." for part in parts if part)


def _label(path: str, source: ObjectInfo) -> str:
    field = source.by_name.get(path)
    if field is None or not field.label or field.label == path:
        return ""
    return f' ("{field.label}")'
