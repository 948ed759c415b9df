"""What one request carries through planning and loading."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from graphql import GraphQLResolveInfo, GraphQLSchema

from firnline.access.at_source import UncheckedError
from firnline.access.decisions import Decisions
from firnline.access.principal import Principal
from firnline.cache.query import Select
from firnline.errors import FirnlineError
from firnline.graph.freshness import Freshness
from firnline.graph.search import SearchIndex
from firnline.graph.shape import TenantGraph


@dataclass(frozen=True, slots=True)
class Rest:
    """The end of a list, which follows the answer: its items from `offset` on.

    `path` leads there from the root field.
    """

    path: tuple[str | int, ...]
    label: str | None
    offset: int
    items: list[Any]


@dataclass(frozen=True, slots=True)
class Completed:
    """A subtree that needs no further resolving: JSON-ready, keyed by response keys.

    `rests` are what was cut off from its lists.
    """

    value: Any
    rests: Sequence[Rest] = ()


@dataclass(frozen=True, slots=True)
class AccessNote:
    """Something withheld: `coordinate` is Type or Type.field, `effect` masked or denied."""

    coordinate: str
    effect: str
    reason: str
    source: str
    code: str = ""  # where a program can do something about it

    def as_dict(self) -> dict[str, str]:
        """Return the form listed in `extensions.access`."""
        told = {
            "coordinate": self.coordinate,
            "effect": self.effect,
            "reason": self.reason,
            "source": self.source,
        }
        return {**told, "code": self.code} if self.code else told


class VisiblePart(Protocol):
    """What the principal may read of the graph; computed when it is first asked for."""

    def graph(self) -> TenantGraph:
        """Return it as a graph."""
        ...

    def core_schema(self) -> GraphQLSchema:
        """Return its schema as graphql-core knows it."""
        ...

    def index(self) -> SearchIndex:
        """Return what can be found in it."""
        ...

    def federated_sdl(self) -> str:
        """Return it as the SDL of a subgraph of a federation."""
        ...


class SourceChecks(Protocol):
    """What a request asks sources about single records (`graph.policy.checks.Checks`)."""

    def denial(self, type_name: str) -> AccessNote | None:
        """Return why nothing of a type may be shown, None where its records are checked."""
        ...

    def hidden_reason(self, type_name: str, name: str) -> str:
        """Return why records of another object may not be read through, empty where they may."""
        ...

    def withheld(self, type_name: str, name: str) -> Mapping[str, str]:
        """Return the fields of an object that its source keeps back now, with the reason.

        Raises UncheckedError.
        """
        ...

    def settled(self, select: Select, fetch: Callable[..., Any]) -> Select:
        """Return a query over confirmed records; raises UncheckedError."""
        ...

    async def ask(self, unchecked: UncheckedError) -> None:
        """Ask about what is unknown; no query needs to ask for it again."""
        ...

    def told(self) -> list[dict[str, str]]:
        """Return how the records of each type were checked."""
        ...

    def troubles(self) -> list[FirnlineError]:
        """Return what kept the answer from being complete, and may be over the next time."""
        ...


async def unlooked(_work: Callable[[Any], Any]) -> Any:
    """Look at nothing: for contexts that are planned or looked things up with, not executed."""
    raise AssertionError("nothing is executed here")


@dataclass(slots=True)
class GraphContext:
    """One request of one principal against one snapshot of one tenant's cache.

    `decisions` are the principal's rights. `scans` collects every scan that is made for the
    principal, when the request is to be explained. `takes_parts` says that deferred fragments may
    follow the answer. `records` are those that the answer holds, and `look` runs work on the
    request's snapshot. `mask_key` gives the tenant's key of masks that are hashes. Without `checks`
    nothing is shown of what its source must confirm.
    """

    principal: Principal
    graph: TenantGraph
    decisions: Decisions
    now: datetime
    resolve: Callable[[GraphQLResolveInfo[Any]], Awaitable[Completed]]
    freshness: Callable[[], Freshness]
    visible: VisiblePart | None = None
    variables: Any = None
    notes: dict[tuple[str, str], AccessNote] = field(default_factory=dict)
    objects_read: set[tuple[str, str]] = field(default_factory=set)
    scans: list[Any] | None = None
    takes_parts: bool = False
    # By the path of a list whose end follows: at which item that begins.
    offsets: dict[tuple[str | int, ...], int] = field(default_factory=dict)
    records: int = 0
    look: Callable[[Callable[[Any], Any]], Awaitable[Any]] = unlooked
    mask_key: Callable[[], bytes] | None = None
    checks: SourceChecks | None = None
    is_timeless: bool = True  # until something is read that changes with the clock

    @property
    def tenant(self) -> str:
        """Return the tenant's name."""
        return self.graph.tenant

    def note(self, note: AccessNote) -> None:
        """Remember something withheld, once per coordinate and effect."""
        self.notes.setdefault((note.coordinate, note.effect), note)


async def unexecuted(_info: GraphQLResolveInfo[Any]) -> Completed:
    """Resolve nothing: for contexts that are planned or looked things up with, not executed."""
    raise AssertionError("nothing is executed here")
