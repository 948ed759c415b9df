"""Makes the table of one object fit the catalog, keeping every value that can be kept.

Takes the catalog's object and what the cache remembers of its columns; `cache.store` receives what
changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import duckdb

from firnline.cache.bookkeeping import StoredField, read_fields
from firnline.cache.columns import duckdb_type, widens
from firnline.cache.naming import (
    RUN_COLUMN,
    column_names,
    quote_identifier,
    schema_name,
    table_reference,
)
from firnline.catalog.model import ObjectInfo
from firnline.errors import FirnlineError


class ObjectNameError(FirnlineError):
    """Two objects of one connection have names that differ by case only."""

    code = "object_name_taken"

    def __init__(self, name: str, other: str) -> None:
        super().__init__(
            f"object {name!r} cannot be cached beside {other!r}",
            hint="Exclude one of the two from sync.objects in firnline.yaml.",
        )


class ObjectKeyError(FirnlineError):
    """The catalog names a key that is not among the object's fields."""

    code = "object_without_key"

    def __init__(self, name: str, key: str) -> None:
        super().__init__(
            f"object {name!r} has no field {key!r}, its key",
            hint="Run `firnline discover` again; if it stays, the connector is at fault.",
        )


@dataclass(frozen=True, slots=True)
class ShapeChange:
    """What had to change, in field names. False when nothing did."""

    created: bool = False
    added: tuple[str, ...] = ()
    widened: tuple[str, ...] = ()
    emptied: tuple[str, ...] = ()  # retyped without a lossless way
    retired: tuple[str, ...] = ()  # gone from the catalog; the column stays

    @property
    def must_reread(self) -> bool:
        """Say whether columns now lack values that the provider has."""
        return bool(self.created or self.added or self.emptied)

    def __bool__(self) -> bool:
        return self.must_reread or bool(self.widened or self.retired)


@dataclass(slots=True)
class Shape:
    """One object's table and what the catalog wants of it."""

    cursor: duckdb.DuckDBPyConnection
    connection: str
    object: ObjectInfo
    table: str = field(init=False)
    wanted: Mapping[str, StoredField] = field(init=False)

    def __post_init__(self) -> None:
        if self.object.key not in self.object.by_name:
            raise ObjectKeyError(self.object.name, self.object.key)
        self.table = table_reference(self.connection, self.object.name)
        names = column_names(found.name for found in self.object.fields)
        self.wanted = {
            found.name: StoredField(
                field=found.name, column=names[found.name], type=duckdb_type(found), active=True
            )
            for found in self.object.fields
        }

    def alter(self, change: str) -> None:
        """Run one ALTER TABLE; `change` holds quoted names only."""
        self.cursor.execute(f"ALTER TABLE {self.table} {change}")


def shape_table(shape: Shape) -> ShapeChange:
    """Create or alter the table. Raises ObjectNameError or ObjectKeyError."""
    stored = read_fields(shape.cursor, shape.connection, shape.object.name)
    if stored and stored == shape.wanted and _stored_key(shape) == shape.object.key:
        return ShapeChange()
    if not stored:
        return _create(shape)
    if _key_changed(shape, stored):
        _forget(shape)
        return _create(shape)
    return _alter(shape, stored)


def _create(shape: Shape) -> ShapeChange:
    _refuse_collision(shape)
    schema = quote_identifier(schema_name(shape.connection))
    columns = ", ".join(
        f"{quote_identifier(wanted.column)} {wanted.type}" for wanted in shape.wanted.values()
    )
    shape.cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    # No primary key: MERGE keeps keys unique, and an index would slow the backfill by a fifth and
    # make DuckDB refuse most ALTER TABLE.
    shape.cursor.execute(
        f"CREATE TABLE {shape.table} ({columns}, {quote_identifier(RUN_COLUMN)} VARCHAR)"
    )
    shape.cursor.execute(
        "INSERT INTO _firnline.objects VALUES (?, ?, ?, 0)",
        [shape.connection, shape.object.name, shape.object.key],
    ).fetchall()
    _remember(shape, {})
    return ShapeChange(created=True, added=tuple(shape.wanted))


