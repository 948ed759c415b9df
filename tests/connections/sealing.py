"""Something sealed in every column that holds ciphertext, stored and read back as the code does."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import update

from firnline.connections.sealing.vault import Vault
from firnline.state import AuthorizationRow, ClientRow, ConnectionRow, State
from firnline.state.sealed import SEALED, SealedColumn

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
PERSON = "ann@north.test"


def key_text(first: int = 0) -> str:
    """Return a master key as people write it."""
    return base64.urlsafe_b64encode(bytes(range(first, first + 32))).decode()


def place_of(table: str, name: str = "crm") -> dict[str, Any]:
    """Return what the secret of a table is sealed for."""
    purpose, connection = {
        "connections": ("token", name),
        "personal_connections": ("token", f"{name} {PERSON}"),
        "clients": ("client", f"salesforce {name}"),
        "authorizations": ("verifier", name),
    }[table]
    return {"purpose": purpose, "connection": connection}


async def store_everything(state: State, vault: Vault, tenant: str, secret: str) -> None:
    """Seal `secret` once per sealed column and store it."""
    for sealed in SEALED:
        table = sealed.table.name
        ciphertext = await vault.seal({"secret": secret}, tenant=tenant, **place_of(table))
        await store(state, table, tenant, ciphertext)


async def store(
    state: State, table: str, tenant: str, ciphertext: bytes, *, name: str = "crm"
) -> None:
    """Store ciphertext where a table keeps it, by the way that the code stores there.

    A table that is not named here has a way of its own: show that it holds its key, too.
    """
    if table in {"connections", "personal_connections"}:
        person = PERSON if table == "personal_connections" else ""
        before = await state.connection(tenant, name, person)
        kept = ConnectionRow(
            *(tenant, name, "salesforce", {}, "active", NOW),
            token_ciphertext=ciphertext,
            person=person,
            version=before.version if before else 0,
        )
        await state.save_connection(kept)
    elif table == "clients":
        await state.save_client(ClientRow(tenant, "salesforce", name, NOW, ciphertext))
    elif table == "authorizations":
        digest = hashlib.sha256(f"{tenant} {name}".encode()).hexdigest()
        await state.take_authorization(digest, now=NOW)
        row = AuthorizationRow(
            tenant=tenant,
            connection=name,
            provider="salesforce",
            settings={},
            redirect_uri="http://127.0.0.1/callback",
            state_digest=digest,
            verifier_ciphertext=ciphertext,
            expires_at=NOW + timedelta(days=1),
        )
        await state.save_authorization(row, now=NOW)
    else:
        raise AssertionError(f"say how {table} is stored")


async def ciphertexts(state: State, tenant: str) -> dict[str, bytes]:
    """Return what is stored per table for a tenant."""
    found = [secret async for secret in state.sealed.of(tenant, but=2**32 - 1)]
    return {secret.sealed.table.name: secret.ciphertext for secret in found}


async def opened(state: State, vault: Vault, tenant: str) -> dict[str, str]:
    """Return the secrets per table for a tenant, opened as their readers open them."""
    return {
        table: (await vault.unseal(ciphertext, tenant=tenant, **place_of(table)))["secret"]
        for table, ciphertext in (await ciphertexts(state, tenant)).items()
    }


def first_form(plain: dict[str, Any], master: bytes, place: tuple[str, str, str]) -> bytes:
    """Return what Firnline sealed before it had data keys, computed here by its own hand."""
    key = derived_before(master, b"firnline vault 1 " + place[1].encode())
    nonce = secrets.token_bytes(12)
    bound = orjson.dumps(place)
    return b"\x01" + nonce + AESGCM(key).encrypt(nonce, orjson.dumps(plain), bound)


def derived_before(master: bytes, purpose: bytes) -> bytes:
    """Return HKDF-SHA-256 of the master key, as RFC 5869 says."""
    pseudorandom = hmac.new(bytes(32), master, hashlib.sha256).digest()
    return hmac.new(pseudorandom, purpose + b"\x01", hashlib.sha256).digest()


async def store_first_form(state: State, tenant: str, secret: str, master: bytes) -> None:
    """Store what a database from before data keys holds."""
    for sealed in SEALED:
        where = place_of(sealed.table.name)
        place = (where["purpose"], tenant, where["connection"])
        await store(state, sealed.table.name, tenant, first_form({"secret": secret}, master, place))


async def corrupt(state: State, sealed: SealedColumn, tenant: str) -> None:
    """Change one byte of a stored ciphertext, as a fault of a disk does."""
    kept = (await ciphertexts(state, tenant))[sealed.table.name]
    async with state._engine.begin() as connection:
        await connection.execute(
            update(sealed.table)
            .where(sealed.table.c.tenant == tenant)
            .values({sealed.column: kept[:-1] + bytes([kept[-1] ^ 1])})
        )
