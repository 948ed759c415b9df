"""What one user may see, decided record by record from the org's own setup records.

The independent witness of the mirrored permissions: it walks up from each record's owner and
shares to the user, and shares no code with the connector.

The sharing model: View All Data or View All on the object shows everything; so does a public
organisation-wide default. Private records show to their owner, to the people above the owner in
the role hierarchy unless the object switches that off, and by share rows (with the people above a
grantee, unless object or group say otherwise). A deal, case or contact that is granted this way
shows its account; an account shows them to its owner as far as the owner's role says so, and to
those with whom it is shared as far as the share says so. Records controlled by their parents follow
all of them, however long the chain; a contact without an account is its owner's. Activities are
their owner's and those above, and of everyone who can read what they are about.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cached_property

from .sandbox_org import Org, Row
from .sandbox_permission_sets import Atom, group_permissions, permissions_of
from .sandbox_schema import ObjectDef

_OPEN = ("Read", "Edit", "All")
_ACTIVITIES = ("Event", "Task")
_ON_ACCOUNTS = ("Opportunity", "Case", "Contact")


class OrgFacts:
    """Look-ups over one version of the org that all viewers share."""

    def __init__(self, org: Org) -> None:
        self.org = org
        self.version = org.version
        self.members: defaultdict[str, list[str]] = defaultdict(list)
        for row in org.live("GroupMember"):
            self.members[row["GroupId"]].append(row["UserOrGroupId"])
        self.users_by_role: defaultdict[str, list[str]] = defaultdict(list)
        for row in org.live("User"):
            self.users_by_role[row["UserRoleId"]].append(row["Id"])
        self.shares: dict[str, defaultdict[str, list[Row]]] = {}
        for found in org.objects.values():
            if found.share_of:
                column = "ParentId" if org.objects[found.share_of].custom else f"{found.share_of}Id"
                by_record: defaultdict[str, list[Row]] = defaultdict(list)
                for row in org.live(found.name):
                    by_record[row[column]].append(row)
                self.shares[found.share_of] = by_record
        self.by_account: dict[str, defaultdict[str, list[Row]]] = {}
        for name in _ON_ACCOUNTS:
            if name in org.objects and org.objects[name].model == "Private":
                children: defaultdict[str, list[Row]] = defaultdict(list)
                for row in org.live(name):
                    children[row["AccountId"]].append(row)
                self.by_account[name] = children

    def role_chain(self, user: str) -> Iterator[str]:
        """Yield the roles above the user's own, the nearest first."""
        role = self.org.rows["User"][user]["UserRoleId"]
        while role is not None:
            role = self.org.rows["UserRole"][role]["ParentRoleId"]
            if role is not None:
                yield role


