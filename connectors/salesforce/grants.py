"""One user's object and field permissions: takes cached permission rows, serves `sharing`.

Profiles own a permission set each, and every user is assigned that of their profile, so that
assignments alone say everything. Permissions only ever add up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from firnline.access.model import PermissionRows
from firnline.catalog.model import ObjectInfo

Row = Mapping[str, Any]

# Activities have no object permission of their own, one user permission covers them.
ACTIVITIES = ("Event", "Task")


@dataclass(frozen=True, slots=True)
class Grants:
    """What a user's profile and permission sets add up to.

    `source` names them, for reasons that an admin understands.
    """

    source: str
    views_all: bool
    views_all_users: bool
    activities: bool
    readable: frozenset[str]
    all_records: frozenset[str]
    all_fields: frozenset[str]
    fields: frozenset[str]

    def may_read(self, name: str) -> bool:
        """Say whether any record of the object may be read, sharing permitting."""
        if name == "User":
            return True
        if name in ACTIVITIES:
            return self.activities
        return self.views_all or name in self.readable

    def sees_every_record(self, name: str) -> bool:
        """Say whether sharing does not count for this user and object."""
        if name == "User":
            return self.views_all or self.views_all_users
        return self.views_all or name in self.all_records

    def refusal(self, name: str) -> str:
        """Return why the object may not be read."""
        if name in ACTIVITIES:
            return f"{self.source} does not grant 'Access Activities', which {name} needs"
        return f"{self.source} has no read permission on {name}"

    def hidden(self, found: ObjectInfo) -> dict[str, str]:
        """Return the fields that field-level security keeps back, with the reason."""
        if found.name in self.all_fields:
            return {}
        return {
            name: f"{self.source} has no field-level read access to {found.name}.{governing}"
            for name, governing in secured_fields(found).items()
            if f"{found.name}.{governing}" not in self.fields
        }


def secured_fields(found: ObjectInfo) -> dict[str, str]:
    """Return the fields under field-level security, with the field whose permission opens each."""
    return _secured(found.extra.get("secured", ""))


def governing_field(secured: str, name: str) -> str | None:
    """Return the field whose permission opens another, None where no permission is needed.

    `secured` is what discovery notes of an object's fields.
    """
    return _secured(secured).get(name)


def _secured(text: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in text.split(",") if pair)


def grants_of(rows: PermissionRows, user: Row) -> Grants:
    """Return what `user`, a cached User record, was granted."""
    assigned = [
        str(row["PermissionSetId"])
        for row in rows.rows("PermissionSetAssignment", AssigneeId=str(user["Id"]))
        if row.get("IsActive") is not False and row.get("PermissionSetId")
    ]
    sets = [row for key in dict.fromkeys(assigned) for row in rows.rows("PermissionSet", Id=key)]
    keys = [str(row["Id"]) for row in sets]
    objects = [row for key in keys for row in rows.rows("ObjectPermissions", ParentId=key)]
    fields = [row for key in keys for row in rows.rows("FieldPermissions", ParentId=key)]
    every_record = _objects_with(
        objects, "PermissionsViewAllRecords", "PermissionsModifyAllRecords"
    )
    return Grants(
        source=_source(rows, user, sets),
        views_all=_any(sets, "PermissionsViewAllData", "PermissionsModifyAllData"),
        views_all_users=_any(sets, "PermissionsViewAllUsers"),
        activities=_any(sets, "PermissionsActivitiesAccess"),
        readable=_objects_with(objects, "PermissionsRead"),
        all_records=every_record,
        all_fields=_objects_with(objects, "PermissionsViewAllFields"),
        fields=frozenset(str(row["Field"]) for row in fields if row.get("PermissionsRead")),
    )


def _any(sets: list[Row], *permissions: str) -> bool:
    return any(row.get(permission) for row in sets for permission in permissions)


def _objects_with(objects: list[Row], *permissions: str) -> frozenset[str]:
    return frozenset(
        str(row["SobjectType"])
        for row in objects
        if any(row.get(permission) for permission in permissions)
    )


def _source(rows: PermissionRows, user: Row, sets: list[Row]) -> str:
    """Return "profile 'Sales Rep'", with the permission sets when there are some."""
    profiles = rows.rows("Profile", Id=str(user.get("ProfileId")))
    profile = f"profile {str(profiles[0]['Name'])!r}" if profiles else "the user's profile"
    own = [
        repr(str(row.get("Label") or row["Name"]))
        for row in sets
        if not row.get("IsOwnedByProfile")
    ]
    if not own:
        return profile
    return f"{profile} with permission set{'s' if len(own) > 1 else ''} {', '.join(sorted(own))}"
