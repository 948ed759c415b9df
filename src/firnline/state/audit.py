"""The record of what was read: per tenant a chain of entries, each holding the digest of the last.

Takes facts in batches; the CLI lists, exports and verifies them. Nothing is ever updated. What is
older than wanted is let go at the chain's beginning alone: an anchor keeps the last digest that
went. A seal over anchor and head, made with a key that is not in the database, tells when somebody
who may write the database computed the chain anew.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from pydantic import SecretBytes
from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from firnline.errors import FirnlineError
from firnline.state.rows import AuditFact, AuditRow
from firnline.state.schema import audit_chains, audit_entries

START = "0" * 64
_PAGE_ROWS = 1_000
_ATTEMPTS = 3


class AuditTamperedError(FirnlineError):
    """The record of what was read was changed after it was written."""

    code = "audit_tampered"

    def __init__(self, tenant: str, number: int, reason: str) -> None:
        super().__init__(
            f"the audit record of {tenant!r} was tampered with at entry {number}: {reason}",
            hint="Compare with an export or a backup; keep the database as it is for the inquiry.",
        )
        self.number = number


@dataclass(frozen=True, slots=True)
class ChainEnds:
    """Where a chain begins and ends: the last entry that was let go, and the last one there is."""

    head_number: int = 0
    head_digest: str = START
    anchor_number: int = 0
    anchor_digest: str = START


class AuditChain:
    """The chains of all tenants; several processes may append to one."""

    def __init__(self, engine: AsyncEngine, reading: AsyncEngine, *, key: bytes) -> None:
        self._engine = engine
        self._reading = reading
        self._key = SecretBytes(key)

    async def append(self, tenant: str, facts: Sequence[AuditFact]) -> None:
        """Add entries in one transaction, after whatever another process added."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                async with self._engine.begin() as connection:
                    await self._append(connection, tenant, facts)
                return
            except IntegrityError:
                # Two processes began the same chain at once: the other one was first.
                if attempt == _ATTEMPTS:
                    raise

    async def _append(
        self, connection: AsyncConnection, tenant: str, facts: Sequence[AuditFact]
    ) -> None:
        ends = await self._locked(connection, tenant)
        number, previous = ends.head_number, ends.head_digest
        rows = []
        for fact in facts:
            number += 1
            content = orjson.dumps(fact.content, option=orjson.OPT_SORT_KEYS).decode()
            at = fact.at.astimezone(UTC)
            digest = digest_of(tenant, number, at, fact.person, content, previous)
            rows.append(AuditRow(tenant, number, at, fact.person, content, previous, digest))
            previous = digest
        await connection.execute(insert(audit_entries), [asdict(row) for row in rows])
        await self._seal(
            connection,
            tenant,
            ChainEnds(number, previous, ends.anchor_number, ends.anchor_digest),
        )

    async def forget(self, tenant: str, *, before: datetime) -> int:
        """Let the oldest entries go, up to the first that is not older; return how many."""
        async with self._engine.begin() as connection:
            ends = await self._locked(connection, tenant)
            table = audit_entries
            first_kept = await connection.scalar(
                select(func.min(table.c.number)).where(
                    table.c.tenant == tenant, table.c.at >= before
                )
            )
            # The head stays, so that the chain goes on from it.
            last = min(first_kept or ends.head_number, ends.head_number) - 1
            if last <= ends.anchor_number:
                return 0
            one = (table.c.tenant == tenant, table.c.number == last)
            digest = await connection.scalar(select(table.c.digest).where(*one))
            if digest is None:
                raise AuditTamperedError(tenant, last, "it is missing")
            await connection.execute(
                delete(table).where(table.c.tenant == tenant, table.c.number <= last)
            )
            kept = ChainEnds(ends.head_number, ends.head_digest, last, digest)
            await self._seal(connection, tenant, kept)
        return last - ends.anchor_number

    async def verify(self, tenant: str) -> tuple[int, ChainEnds]:
        """Return how many entries there are and the chain's ends; raises AuditTamperedError."""
        async with self._reading.connect() as connection:
            ends = await self._ends(connection, tenant)
            number, previous = ends.anchor_number, ends.anchor_digest
            async for row in _pages(connection, tenant, number):
                number += 1
                if row.number != number:
                    raise AuditTamperedError(tenant, number, "it is missing")
                if row.previous != previous:
                    raise AuditTamperedError(tenant, number, "it does not follow the one before")
                found = digest_of(tenant, number, row.at, row.person, row.content, previous)
                if row.digest != found:
                    raise AuditTamperedError(tenant, number, "it was changed")
                previous = found
        if (number, previous) != (ends.head_number, ends.head_digest):
            raise AuditTamperedError(tenant, number + 1, "the last entries are not those sealed")
        return number - ends.anchor_number, ends

    async def entries(
        self,
        tenant: str,
        *,
        person: str = "",
        object_name: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> AsyncIterator[AuditRow]:
        """Yield entries, the oldest first: of a person, about an object, within a time."""
        async with self._reading.connect() as connection:
            async for row in _pages(connection, tenant, 0, person=person, since=since, until=until):
                if not object_name or object_name in orjson.loads(row.content).get("reads", {}):
                    yield row

    async def _locked(self, connection: AsyncConnection, tenant: str) -> ChainEnds:
        """Return the chain's ends, begun when there is none; others wait until we are through."""
        table = audit_chains
        query = select(table).where(table.c.tenant == tenant).with_for_update()
        found = (await connection.execute(query)).first()
        if found is not None:
            return self._sealed(tenant, found)
        begun = ChainEnds()
        values = {"tenant": tenant, **asdict(begun), "seal": self._seal_of(tenant, begun)}
        await connection.execute(insert(table).values(values))
        return begun

    async def _ends(self, connection: AsyncConnection, tenant: str) -> ChainEnds:
        query = select(audit_chains).where(audit_chains.c.tenant == tenant)
        found = (await connection.execute(query)).first()
        return ChainEnds() if found is None else self._sealed(tenant, found)

    def _sealed(self, tenant: str, row: Row[Any]) -> ChainEnds:
        kept = row._mapping
        ends = ChainEnds(
            *(kept["head_number"], kept["head_digest"]),
            *(kept["anchor_number"], kept["anchor_digest"]),
        )
        if not hmac.compare_digest(self._seal_of(tenant, ends), kept["seal"]):
            raise AuditTamperedError(tenant, ends.head_number, "the seal of the chain is broken")
        return ends

    async def _seal(self, connection: AsyncConnection, tenant: str, ends: ChainEnds) -> None:
        values = {**asdict(ends), "seal": self._seal_of(tenant, ends)}
        await connection.execute(
            update(audit_chains).where(audit_chains.c.tenant == tenant).values(values)
        )

    def _seal_of(self, tenant: str, ends: ChainEnds) -> str:
        text = orjson.dumps([tenant, *asdict(ends).values()])
        return hmac.new(self._key.get_secret_value(), text, hashlib.sha256).hexdigest()


def digest_of(
    tenant: str, number: int, at: datetime, person: str, content: str, previous: str
) -> str:
    """Return an entry's digest: SHA-256 of the JSON list of what the entry holds."""
    stamp = at.astimezone(UTC).isoformat(timespec="microseconds")
    text = orjson.dumps([tenant, number, stamp, person, content, previous])
    return hashlib.sha256(text).hexdigest()


async def _pages(
    connection: AsyncConnection,
    tenant: str,
    after: int,
    *,
    person: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
) -> AsyncIterator[AuditRow]:
    """Yield entries in order, never more than a page of them in memory."""
    table = audit_entries
    query = select(table).where(table.c.tenant == tenant).order_by(table.c.number)
    if person:
        query = query.where(table.c.person == person)
    if since is not None:
        query = query.where(table.c.at >= since)
    if until is not None:
        query = query.where(table.c.at < until)
    while True:
        rows = (
            await connection.execute(query.where(table.c.number > after).limit(_PAGE_ROWS))
        ).all()
        for row in rows:
            yield AuditRow(**row._mapping)
        if len(rows) < _PAGE_ROWS:
            return
        after = rows[-1].number
