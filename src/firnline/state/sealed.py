"""Which columns hold ciphertext of the vault, what each is bound to, and how rotation reaches them.

A table that keeps something sealed is named in `SEALED`, and so rotation, status and the removal of
keys know it. The head of a ciphertext, which says what sealed it, is read here and made here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import Column as SqlColumn
from sqlalchemy import (
    ColumnElement,
    LargeBinary,
    Row,
    Table,
    case,
    func,
    select,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from firnline.errors import FirnlineError
from firnline.state import schema

Purpose = Literal["token", "client", "verifier"]

FIRST_FORM = b"\x01"  # sealed with a key derived from the master key
FORM = b"\x02"  # sealed with a data key, whose version follows in four bytes
HEAD_BYTES = 5
VERSION_MAX = 2**31 - 1  # what a database takes for a version
_PAGE_ROWS = 200


class DataKeyGoneError(FirnlineError):
    """The key that sealed a secret was rotated away before the secret was stored."""

    code = "data_key_gone"
    retryable = True
    status = 409

    def __init__(self, tenant: str) -> None:
        super().__init__(
            f"a key of {tenant!r} was rotated while something sealed with it was being stored",
            hint="Nothing was stored. Try again.",
        )


@dataclass(frozen=True)
class SealedColumn:
    """A column of ciphertext: what for, and how the vault calls the place of a row."""

    column: SqlColumn[Any]
    purpose: Purpose
    place: Callable[[Row[Any]], str]

    @property
    def table(self) -> Table:
        """Return the table that it is a column of."""
        table = self.column.table
        assert isinstance(table, Table)
        return table


SEALED = (
    SealedColumn(schema.connections.c.token_ciphertext, "token", lambda row: str(row.name)),
    SealedColumn(
        schema.personal_connections.c.token_ciphertext,
        "token",
        lambda row: f"{row.name} {row.person}",
    ),
    SealedColumn(
        schema.clients.c.ciphertext, "client", lambda row: f"{row.provider} {row.connection}"
    ),
    SealedColumn(
        schema.authorizations.c.verifier_ciphertext, "verifier", lambda row: str(row.connection)
    ),
)


@dataclass(frozen=True)
class SealedSecret:
    """One ciphertext with its place: `key` are the values of its table's primary key."""

    sealed: SealedColumn
    tenant: str
    place: str
    key: tuple[Any, ...] = field(repr=False)
    ciphertext: bytes = field(repr=False)


def head_of(version: int) -> bytes:
    """Return how a ciphertext begins that the data key `version` sealed."""
    return FORM + version.to_bytes(HEAD_BYTES - len(FORM), "big")


def version_of(ciphertext: bytes) -> int:
    """Return the version of the data key that sealed; 0 where it was none."""
    if not ciphertext.startswith(FORM) or len(ciphertext) < HEAD_BYTES:
        return 0
    version = int.from_bytes(ciphertext[len(FORM) : HEAD_BYTES], "big")
    return version if version <= VERSION_MAX else 0


async def key_is_held(connection: AsyncConnection, table: Table, values: Mapping[str, Any]) -> bool:
    """Say whether what sealed `values` still exists, and keep it until the transaction ends.

    Whoever stores ciphertext asks this in the same transaction: a key is removed when it seals
    nothing, and must not come to seal something at that moment.
    """
    for sealed in SEALED:
        ciphertext = values.get(sealed.column.name) if sealed.table is table else None
        version = version_of(ciphertext or b"")
        if not version:
            continue
        keys = schema.data_keys.c
        query = select(keys.version).where(
            keys.tenant == values["tenant"], keys.purpose == "seal", keys.version == version
        )
        held = await connection.scalar(query.with_for_update(read=True, key_share=True))
        if held is None:
            return False
    return True


def unless_resealed(table: Table, values: Mapping[str, Any]) -> list[ColumnElement[bool]]:
    """Return what must hold of a row that `values` replace: an old form never comes back.

    Nothing seals in the first form any more, so it is what was read; it may be re-sealed by now.
    """
    return [
        sealed.column == values[sealed.column.name]
        for sealed in SEALED
        if sealed.table is table and (values.get(sealed.column.name) or b"").startswith(FIRST_FORM)
    ]


