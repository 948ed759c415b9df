"""Mirrors NetSuite's permissions: employees, their roles, what the roles open and restrict.

Takes cached permission rows; access receives a `SourceAccess`. Denies whatever is not granted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

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
    Via,
)
from firnline.catalog.model import Catalog, ObjectInfo

from .records import ADMINISTRATOR_ROLE, KNOWN
from .restrictions import Restriction, restrictions_of

# Levels come as numbers or as words; none of these means that nothing is granted.
_GRANTING = frozenset({"1", "2", "3", "4", "VIEW", "CREATE", "EDIT", "FULL"})
_EVERY_CUSTOM_RECORD = "LIST_CUSTRECORDENTRY"


@dataclass(frozen=True)
class Held:
    """One role held by one employee. `subsidiaries` is None when the role is not restricted."""

    name: str
    is_administrator: bool
    levels: Mapping[str, str]
    subsidiaries: frozenset[str] | None
    restrictions: tuple[Restriction, ...] = ()

    def grants(self, permission: str) -> bool:
        """Say whether the role has at least View."""
        return self.is_administrator or self.levels.get(permission, "") in _GRANTING

    def hides(self, object_name: str, field_name: str) -> bool:
        """Say whether a permission of level none takes a field from the role."""
        level = self.levels.get(f"{object_name}.{field_name}".upper(), "1")
        return not self.is_administrator and level not in _GRANTING


def staff(rows: PermissionRows) -> list[Person]:
    """Return the active employees who may log in and hold a role."""
    with_role = {str(row.get("entity")) for row in rows.rows("employeerolesforsearch")}
    return [
        Person(
            str(row["email"]),
            f"{row.get('firstname') or ''} {row.get('lastname') or ''}".strip(),
            str(row.get("title") or ""),
            str(row["id"]),
        )
        for row in rows.rows("employee", isinactive="false")
        if row.get("email") and str(row["id"]) in with_role and row.get("giveaccess") is not False
    ]


def former_staff(rows: PermissionRows) -> list[Person]:
    """Return the employees with a role who may not log in."""
    with_role = {str(row.get("entity")) for row in rows.rows("employeerolesforsearch")}
    return [
        Person(
            str(row["email"]),
            f"{row.get('firstname') or ''} {row.get('lastname') or ''}".strip(),
            "inactive" if row.get("isinactive") else "no login access",
            str(row["id"]),
        )
        for row in rows.rows("employee")
        if row.get("email")
        and str(row["id"]) in with_role
        and (row.get("isinactive") or row.get("giveaccess") is False)
    ]


def source_access(rows: PermissionRows, catalog: Catalog, person: Person) -> SourceAccess:
    """Return what a person may read: the sum of what their roles show."""
    wanted = person.email.casefold()
    employees = [
        row
        for row in rows.rows("employee")
        if str(row.get("email") or "").casefold() == wanted and wanted
    ]
    if not employees:
        return SourceAccess(None, "no NetSuite employee has this e-mail address")
    active = [
        row for row in employees if not row.get("isinactive") and row.get("giveaccess") is not False
    ]
    if not active:
        return SourceAccess(None, "the NetSuite employee is inactive or has no login access")
    held = [role for employee in active for role in roles_of(rows, catalog, employee)]
    if not held:
        return SourceAccess(None, "the NetSuite employee has no active role")
    objects = {
        found.name: _object_access(found, held) for found in catalog.objects if found.exposed
    }
    return SourceAccess(str(active[0]["id"]), objects=objects)


def roles_of(rows: PermissionRows, catalog: Catalog, employee: Mapping[str, Any]) -> Iterable[Held]:
    """Yield the active roles that an employee holds."""
    for link in rows.rows("employeerolesforsearch", entity=str(employee["id"])):
        key = str(link["role"])
        for role in rows.rows("role", id=key):
            if role.get("isinactive"):
                continue
            levels = {
                str(row["permkey"]).upper(): str(row.get("permlevel") or "").upper()
                for row in rows.rows("rolepermissions", role=key)
            }
            yield Held(
                name=str(role.get("name") or key),
                is_administrator=key == ADMINISTRATOR_ROLE,
                levels=levels,
                subsidiaries=_subsidiaries(rows, catalog, employee, role),
                restrictions=()
                if key == ADMINISTRATOR_ROLE
                else restrictions_of(rows, catalog, employee, role),
            )


def _subsidiaries(
    rows: PermissionRows,
    catalog: Catalog,
    employee: Mapping[str, Any],
    role: Mapping[str, Any],
) -> frozenset[str] | None:
    """Return the subsidiaries that a role is restricted to; an unknown option allows none."""
    option = str(role.get("subsidiaryoption") or "").upper()
    if str(role["id"]) == ADMINISTRATOR_ROLE or option == "ALL":
        return None
    if role.get("subsidiaryviewingallowed") is True:
        # Seen, if not changed, across subsidiaries.
        return None
    if "subsidiary" not in catalog.by_name:
        # Accounts without OneWorld have no subsidiaries to be restricted to.
        return None
    if option == "OWN":
        own = employee.get("subsidiary")
        return frozenset() if own is None else frozenset({str(own)})
    if option == "ACTIVE":
        listed = rows.rows("subsidiary")
        return frozenset(str(row["id"]) for row in listed if not row.get("isinactive"))
    if option == "SELECTED":
        return frozenset(str(key) for key in role.get("subsidiaryrestriction") or ())
    return frozenset()


def permissions_for(described: ObjectInfo) -> tuple[str, ...]:
    """Return the permissions any of which opens an object."""
    known = KNOWN.get(described.name)
    return (known.permission,) if known else (described.name.upper(), _EVERY_CUSTOM_RECORD)


def _object_access(described: ObjectInfo, held: Sequence[Held]) -> ObjectAccess:
    """Add up what several roles show of one object, without mixing one's rows with another's
    fields."""
    permissions = permissions_for(described)
    granting = [role for role in held if any(role.grants(one) for one in permissions)]
    if not granting:
        names = ", ".join(repr(role.name) for role in held)
        label = described.label_plural or described.label or described.name
        return ObjectAccess(
            reason=f"NetSuite role {names} has no View permission on {label} ({permissions[0]})"
        )
    rules = [(role, _rule(described, role)) for role in granting]
    unrestricted = [role for role, rule in rules if isinstance(rule, Everything)]
    if unrestricted:
        # Any one of these roles shows every record, so a field it shows is shown everywhere.
        hidden = [_hidden(described, role) for role in unrestricted]
        everywhere = set.intersection(*(set(fields) for fields in hidden))
        return ObjectAccess(
            readable=True,
            reason=f"NetSuite role {unrestricted[0].name!r}",
            rows=Everything(why=f"role {unrestricted[0].name!r} restricts no record of this kind"),
            hidden={name: hidden[0][name] for name in everywhere},
        )
    merged: dict[str, str] = {}
    for role in granting:
        merged |= _hidden(described, role)
    distinct = tuple(dict.fromkeys(rule for _, rule in rules))
    return ObjectAccess(
        readable=True,
        reason=f"NetSuite role {granting[0].name!r}, as far as its restrictions allow",
        rows=distinct[0]
        if len(distinct) == 1
        else AnyOf(distinct, why="any of the person's roles"),
        hidden=merged,
    )


def _rule(described: ObjectInfo, role: Held) -> RowRule:
    """Return the rows that satisfy every restriction of a role."""
    by = f"restriction of role {role.name!r}"
    rules = [replace(_by_subsidiary(described, role), why=f"subsidiary {by}")]
    rules += [replace(each.rule(described), why=f"{each.field} {by}") for each in role.restrictions]
    narrowing = tuple(dict.fromkeys(rule for rule in rules if rule != Everything()))
    for rule in narrowing:
        if rule == Nothing():
            return rule
    if len(narrowing) < 2:
        return narrowing[0] if narrowing else Everything()
    return AllOf(narrowing, why=f"every {by}")


def _by_subsidiary(described: ObjectInfo, role: Held) -> RowRule:
    if role.subsidiaries is None or described.custom:
        return Everything()
    if not role.subsidiaries:
        return Nothing()
    if described.name == "subsidiary":
        return FieldIn("id", role.subsidiaries)
    if described.name == "contact":
        # A contact shows where its customer shows.
        return Via("company", "customer", FieldIn("subsidiary", role.subsidiaries))
    if "subsidiary" not in described.by_name:
        return Nothing()
    return FieldIn("subsidiary", role.subsidiaries)


def _hidden(described: ObjectInfo, role: Held) -> dict[str, str]:
    """Return the fields that a permission of level none takes from the role."""
    return {
        field.name: f"NetSuite role {role.name!r} may not see {field.label or field.name}"
        for field in described.fields
        if role.hides(described.name, field.name)
    }
