"""Answers in parts: what `@defer` and `@stream` put off follows the answer, one part at a time.

Takes graphql-core's incremental results and the session they read through; the edge receives each
part as JSON-ready facts. The snapshot stays open until the last part is out or nobody waits for it
any more, so that all parts are of one data version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Protocol

from graphql import (
    ExperimentalIncrementalExecutionResults,
    GraphQLError,
    IncrementalStreamResult,
)
from graphql.execution import SubsequentIncrementalExecutionResult

from firnline.errors import FirnlineError

_DIRECTIVES = ("@defer", "@stream")
Formatted = Callable[[GraphQLError], Mapping[str, Any]]
Extensions = Callable[[], Mapping[str, Any]]


class Following(Protocol):
    """What follows an answer. Whoever holds it takes every part, or closes it."""

    first: Mapping[str, Any]  # beside the answer's own members

    @property
    def offsets(self) -> Mapping[str, int]:
        """Return at which item each list goes on whose end is announced, by the end's id."""
        ...

    @property
    def records(self) -> int:
        """Return how many records the answer and its parts hold so far."""
        ...

    def told(self) -> Mapping[str, Any]:
        """Return the extensions of all that was read so far."""
        ...

    async def next(self) -> dict[str, Any] | None:
        """Return the next part, None after the last."""
        ...

    def failed(self, error: FirnlineError) -> dict[str, Any]:
        """Return the part that ends what is still pending with an error."""
        ...

    async def close(self) -> None:
        """Stop what still runs, and give back what is held."""
        ...


def may_follow(text: str) -> bool:
    """Say whether parts may follow the answer to a document."""
    return any(directive in text for directive in _DIRECTIVES)


def ended(pending: Iterable[str], error: FirnlineError) -> dict[str, Any]:
    """Return the part that ends what is pending with an error."""
    facts = error.as_dict()
    told = [{"message": facts.pop("message"), "extensions": facts}]
    return {"completed": [{"id": each, "errors": told} for each in pending], "hasNext": False}


class Parts:
    """The parts of one execution (`Following`); `records` grows as root fields are answered."""

    def __init__(
        self,
        results: ExperimentalIncrementalExecutionResults,
        held: AsyncExitStack,
        records: Sequence[int],
        *,
        formatted: Formatted,
        extensions: Extensions,
        offsets: Mapping[tuple[str | int, ...], int],
    ) -> None:
        self._results = results.subsequent_results
        self._held = held
        self._records = records
        self._formatted = formatted
        self._extensions = extensions
        self._begins = offsets
        self._offsets: dict[str, int] = {}
        self._pending: list[str] = []
        self.first: Mapping[str, Any]
        self.first = {"pending": self._announced(results.initial_result.pending), "hasNext": True}

    @property
    def offsets(self) -> Mapping[str, int]:
        """Return at which item each list goes on whose end is announced, by the end's id."""
        return self._offsets

    @property
    def records(self) -> int:
        """Return how many records the answer and its parts hold so far."""
        return sum(self._records)

    def told(self) -> Mapping[str, Any]:
        """Return the extensions of all that was read so far."""
        return self._extensions()

    async def next(self) -> dict[str, Any] | None:
        """Return the next part, None after the last."""
        async for result in self._results:
            return self._part(result)
        return None

    def failed(self, error: FirnlineError) -> dict[str, Any]:
        """Return the part that ends what is still pending with an error."""
        return ended(self._pending, error)

    async def close(self) -> None:
        """Stop what still runs, down to DuckDB, and give the snapshot back."""
        try:
            await self._results.aclose()
        finally:
            await self._held.aclose()

    def _announced(self, pending: Any) -> list[Mapping[str, Any]]:
        for each in pending or ():
            self._pending.append(each.id)
            offset = self._begins.get(tuple(each.path))
            if offset is not None:
                self._offsets[each.id] = offset
        return [each.formatted for each in pending or ()]

    def _part(self, result: SubsequentIncrementalExecutionResult) -> dict[str, Any]:
        part: dict[str, Any] = {}
        if result.pending:
            part["pending"] = self._announced(result.pending)
        if result.incremental:
            part["incremental"] = [self._delivered(each) for each in result.incremental]
        if result.completed:
            part["completed"] = [self._completed(each) for each in result.completed]
        if not result.has_next:
            part["extensions"] = dict(self._extensions())
        return part | {"hasNext": result.has_next}

    def _delivered(self, delivered: Any) -> dict[str, Any]:
        facts: dict[str, Any] = {"id": delivered.id}
        if isinstance(delivered, IncrementalStreamResult):
            facts["items"] = delivered.items
        else:
            facts["data"] = delivered.data
        if delivered.sub_path:
            facts["subPath"] = delivered.sub_path
        return facts | self._errors(delivered.errors)

    def _completed(self, completed: Any) -> dict[str, Any]:
        if completed.id in self._pending:
            self._pending.remove(completed.id)
        return {"id": completed.id} | self._errors(completed.errors)

    def _errors(self, errors: list[GraphQLError] | None) -> dict[str, Any]:
        return {"errors": [self._formatted(each) for each in errors]} if errors else {}
