"""Who may see what in the sandbox, decided record by record from its own store.

Asked by the endpoints; knows nothing of row rules or of the connector.
"""

from __future__ import annotations

from collections.abc import Callable

from .sandbox_store import CUSTOM, Key, Row, Store
from .sandbox_wire import forbidden

# What an older, per-user restriction means in terms of a custom role's ticket access.
BY_RESTRICTION = {
    None: "all",
    "groups": "within-groups",
    "organization": "within-organization",
    "assigned": "assigned-only",
}

WITHOUT_SUPPORT = {2, 3}


class Permissions:
    """The rules of the account."""

    def __init__(self, store: Store, *, has_department_spaces: bool = False) -> None:
        self._store = store
        self._has_department_spaces = has_department_spaces
        self._visible: dict[tuple[Key, str], tuple[int, list[Key]]] = {}

    def role(self, user: Row) -> Row | None:
        """Return the custom role of an agent."""
        return self._store.table("custom_roles").rows.get(user["custom_role_id"] or 0)

    def ticket_access(self, user: Row) -> str:
        """Return which tickets an agent may see, by custom role or else by own restriction."""
        if user["role"] == "admin":
            return "all"
        role = self.role(user)
        if role is not None:
            return str(role["configuration"]["ticket_access"])
        return BY_RESTRICTION.get(user["ticket_restriction"], "none")

    def require_agent(self, user: Row) -> None:
        """Refuse end users, and agents without a seat in Support: of Chat only, contributors."""
        if user["role"] == "end-user":
            raise forbidden()
        role = self.role(user)
        kinds = {user.get("role_type"), role["role_type"] if role else None}
        if user["role"] != "admin" and (user.get("chat_only") or kinds & WITHOUT_SUPPORT):
            raise forbidden()

    def require_admin(self, user: Row) -> None:
        """Refuse everyone but admins."""
        if user["role"] != "admin":
            raise forbidden()

    def require_list(self, user: Row, object_name: str) -> None:
        """Refuse callers who may not list an object at all."""
        self.require_agent(user)
        if user["role"] == "admin":
            return
        role = self.role(user)
        if object_name == "brand_agents":
            raise forbidden()
        if object_name.startswith(CUSTOM):
            held = role["configuration"]["custom_objects"] if role else {}
            if "read" not in held.get(object_name.removeprefix(CUSTOM), {}).get("scopes", ()):
                raise forbidden()
        elif object_name == "users" and role is not None:
            self._require_full_list(role)

    def _require_full_list(self, role: Row) -> None:
        if role["configuration"]["end_user_list_access"] != "full":
            raise forbidden()

    def visible(self, user: Row, object_name: str) -> list[Key]:
        """Return the keys of the live records that `user` may see, in order."""
        held = self._visible.get((user["id"], object_name))
        if held is not None and held[0] == self._store.version:
            return held[1]
        table = self._store.table(object_name)
        live: list[Key] = self._store.cached(f"live:{object_name}", table.live)
        if object_name == "tickets":
            sees = self._ticket_test(user)
            live = [key for key in live if sees(table.rows[key])]
        self._visible[user["id"], object_name] = (self._store.version, live)
        return live

    def sees(self, user: Row, object_name: str, key: Key) -> bool:
        """Say whether `user` may see one live record."""
        if object_name != "tickets":
            return True
        return self._ticket_test(user)(self._store.table("tickets").rows[key])

    def _ticket_test(self, user: Row) -> Callable[[Row], bool]:
        """Return what tells an agent's tickets: of their brands, and as their role allows."""
        by_role = self._role_test(user)
        if not self._has_department_spaces or user["role"] == "admin":
            return by_role
        memberships = self._store.table("brand_agents").rows.values()
        brands = {row["brand_id"] for row in memberships if row["user_id"] == user["id"]}
        return lambda ticket: ticket["brand_id"] in brands and by_role(ticket)

    def _role_test(self, user: Row) -> Callable[[Row], bool]:
        access = self.ticket_access(user)
        own = user["id"]
        if access == "all":
            return lambda ticket: True
        if access == "assigned-only":
            return lambda ticket: bool(ticket["assignee_id"] == own)
        if access == "within-organization":
            mine = self._organizations(user)
            return lambda ticket: ticket["organization_id"] in mine
        if access in ("within-groups", "within-groups-and-public-groups"):
            groups = self._groups(own)
            if access == "within-groups-and-public-groups":
                groups |= self._public_groups()
            return lambda ticket: ticket["group_id"] in groups
        return lambda ticket: False

    def _groups(self, user_id: Key) -> set[Key]:
        rows = self._store.table("group_memberships").rows.values()
        return {row["group_id"] for row in rows if row["user_id"] == user_id}

    def _public_groups(self) -> set[Key]:
        table = self._store.table("groups")
        return {key for key in table.live() if self._store.render(table, key)["is_public"]}

    def _organizations(self, user: Row) -> set[Key]:
        rows = self._store.table("organization_memberships").rows.values()
        found = {row["organization_id"] for row in rows if row["user_id"] == user["id"]}
        return found | ({user["organization_id"]} if user.get("organization_id") else set())