class Viewer:
    """One user's view of one version of the org."""

    def __init__(self, facts: OrgFacts, user: str) -> None:
        self._facts = facts
        self._org = facts.org
        self.user = user
        self._role = self._org.rows["User"][user]["UserRoleId"]
        self._reached: dict[tuple[str, bool], bool] = {}
        self._seen: dict[tuple[str, str], bool] = {}
        self._visible: dict[str, list[Row]] = {}
        self._permissions = self._granted_permissions()

    def _granted_permissions(self) -> frozenset[Atom]:
        """Add up profile, permission sets and permission set groups, these less what they mute."""
        held: set[Atom] = set()
        for row in self._org.live("PermissionSetAssignment"):
            if row["AssigneeId"] != self.user or not row["IsActive"]:
                continue
            if row["PermissionSetGroupId"]:
                held |= group_permissions(self._org, row["PermissionSetGroupId"])
            else:
                held |= permissions_of(self._org, row["PermissionSetId"])
        return frozenset(held)

    @cached_property
    def objects(self) -> Mapping[str, ObjectDef]:
        """Return the objects that exist for this user."""
        return {found.name: found for found in self._org.objects.values() if self._may_read(found)}

    @cached_property
    def objects_by_lower(self) -> Mapping[str, ObjectDef]:
        """Return the same by lower-case name."""
        return {name.lower(): found for name, found in self.objects.items()}

    def _has(self, permission: str) -> bool:
        return ("user", permission) in self._permissions

    def _sees_all_data(self) -> bool:
        return self._has("ViewAllData") or self._has("ModifyAllData")

    def _right(self, name: str, *rights: str) -> bool:
        return any(("object", name, right) in self._permissions for right in rights)

    def _may_read(self, found: ObjectDef) -> bool:
        if found.setup:
            return self._has("ViewSetup")
        if found.share_of:
            return self._sees_all_data()
        if found.name in ("User", "Organization"):
            return True
        if found.name in _ACTIVITIES:
            return self._has("ActivitiesAccess")
        return self._sees_all_data() or self._right(found.name, "Read")

    def readable(self, found: ObjectDef) -> frozenset[str]:
        """Return the names of the fields that exist for this user."""
        if self._right(found.name, "ViewAllFields"):
            return frozenset(field.name for field in found.fields)
        kinds = {field.name: field for field in found.fields}
        names = set()
        for field in found.fields:
            whole = kinds.get(field.compound or "")
            if whole is not None and whole.type in ("address", "location"):
                field_under_security = whole
            else:
                field_under_security = field
            key = ("field", f"{found.name}.{field_under_security.name}")
            if not field_under_security.secured or key in self._permissions:
                names.add(field.name)
        return frozenset(names)

    def records(self, name: str) -> list[Row]:
        """Return the records that this user sees, those in the recycle bin included."""
        if name not in self._visible:
            rows = self._org.rows[name].values()
            self._visible[name] = [row for row in rows if self.sees(name, row)]
        return self._visible[name]

    def may_ask_about(self, user: str) -> bool:
        """Say whether this user may look up what another one sees."""
        return user == self.user or self._has("ViewSetup") or self._sees_all_data()

    def knows(self, user: str) -> bool:
        """Say whether an active user of the org has this key."""
        return bool(self._org.rows["User"].get(user, {}).get("IsActive"))

    def may_see(self, key: str) -> bool:
        """Say whether this user may read the live record of that key, whatever object it is of."""
        return any(self.record(name, key) is not None for name in self.objects)

    def record(self, name: str, key: str) -> Row | None:
        """Return one live record if this user sees it."""
        row = self._org.rows[name].get(key)
        if row is None or row.get("IsDeleted") or name not in self.objects:
            return None
        if not self.sees(name, row):
            return None
        return row

    def sees(self, name: str, row: Row) -> bool:
        """Decide about one record of an object that the user may read."""
        key = (name, row["Id"] if "Id" in row else row["DurableId"])
        if key not in self._seen:
            self._seen[key] = self._decide(name, row)
        return self._seen[key]

    def _decide(self, name: str, row: Row) -> bool:
        found = self._org.objects[name]
        if found.setup or found.share_of or self._sees_all_data():
            return True
        if self._right(name, "ViewAllRecords", "ModifyAllRecords"):
            return True
        if name in _ACTIVITIES:
            return self._sees_activity(found, row)
        if found.model in ("Read", "ReadWrite"):
            return True
        if name == "User":
            return self._has("ViewAllUsers") or self._reaches(row["Id"])
        if found.model == "ControlledByParent":
            return self._sees_parents(found, row)
        if self._granted(name, row):
            return True
        if name == "Account":
            return any(
                self._granted(child, each)
                for child, by_account in self._facts.by_account.items()
                for each in by_account[row["Id"]]
            )
        return name in _ON_ACCOUNTS and self._opened_by_account(name, row)

    def _sees_parents(self, found: ObjectDef, row: Row) -> bool:
        if found.name == "Contact":
            if row["AccountId"] is None:
                return bool(row["OwnerId"] == self.user)
            return self.record("Account", row["AccountId"]) is not None
        masters = [field for field in found.fields if field.master_order is not None]
        return all(
            self.record(field.reference_to[0], row[field.name]) is not None for field in masters
        )

    def _sees_activity(self, found: ObjectDef, row: Row) -> bool:
        if self._reaches(row["OwnerId"]):
            return True
        return any(
            self.record(target, row[field.name]) is not None
            for field in found.fields
            if field.name in ("WhatId", "WhoId") and row[field.name]
            for target in field.reference_to
        )

    def _granted(self, name: str, row: Row) -> bool:
        """Say whether ownership, the hierarchy or a share row opens the record."""
        found = self._org.objects[name]
        if self._reaches(row["OwnerId"], upwards=found.hierarchies):
            return True
        level = "AccessLevel" if found.custom else f"{name}AccessLevel"
        return any(
            share[level] in _OPEN
            and self._reaches(share["UserOrGroupId"], upwards=found.hierarchies)
            for share in self._facts.shares.get(name, {}).get(row["Id"], ())
        )

    def _opened_by_account(self, name: str, row: Row) -> bool:
        account = self._org.rows["Account"].get(row["AccountId"])
        if account is None or account["IsDeleted"]:
            return False
        if self._reaches(account["OwnerId"]):
            role = self._org.rows["User"][account["OwnerId"]]["UserRoleId"]
            opens = self._org.rows["UserRole"].get(role, {}).get(f"{name}AccessForAccountOwner")
            if opens in _OPEN:
                return True
        shares = self._facts.shares.get("Account", {}).get(account["Id"], ())
        return any(
            share["RowCause"] != "Owner"
            and share[f"{name}AccessLevel"] in _OPEN
            and self._reaches(share["UserOrGroupId"])
            for share in shares
        )

    def _reaches(self, grantee: str, *, upwards: bool = True) -> bool:
        """Say whether what belongs to `grantee`, a user or a group, is open to this user.

        `upwards` is whether people above the grantee in the hierarchy share in it.
        """
        if (grantee, upwards) not in self._reached:
            self._reached[grantee, upwards] = self._stands_for(grantee, upwards)
        return self._reached[grantee, upwards]

    def _stands_for(self, grantee: str, upwards: bool) -> bool:
        if grantee in self._org.rows["User"]:
            return grantee == self.user or (upwards and self._is_above(grantee))
        group = self._org.rows["Group"].get(grantee)
        if group is None:
            return False
        users = self._users_in(grantee, set())
        if self.user in users:
            return True
        rolls_up = upwards and bool(group["DoesIncludeBosses"])
        return rolls_up and any(self._is_above(user) for user in users)

    def _is_above(self, user: str) -> bool:
        return self._role is not None and self._role in self._facts.role_chain(user)

    def _users_in(self, group: str, passed: set[str]) -> set[str]:
        """Return everyone in a group, through groups within it and the roles it stands for."""
        if group in passed:
            return set()
        passed.add(group)
        row = self._org.rows["Group"][group]
        users: set[str] = set()
        below = row["Type"] in ("RoleAndSubordinates", "RoleAndSubordinatesInternal")
        if row["Type"] == "Organization":
            users.update(self._org.rows["User"])
        if below or row["Type"] == "Role":
            users.update(self._facts.users_by_role[row["RelatedId"]])
        if below:
            for user in self._org.rows["User"]:
                if row["RelatedId"] in self._facts.role_chain(user):
                    users.add(user)
        for member in self._facts.members[group]:
            if member in self._org.rows["Group"]:
                users |= self._users_in(member, passed)
            else:
                users.add(member)
        return users
