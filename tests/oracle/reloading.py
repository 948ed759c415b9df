"""One mirror that holds thousands of accounts in turn, so that each costs little.

Takes generated structures; tests receive where answers differ from what the provider shows. Every
account is discovered and read whole in the product's own steps, all of it in one transaction; what
the structure before left must be gone. Should an answer differ only after another structure, that
is told apart: a counterexample alone would then not show it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol

from tests.oracle.mirror import CONNECTION, Mirror, Tally, differences

from firnline.cache.store import CacheTransaction
from firnline.spec.model import SyncSpec
from firnline.sync.checkpoint import plan_run
from firnline.sync.extract import Extractor
from firnline.sync.schedule import scheduled_objects
from firnline.sync.store import Ending, prepare_object, store_page

CATALOGS_LOOKED_FOR_S = 2  # longer than a graph is used before another catalog is looked for


class Structure(Protocol):
    """A whole account as a plain value."""

    @property
    def emails(self) -> Sequence[str]:
        """Return everyone's address, the administrator's first."""
        ...


@dataclass(frozen=True)
class _OneTransaction:
    """Lets steps that each want a transaction of their own share one."""

    shared: CacheTransaction

    @contextmanager
    def transaction(self) -> Iterator[CacheTransaction]:
        yield self.shared

    def checkpoint(self, connection: str, object_name: str) -> None:
        return None

    def versions(self) -> Mapping[tuple[str, str], int]:
        return {}


_readings = count()


async def reload(mirror: Mirror, sandbox: Any) -> None:
    """Let the mirror hold another account, as a full sync of everything would."""
    mirror.front.sandbox = sandbox
    connector = mirror.channel.connector
    mirror.catalogs.replace(await mirror.channel.run(connector.discover(sandbox.settings)))
    extractor = Extractor(connector, mirror.channel, clock=mirror.clock)
    number = next(_readings)
    await mirror.clock.sleep(CATALOGS_LOOKED_FOR_S)
    runs = [
        plan_run(None, CONNECTION, each, run_id=f"reading-{number}", started_at=mirror.clock.now())
        for each in scheduled_objects(mirror.catalogs.found, SyncSpec())
    ]
    read = [(run, [page async for page in extractor.pages(run)]) for run in runs]
    held = {name for _, name in mirror.database.versions()}
    with mirror.database.transaction() as transaction:
        shared: Any = _OneTransaction(transaction)
        for name in held - {run.object.name for run in runs}:
            transaction.drop(CONNECTION, name)
        for run, pages in read:
            prepare_object(shared, CONNECTION, run.object)
            at = run
            for page in pages:
                at = store_page(shared, at, page, Ending(sweep_confirmed=True)).run


class Oracle:
    """Compares structures, one after another, and counts what it compared."""

    def __init__(self, sandbox_of: Callable[[Any], Any], emptiest: Structure) -> None:
        self.tally = Tally()
        self.provider = ""
        self._sandbox_of = sandbox_of
        self._before: Structure = emptiest
        self._stands_alone = False
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._mirror = self._runner.run(self._opened(emptiest))

    async def _opened(self, structure: Structure) -> Mirror:
        opening = Mirror.of(self._sandbox_of(structure))
        mirror: Mirror = await self._stack.enter_async_context(opening)
        self.provider = mirror.sandbox.provider
        return mirror

    def differences(self, structure: Structure) -> list[str]:
        """Return where answers and the provider differ."""
        return self._runner.run(self._differences(structure))

    async def _differences(self, structure: Structure) -> list[str]:
        await reload(self._mirror, self._sandbox_of(structure))
        self.tally.structures += 1
        found = await differences(self._mirror, structure.emails, tally=self.tally)
        before, self._before = self._before, structure
        if found and not self._stands_alone:
            async with Mirror.of(self._sandbox_of(structure)) as alone:
                if not await differences(alone, structure.emails):
                    raise AssertionError(f"only after {before!r}, with {structure!r}: {found}")
            self._stands_alone = True  # once is enough: shrinking looks at hundreds
        return found

    def close(self) -> None:
        """Close the mirror."""
        self._runner.run(self._stack.aclose())
        self._runner.close()
