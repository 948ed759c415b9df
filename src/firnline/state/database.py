"""Opens the database that `State` keeps its facts in: SQLite in home, or the configured URL."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy import (
    Connection,
    MetaData,
    Table,
    event,
    func,
    insert,
    inspect,
    literal,
    select,
    update,
)
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry
from sqlalchemy.schema import CreateColumn

from firnline.errors import FirnlineError
from firnline.settings import Settings
from firnline.state.schema import (
    EVENTS,
    SCHEMA_VERSION,
    connection_facts_of_version_5,
    connections,
    counters,
    metadata,
    operations,
    personal_connections,
    schema_versions,
)

BUSY_TIMEOUT_MS = 10_000
SIDE_BUSY_TIMEOUT_MS = 1_500  # who is kept waiting there goes on without
PREPARING_LOCK = 0x6669726E  # any number that others leave alone


class StateUnavailableError(FirnlineError):
    """The state database cannot be opened, or does not do what is asked of it now."""

    code = "state_unavailable"
    status = 503


class StateVersionError(FirnlineError):
    """The state database was written by a newer Firnline."""

    code = "state_version"

    def __init__(self, found: int) -> None:
        super().__init__(
            f"the state database has schema version {found}, this Firnline knows {SCHEMA_VERSION}",
            hint="Run the newer Firnline, or restore the database from before its upgrade.",
        )


async def open_engine(settings: Settings) -> AsyncEngine:
    """Return an engine whose tables exist; raises StateUnavailableError or StateVersionError."""
    engine = _sqlite(settings.home) if not settings.database_url else _server(settings.database_url)
    return _told_apart(await _prepared(engine, _prepare))


def reading_engine(engine: AsyncEngine, settings: Settings) -> AsyncEngine:
    """Return what reads the same database as `engine`, which writes to it."""
    if not settings.database_url:
        # With connections of its own: SQLite lets writers wait for each other, and readers need not
        # wait with them.
        engine = _told_apart(_sqlite(settings.home))
    return engine.execution_options(firnline_reads=True)


async def open_side_engine(settings: Settings, name: str, tables: MetaData) -> AsyncEngine:
    """Return an engine of tables that may lose their last moments with the machine's power.

    With SQLite they are a file of their own, so that nobody waits for `State`'s writers; else they
    lie in the same database. Raises StateUnavailableError.
    """
    if settings.database_url:
        engine = _server(settings.database_url)
    else:
        engine = _sqlite(settings.home, name, configure=_configure_side_sqlite)

    def prepare(connection: Connection) -> None:
        _lock_tables(connection)
        tables.create_all(connection)

    return await _prepared(engine, prepare)


async def _prepared(engine: AsyncEngine, prepare: Callable[[Connection], None]) -> AsyncEngine:
    try:
        async with engine.begin() as connection:
            await connection.run_sync(prepare)
    except (DBAPIError, OSError) as error:
        await engine.dispose()
        # The driver's text may hold the URL with its password; its class says enough.
        raise StateUnavailableError(
            f"the state database cannot be opened ({type(error).__name__})",
            hint="Check FIRNLINE_HOME and FIRNLINE_DATABASE_URL, and that the database is up.",
        ) from None
    except FirnlineError:
        await engine.dispose()
        raise
    return engine


class _Pool(AsyncAdaptedQueuePool):
    def _do_get(self) -> ConnectionPoolEntry:
        try:
            return super()._do_get()
        except PoolTimeoutError:
            raise StateUnavailableError(
                "all connections to the state database are in use", hint="Try again shortly."
            ) from None


def _told_apart(engine: AsyncEngine) -> AsyncEngine:
    """Let trouble with the database be raised as StateUnavailableError, whoever asks what.

    What a constraint refuses stays an IntegrityError: whoever stores something acts on it.
    """
    event.listen(engine.sync_engine, "handle_error", _raise_unavailable)
    return engine


def _raise_unavailable(context: ExceptionContext) -> None:
    error = context.sqlalchemy_exception
    if isinstance(error, DBAPIError) and not isinstance(error, IntegrityError):
        # Never the statement, whose values may be secrets.
        raise StateUnavailableError(
            f"the state database does not do what is asked of it ({type(error).__name__})",
            hint="Try again shortly; if it stays so, check that it is up and not locked.",
        ) from None


def _sqlite(
    home: Path, name: str = "state.db", *, configure: Callable[[Any, Any], None] | None = None
) -> AsyncEngine:
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = home / name
        # Made before SQLite does, so that it is the owner's alone from its first byte. One that is
        # there must not be opened: closing it would give up this process's locks on it, and others
        # would take its log away.
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except OSError as error:
        raise StateUnavailableError(
            f"{home} cannot hold the state database: {error.strerror}",
            hint="Set FIRNLINE_HOME to a directory that this user may write.",
        ) from error
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}", poolclass=_Pool)
    event.listen(engine.sync_engine, "connect", configure or _configure_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _server(url: SecretStr) -> AsyncEngine:
    try:
        return create_async_engine(
            make_url(url.get_secret_value()), poolclass=_Pool, pool_pre_ping=True
        )
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError):
        raise StateUnavailableError(
            "FIRNLINE_DATABASE_URL is not a usable database URL",
            hint="Write it as postgresql+psycopg://user:password@host/database; install psycopg.",
        ) from None


def _configure_sqlite(dbapi_connection: Any, _record: Any) -> None:
    # Transactions are begun by `_begin_sqlite`; the driver's own idea of when to begin is off.
    dbapi_connection.isolation_level = None
    cursor = dbapi_connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_TIMEOUT_MS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _configure_side_sqlite(dbapi_connection: Any, _record: Any) -> None:
    dbapi_connection.isolation_level = None
    cursor = dbapi_connection.cursor()
    for pragma in (
        f"busy_timeout={SIDE_BUSY_TIMEOUT_MS}",
        "journal_mode=WAL",
        "synchronous=NORMAL",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # Taking the write lock at the start lets a second process wait; upgrading later would fail.
    reads_only = connection.get_execution_options().get("firnline_reads", False)
    connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")


def _lock_tables(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        # SQLite's write lock is held already. Two that make the same table at once would fail.
        connection.execute(select(func.pg_advisory_xact_lock(PREPARING_LOCK)))


def _prepare(connection: Connection) -> None:
    _lock_tables(connection)
    metadata.create_all(connection)
    if connection.scalar(select(counters.c.last).where(counters.c.name == EVENTS)) is None:
        connection.execute(insert(counters).values(name=EVENTS, last=0))
    found = connection.execute(select(func.max(schema_versions.c.version))).scalar()
    if found is None:
        connection.execute(insert(schema_versions).values(version=SCHEMA_VERSION))
    elif found > SCHEMA_VERSION:
        raise StateVersionError(found)
    elif found < SCHEMA_VERSION:
        if found < 2:  # what versions 3 and 4 add are new tables alone
            _give_operations_versions(connection)
        if found < 5:
            _give_connections_states(connection)
        connection.execute(insert(schema_versions).values(version=SCHEMA_VERSION))


def _give_operations_versions(connection: Connection) -> None:
    """Move what schema version 1 kept, operations without their history."""
    old = Table("operations", MetaData(), autoload_with=connection)
    kept = ("tenant", "operation_id", "name", "text", "published_at")
    first = select(*(old.c[name] for name in kept), literal(1))
    connection.execute(insert(operations).from_select([*kept, "version"], first))
    old.drop(connection)


def _give_connections_states(connection: Connection) -> None:
    """Add what schema version 4 did not know of connections: when their states began, and more."""
    for table in (connections, personal_connections):
        known = {column["name"] for column in inspect(connection).get_columns(table.name)}
        for column in connection_facts_of_version_5():
            if column.name in known:  # the table itself is newer than the database
                continue
            described = CreateColumn(column).compile(dialect=connection.dialect)
            connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {described}")
        connection.execute(update(table).values(state_at=table.c.updated_at))