async def seals_anything(connection: AsyncConnection, tenant: str, version: int) -> bool:
    """Say whether there is a secret of `tenant` that this data key sealed."""
    for sealed in SEALED:
        query = select(func.count()).where(
            sealed.table.c.tenant == tenant, _head(sealed) == head_of(version)
        )
        if await connection.scalar(query):
            return True
    return False


class SealedStore:
    """Everything that is sealed, at whatever tenant."""

    def __init__(self, engine: AsyncEngine, reading: AsyncEngine) -> None:
        self._engine = engine
        self._reading = reading

    async def counts(self) -> dict[str, Counter[int]]:
        """Return per tenant how many secrets each data key sealed (0: none of them)."""
        counted: dict[str, Counter[int]] = {}
        async with self._reading.connect() as connection:
            for sealed in SEALED:
                head = case((_form(sealed) == FORM, _head(sealed)), else_=_form(sealed))
                query = (
                    select(sealed.table.c.tenant, head, func.count())
                    .where(sealed.column.is_not(None))
                    .group_by(sealed.table.c.tenant, head)
                )
                for tenant, found, count in await connection.execute(query):
                    counted.setdefault(tenant, Counter())[version_of(found)] += count
        return counted

    async def of(self, tenant: str, *, but: int) -> AsyncIterator[SealedSecret]:
        """Yield the secrets of a tenant that another key than version `but` sealed."""
        for sealed in SEALED:
            after: tuple[Any, ...] = ()
            while True:
                page = await self._page(sealed, tenant, but, after)
                for secret in page:
                    yield secret
                if len(page) < _PAGE_ROWS:
                    break
                after = page[-1].key

    async def of_the_first_form(self) -> list[SealedSecret]:
        """Return secrets that were sealed before there were data keys: a page of each column."""
        secrets: list[SealedSecret] = []
        async with self._reading.connect() as connection:
            for sealed in SEALED:
                query = select(sealed.table).where(_form(sealed) == FIRST_FORM)
                found = await connection.execute(query.limit(_PAGE_ROWS))
                secrets += [_secret(sealed, row) for row in found]
        return secrets

    async def keeps_a_record(self) -> bool:
        """Say whether an audit chain was begun, which a derived key seals."""
        async with self._reading.connect() as connection:
            query = select(schema.audit_chains.c.tenant).limit(1)
            return await connection.scalar(query) is not None

    async def replace(self, secret: SealedSecret, ciphertext: bytes) -> bool:
        """Store the same secret sealed anew; return whether it still was as read.

        The row's version stays: what it says is the same, and whoever is changing it may go on.
        """
        table, column = secret.sealed.table, secret.sealed.column
        values = {column.name: ciphertext, "tenant": secret.tenant}
        async with self._engine.begin() as connection:
            if not await key_is_held(connection, table, values):
                return False
            one = tuple_(*table.primary_key.columns) == tuple_(*secret.key)
            changed = await connection.execute(
                update(table).where(one, column == secret.ciphertext).values({column: ciphertext})
            )
        return changed.rowcount == 1

    async def _page(
        self, sealed: SealedColumn, tenant: str, but: int, after: tuple[Any, ...]
    ) -> list[SealedSecret]:
        key = tuple_(*sealed.table.primary_key.columns)
        query = (
            select(sealed.table)
            .where(sealed.table.c.tenant == tenant, sealed.column.is_not(None))
            .where(_head(sealed) != head_of(but))
            .order_by(*sealed.table.primary_key.columns)
            .limit(_PAGE_ROWS)
        )
        if after:
            query = query.where(key > tuple_(*after))
        async with self._reading.connect() as connection:
            found = (await connection.execute(query)).all()
        return [_secret(sealed, row) for row in found]


def _secret(sealed: SealedColumn, row: Row[Any]) -> SealedSecret:
    return SealedSecret(
        sealed,
        tenant=row.tenant,
        place=sealed.place(row),
        key=tuple(row._mapping[column.name] for column in sealed.table.primary_key.columns),
        ciphertext=row._mapping[sealed.column.name],
    )


def _head(sealed: SealedColumn) -> ColumnElement[bytes]:
    return func.substr(sealed.column, 1, HEAD_BYTES, type_=LargeBinary)


def _form(sealed: SealedColumn) -> ColumnElement[bytes]:
    return func.substr(sealed.column, 1, len(FORM), type_=LargeBinary)
