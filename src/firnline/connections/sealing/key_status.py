"""Which keys there are and what they seal, for people and programs to look at; opens nothing.

Takes the settings and the state store; the command line shows it. It works with a wrong keyring,
too: then it tells which master key is missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from firnline.connections.sealing.keyring import Keyring, open_keyring
from firnline.settings import Settings
from firnline.state.keys import DataKeyRow
from firnline.state.state import State


@dataclass(frozen=True, slots=True)
class MasterStatus:
    """One master key by its id: whether it is at hand, and how many data keys need it."""

    id: str
    is_known: bool
    wraps: int


@dataclass(frozen=True, slots=True)
class TenantStatus:
    """A tenant's newest data key (0: none yet), and how many secrets each version sealed."""

    tenant: str
    version: int
    made_at: datetime | None
    sealed: Mapping[int, int] = field(default_factory=dict)

    @property
    def outdated(self) -> int:
        """Return how many secrets another key than the newest sealed."""
        return sum(count for version, count in self.sealed.items() if version != self.version)


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """Where the master keys lie, which one wraps new data keys, and all that is sealed."""

    origin: str
    current: str
    masters: Sequence[MasterStatus]
    tenants: Sequence[TenantStatus]

    def as_dict(self) -> dict[str, Any]:
        """Return the form that programs get; version 0 is what no data key sealed."""
        return {
            "origin": self.origin,
            "current": self.current,
            "masters": [
                {"id": each.id, "known": each.is_known, "wraps": each.wraps}
                for each in self.masters
            ],
            "tenants": [
                {
                    "tenant": each.tenant,
                    "version": each.version,
                    "made_at": each.made_at.isoformat() if each.made_at else None,
                    "sealed": {str(version): count for version, count in each.sealed.items()},
                }
                for each in self.tenants
            ],
        }


async def key_status(settings: Settings, state: State) -> KeyStatus:
    """Return which keys there are; raises VaultKeyInvalidError where the master keys are amiss."""
    rows = await state.keys.all()
    counts = await state.sealed.counts()
    keyring = None
    if settings.vault_key is not None or rows or (settings.home / "vault.key").exists():
        keyring = open_keyring(settings, may_make=False)
    current = next((row.master for row in rows if row.purpose == "derive"), "")
    names = {row.tenant for row in rows if row.purpose == "seal"} | set(counts)
    return KeyStatus(
        origin=keyring.origin if keyring else "",
        current=current,
        masters=_masters(rows, keyring),
        tenants=[_tenant(name, rows, counts.get(name, Counter())) for name in sorted(names)],
    )


def _masters(rows: Sequence[DataKeyRow], keyring: Keyring | None) -> list[MasterStatus]:
    wraps = Counter(row.master for row in rows)
    known = [key.id for key in keyring.keys] if keyring else []
    missing = sorted(set(wraps) - set(known))
    return [MasterStatus(each, each in known, wraps[each]) for each in (*known, *missing)]


def _tenant(name: str, rows: Sequence[DataKeyRow], counts: Counter[int]) -> TenantStatus:
    own = [row for row in rows if (row.tenant, row.purpose) == (name, "seal")]
    newest = max(own, key=lambda row: row.version, default=None)
    sealed = {row.version: 0 for row in own} | dict(counts)
    return TenantStatus(
        name,
        newest.version if newest else 0,
        newest.made_at if newest else None,
        dict(sorted(sealed.items())),
    )
