"""Definitions of the setup and share records, from which anyone may compute who sees what."""

from __future__ import annotations

from .sandbox_schema import FieldDef, ObjectDef, flag, identity, lookup, picklist, stamp, text


def share_object(found: ObjectDef) -> ObjectDef:
    """Return the share table of a private object, with the vendor's two ways to name columns."""
    own = not found.custom
    prefixes = {"Account": "00r", "Opportunity": "00t", "Case": "01n", "Contact": "03s"}
    name = f"{found.name}Share" if own else f"{found.name[:-1]}Share"
    levels = ("Read", "Edit", "All")
    label = f"{found.label} Share"
    implied = tuple(
        picklist(f"{child}AccessLevel", f"{child} Access", ("None", *levels))
        for child in (("Opportunity", "Case", "Contact") if found.name == "Account" else ())
    )
    level = f"{found.name}AccessLevel" if own else "AccessLevel"
    return ObjectDef(
        name,
        label,
        f"{label}s",
        prefixes.get(found.name, ""),
        (
            identity(),
            lookup(f"{found.name}Id" if own else "ParentId", f"{found.label} ID", found.name),
            lookup("UserOrGroupId", "User/Group ID", "Group User"),
            picklist(level, "Access", levels),
            *implied,
            picklist("RowCause", "Row Cause", ("Owner", "Manual", "Rule", "Team")),
            stamp("LastModifiedDate", "Last Modified Date"),
            flag("IsDeleted", "Deleted"),
        ),
        share_of=found.name,
    )


def setup_objects() -> list[ObjectDef]:
    """Return the setup objects, of which only those who may view the setup know."""
    yes_no = [
        flag(f"Permissions{name}", name)
        for name in (
            "ApiEnabled",
            "ViewSetup",
            "ViewAllData",
            "ModifyAllData",
            "ViewAllUsers",
            "ActivitiesAccess",
        )
    ]
    rights = [
        flag(f"Permissions{name}", name)
        for name in (
            "Create",
            "Read",
            "Edit",
            "Delete",
            "ViewAllRecords",
            "ModifyAllRecords",
            "ViewAllFields",
        )
    ]
    implied = [
        picklist(f"{name}AccessForAccountOwner", f"{name} Access", ("None", "Read", "Edit"))
        for name in ("Opportunity", "Case", "Contact")
    ]
    parent = lookup("ParentId", "Parent ID", "PermissionSet MutingPermissionSet")
    return [
        _plain("Organization", "00D", text("Name", "Name"), setup=False),
        _plain("Profile", "00e", text("Name", "Name"), text("UserType", "User Type")),
        _plain(
            "PermissionSet",
            "0PS",
            text("Name", "Permission Set Name"),
            text("Label", "Permission Set Label"),
            flag("IsOwnedByProfile", "Is Owned By Profile"),
            lookup("ProfileId", "Profile ID", "Profile"),
            picklist("Type", "Type", ("Regular", "Profile", "Group")),
            lookup("PermissionSetGroupId", "Permission Set Group ID", "PermissionSetGroup"),
            *yes_no,
        ),
        _plain(
            "PermissionSetGroup",
            "0PG",
            text("DeveloperName", "Developer Name"),
            text("MasterLabel", "Label"),
            picklist("Status", "Status", ("Updated", "Outdated", "Updating", "Failed")),
        ),
        _plain(
            "PermissionSetGroupComponent",
            "0PL",
            lookup("PermissionSetGroupId", "Permission Set Group ID", "PermissionSetGroup"),
            lookup("PermissionSetId", "PermissionSet ID", "PermissionSet MutingPermissionSet"),
        ),
        _plain(
            "MutingPermissionSet",
            "0QM",
            text("DeveloperName", "Developer Name"),
            text("MasterLabel", "Label"),
            *yes_no,
        ),
        _plain(
            "PermissionSetAssignment",
            "0Pa",
            lookup("AssigneeId", "Assignee ID", "User", "PermissionSetAssignments"),
            lookup("PermissionSetId", "PermissionSet ID", "PermissionSet", "Assignments"),
            lookup("PermissionSetGroupId", "Permission Set Group ID", "PermissionSetGroup"),
            flag("IsActive", "Is Active"),
        ),
        _plain("ObjectPermissions", "110", parent, text("SobjectType", "Object"), *rights),
        _plain(
            "FieldPermissions",
            "01k",
            parent,
            text("SobjectType", "Object"),
            text("Field", "Field"),
            flag("PermissionsRead", "Read"),
            flag("PermissionsEdit", "Edit"),
        ),
        _plain(
            "UserRole",
            "00E",
            text("Name", "Name"),
            lookup("ParentRoleId", "Parent Role ID", "UserRole"),
            *implied,
        ),
        _plain(
            "Group",
            "00G",
            text("DeveloperName", "Developer Name"),
            text("Name", "Name"),
            picklist("Type", "Type", ("Regular", "Role", "RoleAndSubordinates", "Queue")),
            lookup("RelatedId", "Related ID", "UserRole"),
            flag("DoesIncludeBosses", "Grant Access Using Hierarchies"),
        ),
        _plain(
            "GroupMember",
            "011",
            lookup("GroupId", "Group ID", "Group", "GroupMembers"),
            lookup("UserOrGroupId", "User/Group ID", "Group User"),
        ),
        ObjectDef(
            "EntityDefinition",
            "Entity Definition",
            "Entity Definitions",
            "4ie",
            (
                text("DurableId", "Durable ID"),
                text("QualifiedApiName", "API Name"),
                text("Label", "Label"),
                picklist("InternalSharingModel", "Internal Sharing", ("Private", "Read")),
            ),
            setup=True,
            key="DurableId",
        ),
    ]


def _plain(name: str, prefix: str, *fields: FieldDef, setup: bool = True) -> ObjectDef:
    stamped = () if name in ("FieldPermissions",) else (stamp("SystemModstamp", "Modstamp"),)
    return ObjectDef(name, name, f"{name}s", prefix, (identity(), *fields, *stamped), setup=setup)
