"""Why an agent may read what they may: takes cached permission rows, gives the names of roles,
groups, organizations and people for an operator to read. `access` decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from firnline.access.grounds import Effect, Ground, Naming
from firnline.access.model import PermissionRows
from firnline.catalog.model import Catalog

from .access import Agent, Row, agent_of, restriction_of

_TABLES = {"group_id": "groups", "organization_id": "organizations", "assignee_id": "users"}


def grounds(rows: PermissionRows, catalog: Catalog, user_key: str, name: str) -> Iterator[Ground]:
    """Yield what gives or takes an agent's right to an object, and with it to all its fields."""
    described = catalog.by_name[name]
    found = rows.rows("users", id=user_key)
    if not found:
        return
    (user,) = found
    if user.get("role") != "agent":
        effect: Effect = "gives" if user.get("role") == "admin" else "takes"
        right = f"every record of {described.name}"
        yield Ground(effect, right, "role", str(user.get("role")))
        return
    agent = agent_of(rows, catalog, user)
    if described.name == "tickets":
        yield from _tickets(agent, user)
        return
    access = agent.access(described)
    kind, called = agent.called
    what = f"every record of {described.name}"
    yield Ground("gives" if access.readable else "takes", what, kind, called)


def _tickets(agent: Agent, user: Row) -> Iterator[Ground]:
    kind, name = agent.called
    granted = agent.ticket_access
    yield Ground("gives", f"tickets: {granted or 'none'}", kind, name)
    own = restriction_of(user)
    if own != "all":
        yield Ground("takes", f"tickets other than {own}", "setting of the agent", own)


def named(rows: PermissionRows, user_key: str, value: Naming) -> str:
    """Return which group, organization or person a key stands for, and if the agent is in it."""
    if value.field == "assignee_id" and value.value == user_key:
        return "the person"
    table = _TABLES.get(value.field)
    found = rows.rows(table, id=value.value) if table else ()
    if not found:
        return ""
    name = repr(str(found[0].get("name") or value.value))
    if value.field == "assignee_id":
        return f"{name}, somebody else"
    kind = "group" if value.field == "group_id" else "organization"
    if value.value in _memberships(rows, user_key, value.field):
        return f"{kind} {name}, which the agent is in"
    public = kind == "group" and found[0].get("is_public") is True
    return f"{'public ' if public else ''}{kind} {name}, which the agent is not in"


def _memberships(rows: PermissionRows, user_key: str, field: str) -> set[str]:
    kind = field.removesuffix("_id")
    found: list[Any] = [
        row.get(field) for row in rows.rows(f"{kind}_memberships", user_id=user_key)
    ]
    found += [row.get(field) for row in rows.rows("users", id=user_key)]
    return {str(key) for key in found if key}
