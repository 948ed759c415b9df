"""Rotation: new data keys for tenants, a new master key for the installation, while others work.

Takes an opened vault and the state store; the command line shows what comes back. Every step leaves
a state in which everything opens, so that whatever is killed is finished by rotating again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Set
from dataclasses import dataclass, field

from firnline.clock import Clock
from firnline.connections.sealing.data_keys import DataKeys
from firnline.connections.sealing.keyring import (
    VARIABLE,
    Keyring,
    MasterKey,
    RotationRunningError,
    VaultKeyInvalidError,
    held,
    with_new_key,
    with_newest_alone,
)
from firnline.connections.sealing.vault import Vault
from firnline.errors import UsageError
from firnline.state.keys import DataKeyRow
from firnline.state.sealed import FIRST_FORM, SealedSecret, SealedStore

PASSES_MAX = 20
# What another process sealed with the old key is stored within this time and then sealed anew.
# Should it take longer it is refused when it is stored, and sealed again by whoever wanted to.
SETTLE_S = 2.0

ENVIRONMENT_STEPS = (
    f"Put a new key before the present one in {VARIABLE}, with a comma between them, and restart "
    "every process; run this again; then remove the old key and restart."
)


class MasterKeyInEnvironmentError(UsageError):
    """The master key is in the environment, where no command can change it."""

    code = "vault_key_in_environment"

    def __init__(self) -> None:
        super().__init__(
            f"the only master key is in {VARIABLE}, which only you can change",
            hint=ENVIRONMENT_STEPS,
        )


class RotationUnfinishedError(UsageError):
    """Others sealed with older keys faster than rotation could follow."""

    code = "vault_rotation_unfinished"
    retryable = True
    status = 409


@dataclass(slots=True)
class Rotated:
    """What a rotation did. `unreadable` are places whose secrets open with no key there is."""

    versions: dict[str, int] = field(default_factory=dict)
    resealed: int = 0
    removed: int = 0
    rewrapped: int = 0
    master: str = ""
    dropped: tuple[str, ...] = ()
    was_resumed: bool = False
    unreadable: set[str] = field(default_factory=set)


class Rotation:
    """One run of either rotation."""

    def __init__(self, vault: Vault, sealed: SealedStore, *, clock: Clock) -> None:
        self._vault = vault
        self._keys: DataKeys = vault.keys
        self._sealed = sealed
        self._clock = clock
        self._done = Rotated()

    async def of_data_keys(self, tenant: str = "") -> Rotated:
        """Give every tenant, or one, a new data key, seal everything anew, remove the old ones.

        Raises UsageError for a tenant that has nothing, or RotationUnfinishedError.
        """
        tenants = await self._tenants(tenant)
        for each in tenants:
            newest = await self._keys.store.newest(each)
            row = await self._keys.make(each, newest.version + 1 if newest else 1)
            self._done.versions[each] = row.version
        await self._reseal(tenants, lambda _: True)
        await self._remove_idle(set(tenants))
        return self._done

    async def of_master_key(self) -> Rotated:
        """Wrap every data key with a new master key and drop the old ones from the file.

        Keys in the environment are not changed: everything is wrapped with the first of them.
        Raises MasterKeyInEnvironmentError, RotationRunningError or RotationUnfinishedError.
        """
        keyring = self._keys.keyring
        if keyring.path is None:
            if not await self._move_to(keyring.newest) and len(keyring.keys) == 1:
                raise MasterKeyInEnvironmentError
            return self._done
        with held(keyring.path):
            keyring = await asyncio.to_thread(self._with_new_key, keyring.read_again())
            self._keys.keyring = keyring
            await self._move_to(keyring.newest)
            self._keys.keyring = await asyncio.to_thread(with_newest_alone, keyring)
        self._done.dropped = tuple(key.id for key in keyring.keys[1:])
        return self._done

    def _with_new_key(self, keyring: Keyring) -> Keyring:
        if len(keyring.keys) > 1:
            # A rotation that was interrupted: its new key may wrap some data keys already.
            self._done.was_resumed = True
            return keyring
        return with_new_key(keyring)

    async def _move_to(self, master: MasterKey) -> bool:
        """Let nothing need another master key; return whether anything did."""
        self._done.master = master.id
        # The installation's key first: from then on no process wraps with another master key.
        installation = await self._keys.store.installation()
        assert installation is not None  # made when the vault was opened
        if installation.master != master.id:
            self._done.rewrapped += await self._keys.rewrap(installation, master)
        for _ in range(PASSES_MAX):
            rows = await self._wrapped_otherwise(master)
            if not rows:
                break
            for row in rows:
                await self._rewrap(row, master)
        else:
            raise RotationUnfinishedError("data keys were wrapped anew by others all the time")
        older = [name for name, count in (await self._sealed.counts()).items() if count[0]]
        await self._reseal(older, lambda secret: secret.ciphertext.startswith(FIRST_FORM))
        return bool(self._done.rewrapped or self._done.resealed)

    async def _wrapped_otherwise(self, master: MasterKey) -> list[DataKeyRow]:
        """Return what is left to wrap with the master key, as long as it is the current one."""
        rows = [row for row in await self._keys.store.all() if row.master != master.id]
        if any(row.purpose == "derive" for row in rows):
            raise RotationRunningError(
                "another process has made another master key the current one",
                hint="Nothing is lost. Run: firnline vault status, and give all nodes one keyring.",
            )
        return [row for row in rows if _name_of(row) not in self._done.unreadable]

    async def _rewrap(self, row: DataKeyRow, master: MasterKey) -> None:
        try:
            self._done.rewrapped += await self._keys.rewrap(row, master)
        except VaultKeyInvalidError:
            # It does not open with what is dropped afterwards either: nothing is lost by that.
            self._done.unreadable.add(_name_of(row))

    async def _reseal(self, tenants: list[str], wanted: Callable[[SealedSecret], bool]) -> None:
        """Seal with the newest keys whatever others sealed, until nothing is left to do."""
        for attempt in range(PASSES_MAX):
            found = Counter[bool]()
            counts = await self._sealed.counts()
            for tenant in tenants:
                newest = await self._keys.newest(tenant)
                if set(counts.get(tenant, ())) <= {newest.version}:
                    continue
                async for secret in self._sealed.of(tenant, but=newest.version):
                    if wanted(secret):
                        found[await self._resealed(secret)] += 1
            if attempt and not found[True]:
                return
            if not attempt and tenants:
                await self._clock.sleep(SETTLE_S)
        raise RotationUnfinishedError(
            "secrets were sealed with older keys all the time",
            hint="Restart servers that run an older Firnline, then rotate again.",
        )

    async def _resealed(self, secret: SealedSecret) -> bool:
        """Seal one secret anew; return False when it cannot be opened."""
        place = f"{secret.sealed.purpose} of {secret.tenant} {secret.place}"
        try:
            plain = await self._vault.unseal(
                secret.ciphertext,
                purpose=secret.sealed.purpose,
                tenant=secret.tenant,
                connection=secret.place,
            )
        except VaultKeyInvalidError:
            self._done.unreadable.add(place)
            return False
        ciphertext = await self._vault.seal(
            plain,
            purpose=secret.sealed.purpose,
            tenant=secret.tenant,
            connection=secret.place,
        )
        # Where it was not as read any more somebody stored another secret: the next pass looks.
        self._done.resealed += await self._sealed.replace(secret, ciphertext)
        self._done.unreadable.discard(place)
        return True

    async def _remove_idle(self, tenants: Set[str]) -> None:
        for row in await self._keys.store.all():
            if row.purpose != "seal" or row.tenant not in tenants:
                continue
            if await self._keys.store.remove_idle(row.tenant, row.version):
                self._keys.forget(row.tenant, row.version)
                self._done.removed += 1

    async def _tenants(self, tenant: str) -> list[str]:
        rows = await self._keys.store.all()
        known = {row.tenant for row in rows if row.purpose == "seal"} | set(
            await self._sealed.counts()
        )
        if tenant and tenant not in known:
            raise UsageError(
                f"nothing is sealed for {tenant!r}",
                hint=f"There is something for: {', '.join(sorted(known)) or 'nobody'}.",
            )
        return [tenant] if tenant else sorted(known)


def _name_of(row: DataKeyRow) -> str:
    return f"data key {row.version} of {row.tenant}"
