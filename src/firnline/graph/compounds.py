"""Compound fields: an address, a place or a person's name as one object of its parts.

Takes what a catalog says of an object; shape hangs the results on its provider's face. The parts
stay fields of the record, too: there they are filtered, sorted and grouped by.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from firnline.catalog.model import CompoundInfo, ObjectInfo
from firnline.graph.names import field_name, free_name


@dataclass(frozen=True, slots=True)
class GraphCompound:
    """Fields of one record as one object. `parts` are the record's fields by their name in it."""

    name: str
    type_name: str
    parts: Mapping[str, str]
    description: str = ""


def provider_compounds(
    source: ObjectInfo, type_name: str, *, names: Collection[str], types: set[str]
) -> Iterator[GraphCompound]:
    """Yield the compounds of an object.

    `names` are what its record has already, `types` the names of types, which grow. A compound
    whose own name is a field of the record (a person's Name is text) gets `_parts` at its end.
    """
    taken = set(names)
    for compound in source.compounds:
        own = field_name(compound.name)
        name = f"{own}_parts" if own in taken else own
        parts = {
            field_name(part): field_name(field)
            for part, field in compound.parts.items()
            if field in source.by_name
        }
        if name in taken or not parts:
            continue
        taken.add(name)
        yield GraphCompound(
            name, free_name(f"{type_name}_{name}", types), parts, _described(compound)
        )


def _described(compound: CompoundInfo) -> str:
    label = compound.label or compound.name
    return f"{label} ({compound.source_type}), in its parts" if compound.source_type else label
