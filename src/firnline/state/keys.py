"""Wrapped data keys: what the vault seals with, unreadable without a master key.

The vault stores and reads them; rotation wraps them anew and removes those that seal nothing. Every
change is one transaction that several processes may try at once.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Literal

from sqlalchemy import ColumnElement, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from firnline.state.schema import data_keys
from firnline.state.sealed import seals_anything

EVERYONE = "*"  # what belongs to the installation and to no tenant
KeyPurpose = Literal["seal", "derive"]


@dataclass(frozen=True, slots=True)
class DataKeyRow:
    """One wrapped key; `master` is the id of the master key that unwraps it."""

    tenant: str
    version: int
    master: str
    made_at: datetime
    purpose: KeyPurpose = "seal"
    wrapped: bytes = field(default=b"", repr=False)


class DataKeyStore:
    """The wrapped keys of all tenants."""

    def __init__(self, engine: AsyncEngine, reading: AsyncEngine) -> None:
        self._engine = engine
        self._reading = reading

    async def installation(self) -> DataKeyRow | None:
        """Return the key that everything derived comes from."""
        return await self.one(EVERYONE, 1, "derive")

    async def one(
        self, tenant: str, version: int, purpose: KeyPurpose = "seal"
    ) -> DataKeyRow | None:
        """Return one key."""
        found = await self._rows(*_key_is(tenant, version, purpose))
        return found[0] if found else None

    async def newest(self, tenant: str) -> DataKeyRow | None:
        """Return the key that seals what is new at a tenant."""
        async with self._reading.connect() as connection:
            query = (
                select(data_keys)
                .where(data_keys.c.tenant == tenant, data_keys.c.purpose == "seal")
                .order_by(data_keys.c.version.desc())
                .limit(1)
            )
            found = (await connection.execute(query)).first()
        return None if found is None else DataKeyRow(**found._mapping)

    async def all(self) -> list[DataKeyRow]:
        """Return every key, in order of tenant and version."""
        return await self._rows()

    async def add(self, row: DataKeyRow) -> bool:
        """Store a new key; return whether this was done.

        It is not when there is one already, or when another master key has become the current one.
        """
        try:
            async with self._engine.begin() as connection:
                if row.purpose == "seal" and not await _wraps_new_keys(connection, row.master):
                    return False
                await connection.execute(insert(data_keys).values(asdict(row)))
        except IntegrityError:
            return False
        return True

    async def rewrap(self, row: DataKeyRow, *, master: str, wrapped: bytes) -> bool:
        """Replace how a key is wrapped; return whether this was done.

        It is not when the key is no longer as `row` says, or when another master key has become
        the current one: rewrapping the installation's key is what makes one current.
        """
        async with self._engine.begin() as connection:
            if row.purpose == "seal" and not await _wraps_new_keys(connection, master):
                return False
            changed = await connection.execute(
                update(data_keys)
                .where(*_key_is(row.tenant, row.version, row.purpose))
                .where(data_keys.c.wrapped == row.wrapped)
                .values(master=master, wrapped=wrapped)
            )
        return changed.rowcount == 1

    async def remove_idle(self, tenant: str, version: int) -> bool:
        """Remove a key that is not the newest and seals nothing; return whether it is gone."""
        async with self._engine.connect() as connection, connection.begin() as transaction:
            newest = select(func.max(data_keys.c.version)).where(
                data_keys.c.tenant == tenant, data_keys.c.purpose == "seal"
            )
            if version >= (await connection.scalar(newest) or 0):
                return False
            # Removed first: whoever saves what it sealed holds it, and is through or finds it gone.
            await connection.execute(delete(data_keys).where(*_key_is(tenant, version, "seal")))
            if await seals_anything(connection, tenant, version):
                await transaction.rollback()
                return False
        return True

    async def _rows(self, *only: ColumnElement[bool]) -> list[DataKeyRow]:
        order = (data_keys.c.tenant, data_keys.c.purpose, data_keys.c.version)
        async with self._reading.connect() as connection:
            found = await connection.execute(select(data_keys).where(*only).order_by(*order))
            return [DataKeyRow(**row._mapping) for row in found]


def _key_is(tenant: str, version: int, purpose: KeyPurpose) -> tuple[ColumnElement[bool], ...]:
    table = data_keys.c
    return table.tenant == tenant, table.version == version, table.purpose == purpose


async def _wraps_new_keys(connection: AsyncConnection, master: str) -> bool:
    """Say whether `master` is current, and keep it so until the transaction ends.

    A key wrapped with a master key after all others left it would be lost with that master key;
    and two rotations at once, of nodes with files of their own, would split the keys between them.
    """
    query = select(data_keys.c.master).where(*_key_is(EVERYONE, 1, "derive"))
    return bool(await connection.scalar(query.with_for_update(read=True)) == master)
