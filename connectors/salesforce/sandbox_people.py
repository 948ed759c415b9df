"""Shapes the company's people into users, roles, profiles, permission sets and groups.

Takes a `Company`; fills an `Org` with the setup records that decide who sees what.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from firnline.sandbox.world import Company, Person

from .sandbox_objects import meeting_name, own_object_name
from .sandbox_org import Org, wire_time
from .sandbox_schema import ObjectDef

PROFILES: Mapping[str, str] = {
    "admin": "System Administrator",
    "executive": "Executive",
    "manager": "Sales Manager",
    "rep": "Sales Rep",
    "contractor": "Contract Sales",
}
_MONEY = frozenset(
    {
        "Opportunity.Amount",
        "Opportunity.ExpectedRevenue",
        "Account.AnnualRevenue",
        "Account.BillingAddress",
        "Account.Headquarters__c",
    }
)
_DESK = frozenset({"Opportunity.Renewal_Risk__c", "Opportunity.Competitors__c"})


@dataclass(frozen=True, slots=True)
class Staff:
    """What the record builders need to know: user ids, the shared groups, the queue."""

    users: Mapping[str, str]
    admin: str
    coverage: str
    deal_desk: str
    queue: str


def crm_people(company: Company) -> tuple[Person, ...]:
    """Return the people who have a user in the CRM."""
    return tuple(person for person in company.people if person.crm is not None)


def build_people(org: Org, company: Company) -> Staff:
    """Create everything about users; return what records refer to."""
    people = crm_people(company)
    stamp = wire_time(
        min((account.created_at for account in company.accounts), default=org.started)
    )
    org.put("Organization", org.id, Name=company.name, SystemModstamp=stamp)
    profiles = {
        key: org.put("Profile", Name=name, UserType="Standard", SystemModstamp=stamp)
        for key, name in PROFILES.items()
    }
    roles = _roles(org, company, people)
    users = _users(org, company, people, profiles, roles, stamp)
    _permissions(org, company, people, profiles, users)
    coverage, deal_desk, queue = _groups(org, people, users, roles)
    admin = next(users[person.email] for person in people if person.crm == "admin")
    org.user_ids.update(users)
    return Staff(users, admin, coverage, deal_desk, queue)


def _superior(company: Company, person: Person) -> Person | None:
    """Return the nearest manager who has a role in the CRM."""
    above = company.person.get(person.manager or "")
    while above is not None and above.crm in (None, "admin"):
        above = company.person.get(above.manager or "")
    return above


def _roles(org: Org, company: Company, people: tuple[Person, ...]) -> Mapping[str, str]:
    """Create the hierarchy; return each person's role.

    Who has reports has a role of their own; the others of one manager share one, so that peers do
    not see each other's records.
    """
    placed = [person for person in people if person.crm != "admin"]
    leads = {above.email for person in placed if (above := _superior(company, person))}
    roles: dict[str, str] = {}

    def role_of(person: Person) -> str:
        above = _superior(company, person)
        label = person.email if person.email in leads else f"team of {above and above.email}"
        if label not in roles:
            parent = role_of(above) if above else None
            lead = person.email in leads
            opens = "Edit" if lead else ("Read", "None")[len(roles) % 2]
            roles[label] = org.put(
                "UserRole",
                Name=person.title if lead else f"{person.title} ({above.name if above else 'All'})",
                ParentRoleId=parent,
                OpportunityAccessForAccountOwner=opens,
                CaseAccessForAccountOwner="None",
                ContactAccessForAccountOwner="None",
                SystemModstamp=wire_time(company.now),
            )
        return roles[label]

    return {person.email: role_of(person) for person in placed}


def _users(
    org: Org,
    company: Company,
    people: tuple[Person, ...],
    profiles: Mapping[str, str],
    roles: Mapping[str, str],
    stamp: str,
) -> Mapping[str, str]:
    keys = {person.email: org.new_id("User") for person in people}
    admin = next(keys[person.email] for person in people if person.crm == "admin")
    for person in people:
        first, _, last = person.name.rpartition(" ")
        org.put(
            "User",
            keys[person.email],
            Username=person.email,
            LastName=last,
            FirstName=first or None,
            Name=person.name,
            Email=person.email,
            Title=person.title,
            Alias=person.email.split("@")[0][:8],
            IsActive=person.active,
            UserRoleId=roles.get(person.email),
            ProfileId=profiles[str(person.crm)],
            ManagerId=keys.get(person.manager or ""),
            UserType="Standard",
            TimeZoneSidKey="UTC",
            CreatedDate=stamp,
            CreatedById=admin,
            LastModifiedDate=stamp,
            LastModifiedById=admin,
            SystemModstamp=stamp,
        )
    return keys


def _permissions(
    org: Org,
    company: Company,
    people: tuple[Person, ...],
    profiles: Mapping[str, str],
    users: Mapping[str, str],
) -> None:
    own = {profile: _profile_set(org, company, profile, profiles[profile]) for profile in PROFILES}
    for person in people:
        _assign(org, users[person.email], own[str(person.crm)])
    reps = [person for person in people if person.crm == "rep"]
    desk = _permission_set(org, "Renewal_Desk", "Renewal Desk")
    for person in reps[::2]:
        _assign(org, users[person.email], desk)
    _grant_fields(org, desk, (name for name in _secured(org) if name in _DESK))
    meeting = meeting_name(company.style)
    if meeting != "Event":
        meetings = _permission_set(org, "Customer_Meetings", "Customer Meetings")
        _grant_object(org, meetings, meeting)
        fields = (name for name in _secured(org) if name.startswith(f"{meeting}."))
        _grant_fields(org, meetings, fields)
        for person in reps:
            _assign(org, users[person.email], meetings)


def _profile_set(org: Org, company: Company, profile: str, profile_id: str) -> str:
    admin = profile == "admin"
    key = _permission_set(
        org,
        f"X00e_{profile}",
        f"00e{profile}",
        IsOwnedByProfile=True,
        ProfileId=profile_id,
        PermissionsActivitiesAccess=True,
        **{
            f"Permissions{name}": admin
            for name in ("ViewSetup", "ViewAllData", "ModifyAllData", "ViewAllUsers")
        },
    )
    meeting = meeting_name(company.style)
    withheld = {own_object_name(company.style), meeting} if profile == "contractor" else set()
    if profile == "rep" and meeting != "Event":
        withheld.add(meeting)  # reps have it by permission set
    granted = {found.name for found in governed(org)} - (withheld - {"Event"})
    for name in sorted(granted - {"Event"}):
        every_deal = profile == "executive" and name == "Opportunity"
        _grant_object(org, key, name, every_record=admin or every_deal, every_field=every_deal)
    hidden = _MONEY | _DESK if profile == "contractor" else frozenset()
    if profile in ("rep", "executive"):
        hidden = _DESK
    fields = [name for name in _secured(org) if name.split(".")[0] in granted]
    _grant_fields(org, key, (name for name in fields if name not in hidden))
    return key


def governed(org: Org) -> list[ObjectDef]:
    """Return the objects that object and field permissions speak of."""
    return [
        found
        for found in org.objects.values()
        if not found.setup and not found.share_of and found.name not in ("User", "Organization")
    ]


def _secured(org: Org) -> list[str]:
    return [
        f"{found.name}.{field.name}"
        for found in governed(org)
        for field in found.fields
        if field.secured
    ]


def _permission_set(org: Org, name: str, label: str, **facts: Any) -> str:
    return org.put(
        "PermissionSet", Name=name, Label=label, SystemModstamp=wire_time(org.started), **facts
    )


def _assign(org: Org, user: str, permission_set: str) -> None:
    org.put(
        "PermissionSetAssignment",
        AssigneeId=user,
        PermissionSetId=permission_set,
        IsActive=True,
        SystemModstamp=wire_time(org.started),
    )


def _grant_object(
    org: Org, key: str, name: str, *, every_record: bool = False, every_field: bool = False
) -> None:
    org.put(
        "ObjectPermissions",
        ParentId=key,
        SobjectType=name,
        PermissionsRead=True,
        PermissionsCreate=True,
        PermissionsEdit=True,
        PermissionsViewAllRecords=every_record,
        PermissionsViewAllFields=every_field,
        SystemModstamp=wire_time(org.started),
    )


def _grant_fields(org: Org, key: str, names: Iterator[str]) -> None:
    for name in names:
        org.put(
            "FieldPermissions",
            ParentId=key,
            SobjectType=name.split(".")[0],
            Field=name,
            PermissionsRead=True,
            PermissionsEdit=True,
        )


def _groups(
    org: Org, people: tuple[Person, ...], users: Mapping[str, str], roles: Mapping[str, str]
) -> tuple[str, str, str]:
    """Create the role groups of the vendor and three of the org's own; return the latter."""
    by_role: dict[str, str] = {}
    for role in dict.fromkeys(roles.values()):
        by_role[role] = _group(org, "Role", related=role)
        _group(org, "RoleAndSubordinates", related=role)
    sellers = [person for person in people if person.crm in ("rep", "contractor")]
    parents = {row["ParentRoleId"] for row in org.rows["UserRole"].values()}
    leaves = [role for role in by_role if role not in parents]
    coverage = _group(org, "Regular", name="Region_Coverage")
    for member in (by_role[leaves[0]], users[sellers[-1].email]) if leaves and sellers else ():
        org.put("GroupMember", GroupId=coverage, UserOrGroupId=member)
    # Managers of the desk's members do not see what is shared with it.
    deal_desk = _group(org, "Regular", name="Deal_Desk", bosses=False)
    queue = _group(org, "Queue", name="Activity_Queue")
    for group, seller in zip((deal_desk, queue), (sellers[-1:], sellers[:1]), strict=True):
        for person in seller:
            org.put("GroupMember", GroupId=group, UserOrGroupId=users[person.email])
    return coverage, deal_desk, queue


def _group(
    org: Org, kind: str, *, name: str = "", related: str | None = None, bosses: bool = True
) -> str:
    return org.put(
        "Group",
        DeveloperName=name or None,
        Name=name.replace("_", " ") or None,
        Type=kind,
        RelatedId=related,
        DoesIncludeBosses=bosses,
        SystemModstamp=wire_time(org.started),
    )
