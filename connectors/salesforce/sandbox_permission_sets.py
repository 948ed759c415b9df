"""Permission sets, groups of them, and what a group mutes. Takes an org's setup records; the
sandbox's rights receive permissions one by one, the wire the set that the org adds up per group.

As at the vendor, a group is assigned through a permission set of type Group that holds the sum of
its components less its muting sets, and that is recalculated when the group changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .sandbox_org import Org, wire_time

Atom = tuple[str, ...]  # one permission: of the user, of an object, of a field
USER_PERMISSIONS = (
    "ApiEnabled",
    "ViewSetup",
    "ViewAllData",
    "ModifyAllData",
    "ViewAllUsers",
    "ActivitiesAccess",
)
RIGHTS = (
    "Create",
    "Read",
    "Edit",
    "Delete",
    "ViewAllRecords",
    "ModifyAllRecords",
    "ViewAllFields",
)


def permissions_of(org: Org, key: str) -> set[Atom]:
    """Return what one permission set, or muting permission set, names."""
    row = org.rows["PermissionSet"].get(key) or org.rows["MutingPermissionSet"][key]
    held: set[Atom] = {("user", name) for name in USER_PERMISSIONS if row[f"Permissions{name}"]}
    for each in org.live("ObjectPermissions"):
        if each["ParentId"] == key:
            held |= {
                ("object", each["SobjectType"], right)
                for right in RIGHTS
                if each[f"Permissions{right}"]
            }
    for each in org.live("FieldPermissions"):
        if each["ParentId"] == key and each["PermissionsRead"]:
            held.add(("field", each["Field"]))
    return held


def group_permissions(org: Org, group: str) -> set[Atom]:
    """Return what the components of a group add up to, less what it mutes."""
    held: set[Atom] = set()
    muted: set[Atom] = set()
    for row in org.live("PermissionSetGroupComponent"):
        if row["PermissionSetGroupId"] == group:
            key = row["PermissionSetId"]
            mutes = key in org.rows["MutingPermissionSet"]
            (muted if mutes else held).update(permissions_of(org, key))
    # Every other right to an object depends on Read and goes with it.
    unread = {atom[1] for atom in muted if atom[0] == "object" and atom[2] == "Read"}
    return {
        atom
        for atom in held - muted
        if not (atom[0] == "object" and atom[1] in unread)
        and not (atom[0] == "field" and atom[1].split(".")[0] in unread)
    }


def add_group(org: Org, name: str, components: Iterable[str]) -> tuple[str, str]:
    """Create a group of permission sets and muting sets; return it and its added-up set."""
    stamp = wire_time(org.now())
    group = org.put(
        "PermissionSetGroup",
        DeveloperName=name,
        MasterLabel=name.replace("_", " "),
        Status="Updated",
        SystemModstamp=stamp,
    )
    for key in components:
        org.put(
            "PermissionSetGroupComponent",
            PermissionSetGroupId=group,
            PermissionSetId=key,
            SystemModstamp=stamp,
        )
    total = org.put(
        "PermissionSet",
        Name=f"X0PG_{name}",
        Label=name.replace("_", " "),
        Type="Group",
        PermissionSetGroupId=group,
        SystemModstamp=stamp,
    )
    recalculate(org, group)
    return group, total


def recalculate(org: Org, group: str) -> None:
    """Write down anew what a group adds up to, as the vendor does after a change."""
    total = next(row for row in org.live("PermissionSet") if row["PermissionSetGroupId"] == group)[
        "Id"
    ]
    for name in ("ObjectPermissions", "FieldPermissions"):
        for row in [each for each in org.live(name) if each["ParentId"] == total]:
            del org.rows[name][row["Id"]]
    held = group_permissions(org, group)
    org.rows["PermissionSet"][total] = {
        **org.rows["PermissionSet"][total],
        **{f"Permissions{name}": ("user", name) in held for name in USER_PERMISSIONS},
        "SystemModstamp": wire_time(org.now()),
    }
    for name in sorted({atom[1] for atom in held if atom[0] == "object"}):
        rights: dict[str, Any] = {
            f"Permissions{right}": ("object", name, right) in held for right in RIGHTS
        }
        org.put(
            "ObjectPermissions",
            ParentId=total,
            SobjectType=name,
            SystemModstamp=wire_time(org.now()),
            **rights,
        )
    for field in sorted(atom[1] for atom in held if atom[0] == "field"):
        org.put(
            "FieldPermissions",
            ParentId=total,
            SobjectType=field.split(".")[0],
            Field=field,
            PermissionsRead=True,
        )
    org.version += 1
