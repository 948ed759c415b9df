"""Whom a user stands for in sharing: takes cached roles, users and groups, serves `sharing`.

A user reaches what is owned by or shared with themselves, everyone in a role below their own, and
the groups that hold any of these (a group may switch off the part that goes up the hierarchy).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from firnline.access.model import PermissionRows

Row = Mapping[str, Any]

_ROLE_ONLY = ("Role",)
_ROLE_AND_BELOW = ("RoleAndSubordinates", "RoleAndSubordinatesInternal")


@dataclass(frozen=True, slots=True)
class Reach:
    """`people` are the user and everyone below them, `grantees` these and the groups they reach.

    `own` are the user and the groups that hold them: all there is where an object does not grant
    access using hierarchies. `roles` maps each of the people to their UserRole record, where they
    have one.
    """

    user_key: str
    people: frozenset[str]
    grantees: frozenset[str]
    own: frozenset[str]
    roles: Mapping[str, Row]

    def owners_whose_role_opens(self, child: str) -> frozenset[str]:
        """Return the people whose role lets account owners read the `child` records there."""
        column = f"{child}AccessForAccountOwner"
        return frozenset(
            key for key, role in self.roles.items() if role.get(column) in ("Read", "Edit")
        )


def reach_of(rows: PermissionRows, user: Row) -> Reach:
    """Return whom `user` stands for; users without a role stand for themselves only."""
    users = rows.rows("User")
    roles = {str(role["Id"]): role for role in rows.rows("UserRole")}
    own_role = str(user["UserRoleId"]) if user.get("UserRoleId") else None
    below = roles_below(roles, own_role)
    user_key = str(user["Id"])
    people = {user_key, *(str(each["Id"]) for each in users if each.get("UserRoleId") in below)}
    memberships = _Memberships(rows, roles)
    own = memberships.of([user])
    groups = set(own)
    reports = [each for each in users if str(each["Id"]) in people and str(each["Id"]) != user_key]
    groups |= {key for key in memberships.of(reports) if memberships.rolls_up(key)}
    return Reach(
        user_key=user_key,
        people=frozenset(people),
        grantees=frozenset(people | groups),
        own=own | {user_key},
        roles={
            str(each["Id"]): roles[str(each["UserRoleId"])]
            for each in users
            if str(each["Id"]) in people and str(each.get("UserRoleId")) in roles
        },
    )


def roles_below(roles: Mapping[str, Row], top: str | None) -> frozenset[str]:
    """Return the keys of the roles below `top`, without it."""
    if top is None:
        return frozenset()
    children: defaultdict[str, list[str]] = defaultdict(list)
    for key, role in roles.items():
        children[str(role.get("ParentRoleId"))].append(key)
    found: set[str] = set()
    waiting = [top]
    while waiting:
        for child in children[waiting.pop()]:
            if child not in found:
                found.add(child)
                waiting.append(child)
    return frozenset(found - {top})


class _Memberships:
    """Which groups hold a user, through roles and groups within groups."""

    def __init__(self, rows: PermissionRows, roles: Mapping[str, Row]) -> None:
        self._groups = {str(group["Id"]): group for group in rows.rows("Group")}
        self._roles = roles
        self._holders: defaultdict[str, list[str]] = defaultdict(list)
        for member in rows.rows("GroupMember"):
            self._holders[str(member["UserOrGroupId"])].append(str(member["GroupId"]))
        self._by_role: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        for key, group in self._groups.items():
            self._by_role[str(group["Type"]), str(group.get("RelatedId"))].append(key)

    def of(self, users: Sequence[Row]) -> frozenset[str]:
        """Return the groups that hold at least one of `users`."""
        found: set[str] = set()
        waiting = [key for user in users for key in self._direct(user)]
        while waiting:
            key = waiting.pop()
            if key not in found:
                found.add(key)
                waiting.extend(self._holders[key])
        return frozenset(found)

    def rolls_up(self, key: str) -> bool:
        """Say whether those above a member have the member's access."""
        group = self._groups.get(key)
        return group is not None and group.get("DoesIncludeBosses") is not False

    def _direct(self, user: Row) -> Iterable[str]:
        yield from self._holders[str(user["Id"])]
        yield from self._by_role["Organization", "None"]
        role = str(user["UserRoleId"]) if user.get("UserRoleId") else None
        kinds: tuple[str, ...] = _ROLE_ONLY
        seen: set[str] = set()
        while role is not None and role not in seen:
            seen.add(role)
            for kind in (*kinds, *_ROLE_AND_BELOW):
                yield from self._by_role[kind, role]
            kinds = ()  # a plain role group holds that role alone
            parent = self._roles.get(role, {}).get("ParentRoleId")
            role = str(parent) if parent else None
