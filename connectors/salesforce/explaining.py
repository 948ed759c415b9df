"""Why a user may read what they may: takes cached permission rows, gives names of profiles, sets,
groups, roles and people for an operator to read.

`sharing` decides; here the same rows are looked through again for what gives or takes, set by set,
where `grants` only adds up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from firnline.access.grounds import Coordinate, Ground, Naming
from firnline.access.model import PermissionRows

from .grants import ACTIVITIES, governing_field
from .hierarchy import reach_of, roles_below

Row = Mapping[str, Any]
_OBJECT_RIGHTS = {
    "PermissionsRead": "read",
    "PermissionsViewAllRecords": "View All records",
    "PermissionsModifyAllRecords": "Modify All records",
}
_ALL_DATA = {
    "PermissionsViewAllData": "View All Data",
    "PermissionsModifyAllData": "Modify All Data",
}
_MUTING = "MutingPermissionSet"


def grounds(
    rows: PermissionRows, user_key: str, asked: Coordinate, secured: str
) -> Iterator[Ground]:
    """Yield what gives or takes a user's right to an object or field, set by set.

    `secured` are the fields of the object under field-level security (`ObjectInfo.extra`).
    """
    for row in rows.rows("PermissionSetAssignment", AssigneeId=user_key):
        if row.get("IsActive") is False:
            continue
        for held in rows.rows("PermissionSet", Id=str(row.get("PermissionSetId"))):
            yield from _of_set(rows, held, asked, secured)


def _of_set(rows: PermissionRows, held: Row, asked: Coordinate, secured: str) -> Iterator[Ground]:
    group = str(held.get("PermissionSetGroupId") or "")
    if not group:
        kind, name = _called(rows, held)
        for right in _rights(rows, held, asked, secured):
            yield Ground("gives", right, kind, name)
        return
    labels = [_label(row) for row in rows.rows("PermissionSetGroup", Id=group)]
    within = f"permission set group {(labels or [_label(held)])[0]!r}"
    parts = [
        str(row["PermissionSetId"])
        for row in rows.rows("PermissionSetGroupComponent", PermissionSetGroupId=group)
    ]
    if not parts:  # its parts were not read: what they add up to was
        for right in _rights(rows, held, asked, secured):
            yield Ground("gives", right, "permission set group", (labels or [_label(held)])[0])
    for key in parts:
        for row in rows.rows("PermissionSet", Id=key):
            for right in _rights(rows, row, asked, secured):
                yield Ground("gives", right, "permission set", _label(row), within)
        for row in rows.rows(_MUTING, Id=key):
            for right in _rights(rows, row, asked, secured):
                yield Ground("takes", right, "muting permission set", _label(row), within)


def _rights(rows: PermissionRows, held: Row, asked: Coordinate, secured: str) -> Iterator[str]:
    """Yield the rights to an object or field that one set names."""
    key = str(held["Id"])
    if asked.field:
        yield from _field_rights(rows, key, asked, secured)
        return
    for permission, right in _ALL_DATA.items():
        if held.get(permission):
            yield right
    if asked.object in ACTIVITIES and held.get("PermissionsActivitiesAccess"):
        yield "Access Activities"
    if asked.object == "User" and held.get("PermissionsViewAllUsers"):
        yield "View All Users"
    for row in rows.rows("ObjectPermissions", ParentId=key, SobjectType=asked.object):
        for permission, right in _OBJECT_RIGHTS.items():
            if row.get(permission):
                yield f"{right} of {asked.object}"


def _field_rights(rows: PermissionRows, key: str, asked: Coordinate, secured: str) -> Iterator[str]:
    for row in rows.rows("ObjectPermissions", ParentId=key, SobjectType=asked.object):
        if row.get("PermissionsViewAllFields"):
            yield f"View All Fields of {asked.object}"
    governing = governing_field(secured, asked.field)
    if governing is None:
        return
    name = f"{asked.object}.{governing}"
    for row in rows.rows("FieldPermissions", ParentId=key, Field=name):
        if row.get("PermissionsRead"):
            yield f"read of {name}"


def _called(rows: PermissionRows, held: Row) -> tuple[str, str]:
    if not held.get("IsOwnedByProfile"):
        return "permission set", _label(held)
    profiles = rows.rows("Profile", Id=str(held.get("ProfileId")))
    return "profile", str(profiles[0]["Name"]) if profiles else _label(held)


def _label(row: Row) -> str:
    names = ("MasterLabel", "Label", "Name", "DeveloperName", "Id")
    return next((str(row[name]) for name in names if row.get(name)), "")


def named(rows: PermissionRows, user_key: str, value: Naming) -> str:
    """Return whom a key of a user or group stands for, and how the person comes by it."""
    users = rows.rows("User", Id=value.value)
    people = rows.rows("User", Id=user_key)
    if users and people:
        return _user(rows, people[0], users[0])
    groups = rows.rows("Group", Id=value.value)
    if groups and people:
        return _group(rows, people[0], groups[0])
    return ""


def _user(rows: PermissionRows, person: Row, user: Row) -> str:
    if user["Id"] == person["Id"]:
        return "the person"
    own = _role(rows, person)
    role = _role(rows, user)
    name = str(user.get("Name") or user.get("Email") or user["Id"])
    placed = f"{name}, in the role {_label(role)!r}" if role else f"{name}, who has no role"
    roles = {str(row["Id"]): row for row in rows.rows("UserRole")}
    if own and role and str(role["Id"]) in roles_below(roles, str(own["Id"])):
        return f"{placed}, below the person's role {_label(own)!r} in the hierarchy"
    return f"{placed}, not below the person in the hierarchy"


def _group(rows: PermissionRows, person: Row, group: Row) -> str:
    kind = str(group.get("Type") or "")
    words = {"Queue": "queue", "Regular": "public group", "Organization": "all internal users"}
    if kind in words:
        name = f"{words[kind]} {_label(group)!r}"
    else:
        roles = rows.rows("UserRole", Id=str(group.get("RelatedId")))
        below = "" if kind == "Role" else " and those below it"
        name = f"group of the role {_label(roles[0] if roles else group)!r}{below}"
    reach = reach_of(rows, person)
    if str(group["Id"]) in reach.own:
        return f"{name}, which holds the person"
    if str(group["Id"]) in reach.grantees:
        return f"{name}, which holds someone below the person in the hierarchy"
    return f"{name}, which holds neither the person nor anybody below them"


def _role(rows: PermissionRows, user: Row) -> Row | None:
    found = rows.rows("UserRole", Id=str(user.get("UserRoleId"))) if user.get("UserRoleId") else ()
    return found[0] if found else None
