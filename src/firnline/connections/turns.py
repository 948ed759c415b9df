"""Turns at showing a refused secret again: one caller of a connection at a time.

Channels take a turn when a key or password that nothing renews was refused: providers lock users
for whom a wrong one comes again and again.
"""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary

from firnline.connections.site import Site


class Turns:
    """The turns of all connections. One per process, safe to share."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    def of(self, site: Site) -> asyncio.Lock:
        """Return what a connection's callers hold in turn; keep it while it is needed."""
        lock = self._locks.get((site.tenant, site.holder))
        if lock is None:
            lock = self._locks[site.tenant, site.holder] = asyncio.Lock()
        return lock
