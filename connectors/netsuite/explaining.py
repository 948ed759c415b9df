"""Why an employee may read what they may: takes cached permission rows, gives the names of roles,
subsidiaries, segments and people for an operator to read. `permissions` decides.
"""

from __future__ import annotations

from collections.abc import Iterator

from firnline.access.grounds import Coordinate, Ground, Naming
from firnline.access.model import PermissionRows
from firnline.catalog.model import Catalog

from .permissions import Held, permissions_for, roles_of

_TABLES = {
    "subsidiary": "subsidiary",
    "department": "department",
    "class": "classification",
    "location": "location",
    "employee": "employee",
    "salesrep": "employee",
    "supervisor": "employee",
}


def grounds(
    rows: PermissionRows, catalog: Catalog, user_key: str, asked: Coordinate
) -> Iterator[Ground]:
    """Yield what gives or takes an employee's right to an object or field, role by role.

    All employees of one e-mail count: their roles add up to the rights of one person.
    """
    described = catalog.by_name[asked.object]
    own = rows.rows("employee", id=user_key)
    email = str(own[0].get("email") or "").casefold() if own else ""
    for employee in rows.rows("employee"):
        is_theirs = email and str(employee.get("email") or "").casefold() == email
        if not is_theirs or employee.get("isinactive") or employee.get("giveaccess") is False:
            continue
        for role in roles_of(rows, catalog, employee):
            yield from _of_role(role, permissions_for(described), asked)


def _of_role(role: Held, permissions: tuple[str, ...], asked: Coordinate) -> Iterator[Ground]:
    granting = [each for each in permissions if role.grants(each)]
    if not granting:
        return
    if asked.field:
        if role.hides(asked.object, asked.field):
            name = f"{asked.object}.{asked.field}"
            yield Ground("takes", f"{name}: permission of level None", "role", role.name)
        else:
            yield Ground("gives", f"every field of {asked.object} not withheld", "role", role.name)
        return
    if role.is_administrator:
        yield Ground("gives", f"every record of {asked.object}", "role", role.name)
        return
    for each in granting:
        yield Ground("gives", f"{each} of level {role.levels[each]}", "role", role.name)
    if role.subsidiaries is not None:
        shown = ", ".join(sorted(role.subsidiaries)) or "none"
        yield Ground("takes", f"subsidiaries other than {shown}", "role", role.name)
    for restriction in role.restrictions:
        yield Ground("takes", f"records by {restriction.field}", "role", role.name)


def named(rows: PermissionRows, user_key: str, value: Naming) -> str:
    """Return which subsidiary, segment or employee a key stands for."""
    is_key = value.field == "id" and value.object in ("employee", "subsidiary")
    table = value.object if is_key else _TABLES.get(value.field)
    if table == "employee" and value.value == user_key:
        return "the person"
    found = rows.rows(table, id=value.value) if table else ()
    if not found:
        return ""
    row = found[0]
    if table == "employee":
        full = f"{row.get('firstname') or ''} {row.get('lastname') or ''}".strip()
        return full or str(row.get("email") or "")
    name = str(row.get("fullname") or row.get("name") or "")
    return f"{value.field if table != value.object else table} {name!r}" if name else ""
