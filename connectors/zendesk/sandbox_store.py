"""The sandbox's database: rows by object, with the stamps that exports follow.

Filled by `sandbox_shape`, read by the endpoints, changed by tests through the sandbox's `add`,
`change` and `delete`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .sandbox_wire import iso

Key = int | str
Row = dict[str, Any]
CUSTOM = "custom_object_"
CACHED_MAX = 64
NESTED = {"users": "user_fields", "organizations": "organization_fields"}


@dataclass(slots=True)
class Table:
    """One object: rows hold what differs, `template` what every record says the same.

    `stamps` is the moment an export compares (`generated_timestamp`), `deleted` the moment of a
    soft deletion. Lists show rows that are not deleted, exports all of them.
    """

    name: str
    path: str
    template: Mapping[str, Any]
    rows: dict[Key, Row] = field(default_factory=dict)
    stamps: dict[Key, int] = field(default_factory=dict)
    deleted: dict[Key, int] = field(default_factory=dict)
    previous: dict[Key, str] = field(default_factory=dict)  # status before the deletion

    def put(self, key: Key, row: Row, at: int) -> None:
        """Store a row as changed at `at`."""
        self.rows[key] = {"id": key, **row}
        self.stamps[key] = at

    def live(self) -> list[Key]:
        """Return the keys of rows that lists may show, in order."""
        kept = [key for key in self.rows if key not in self.deleted]
        # One table has keys of one type: numbers, or texts for custom objects.
        return sorted(kept)

    def nested(self) -> str:
        """Return the wire name of the dictionary of custom values."""
        if self.name == "tickets":
            return "fields"
        return "custom_object_fields" if self.name.startswith(CUSTOM) else NESTED.get(self.name, "")


class Store:
    """All tables of one account. `version` moves with every change, so that caches can tell."""

    def __init__(self, *, base: str, clock: Callable[[], float]) -> None:
        self.base = base
        self.clock = clock
        self.tables: dict[str, Table] = {}
        self.fields: dict[str, list[Row]] = {}  # ticket_fields and its kin, by resource
        self.custom_objects: list[Row] = []
        self.version = 0
        self._cached: dict[str, tuple[int, Any]] = {}

    def table(self, name: str) -> Table:
        """Return a table by catalog name."""
        return self.tables[name]

    def cached(self, name: str, build: Callable[[], Any]) -> Any:
        """Return what `build` gives, built once per version of the store."""
        held = self._cached.get(name)
        if held is None or held[0] != self.version:
            if len(self._cached) >= CACHED_MAX:
                self._cached.clear()
            held = (self.version, build())
            self._cached[name] = held
        return held[1]

    def render(self, table: Table, key: Key) -> Row:
        """Return one record as the wire shows it."""
        row = table.rows[key]
        shown = {"url": f"{self.base}/api/v2/{table.path}/{key}.json", **table.template, **row}
        if table.name == "tickets":
            values = [{"id": number, "value": value} for number, value in row["fields"].items()]
            shown["custom_fields"] = values
            shown["fields"] = values
        return shown

    def by_stamp(self, table: Table) -> list[tuple[int, Key]]:
        """Return (stamp, key) of every row, deleted ones included, in the order of exports."""
        ordered: list[tuple[int, Key]] = self.cached(
            f"stamps:{table.name}",
            lambda: sorted((at, key) for key, at in table.stamps.items()),
        )
        return ordered

    def change(self, object_name: str, key: str, fields: Mapping[str, Any]) -> None:
        """Change fields, by catalog names, as a person's edit would."""
        table = self.table(object_name)
        row = table.rows[self.key(table, key)]
        for name, value in fields.items():
            self._set(table, row, name, value)
        self._touch(table, row["id"])

    def key(self, table: Table, key: str) -> Key:
        """Return a key as this table holds it."""
        return key if table.name.startswith(CUSTOM) else int(key)

    def _set(self, table: Table, row: Row, name: str, value: Any) -> None:
        nested = table.nested()
        if table.name == "tickets" and name.startswith("field_"):
            row["fields"][int(name.removeprefix("field_"))] = value
        elif nested and name.startswith(f"{nested}_"):
            row[nested][name.removeprefix(f"{nested}_")] = value
        elif name in row or name in table.template:
            is_reference = name.endswith("_id") and name != "external_id"
            row[name] = int(value) if is_reference and value is not None else value
        else:
            raise ValueError(f"{table.name} has no field {name!r}")

    def add(self, object_name: str, key: Key, row: Row, fields: Mapping[str, Any]) -> str:
        """Add a record from defaults and fields; return its key."""
        table = self.table(object_name)
        now = iso(self.clock())
        table.put(key, {**row, "created_at": now, "updated_at": now}, int(self.clock()))
        for name, value in fields.items():
            self._set(table, table.rows[key], name, value)
        self.version += 1
        return str(key)

    def delete(self, object_name: str, key: str) -> None:
        """Delete a record the way the vendor does for this object."""
        table = self.table(object_name)
        found = self.key(table, key)
        row = table.rows[found]
        if object_name == "tickets":
            table.previous[found] = row["status"]
            row["status"] = "deleted"
        elif object_name == "users":
            row["active"] = False
        elif object_name == "organizations":
            row["deleted_at"] = iso(self.clock())
            self._unlink(found)
        elif object_name.startswith(CUSTOM):
            row["name"] = "[DELETED]"
            row["custom_object_fields"] = dict.fromkeys(row["custom_object_fields"], "[DELETED]")
        else:
            del table.rows[found], table.stamps[found]
            self.version += 1
            return
        self._touch(table, found)
        table.deleted[found] = int(self.clock())

    def _unlink(self, organization: Key) -> None:
        # A system change: the stamp that exports follow moves, `updated_at` does not.
        for name in ("tickets", "users"):
            table = self.table(name)
            for key, row in table.rows.items():
                if row.get("organization_id") == organization:
                    row["organization_id"] = None
                    table.stamps[key] = int(self.clock())

    def _touch(self, table: Table, key: Key) -> None:
        if "updated_at" in table.rows[key]:
            table.rows[key]["updated_at"] = iso(self.clock())
        table.stamps[key] = int(self.clock())
        self.version += 1
