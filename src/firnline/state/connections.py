"""How a connection's row is kept: one version after the other, each change of state on record.

Takes rows and open transactions from `State`, which gives them to connections, the CLI and the web.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    Table,
    and_,
    func,
    insert,
    literal,
    not_,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from firnline.errors import FirnlineError
from firnline.state import schema
from firnline.state.connection_events import record
from firnline.state.rows import WORKING, ConnectionEvent, ConnectionRow
from firnline.state.sealed import key_is_held, unless_resealed


@dataclass(frozen=True, slots=True)
class Soon:
    """Until when tokens and whole authorisations end soon; what failed lately is left alone.

    Lately is between two moments: a clock that was set puts failures ahead of now.
    """

    token_before: datetime
    end_before: datetime
    failed_after: datetime
    failed_before: datetime


class StaleRowError(FirnlineError):
    """Somebody else stored the same connection in between."""

    code = "stale_connection"
    retryable = True
    status = 409

    def __init__(self, tenant: str, name: str) -> None:
        super().__init__(
            f"connection {name!r} of {tenant!r} was changed at the same time",
            hint="Read it again and repeat the change.",
        )


async def save(
    connection: AsyncConnection, row: ConnectionRow
) -> tuple[ConnectionRow, ConnectionEvent | None]:
    """Store the next version of `row`, and that its state changed if it did.

    Raises StaleRowError when the stored version is not the one that `row` was made from.
    """
    table, one = holder_of(row.tenant, row.name, row.person)
    before = await _standing(connection, row) if row.version else None
    began = before.state_at if before and before.state == row.state else row.updated_at
    stored = replace(row, version=row.version + 1, state_at=began)
    await _write(connection, stored, table, one)
    if before and before.state == row.state:
        return stored, None
    return stored, await record(connection, stored, before.state if before else "")


async def _standing(connection: AsyncConnection, row: ConnectionRow) -> Row[Any, Any]:
    """Return the state that the version before had, and since when."""
    table, one = holder_of(row.tenant, row.name, row.person)
    began = func.coalesce(table.c.state_at, table.c.updated_at).label("state_at")
    query = select(table.c.state, began).where(*one, table.c.version == row.version)
    found = (await connection.execute(query)).first()
    if found is None:
        raise StaleRowError(row.tenant, row.name)
    return found


async def _write(
    connection: AsyncConnection,
    row: ConnectionRow,
    table: Table,
    one: tuple[ColumnElement[bool], ...],
) -> None:
    values = _as_values(row)
    stale = StaleRowError(row.tenant, row.name)
    if not await key_is_held(connection, table, values):
        raise stale
    if row.version == 1:
        try:
            await connection.execute(insert(table).values(values))
        except IntegrityError:
            raise stale from None
        return
    before = (*one, table.c.version == row.version - 1, *unless_resealed(table, values))
    changed = await connection.execute(update(table).where(*before).values(values))
    if changed.rowcount != 1:
        raise stale


def holder_of(tenant: str, name: str, person: str) -> tuple[Table, tuple[ColumnElement[bool], ...]]:
    """Return where a connection is kept, and what tells it from all others there."""
    if not person:
        table = schema.connections
        return table, (table.c.tenant == tenant, table.c.name == name)
    table = schema.personal_connections
    return table, (table.c.tenant == tenant, table.c.name == name, table.c.person == person)


def ending(table: Table, soon: Soon) -> Select[Any]:
    """Return the question which working connections of a table end soon.

    Only those that would end for good: other flows obtain a token whenever one is needed.
    """
    is_due = and_(table.c.expires_at.is_not(None), table.c.expires_at <= soon.token_before)
    # Those known to be expiring are not looked at again, but for their tokens.
    is_ending = and_(
        table.c.ends_at.is_not(None), table.c.ends_at <= soon.end_before, table.c.state == "active"
    )
    has_failed = and_(
        table.c.renewal_error != "",
        table.c.updated_at > soon.failed_after,
        table.c.updated_at < soon.failed_before,
    )
    person = literal("") if table is schema.connections else table.c.person
    ends_at = func.coalesce(table.c.expires_at, table.c.ends_at).label("ends_at")
    return select(ends_at, table.c.tenant, table.c.name, person.label("person")).where(
        table.c.state.in_(WORKING),
        table.c.flow.in_(("authorization_code", "")),
        or_(is_due, is_ending),
        not_(has_failed),
    )


def row_of(row: Row[Any]) -> ConnectionRow:
    """Return what a row of either table says."""
    facts = dict(row._mapping)
    facts["settings"] = orjson.loads(row.settings)
    facts["scopes"] = tuple(orjson.loads(row.scopes))
    facts["state_at"] = row.state_at or row.updated_at
    return ConnectionRow(**facts)


def _as_values(row: ConnectionRow) -> Mapping[str, Any]:
    values = asdict(row)
    values["settings"] = orjson.dumps(dict(row.settings)).decode()
    values["scopes"] = orjson.dumps(row.scopes).decode()
    if not row.person:
        del values["person"]
    return values
