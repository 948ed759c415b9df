"""How old the cached data is, and whether it can grow younger.

Takes tenants' caches and the standing of their connections; respond receives what it tells of each
object that an answer was read from, the same mapping for as long as nothing about it changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from firnline.cache.database import TenantDatabase
from firnline.state.standings import Standing, all_stand

# What cannot be read from at a tenant, by connection: the same object until that changes.
Standings = Callable[[str], Mapping[str, Standing]]
Fresh = Mapping[str, Any]  # `syncedAt`, and `stale` where its connection cannot be read from
Freshness = Mapping[tuple[str, str], Fresh]

NEVER: Fresh = {"syncedAt": None}


@dataclass(frozen=True, slots=True)
class _Known:
    database: TenantDatabase
    generation: int
    standings: Mapping[str, Standing]
    freshness: Freshness


class KnownFreshness:
    """The freshness of each tenant's objects, looked up anew after a commit or a change."""

    def __init__(self, standings: Standings = all_stand) -> None:
        self._standings = standings
        self._known: dict[str, _Known] = {}

    def of(self, database: TenantDatabase) -> Freshness:
        """Return when each object of a cache was last read in full, and whether it can be now."""
        known = self._known.get(database.tenant)
        standings = self._standings(database.tenant)
        if (
            known is None
            or known.database is not database
            or known.generation != database.generation
            or known.standings is not standings
        ):
            generation = database.generation
            found = _read(database, standings)
            known = _Known(database, generation, standings, found)
            self._known[database.tenant] = known
        return known.freshness


def _read(database: TenantDatabase, standings: Mapping[str, Standing]) -> Freshness:
    stamps = database.freshness()
    return {slot: _told(stamps.get(slot), standings.get(slot[0])) for slot in database.versions()}


def _told(synced_at: datetime | None, standing: Standing | None) -> Fresh:
    told: dict[str, Any] = {"syncedAt": None if synced_at is None else _moment(synced_at)}
    if standing is not None:
        told["stale"] = {"connection": standing.state, "since": _moment(standing.since)}
    return told


def _moment(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
