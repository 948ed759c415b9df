"""What a sync did, object by object, as facts for the CLI, the log and the console."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from firnline.cache.shape import ShapeChange
from firnline.errors import FirnlineError
from firnline.sync.normalize import Quarantined
from firnline.sync.store import StoredPage

_QUARANTINE_LISTED_MAX = 100  # per object; the count goes on


@dataclass(frozen=True, slots=True)
class SyncProgress:
    """How far one object has been read. `estimated_total` is what the cache held before."""

    connection: str
    object: str
    rows: int
    pages: int
    done: bool = False
    estimated_total: int | None = None
    failed: bool = False


OnProgress = Callable[[SyncProgress], None]


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why an object is not up to date, in the words of the error tree."""

    code: str
    message: str
    hint: str = ""
    retryable: bool = False

    @classmethod
    def of(cls, error: FirnlineError) -> Trouble:
        """Return the facts of an error."""
        return cls(error.code, error.message, error.hint, error.retryable)

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        facts: dict[str, Any] = {"code": self.code, "message": self.message, "hint": self.hint}
        return {**facts, "retryable": True} if self.retryable else facts


@dataclass(slots=True)
class ObjectReport:
    """What happened to one object. `held` counts records that a short listing did not delete."""

    connection: str
    object: str
    is_full: bool = True
    resumed: bool = False
    pages: int = 0
    rows: int = 0
    upserts: int = 0
    deletes: int = 0
    duplicates: int = 0
    held: int = 0
    quarantined_count: int = 0
    quarantined: list[Quarantined] = field(default_factory=list)
    change: ShapeChange = field(default_factory=ShapeChange)
    seconds: float = 0.0
    trouble: Trouble | None = None

    def add(self, stored: StoredPage) -> None:
        """Count one stored page."""
        self.pages += 1
        self.rows += stored.rows
        self.upserts += stored.upserts
        self.deletes += stored.deletes
        self.duplicates += stored.duplicates
        self.held += stored.held
        self.quarantined_count += len(stored.quarantined)
        room = _QUARANTINE_LISTED_MAX - len(self.quarantined)
        self.quarantined += stored.quarantined[:room]

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form; keys of quarantined records, never their values."""
        facts: dict[str, Any] = {
            "connection": self.connection,
            "object": self.object,
            "full": self.is_full,
            "resumed": self.resumed,
            "pages": self.pages,
            "rows": self.rows,
            "upserts": self.upserts,
            "deletes": self.deletes,
            "duplicates": self.duplicates,
            "held": self.held,
            "quarantined": self.quarantined_count,
            "seconds": round(self.seconds, 3),
        }
        if self.quarantined:
            facts["quarantine"] = [
                {"key": one.key, "field": one.field, "reason": one.reason}
                for one in self.quarantined
            ]
        if self.change and not self.change.created:
            facts["shape"] = _shape_facts(self.change)
        if self.trouble:
            facts["error"] = self.trouble.as_dict()
        return facts


def _shape_facts(change: ShapeChange) -> Mapping[str, list[str]]:
    named = {
        "added": change.added,
        "widened": change.widened,
        "emptied": change.emptied,
        "retired": change.retired,
    }
    return {what: list(fields) for what, fields in named.items() if fields}


@dataclass(frozen=True, slots=True)
class SyncReport:
    """One sync of one tenant. `closed` says why connections could not be read at all."""

    tenant: str
    started_at: datetime
    seconds: float
    objects: tuple[ObjectReport, ...]
    closed: Mapping[str, Trouble] = field(default_factory=dict)

    @property
    def failed(self) -> tuple[ObjectReport, ...]:
        """Return the objects that are not up to date."""
        return tuple(one for one in self.objects if one.trouble)

    @property
    def ok(self) -> bool:
        """Say whether every object is up to date."""
        return not self.failed and not self.closed

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "tenant": self.tenant,
            "started_at": self.started_at.isoformat(),
            "seconds": round(self.seconds, 3),
            "ok": self.ok,
            "objects": [one.as_dict() for one in self.objects],
            "errors": {name: trouble.as_dict() for name, trouble in self.closed.items()},
        }
