"""When answers may have become other ones: after a commit, a new catalog, or another's writing.

Takes the tenants' graphs and caches; running subscriptions receive a mark with each answer, and
wait here until it does not hold any more. Rights are records of the caches: what changes them is
a commit, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from firnline.cache.database import TenantDatabase
from firnline.errors import FirnlineError
from firnline.graph.shape import TenantGraph

LOOKED_EVERY_S = 1.0  # for what other processes discovered or wrote: they tell nobody


@dataclass(frozen=True, slots=True)
class Mark:
    """What answers of one tenant are made from at one moment."""

    graph_version: str
    database: TenantDatabase
    generation: int


class Changes:
    """Says when a tenant's answers may have changed, of all tenants of one project."""

    def __init__(
        self,
        graph: Callable[[str], Awaitable[TenantGraph]],
        database: Callable[[str], Awaitable[TenantDatabase]],
        *,
        every_s: float = LOOKED_EVERY_S,
    ) -> None:
        self._graph = graph
        self._database = database
        self._every_s = every_s

    async def mark(self, tenant: str) -> Mark:
        """Return what is true now; take it before an answer is made.

        Raises what keeps the tenant from being asked.
        """
        graph = await self._graph(tenant)
        database = await self._database(tenant)
        return Mark(graph.version, database, database.generation)

    async def changed(self, tenant: str, mark: Mark) -> None:
        """Return as soon as something else is true than at `mark`."""
        loop = asyncio.get_running_loop()
        news = asyncio.Event()

        def tell() -> None:
            with suppress(RuntimeError):  # the loop was closed: nobody waits any more
                loop.call_soon_threadsafe(news.set)

        with mark.database.commits.heard_by(tell):
            while await self._holds(tenant, mark):
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._every_s):
                        await news.wait()
                # Before the next look: a commit in between is news again.
                news.clear()

    async def _holds(self, tenant: str, mark: Mark) -> bool:
        try:
            return await self.mark(tenant) == mark
        except FirnlineError:
            return False  # whoever asks again is told
