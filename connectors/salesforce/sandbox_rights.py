"""What one user may see, decided record by record from the org's own setup records.

The independent witness of the mirrored permissions: it walks up from each record's owner and
shares to the user, and shares no code with the connector.

The sharing model: View All Data or View All on the object shows everything. Account, Opportunity
and Deal_Activity__c are private: owner, people above the owner in the role hierarchy, share rows
(with the people above a grantee, unless the group says otherwise). A deal that is granted this way
shows its account; an account shows its deals to its owner as far as the owner's role says so, and
to those with whom it is shared as far as the share says so. Contacts and customer meetings follow
their account; a contact without one is its owner's. Events are their owner's and those above, and
of everyone who can read what they are about. Users and install sites are public.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cached_property

from .sandbox_org import Org, Row
from .sandbox_schema import ObjectDef

_OPEN = ("Read", "Edit", "All")


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
        self.deals_by_account: defaultdict[str, list[Row]] = defaultdict(list)
        for row in org.live("Opportunity"):
            self.deals_by_account[row["AccountId"]].append(row)

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
        self._reached: dict[str, bool] = {}
        self._seen: dict[tuple[str, str], bool] = {}
        self._visible: dict[str, list[Row]] = {}
        sets = {
            row["PermissionSetId"]
            for row in self._org.live("PermissionSetAssignment")
            if row["AssigneeId"] == user and row["IsActive"]
        }
        self._sets = [row for row in self._org.live("PermissionSet") if row["Id"] in sets]
        self._object_rights = [
            row for row in self._org.live("ObjectPermissions") if row["ParentId"] in sets
        ]
        self._field_rights = {
            row["Field"]
            for row in self._org.live("FieldPermissions")
            if row["ParentId"] in sets and row["PermissionsRead"]
        }

    @cached_property
    def objects(self) -> Mapping[str, ObjectDef]:
        """Return the objects that exist for this user."""
        return {found.name: found for found in self._org.objects.values() if self._may_read(found)}

    @cached_property
    def objects_by_lower(self) -> Mapping[str, ObjectDef]:
        """Return the same by lower-case name."""
        return {name.lower(): found for name, found in self.objects.items()}

    def _has(self, permission: str) -> bool:
        return any(row[f"Permissions{permission}"] for row in self._sets)

    def _sees_all_data(self) -> bool:
        return self._has("ViewAllData") or self._has("ModifyAllData")

    def _right(self, name: str, *rights: str) -> bool:
        return any(
            row["SobjectType"] == name and any(row[f"Permissions{right}"] for right in rights)
            for row in self._object_rights
        )

    def _may_read(self, found: ObjectDef) -> bool:
        if found.setup:
            return self._has("ViewSetup")
        if found.share_of:
            return self._sees_all_data()
        if found.name in ("User", "Organization"):
            return True
        if found.name == "Event":
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
            key = f"{found.name}.{field_under_security.name}"
            if not field_under_security.secured or key in self._field_rights:
                names.add(field.name)
        return frozenset(names)

    def records(self, name: str) -> list[Row]:
        """Return the records that this user sees, those in the recycle bin included."""
        if name not in self._visible:
            rows = self._org.rows[name].values()
            self._visible[name] = [row for row in rows if self.sees(name, row)]
        return self._visible[name]

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
        if found.model in ("Read", "ReadWrite"):
            return True
        if name == "Contact" and row["AccountId"] is None:
            return bool(row["OwnerId"] == self.user)
        if found.model == "ControlledByParent":
            return self._sees_parents(found, row)
        if name == "Event":
            return self._sees_event(row)
        if self._granted(name, row):
            return True
        if name == "Account":
            return any(
                self._granted("Opportunity", deal)
                for deal in self._facts.deals_by_account[row["Id"]]
            )
        return name == "Opportunity" and self._opened_by_account(row)

    def _sees_parents(self, found: ObjectDef, row: Row) -> bool:
        if found.name == "Contact":
            return self.record("Account", row["AccountId"]) is not None
        masters = [field for field in found.fields if field.master_order is not None]
        return all(
            self.record(field.reference_to[0], row[field.name]) is not None for field in masters
        )

    def _sees_event(self, row: Row) -> bool:
        if self._reaches(row["OwnerId"]):
            return True
        for key, targets in (
            (row["WhatId"], [name for name in self._org.objects if name.endswith("__c")]),
            (row["WhatId"], ["Account", "Opportunity"]),
            (row["WhoId"], ["Contact"]),
        ):
            if key and any(self.record(target, key) is not None for target in targets):
                return True
        return False

    def _granted(self, name: str, row: Row) -> bool:
        """Say whether ownership, the hierarchy or a share row opens the record."""
        if self._reaches(row["OwnerId"]):
            return True
        level = "AccessLevel" if self._org.objects[name].custom else f"{name}AccessLevel"
        return any(
            share[level] in _OPEN and self._reaches(share["UserOrGroupId"])
            for share in self._facts.shares[name][row["Id"]]
        )

    def _opened_by_account(self, deal: Row) -> bool:
        account = self._org.rows["Account"].get(deal["AccountId"])
        if account is None:
            return False
        if self._reaches(account["OwnerId"]):
            role = self._org.rows["User"][account["OwnerId"]]["UserRoleId"]
            opens = self._org.rows["UserRole"].get(role, {}).get("OpportunityAccessForAccountOwner")
            if opens in _OPEN:
                return True
        return any(
            share["RowCause"] != "Owner"
            and share["OpportunityAccessLevel"] in _OPEN
            and self._reaches(share["UserOrGroupId"])
            for share in self._facts.shares["Account"][account["Id"]]
        )

    def _reaches(self, grantee: str) -> bool:
        """Say whether what belongs to `grantee`, a user or a group, is open to this user."""
        if grantee not in self._reached:
            self._reached[grantee] = self._stands_for(grantee)
        return self._reached[grantee]

    def _stands_for(self, grantee: str) -> bool:
        if grantee in self._org.rows["User"]:
            return grantee == self.user or self._is_above(grantee)
        group = self._org.rows["Group"].get(grantee)
        if group is None:
            return False
        users = self._users_in(grantee, set())
        if self.user in users:
            return True
        return bool(group["DoesIncludeBosses"]) and any(self._is_above(user) for user in users)

    def _is_above(self, user: str) -> bool:
        return self._role is not None and self._role in self._facts.role_chain(user)

    def _users_in(self, group: str, passed: set[str]) -> set[str]:
        """Return everyone in a group, through groups within it and the roles it stands for."""
        if group in passed:
            return set()
        passed.add(group)
        row = self._org.rows["Group"][group]
        users: set[str] = set()
        if row["Type"] in ("Role", "RoleAndSubordinates"):
            users.update(self._facts.users_by_role[row["RelatedId"]])
        if row["Type"] == "RoleAndSubordinates":
            for user in self._org.rows["User"]:
                if row["RelatedId"] in self._facts.role_chain(user):
                    users.add(user)
        for member in self._facts.members[group]:
            if member in self._org.rows["Group"]:
                users |= self._users_in(member, passed)
            else:
                users.add(member)
        return users
