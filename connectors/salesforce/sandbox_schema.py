"""What objects and fields are: definitions that `sandbox_objects` writes down and
`sandbox_describe` renders as the vendor's describe.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any


@dataclass(frozen=True, slots=True)
class FieldDef:
    """One field. `secured` fields stand under field-level security.

    `children` names the way back on the target of a lookup, `master_order` is 0 for a
    master-detail relationship; `compound` names the address, name or location it is part of.
    """

    name: str
    type: str
    label: str
    length: int = 0
    precision: int = 0
    scale: int = 0
    nillable: bool = True
    writable: bool = True
    secured: bool = True
    values: tuple[str, ...] = ()
    restricted: bool = False
    reference_to: tuple[str, ...] = ()
    relationship: str | None = None
    children: str | None = None
    master_order: int | None = None
    compound: str | None = None
    calculated: bool = False
    auto_number: bool = False
    name_field: bool = False
    external_id: bool = False
    help: str | None = None

    @property
    def custom(self) -> bool:
        """Say whether the org's people made it."""
        return self.name.endswith(("__c", "__s"))


@dataclass(frozen=True)
class ObjectDef:
    """One object. `setup` objects are for users who may view the setup, `share_of` names the
    object whose sharing the rows describe; `model` is the organisation-wide default, `hierarchies`
    whether people above an owner or grantee share in the access ("Grant Access Using Hierarchies").
    """

    name: str
    label: str
    plural: str
    prefix: str
    fields: tuple[FieldDef, ...]
    model: str = "ReadWrite"
    setup: bool = False
    share_of: str = ""
    key: str = "Id"
    hierarchies: bool = True

    @property
    def custom(self) -> bool:
        """Say whether the org's people made it."""
        return self.name.endswith("__c")

    @cached_property
    def by_lower(self) -> Mapping[str, FieldDef]:
        """Return the fields by lower-case name, for SOQL ignores case."""
        return {field.name.lower(): field for field in self.fields}

    @cached_property
    def by_relationship(self) -> Mapping[str, FieldDef]:
        """Return the lookups by lower-case relationship name."""
        return {field.relationship.lower(): field for field in self.fields if field.relationship}

    def has(self, name: str) -> bool:
        """Say whether there is a field of that name."""
        return name.lower() in self.by_lower


def text(name: str, label: str, length: int = 255, **facts: Any) -> FieldDef:
    """Return a text field."""
    return FieldDef(name, facts.pop("type", "string"), label, length=length, **facts)


def picklist(name: str, label: str, values: Iterable[str], **facts: Any) -> FieldDef:
    """Return a picklist; `type="multipicklist"` for several at once."""
    kind = facts.pop("type", "picklist")
    length = 4099 if kind == "multipicklist" else 255
    return FieldDef(name, kind, label, length=length, values=tuple(values), **facts)


def number(name: str, label: str, kind: str = "double", scale: int = 2, **facts: Any) -> FieldDef:
    """Return a number: double, currency or percent."""
    return FieldDef(name, kind, label, precision=facts.pop("precision", 18), scale=scale, **facts)


def flag(name: str, label: str, **facts: Any) -> FieldDef:
    """Return a checkbox, which is never null."""
    return FieldDef(name, "boolean", label, nillable=False, **facts)


def lookup(
    name: str, label: str, targets: str, children: str | None = None, **facts: Any
) -> FieldDef:
    """Return a lookup to one or several objects; the relationship's name follows the field's."""
    relationship = f"{name[:-1]}r" if name.endswith("__c") else name.removesuffix("Id")
    return FieldDef(
        name,
        "reference",
        label,
        length=18,
        reference_to=tuple(targets.split()),
        relationship=relationship,
        children=children,
        **facts,
    )


def stamp(name: str, label: str, **facts: Any) -> FieldDef:
    """Return a date-time."""
    return FieldDef(name, "datetime", label, **facts)


def _system(field: FieldDef) -> FieldDef:
    return replace(field, secured=False, writable=False, nillable=False)


def identity() -> FieldDef:
    """Return the record id."""
    return _system(FieldDef("Id", "id", "Record ID", length=18))


def audit(*, deletes: bool = True) -> tuple[FieldDef, ...]:
    """Return the fields that every record keeps about itself."""
    deleted = (_system(flag("IsDeleted", "Deleted")),) if deletes else ()
    return (
        *deleted,
        _system(stamp("CreatedDate", "Created Date")),
        _system(lookup("CreatedById", "Created By ID", "User")),
        _system(stamp("LastModifiedDate", "Last Modified Date")),
        _system(lookup("LastModifiedById", "Last Modified By ID", "User")),
        _system(stamp("SystemModstamp", "System Modstamp")),
    )


def owner(*targets: str) -> FieldDef:
    """Return the owner of a record."""
    names = " ".join(targets or ("User",))
    return lookup("OwnerId", "Owner ID", names, secured=False, nillable=False)


def address(name: str, label: str) -> tuple[FieldDef, ...]:
    """Return a compound address and its parts; security names the compound only."""
    compound = f"{name}Address"
    parts = ("Street", "City", "State", "PostalCode", "Country")
    return (
        *(
            text(f"{name}{part}", f"{label} {part}", compound=compound, secured=False)
            for part in parts
        ),
        FieldDef(compound, "address", f"{label} Address", writable=False),
    )
