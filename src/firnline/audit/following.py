"""Puts on record what `@defer` put off, part by part, as it goes out.

Takes the parts of an answer; whoever sends them receives the same parts, each after its fact was
handed over. What the document names was recorded with the answer; a part adds its records, masks,
denials, errors and sources.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from firnline.audit.recorder import AuditUnavailableError
from firnline.errors import FirnlineError
from firnline.graph.answer import Answer, code_of
from firnline.graph.parts import Following, ended

Record = Callable[[Mapping[str, Any]], Awaitable[None]]


class RecordedParts:
    """The parts of one answer (`graph.parts.Following`); `record` takes what each part adds."""

    def __init__(self, answer: Answer, parts: Following, *, record: Record) -> None:
        self.first = parts.first
        self._parts = parts
        self._record = record
        self._records = answer.records
        self._told = outcome_of(answer.extensions)
        self._pending = [each["id"] for each in parts.first["pending"]]

    @property
    def offsets(self) -> Mapping[str, int]:
        """Return at which item each list goes on whose end is announced, by the end's id."""
        return self._parts.offsets

    @property
    def records(self) -> int:
        """Return how many records the answer and its parts hold so far."""
        return self._parts.records

    def told(self) -> Mapping[str, Any]:
        """Return the extensions of all that was read so far."""
        return self._parts.told()

    async def next(self) -> dict[str, Any] | None:
        """Return the next part, None after the last.

        In strict mode a part that cannot be put on record is an error instead.
        """
        part = await self._parts.next()
        if part is None:
            return None
        try:
            await self._record(self._added(part))
        except AuditUnavailableError as error:
            return self.failed(error)
        self._pending += [each["id"] for each in part.get("pending", ())]
        for each in part.get("completed", ()):
            self._pending.remove(each["id"])
        return part

    def failed(self, error: FirnlineError) -> dict[str, Any]:
        """Return the part that ends what is still pending with an error."""
        return ended(self._pending, error)

    async def close(self) -> None:
        """Stop what still runs, and give back what is held."""
        await self._parts.close()

    def _added(self, part: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what a part adds to what was recorded before."""
        before, self._told = self._told, outcome_of(self._parts.told())
        records, self._records = self._records, self._parts.records
        new = {
            name: [each for each in found if each not in before[name]]
            for name, found in self._told.items()
        }
        return {**new, "errors": list(_codes(part)), "rows": self._records - records}


def outcome_of(extensions: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return what was denied and masked, and which source objects were read, in order."""
    denied: list[str] = []
    masked: list[str] = []
    for note in extensions.get("access", ()):
        effect = note["effect"]
        if effect == "denied":
            denied.append(note["coordinate"])
        elif effect == "masked":
            masked.append(note["coordinate"])
    return {
        "denied": sorted(denied),
        "masked": sorted(masked),
        "sources": sorted(extensions.get("freshness", ())),
    }


def _codes(part: Mapping[str, Any]) -> Iterator[str]:
    for each in (*part.get("incremental", ()), *part.get("completed", ())):
        yield from map(code_of, each.get("errors", ()))
