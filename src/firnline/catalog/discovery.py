"""Finds out what a tenant's systems hold, and stores it.

Takes one channel per connection; `state` receives the catalogs, the caller what changed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

from firnline.catalog.diff import CatalogDiff, catalog_diff
from firnline.catalog.model import Catalog
from firnline.clock import Clock
from firnline.connectors.protocol import Connector, Steps
from firnline.errors import FirnlineError

T = TypeVar("T")

_log = logging.getLogger(__name__)


class DiscoveryChannel(Protocol):
    """One authorised connection that can hold a connector's conversation."""

    @property
    def name(self) -> str:
        """The connection's name."""
        ...

    @property
    def connector(self) -> Connector:
        """The connector that describes the provider."""
        ...

    @property
    def settings(self) -> Mapping[str, str]:
        """The connection's settings."""
        ...

    async def run(self, steps: Steps[T]) -> T:
        """Drive the conversation to its end; raises a FirnlineError."""
        ...


class CatalogStore(Protocol):
    """Where catalogs are kept, by version."""

    async def catalog(self, tenant: str, connection: str) -> tuple[int, Catalog] | None:
        """Return the latest catalog and its version."""
        ...

    async def save_catalog(
        self, tenant: str, connection: str, catalog: Catalog, *, at: datetime
    ) -> int:
        """Store a catalog and return its version: a new one only when it changed."""
        ...


class EmptyCatalogError(FirnlineError):
    """Discovery found no object at all: the user behind the connection may see nothing."""

    code = "catalog_empty"

    def __init__(self, connection: str) -> None:
        super().__init__(
            f"connection {connection!r} shows no objects",
            hint="Give the connected user access to objects, then run discovery again.",
        )


class CatalogUnreadableError(FirnlineError):
    """The connector could not make sense of what the provider says about its objects."""

    code = "catalog_unreadable"

    def __init__(self, connection: str, failure: Exception) -> None:
        super().__init__(
            f"the objects of connection {connection!r} could not be read"
            f" ({type(failure).__name__})",
            hint="Run discovery again; if it stays, report it to the connector's author.",
        )


@dataclass(frozen=True, slots=True)
class Discovered:
    """What one connection holds now, and what changed since the last discovery."""

    connection: str
    version: int
    catalog: Catalog
    changes: CatalogDiff
    is_first: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "connection": self.connection,
            "provider": self.catalog.provider,
            "version": self.version,
            "first": self.is_first,
            "objects": [
                {
                    "name": found.name,
                    "fields": len(found.fields),
                    "custom_fields": sum(field.custom for field in found.fields),
                    "custom": found.custom,
                    "exposed": found.exposed,
                    "cursor": found.cursor,
                }
                for found in self.catalog.objects
            ],
            "changes": {} if self.is_first else self.changes.model_dump(mode="json"),
        }


@dataclass(frozen=True, slots=True)
class DiscoveryReport:
    """One discovery of one tenant. `failures` are by connection."""

    tenant: str
    discovered: tuple[Discovered, ...]
    failures: Mapping[str, FirnlineError]

    def raise_first(self) -> None:
        """Raise the first failure, if there is one."""
        for failure in self.failures.values():
            raise failure

    @property
    def ok(self) -> bool:
        """Say whether every connection was discovered."""
        return not self.failures

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "tenant": self.tenant,
            "ok": self.ok,
            "connections": [found.as_dict() for found in self.discovered],
            "errors": {name: error.as_dict() for name, error in self.failures.items()},
        }


async def discover_tenant(
    tenant: str, *, channels: Sequence[DiscoveryChannel], state: CatalogStore, clock: Clock
) -> DiscoveryReport:
    """Discover every connection at the same time and store the catalogs.

    A connection that fails keeps its last catalog and does not stop the others.
    """
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_discover(tenant, channel, state=state, clock=clock))
            for channel in channels
        ]
    outcomes = [task.result() for task in tasks]
    return DiscoveryReport(
        tenant=tenant,
        discovered=tuple(found for found in outcomes if isinstance(found, Discovered)),
        failures={
            channel.name: outcome
            for channel, outcome in zip(channels, outcomes, strict=True)
            if isinstance(outcome, FirnlineError)
        },
    )


async def _discover(
    tenant: str, channel: DiscoveryChannel, *, state: CatalogStore, clock: Clock
) -> Discovered | FirnlineError:
    try:
        catalog = await channel.run(channel.connector.discover(channel.settings))
    except FirnlineError as error:
        return error
    except (LookupError, TypeError, ValueError, AttributeError) as failure:
        _log.debug("discovery of %s failed", channel.name, exc_info=True)
        return CatalogUnreadableError(channel.name, failure)
    if not catalog.objects:
        return EmptyCatalogError(channel.name)
    before = await state.catalog(tenant, channel.name)
    version = await state.save_catalog(tenant, channel.name, catalog, at=clock.now())
    return Discovered(
        connection=channel.name,
        version=version,
        catalog=catalog,
        changes=catalog_diff(before[1] if before else None, catalog),
        is_first=before is None,
    )
