"""Which objects may not be shown because the records behind a person's rights are too old.

Takes the limits that policies state and when each object was last read whole; Decisions receive
why types are denied, and until when all this holds. A limit is judged by the oldest of all that
decides: the permission records that the rights were read from, what row conditions look at, and
the same for objects that fields are read through. What has no readable age is too old.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from firnline.access.model import Everything, Nothing, SourceAccess, objects_of
from firnline.catalog.mapping import path_steps, source_paths
from firnline.spec.durations import duration

if TYPE_CHECKING:
    from firnline.graph.shape import GraphObject, TenantGraph

Stamps = Mapping[tuple[str, str], datetime]
_AHEAD_MAX = timedelta(minutes=5)  # clocks differ a little; a stamp further ahead tells no age


@dataclass(frozen=True, slots=True)
class AgeLimit:
    """How old what decides about a type may be; `sources` are the objects that it is read from."""

    type_name: str
    connection: str
    limit: str
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ages:
    """Types that may not be shown, with the reason; nothing changes by time before `valid_until`.

    None: nothing ever changes by time alone.
    """

    too_old: Mapping[str, str] = field(default_factory=dict)
    valid_until: datetime | None = None


def age_limits(graph: TenantGraph) -> tuple[AgeLimit, ...]:
    """Return the limits of a graph's mirrored objects."""
    return tuple(
        AgeLimit(name, found.connection, found.policy.max_age, tuple(_sources(graph, found)))
        for name, found in sorted(graph.objects.items())
        if found.policy.max_age is not None and found.policy.mode == "mirror"
    )


def _sources(graph: TenantGraph, found: GraphObject) -> dict[str, None]:
    """Return the object that a type is read from, and those that paths of its fields lead to."""
    catalog = graph.catalogs[found.connection].by_name
    sources = {found.source.name: None}
    paths = [path for each in found.fields.values() for path in source_paths(each.mapping)]
    for path in (*paths, *found.where):
        owner = found.source
        for step in path_steps(owner, path)[:-1]:
            reference = owner.by_name[step].reference
            targets = reference.targets if reference is not None else ()
            owner = next(catalog[name] for name in targets if name in catalog)
            sources[owner.name] = None
    return sources


def ages_of(
    graph: TenantGraph,
    sources: Mapping[str, SourceAccess],
    read: Mapping[str, Collection[str]],
    *,
    stamps: Stamps,
    now: datetime,
) -> Ages:
    """Judge every limit of a graph for one person at `now`.

    `read` are the permission objects of each connection that the person's rights were read from.
    """
    too_old: dict[str, str] = {}
    ends: list[datetime] = []
    for limit in graph.age_limits:
        known = graph.catalogs[limit.connection].by_name
        access = sources[limit.connection]
        decisive = {*read[limit.connection], *_looked_at(access, limit.sources)}
        # What the provider does not have holds no records that could be old.
        found = [stamps.get((limit.connection, name)) for name in decisive if name in known]
        oldest = _oldest(found, now)
        if oldest is None or now - oldest > duration(limit.limit):
            too_old[limit.type_name] = _reason(graph.tenant, limit, oldest)
        else:
            ends.append(oldest + duration(limit.limit))
    return Ages(too_old, min(ends, default=None))


def _looked_at(access: SourceAccess, sources: Collection[str]) -> Iterator[str]:
    """Yield the objects whose records decide which rows of `sources` are seen."""
    for name in sources:
        rule = access.object(name).rows
        yield from objects_of(rule)
        if not isinstance(rule, Everything | Nothing):
            yield name


def _oldest(stamps: Collection[datetime | None], now: datetime) -> datetime | None:
    """Return the oldest stamp, None when one of them tells no age."""
    readable = [each for each in stamps if readable_stamp(each, now) is not None]
    return min(filter(None, readable), default=now) if len(readable) == len(stamps) else None


def readable_stamp(stamp: datetime | None, now: datetime) -> datetime | None:
    """Return a stamp, None where it tells no age."""
    return None if stamp is None or stamp > now + _AHEAD_MAX else stamp


def _reason(tenant: str, limit: AgeLimit, oldest: datetime | None) -> str:
    """Say it without the time of asking: the same text for as long as nothing is synced."""
    if oldest is None:
        state = "were not all read whole yet"
    else:
        stamp = oldest.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        state = f"are of {stamp}"
    return (
        f"the permission records of {limit.connection} {state}, and may be {limit.limit} old:"
        f" run `firnline sync {tenant} --connection {limit.connection}`"
    )
