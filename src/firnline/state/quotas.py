"""What processes share about quotas: one text per provider account, changed by one at a time.

Takes a change from the quota governor of any process; nobody else sees or changes the same
accounts until it is stored. The texts are the governor's own. Other accounts are not held up.

With SQLite this is a file of its own: a call that goes out must not wait for an audit entry, nor
an audit entry for calls. It may lose its last moments with the machine's power, which costs a few
calls' worth of accuracy; it is never damaged by that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, TypeVar

from sqlalchemy import Column as SqlColumn
from sqlalchemy import MetaData, String, Table, Text, extract, func, insert, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from firnline.clock import Clock
from firnline.settings import Settings
from firnline.state.database import StateUnavailableError, open_side_engine

T = TypeVar("T")
Change = Callable[[Mapping[str, str], float], tuple[Mapping[str, str], T]]

_ATTEMPTS = 3
_KEY_LENGTH = 500

quota_metadata = MetaData()

# Keyed by the provider's account, which tenants may share; `content` holds numbers, no records.
quota_ledgers = Table(
    "quota_ledgers",
    quota_metadata,
    SqlColumn("account", String(_KEY_LENGTH), primary_key=True),
    SqlColumn("content", Text, nullable=False),
)


class QuotaStore:
    """The shared texts of all accounts. One per process, safe to share."""

    def __init__(self, engine: AsyncEngine, *, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._is_sqlite = engine.dialect.name == "sqlite"
        # SQLite takes one writer at a time; its own queue sleeps between attempts.
        self._turn = asyncio.Lock()

    @classmethod
    async def open(cls, settings: Settings, *, clock: Clock) -> Self:
        """Open the database, making it when it does not exist; raises StateUnavailableError."""
        return cls(await open_side_engine(settings, "quotas.db", quota_metadata), clock=clock)

    async def close(self) -> None:
        """Give all database connections back."""
        await self._engine.dispose()

    async def change(self, accounts: Sequence[str], change: Change[T]) -> T:
        """Let `change` turn the texts of accounts into new ones and return its result.

        `change` gets the texts that there are and the time, in seconds since the epoch, on which
        all processes agree; it may be called again when another process began an account at the
        same moment. Raises StateUnavailableError.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                if not self._is_sqlite:
                    return await self._changed(accounts, change)
                async with self._turn:
                    return await self._changed(accounts, change)
            except IntegrityError:
                if attempt == _ATTEMPTS:
                    raise StateUnavailableError("the quotas are changed too often") from None
            except DBAPIError as error:
                raise StateUnavailableError(
                    f"the quotas cannot be shared ({type(error).__name__})"
                ) from None
        raise AssertionError("the loop above returns or raises")  # pragma: no cover

    async def read(self, accounts: Sequence[str]) -> tuple[Mapping[str, str], float]:
        """Return the texts of accounts and the time; raises StateUnavailableError."""
        try:
            async with self._engine.execution_options(firnline_reads=True).connect() as connection:
                return await self._texts(connection, accounts, locked=False)
        except DBAPIError as error:
            raise StateUnavailableError(
                f"the quotas cannot be read ({type(error).__name__})"
            ) from None

    async def _changed(self, accounts: Sequence[str], change: Change[T]) -> T:
        async with self._engine.begin() as connection:
            texts, now = await self._texts(connection, accounts, locked=True)
            changed, result = change(texts, now)
            for account, content in changed.items():
                table = quota_ledgers
                if account not in texts:
                    values: dict[str, Any] = {"account": account, "content": content}
                    await connection.execute(insert(table).values(values))
                elif content != texts[account]:
                    one = table.c.account == account
                    await connection.execute(update(table).where(one).values(content=content))
        return result

    async def _texts(
        self, connection: AsyncConnection, accounts: Sequence[str], *, locked: bool
    ) -> tuple[dict[str, str], float]:
        table = quota_ledgers
        query = select(table.c.account, table.c.content).where(table.c.account.in_(accounts))
        if locked:  # in one order, so that two that want the same two do not wait for each other
            query = query.order_by(table.c.account).with_for_update()
        rows = (await connection.execute(query)).all()
        return {row.account: row.content for row in rows}, await self._now(connection)

    async def _now(self, connection: AsyncConnection) -> float:
        if self._is_sqlite:
            return self._clock.now().timestamp()
        # Machines' clocks differ; their database has one.
        moment = await connection.scalar(select(extract("epoch", func.clock_timestamp())))
        return float(moment or 0.0)
