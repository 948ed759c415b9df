"""What the cache remembers about itself: which objects it holds, in which version, read how far.

Takes a DuckDB cursor inside a transaction; `cache.store` writes through it, `cache.database` reads.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

import duckdb
from pydantic import BaseModel, ConfigDict

Versions = Mapping[tuple[str, str], int]

# One sequence for all objects: a version never comes back, not even for an object that was dropped
# and made again, so that what others keep by version is never wrong. It starts anywhere, so that
# a file made anew after a damaged one does not count through the same versions again.
# No indexes: a few hundred rows, one writer. An index would make DuckDB refuse some rewrites of a
# row inside one transaction.
_TABLES = """
CREATE SCHEMA IF NOT EXISTS _firnline;
CREATE SEQUENCE IF NOT EXISTS _firnline.data_version START WITH {first_version};
CREATE TABLE IF NOT EXISTS _firnline.objects (
  connection VARCHAR NOT NULL, object VARCHAR NOT NULL, key_field VARCHAR NOT NULL,
  version BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS _firnline.fields (
  connection VARCHAR NOT NULL, object VARCHAR NOT NULL, field VARCHAR NOT NULL,
  "column" VARCHAR NOT NULL, type VARCHAR NOT NULL, active BOOLEAN NOT NULL);
CREATE TABLE IF NOT EXISTS _firnline.checkpoints (
  connection VARCHAR NOT NULL, object VARCHAR NOT NULL, since VARCHAR, page VARCHAR,
  run VARCHAR NOT NULL, fields VARCHAR NOT NULL, rows_total BIGINT NOT NULL,
  state VARCHAR NOT NULL, started_at TIMESTAMP, completed_at TIMESTAMP, highest VARCHAR,
  deletes_since VARCHAR);
"""


def make_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the tables of this module where they are absent."""
    connection.execute(_TABLES.format(first_version=uuid.uuid4().int >> 88))  # 40 bits


class Checkpoint(BaseModel):
    """How far one object has been read; stored in the same transaction as the rows.

    `since` is where an incremental read starts (None: from the beginning), `page` the provider's
    token for the rest of run `run` when that run was interrupted, `highest` the checkpoint that
    becomes `since` when the run completes. `deletes_since` is the same for the list of deleted
    records, which is read on its own. `fields` is the fingerprint of the fields read,
    `rows_total` the rows read by the run so far. `completed_at` is when the last complete run
    began: everything older than that is in the cache.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    connection: str
    object: str
    since: str | None = None
    page: str | None = None
    highest: str | None = None
    deletes_since: str | None = None
    run: str
    fields: str = ""
    rows_total: int = 0
    state: Literal["backfilling", "complete"] = "backfilling"
    started_at: datetime | None = None
    completed_at: datetime | None = None


class StoredField(BaseModel):
    """One column of one object's table. `active` is false when the provider no longer has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    field: str
    column: str
    type: str
    active: bool


def read_versions(cursor: duckdb.DuckDBPyConnection) -> Versions:
    """Return the data version of every object."""
    rows = cursor.execute("SELECT connection, object, version FROM _firnline.objects").fetchall()
    return {(connection, name): version for connection, name, version in rows}


def read_fields(
    cursor: duckdb.DuckDBPyConnection, connection: str, object_name: str
) -> Mapping[str, StoredField]:
    """Return the stored fields of one object by field name."""
    rows = cursor.execute(
        'SELECT field, "column", type, active FROM _firnline.fields'
        " WHERE connection = ? AND object = ?",
        [connection, object_name],
    ).fetchall()
    return {
        field: StoredField(field=field, column=column, type=type_, active=active)
        for field, column, type_, active in rows
    }


def read_field_names(
    cursor: duckdb.DuckDBPyConnection, connection: str, object_names: Sequence[str]
) -> Mapping[str, frozenset[str]]:
    """Return the names of the readable fields of several objects, by object."""
    rows = cursor.execute(
        "SELECT object, list(field) FROM _firnline.fields"
        " WHERE active AND connection = ? AND list_contains(?, object) GROUP BY object",
        [connection, list(object_names)],
    ).fetchall()
    found = {name: frozenset(fields) for name, fields in rows}
    return {name: found.get(name, frozenset()) for name in object_names}


_CHECKPOINT_COLUMNS = (
    "connection, object, since, page, highest, deletes_since, run, fields, rows_total, state, "
    "started_at, completed_at"
)


def read_checkpoints(cursor: duckdb.DuckDBPyConnection) -> list[Checkpoint]:
    """Return the checkpoint of every object."""
    rows = cursor.execute(f"SELECT {_CHECKPOINT_COLUMNS} FROM _firnline.checkpoints").fetchall()  # noqa: S608 - constant
    names = [name.strip() for name in _CHECKPOINT_COLUMNS.split(",")]
    found = []
    for row in rows:
        facts = dict(zip(names, row, strict=True))
        facts["started_at"] = _aware(facts["started_at"])
        facts["completed_at"] = _aware(facts["completed_at"])
        found.append(Checkpoint.model_validate(facts))
    return found


def write_checkpoint(cursor: duckdb.DuckDBPyConnection, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint of one object."""
    erase_checkpoint(cursor, checkpoint.connection, checkpoint.object)
    cursor.execute(
        f"INSERT INTO _firnline.checkpoints ({_CHECKPOINT_COLUMNS})"  # noqa: S608 - constant
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            checkpoint.connection,
            checkpoint.object,
            checkpoint.since,
            checkpoint.page,
            checkpoint.highest,
            checkpoint.deletes_since,
            checkpoint.run,
            checkpoint.fields,
            checkpoint.rows_total,
            checkpoint.state,
            _naive(checkpoint.started_at),
            _naive(checkpoint.completed_at),
        ],
    ).fetchall()


def erase_checkpoint(cursor: duckdb.DuckDBPyConnection, connection: str, object_name: str) -> bool:
    """Forget how far one object was read; return whether there was a checkpoint."""
    erased = cursor.execute(
        "DELETE FROM _firnline.checkpoints WHERE connection = ? AND object = ? RETURNING 1",
        [connection, object_name],
    ).fetchall()
    return bool(erased)


def _aware(stamp: datetime | None) -> datetime | None:
    return None if stamp is None else stamp.replace(tzinfo=UTC)


def _naive(stamp: datetime | None) -> datetime | None:
    return None if stamp is None else stamp.astimezone(UTC).replace(tzinfo=None)
