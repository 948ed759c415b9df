"""Where ledgers are kept: in the shared store, or in this process while the store is in trouble.

Takes changes from the desks; `state.quotas` stores them for all processes. Trouble there is logged
and never stops a call: this process then counts by itself, from what it knew last.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from firnline.clock import Clock
from firnline.errors import FirnlineError
from firnline.recent import Recent
from firnline.transport.quota.ledger import Ledger

T = TypeVar("T")
Edit = Callable[[Mapping[str, Ledger], float], T]

STORE_TIMEOUT_S = 3.0
ALONE_S = 5.0  # how long the store is left alone after trouble
_KNOWN_MAX = 4096

_log = logging.getLogger(__name__)


class LedgerStore(Protocol):
    """Keeps a text per account, changed by one process at a time (`state.quotas.QuotaStore`)."""

    async def change(
        self,
        accounts: Sequence[str],
        change: Callable[[Mapping[str, str], float], tuple[Mapping[str, str], T]],
    ) -> T:
        """Change the texts of accounts and return the change's result."""
        ...

    async def read(self, accounts: Sequence[str]) -> tuple[Mapping[str, str], float]:
        """Return the texts of accounts and the time."""
        ...


class Books:
    """The ledgers of all accounts, as this process sees them."""

    def __init__(self, store: LedgerStore | None, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: Recent[str, str] = Recent(_KNOWN_MAX)
        self._alone_until = -1.0

    async def change(self, keys: Sequence[str], edit: Edit[T]) -> T:
        """Let `edit` change the ledgers of `keys` and return its result."""
        if self._store is not None and self._clock.monotonic() >= self._alone_until:
            try:
                async with asyncio.timeout(STORE_TIMEOUT_S):
                    texts, result = await self._store.change(keys, _texts_changed(keys, edit))
            except (FirnlineError, OSError, TimeoutError) as trouble:
                self._leave_alone(trouble)
            else:
                self._keep(texts)
                return result
        known = {key: self._known.get(key) or "" for key in keys}
        _, (texts, result) = _texts_changed(keys, edit)(known, self._clock.now().timestamp())
        self._keep(texts)
        return result

    async def read(self, keys: Sequence[str]) -> tuple[Mapping[str, Ledger], float]:
        """Return the ledgers of `keys` as they are, and the time on their clock."""
        if self._store is not None:
            try:
                async with asyncio.timeout(STORE_TIMEOUT_S):
                    texts, now = await self._store.read(keys)
                return {key: Ledger.load(texts.get(key, "")) for key in keys}, now
            except (FirnlineError, OSError, TimeoutError) as trouble:
                self._leave_alone(trouble)
        known = {key: Ledger.load(self._known.get(key) or "") for key in keys}
        return known, self._clock.now().timestamp()

    def _leave_alone(self, trouble: Exception) -> None:
        self._alone_until = self._clock.monotonic() + ALONE_S
        why = trouble.code if isinstance(trouble, FirnlineError) else type(trouble).__name__
        _log.warning("quotas are counted by this process alone for %.0f s: %s", ALONE_S, why)

    def _keep(self, texts: Mapping[str, str]) -> None:
        for key, text in texts.items():
            self._known.put(key, text)


def _texts_changed(
    keys: Sequence[str], edit: Edit[T]
) -> Callable[[Mapping[str, str], float], tuple[Mapping[str, str], tuple[Mapping[str, str], T]]]:
    def change(
        texts: Mapping[str, str], now: float
    ) -> tuple[Mapping[str, str], tuple[Mapping[str, str], T]]:
        ledgers = {key: Ledger.load(texts.get(key, "")) for key in keys}
        result = edit(ledgers, now)
        changed = {key: ledger.dump() for key, ledger in ledgers.items()}
        return changed, (changed, result)

    return change
