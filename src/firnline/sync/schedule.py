"""Step 1: which objects of a connection to read, and in which order they start.

Takes the catalog and the builder's sync settings; `sync.run` receives the objects. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from firnline.catalog.model import Catalog, ObjectInfo
from firnline.spec.model import SyncObjects, SyncSpec


def scheduled_objects(
    catalog: Catalog, spec: SyncSpec, *, only: Iterable[str] = ()
) -> Sequence[ObjectInfo]:
    """Return the objects to sync: permission records first, then what others refer to.

    Permission records are read whatever the settings say: without them everyone is denied. With
    `only`, just the objects of these names.
    """
    chosen = spec.objects.get(catalog.provider, SyncObjects())
    names = frozenset(only)
    wanted = [
        found
        for found in catalog.objects
        if found.supports.query
        and (found.name in names if names else not found.exposed or _is_chosen(found, chosen))
    ]
    ordered = _targets_first(wanted)
    return sorted(ordered, key=lambda found: found.exposed)  # stable: False first


def _is_chosen(found: ObjectInfo, chosen: SyncObjects) -> bool:
    if any(fnmatchcase(found.name, pattern) for pattern in chosen.exclude):
        return False
    return any(fnmatchcase(found.name, pattern) for pattern in chosen.include)


def _targets_first(objects: Sequence[ObjectInfo]) -> list[ObjectInfo]:
    """Order by references as far as cycles allow, without recursion."""
    by_name = {found.name: found for found in objects}
    ordered: dict[str, ObjectInfo] = {}
    entered: set[str] = set()
    for root in objects:
        waiting = [(root, False)]
        while waiting:
            found, is_done = waiting.pop()
            if is_done:
                ordered[found.name] = found
            elif found.name not in entered:
                entered.add(found.name)
                waiting.append((found, True))
                targets = [name for name in _targets(found) if name in by_name]
                waiting += [(by_name[name], False) for name in reversed(targets)]
    return list(ordered.values())


def _targets(found: ObjectInfo) -> list[str]:
    return [
        target
        for field in found.fields
        if field.reference is not None
        for target in field.reference.targets
    ]
