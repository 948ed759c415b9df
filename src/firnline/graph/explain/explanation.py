"""`extensions.explain`: how an operation was answered, for those who may know.

Takes what the trace of one request collected; respond adds the result to the answer. A person is
shown what the operation asks within their rights: the objects and fields they may read, their own
values, and that their rows are filtered, but not by which roles, groups or shares. An operator is
shown the SQL as it was sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import Enum
from typing import Any, Self

from firnline.access.model import Everything, Nothing
from firnline.access.principal import Principal
from firnline.clock import Clock
from firnline.errors import FirnlineError
from firnline.graph.explain.trace import Trace
from firnline.graph.freshness import NEVER
from firnline.graph.request import GraphContext
from firnline.graph.scan import Scan, is_ours

SCOPE = "explain"
OPERATOR_SCOPE = "explain:operator"
Versions = Mapping[tuple[str, str], int]
_COST = ("estimated", "limit")


class Detail(Enum):
    """How much of an operation is explained."""

    PERSON = "person"
    OPERATOR = "operator"


class ExplainRefusedError(FirnlineError):
    """The operation was asked to be explained by someone who may not know."""

    code = "explain_refused"
    status = 403

    def __init__(self) -> None:
        super().__init__(
            "operations are not explained here",
            hint="Leave extensions.explain away, set `graph: {explain: true}` for the tenant, or "
            f"send a token with the scope `{SCOPE}`.",
        )


def explained_to(principal: Principal, *, is_open: bool) -> Detail:
    """Return how much the principal may know; raises ExplainRefusedError.

    `is_open` says that everybody at the tenant may have their own operations explained.
    """
    if OPERATOR_SCOPE in principal.scopes:
        return Detail.OPERATOR
    if is_open or SCOPE in principal.scopes:
        return Detail.PERSON
    raise ExplainRefusedError


class Explanation:
    """Collects how one request is answered."""

    def __init__(self, detail: Detail, *, clock: Clock) -> None:
        self.detail = detail
        self._clock = clock
        self._started = clock.monotonic()
        self._stages = {"guard": 0.0, "access": 0.0}
        self._traces: list[Trace] = []
        self.cost: tuple[int, int] | None = None  # by estimate, and the limit

    @classmethod
    def of(cls, detail: Detail | None, *, clock: Clock) -> Self | None:
        """Return what collects, None where nothing is to be explained."""
        return None if detail is None else cls(detail, clock=clock)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of a block to a stage."""
        started = self._clock.monotonic()
        yield
        self._stages[name] = self._stages.get(name, 0.0) + self._clock.monotonic() - started

    def begin(self) -> list[Scan]:
        """Forget an execution that data overtook; return where scans are collected."""
        self._traces.clear()
        return []

    def trace(self, instead_of: Trace | None = None) -> Trace:
        """Return what follows one root field; what was begun before a source was asked is gone."""
        if instead_of is not None:
            self._traces.remove(instead_of)
        trace = Trace(self._clock, is_full=self.detail is Detail.OPERATOR)
        self._traces.append(trace)
        return trace

    def as_dict(self, context: GraphContext, versions: Versions) -> dict[str, Any]:
        """Return `extensions.explain`."""
        freshness = context.freshness()
        fields = [field for trace in self._traces for field in trace.fields()]
        stages = {
            **self._stages,
            "plan": sum(trace.planning_s for trace in self._traces),
            "load": sum(trace.loading_s for trace in self._traces),
            "total": self._clock.monotonic() - self._started,
        }
        sources = {source for trace in self._traces for source in trace.answered_from()}
        return {
            "detail": self.detail.value,
            "answeredFrom": sorted(sources),
            **({} if self.cost is None else {"cost": dict(zip(_COST, self.cost, strict=True))}),
            "milliseconds": {name: milliseconds(each) for name, each in stages.items()},
            "fields": fields,
            "access": _access(context),
            "sources": {
                f"{connection}.{name}": {
                    **freshness.get((connection, name), NEVER),
                    "version": versions.get((connection, name)),
                }
                for connection, name in sorted(context.objects_read)
            },
        }


def stage(explanation: Explanation | None, name: str) -> AbstractContextManager[None]:
    """Return a block whose time is added to a stage, where something is to be explained."""
    return nullcontext() if explanation is None else explanation.stage(name)


def milliseconds(seconds: float) -> float:
    """Return a time in milliseconds, to the microsecond."""
    return round(seconds * 1000, 3)


def _access(context: GraphContext) -> list[dict[str, Any]]:
    """Return the decision on each object that was touched, and on its fields."""
    scans: dict[str, list[Scan]] = {}
    for scan in context.scans or ():
        if scan.context is context:  # others were made for columns that everybody shares
            scans.setdefault(scan.object.type_name, []).append(scan)
    return [_decision(context, found) for _, found in sorted(scans.items())]


def _decision(context: GraphContext, scans: list[Scan]) -> dict[str, Any]:
    found = scans[0].object
    denied = scans[0].denied or context.notes.get((found.type_name, "denied"))
    read = {name for scan in scans for name in scan.fields_read if scan.denied is None}
    fields: list[dict[str, Any]] = [{"field": name, "readable": True} for name in sorted(read)]
    for (coordinate, effect), note in sorted(context.notes.items()):
        owner, _, name = coordinate.partition(".")
        if owner == found.type_name and effect == "masked" and name:
            reason = {"reason": note.reason, "source": note.source}
            fields.append({"field": name, "readable": False, **reason})
    sources = {source for scan in scans for source in scan.sources}
    decision: dict[str, Any] = {
        "object": found.type_name,
        "readable": denied is None,
        "source": found.connection,
        "rows": {
            f"{connection}.{name}": "policy"
            if is_ours(found) and name == found.source.name
            else "filtered"
            if scans[0].is_at_source and denied is None and name == found.source.name
            else _rows(context, connection, name)
            for connection, name in sorted(sources)
        },
        "fields": fields,
    }
    if denied is not None:
        decision |= {"reason": denied.reason, "source": denied.source}
    return decision


def _rows(context: GraphContext, connection: str, name: str) -> str:
    """Say in one word which rows of a source object the principal sees."""
    access = context.decisions.object(connection, name)
    if not access.readable or isinstance(access.rows, Nothing):
        return "none"
    return "everything" if isinstance(access.rows, Everything) else "filtered"
