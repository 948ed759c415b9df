"""Permission structures of a small Salesforce org, drawn at random and loaded into the sandbox.

Every structure is a plain value: what Hypothesis prints of a counterexample is what a test keeps.
Numbers are positions; where a list is shorter, they wrap around.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from hypothesis import strategies as st
from tests.oracle.mirror import NOW
from tests.oracle.salesforce_objects import SHARED, definitions

from firnline.connectors.registry import load_module, load_sandbox_module
from firnline.sandbox.protocol import SandboxOptions
from firnline.sandbox.seed import company
from firnline.sandbox.world import Company

_org = load_module("salesforce", "sandbox_org")
_sets = load_module("salesforce", "sandbox_permission_sets")

BUSINESS = (
    "Account",
    "Contact",
    "Opportunity",
    "Case",
    "Alpha__c",
    "Beta__c",
    "Gamma__c",
    "Delta__c",
)
SECURED = ("Account.Industry", "Opportunity.Amount", "Alpha__c.Level__c", "Beta__c.Note__c")
LEVELS = ("None", "Read", "Edit")
GROUPS = (
    "Regular",
    "Queue",
    "Role",
    "RoleAndSubordinates",
    "RoleAndSubordinatesInternal",
    "Organization",
)
ADMIN = "admin@org.test"


@dataclass(frozen=True)
class Permissions:
    """A permission set: objects read, objects with View All, fields, permissions of the user."""

    reads: tuple[str, ...] = ()
    views_all: tuple[str, ...] = ()
    all_fields: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    user: tuple[str, ...] = ()
    modifies_all: tuple[str, ...] = ()


@dataclass(frozen=True)
class User:
    """A user: role, profile, further permission sets and groups of sets.

    Where `lapsed`, the assignments of the further sets have expired.
    """

    role: int | None = None
    profile: int = 0
    sets: tuple[int, ...] = ()
    groups: tuple[int, ...] = ()
    active: bool = True
    lapsed: bool = False


@dataclass(frozen=True)
class Group:
    """A public group or queue: its kind, the role it stands for, its members."""

    kind: str = "Regular"
    role: int = 0
    users: tuple[int, ...] = ()
    groups: tuple[int, ...] = ()
    bosses: bool = True


@dataclass(frozen=True)
class Record:
    """A record: owner (a user, or a group where those may own) and up to two parents."""

    owner: int = 0
    owned_by_group: bool = False
    parent: int | None = 0
    other: int | None = None


@dataclass(frozen=True)
class Share:
    """A share row, with what an account's share opens beside the account."""

    object: str = "Account"
    record: int = 0
    grantee: int = 0
    to_group: bool = False
    level: str = "Read"
    cause: str = "Manual"
    opens: tuple[str, str, str] = ("None", "None", "None")


@dataclass(frozen=True)
class Structure:
    """A whole org. Roles are (parent, access to the account's deals, cases and contacts)."""

    models: tuple[tuple[str, str], ...] = ()
    flat: bool = False
    roles: tuple[tuple[int | None, tuple[str, str, str]], ...] = ()
    profiles: tuple[Permissions, ...] = (Permissions(),)
    sets: tuple[Permissions, ...] = ()
    set_groups: tuple[tuple[tuple[int, ...], Permissions | None], ...] = ()
    users: tuple[User, ...] = (User(),)
    groups: tuple[Group, ...] = ()
    records: tuple[tuple[str, tuple[Record, ...]], ...] = ()
    events: tuple[tuple[int, str, int], ...] = ()
    shares: tuple[Share, ...] = ()

    @property
    def emails(self) -> list[str]:
        """Return everyone's address, the administrator's first."""
        return [ADMIN, *(email_of(place) for place in range(len(self.users)))]


def email_of(place: int) -> str:
    """Return a user's address."""
    return f"u{place}@org.test"


_ints = st.integers(0, 5)
_levels = st.tuples(*[st.sampled_from(LEVELS)] * 3)


def _some(values: Sequence[str], most: bool = False) -> st.SearchStrategy[tuple[str, ...]]:
    few = st.lists(st.sampled_from(values), unique=True, max_size=4).map(tuple)
    return st.one_of(st.just(tuple(values)), few) if most else few


