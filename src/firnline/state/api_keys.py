"""API keys as they are kept: digests of secrets, with what each may do and until when.

Takes keys from the command line; the web edges find them by id, and note when each was used last.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import Row, Select, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from firnline.errors import FirnlineError
from firnline.state.schema import api_keys

USE_NOTED_EVERY = timedelta(minutes=1)


class ApiKeyNameError(FirnlineError):
    """A current API key of the tenant has this name already."""

    code = "api_key_name"
    status = 409
    exit_code = 2

    def __init__(self, tenant: str, name: str) -> None:
        super().__init__(
            f"there is a current API key {name!r} of {tenant!r}",
            hint="Choose another name, or revoke that key first.",
        )


@dataclass(frozen=True, slots=True)
class ApiKeyRow:
    """An API key: of one tenant, or of the installation ("*"); `person` is whom it asks as.

    `agent` acts for that person with it, empty where they act themselves. `digest` is that of its
    secret, which nobody has but its holder.
    """

    tenant: str
    key_id: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    digest: str = field(repr=False)
    person: str = ""
    agent: str = ""
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    used_at: datetime | None = None

    def is_current(self, now: datetime) -> bool:
        """Say whether it was not revoked and has not run out."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class ApiKeyStore:
    """The API keys of all tenants. Part of `State`."""

    def __init__(self, engine: AsyncEngine, reading: AsyncEngine) -> None:
        self._engine = engine
        self._reading = reading

    async def save(self, row: ApiKeyRow) -> None:
        """Store a new key; raises ApiKeyNameError where a current one has its name."""
        table = api_keys
        named = select(table).where(table.c.tenant == row.tenant, table.c.name == row.name)
        values = {**asdict(row), "scopes": orjson.dumps(row.scopes).decode()}
        async with self._engine.begin() as connection:
            same = (await connection.execute(named)).all()
            if any(_row(each).is_current(row.created_at) for each in same):
                raise ApiKeyNameError(row.tenant, row.name)
            await connection.execute(insert(table).values(values))

    async def find(self, key_id: str) -> ApiKeyRow | None:
        """Return the key of that id, current or not; raises StateUnavailableError."""
        query = select(api_keys).where(api_keys.c.key_id == key_id)
        found = await self._rows(query)
        return found[0] if found else None

    async def all(self, tenant: str = "") -> list[ApiKeyRow]:
        """Return every key, or those of a tenant, in order of tenant and time."""
        table = api_keys
        query = select(table).order_by(table.c.tenant, table.c.created_at, table.c.key_id)
        return await self._rows(query.where(table.c.tenant == tenant) if tenant else query)

    async def revoke(self, key_id: str, *, at: datetime) -> bool:
        """End a key for good; return whether there was one that had not been ended."""
        table = api_keys
        async with self._engine.begin() as connection:
            ended = await connection.execute(
                update(table)
                .where(table.c.key_id == key_id, table.c.revoked_at.is_(None))
                .values(revoked_at=at)
            )
        return ended.rowcount == 1

    async def note_use(self, key_id: str, *, at: datetime) -> None:
        """Remember that a key was used, unless that is known of the last minute."""
        table = api_keys
        async with self._engine.begin() as connection:
            await connection.execute(
                update(table)
                .where(table.c.key_id == key_id)
                .where(or_(table.c.used_at.is_(None), table.c.used_at <= at - USE_NOTED_EVERY))
                .values(used_at=at)
            )

    async def _rows(self, query: Select[Any]) -> list[ApiKeyRow]:
        async with self._reading.connect() as connection:
            return [_row(each) for each in (await connection.execute(query)).all()]


def _row(found: Row[Any]) -> ApiKeyRow:
    facts = dict(found._mapping)
    return ApiKeyRow(**{**facts, "scopes": tuple(orjson.loads(facts["scopes"]))})
