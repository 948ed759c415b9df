"""What changed between two catalogs of one connection.

Takes catalogs; discovery reports it, the console and drift alerts show it. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from firnline.catalog.model import Catalog, FieldInfo, Frozen, ObjectInfo


class Retyped(Frozen):
    """A field whose type is another one now; decimals and references in full."""

    field: str
    old: str
    new: str


class ObjectDiff(Frozen):
    """What changed in one object that both catalogs have."""

    object: str
    fields_added: tuple[str, ...] = ()
    fields_removed: tuple[str, ...] = ()
    retyped: tuple[Retyped, ...] = ()


class CatalogDiff(Frozen):
    """What changed. False when objects, fields and types are the same."""

    objects_added: tuple[str, ...] = ()
    objects_removed: tuple[str, ...] = ()
    objects_changed: tuple[ObjectDiff, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.objects_added or self.objects_removed or self.objects_changed)


def catalog_diff(old: Catalog | None, new: Catalog) -> CatalogDiff:
    """Return what `new` adds, lacks and types differently; names in order."""
    before: Mapping[str, ObjectInfo] = {} if old is None else old.by_name
    after = new.by_name
    changed = (
        _object_diff(before[name], after[name]) for name in sorted(before.keys() & after.keys())
    )
    return CatalogDiff(
        objects_added=tuple(sorted(after.keys() - before.keys())),
        objects_removed=tuple(sorted(before.keys() - after.keys())),
        objects_changed=tuple(found for found in changed if found is not None),
    )


def _object_diff(old: ObjectInfo, new: ObjectInfo) -> ObjectDiff | None:
    before, after = old.by_name, new.by_name
    found = ObjectDiff(
        object=new.name,
        fields_added=tuple(sorted(after.keys() - before.keys())),
        fields_removed=tuple(sorted(before.keys() - after.keys())),
        retyped=tuple(
            Retyped(field=name, old=type_name(before[name]), new=type_name(after[name]))
            for name in sorted(before.keys() & after.keys())
            if type_name(before[name]) != type_name(after[name])
        ),
    )
    is_same = not (found.fields_added or found.fields_removed or found.retyped)
    return None if is_same else found


def type_name(field: FieldInfo) -> str:
    """Return a field's type as people read it: decimal(18,2), id -> Account."""
    name: str = field.type
    if field.type == "decimal":
        name = f"decimal({field.precision},{field.scale})"
    if field.reference is not None:
        name += f" -> {' | '.join(field.reference.targets)}"
    return name
