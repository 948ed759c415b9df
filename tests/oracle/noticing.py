"""Which broken rules the oracle notices. Takes structures, mutants; tests receive who survived.

Each structure is loaded and shown once; a mutant is asked about only where it gives somebody other
rights there, which most structures say at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy
from tests.oracle.mirror import CONNECTION, Mirror, Sight
from tests.oracle.mutants import Mutant, broken
from tests.oracle.reloading import Structure, reload

from firnline.access.model import PermissionRows, Person, SourceAccess
from firnline.access.principal import Principal
from firnline.cache.permission_rows import CachedPermissionRows

READER = "duckdb"


def drawn(structures: SearchStrategy[Any], *, at_most: int) -> Sequence[Structure]:
    """Return structures, always the same ones."""
    found: list[Structure] = []

    @seed(4)
    @settings(
        max_examples=at_most,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(structures)
    def draw(structure: Structure) -> None:
        found.append(structure)

    draw()
    return found


def unnoticed(
    sandbox_of: Callable[[Any], Any], structures: Iterable[Structure], mutants: Sequence[Mutant]
) -> dict[str, int | None]:
    """Return for each rule how many structures it took to notice that it is broken; None: all."""
    return asyncio.run(_unnoticed(sandbox_of, structures, mutants))


async def _unnoticed(
    sandbox_of: Callable[[Any], Any], structures: Iterable[Structure], mutants: Sequence[Mutant]
) -> dict[str, int | None]:
    taken: dict[str, int | None] = {mutant.rule: None for mutant in mutants}
    async with AsyncExitStack() as stack:
        mirror: Mirror | None = None
        for number, structure in enumerate(structures, 1):
            alive = [mutant for mutant in mutants if taken[mutant.rule] is None]
            if not alive:
                break
            sandbox = sandbox_of(structure)
            if mirror is None:
                mirror = await stack.enter_async_context(Mirror.of(sandbox))
            await reload(mirror, sandbox)
            case = _Case(mirror, structure.emails)
            await case.begin()
            for mutant in alive:
                if await case.notices(mutant):
                    taken[mutant.rule] = number
    return taken


class _Remembered:
    """Permission rows that are read once, whoever asks for them (`access.model.PermissionRows`)."""

    def __init__(self, rows: PermissionRows) -> None:
        self._rows = rows
        self._known: dict[Any, Sequence[Mapping[str, Any]]] = {}

    def rows(self, object_name: str, **equals: str) -> Sequence[Mapping[str, Any]]:
        slot = (object_name, *sorted(equals.items()))
        if slot not in self._known:
            self._known[slot] = self._rows.rows(object_name, **equals)
        return self._known[slot]

    def knows(self, object_name: str) -> bool:
        return self._rows.knows(object_name)


class _Case:
    """One structure, as the provider shows it and as the whole rules have it."""

    def __init__(self, mirror: Mirror, emails: Sequence[str]) -> None:
        self._mirror = mirror
        self._emails = emails
        self._catalog = mirror.catalogs.found
        self._rights: dict[str, SourceAccess] = {}
        self._shown: dict[str, Sight] = {}

    async def begin(self) -> None:
        """Read what the rights follow from."""
        provider = self._mirror.sandbox.provider
        graph = await self._mirror.graphs.graph(provider)
        principal = Principal(tenant=provider, email=self._emails[0])
        with self._mirror.database.snapshot() as snapshot:
            dated: Any = _Dated(snapshot)
            decisions = self._mirror.graphs.decisions(graph, principal, dated)
        columns, stored = graph.columns[CONNECTION], decisions.stored[CONNECTION]
        self._rows = _Remembered(
            CachedPermissionRows(self._fetch, CONNECTION, self._catalog, columns, stored)
        )
        self._rights = {email: self._right(email) for email in self._emails}

    async def notices(self, mutant: Mutant) -> bool:
        """Say whether somebody is answered otherwise than shown while the rule is broken."""
        with ExitStack() as stack:
            stack.enter_context(broken(self._mirror.sandbox.provider, mutant))
            others = [each for each in self._emails if self._right(each) != self._rights[each]]
            if others:
                self._forget()
                stack.callback(self._forget)
            for email in others:
                if email not in self._shown:
                    self._shown[email] = await self._mirror.shown(email)
                if await self._mirror.sight(email, READER) != self._shown[email]:
                    return True
        return False

    def _right(self, email: str) -> SourceAccess:
        connector = self._mirror.channel.connector
        return connector.access(self._rows, self._catalog, Person(email))

    def _fetch(self, text: str, values: Sequence[Any]) -> Any:
        with self._mirror.database.snapshot() as snapshot:
            return snapshot.fetch(text, values)

    def _forget(self) -> None:
        """Drop rights that were worked out by other rules."""
        self._mirror.graphs._decided.clear()
        self._mirror.graphs._rights.clear()


class _Dated:
    """A snapshot whose age does not matter."""

    def __init__(self, snapshot: Any) -> None:
        self.freshness: dict[Any, Any] = {}
        self._snapshot = snapshot

    def __getattr__(self, name: str) -> Any:
        return getattr(self._snapshot, name)
