"""A tenant's data keys, unwrapped: made when first needed, looked up again when unknown.

The vault seals and opens with them. Another process may rotate them, and the master keys, at any
moment: nothing here is taken for the last word but what the state database says.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, replace

from cryptography.exceptions import InvalidTag
from pydantic import SecretBytes

from firnline.clock import Clock
from firnline.connections.sealing import envelope
from firnline.connections.sealing.keyring import KEY_BYTES, Keyring, MasterKey, VaultKeyInvalidError
from firnline.recent import Recent
from firnline.state.keys import EVERYONE, DataKeyRow, DataKeyStore, KeyPurpose

KEPT_MAX = 4_096
ATTEMPTS_MAX = 10


@dataclass(frozen=True, slots=True)
class DataKey:
    """One key with its version; a repr shows neither."""

    version: int
    secret: SecretBytes


class DataKeys:
    """The data keys of all tenants. One per process, safe to share."""

    def __init__(self, store: DataKeyStore, *, keyring: Keyring, clock: Clock) -> None:
        self.keyring = keyring
        self.store = store
        self._clock = clock
        self._kept: Recent[tuple[str, int], SecretBytes] = Recent(KEPT_MAX)

    async def newest(self, tenant: str) -> DataKey:
        """Return the key to seal with, made if there is none.

        It is asked for each time: sealing on with a key that was rotated would keep it in use.
        """
        row = await self.store.newest(tenant) or await self.make(tenant, 1)
        return DataKey(row.version, await self._opened(row))

    async def of_version(self, tenant: str, version: int, *, again: bool = False) -> DataKey | None:
        """Return the key of a version, or None; with `again` also where it seems known."""
        kept = None if again else self._kept.get((tenant, version))
        if kept is not None:
            return DataKey(version, kept)
        row = await self.store.one(tenant, version)
        return None if row is None else DataKey(version, await self._opened(row))

    async def make(self, tenant: str, version: int) -> DataKeyRow:
        """Store a new random key and return it, or the one that another process stored first."""
        secret = SecretBytes(secrets.token_bytes(KEY_BYTES))
        for _ in range(ATTEMPTS_MAX):
            master = await self._wrapping()
            row = self._wrapped(secret, tenant, version, master)
            if await self.store.add(row):
                return row
            found = await self.store.one(tenant, version)
            if found is not None:
                return found
        raise self._unreadable(tenant, "the master key changes all the time")

    async def installation(self) -> SecretBytes | None:
        """Return the secret that everything derived comes from, if it was made."""
        row = await self.store.installation()
        return None if row is None else await self._opened(row)

    async def make_installation(self, secret: SecretBytes) -> SecretBytes:
        """Store the secret that everything derived comes from; return what counts."""
        row = self._wrapped(secret, EVERYONE, 1, self.keyring.newest, "derive")
        await self.store.add(row)
        return await self.installation() or secret

    async def rewrap(self, row: DataKeyRow, master: MasterKey) -> bool:
        """Wrap a stored key with another master key; return whether it still was as given."""
        secret = await self._opened(row)
        fresh = envelope.wrap(secret, replace(row, master=master.id), master)
        return await self.store.rewrap(row, master=master.id, wrapped=fresh)

    def forget(self, tenant: str, version: int) -> None:
        """Forget a key that was removed."""
        self._kept.drop((tenant, version))

    def _wrapped(
        self,
        secret: SecretBytes,
        tenant: str,
        version: int,
        master: MasterKey,
        purpose: KeyPurpose = "seal",
    ) -> DataKeyRow:
        row = DataKeyRow(tenant, version, master.id, self._clock.now(), purpose)
        return replace(row, wrapped=envelope.wrap(secret, row, master))

    async def _wrapping(self) -> MasterKey:
        """Return the master key that new keys are wrapped with, at every process."""
        row = await self.store.installation()
        if row is None:
            raise self._unreadable(EVERYONE, "the secret of this installation is not there")
        return await self._master(row.master) or (await self._unwrapped(row))[0]

    async def _opened(self, row: DataKeyRow) -> SecretBytes:
        _, secret = await self._unwrapped(row)
        if row.purpose == "seal":
            self._kept.put((row.tenant, row.version), secret)
        return secret

    async def _unwrapped(self, row: DataKeyRow) -> tuple[MasterKey, SecretBytes]:
        for _ in range(ATTEMPTS_MAX):
            master = await self._master(row.master)
            if master is not None:
                try:
                    return master, envelope.unwrap(row, master)
                except InvalidTag:
                    raise self._unreadable(row.tenant, "it was changed") from None
            # It may have been wrapped anew after it was read, and the old master key dropped.
            found = await self.store.one(row.tenant, row.version, row.purpose)
            if found is None or found.master == row.master:
                break
            row = found
        raise self._unreadable(
            row.tenant,
            f"it needs master key {row.master}, and {self.keyring.origin} holds {self.keyring.ids}",
        )

    async def _master(self, key_id: str) -> MasterKey | None:
        found = self.keyring.find(key_id)
        if found is None and self.keyring.path is not None:
            self.keyring = await asyncio.to_thread(self.keyring.read_again)
            found = self.keyring.find(key_id)
        return found

    def _unreadable(self, tenant: str, reason: str) -> VaultKeyInvalidError:
        whose = "of this installation" if tenant == EVERYONE else f"of {tenant!r}"
        return VaultKeyInvalidError(
            f"the data key {whose} does not open: {reason}",
            hint=f"Put that master key back, {self.keyring.where_to_add()}. "
            "Run: firnline vault status",
        )
