"""The vault: small secrets as ciphertext, for the state store to keep.

AES-256-GCM with a random data key per tenant, bound to what the secret is for, so that a ciphertext
copied to another tenant, connection or purpose does not open. Data keys lie in the state database,
wrapped with a master key from the settings or from the file in home.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from pydantic import SecretBytes

from firnline.clock import Clock, SystemClock
from firnline.connections.sealing import envelope
from firnline.connections.sealing.data_keys import DataKeys
from firnline.connections.sealing.keyring import (
    KEY_BYTES,
    Keyring,
    MasterKey,
    VaultKeyInvalidError,
    open_keyring,
)
from firnline.settings import Settings
from firnline.state.sealed import FIRST_FORM, Purpose, SealedSecret, version_of
from firnline.state.state import State

__all__ = ["Purpose", "Vault", "VaultKeyInvalidError"]


class Vault:
    """Seals and opens secrets. One per process, safe to share; made by `Vault.open`."""

    def __init__(self, keys: DataKeys, *, installation: SecretBytes) -> None:
        """Take the data keys, and the secret that derived keys come from."""
        self.keys = keys
        self._installation = installation

    @classmethod
    async def open(cls, settings: Settings, *, state: State, clock: Clock | None = None) -> Vault:
        """Use the configured master keys, or those in home; one is made there on first use.

        Raises VaultKeyInvalidError.
        """
        is_new = await state.keys.installation() is None
        older = await state.sealed.of_the_first_form() if is_new else []
        is_used = bool(older) or (is_new and await state.sealed.keeps_a_record())
        may_make = is_new and not is_used
        keyring = await asyncio.to_thread(open_keyring, settings, may_make=may_make)
        keys = DataKeys(state.keys, keyring=keyring, clock=clock or SystemClock())
        installation = await keys.installation()
        if installation is None:
            random = SecretBytes(secrets.token_bytes(KEY_BYTES))
            secret = _secret_of_old(keyring, older) if is_used else random
            installation = await keys.make_installation(secret)
        return cls(keys, installation=installation)

    async def seal(
        self, secret: Mapping[str, Any], *, purpose: Purpose, tenant: str, connection: str
    ) -> bytes:
        """Return `secret` (a small JSON object) as ciphertext, to be stored soon.

        Raises VaultKeyInvalidError.
        """
        key = await self.keys.newest(tenant)
        place = (purpose, tenant, connection)
        return envelope.seal(orjson.dumps(dict(secret)), key.secret, key.version, place)

    async def unseal(
        self, ciphertext: bytes, *, purpose: Purpose, tenant: str, connection: str
    ) -> dict[str, Any]:
        """Return what was sealed for the same purpose, tenant and connection.

        Raises VaultKeyInvalidError when it does not open.
        """
        place = (purpose, tenant, connection)
        opened: dict[str, Any] = orjson.loads(await self._plain(ciphertext, place))
        return opened

    def derive(self, label: bytes) -> bytes:
        """Return a key of its own for another use: the same always and in every process."""
        return envelope.derived(self._installation, b"firnline derived 1 " + label)

    async def _plain(self, ciphertext: bytes, place: tuple[str, str, str]) -> bytes:
        if ciphertext.startswith(FIRST_FORM):
            return self._plain_of_first_form(ciphertext, place)
        version = version_of(ciphertext)
        # Once more from the database: it may have been put back from a backup meanwhile.
        for again in (False, True):
            key = await self.keys.of_version(place[1], version, again=again) if version else None
            if key is None:
                continue
            try:
                return envelope.unseal(ciphertext, key.secret, version, place)
            except InvalidTag:
                continue
        raise self._unopened(place)

    def _plain_of_first_form(self, ciphertext: bytes, place: tuple[str, str, str]) -> bytes:
        for master in self.keys.keyring.keys:
            try:
                return envelope.unseal_first_form(ciphertext, master, place)
            except InvalidTag:
                continue
        raise self._unopened(place)

    def _unopened(self, place: tuple[str, str, str]) -> VaultKeyInvalidError:
        purpose, tenant, connection = place
        return VaultKeyInvalidError(
            f"the stored {purpose} of {connection!r} at {tenant!r} does not open with the keys "
            f"from {self.keys.keyring.origin}: another one sealed it, or it was changed",
            hint="Put that key back (FIRNLINE_VAULT_KEY, or vault.key in home), or connect "
            f"again: firnline connect {tenant} {connection}",
        )


def _secret_of_old(keyring: Keyring, older: Sequence[SealedSecret]) -> SecretBytes:
    """Return the master key of before there were data keys: keys derived from it stay the same."""
    if not older:
        return keyring.keys[-1].secret
    for master in keyring.keys:
        if any(_opens(secret, master) for secret in older):
            return master.secret
    raise VaultKeyInvalidError(
        f"nothing that is stored opens with the keys from {keyring.origin}: another one sealed it",
        hint=f"Put that key back, {keyring.where_to_add()}.",
    )


def _opens(secret: SealedSecret, master: MasterKey) -> bool:
    place = (secret.sealed.purpose, secret.tenant, secret.place)
    try:
        envelope.unseal_first_form(secret.ciphertext, master, place)
    except InvalidTag:
        return False
    return True
