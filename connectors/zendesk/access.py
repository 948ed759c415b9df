"""Mirrors Zendesk's permissions: from cached users, custom roles and memberships to row rules.

Zendesk decides by role: admins see everything, agents see the tickets that their custom role (or,
on plans without custom roles, their own `ticket_restriction`) allows, end users nothing of what the
agents' API shows. Where the account has brand memberships ("department spaces"), agents see tickets
of their own brands only. There is no field-level security.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from firnline.access.model import (
    AllOf,
    AnyOf,
    Everything,
    FieldIn,
    Nothing,
    ObjectAccess,
    PermissionRows,
    Person,
    RowRule,
    SourceAccess,
)
from firnline.catalog.model import Catalog, ObjectInfo

Row = Mapping[str, Any]
CHAT_ONLY, CONTRIBUTOR = 2, 3
BRAND_AGENTS = "brand_agents"
# The older, per-user restriction in the words of custom roles.
RESTRICTIONS: Mapping[str, str] = {
    "": "all",
    "groups": "within-groups",
    "organization": "within-organization",
    "assigned": "assigned-only",
}
EVERYTHING = ObjectAccess(
    readable=True, rows=Everything(why="role: Zendesk restricts no record of this kind to agents")
)
ADMINISTERED = ObjectAccess(
    readable=True, rows=Everything(why="role: administrators see everything")
)


def mirror(rows: PermissionRows, catalog: Catalog, person: Person) -> SourceAccess:
    """Return what `person` may read; denied unless a role says otherwise."""
    user = find_user(rows, person.email)
    if user is None:
        return SourceAccess(None, "no active Zendesk user has this e-mail address")
    key = str(user["id"])
    if user.get("role") == "admin":
        return SourceAccess(key, objects=_exposed(catalog, ADMINISTERED))
    if user.get("role") != "agent":
        return SourceAccess(key, "end users may not use the agents' API of Zendesk")
    if user.get("chat_only") or user.get("role_type") in (CHAT_ONLY, CONTRIBUTOR):
        return SourceAccess(key, "the agent's role has no access to Zendesk Support")
    agent = agent_of(rows, catalog, user)
    return SourceAccess(
        key,
        objects={found.name: agent.access(found) for found in catalog.objects if found.exposed},
    )


def _exposed(catalog: Catalog, access: ObjectAccess) -> dict[str, ObjectAccess]:
    return {found.name: access for found in catalog.objects if found.exposed}


def find_user(rows: PermissionRows, email: str) -> Row | None:
    """Return the active user with that address, in whatever case it is written."""
    wanted = email.strip().lower()
    if not wanted:
        return None
    # Zendesk keeps addresses in lower case; among the few agents any case is accepted.
    candidates = [
        *rows.rows("users", email=wanted),
        *(row for role in ("admin", "agent") for row in rows.rows("users", role=role)),
    ]
    for row in candidates:
        if str(row.get("email") or "").lower() == wanted and _is_active(row):
            return row
    return None


def staff(rows: PermissionRows) -> list[Person]:
    """Return the active agents and admins."""
    return [
        Person(user["email"], user.get("name") or "", "Zendesk " + role, str(user["id"]))
        for role in ("admin", "agent")
        for user in rows.rows("users", role=role)
        if user.get("email") and _is_active(user)
    ]


def former_staff(rows: PermissionRows) -> list[Person]:
    """Return the agents and admins who were suspended or deleted."""
    return [
        Person(user["email"], user.get("name") or "", _ended(user), str(user["id"]))
        for role in ("admin", "agent")
        for user in rows.rows("users", role=role)
        if user.get("email") and not _is_active(user)
    ]


def _ended(user: Row) -> str:
    return "suspended" if user.get("suspended") else "deleted"


def _is_active(user: Row) -> bool:
    return user.get("active") is not False and not user.get("suspended")


class Agent:
    """One agent's rights, read from role and memberships."""

    def __init__(self, rows: PermissionRows, user: Row, *, has_brands: bool) -> None:
        self._rows = rows
        self._user = user
        self._has_brands = has_brands
        self._key = str(user["id"])
        self._role_key = str(user.get("custom_role_id") or "")
        found = rows.rows("custom_roles", id=self._role_key) if self._role_key else ()
        self._role: Row | None = found[0] if found else None
        self._configuration = _json(self._role.get("configuration")) if self._role else {}

    @property
    def called(self) -> tuple[str, str]:
        """Return of what kind the agent's role is, and its name."""
        if self._role_key:
            return "custom role", self._role_name() or self._role_key
        return "role", "agent"

    @property
    def ticket_access(self) -> str:
        """Return which tickets the role opens, in Zendesk's words; without a custom role all."""
        return str(self._configuration.get("ticket_access") or "") if self._role else "all"

    def access(self, described: ObjectInfo) -> ObjectAccess:
        """Return the agent's access to one object."""
        if self._role_key and self._role is None:
            return ObjectAccess(reason="the agent's custom role is not known")
        if described.name == "tickets":
            return self._tickets()
        if described.extra.get("custom_object"):
            return self._custom_object(described.extra["custom_object"])
        if described.name == "users":
            return self._users()
        if described.name in ("organizations", "groups"):
            return EVERYTHING
        return ObjectAccess()

    def _role_name(self) -> str:
        return str(self._role.get("name") or self._role_key) if self._role else ""

    def _users(self) -> ObjectAccess:
        if self._role and self._configuration.get("end_user_list_access", "full") != "full":
            return ObjectAccess(reason=f"role {self._role_name()!r} may not list users")
        return EVERYTHING

    def _custom_object(self, key: str) -> ObjectAccess:
        if self._role is None:
            return ObjectAccess(reason="the agent has no custom role that grants custom objects")
        granted = _json(_json(self._configuration.get("custom_objects")).get(key))
        if "read" in (granted.get("scopes") or ()):
            return EVERYTHING
        return ObjectAccess(reason=f"role {self._role_name()!r} may not read custom object {key!r}")

    def _tickets(self) -> ObjectAccess:
        """Return the tickets that role, own restriction and brands allow."""
        rules = [self._ticket_rule(restriction_of(self._user), "the agent's own setting")]
        if self._role is not None:
            by = f"custom role {self._role_name()!r}"
            rules.append(self._ticket_rule(self.ticket_access, by))
        if self._has_brands:
            if not self._rows.knows(BRAND_AGENTS):
                return ObjectAccess(reason="the agent's brands were not read yet")
            why = "department spaces: brands that the agent is in"
            rules.append(_one_of("brand_id", self._brands(), why))
        known = [rule for rule in rules if rule is not None]
        if len(known) < len(rules):
            return ObjectAccess(reason="the agent's ticket access is of a kind not understood")
        narrowing = tuple(dict.fromkeys(rule for rule in known if rule != Everything()))
        if not narrowing:
            return ObjectAccess(readable=True, rows=known[-1])
        rule = narrowing[0] if len(narrowing) == 1 else AllOf(narrowing, why="both restrictions")
        return ObjectAccess(readable=True, rows=rule)

    def _ticket_rule(self, access: str, by: str) -> RowRule | None:
        """Return the tickets that an access opens, None for one that is not understood."""
        if access == "all":
            return Everything(why=f"all tickets, by {by}")
        if access == "assigned-only":
            why = f"assigned to the agent: restricted so by {by}"
            return FieldIn("assignee_id", frozenset({self._key}), why=why)
        groups = f"group restriction by {by}: groups that the agent is in"
        if access == "within-groups":
            return _one_of("group_id", self._groups(), groups)
        if access == "within-groups-and-public-groups":
            public = _one_of("group_id", self._public_groups(), f"public groups, by {by}")
            return AnyOf((_one_of("group_id", self._groups(), groups), public), why=groups)
        if access == "within-organization":
            why = f"organization restriction by {by}: organizations that the agent is in"
            return _one_of("organization_id", self._organizations(), why)
        return None

    def _groups(self) -> set[str]:
        memberships = self._rows.rows("group_memberships", user_id=self._key)
        return {str(row["group_id"]) for row in memberships if row.get("group_id")}

    def _brands(self) -> set[str]:
        memberships = self._rows.rows(BRAND_AGENTS, user_id=self._key)
        return {str(row["brand_id"]) for row in memberships if row.get("brand_id")}

    def _public_groups(self) -> set[str]:
        return {str(row["id"]) for row in self._rows.rows("groups") if row.get("is_public") is True}

    def _organizations(self) -> set[str]:
        memberships = self._rows.rows("organization_memberships", user_id=self._key)
        own = self._user.get("organization_id")
        found = {str(row["organization_id"]) for row in memberships if row.get("organization_id")}
        return found | ({str(own)} if own else set())


def agent_of(rows: PermissionRows, catalog: Catalog, user: Row) -> Agent:
    """Return an agent's rights in an account of that catalog."""
    return Agent(rows, user, has_brands=BRAND_AGENTS in catalog.by_name)


def restriction_of(user: Row) -> str:
    """Return an agent's own restriction in the words of custom roles."""
    return RESTRICTIONS.get(str(user.get("ticket_restriction") or ""), "unknown")


def _one_of(field: str, values: Sequence[str] | set[str], why: str) -> RowRule:
    return FieldIn(field, frozenset(values), why=why) if values else Nothing(why=f"{why}; none")


def _json(value: Any) -> Mapping[str, Any]:
    """Return a JSON object, however the cache hands it over; anything else grants nothing."""
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, Mapping) else {}