_profiles = st.builds(
    Permissions,
    reads=_some(BUSINESS, most=True),
    views_all=st.lists(st.sampled_from(BUSINESS), max_size=1).map(tuple),
    fields=_some(SECURED),
    user=st.lists(st.sampled_from(("ActivitiesAccess",)), max_size=1).map(tuple),
)
_permission_sets = st.builds(
    Permissions,
    reads=_some(BUSINESS),
    views_all=st.lists(st.sampled_from(BUSINESS), max_size=1).map(tuple),
    all_fields=st.lists(st.sampled_from(BUSINESS), max_size=1).map(tuple),
    fields=_some(SECURED),
    user=st.lists(
        st.sampled_from(("ActivitiesAccess", "ViewAllUsers", "ViewAllData", "ModifyAllData")),
        max_size=1,
    ).map(tuple),
    modifies_all=st.lists(st.sampled_from(BUSINESS), max_size=1).map(tuple),
)
_users = st.builds(
    User,
    role=st.none() | _ints,
    profile=_ints,
    sets=st.lists(_ints, max_size=1, unique=True).map(tuple),
    groups=st.lists(_ints, max_size=1, unique=True).map(tuple),
    active=st.sampled_from((True, True, True, False)),
    lapsed=st.sampled_from((False, False, False, True)),
)
_groups = st.builds(
    Group,
    kind=st.sampled_from(GROUPS),
    role=_ints,
    users=st.lists(_ints, max_size=2, unique=True).map(tuple),
    groups=st.lists(_ints, max_size=2, unique=True).map(tuple),
    bosses=st.booleans(),
)
_records = st.builds(
    Record, owner=_ints, owned_by_group=st.booleans(), parent=st.none() | _ints, other=_ints
)
_shares = st.builds(
    Share,
    object=st.sampled_from(SHARED),
    record=_ints,
    grantee=_ints,
    to_group=st.booleans(),
    level=st.sampled_from(("Read", "Edit", "All")),
    cause=st.sampled_from(("Manual", "Rule", "Team")),
    opens=_levels,
)


def _listed(each: Any, most: int, least: int = 0) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(each, min_size=least, max_size=most).map(tuple)


_PRIVATE = st.sampled_from(("Private", "Private", "Private", "Read", "ReadWrite"))
_MODELS = {
    "User": st.sampled_from(("Read", "Private")),
    "Account": _PRIVATE,
    "Contact": st.sampled_from(("ControlledByParent", "Private", "Read")),
    "Opportunity": _PRIVATE,
    "Case": _PRIVATE,
    "Alpha__c": _PRIVATE,
}

structures = st.builds(
    Structure,
    models=st.fixed_dictionaries(_MODELS).map(lambda found: tuple(found.items())),
    flat=st.booleans(),
    # A role's parent comes before it: a tree, or several.
    roles=_listed(st.tuples(st.none() | _ints, _levels), 4).map(
        lambda roles: tuple(
            (None if parent is None or place == 0 else parent % place, opens)
            for place, (parent, opens) in enumerate(roles)
        )
    ),
    profiles=_listed(_profiles, 2, 1),
    sets=_listed(_permission_sets, 2),
    set_groups=_listed(st.tuples(_listed(_ints, 2, 1), st.none() | _permission_sets), 2),
    users=_listed(_users, 4, 2),
    groups=_listed(_groups, 3),
    records=st.fixed_dictionaries({name: _listed(_records, 3, 1) for name in BUSINESS}).map(
        lambda found: tuple(found.items())
    ),
    events=_listed(
        st.tuples(_ints, st.sampled_from(("Account", "Opportunity", "Alpha__c", "Contact")), _ints),
        2,
    ),
    shares=_listed(_shares, 4),
)


