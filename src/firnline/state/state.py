"""The durable facts about tenants: connections, catalogs, operations, OAuth clients and sign-ins.

Connections, discovery, the operation registry and the web edge store here and read back; records
of the tenants' systems never come here (they live in the cache).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Row, delete, func, insert, select, union_all, update
from sqlalchemy.ext.asyncio import AsyncEngine

from firnline.catalog.model import Catalog
from firnline.clock import Clock
from firnline.settings import Settings
from firnline.state import schema
from firnline.state.api_keys import ApiKeyStore
from firnline.state.askers import AskerStore
from firnline.state.audit import AuditChain
from firnline.state.connect_links import LinkClaims
from firnline.state.connection_events import ConnectionEvents
from firnline.state.connections import Soon, ending, holder_of, row_of, save
from firnline.state.database import open_engine, reading_engine
from firnline.state.keys import DataKeyStore
from firnline.state.leases import Leases
from firnline.state.positions import Positions
from firnline.state.rows import AuthorizationRow, ClientRow, ConnectionRow, OperationRow
from firnline.state.sealed import DataKeyGoneError, SealedStore, key_is_held
from firnline.state.standings import Standings


def operation_id_of(text: str) -> str:
    """Return the identity of an operation document: the digest of its exact text."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


class State:
    """The state store. Open it once per process with `State.open`; it is safe to share.

    Whatever is asked of it raises StateUnavailableError while the database is in trouble.
    """

    def __init__(self, engine: AsyncEngine, reading: AsyncEngine) -> None:
        self._engine = engine
        self._reading = reading
        self.askers = AskerStore(engine, self._reading)
        self.api_keys = ApiKeyStore(engine, self._reading)
        self.keys = DataKeyStore(engine, self._reading)
        self.sealed = SealedStore(engine, self._reading)
        self.connection_events = ConnectionEvents(self._reading)
        self.leases = Leases(engine)
        self.positions = Positions(engine, self._reading)
        self.connect_links = LinkClaims(engine, self._reading)

    @classmethod
    async def open(cls, settings: Settings) -> State:
        """Open the database, making it when it does not exist yet."""
        engine = await open_engine(settings)
        return cls(engine, reading_engine(engine, settings))

    async def close(self) -> None:
        """Give all database connections back."""
        await self._reading.dispose()
        await self._engine.dispose()

    def audit(self, key: bytes) -> AuditChain:
        """Return the record of what was read; `key` seals its ends."""
        return AuditChain(self._engine, self._reading, key=key)

    def standings(self, clock: Clock) -> Standings:
        """Return which connections cannot be read from; nothing is known before it is loaded."""
        return Standings(self._reading, self.connection_events, clock=clock)

    async def ping(self) -> None:
        """Raise when the database does not answer."""
        async with self._reading.connect() as connection:
            await connection.execute(select(1))

    # -- connections ----------------------------------------------------------------------------

    async def save_connection(self, row: ConnectionRow) -> ConnectionRow:
        """Store `row` and return it with its new version.

        Version 0 stores a new connection; any other version replaces exactly that version. A
        change of its state is put on record in the same transaction. Raises StaleRowError or
        StateUnavailableError.
        """
        async with self._engine.begin() as connection:
            stored, event = await save(connection, row)
        if event is not None:
            self.connection_events.written()
        return stored

    async def connection(self, tenant: str, name: str, person: str = "") -> ConnectionRow | None:
        """Return the connection `name` of `tenant`, the organisation's own or a person's.

        Raises StateUnavailableError.
        """
        table, one = holder_of(tenant, name, person)
        found = await self._rows(select(table).where(*one))
        return row_of(found[0]) if found else None

    async def personal_connections(self, tenant: str) -> list[ConnectionRow]:
        """Return what people of `tenant` connected for themselves, in order of name and person."""
        table = schema.personal_connections
        query = select(table).where(table.c.tenant == tenant)
        rows = await self._rows(query.order_by(table.c.name, table.c.person))
        return [row_of(row) for row in rows]

    async def connections(self, tenant: str) -> list[ConnectionRow]:
        """Return the organisation's connections of `tenant`, in order of name."""
        table = schema.connections
        query = select(table).where(table.c.tenant == tenant).order_by(table.c.name)
        return [row_of(row) for row in await self._rows(query)]

    async def delete_connection(self, tenant: str, name: str, person: str = "") -> bool:
        """Forget a connection with its token; return whether there was one."""
        table, one = holder_of(tenant, name, person)
        async with self._engine.begin() as connection:
            gone = await connection.execute(delete(table).where(*one))
        return gone.rowcount == 1

    async def connections_ending(self, soon: Soon) -> list[tuple[str, str, str]]:
        """Return tenant, name and person of working connections that end soon, the first first.

        Raises StateUnavailableError.
        """
        tables = (schema.connections, schema.personal_connections)
        query = union_all(*(ending(table, soon) for table in tables)).order_by("ends_at")
        found = await self._rows(query)
        return [(row.tenant, row.name, row.person) for row in found]

    # -- catalogs -------------------------------------------------------------------------------

    async def save_catalog(
        self, tenant: str, connection: str, catalog: Catalog, *, at: datetime
    ) -> int:
        """Store what discovery found and return its version: a new one only when it changed."""
        table = schema.catalogs
        latest = (
            select(table.c.version, table.c.fingerprint)
            .where(table.c.tenant == tenant, table.c.connection == connection)
            .order_by(table.c.version.desc())
            .limit(1)
        )
        async with self._engine.begin() as database:
            last = (await database.execute(latest)).first()
            if last is not None and last.fingerprint == catalog.fingerprint:
                return int(last.version)
            version = 1 if last is None else int(last.version) + 1
            await database.execute(
                insert(table).values(
                    tenant=tenant,
                    connection=connection,
                    version=version,
                    fingerprint=catalog.fingerprint,
                    content=catalog.model_dump_json(),
                    discovered_at=at,
                )
            )
        return version

    async def catalog_fingerprints(self, tenant: str) -> Mapping[str, str]:
        """Return the fingerprint of the latest catalog of each connection."""
        table = schema.catalogs
        latest = (
            select(table.c.connection, func.max(table.c.version).label("version"))
            .where(table.c.tenant == tenant)
            .group_by(table.c.connection)
            .subquery()
        )
        query = (
            select(table.c.connection, table.c.fingerprint)
            .where(table.c.tenant == tenant)
            .join(
                latest,
                (table.c.connection == latest.c.connection) & (table.c.version == latest.c.version),
            )
        )
        return {row.connection: row.fingerprint for row in await self._rows(query)}

    async def catalog(self, tenant: str, connection: str) -> tuple[int, Catalog] | None:
        """Return the latest catalog of a connection and its version."""
        table = schema.catalogs
        found = await self._rows(
            select(table.c.version, table.c.content)
            .where(table.c.tenant == tenant, table.c.connection == connection)
            .order_by(table.c.version.desc())
            .limit(1)
        )
        if not found:
            return None
        # A large catalog takes tens of milliseconds, which others need not wait for.
        content = await asyncio.to_thread(Catalog.model_validate_json, found[0].content)
        return int(found[0].version), content

    # -- persisted operations -------------------------------------------------------------------

    async def publish_operation(
        self, tenant: str, operation_id: str, name: str, text: str, *, at: datetime
    ) -> OperationRow:
        """Store an operation under its id; another text is a new version and retires the last."""
        table = schema.operations
        one = (table.c.tenant == tenant, table.c.operation_id == operation_id)
        async with self._engine.begin() as connection:
            query = select(table).where(*one).order_by(table.c.version.desc()).limit(1)
            found = (await connection.execute(query)).first()
            last = OperationRow(**found._mapping) if found else None
            if last and last.retired_at is None and last.text == text:
                return last
            await connection.execute(
                update(table).where(*one, table.c.retired_at.is_(None)).values(retired_at=at)
            )
            version = last.version + 1 if last else 1
            row = OperationRow(tenant, operation_id, name, text, at, version)
            await connection.execute(insert(table).values(asdict(row)))
        return row

    async def retire_operation(self, tenant: str, operation_id: str, *, at: datetime) -> bool:
        """Let the id name nothing any more; return whether it named something."""
        table = schema.operations
        async with self._engine.begin() as connection:
            gone = await connection.execute(
                update(table)
                .where(table.c.tenant == tenant, table.c.operation_id == operation_id)
                .where(table.c.retired_at.is_(None))
                .values(retired_at=at)
            )
            await self.askers.forget(connection, tenant, operation_id)
        return gone.rowcount == 1

    async def operation(self, tenant: str, operation_id: str) -> OperationRow | None:
        """Return the operation that `operation_id` names at `tenant`."""
        table = schema.operations
        found = await self._rows(
            select(table)
            .where(table.c.tenant == tenant, table.c.operation_id == operation_id)
            .where(table.c.retired_at.is_(None))
        )
        return OperationRow(**found[0]._mapping) if found else None

    async def operations(self, tenant: str, *, retired: bool = False) -> list[OperationRow]:
        """Return the operations of `tenant`, in order of name; with every version if `retired`."""
        table = schema.operations
        query = (
            select(table)
            .where(table.c.tenant == tenant)
            .order_by(table.c.name, table.c.operation_id, table.c.version)
        )
        if not retired:
            query = query.where(table.c.retired_at.is_(None))
        return [OperationRow(**row._mapping) for row in await self._rows(query)]

    async def newest_operations(self, tenant: str, count: int) -> list[OperationRow]:
        """Return up to `count` operations of `tenant`, the last published first."""
        table = schema.operations
        query = (
            select(table)
            .where(table.c.tenant == tenant, table.c.retired_at.is_(None))
            .order_by(table.c.published_at.desc(), table.c.operation_id)
            .limit(count)
        )
        return [OperationRow(**row._mapping) for row in await self._rows(query)]

    async def newest_publications(self, count: int) -> list[tuple[str, str, int]]:
        """Return tenant, id and version of what was published last, at whatever tenant.

        Raises StateUnavailableError.
        """
        table = schema.operations
        query = (
            select(table.c.tenant, table.c.operation_id, table.c.version)
            .where(table.c.retired_at.is_(None))
            .order_by(table.c.published_at.desc(), table.c.tenant, table.c.operation_id)
            .limit(count)
        )
        found = await self._rows(query)
        return [(row.tenant, row.operation_id, row.version) for row in found]

    async def newest_publishers(self, count: int) -> list[str]:
        """Return up to `count` tenants with published operations, the last publisher first."""
        table = schema.operations
        query = (
            select(table.c.tenant)
            .where(table.c.retired_at.is_(None))
            .group_by(table.c.tenant)
            .order_by(func.max(table.c.published_at).desc(), table.c.tenant)
            .limit(count)
        )
        return [row.tenant for row in await self._rows(query)]

    # -- sign-ins under way and OAuth clients ---------------------------------------------------

    async def save_authorization(self, row: AuthorizationRow, *, now: datetime) -> None:
        """Remember a started sign-in, and forget those that ran out."""
        table = schema.authorizations
        values = _as_values(row)
        async with self._engine.begin() as connection:
            if not await key_is_held(connection, table, values):
                raise DataKeyGoneError(row.tenant)
            await connection.execute(delete(table).where(table.c.expires_at <= now))
            await connection.execute(insert(table).values(values))

    async def authorization(self, state_digest: str, *, now: datetime) -> AuthorizationRow | None:
        """Return a started sign-in, which stays usable."""
        table = schema.authorizations
        found = await self._rows(
            select(table).where(table.c.state_digest == state_digest, table.c.expires_at > now)
        )
        return _authorization_row(found[0]) if found else None

    async def take_authorization(
        self, state_digest: str, *, now: datetime
    ) -> AuthorizationRow | None:
        """Return a started sign-in and forget it: the same digest never answers twice."""
        table = schema.authorizations
        async with self._engine.begin() as connection:
            taken = await connection.execute(
                delete(table).where(table.c.state_digest == state_digest).returning(table)
            )
            found = taken.first()
        if found is None or found.expires_at <= now:
            return None
        return _authorization_row(found)

    async def save_client(self, row: ClientRow) -> None:
        """Store an OAuth client, replacing the one registered for the same scope."""
        table = schema.clients
        async with self._engine.begin() as connection:
            if not await key_is_held(connection, table, asdict(row)):
                raise DataKeyGoneError(row.tenant)
            await connection.execute(
                delete(table).where(
                    table.c.tenant == row.tenant,
                    table.c.provider == row.provider,
                    table.c.connection == row.connection,
                )
            )
            await connection.execute(insert(table).values(asdict(row)))

    async def client(self, tenant: str, provider: str, connection: str) -> ClientRow | None:
        """Return the OAuth client registered for exactly this scope ("*" is a scope too)."""
        table = schema.clients
        found = await self._rows(
            select(table).where(
                table.c.tenant == tenant,
                table.c.provider == provider,
                table.c.connection == connection,
            )
        )
        return ClientRow(**found[0]._mapping) if found else None

    async def _rows(self, query: Any) -> list[Row[Any]]:
        async with self._reading.connect() as connection:
            return list((await connection.execute(query)).all())


def _as_values(row: AuthorizationRow) -> dict[str, Any]:
    return {**asdict(row), "settings": orjson.dumps(dict(row.settings)).decode()}


def _authorization_row(row: Row[Any]) -> AuthorizationRow:
    return AuthorizationRow(**{**row._mapping, "settings": orjson.loads(row.settings)})
