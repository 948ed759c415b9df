"""Objects and fields as discovery found them, in the provider's own names.

Made by connectors (`Connector.discover`), stored per connection and version by `state`, read by
sync (types), cache (columns), access (rules) and graph (schema).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

ScalarName = Literal[
    "id",  # opaque key or reference; always text, whatever the provider sends
    "string",
    "int",  # 32 bit
    "long",  # 64 bit
    "decimal",  # exact; see precision and scale
    "float",
    "bool",
    "date",
    "timestamp",  # UTC
    "time",
    "json",
    "strings",  # a list of strings: multi-selects, tags
]


class Frozen(BaseModel):
    """Base of the immutable, closed models."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with `update`, without what the original derived from its old content.

        Pydantic copies cached properties along, so that `by_name` would still show old fields.
        """
        copied = super().model_copy(update=update, deep=deep)
        for name in copied.__dict__.keys() - type(self).model_fields.keys():
            del copied.__dict__[name]
        return copied


class EnumValue(Frozen):
    """One value of a picklist: what is stored, and what people see."""

    value: str
    label: str = ""
    active: bool = True


class Reference(Frozen):
    """A field that holds the key of a record of one of `targets`.

    `relation` names the way there (Opportunity.AccountId -> "Account"); `inverse` names the way
    back on the target ("Opportunities"), empty when the provider has none.
    """

    targets: tuple[str, ...]
    relation: str
    inverse: str = ""


class FieldInfo(Frozen):
    """One field of one object."""

    name: str
    type: ScalarName
    label: str = ""
    source_type: str = ""
    description: str = ""
    custom: bool = False
    nullable: bool = True
    required_on_create: bool = False
    createable: bool = False
    updateable: bool = False
    filterable: bool = True
    sortable: bool = True
    unique: bool = False
    external_id: bool = False
    calculated: bool = False
    default: str | None = None
    precision: int = 18
    scale: int = 2
    length: int | None = None
    values: tuple[EnumValue, ...] = ()
    reference: Reference | None = None


class CompoundInfo(Frozen):
    """Several fields that make one thing: an address, a place, a person's name.

    `parts` are fields of the object by what they are in it ("postalCode" -> "BillingPostalCode").
    """

    name: str
    label: str = ""
    source_type: str = ""
    parts: Mapping[str, str]


class ObjectSupports(Frozen):
    """What the provider lets a caller do with an object."""

    query: bool = True
    create: bool = False
    update: bool = False
    upsert: bool = False
    delete: bool = False
    bulk: bool = False
    changes: bool = False
    deletes: bool = False  # deleted records can be listed


class ObjectInfo(Frozen):
    """One object of one connection.

    `cursor` is the field that incremental reads follow, empty when only full reads are possible.
    `exposed` is false for permission records: synced and used by access, never part of a graph.
    `extra` is for the connector that made it (paths, table names); nobody else reads it.
    """

    name: str
    key: str
    label: str = ""
    label_plural: str = ""
    description: str = ""
    custom: bool = False
    cursor: str = ""
    exposed: bool = True
    fields: tuple[FieldInfo, ...]
    compounds: tuple[CompoundInfo, ...] = ()
    supports: ObjectSupports = ObjectSupports()
    extra: Mapping[str, str] = Field(default_factory=dict)

    @cached_property
    def by_name(self) -> Mapping[str, FieldInfo]:
        """Return the fields by name."""
        return {field.name: field for field in self.fields}

    @cached_property
    def field_names(self) -> frozenset[str]:
        """Return the names of the fields."""
        return frozenset(self.by_name)


class Catalog(Frozen):
    """Everything discovery found on one connection."""

    provider: str
    objects: tuple[ObjectInfo, ...]

    @cached_property
    def by_name(self) -> Mapping[str, ObjectInfo]:
        """Return the objects by name."""
        return {found.name: found for found in self.objects}

    @cached_property
    def fingerprint(self) -> str:
        """Return a digest that changes exactly when the catalog's content changes."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]