class _Loading:
    """Writes a structure into an org."""

    def __init__(self, structure: Structure) -> None:
        self.structure = structure
        self.org = _org.Org(definitions(dict(structure.models), flat=structure.flat), NOW)
        self.stamp = _org.wire_time(NOW.replace(day=1))
        self.audit: dict[str, Any] = {}
        self.roles: list[str] = []
        self.users: list[str] = []
        self.groups: list[str] = []
        self.records: dict[str, list[str]] = {name: [] for name in BUSINESS}

    def load(self) -> Any:
        self.org.put("Organization", self.org.id, Name="Org", SystemModstamp=self.stamp)
        self._people()
        self._groups()
        for name, records in self.structure.records:
            for record in records:
                self._record(name, record)
        for owner, about, target in self.structure.events:
            self._event(owner, about, target)
        for share in self.structure.shares:
            self._share(share)
        for found in self.org.objects.values():
            if not found.setup and not found.share_of:
                self.org.put(
                    "EntityDefinition",
                    DurableId=found.name,
                    QualifiedApiName=found.name,
                    InternalSharingModel=found.model,
                )
        return self.org

    def _set(self, name: str, held: Permissions, kind: str = "PermissionSet", **facts: Any) -> str:
        user = {f"Permissions{each}": True for each in held.user}
        named = {"Name": name} if kind == "PermissionSet" else {"DeveloperName": name}
        key: str = self.org.put(kind, SystemModstamp=self.stamp, **named, **user, **facts)
        # As at the vendor, every other right to an object includes Read.
        rights = (*held.reads, *held.views_all, *held.all_fields, *held.modifies_all)
        for each in dict.fromkeys(rights):
            self.org.put(
                "ObjectPermissions",
                ParentId=key,
                SobjectType=each,
                PermissionsRead=True,
                PermissionsViewAllRecords=each in held.views_all,
                PermissionsModifyAllRecords=each in held.modifies_all,
                PermissionsViewAllFields=each in held.all_fields,
                SystemModstamp=self.stamp,
            )
        for field in held.fields:
            self.org.put(
                "FieldPermissions",
                ParentId=key,
                SobjectType=field.split(".")[0],
                Field=field,
                PermissionsRead=True,
            )
        return key

    def _people(self) -> None:
        org, structure = self.org, self.structure
        everything = Permissions(
            BUSINESS, BUSINESS, BUSINESS, SECURED, ("ViewSetup", "ViewAllData", "ActivitiesAccess")
        )
        profiles = []
        for place, held in enumerate((everything, *structure.profiles)):
            profile = org.put("Profile", Name=f"Profile {place}", SystemModstamp=self.stamp)
            own = self._set(f"X{place}", held, IsOwnedByProfile=True, ProfileId=profile)
            profiles.append((profile, own))
        sets = [self._set(f"Set_{place}", held) for place, held in enumerate(structure.sets)]
        set_groups = []
        for place, (chosen, muted) in enumerate(structure.set_groups):
            components = [sets[each % len(sets)] for each in chosen] if sets else []
            if muted is not None:
                components.append(self._set(f"Muting_{place}", muted, "MutingPermissionSet"))
            set_groups.append(_sets.add_group(org, f"Group_{place}", dict.fromkeys(components)))
        for parent, opens in structure.roles:
            levels = dict(zip(("Opportunity", "Case", "Contact"), opens, strict=True))
            self.roles.append(
                org.put(
                    "UserRole",
                    Name=f"Role {len(self.roles)}",
                    ParentRoleId=None if parent is None else self.roles[parent],
                    SystemModstamp=self.stamp,
                    **{f"{name}AccessForAccountOwner": level for name, level in levels.items()},
                )
            )
        everyone = (User(profile=-1), *structure.users)
        self.users = [org.new_id("User") for _ in everyone]
        self.audit = {
            "CreatedDate": self.stamp,
            "CreatedById": self.users[0],
            "LastModifiedDate": self.stamp,
            "LastModifiedById": self.users[0],
            "SystemModstamp": self.stamp,
        }
        for place, user in enumerate(everyone):
            email = structure.emails[place]
            own = (
                profiles[0] if place == 0 else profiles[1 + user.profile % len(structure.profiles)]
            )
            role = (
                self.roles[user.role % len(self.roles)]
                if self.roles and user.role is not None
                else None
            )
            org.put(
                "User",
                self.users[place],
                Username=email,
                Email=email,
                LastName=email,
                Name=email,
                Alias=f"u{place}",
                IsActive=user.active,
                ProfileId=own[0],
                UserRoleId=role,
                UserType="Standard",
                TimeZoneSidKey="UTC",
                **self.audit,
            )
            assigned = [(own[1], None)]
            assigned += [(sets[each % len(sets)], None) for each in user.sets if sets]
            for each in user.groups if set_groups else ():
                group, total = set_groups[each % len(set_groups)]
                assigned.append((total, group))
            for key, group in assigned:
                org.put(
                    "PermissionSetAssignment",
                    AssigneeId=self.users[place],
                    PermissionSetId=key,
                    PermissionSetGroupId=group,
                    IsActive=key == own[1] or not user.lapsed,
                    SystemModstamp=self.stamp,
                )
            org.user_ids[email] = self.users[place]

    def _groups(self) -> None:
        structure = self.structure
        for place, group in enumerate(structure.groups):
            by_role = group.kind.startswith("Role") and bool(self.roles)
            stands_for_nothing = group.kind.startswith("Role") and not self.roles
            self.groups.append(
                self.org.put(
                    "Group",
                    Name=f"Group {place}",
                    Type="Regular" if stands_for_nothing else group.kind,
                    RelatedId=self.roles[group.role % len(self.roles)] if by_role else None,
                    DoesIncludeBosses=group.bosses,
                    SystemModstamp=self.stamp,
                )
            )
        for place, group in enumerate(structure.groups):
            if group.kind not in ("Regular", "Queue"):
                continue
            members = [self._user(each) for each in group.users]
            # A group holds groups made before it, so that none holds itself.
            members += [self.groups[each % place] for each in group.groups if place]
            for member in dict.fromkeys(members):
                self.org.put("GroupMember", GroupId=self.groups[place], UserOrGroupId=member)

    def _user(self, place: int) -> str:
        return self.users[1 + place % (len(self.users) - 1)]

    def _parent(self, name: str, place: int | None) -> str | None:
        known = self.records[name]
        return known[place % len(known)] if known and place is not None else None

    def _record(self, name: str, record: Record) -> None:
        found = self.org.objects[name]
        fields: dict[str, Any] = {}
        label = f"{name} {len(self.records[name])}"
        for text in ("Name", "LastName", "Subject"):
            if found.has(text):
                fields[text] = label
        for secured in SECURED:
            owner, field = secured.split(".")
            if owner == name:
                fields[field] = 5.0 if field == "Amount" else "secret"
        if found.has("OwnerId"):
            queues = [
                key
                for key, group in zip(self.groups, self.structure.groups, strict=True)
                if group.kind == "Queue"
            ]
            by_queue = record.owned_by_group and name in ("Case", "Alpha__c") and queues
            among = queues if by_queue else self.users[1:]
            fields["OwnerId"] = among[record.owner % len(among)]
        if found.has("AccountId"):
            fields["AccountId"] = self._parent("Account", record.parent)
        masters = [field for field in found.fields if field.master_order is not None]
        for field, place in zip(masters, (record.parent or 0, record.other or 0), strict=False):
            parent = self._parent(field.reference_to[0], place)
            if parent is None:
                return
            fields[field.name] = parent
        key = self.org.put(name, **{**self.audit, **fields})
        self.records[name].append(key)
        if self.org._share_name(name):
            self.org.share(name, key, fields["OwnerId"], "Owner", "All")

    def _event(self, owner: int, about: str, target: int) -> None:
        key = self._parent(about, target)
        link = "WhoId" if about == "Contact" else "WhatId"
        self.org.put(
            "Event", **{**self.audit, "OwnerId": self._user(owner), "Subject": "Call", link: key}
        )

    def _share(self, share: Share) -> None:
        key = self._parent(share.object, share.record)
        if key is None or not self.org._share_name(share.object):
            return
        grantees = self.groups if share.to_group and self.groups else self.users[1:]
        implied = {}
        if share.object == "Account":
            names = ("OpportunityAccessLevel", "CaseAccessLevel", "ContactAccessLevel")
            implied = dict(zip(names, share.opens, strict=True))
        grantee = grantees[share.grantee % len(grantees)]
        self.org.share(share.object, key, grantee, share.cause, share.level, **implied)


@cache
def _company() -> Company:
    return company("acme", scale=0.01, now=NOW)


def sandbox_of(structure: Structure) -> Any:
    """Return a sandbox that serves the structure's org."""
    org = _Loading(structure).load()
    options = SandboxOptions(seed=1, now=NOW, limits=False)
    whose = _company()
    return load_sandbox_module("salesforce").SalesforceSandbox(whose, options, org=org)