def _alter(shape: Shape, stored: Mapping[str, StoredField]) -> ShapeChange:
    retired = {
        name: old.model_copy(update={"active": False})
        for name, old in stored.items()
        if name not in shape.wanted
    }
    newly_retired = tuple(name for name in retired if stored[name].active)
    kept = _make_room(shape, retired)
    _rename(shape, stored)
    added, widened, emptied = [], [], []
    for name, wanted in shape.wanted.items():
        column = quote_identifier(wanted.column)
        old = stored.get(name)
        if old is None:
            shape.alter(f"ADD COLUMN {column} {wanted.type}")
            added.append(name)
        elif old.type != wanted.type and widens(old.type, wanted.type):
            shape.alter(f"ALTER COLUMN {column} TYPE {wanted.type}")
            widened.append(name)
        elif old.type != wanted.type:
            shape.alter(f"DROP COLUMN {column}")
            shape.alter(f"ADD COLUMN {column} {wanted.type}")
            emptied.append(name)
        if old is not None and not old.active:
            added.append(name)  # it is back, but its values are as old as its retirement
    _remember(shape, kept)
    return ShapeChange(False, tuple(added), tuple(widened), tuple(emptied), newly_retired)


def _make_room(shape: Shape, retired: Mapping[str, StoredField]) -> Mapping[str, StoredField]:
    """Drop retired columns whose name a field of today needs."""
    needed = {wanted.column.casefold() for wanted in shape.wanted.values()}
    kept = {}
    for name, old in retired.items():
        if old.column.casefold() in needed:
            shape.alter(f"DROP COLUMN {quote_identifier(old.column)}")
        else:
            kept[name] = old
    return kept


def _rename(shape: Shape, stored: Mapping[str, StoredField]) -> None:
    """Give columns the name that today's neighbours require, by way of a free one."""
    moved = [
        (old.column, shape.wanted[name].column)
        for name, old in stored.items()
        if name in shape.wanted and old.column != shape.wanted[name].column
    ]
    for number, (old_column, _) in enumerate(moved):
        shape.alter(f'RENAME COLUMN {quote_identifier(old_column)} TO "~moving~{number}"')
    for number, (_, column) in enumerate(moved):
        shape.alter(f'RENAME COLUMN "~moving~{number}" TO {quote_identifier(column)}')


def _remember(shape: Shape, retired: Mapping[str, StoredField]) -> None:
    owner = [shape.connection, shape.object.name]
    shape.cursor.execute(
        "DELETE FROM _firnline.fields WHERE connection = ? AND object = ?", owner
    ).fetchall()
    known = [*shape.wanted.values(), *retired.values()]
    shape.cursor.execute(
        "INSERT INTO _firnline.fields SELECT ?, ?, unnest(?), unnest(?), unnest(?), unnest(?)",
        [
            *owner,
            [one.field for one in known],
            [one.column for one in known],
            [one.type for one in known],
            [one.active for one in known],
        ],
    ).fetchall()


def _forget(shape: Shape) -> None:
    shape.cursor.execute(f"DROP TABLE {shape.table}")
    for table in ("objects", "fields"):
        shape.cursor.execute(
            f"DELETE FROM _firnline.{table} WHERE connection = ? AND object = ?",  # noqa: S608 - constant
            [shape.connection, shape.object.name],
        ).fetchall()


def _stored_key(shape: Shape) -> str | None:
    found = shape.cursor.execute(
        "SELECT key_field FROM _firnline.objects WHERE connection = ? AND object = ?",
        [shape.connection, shape.object.name],
    ).fetchall()
    return found[0][0] if found else None


def _key_changed(shape: Shape, stored: Mapping[str, StoredField]) -> bool:
    """Say whether rows could no longer be found by key: then only a new table helps."""
    key = shape.object.key
    if _stored_key(shape) != key or key not in stored:
        return True
    old, wanted = stored[key].type, shape.wanted[key].type
    return old != wanted and not widens(old, wanted)


def _refuse_collision(shape: Shape) -> None:
    names = shape.cursor.execute(
        "SELECT object FROM _firnline.objects WHERE connection = ?", [shape.connection]
    ).fetchall()
    for (name,) in names:
        if table_reference(shape.connection, name).casefold() == shape.table.casefold():
            raise ObjectNameError(shape.object.name, name)
